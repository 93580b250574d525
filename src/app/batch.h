/* batch.h - the --batch of commands: JSON objects on stdin, one a line; one or more JSON lines out, in order (CLI.md)
 *
 * What is ready goes out before waiting for more input. A bad line gives {"id":..., "error":"..."} and the batch goes
 * on. */
#ifndef TODOKE_APP_BATCH_H
#define TODOKE_APP_BATCH_H

#include "base/buf.h"
#include <jansson.h>

enum { BATCH_LINE_MAX = 512 << 20 };

/* One object. `id` is the line's id as ready JSON, to be echoed; empty when it has none. Writes its lines to `out`. */
typedef void batch_taker(void *context, struct slice id, const json_t *object, struct buf *out);

/* The exit status: 0, or 3 when stdin or stdout broke. */
int batch_run(const char *command, batch_taker *take, void *context);

/* The same for a command whose members are strings only: `keys` names them, `values` comes in their order (ptr NULL:
 * absent, or no string). Most lines are read in one pass, without building an object first. */
enum { BATCH_FLAT_KEYS = 8 };
typedef void batch_flat_taker(void *context, struct slice id, const struct slice *values, struct buf *out);
int batch_run_flat(const char *command, const struct slice *keys, size_t count, batch_flat_taker *take, void *context);

void batch_error(struct buf *out, struct slice id, const char *what);

/* A string member; "" when absent or no string. */
struct slice batch_text(const json_t *object, const char *key);

/* The bytes of message_b64 into `mail` (give it a ceiling of at least that many). False: an error line was written. */
bool batch_message(const json_t *object, struct slice id, struct buf *mail, struct buf *out);

#endif
