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
/* Inside a transaction of the caller's: the missing ones up to this number. */
NODISCARD bool schema_reach(struct db *db, struct fault *why, unsigned newest);
/* The number that the store is at; 0: it is empty. */
NODISCARD bool schema_version(struct db *db, struct fault *why, int64_t *version);
/* The name of each table that the files make, as often as they do; false from `take` ends it, and is given on. */
bool schema_tables(bool (*take)(void *context, struct slice name), void *context);
bool schema_has_table(struct slice name);
/* One file's text as this store shall run it. */
void schema_text(struct slice text, bool is_postgres, struct buf *out);

#endif
