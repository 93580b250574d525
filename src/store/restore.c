/* restore.c - a backup becomes a store
 *
 *     file read once, believed --> old store looked at --> schema as it was --> rows --> schema as it is --> the
 *     caller's check --> SQLite: fsync, the old one keeps another name, rename
 *                        PostgreSQL: COMMIT
 *
 * Until the last step the old store is untouched; what a crash leaves of the new one is PATH.restoring, which the next
 * restore writes anew. */
#include "base/arena.h"
#include "store/backend.h"
#include "store/backup_inside.h"
#include "store/schema.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BATCH_ROWS = 256, BATCH_BYTES = 8 << 20 };

/* ── rows into tables ── */

struct load {
    struct backup_taker taker; /* first */
    struct db *db;
    struct buf insert;
    struct arena arena; /* the values that wait */
    struct value *values;
    size_t width, count, bytes;
};

static bool load_flush(struct load *load, struct fault *why)
{
    bool ok = !load->count ||
              db_do_many(load->db, why, buf_cstr(&load->insert), load->values, load->width, load->count, NULL);
    load->count = load->bytes = 0;
    arena_reset(&load->arena);
    return ok;
}

static bool load_table(struct backup_taker *taker, const struct backup_table *table, struct fault *why)
{
    struct load *load = (struct load *)taker;
    SCOPED(buf) empty = BUF(256);
    buf_text(&empty, "DELETE FROM ");
    backup_quote(&empty, table->name);
    buf_reset(&load->insert);
    buf_text(&load->insert, "INSERT INTO ");
    backup_quote(&load->insert, table->name);
    for (size_t i = 0; i < table->width; i++) {
        buf_str(&load->insert, i ? ", " : " (");
        backup_quote(&load->insert, table->columns[i].name);
    }
    for (size_t i = 0; i < table->width; i++)
        buf_printf(&load->insert, "%s$%zu", i ? ", " : ") VALUES (", i + 1);
    buf_byte(&load->insert, ')');
    load->width = table->width;
    return db_do(load->db, why, buf_cstr(&empty), NO_VALUES, NULL);
}

static bool load_row(struct backup_taker *taker, const struct value *values, struct fault *why)
{
    struct load *load = (struct load *)taker;
    struct value *to = load->values + load->count++ * load->width;
    for (size_t i = 0; i < load->width; i++) {
        to[i] = values[i];
        to[i].bytes = arena_copy(&load->arena, values[i].bytes);
        load->bytes += values[i].bytes.len;
    }
    return (load->count < BATCH_ROWS && load->bytes < BATCH_BYTES) || load_flush(load, why);
}

static bool load_end(struct backup_taker *taker, struct fault *why)
{
    return load_flush((struct load *)taker, why);
}

/* All of it, inside the caller's transaction, on a connection whose schema holds nothing. */
static bool load_all(struct db *db, int file, const struct seal_key *key, struct restore *restore,
                     struct backup_facts *facts, struct fault *why)
{
    struct load load = {.taker = {load_table, load_row, load_end}, .db = db, .insert = BUF(16384)};
    struct id_maker ids = {.node = store_command_node()};
    unsigned schema = (unsigned)facts->head.schema;
    load.values = NEW_ARRAY(struct value, (size_t)BATCH_ROWS * BACKUP_COLUMNS_MAX);
    db->ids = &ids;
    bool ok = schema_reach(db, why, schema) && backup_walk(file, key, &load.taker, restore->watch, facts, why) &&
              schema_reach(db, why, schema_file_count) && store_floor_ids(db, why, &ids) &&
              (!restore->check || restore->check(restore->context, db, why));
    db->ids = NULL;
    buf_release(&load.insert);
    arena_release(&load.arena);
    free(load.values);
    return ok;
}

/* ── what is there already ── */

static bool table_holds(struct db *db, struct fault *why, const char *name, bool *holds)
{
    SCOPED(buf) sql = BUF(256);
    int64_t one;
    bool is_there;
    *holds = false;
    if (!db_query_ints(db, why,
                       db_pick(db, "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = $1",
                               "SELECT 1 WHERE to_regclass($1) IS NOT NULL"),
                       VALUES(V_STR(name)), &one, 1, &is_there) ||
        !is_there)
        return !is_there;
    buf_text(&sql, "SELECT 1 FROM ");
    backup_quote(&sql, name);
    buf_text(&sql, " LIMIT 1");
    return db_query_ints(db, why, buf_cstr(&sql), NO_VALUES, &one, 1, holds);
}

