/* report.c - the reader that keeps count_state and count_reason, and count_total, what they add up to
 *
 * A batch of events becomes differences (a map of counter -> change, for the first two and for the third), and the
 * differences that are not 0 become one statement for each table. A delivery counts under its latest reason (deferred,
 * bounced or expired events carry one) in the state it is in now: so an event takes it out of (reason before, state
 * before) and puts it into (reason now, state after). The reason before is asked of the event table, and only where
 * there can be one. */
#include "report/report.h"

#include "base/map.h"
#include "report/engaged.h"

#include <assert.h>
#include <stdatomic.h>

enum { RING = 64, INTERVAL_MS = 200, BUSY_INTERVAL_MS = 1000, DOMAIN_MAX = 512 };

struct ring_second {
    _Atomic int64_t second;
    _Atomic uint32_t counts[EVENT_KIND_END];
};
struct report {
    struct event_follower *follower;
    void (*after_change)(void *context);
    void *context;
    /* of the batch that runs: joins the ring when it is committed */
    struct {
        int64_t second;
        uint32_t counts[EVENT_KIND_END];
    } fresh[RING];
    struct ring_second ring[RING];
};

/* ── differences ── */

struct difference {
    unsigned bucket;
    uint64_t campaign_id;
    struct slice domain;
    int state, reason, whose; /* reason -1: of count_state */
    int64_t n;
};
struct differences {
    struct arena arena;
    struct map by_key, totals; /* totals: bucket 0, no domain */
};

static void differ_in(struct map *map, struct arena *arena, const struct difference *what, int64_t n)
{
    char key[32 + DOMAIN_MAX];
    int64_t numbers[2] = {(int64_t)what->campaign_id, (int64_t)what->bucket << 32 | (what->state + 1) << 16 |
                                                          (what->reason + 1) << 8 | what->whose};
    memcpy(key, numbers, sizeof(numbers));
    if (what->domain.len)
        memcpy(key + sizeof(numbers), what->domain.ptr, what->domain.len);
    struct slice whole = slice_of(key, sizeof(numbers) + what->domain.len);
    struct difference *difference = map_get(map, whole);
    if (!difference) {
        difference = ARENA_NEW(arena, struct difference);
        *difference = *what;
        map_set(map, whole, difference);
    }
    difference->n += n;
}

static void differ(struct differences *differences, const struct event *event, int state, int reason, int whose,
                   int64_t n)
{
    struct difference what = {.bucket = id_bucket(event->id), /* wherever it stands (event/event.h) */
                              .campaign_id = event->campaign_id,
                              .domain = slice_head(event->domain, DOMAIN_MAX),
                              .state = state,
                              .reason = reason,
                              .whose = whose};
    differ_in(&differences->by_key, &differences->arena, &what, n);
    what.bucket = 0;
    what.domain = (struct slice){0};
    differ_in(&differences->totals, &differences->arena, &what, n);
}

static bool totals_write(struct db *db, struct fault *why, struct differences *differences)
{
    enum { WIDTH = 6 };
    struct value *values = ARENA_ARRAY(&differences->arena, struct value, differences->totals.count * WIDTH + 1);
    size_t rows = 0, at = 0;
    for (struct map_entry *entry; (entry = map_walk(&differences->totals, &at));) {
        const struct difference *total = entry->value;
        if (!total->n)
            continue;
        struct value *row = &values[rows++ * WIDTH];
        row[0] = V_INT((int64_t)total->campaign_id);
        row[1] = V_INT(db_ids(db)->node);
        row[2] = V_INT(total->state);
        row[3] = V_INT(total->reason);
        row[4] = V_INT(total->whose);
        row[5] = V_INT(total->n);
    }
    return db_do_many(db, why,
                      "INSERT INTO count_total (campaign_id, node, state, reason, whose, n) VALUES ($1, $2, $3, $4, "
                      "$5, $6) ON CONFLICT (campaign_id, node, state, reason, whose) DO UPDATE SET n = count_total.n + "
                      "excluded.n",
                      values, WIDTH, rows, NULL);
}

