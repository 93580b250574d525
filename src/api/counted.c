#include "api/counted.h"

/* state_is_trouble as SQL: deferred, held, on_wire, in_doubt, bounced, expired */
#define IS_TROUBLE "state IN (1, 2, 3, 4, 6, 7)"

enum { SQL_MAX = 16384 };

static struct counted *row_of(struct counted *rows, size_t count, int64_t campaign_id)
{
    for (size_t i = 0; i < count; i++)
        if (rows[i].campaign_id == (uint64_t)campaign_id)
            return &rows[i];
    return NULL;
}

/* Rows of (campaign, `what`, n), summed over the nodes. Ids are numbers of ours, and may stand in the text. */
static void ask(struct buf *sql, const char *what, const char *where, const struct counted *rows, size_t count)
{
    buf_printf(sql, "SELECT campaign_id, %s, CAST(SUM(n) AS BIGINT) FROM count_total WHERE %s AND campaign_id IN (",
               what, where);
    for (size_t i = 0; i < count; i++)
        buf_printf(sql, "%s%llu", i ? "," : "", (unsigned long long)rows[i].campaign_id);
    buf_printf(sql, ") GROUP BY campaign_id, %s", what);
}

static bool load_totals(struct db *db, struct fault *why, struct counted *counted, size_t count)
{
    SCOPED(buf) sql = BUF(SQL_MAX);
    SCOPED(rows) rows = {0};
    ask(&sql, "state", "reason = -1", counted, count);
    if (!db_query(db, why, &rows, buf_cstr(&sql), NO_VALUES))
        return false;
    while (rows_next(&rows)) {
        struct counted *row = row_of(counted, count, rows_int(&rows, 0));
        int64_t state = rows_int(&rows, 1), n = rows_int(&rows, 2);
        if (row && state == REPORT_LEFT_OUT)
            row->totals.left_out += n;
        if (row && state >= 0 && state < DELIVERY_STATE_COUNT) {
            row->totals.states[state] += n;
            row->totals.accepted += n;
        }
    }
    return rows_end(&rows);
}

static bool load_faults(struct db *db, struct fault *why, struct counted *counted, size_t count)
{
    SCOPED(buf) sql = BUF(SQL_MAX);
    SCOPED(rows) rows = {0};
    ask(&sql, "whose", "reason >= 0 AND " IS_TROUBLE, counted, count);
    if (!db_query(db, why, &rows, buf_cstr(&sql), NO_VALUES))
        return false;
    while (rows_next(&rows)) {
        struct counted *row = row_of(counted, count, rows_int(&rows, 0));
        int64_t whose = rows_int(&rows, 1);
        if (row && whose >= 0 && whose < WHOSE_COUNT)
            row->faults.n[whose] += rows_int(&rows, 2);
    }
    return rows_end(&rows);
}

bool counted_load(struct db *db, struct fault *why, struct counted *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        rows[i] = (struct counted){.campaign_id = rows[i].campaign_id};
    return !count || (load_totals(db, why, rows, count) && load_faults(db, why, rows, count));
}

bool counted_by_domain(struct db *db, struct fault *why, uint64_t campaign_id,
                       void (*take)(void *context, struct slice domain, const struct counted_faults *faults),
                       void *context)
{
    struct counted_faults faults = {{0}};
    char name[256]; /* the domain that is being summed */
    size_t name_len = 0;
    SCOPED(rows) rows = {0};
    if (!db_query(
            db, why, &rows,
            "SELECT domain, whose, CAST(SUM(n) AS BIGINT) FROM count_reason WHERE campaign_id = $1 AND " IS_TROUBLE
            " GROUP BY domain, whose ORDER BY domain",
            VALUES(V_INT((int64_t)campaign_id))))
        return false;
    while (rows_next(&rows)) {
        struct slice domain = slice_head(rows_text(&rows, 0), sizeof(name));
        int64_t whose = rows_int(&rows, 1);
        if (!slice_equal(domain, slice_of(name, name_len))) {
            if (name_len)
                take(context, slice_of(name, name_len), &faults);
            faults = (struct counted_faults){{0}};
            name_len = domain.len;
            memcpy(name, domain.ptr, domain.len);
        }
        if (whose >= 0 && whose < WHOSE_COUNT)
            faults.n[whose] += rows_int(&rows, 2);
    }
    if (name_len)
        take(context, slice_of(name, name_len), &faults);
    return rows_end(&rows);
}

bool counted_givers(struct db *db, struct fault *why, uint64_t campaign_id, enum reason reason, struct arena *arena,
                    struct counted_givers *givers)
{
    int64_t most = 0;
    *givers = (struct counted_givers){0};
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows,
                  "SELECT domain, CAST(SUM(n) AS BIGINT) FROM count_reason WHERE campaign_id = $1 AND reason = $2 "
                  "AND " IS_TROUBLE " GROUP BY domain HAVING SUM(n) > 0",
                  VALUES(V_INT((int64_t)campaign_id), V_INT(reason))))
        return false;
    while (rows_next(&rows)) {
        givers->count++;
        if (rows_int(&rows, 1) > most) {
            most = rows_int(&rows, 1);
            givers->first = arena_copy(arena, rows_text(&rows, 0));
        }
    }
    return rows_end(&rows);
}