/* Does it hold anything that somebody would miss? A server that was only started has secrets and leases. */
static bool store_holds(struct db *db, struct fault *why, bool *holds)
{
    static const char *const tables[] = {"brand",       "list",     "contact", "content_version", "campaign",
                                         "access_key",  "delivery", "message", "event",           "inbound",
                                         "suppression", "hook",     "mailbox", "source"};
    *holds = false;
    for (size_t i = 0; i < COUNT_OF(tables) && !*holds; i++)
        if (!table_holds(db, why, tables[i], holds))
            return false;
    return true;
}

static bool may_replace(struct db *db, const struct restore *restore, bool *holds, struct fault *why)
{
    return store_holds(db, why, holds) &&
           (!*holds || restore->may_replace ||
            fault_set(why, FAULT_INPUT, "the store is not empty: --force puts the backup in its place"));
}

/* ── SQLite ── */

struct paths {
    const char *now;
    char next[4200], folder[4200];
};

static bool paths_of(const char *where, struct paths *paths, struct fault *why)
{
    const char *slash = strrchr(where, '/');
    paths->now = where;
    if (strlen(where) > 4000)
        return fault_set(why, FAULT_INPUT, "store: path too long");
    snprintf(paths->next, sizeof(paths->next), "%s.restoring", where);
    snprintf(paths->folder, sizeof(paths->folder), "%.*s", slash ? (int)(slash - where + 1) : 1, slash ? where : ".");
    return true;
}

static bool flush_path(const char *path, struct fault *why)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    bool ok = file >= 0 && fsync(file) == 0;
    if (!ok)
        fault_errno(why, "%s", path);
    if (file >= 0)
        close(file);
    return ok;
}

/* Nobody else sees this file, and nobody misses it: no journal, one fsync at the end. */
static bool file_fill(const char *path, int file, const struct seal_key *key, struct restore *restore,
                      struct backup_facts *facts, struct fault *why)
{
    unlink(path);
    struct db *db = sqlite_db_open(path, DB_WRITER, why);
    if (!db)
        return false;
    bool ok = db->backend->script(db, why,
                                  "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-262144; PRAGMA "
                                  "locking_mode=EXCLUSIVE") &&
              db_begin(db, why) && load_all(db, file, key, restore, facts, why) && db_commit(db, why);
    db_free(db);
    return ok && flush_path(path, why);
}

/* Out of WAL: that is possible only when nobody else has the file open, and leaves no log behind that would be taken
 * for the new one's. */
static bool stand_alone(struct db *db, const char *path, struct fault *why)
{
    SCOPED(rows) rows = {0};
    bool is_alone = false;
    struct fault busy;
    if (db_query(db, &busy, &rows, "PRAGMA journal_mode=DELETE", NO_VALUES) && rows_next(&rows))
        is_alone = slice_equal(rows_text(&rows, 0), SLICE("delete"));
    return (rows_end(&rows) && is_alone) ||
           fault_set(why, FAULT_INPUT, "store %s: another program has it open; let it end first", path);
}

/* The old file's other name; then the new one takes its place, while nobody can look at the old one. */
static bool change_places(struct db *old, const struct paths *paths, struct restore *restore, struct fault *why)
{
    if (!stand_alone(old, paths->now, why) || !old->backend->script(old, why, "BEGIN EXCLUSIVE"))
        return false;
    long long now = (long long)time(NULL);
    do {
        snprintf(restore->kept, sizeof(restore->kept), "%s.before-restore-%lld", paths->now, now++);
    } while (link(paths->now, restore->kept) != 0 && errno == EEXIST);
    struct stat kept;
    if (stat(restore->kept, &kept) != 0)
        return fault_errno(why, "store %s: the old one cannot be kept as %s", paths->now, restore->kept);
    return rename(paths->next, paths->now) == 0 || fault_errno(why, "store %s", paths->now);
}

