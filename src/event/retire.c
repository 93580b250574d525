#include "event/retire.h"

#include "base/log.h"
#include <stdio.h>
#include <time.h>

bool retired_add(struct db *db, struct fault *why, uint64_t campaign_id, int state, int64_t n)
{
    return n == 0 ||
           db_do(db, why,
                 "INSERT INTO retired (campaign_id, state, n) VALUES ($1, $2, $3) ON CONFLICT (campaign_id, state) DO "
                 "UPDATE SET n = retired.n + excluded.n",
                 VALUES(V_INT((int64_t)campaign_id), V_INT(state), V_INT(n)), NULL);
}

/* ── slices ── */

_Static_assert(EVENT_ACCEPTED == 1, "as the SQL says");

struct slice_end {
    uint64_t seq; /* the last one that goes; 0: none does */
    int64_t count;
    struct event_part_sum *sums; /* of the ACCEPTED ones, not added up */
    size_t sum_count;
};

/* Every reader has read so far. */
static bool read_by_all(struct db *db, struct fault *why, unsigned bucket, uint64_t *seq)
{
    int64_t columns[2];
    if (!db_query_ints(db, why, "SELECT COUNT(*), COALESCE(MIN(seq), 0) FROM reader_cursor WHERE bucket = $1",
                       VALUES(V_INT(bucket)), columns, 2, NULL))
        return false;
    *seq = columns[0] ? (uint64_t)columns[1] : UINT64_MAX;
    return true;
}

static bool oldest_find(struct db *db, struct fault *why, unsigned bucket, time_ms before, size_t most, uint64_t known,
                        struct arena *arena, struct slice_end *end)
{
    SCOPED(rows) rows = {0};
    *end = (struct slice_end){.sums = ARENA_ARRAY(arena, struct event_part_sum, most + 1)};
    if (!db_query(db, why, &rows,
                  db_pick(db,
                          "SELECT seq, at_ms, kind, n, campaign_id FROM event WHERE bucket = $1 ORDER BY seq LIMIT $2",
                          "SELECT seq, at_ms, kind, n, campaign_id FROM event_other WHERE bucket = $1 ORDER BY seq "
                          "LIMIT $2"),
                  VALUES(V_INT(bucket), V_INT((int64_t)most))))
        return false;
    while (rows_next(&rows) && rows_int(&rows, 1) < before && (uint64_t)rows_int(&rows, 0) <= known) {
        end->seq = (uint64_t)rows_int(&rows, 0);
        end->count++;
        if (rows_int(&rows, 2) == EVENT_ACCEPTED)
            end->sums[end->sum_count++] = (struct event_part_sum){(uint64_t)rows_int(&rows, 4), rows_int(&rows, 3)};
    }
    return rows_end(&rows);
}

/* A campaign's batches stand one behind the other: mostly this is one row. */
static bool sums_keep(struct db *db, struct fault *why, const struct event_part_sum *sums, size_t count)
{
    for (size_t i = 0; i < count;) {
        uint64_t campaign = sums[i].campaign_id;
        int64_t n = 0;
        for (; i < count && sums[i].campaign_id == campaign; i++)
            n += sums[i].n;
        if (!retired_add(db, why, campaign, -1, n))
            return false;
    }
    return true;
}

bool event_retire_slice(struct db *db, struct fault *why, unsigned bucket, time_ms before, size_t most, int64_t *gone,
                        bool *has_more)
{
    SCOPED(arena) arena = {0};
    struct slice_end end;
    uint64_t known;
    *gone = 0;
    *has_more = false;
    if (!read_by_all(db, why, bucket, &known) || !oldest_find(db, why, bucket, before, most, known, &arena, &end))
        return false;
    if (!end.seq)
        return true;
    *has_more = (size_t)end.count == most;
    return sums_keep(db, why, end.sums, end.sum_count) &&
           db_do(db, why,
                 db_pick(db, "DELETE FROM event WHERE bucket = $1 AND seq <= $2",
                         "DELETE FROM event_other WHERE bucket = $1 AND seq <= $2"),
                 VALUES(V_INT(bucket), V_INT((int64_t)end.seq)), gone);
}

/* ── months ── */

static int month_of(time_ms at)
{
    time_t seconds = (time_t)(at / 1000);
    struct tm parts;
    gmtime_r(&seconds, &parts);
    return (parts.tm_year + 1900) * 100 + parts.tm_mon + 1;
}

static int month_after(int month)
{
    return month % 100 == 12 ? month + 89 : month + 1;
}

static time_ms month_begin(int month)
{
    struct tm parts = {.tm_year = month / 100 - 1900, .tm_mon = month % 100 - 1, .tm_mday = 1};
    return (time_ms)timegm(&parts) * 1000;
}

