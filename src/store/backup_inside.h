/* backup_inside.h - what backup.c and restore.c share (private to store/) */
#ifndef TODOKE_STORE_BACKUP_INSIDE_H
#define TODOKE_STORE_BACKUP_INSIDE_H

#include "store/backup.h"

enum {
    BACKUP_NAME_MAX = 63,
    BACKUP_COLUMNS_MAX = DB_VALUES_MAX,
    BACKUP_VALUE_MAX = 1 << 30,
    BACKUP_WATCH_ROWS = 8192, /* between two calls of a watch */
};

struct backup_column {
    char name[BACKUP_NAME_MAX + 1];
    char type; /* i, t, b */
};
struct backup_table {
    char name[BACKUP_NAME_MAX + 1];
    struct backup_column columns[BACKUP_COLUMNS_MAX];
    size_t width;
};

/* Told what a file says, in order; each may be NULL. The values of a row live until it returns. */
struct backup_taker {
    bool (*table)(struct backup_taker *taker, const struct backup_table *table, struct fault *why);
    bool (*row)(struct backup_taker *taker, const struct value *values, struct fault *why);
    bool (*table_end)(struct backup_taker *taker, struct fault *why);
};
NODISCARD bool backup_walk(int file, const struct seal_key *key, struct backup_taker *taker, struct backup_watch *watch,
                           struct backup_facts *facts, struct fault *why);

/* "name" for SQL. */
void backup_quote(struct buf *sql, const char *name);

#endif
