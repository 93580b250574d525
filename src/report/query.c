#include "report/report.h"

#include "base/id.h"
#include "report/fold.h"
#include <assert.h>

static void totals_add(struct report_totals *totals, int64_t state, int64_t n)
{
    if (state == REPORT_LEFT_OUT)
        totals->left_out += n;
    if (state < 0 || state >= DELIVERY_STATE_COUNT)
        return;
    totals->states[state] += n;
    totals->accepted += n;
}

/* The statement for one campaign, or for all (0): $1 is the campaign in both. One for both would be no use to an index.
 */
#define OF_CAMPAIGN(campaign_id, select, tail)                                                                         \
    ((campaign_id) ? select " AND campaign_id = $1" tail : select " AND $1 = 0" tail)

bool report_totals(struct db *db, struct fault *why, uint64_t campaign_id, struct report_totals *totals)
{
    *totals = (struct report_totals){0};
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows,
                  OF_CAMPAIGN(campaign_id, "SELECT state, CAST(SUM(n) AS BIGINT) FROM count_total WHERE reason = -1",
                              " GROUP BY state"),
                  VALUES(V_INT((int64_t)campaign_id))))
        return false;
    while (rows_next(&rows))
        totals_add(totals, rows_int(&rows, 0), rows_int(&rows, 1));
    return rows_end(&rows);
}

bool report_owes(struct db *db, struct fault *why, uint64_t campaign_id, unsigned *bucket, bool *owes)
{
    for (unsigned seen = 0; seen < ID_BUCKETS; seen++) {
        int64_t one;
        *bucket %= ID_BUCKETS;
        if (!db_query_ints(db, why,
                           "SELECT 1 FROM count_state WHERE bucket = $1 AND campaign_id = $2 AND state >= 0 AND state "
                           "<= $3 AND n > 0 LIMIT 1",
                           VALUES(V_INT(*bucket), V_INT((int64_t)campaign_id), V_INT(DELIVERY_IN_DOUBT)), &one, 1,
                           owes))
            return false;
        if (*owes)
            return true;
        ++*bucket;
    }
    return true;
}

/* Most accepted first, then by name; those that a fold has put together are no receiver, and come last. */
static int most_first(const void *a, const void *b)
{
    const struct report_domain *left = a, *right = b;
    bool left_is_rest = slice_equal(left->domain, SLICE(FOLD_OTHERS)),
         right_is_rest = slice_equal(right->domain, SLICE(FOLD_OTHERS));
    if (left_is_rest != right_is_rest)
        return left_is_rest ? 1 : -1;
    if (left->totals.accepted != right->totals.accepted)
        return left->totals.accepted < right->totals.accepted ? 1 : -1;
    return slice_compare(left->domain, right->domain);
}

enum { DOMAINS_MAX = 100000 };

bool report_by_domain(struct db *db, struct fault *why, uint64_t campaign_id, size_t limit, struct arena *arena,
                      struct report_domain **domains, size_t *count)
{
    SCOPED(rows) rows = {0};
    size_t room = 64, found = 0;
    struct report_domain *all = NEW_ARRAY(struct report_domain, room);
    *count = 0;
    if (!db_query(db, why, &rows,
                  OF_CAMPAIGN(campaign_id, "SELECT domain, state, CAST(SUM(n) AS BIGINT) FROM count_state WHERE TRUE",
                              " GROUP BY domain, state ORDER BY domain, state"),
                  VALUES(V_INT((int64_t)campaign_id)))) {
        free(all);
        return false;
    }
    while (rows_next(&rows) && found < DOMAINS_MAX) {
        struct slice domain = rows_text(&rows, 0);
        if (!found || !slice_equal(all[found - 1].domain, domain)) {
            if (found == room)
                all = memory_resize(all, room *= 2, sizeof(*all));
            all[found++] = (struct report_domain){.domain = arena_copy(arena, domain)};
        }
        totals_add(&all[found - 1].totals, rows_int(&rows, 1), rows_int(&rows, 2));
    }
    qsort(all, found, sizeof(*all), most_first);
    *count = found < limit ? found : limit;
    *domains = ARENA_ARRAY(arena, struct report_domain, *count + 1);
    memcpy(*domains, all, *count * sizeof(*all));
    free(all);
    return rows_end(&rows);
}

