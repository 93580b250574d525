/* store_sqlite.c - the store in one file: SQLite 3 in WAL mode, synchronous=FULL
 *
 * One connection belongs to one thread (SQLITE_OPEN_NOMUTEX). WAL lets readers read while the writer writes.
 * auto_vacuum must be chosen before the first table, so the pragmas come first. A transaction that SQLite has rolled
 * back by itself (full disk, I/O error) is seen by sqlite3_get_autocommit. */
#include "store/backend.h"
#include "store/checkpoint.h"
#include "store/page_cache.h"
#include "store/wal_vfs.h"

#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BUSY_TIMEOUT_MS = 30000, BUSY_SOON_TRIES = 2000 /* a millisecond each, then ten */ };

struct sqlite_db {
    struct db db;
    sqlite3 *handle;
    char *path;
    enum db_use use;
    struct checkpointer *checkpointer; /* of a server's writer */
    int64_t busy_since_ms;             /* monotonic: since when we wait for another process */
    bool is_busy_said;
    int64_t version; /* of what others have committed, as it was seen last */
};

static struct sqlite_db *sqlite_of(struct db *db)
{
    return (struct sqlite_db *)db;
}

static bool means_lost(int code)
{
    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_PROTOCOL:
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_INTERRUPT:
    case SQLITE_NOMEM: return true;
    default: return false;
    }
}

/* So long we wait for another process. */
static int64_t busy_most(const struct sqlite_db *lite)
{
    return lite->db.patience_ms ? lite->db.patience_ms : BUSY_TIMEOUT_MS;
}

static bool sqlite_fault(struct sqlite_db *lite, int code, struct fault *why, const char *sql)
{
    lite->db.is_lost = means_lost(code);
    if ((code & 0xff) == SQLITE_BUSY)
        return fault_set(
            why, FAULT_WORLD,
            "store %s: another program has been writing to it for %d s (a slow disk?); nothing was changed, "
            "try again",
            lite->path, (int)(busy_most(lite) / 1000));
    if (lite->db.is_lost)
        return fault_set(why, FAULT_WORLD, "store %s: %s", lite->path,
                         lite->handle ? sqlite3_errmsg(lite->handle) : sqlite3_errstr(code));
    return fault_set(why, FAULT_INPUT, "store: %s in \"%.160s\"", sqlite3_errmsg(lite->handle), sql);
}

static bool sqlite_script(struct db *db, struct fault *why, const char *sql)
{
    struct sqlite_db *lite = sqlite_of(db);
    int code = sqlite3_exec(lite->handle, sql, NULL, NULL, NULL);
    if (code != SQLITE_OK)
        return sqlite_fault(lite, code, why, sql);
    return true;
}

/* ── statements ── */

static void statement_drop(struct db *db, struct statement *statement)
{
    sqlite3_finalize(statement->handle);
    free(statement->sql);
    free(statement);
}

static void find_places(struct statement *statement)
{
    char name[8];
    int count = sqlite3_bind_parameter_count(statement->handle);
    assert(count <= DB_VALUES_MAX);
    for (int i = 0; i < count; i++) {
        snprintf(name, sizeof(name), "$%d", i + 1);
        int place = sqlite3_bind_parameter_index(statement->handle, name);
        assert(place > 0); /* $1..$n without a gap */
        statement->place[i] = (unsigned char)place;
    }
    statement->width = (size_t)count;
}

static bool connect_file(struct sqlite_db *lite, struct fault *why);

static struct statement *statement_get(struct sqlite_db *lite, struct fault *why, const char *sql)
{
    if (!lite->handle && !connect_file(lite, why)) /* an earlier reconnect failed */
        return NULL;
    struct statement *statement = statement_find(&lite->db.statements, sql);
    if (statement && !statement->is_busy)
        return statement;
    sqlite3_stmt *handle;
    int code = sqlite3_prepare_v3(lite->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &handle, NULL);
    if (code != SQLITE_OK) {
        sqlite_fault(lite, code, why, sql);
        return NULL;
    }
    struct statement *made = NEW(struct statement);
    made->sql = slice_dup(slice_str(sql));
    made->handle = handle;
    find_places(made);
    if (statement) { /* a cursor is open on the kept one */
        made->is_temporary = true;
        return made;
    }
    if (statements_are_many(&lite->db.statements))
        statements_drop(&lite->db.statements, statement_drop, &lite->db);
    statement_keep(&lite->db.statements, sql, made);
    return made;
}

