/* db.h - one connection to the store, and the only way in the program to say SQL to it
 *
 * One SQL text for SQLite and PostgreSQL; where they must differ, db_pick chooses. A db belongs to one thread. Writers
 * get theirs from the store's writer thread (store/store.h), readers open their own.
 *
 * Placeholders are $1..$n, each used at least once. What both stores mean the same by: BIGINT, INTEGER, TEXT, BYTEA;
 * INSERT ... ON CONFLICT ... DO NOTHING / DO UPDATE; RETURNING; partial indexes; LIMIT. Write CAST(SUM(n) AS BIGINT): a
 * bare SUM is NUMERIC on PostgreSQL. Text is UTF-8 without NUL; anything else is a fault INPUT on both.
 *
 * After a fault inside a transaction nothing more can be done in it: give the fault up.
 *
 * Faults: WORLD the store is lost, full, read-only or busy (db_is_lost tells: the transaction is gone, try later);
 * INPUT a constraint was broken, or the text is no SQL for this schema. */
#ifndef TODOKE_STORE_DB_H
#define TODOKE_STORE_DB_H

#include "base/arena.h"
#include "base/fault.h"
#include "base/id.h"

struct db;

/* Close a connection of one's own; NULL is fine. */
void db_free(struct db *db);

enum value_kind { VALUE_NULL, VALUE_INT, VALUE_TEXT, VALUE_BYTES };
struct value {
    enum value_kind kind;
    int64_t number;
    struct slice bytes; /* text or bytes; must live until the call returns */
};
#define V_NULL                                                                                                         \
    (struct value)                                                                                                     \
    {                                                                                                                  \
        VALUE_NULL                                                                                                     \
    }
static inline struct value V_INT(int64_t number) {
    return (struct value){VALUE_INT, number, {0}};
} static inline struct value V_TEXT(struct slice text) {
    return (struct value){VALUE_TEXT, 0, text};
} static inline struct value V_STR(const char *text) {
    return (struct value){VALUE_TEXT, 0, slice_str(text)};
} static inline struct value V_BYTES(struct slice bytes) {
    return (struct value){VALUE_BYTES, 0, bytes};
}
/* NULL for 0, NULL for empty text. */
static inline struct value
V_INT_OR_NULL(int64_t number) {
    return number ? V_INT(number) : V_NULL;
} static inline struct value V_TEXT_OR_NULL(struct slice text) {
    return text.len ? V_TEXT(text) : V_NULL;
}
/* The two arguments `values, count`: db_do(db, why, "...", VALUES(V_INT(1), V_STR("a")), NULL). */
#define VALUES(...) (struct value[]){__VA_ARGS__}, sizeof((struct value[]){__VA_ARGS__}) / sizeof(struct value)
#define NO_VALUES   NULL, 0

enum {
    DB_VALUES_MAX = 64
}; /* placeholders of one statement */

/* Run one statement that gives no rows. *changed (may be NULL): how many rows it touched. */
NODISCARD bool db_do(struct db *db, struct fault *why, const char *sql, const struct value *values, size_t count,
                     int64_t *changed);

/* The same statement once for each of `rows` rows of `width` values (values[row * width + column]), in order. On
 * PostgreSQL one round trip for all (pipeline mode). changed (may be NULL) has an entry for each row. Stops at the
 * first fault. */
NODISCARD bool db_do_many(struct db *db, struct fault *why, const char *sql, const struct value *values, size_t width,
                          size_t rows, int64_t *changed);

/* A cursor over rows. Slices it gives live until the next rows_next or rows_end. Columns count from 0.
 *
 *     SCOPED(rows) rows = {0};
 *     if (!db_query(db, why, &rows, "SELECT id, name FROM list WHERE brand_id = $1", VALUES(V_INT(brand))))
 *         return false;
 *     while (rows_next(&rows))
 *         use(rows_int(&rows, 0), rows_text(&rows, 1));
 *     return rows_end(&rows);
 */
struct statement;
struct rows {
    struct db *db;
    struct fault *why; /* the one given to db_query: must outlive the cursor */
    struct statement *statement;
    void *result; /* the back end's */
    int at, count;
    bool has_failed;
};
NODISCARD bool db_query(struct db *db, struct fault *why, struct rows *rows, const char *sql,
                        const struct value *values, size_t count);
/* False after the last row, or at a fault: rows_end tells which. */
bool rows_next(struct rows *rows);
/* Close it. False: the rows ended by a fault, said in the `why` of db_query. */
NODISCARD bool rows_end(struct rows *rows);
void rows_release(struct rows *rows); /* for SCOPED: close, whatever happened */

bool rows_is_null(const struct rows *rows, int column);
int64_t rows_int(const struct rows *rows, int column);       /* 0 for NULL */
struct slice rows_text(const struct rows *rows, int column); /* empty for NULL; bytes too */
#define rows_bytes rows_text

/* One row or none. found (may be NULL) tells; without it no row is a fault INPUT. Up to `width` integer columns into
 * out. */
NODISCARD bool db_query_ints(struct db *db, struct fault *why, const char *sql, const struct value *values,
                             size_t count, int64_t *out, size_t width, bool *found);

/* For each of `rows` value rows, run the query and hand each row it gives to `take` (with the index of the value row);
 * one round trip on PostgreSQL. `take` must not use db; false from it stops with its fault. */
typedef bool (*db_take)(void *context, size_t index, const struct rows *row, struct fault *why);
NODISCARD bool db_query_many(struct db *db, struct fault *why, const char *sql, const struct value *values,
                             size_t width, size_t rows, db_take take, void *context);

/* Transactions. Only for those who own a connection of their own; write jobs run inside the writer's. db_read gives a
 * consistent view for several queries: keep it short. */
NODISCARD bool db_begin(struct db *db, struct fault *why); /* for writing */
/* The number of this connection's last transaction for writing: what was read in it holds until another begins. */
uint64_t db_transaction(const struct db *db);
NODISCARD bool db_read(struct db *db, struct fault *why); /* for reading only */
NODISCARD bool db_commit(struct db *db, struct fault *why);
void db_rollback(struct db *db);

bool db_is_postgres(const struct db *db);
static inline const char *db_pick(const struct db *db, const char *sqlite_sql, const char *postgres_sql)
{
    return db_is_postgres(db) ? postgres_sql : sqlite_sql;
}
/* '%text%' in the arena, for LIKE ... ESCAPE '\': LIKE's own signs mean themselves. */
struct slice db_like(struct slice text, struct arena *arena);
/* The last fault meant that the store itself failed, not the statement. Reset by the next success. */
bool db_is_lost(const struct db *db);

/* The database's clock (leases live by it). */
NODISCARD bool db_now(struct db *db, struct fault *why, time_ms *now);

/* The node's id maker, floored above every id in the store (base/id.h). */
struct id_maker *db_ids(struct db *db);

/* Say that this transaction did something others wait for (enum store_mark in store/store.h); watchers hear it after
 * the commit. */
void db_mark(struct db *db, unsigned marks);

#endif