static int reason_most_first(const void *a, const void *b)
{
    const struct report_reason *left = a, *right = b;
    if (left->n != right->n)
        return left->n < right->n ? 1 : -1;
    return (int)left->reason - (int)right->reason;
}

bool report_by_reason(struct db *db, struct fault *why, uint64_t campaign_id, struct slice domain, struct arena *arena,
                      struct report_reason **reasons, size_t *count)
{
    SCOPED(rows) rows = {0};
    struct report_reason *table = ARENA_ARRAY(arena, struct report_reason, REASON_COUNT * WHOSE_COUNT);
    *count = 0;
#define BY_REASON(from) "SELECT reason, whose, state, CAST(SUM(n) AS BIGINT) FROM " from
    const char *sql = domain.len ? OF_CAMPAIGN(campaign_id, BY_REASON("count_reason WHERE domain = $2"),
                                               " GROUP BY reason, whose, state")
                                 : OF_CAMPAIGN(campaign_id, BY_REASON("count_total WHERE reason >= 0 AND $2 = ''"),
                                               " GROUP BY reason, whose, state");
    if (!db_query(db, why, &rows, sql, VALUES(V_INT((int64_t)campaign_id), V_TEXT(domain))))
        return false;
    while (rows_next(&rows)) {
        int64_t reason = rows_int(&rows, 0), whose = rows_int(&rows, 1), state = rows_int(&rows, 2);
        if (reason < 0 || reason >= REASON_COUNT || whose < 0 || whose >= WHOSE_COUNT || state < 0 ||
            state >= DELIVERY_STATE_COUNT)
            continue;
        struct report_reason *row = &table[reason * WHOSE_COUNT + whose];
        row->reason = (enum reason)reason;
        row->whose = (enum whose_fault)whose;
        row->states[state] += rows_int(&rows, 3);
        row->n += rows_int(&rows, 3);
    }
    for (size_t i = 0; i < REASON_COUNT * WHOSE_COUNT; i++)
        if (table[i].n)
            table[(*count)++] = table[i];
    qsort(table, *count, sizeof(*table), reason_most_first);
    *reasons = table;
    return rows_end(&rows);
}

bool report_left_out(struct db *db, struct fault *why, uint64_t campaign_id, struct arena *arena,
                     struct report_left_out **rows_out, size_t *count)
{
    enum { LEFT_OUT_MAX = 64 };
    SCOPED(rows) rows = {0};
    struct report_left_out *table = ARENA_ARRAY(arena, struct report_left_out, LEFT_OUT_MAX);
    *count = 0;
    if (!db_query(db, why, &rows,
                  OF_CAMPAIGN(campaign_id, "SELECT COALESCE(note, ''), COUNT(*) FROM event WHERE kind = 2",
                              " GROUP BY note ORDER BY 2 DESC LIMIT 64"),
                  VALUES(V_INT((int64_t)campaign_id))))
        return false;
    while (*count < LEFT_OUT_MAX && rows_next(&rows)) {
        table[*count] = (struct report_left_out){arena_copy(arena, rows_text(&rows, 0)), rows_int(&rows, 1)};
        (*count)++;
    }
    *rows_out = table;
    return rows_end(&rows);
}

/* ── the audit ── */

static bool audit_rows(struct db *db, struct fault *why, uint64_t campaign_id, struct report_audit *audit)
{
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows,
                  OF_CAMPAIGN(campaign_id, "SELECT state, COUNT(*) FROM delivery WHERE TRUE", " GROUP BY state"),
                  VALUES(V_INT((int64_t)campaign_id))))
        return false;
    while (rows_next(&rows)) {
        int64_t state = rows_int(&rows, 0), n = rows_int(&rows, 1);
        if (state >= 0 && state < DELIVERY_STATE_COUNT)
            audit->rows[state] = n;
        audit->rows_sum += n;
    }
    return rows_end(&rows);
}