/* Ready for the next use. */
static void statement_rest(struct statement *statement)
{
    sqlite3_reset(statement->handle);
    statement->is_busy = false;
    if (statement->is_temporary)
        statement_drop(NULL, statement);
}

static bool bind(struct sqlite_db *lite, struct statement *statement, const struct value *values, size_t width,
                 sqlite3_destructor_type keep, struct fault *why)
{
    assert(width == statement->width);
    int code = SQLITE_OK;
    for (size_t i = 0; i < width && code == SQLITE_OK; i++) {
        const struct value *value = &values[i];
        const char *bytes = value->bytes.ptr ? value->bytes.ptr : "";
        int place = statement->place[i];
        switch (value->kind) {
        case VALUE_NULL: code = sqlite3_bind_null(statement->handle, place); break;
        case VALUE_INT: code = sqlite3_bind_int64(statement->handle, place, value->number); break;
        case VALUE_TEXT:
            code = sqlite3_bind_text64(statement->handle, place, bytes, value->bytes.len, keep, SQLITE_UTF8);
            break;
        case VALUE_BYTES: code = sqlite3_bind_blob64(statement->handle, place, bytes, value->bytes.len, keep); break;
        }
    }
    return code == SQLITE_OK ? true : sqlite_fault(lite, code, why, statement->sql);
}

static bool run_once(struct sqlite_db *lite, struct statement *statement, const struct value *values, size_t width,
                     struct fault *why, int64_t *changed)
{
    if (!bind(lite, statement, values, width, SQLITE_STATIC, why))
        return false;
    int code;
    do {
        code = sqlite3_step(statement->handle);
    } while (code == SQLITE_ROW);
    if (code != SQLITE_DONE) {
        sqlite_fault(lite, code, why, statement->sql);
        sqlite3_reset(statement->handle);
        return false;
    }
    sqlite3_reset(statement->handle);
    if (changed)
        *changed = sqlite3_changes64(lite->handle);
    return true;
}

static bool sqlite_run(struct db *db, struct fault *why, const char *sql, const struct value *values, size_t width,
                       size_t rows, int64_t *changed)
{
    struct sqlite_db *lite = sqlite_of(db);
    struct statement *statement = statement_get(lite, why, sql);
    if (!statement)
        return false;
    statement->is_busy = true;
    bool ok = true;
    for (size_t i = 0; ok && i < rows; i++)
        ok = run_once(lite, statement, values + i * width, width, why, changed ? &changed[i] : NULL);
    if (ok)
        db->is_lost = false;
    sqlite3_clear_bindings(statement->handle); /* they point at the caller's bytes */
    statement_rest(statement);
    return ok;
}

static bool sqlite_query(struct db *db, struct fault *why, struct rows *rows, const char *sql,
                         const struct value *values, size_t width)
{
    struct sqlite_db *lite = sqlite_of(db);
    struct statement *statement = statement_get(lite, why, sql);
    if (!statement)
        return false;
    statement->is_busy = true;
    if (!bind(lite, statement, values, width, SQLITE_TRANSIENT, why)) {
        statement_rest(statement);
        return false;
    }
    rows->statement = statement;
    return true;
}

static bool sqlite_next(struct rows *rows)
{
    int code = sqlite3_step(rows->statement->handle);
    if (code == SQLITE_ROW)
        return true;
    if (code != SQLITE_DONE) {
        sqlite_fault(sqlite_of(rows->db), code, rows->why, rows->statement->sql);
        rows->has_failed = true;
    }
    return false;
}

static void sqlite_end(struct rows *rows)
{
    sqlite3_reset(rows->statement->handle);
    sqlite3_clear_bindings(rows->statement->handle);
    statement_rest(rows->statement);
}

