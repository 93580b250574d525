/* db.c - what both back ends share: checks, the statement cache, small helpers */
#include "base/utf8.h"
#include "store/backend.h"

#include <assert.h>

/* ── the statement cache ── */

struct statement *statement_find(struct statement_cache *cache, const char *sql)
{
    struct statement *statement = id_map_get(&cache->by_pointer, (uint64_t)(uintptr_t)sql);
    if (statement && strcmp(statement->sql, sql) == 0)
        return statement;
    return map_get(&cache->by_text, slice_str(sql));
}

void statement_keep(struct statement_cache *cache, const char *sql, struct statement *statement)
{
    map_set(&cache->by_text, slice_str(sql), statement);
    id_map_set(&cache->by_pointer, (uint64_t)(uintptr_t)sql, statement);
}

void statements_drop(struct statement_cache *cache, void (*drop)(struct db *db, struct statement *statement),
                     struct db *db)
{
    size_t at = 0;
    for (struct map_entry *entry; (entry = map_walk(&cache->by_text, &at));) {
        struct statement *statement = entry->value;
        if (statement->is_busy)
            statement->is_temporary = true; /* its cursor drops it */
        else
            drop(db, statement);
    }
    map_release(&cache->by_text);
    id_map_release(&cache->by_pointer);
    cache->by_text = (struct map){0};
    cache->by_pointer = (struct id_map){0};
}

/* ── statements ── */

static bool values_check(struct fault *why, const char *sql, const struct value *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct slice text = values[i].bytes;
        if (values[i].kind != VALUE_TEXT || !text.len)
            continue;
        if (memchr(text.ptr, 0, text.len) || !utf8_is_valid(text))
            return fault_set(why, FAULT_INPUT, "store: value %zu is not UTF-8 text without NUL in \"%.80s\"", i + 1,
                             sql);
    }
    return true;
}

bool db_do(struct db *db, struct fault *why, const char *sql, const struct value *values, size_t count,
           int64_t *changed)
{
    assert(count <= DB_VALUES_MAX);
    return values_check(why, sql, values, count) && db->backend->run(db, why, sql, values, count, 1, changed);
}

bool db_do_many(struct db *db, struct fault *why, const char *sql, const struct value *values, size_t width,
                size_t rows, int64_t *changed)
{
    assert(width <= DB_VALUES_MAX);
    if (!rows)
        return true;
    return values_check(why, sql, values, width * rows) && db->backend->run(db, why, sql, values, width, rows, changed);
}

bool db_query(struct db *db, struct fault *why, struct rows *rows, const char *sql, const struct value *values,
              size_t count)
{
    assert(count <= DB_VALUES_MAX && !rows->db);
    *rows = (struct rows){.db = db, .why = why, .at = -1};
    if (values_check(why, sql, values, count) && db->backend->query(db, why, rows, sql, values, count))
        return true;
    rows->db = NULL;
    return false;
}

bool db_query_many(struct db *db, struct fault *why, const char *sql, const struct value *values, size_t width,
                   size_t rows, db_take take, void *context)
{
    assert(width <= DB_VALUES_MAX);
    if (!rows)
        return true;
    return values_check(why, sql, values, width * rows) &&
           db->backend->query_many(db, why, sql, values, width, rows, take, context);
}

bool db_query_ints(struct db *db, struct fault *why, const char *sql, const struct value *values, size_t count,
                   int64_t *out, size_t width, bool *found)
{
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows, sql, values, count))
        return false;
    bool is_there = rows_next(&rows);
    for (size_t i = 0; is_there && i < width; i++)
        out[i] = rows_int(&rows, (int)i);
    if (!rows_end(&rows))
        return false;
    if (found)
        *found = is_there;
    else if (!is_there)
        return fault_set(why, FAULT_INPUT, "store: no row for \"%.200s\"", sql);
    return true;
}

/* ── rows ── */

bool rows_next(struct rows *rows)
{
    assert(rows->db);
    return !rows->has_failed && rows->db->backend->next(rows);
}

bool rows_end(struct rows *rows)
{
    if (rows->db) {
        rows->db->backend->end(rows);
        rows->db = NULL;
    }
    return !rows->has_failed;
}

void rows_release(struct rows *rows)
{
    bool ignored = rows_end(rows);
    (void)ignored;
}

bool rows_is_null(const struct rows *rows, int column)
{
    return rows->db->backend->is_null(rows, column);
}

int64_t rows_int(const struct rows *rows, int column)
{
    return rows->db->backend->integer(rows, column);
}

struct slice rows_text(const struct rows *rows, int column)
{
    return rows->db->backend->text(rows, column);
}

/* ── the rest ── */

bool db_begin(struct db *db, struct fault *why)
{
    db->marks = 0;
    db->begun++;
    db->is_conflict = db->is_lock_timeout = db->is_broken = false;
    memset(db->counters.locked, 0, sizeof(db->counters.locked));
    db->counters.highest = 0;
    return db->backend->begin(db, why, true);
}

uint64_t db_transaction(const struct db *db)
{
    return db->begun;
}

bool db_read(struct db *db, struct fault *why)
{
    return db->backend->begin(db, why, false);
}

bool db_commit(struct db *db, struct fault *why)
{
    return db->backend->commit(db, why);
}

void db_rollback(struct db *db)
{
    db->marks = 0;
    db->backend->rollback(db);
}

bool db_is_postgres(const struct db *db)
{
    return db->backend->is_postgres;
}

bool db_is_lost(const struct db *db)
{
    return db->is_lost;
}

bool db_now(struct db *db, struct fault *why, time_ms *now)
{
    const char *sql = db_pick(db, "SELECT CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
                              "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)");
    return db_query_ints(db, why, sql, NO_VALUES, now, 1, NULL);
}

struct id_maker *db_ids(struct db *db)
{
    return db->ids;
}

void db_mark(struct db *db, unsigned marks)
{
    db->marks |= marks;
}

void db_free(struct db *db)
{
    if (db)
        db->backend->close(db);
}

struct slice db_like(struct slice text, struct arena *arena)
{
    SCOPED(buf) pattern = BUF(text.len * 2 + 2);
    buf_byte(&pattern, '%');
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '%' || text.ptr[i] == '_' || text.ptr[i] == '\\')
            buf_byte(&pattern, '\\');
        buf_byte(&pattern, text.ptr[i]);
    }
    buf_byte(&pattern, '%');
    return arena_copy(arena, buf_slice(&pattern));
}