/* Those that went because they were too old (event/retire.h) count as ever. */
static bool audit_retired(struct db *db, struct fault *why, uint64_t campaign_id, struct report_audit *audit)
{
    SCOPED(rows) rows = {0};
    if (!db_query(
            db, why, &rows,
            OF_CAMPAIGN(campaign_id, "SELECT state, CAST(SUM(n) AS BIGINT) FROM retired WHERE TRUE", " GROUP BY state"),
            VALUES(V_INT((int64_t)campaign_id))))
        return false;
    while (rows_next(&rows)) {
        int64_t state = rows_int(&rows, 0), n = rows_int(&rows, 1);
        if (state < 0)
            audit->accepted += n;
        if (state >= 0 && state < DELIVERY_STATE_COUNT) {
            audit->rows[state] += n;
            audit->rows_sum += n;
        }
    }
    return rows_end(&rows);
}

static bool audit_count(struct db *db, struct fault *why, uint64_t campaign_id, struct report_audit *audit)
{
    struct report_totals totals;
    if (!audit_rows(db, why, campaign_id, audit) || !report_totals(db, why, campaign_id, &totals) ||
        !event_reader_lag(db, why, REPORT_READER, &audit->lag))
        return false;
    memcpy(audit->counters, totals.states, sizeof(audit->counters));
    audit->counters_sum = totals.accepted;
    audit->left_out = totals.left_out;
    return db_query_ints(db, why,
                         "SELECT CAST(COALESCE(SUM(n), 0) AS BIGINT) FROM event WHERE kind = 1 AND (campaign_id = $1 "
                         "OR $1 = 0)",
                         VALUES(V_INT((int64_t)campaign_id)), &audit->accepted, 1, NULL) &&
           audit_retired(db, why, campaign_id, audit);
}

/* A mark writes no event: for the counters what is on the wire is still what it was, so owed states agree by their sum.
 */
static bool counters_agree(const struct report_audit *audit)
{
    int64_t owed_rows = 0, owed_counters = 0;
    for (unsigned state = 0; state < DELIVERY_STATE_COUNT; state++) {
        if (delivery_is_owed(state)) {
            owed_rows += audit->rows[state];
            owed_counters += audit->counters[state];
        } else if (audit->rows[state] != audit->counters[state])
            return false;
    }
    return owed_rows == owed_counters;
}

bool report_audit_within(struct db *db, struct fault *why, uint64_t campaign_id, struct report_audit *audit)
{
    *audit = (struct report_audit){0};
    bool ok = audit_count(db, why, campaign_id, audit);
    audit->agrees = ok && audit->accepted == audit->rows_sum && (audit->lag || counters_agree(audit));
    return ok;
}

bool report_audit(struct db *db, struct fault *why, uint64_t campaign_id, struct report_audit *audit)
{
    if (!db_read(db, why))
        return false;
    bool ok = report_audit_within(db, why, campaign_id, audit);
    db_rollback(db);
    return ok;
}

void report_audit_write(struct json *json, const struct report_audit *audit)
{
    json_object_begin(json);
    json_put_int(json, "accepted", audit->accepted);
    json_put_int(json, "sum", audit->rows_sum);
    json_put_int(json, "left_out", audit->left_out);
    json_put_int(json, "lag", (int64_t)audit->lag);
    json_put_bool(json, "agrees", audit->agrees);
    for (int side = 0; side < 2; side++) {
        json_key_slice(json, side ? SLICE("counters") : SLICE("rows"));
        json_object_begin(json);
        for (int state = 0; state < DELIVERY_STATE_COUNT; state++) {
            json_key_slice(json, delivery_word((enum delivery_state)state));
            json_int(json, side ? audit->counters[state] : audit->rows[state]);
        }
        json_end(json);
    }
    json_end(json);
}
