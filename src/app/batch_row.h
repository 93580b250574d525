/* batch_row.h - for commands that answer each line of a batch with one object: members in, members out, faults as rows
 *
 * Stands on app/batch.h. A member of a wrong kind is a fault that names it. */
#ifndef TODOKE_APP_BATCH_ROW_H
#define TODOKE_APP_BATCH_ROW_H

#include "app/batch.h"
#include "base/fault.h"
#include "base/json.h"

/* Write the members of the answer into the object that is open. False: what was written is dropped. */
typedef bool batch_row_writer(void *context, const json_t *line, struct json *json, struct fault *why);
/* More members for an error row. */
typedef void batch_row_also(void *context, struct json *json);

/* {"id": ..., members}, or {"id": ..., "error": ..., also}. also may be NULL. */
void batch_row(struct buf *out, struct slice id, const json_t *line, batch_row_writer *write, batch_row_also *also,
               void *context);

/* A string; "" when absent. */
NODISCARD bool batch_row_text(const json_t *line, const char *key, struct slice *text, struct fault *why);
/* A string that must be there. */
NODISCARD bool batch_row_need(const json_t *line, const char *key, struct slice *text, struct fault *why);
/* A number; *number stays when absent. */
NODISCARD bool batch_row_number(const json_t *line, const char *key, int64_t *number, struct fault *why);

#endif