static bool sqlite_query_many(struct db *db, struct fault *why, const char *sql, const struct value *values,
                              size_t width, size_t count, db_take take, void *context)
{
    for (size_t i = 0; i < count; i++) {
        SCOPED(rows) rows = {0};
        if (!db_query(db, why, &rows, sql, values + i * width, width))
            return false;
        while (rows_next(&rows))
            if (!take(context, i, &rows, why))
                return false;
        if (!rows_end(&rows))
            return false;
    }
    return true;
}

static bool sqlite_is_null(const struct rows *rows, int column)
{
    return sqlite3_column_type(rows->statement->handle, column) == SQLITE_NULL;
}

static int64_t sqlite_integer(const struct rows *rows, int column)
{
    return sqlite3_column_int64(rows->statement->handle, column);
}

static struct slice sqlite_text(const struct rows *rows, int column)
{
    const void *bytes = sqlite3_column_blob(rows->statement->handle, column);
    return slice_of(bytes, (size_t)sqlite3_column_bytes(rows->statement->handle, column));
}

/* ── transactions ── */

static bool sqlite_begin(struct db *db, struct fault *why, bool for_writing)
{
    return sqlite_run(db, why, for_writing ? "BEGIN IMMEDIATE" : "BEGIN", NO_VALUES, 1, NULL);
}

static bool sqlite_commit(struct db *db, struct fault *why)
{
    return sqlite_run(db, why, "COMMIT", NO_VALUES, 1, NULL);
}

/* A sync that failed says nothing of the next: the kernel may have dropped the pages, or believe them written. So what
 * the log says, which the kernel still has, is copied into the database, all of it, and that is synced. */
static bool sqlite_secure(struct db *db, struct fault *why)
{
    struct sqlite_db *lite = sqlite_of(db);
    int frames = 0, copied = 0;
    int code = sqlite3_wal_checkpoint_v2(lite->handle, NULL, SQLITE_CHECKPOINT_FULL, &frames, &copied);
    if (code == SQLITE_OK && frames == copied)
        return true;
    return sqlite_fault(lite, code == SQLITE_OK ? SQLITE_BUSY : code, why, "checkpoint");
}

static void sqlite_rollback(struct db *db)
{
    struct sqlite_db *lite = sqlite_of(db);
    struct fault ignored;
    bool was_lost = db->is_lost;
    if (lite->handle && !sqlite3_get_autocommit(lite->handle) && !sqlite_script(db, &ignored, "ROLLBACK"))
        was_lost = true;
    db->is_lost = was_lost;
}

/* ── opening ── */

static void disconnect(struct sqlite_db *lite)
{
    statements_drop(&lite->db.statements, statement_drop, &lite->db);
    sqlite3_close_v2(lite->handle);
    lite->handle = NULL;
}

/* Another process writes. SQLite's own waiting looks again after up to 100 ms, and misses the moment when somebody who
 * writes much takes a breath: a server would wait for seconds. */
static int wait_for_lock(void *context, int tries)
{
    struct sqlite_db *lite = context;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    if (tries == 0)
        lite->busy_since_ms = now_ms;
    lite->is_busy_said &= tries > 0;
    if (now_ms - lite->busy_since_ms > busy_most(lite))
        return 0;
    if (lite->db.patience_ms && !lite->is_busy_said && now_ms - lite->busy_since_ms >= lite->db.said_ms) {
        lite->is_busy_said = true;
        log_warn("store", "%s: another program is writing to it; waiting for it, for %lld s at most", lite->path,
                 (long long)busy_most(lite) / 1000);
    }
    const struct timespec again = {0, tries < BUSY_SOON_TRIES ? 1000000 : 10000000};
    nanosleep(&again, NULL);
    return 1;
}

/* People's data: the file is ours alone from its first moment (SQLite gives -wal and -shm the same mode). */
static bool make_file(const char *path, struct fault *why)
{
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0)
        return fault_errno(why, "store %s", path);
    close(file);
    return true;
}

static int log_has_grown(void *context, sqlite3 *handle, const char *name, int frames)
{
    checkpointer_committed(context, handle, frames);
    return SQLITE_OK;
}

