/* schema.h - the embedded migrations and the step from any older schema to this program's
 *
 * data/schema/NNNN_name.sql in order, each applied once and written into table schema_version. A line that begins with
 * "--sqlite " or "--postgres " is for that store only (the prefix is dropped, or the line). All missing ones run in one
 * transaction. */
#ifndef TODOKE_STORE_SCHEMA_H
#define TODOKE_STORE_SCHEMA_H

#include "store/db.h"

struct schema_file {
    int version;
    const char *name;
    struct slice text;
};
extern const struct schema_file schema_files[];
extern const unsigned schema_file_count;

/* INPUT: the schema is newer than this program. */
NODISCARD bool schema_migrate(struct db *db, struct fault *why);
/* One file's text as this store shall run it. */
void schema_text(struct slice text, bool is_postgres, struct buf *out);

#endif