static bool differences_write(struct db *db, struct fault *why, struct differences *differences)
{
    size_t room = differences->by_key.count, states = 0, reasons = 0, at = 0;
    struct value *by_state = ARENA_ARRAY(&differences->arena, struct value, room * 5 + 1);
    struct value *by_reason = ARENA_ARRAY(&differences->arena, struct value, room * 7 + 1);
    for (struct map_entry *entry; (entry = map_walk(&differences->by_key, &at));) {
        const struct difference *difference = entry->value;
        if (!difference->n)
            continue;
        bool is_reason = difference->reason >= 0;
        struct value *row = is_reason ? &by_reason[reasons++ * 7] : &by_state[states++ * 5];
        row[0] = V_INT(difference->bucket);
        row[1] = V_INT((int64_t)difference->campaign_id);
        row[2] = V_TEXT(difference->domain);
        row[3] = V_INT(difference->state);
        row[4] = V_INT(difference->n);
        if (is_reason) {
            row[5] = V_INT(difference->reason);
            row[6] = V_INT(difference->whose);
        }
    }
    return db_do_many(db, why,
                      "INSERT INTO count_state (bucket, campaign_id, domain, state, n) VALUES ($1, $2, $3, $4, $5) ON "
                      "CONFLICT (bucket, campaign_id, domain, state) DO UPDATE SET n = count_state.n + excluded.n",
                      by_state, 5, states, NULL) &&
           db_do_many(db, why,
                      "INSERT INTO count_reason (bucket, campaign_id, domain, state, n, reason, whose) VALUES ($1, $2, "
                      "$3, $4, $5, $6, $7) ON CONFLICT (bucket, campaign_id, domain, reason, whose, state) DO UPDATE "
                      "SET n = count_reason.n + excluded.n",
                      by_reason, 7, reasons, NULL);
}

/* ── the reason before ── */

static bool is_move(const struct event *event)
{
    return event->delivery_id && event->kind != EVENT_OPENED && event->kind != EVENT_CLICKED &&
           event->kind != EVENT_DOWNLOADED && event->state_before < DELIVERY_STATE_COUNT &&
           event->state_after < DELIVERY_STATE_COUNT;
}

/* At its first attempt a delivery has no reason yet: most events need not ask. */
static bool may_have_reason(const struct event *event)
{
    return is_move(event) && !(event->state_before == DELIVERY_WAITING && event->attempt == 1);
}

static bool has_reason(const struct event *event)
{
    return event->kind == EVENT_DEFERRED || event->kind == EVENT_BOUNCED || event->kind == EVENT_EXPIRED;
}

struct before {
    int reason, whose; /* reason -1: none */
};
struct asking {
    struct before *before;
    const size_t *which; /* statement -> event */
};

static bool before_take(void *context, size_t index, const struct rows *row, struct fault *why)
{
    struct asking *asking = context;
    int64_t reason = rows_int(row, 0), whose = rows_int(row, 1);
    bool is_known = reason >= 0 && reason < REASON_COUNT && whose >= 0 && whose < WHOSE_COUNT;
    asking->before[asking->which[index]] = is_known ? (struct before){(int)reason, (int)whose} : (struct before){0, 0};
    return true;
}

static bool reasons_before(struct db *db, struct fault *why, const struct event *events, size_t count,
                           struct arena *arena, struct before *before)
{
    size_t *which = ARENA_ARRAY(arena, size_t, count);
    struct value *values = ARENA_ARRAY(arena, struct value, count * 3);
    size_t rows = 0;
    for (size_t i = 0; i < count; i++) {
        before[i] = (struct before){-1, 0};
        if (!may_have_reason(&events[i]))
            continue;
        values[rows * 3] = V_INT(id_bucket(events[i].delivery_id));
        values[rows * 3 + 1] = V_INT((int64_t)events[i].delivery_id);
        values[rows * 3 + 2] = V_INT((int64_t)events[i].seq);
        which[rows++] = i;
    }
    struct asking asking = {before, which};
#define REASON_BEFORE                                                                                                  \
    "WHERE bucket = $1 AND delivery_id = $2 AND seq < $3 AND ((393226 >> kind) & 1) = 0 AND kind IN (4, 5, 6) ORDER "  \
    "BY seq DESC LIMIT 1"
    /* left to itself, SQLite walks back through the whole bucket by its primary key */
    return db_query_many(db, why,
                         db_pick(db, "SELECT reason, whose FROM event INDEXED BY event_delivery " REASON_BEFORE,
                                 "SELECT reason, whose FROM event " REASON_BEFORE),
                         values, 3, rows, before_take, &asking);
}

/* ── the sink ── */