static bool restore_sqlite(const char *where, int file, const struct seal_key *key, struct restore *restore,
                           struct backup_facts *facts, struct fault *why)
{
    struct paths paths;
    struct stat there;
    int lock = -1;
    bool holds = false;
    struct db *old = NULL;
    if (!paths_of(where, &paths, why) || !store_serve_lock(where, &lock, why))
        return false;
    bool ok = true, is_there = stat(where, &there) == 0 && there.st_size > 0;
    if (is_there) {
        old = sqlite_db_open(where, DB_WRITER, why);
        ok = old && may_replace(old, restore, &holds, why);
        db_free(old); /* not kept open while the new one is filled: that takes long */
        old = NULL;
    }
    ok = ok && file_fill(paths.next, file, key, restore, facts, why);
    if (ok && is_there) {
        old = sqlite_db_open(where, DB_WRITER, why);
        ok = old && may_replace(old, restore, &holds, why) && change_places(old, &paths, restore, why);
    } else if (ok) {
        ok = rename(paths.next, where) == 0 || fault_errno(why, "store %s", where);
    }
    if (old)
        db_rollback(old);
    db_free(old);
    if (ok && restore->kept[0] && !holds) { /* there was nothing in it */
        unlink(restore->kept);
        restore->kept[0] = 0;
    }
    if (!ok)
        unlink(paths.next);
    ok = ok && flush_path(paths.folder, why);
    close(lock);
    return ok;
}

/* ── PostgreSQL ── */

bool store_is_idle(struct db *db, struct fault *why)
{
    int64_t node = 0;
    bool found = false, there;
    time_ms now;
    if (!table_holds(db, why, "node", &there) || !db_now(db, why, &now))
        return false;
    if (there && !db_query_ints(db, why, "SELECT node FROM node WHERE until_ms > $1 ORDER BY node LIMIT 1",
                                VALUES(V_INT(now)), &node, 1, &found))
        return false;
    return !found ||
           fault_set(why, FAULT_INPUT, "the store is in use: node %lld lives; stop its server first", (long long)node);
}

struct dropping {
    struct db *db;
    struct fault *why;
};

static bool table_drop(void *context, struct slice name)
{
    struct dropping *dropping = context;
    SCOPED(buf) sql = BUF(256);
    buf_printf(&sql, "DROP TABLE IF EXISTS \"%.*s\" CASCADE", SLICE_ARG(name));
    return dropping->db->backend->script(dropping->db, dropping->why, buf_cstr(&sql));
}

static bool fill_database(struct db *db, int file, const struct seal_key *key, struct restore *restore,
                          struct backup_facts *facts, struct fault *why)
{
    struct dropping dropping = {db, why};
    bool holds;
    return db->backend->script(db, why, "SET LOCAL idle_in_transaction_session_timeout = '10min'") &&
           db->backend->script(db, why, "SELECT pg_advisory_xact_lock(8412110)") && store_is_idle(db, why) &&
           may_replace(db, restore, &holds, why) && schema_tables(table_drop, &dropping) &&
           table_drop(&dropping, SLICE("schema_version")) && load_all(db, file, key, restore, facts, why);
}

static bool restore_postgres(const char *where, int file, const struct seal_key *key, struct restore *restore,
                             struct backup_facts *facts, struct fault *why)
{
    struct db *db = postgres_db_open(where, DB_WRITER, why);
    if (!db)
        return false;
    bool ok = db_begin(db, why) && fill_database(db, file, key, restore, facts, why) && db_commit(db, why);
    if (!ok)
        db_rollback(db);
    db_free(db);
    return ok;
}

bool backup_restore(int file, const struct seal_key *key, struct restore *restore, struct backup_facts *facts,
                    struct fault *why)
{
    struct store_place place = {0};
    restore->kept[0] = 0;
    if (!store_place_read(restore->store, &place, why))
        return false;
    bool ok = backup_read(file, key, restore->watch, facts, why) &&
              (place.is_postgres ? restore_postgres : restore_sqlite)(place.where, file, key, restore, facts, why);
    free(place.where);
    return ok;
}