static bool part_is_there(struct db *db, struct fault *why, int month, bool *found)
{
    char name[32];
    int64_t one;
    snprintf(name, sizeof(name), "event_%06d", month);
    return db_query_ints(db, why, "SELECT 1 WHERE to_regclass($1) IS NOT NULL", VALUES(V_STR(name)), &one, 1, found);
}

/* Who has begun to read the table still knows it without the new part, and would miss what moves there, for ever: such
 * a statement ends first, and the next one begins behind our commit. Who reads for long (a backup) is not waited for:
 * everybody else would wait behind us for as long. */
static bool others_wait(struct db *db, struct fault *why, bool *is_read_for_long)
{
    int64_t one;
    return db_query_ints(db, why,
                         "SELECT 1 FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid WHERE l.relation = "
                         "to_regclass('event') AND l.pid <> pg_backend_pid() AND a.xact_start < clock_timestamp() - "
                         "INTERVAL '10 seconds' LIMIT 1",
                         NO_VALUES, &one, 1, is_read_for_long) &&
           (*is_read_for_long || db_do(db, why, "LOCK TABLE event IN ACCESS EXCLUSIVE MODE", NO_VALUES, NULL));
}

static bool part_make(struct db *db, struct fault *why, int month, bool *is_late)
{
    long long from = month_begin(month), until = month_begin(month_after(month));
    char create[96], fill[256], attach[160];
    snprintf(create, sizeof(create), "CREATE TABLE event_%06d (LIKE event INCLUDING DEFAULTS)", month);
    /* those that came before their part did */
    snprintf(fill, sizeof(fill),
             "WITH gone AS (DELETE FROM event_other WHERE at_ms >= %lld AND at_ms < %lld RETURNING *) INSERT INTO "
             "event_%06d SELECT * FROM gone",
             from, until, month);
    snprintf(attach, sizeof(attach), "ALTER TABLE event ATTACH PARTITION event_%06d FOR VALUES FROM (%lld) TO (%lld)",
             month, from, until);
    return others_wait(db, why, is_late) &&
           (*is_late || (db_do(db, why, create, NO_VALUES, NULL) && db_do(db, why, fill, NO_VALUES, NULL) &&
                         db_do(db, why, attach, NO_VALUES, NULL)));
}

bool event_parts_make(struct db *db, struct fault *why, time_ms now, unsigned ahead)
{
    int month = month_of(now);
    bool is_late = false;
    for (unsigned i = 0; db_is_postgres(db) && i <= ahead && !is_late; i++, month = month_after(month)) {
        bool found;
        if (!part_is_there(db, why, month, &found) || (!found && !part_make(db, why, month, &is_late)))
            return false;
    }
    return true;
}

static bool part_find(struct db *reader, struct fault *why, time_ms before, int *part)
{
    SCOPED(rows) rows = {0};
    *part = 0;
    if (!db_query(reader, why, &rows,
                  "SELECT CAST(substr(c.relname, 7) AS BIGINT) FROM pg_inherits i JOIN pg_class c ON c.oid = "
                  "i.inhrelid WHERE i.inhparent = to_regclass('event') AND c.relname ~ '^event_[0-9]{6}$' ORDER BY 1 "
                  "LIMIT 1",
                  NO_VALUES))
        return false;
    int oldest = rows_next(&rows) ? (int)rows_int(&rows, 0) : 0;
    if (oldest && month_begin(month_after(oldest)) <= before)
        *part = oldest;
    return rows_end(&rows);
}

bool event_part_oldest(struct db *reader, struct fault *why, time_ms before, struct arena *arena,
                       struct event_part *part)
{
    enum { SUMS_MOST = 100000 };
    SCOPED(rows) rows = {0};
    char sql[200];
    *part = (struct event_part){0};
    if (!db_is_postgres(reader))
        return true;
    if (!part_find(reader, why, before, &part->part))
        return false;
    if (!part->part)
        return true;
    snprintf(sql, sizeof(sql),
             "SELECT COALESCE(campaign_id, 0), CAST(SUM(n) AS BIGINT) FROM event_%06d WHERE kind = 1 GROUP BY "
             "COALESCE(campaign_id, 0) ORDER BY 1 LIMIT %d",
             part->part, SUMS_MOST);
    part->sums = ARENA_ARRAY(arena, struct event_part_sum, SUMS_MOST);
    if (!db_query(reader, why, &rows, sql, NO_VALUES))
        return false;
    while (part->sum_count < SUMS_MOST && rows_next(&rows))
        part->sums[part->sum_count++] = (struct event_part_sum){(uint64_t)rows_int(&rows, 0), rows_int(&rows, 1)};
    return rows_end(&rows);
}

bool event_part_drop(struct db *db, struct fault *why, const struct event_part *part)
{
    char sql[64];
    snprintf(sql, sizeof(sql), "DROP TABLE event_%06d", part->part);
    return sums_keep(db, why, part->sums, part->sum_count) && db_do(db, why, sql, NO_VALUES, NULL);
}