static void count_event(struct differences *differences, const struct event *event, const struct before *before)
{
    if (event->kind == EVENT_ACCEPTED) {
        differ(differences, event, DELIVERY_WAITING, -1, 0, event->n ? event->n : 1);
        return;
    }
    if (event->kind == EVENT_LEFT_OUT) {
        differ(differences, event, REPORT_LEFT_OUT, -1, 0, 1);
        return;
    }
    if (!is_move(event))
        return;
    differ(differences, event, (int)event->state_before, -1, 0, -1);
    differ(differences, event, (int)event->state_after, -1, 0, 1);
    if (before->reason >= 0)
        differ(differences, event, (int)event->state_before, before->reason, before->whose, -1);
    if (has_reason(event))
        differ(differences, event, (int)event->state_after, (int)event->verdict.reason, (int)event->verdict.whose, 1);
    else if (before->reason >= 0)
        differ(differences, event, (int)event->state_after, before->reason, before->whose, 1);
}

static void tally_rates(struct report *report, const struct event *events, size_t count)
{
    memset(report->fresh, 0, sizeof(report->fresh));
    for (size_t i = 0; i < count; i++) {
        int64_t second = events[i].at / 1000;
        size_t slot = (size_t)second % RING;
        if (report->fresh[slot].second > second)
            continue;
        if (report->fresh[slot].second != second) {
            memset(&report->fresh[slot], 0, sizeof(report->fresh[slot]));
            report->fresh[slot].second = second;
        }
        report->fresh[slot].counts[events[i].kind] += events[i].n ? events[i].n : 1;
    }
}

bool report_take(void *context, struct db *db, struct fault *why, const struct event *events, size_t count)
{
    struct differences differences = {0};
    struct before *before = ARENA_ARRAY(&differences.arena, struct before, count);
    bool ok = reasons_before(db, why, events, count, &differences.arena, before);
    for (size_t i = 0; ok && i < count; i++)
        count_event(&differences, &events[i], &before[i]);
    ok = ok && differences_write(db, why, &differences) && totals_write(db, why, &differences) &&
         engaged_take(db, why, events, count);
    map_release(&differences.by_key);
    map_release(&differences.totals);
    arena_release(&differences.arena);
    if (context)
        tally_rates(context, events, count);
    return ok;
}

/* ── the follower, and rates ── */

/* On the writer thread, the ring's only writer. */
static void after_batch(void *context, size_t events)
{
    struct report *report = context;
    for (size_t i = 0; i < RING; i++) {
        if (!report->fresh[i].second)
            continue;
        struct ring_second *slot = &report->ring[i];
        if (slot->second > report->fresh[i].second)
            continue;
        bool is_new = slot->second != report->fresh[i].second;
        for (size_t kind = 0; kind < EVENT_KIND_END; kind++)
            slot->counts[kind] = (is_new ? 0 : slot->counts[kind]) + report->fresh[i].counts[kind];
        slot->second = report->fresh[i].second;
        report->fresh[i].second = 0;
    }
    if (report->after_change)
        report->after_change(report->context);
}

struct report *report_start(struct store *store, struct leases *leases, void (*after_change)(void *context),
                            void *context)
{
    struct report *report = NEW(struct report);
    report->after_change = after_change;
    report->context = context;
    struct event_follower_options options = {.name = REPORT_READER,
                                             .sink = report_take,
                                             .context = report,
                                             .leases = leases,
                                             .interval_ms = INTERVAL_MS,
                                             .busy_interval_ms = BUSY_INTERVAL_MS,
                                             .after = after_batch};
    report->follower = event_follow(store, &options);
    return report;
}

void report_stop(struct report *report)
{
    if (!report)
        return;
    event_follower_stop(report->follower);
    free(report);
}

bool report_catch_up(struct report *report, struct fault *why)
{
    return event_follower_catch_up(report->follower, why);
}

double report_rate(const struct report *report, enum event_kind kind, unsigned seconds, time_ms now)
{
    assert(kind < EVENT_KIND_END);
    seconds = seconds < 1 ? 1 : seconds >= RING ? RING - 1 : seconds;
    int64_t last = now / 1000 - 1; /* the running second is not full yet */
    uint64_t sum = 0;
    for (size_t i = 0; i < RING; i++) {
        int64_t second = report->ring[i].second;
        if (second <= last && second > last - (int64_t)seconds)
            sum += report->ring[i].counts[kind];
    }
    return (double)sum / seconds;
}
