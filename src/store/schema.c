#include "store/schema.h"

#include "base/log.h"
#include "store/backend.h"

enum { SCHEMA_BYTES_MAX = 1 << 20 };

void schema_text(struct slice text, bool is_postgres, struct buf *out)
{
    struct slice mine = is_postgres ? SLICE("--postgres ") : SLICE("--sqlite ");
    struct slice theirs = is_postgres ? SLICE("--sqlite ") : SLICE("--postgres ");
    struct slice line;
    while (slice_line(&text, &line)) {
        if (slice_starts(line, theirs))
            continue;
        buf_append(out, slice_starts(line, mine) ? slice_from(line, mine.len) : line);
        buf_byte(out, '\n');
    }
}

/* The newest version in the store; 0 for an empty one. */
static bool version_read(struct db *db, struct fault *why, int64_t *version)
{
    if (!db->backend->script(db, why,
                             "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY, name TEXT NOT "
                             "NULL, applied_ms BIGINT NOT NULL)"))
        return false;
    return db_query_ints(db, why, "SELECT COALESCE(MAX(version), 0) FROM schema_version", NO_VALUES, version, 1, NULL);
}

static bool apply(struct db *db, struct fault *why, const struct schema_file *file, time_ms now)
{
    SCOPED(buf) sql = BUF(SCHEMA_BYTES_MAX);
    schema_text(file->text, db_is_postgres(db), &sql);
    const char *text = buf_cstr(&sql);
    if (!db->backend->script(db, why, text))
        return fault_prefix(why, "schema %s: ", file->name);
    return db_do(db, why, "INSERT INTO schema_version (version, name, applied_ms) VALUES ($1, $2, $3)",
                 VALUES(V_INT(file->version), V_STR(file->name), V_INT(now)), NULL);
}

bool schema_reach(struct db *db, struct fault *why, unsigned newest)
{
    int64_t version;
    time_ms now;
    if (!version_read(db, why, &version) || !db_now(db, why, &now))
        return false;
    if (version > (int64_t)schema_file_count)
        return fault_set(why, FAULT_INPUT,
                         "the store has schema %lld, this program knows only up to %u: use a newer todoke (nothing was "
                         "changed)",
                         (long long)version, schema_file_count);
    for (unsigned i = (unsigned)version; i < newest && i < schema_file_count; i++) {
        if (!apply(db, why, &schema_files[i], now))
            return false;
        if (version > 0)
            log_info("store", "schema migrated by %s", schema_files[i].name);
    }
    return true;
}

bool schema_version(struct db *db, struct fault *why, int64_t *version)
{
    bool found = false;
    const char *there = db_pick(db, "SELECT 1 FROM sqlite_schema WHERE name = 'schema_version'",
                                "SELECT 1 WHERE to_regclass('schema_version') IS NOT NULL");
    *version = 0;
    if (!db_query_ints(db, why, there, NO_VALUES, version, 1, &found))
        return false;
    *version = 0;
    return !found ||
           db_query_ints(db, why, "SELECT COALESCE(MAX(version), 0) FROM schema_version", NO_VALUES, version, 1, NULL);
}

/* Most openings find the schema as it should be: see so without taking the write lock. */
static bool is_current(struct db *db)
{
    struct fault ignored;
    int64_t version;
    return schema_version(db, &ignored, &version) && version == (int64_t)schema_file_count;
}

bool schema_tables(bool (*take)(void *context, struct slice name), void *context)
{
    static const struct slice make = SLICE_INIT("CREATE TABLE ");
    for (unsigned i = 0; i < schema_file_count; i++) {
        struct slice text = schema_files[i].text, line;
        while (slice_line(&text, &line)) {
            ptrdiff_t at = slice_find(line, make);
            if (at != 0 && !slice_starts(line, SLICE("--sqlite CREATE")) &&
                !slice_starts(line, SLICE("--postgres CREATE")))
                continue;
            if (at == SLICE_NPOS)
                continue;
            struct slice name = slice_from(line, (size_t)at + make.len);
            ptrdiff_t end = slice_find_byte(name, ' ');
            if (!take(context, slice_head(name, end == SLICE_NPOS ? name.len : (size_t)end)))
                return false;
        }
    }
    return true;
}

static bool is_other(void *context, struct slice name)
{
    return !slice_equal(*(struct slice *)context, name);
}

bool schema_has_table(struct slice name)
{
    return !schema_tables(is_other, &name);
}

bool schema_migrate(struct db *db, struct fault *why)
{
    if (is_current(db))
        return true;
    if (!db_begin(db, why))
        return false;
    /* two nodes that start together: the second waits here and then finds nothing to do */
    bool ok = !db_is_postgres(db) || db->backend->script(db, why, "SELECT pg_advisory_xact_lock(8412110)");
    if (ok && schema_reach(db, why, schema_file_count) && db_commit(db, why))
        return true;
    db_rollback(db);
    return false;
}