/* A server's writer has somebody beside it who copies the log; a command does so itself, after a commit. */
static bool connect_checkpointer(struct sqlite_db *lite, struct fault *why)
{
    if (lite->use != DB_SERVER)
        return true;
    if (!lite->checkpointer && !(lite->checkpointer = checkpointer_start(lite->path, why)))
        return false;
    sqlite3_wal_hook(lite->handle, log_has_grown, lite->checkpointer); /* instead of SQLite's own */
    return true;
}

static bool connect_file(struct sqlite_db *lite, struct fault *why)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    int code = sqlite3_open_v2(lite->path, &lite->handle, flags, wal_vfs());
    if (code != SQLITE_OK) {
        sqlite_fault(lite, code, why, "open");
        sqlite3_close(lite->handle);
        lite->handle = NULL;
        return false;
    }
    sqlite3_busy_handler(lite->handle, wait_for_lock, lite);
    /* these two must come before the first table; later auto_vacuum would write, each time */
    static const char fresh[] = "PRAGMA page_size=4096; PRAGMA auto_vacuum=INCREMENTAL;";
    static const char writer[] = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=8000;"
                                 "PRAGMA journal_size_limit=67108864; PRAGMA cache_size=-65536;"
                                 "PRAGMA temp_store=MEMORY";
    /* another's commit empties a reader's cache, so only one long question would use more */
    static const char reader[] = "PRAGMA cache_size=-4096; PRAGMA mmap_size=67108864; PRAGMA temp_store=MEMORY;"
                                 "PRAGMA query_only=1";
    struct stat file;
    bool is_fresh = lite->use != DB_READER && stat(lite->path, &file) == 0 && file.st_size == 0;
    if ((is_fresh && !sqlite_script(&lite->db, why, fresh)) ||
        !sqlite_script(&lite->db, why, lite->use == DB_READER ? reader : writer) || !connect_checkpointer(lite, why)) {
        disconnect(lite);
        return false;
    }
    return true;
}

static bool sqlite_reconnect(struct db *db, struct fault *why)
{
    struct sqlite_db *lite = sqlite_of(db);
    if (lite->handle)
        disconnect(lite);
    if (!connect_file(lite, why))
        return false;
    db->is_lost = false;
    return true;
}

/* Our own commits do not change it. */
static bool sqlite_has_news(struct db *db)
{
    struct sqlite_db *lite = sqlite_of(db);
    int64_t seen = lite->version;
    struct fault ignored;
    return db_query_ints(db, &ignored, "PRAGMA data_version", NO_VALUES, &lite->version, 1, NULL) &&
           lite->version != seen;
}

static void sqlite_close(struct db *db)
{
    struct sqlite_db *lite = sqlite_of(db);
    checkpointer_stop(lite->checkpointer);
    disconnect(lite);
    free(lite->path);
    free(lite);
}

static const struct backend sqlite_backend = {
    .script = sqlite_script,
    .run = sqlite_run,
    .query = sqlite_query,
    .query_many = sqlite_query_many,
    .next = sqlite_next,
    .end = sqlite_end,
    .is_null = sqlite_is_null,
    .integer = sqlite_integer,
    .text = sqlite_text,
    .begin = sqlite_begin,
    .commit = sqlite_commit,
    .secure = sqlite_secure,
    .rollback = sqlite_rollback,
    .reconnect = sqlite_reconnect,
    .has_news = sqlite_has_news,
    .close = sqlite_close,
};

/* SQLite counts its memory under a global lock unless told not to, before its first use. */
static void sqlite_set_up(void)
{
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    page_cache_set_up();
    wal_vfs();
}

struct db *sqlite_db_open(const char *path, enum db_use use, struct fault *why)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, sqlite_set_up);
    if (use != DB_READER && !make_file(path, why))
        return NULL;
    struct sqlite_db *lite = NEW(struct sqlite_db);
    lite->db.backend = &sqlite_backend;
    lite->path = slice_dup(slice_str(path));
    lite->use = use;
    if (!connect_file(lite, why)) {
        checkpointer_stop(lite->checkpointer);
        free(lite->path);
        free(lite);
        return NULL;
    }
    return &lite->db;
}
