/* backend.h - what a back end of the store is made of (private to store/) */
#ifndef TODOKE_STORE_BACKEND_H
#define TODOKE_STORE_BACKEND_H

#include "base/map.h"
#include "store/db.h"

/* A prepared statement. Kept by its text; the caller's pointer is only a faster way to it (and checked). */
struct statement {
    char *sql;
    void *handle;                       /* sqlite3_stmt; PostgreSQL: not used */
    unsigned number;                    /* PostgreSQL: its name is "s<number>" */
    bool is_busy;                       /* SQLite: a cursor is open on it */
    bool is_temporary;                  /* not in the cache */
    unsigned char place[DB_VALUES_MAX]; /* SQLite: index of $i+1 in the statement */
    size_t width;                       /* SQLite: how many placeholders */
};
enum { STATEMENTS_MAX = 512 };
struct statement_cache {
    struct map by_text;
    struct id_map by_pointer;
    unsigned made;
};

struct backend {
    bool is_postgres;
    bool (*script)(struct db *db, struct fault *why, const char *sql); /* several statements, no values, no rows */
    bool (*run)(struct db *db, struct fault *why, const char *sql, const struct value *values, size_t width,
                size_t rows, int64_t *changed);
    bool (*query)(struct db *db, struct fault *why, struct rows *rows, const char *sql, const struct value *values,
                  size_t width);
    bool (*query_many)(struct db *db, struct fault *why, const char *sql, const struct value *values, size_t width,
                       size_t rows, db_take take, void *context);
    bool (*next)(struct rows *rows);
    void (*end)(struct rows *rows);
    bool (*is_null)(const struct rows *rows, int column);
    int64_t (*integer)(const struct rows *rows, int column);
    struct slice (*text)(const struct rows *rows, int column);
    bool (*begin)(struct db *db, struct fault *why, bool for_writing);
    bool (*commit)(struct db *db, struct fault *why);
    /* After a commit whose sync failed, but whose record is there: all commits are durable now. NULL: a commit that is
     * there always is. */
    bool (*secure)(struct db *db, struct fault *why);
    void (*rollback)(struct db *db);
    bool (*reconnect)(struct db *db, struct fault *why);
    bool (*has_news)(struct db *db); /* has somebody else committed since it was asked last? NULL: not known here */
    void (*close)(struct db *db);
};

struct db {
    const struct backend *backend;
    struct id_maker *ids; /* the store's */
    struct statement_cache statements;
    unsigned marks;                /* of the transaction that runs (db_mark) */
    uint64_t begun;                /* transactions so far: its number */
    bool is_lost, is_broken;       /* broken: the connection is (PostgreSQL) */
    unsigned patience_ms, said_ms; /* store_options; 0: a server's, or nobody waits */
    bool has_said;                 /* that it waits (PostgreSQL) */
    bool is_lock_timeout;          /* the loss: others have held a lock for longer than was waited */
    bool is_conflict;              /* the loss was a conflict with another node's transaction: begin anew at once */
    struct {
        uint64_t locked[ID_BUCKETS / 64], wanted[ID_BUCKETS / 64]; /* of the transaction; since the group began */
        unsigned highest;
        bool is_shared;
    } counters; /* store/counter.h */
};

enum db_use {
    DB_WRITER,
    DB_SERVER, /* the writer of a server that runs for long, on a thread of its own */
    DB_READER
};
/* `where` is the path, or the URL. */
struct db *sqlite_db_open(const char *where, enum db_use use, struct fault *why);
struct db *postgres_db_open(const char *where, enum db_use use, struct fault *why);

/* Of store.c, for restore.c. A url read: `where` is the caller's. The lock that only one server of a SQLite file has
 * (INPUT: who has it), until *lock is closed. The number a command goes by. Ids above all that the store has. */
struct store_place {
    char *where; /* path or URL */
    bool is_postgres;
};
NODISCARD bool store_place_read(const char *url, struct store_place *place, struct fault *why);
NODISCARD bool store_serve_lock(const char *where, int *lock, struct fault *why);
unsigned store_command_node(void);
NODISCARD bool store_floor_ids(struct db *db, struct fault *why, struct id_maker *maker);

/* Of restore.c: no node lives on it (INPUT: which does). For PostgreSQL; a SQLite file has its lock. */
NODISCARD bool store_is_idle(struct db *db, struct fault *why);

/* Find it in the cache, or NULL; add one (which the cache then owns); forget all (drop is called for each not busy). */
struct statement *statement_find(struct statement_cache *cache, const char *sql);
void statement_keep(struct statement_cache *cache, const char *sql, struct statement *statement);
void statements_drop(struct statement_cache *cache, void (*drop)(struct db *db, struct statement *statement),
                     struct db *db);
static inline bool statements_are_many(const struct statement_cache *cache)
{
    return cache->by_text.count >= STATEMENTS_MAX;
}

#endif
