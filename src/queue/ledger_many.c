/* ledger_many.c - moves of many rows by what they have in common: what a node that is gone left on the wire, what has
 * been in doubt for long enough, what a campaign still owes
 *
 * Each finds its rows bucket by bucket, in batches, and moves them by ledger_settle: what else moved meanwhile stays as
 * it is. */
#include "queue/ledger.h"

#include "base/id.h"
#include "queue/lane_pin.h"

void ledger_event_read(const struct rows *rows, struct arena *arena, struct event *event)
{
    event->delivery_id = (uint64_t)rows_int(rows, 0);
    event->address = arena_copy(arena, rows_text(rows, 1));
    event->domain = arena_copy(arena, rows_text(rows, 2));
    event->campaign_id = (uint64_t)rows_int(rows, 3);
    event->contact_id = (uint64_t)rows_int(rows, 4);
    event->brand_id = (uint64_t)rows_int(rows, 5);
}

enum { BATCH = 500 };

/* The rows of a LEDGER_EVENT_SQL as moves; the texts in the arena. */
static bool moves_of_query(struct db *db, struct fault *why, const char *sql, const struct value *values,
                           size_t value_count, size_t most, const struct ledger_move *like, struct arena *arena,
                           struct ledger_move **moves, size_t *count)
{
    *moves = ARENA_ARRAY(arena, struct ledger_move, most);
    *count = 0;
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows, sql, values, value_count))
        return false;
    while (*count < most && rows_next(&rows)) {
        struct ledger_move *move = &(*moves)[(*count)++];
        *move = *like;
        ledger_event_read(&rows, arena, &move->event);
    }
    return rows_end(&rows);
}

static int64_t count_moved(const struct ledger_move *moves, size_t count)
{
    int64_t moved = 0;
    for (size_t i = 0; i < count; i++)
        moved += moves[i].is_moved;
    return moved;
}

/* What is on the wire in this bucket: of our number, or of nodes that do not live. */
static bool recover_bucket(const struct ledger *ledger, struct db *db, struct fault *why, unsigned bucket, bool of_ours,
                           const struct ledger_move *like, int64_t *count)
{
    /* in the order of delivery_apart, so that SQLite takes it: the whole bucket is long */
    const char *sql =
        of_ours ? LEDGER_EVENT_SQL("", "d.bucket = $1 AND ((28 >> d.state) & 1) = 1 AND d.state = 3 AND d.node = $3 "
                                       "ORDER BY d.due_ms LIMIT $2")
                : LEDGER_EVENT_SQL("", "d.bucket = $1 AND ((28 >> d.state) & 1) = 1 AND d.state = 3 AND d.node <> $3 "
                                       "AND NOT EXISTS (SELECT 1 FROM node n WHERE n.node = d.node AND n.until_ms > 0) "
                                       "ORDER BY d.due_ms LIMIT $2");
    for (int64_t moved = BATCH; moved == BATCH;) {
        SCOPED(arena) arena = {0};
        struct ledger_move *moves;
        size_t batch;
        if (!moves_of_query(db, why, sql, VALUES(V_INT(bucket), V_INT(BATCH), V_INT(ledger->node)), BATCH, like, &arena,
                            &moves, &batch) ||
            !ledger_settle(ledger, db, why, moves, batch))
            return false;
        moved = count_moved(moves, batch);
        *count += moved;
    }
    return true;
}

static bool mark_seen(void *context, size_t index, const struct rows *row, struct fault *why)
{
    bucket_set_add(context, (unsigned)rows_int(row, 0) % ID_BUCKETS);
    return true;
}

/* Which buckets have anything on the wire: one round trip for all, a look into the index of those apart for each. */
static bool marks_where(struct db *db, struct fault *why, struct bucket_set *where)
{
    struct value buckets[ID_BUCKETS];
    *where = (struct bucket_set){0};
    for (unsigned bucket = 0; bucket < ID_BUCKETS; bucket++)
        buckets[bucket] = V_INT(bucket);
    return db_query_many(db, why, LEDGER_MARKS_SQL, buckets, 1, ID_BUCKETS, mark_seen, where);
}

bool ledger_recover(const struct ledger *ledger, struct db *db, struct fault *why, const struct bucket_set *buckets,
                    bool is_new_life, time_ms now, time_ms wait_ms, int64_t *count)
{
    const struct ledger_move like = {
        .event = {.kind = EVENT_IN_DOUBT,
                  .at = now,
                  .state_after = DELIVERY_IN_DOUBT,
                  .next_attempt_at = now + wait_ms},
        .from = LEDGER_BIT(DELIVERY_ON_WIRE),
        .is_attempt = true, /* whoever still holds the claim of before must not mark it again */
        .due = now + wait_ms,
    };
    struct bucket_set where;
    *count = 0;
    if (!is_new_life && bucket_set_count(buckets) == 0)
        return true;
    if (!marks_where(db, why, &where))
        return false;
    for (unsigned bucket = 0; bucket < ID_BUCKETS; bucket++)
        if (bucket_set_has(&where, bucket) &&
            ((is_new_life && !recover_bucket(ledger, db, why, bucket, true, &like, count)) ||
             (bucket_set_has(buckets, bucket) && !recover_bucket(ledger, db, why, bucket, false, &like, count))))
            return false;
    return true;
}

/* What the brands want tried again. The buckets are asked one by one: each is a look into the index of those apart. */
static bool doubtful_of_bucket(struct db *db, struct fault *why, unsigned bucket, time_ms now, size_t most,
                               const struct ledger_move *like, struct arena *arena, struct ledger_move *moves,
                               struct ledger_released *released, size_t *count)
{
    static const char sql[] =
        LEDGER_EVENT_SQL(", l.id, l.priority, l.waives_tls, l.source_id, (SELECT s.id FROM source s WHERE s.id = "
                         "d.source_id AND s.node <> 0)",
                         "d.bucket = $1 AND ((28 >> d.state) & 1) = 1 AND d.state = 4 AND d.due_ms <= $2 AND NOT "
                         "EXISTS (SELECT 1 FROM brand b WHERE b.id = d.brand_id AND b.in_doubt = 'hold') ORDER BY "
                         "d.due_ms LIMIT $3");
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows, sql, VALUES(V_INT(bucket), V_INT(now), V_INT((int64_t)(most - *count)))))
        return false;
    for (; *count < most && rows_next(&rows); ++*count) {
        struct event *event = &moves[*count].event;
        moves[*count] = *like;
        ledger_event_read(&rows, arena, event);
        released[*count] = (struct ledger_released){
            .lane = {.id = (uint64_t)rows_int(&rows, 6),
                     .brand_id = event->brand_id,
                     .campaign_id = event->campaign_id,
                     .priority = (int)rows_int(&rows, 7),
                     .waives_tls = rows_int(&rows, 8) != 0,
                     .source_id = (uint64_t)rows_int(&rows, 9),
                     .domain = event->domain},
            .bucket = bucket,
            .source_id = (uint64_t)rows_int(&rows, 10),
        };
    }
    return rows_end(&rows);
}

/* By a source that one node alone has: in a lane that can be handed to that node. Before anything is settled: who
 * appends events locks no other rows afterwards. */
static bool pin_released(struct db *db, struct fault *why, const struct ledger_move *moves,
                         struct ledger_released *released, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (released[i].lane.source_id != released[i].source_id &&
            !lane_pin(db, why, moves[i].event.delivery_id, released[i].source_id, moves[i].event.at, &released[i].lane))
            return false;
    return true;
}

bool ledger_release_doubtful(const struct ledger *ledger, struct db *db, struct fault *why, time_ms now, size_t most,
                             struct arena *arena, struct ledger_released **released, size_t *count)
{
    const struct ledger_move like = {
        .event = {.kind = EVENT_RELEASED,
                  .at = now,
                  .state_before = DELIVERY_IN_DOUBT,
                  .state_after = DELIVERY_DEFERRED,
                  .note = SLICE_INIT("in_doubt")},
        .from = LEDGER_BIT(DELIVERY_IN_DOUBT),
        .is_before_known = true,
        .due = now,
    };
    *count = 0;
    *released = ARENA_ARRAY(arena, struct ledger_released, most);
    struct ledger_move *moves = ARENA_ARRAY(arena, struct ledger_move, most);
    size_t found = 0;
    int64_t any;
    bool is_there;
    if (!db_query_ints(db, why,
                       "SELECT 1 FROM delivery WHERE ((28 >> state) & 1) = 1 AND state = 4 AND due_ms <= $1 LIMIT 1",
                       VALUES(V_INT(now)), &any, 1, &is_there))
        return false;
    if (!is_there)
        return true;
    for (unsigned bucket = 0; bucket < ID_BUCKETS && found < most; bucket++)
        if ((!ledger->leases || bucket_set_has(&ledger->leases->held, bucket)) &&
            !doubtful_of_bucket(db, why, bucket, now, most, &like, arena, moves, *released, &found))
            return false;
    if (!pin_released(db, why, moves, *released, found) || !ledger_settle(ledger, db, why, moves, found))
        return false;
    for (size_t i = 0; i < found; i++)
        if (moves[i].is_moved)
            (*released)[(*count)++] = (*released)[i];
    return true;
}

bool ledger_set_right(const struct ledger *ledger, struct db *db, struct fault *why, time_ms now, int64_t *count)
{
    enum { AHEAD_MS = 60000 };
    *count = 0;
    for (unsigned bucket = 0; bucket < ID_BUCKETS; bucket++) {
        int64_t changed = 0;
        if (ledger->leases && !bucket_set_has(&ledger->leases->held, bucket))
            continue;
        if (!db_do(db, why,
                   "UPDATE delivery SET due_ms = $2 + due_ms - changed_ms, changed_ms = $2 WHERE bucket = $1 AND state "
                   "IN (0, 1, 4) AND changed_ms > $3",
                   VALUES(V_INT(bucket), V_INT(now), V_INT(now + AHEAD_MS)), &changed))
            return false;
        *count += changed;
    }
    return true;
}

bool ledger_cancel_campaign(const struct ledger *ledger, struct db *db, struct fault *why, uint64_t campaign_id,
                            unsigned bucket, time_ms now, int64_t *count)
{
    const struct ledger_move like = {
        .event = {.kind = EVENT_CANCELLED, .at = now, .state_after = DELIVERY_CANCELLED},
        .from = LEDGER_OWED & ~LEDGER_BIT(DELIVERY_ON_WIRE),
    };
    SCOPED(arena) arena = {0};
    struct ledger_move *moves;
    size_t batch;
    if (!moves_of_query(
            db, why, LEDGER_EVENT_SQL("", "d.bucket = $1 AND d.campaign_id = $2 AND d.state IN (0, 1, 2, 4) LIMIT $3"),
            VALUES(V_INT(bucket), V_INT((int64_t)campaign_id), V_INT(BATCH)), BATCH, &like, &arena, &moves, &batch) ||
        !ledger_settle(ledger, db, why, moves, batch))
        return false;
    *count = count_moved(moves, batch);
    return true;
}
