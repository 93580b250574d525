#include "queue/order.h"

#include "shape/pause.h"
#include "shape/suspension.h"
#include <stdlib.h>

enum { SLICE_ROWS = 500, ORDERS_A_STEP = 16 };
/* queue_order_todo.after_id of a bucket that is gone through, and of which mail is on the wire still. */
#define AFTER_WIRE (-1)

static const struct slice words[] = {
#define ORDER_VERB_WORD(NAME, word) SLICE_INIT(#word),
    ORDER_VERBS(ORDER_VERB_WORD)
#undef ORDER_VERB_WORD
};

struct slice order_verb_word(enum order_verb verb)
{
    return words[verb];
}

static enum order_verb verb_of(struct slice word)
{
    for (int i = 0; i < ORDER_VERB_COUNT; i++)
        if (slice_equal(word, words[i]))
            return (enum order_verb)i;
    return ORDER_VERB_COUNT;
}

static int filters(const struct queue_order *order)
{
    return (order->brand_id != 0) + (order->campaign_id != 0) + (order->domain.len != 0) + (order->site.len != 0) +
           (order->pool.len != 0) + (order->accepted_until < order->at);
}

bool order_is_standing(const struct queue_order *order)
{
    bool may_stand = order->verb == ORDER_HOLD || order->verb == ORDER_RELEASE;
    return may_stand && filters(order) == 1 && (order->brand_id || order->campaign_id || order->domain.len);
}

/* ── which deliveries an order speaks of: of an order o, or of $1 .. $6 ── */

#define OF(until, brand, campaign, domain_, site_, pool_)                                                              \
    "d.accepted_ms <= " until " AND (" brand " = 0 OR d.brand_id = " brand ") AND (" campaign " = 0 OR d.campaign_id " \
    "= " campaign ") AND (" domain_ " = '' OR l.domain = " domain_ ") AND (" site_ " = '' OR EXISTS (SELECT 1 FROM "   \
    "event e WHERE e.bucket = d.bucket AND e.seq = d.last_seq AND e.site = " site_ ")) AND (" pool_ " = '' OR "        \
    "COALESCE(NULLIF(l.pool, ''), (SELECT NULLIF(b.pool, '') FROM brand b WHERE b.id = d.brand_id), 'default') = "     \
    "" pool_ ")"
#define FILTER   OF("$1", "$2", "$3", "$4", "$5", "$6")
#define OF_ORDER OF("o.accepted_until_ms", "o.brand_id", "o.campaign_id", "o.domain", "o.site", "o.pool")
#define FILTER_VALUES(order)                                                                                           \
    V_INT((order)->accepted_until), V_INT((int64_t)(order)->brand_id), V_INT((int64_t)(order)->campaign_id),           \
        V_TEXT((order)->domain), V_TEXT((order)->site), V_TEXT((order)->pool)

/* What the guard holds is released by the guard. */
#define NOT_THE_GUARDS                                                                                                 \
    " AND NOT EXISTS (SELECT 1 FROM held_verdict h WHERE h.bucket = d.bucket AND h.delivery_id = d.id)"

static const struct {
    const char *states, *more;
    unsigned from;
} moves_of[ORDER_VERB_COUNT] = {
    [ORDER_HOLD] = {"(0, 1)", "", LEDGER_BIT(DELIVERY_WAITING) | LEDGER_BIT(DELIVERY_DEFERRED)},
    [ORDER_RELEASE] = {"(2)", NOT_THE_GUARDS, LEDGER_BIT(DELIVERY_HELD)},
    [ORDER_MOVE] = {"(0, 1, 2, 3, 4)", "", 0},
    [ORDER_RETRY] = {"(1)", "", LEDGER_BIT(DELIVERY_DEFERRED)},
    [ORDER_PURGE] = {"(0, 1, 2, 4)", "", LEDGER_OWED & ~LEDGER_BIT(DELIVERY_ON_WIRE)},
    [ORDER_SUSPEND] = {"(-1)", "", 0},
    [ORDER_RESUME] = {"(-1)", "", 0},
};

bool order_count(struct db *db, struct fault *why, const struct queue_order *order,
                 int64_t states[DELIVERY_STATE_COUNT])
{
    SCOPED(buf) sql = BUF(4096);
    SCOPED(rows) rows = {0};
    memset(states, 0, sizeof(*states) * DELIVERY_STATE_COUNT);
    buf_printf(
        &sql,
        "SELECT d.state, COUNT(*) FROM delivery d JOIN lane l ON l.id = d.lane_id WHERE d.state IN %s AND " FILTER
        "%s GROUP BY d.state",
        moves_of[order->verb].states, moves_of[order->verb].more);
    if (!db_query(db, why, &rows, buf_cstr(&sql), VALUES(FILTER_VALUES(order))))
        return false;
    while (rows_next(&rows))
        states[rows_int(&rows, 0)] = rows_int(&rows, 1);
    return rows_end(&rows);
}

/* What is owed is found by two indexes (data/schema/0026_arrival.sql), whose words these conditions repeat: the table
 * itself has every delivery there ever was. */
#define ROWS(which)                                                                                                    \
    "SELECT d.id, d.address, d.state, d.changed_ms, d.due_ms, d.attempts, d.campaign_id FROM delivery d JOIN lane l "  \
    "ON l.id = d.lane_id WHERE " which " AND ($7 = 10 OR d.state = $7) AND " FILTER
#define WAITS "d.state <= 1"
#define APART "((28 >> d.state) & 1) = 1"

bool order_rows(struct db *db, struct fault *why, const struct queue_order *order, enum delivery_state state,
                int64_t limit, struct rows *rows)
{
    const char *sql = state == DELIVERY_STATE_COUNT ? ROWS(WAITS) " UNION ALL " ROWS(APART) " ORDER BY 5, 1 LIMIT $8"
                      : state <= DELIVERY_DEFERRED  ? ROWS(WAITS) " ORDER BY 5, 1 LIMIT $8"
                                                    : ROWS(APART) " ORDER BY 5, 1 LIMIT $8";
    return db_query(db, why, rows, sql, VALUES(FILTER_VALUES(order), V_INT(state), V_INT(limit)));
}

/* ── giving an order ── */

static struct value hold_name(const struct queue_order *order, struct buf *name)
{
    if (order->domain.len)
        return V_TEXT(order->domain);
    buf_u64(name, order->brand_id);
    return V_TEXT(buf_slice(name));
}

/* A campaign's is its pause (campaign/queue_order.h). */
static bool stand(struct db *db, struct fault *why, const struct queue_order *order)
{
    SCOPED(buf) name = BUF(24);
    if (order->campaign_id)
        return true;
    const struct value kind = V_STR(order->domain.len ? "domain" : "brand");
    db_mark(db, STORE_MARK_HOLDS | STORE_MARK_DELIVERIES);
    if (order->verb == ORDER_HOLD)
        return db_do(db, why,
                     "INSERT INTO hold (kind, name, why, since_ms) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
                     VALUES(kind, hold_name(order, &name), V_TEXT(order->why), V_INT(order->at)), NULL);
    return db_do(db, why, "DELETE FROM hold WHERE kind = $1 AND name = $2", VALUES(kind, hold_name(order, &name)),
                 NULL);
}

/* Which nodes have to hear of it: one that begins later reads the suspensions, and the pauses that are left. */
static bool pace_give(struct db *db, struct fault *why, const struct queue_order *order)
{
    const struct suspension suspension = {.site = order->site,
                                          .source_id = order->source_id,
                                          .source = order->source,
                                          .who = order->who,
                                          .why = order->why,
                                          .since = order->at,
                                          .until = order->until};
    bool is_by_all = false;
    int64_t until = 0;
    if (!order->site.len)
        return fault_set(why, FAULT_INPUT, "say which site");
    if (order->verb == ORDER_RESUME && order->source_id &&
        !db_query_ints(db, why, "SELECT until_ms FROM suspension WHERE site = $1 AND source_id = 0 AND until_ms > $2",
                       VALUES(V_TEXT(order->site), V_INT(order->at)), &until, 1, &is_by_all))
        return false;
    if (is_by_all)
        return fault_set(why, FAULT_INPUT,
                         "the site %.*s is suspended by all sources: resume it without a source, and suspend the "
                         "others",
                         SLICE_ARG(order->site));
    db_mark(db, STORE_MARK_HOLDS);
    return (order->verb == ORDER_SUSPEND ? suspension_set(db, why, &suspension)
                                         : suspension_lift(db, why, order->site, order->source_id) &&
                                               pauses_lift(db, why, order->site, order->source_id)) &&
           db_do(db, why, "INSERT INTO queue_order_node (order_id, node) SELECT $1, node FROM node WHERE until_ms > $2",
                 VALUES(V_INT((int64_t)order->id), V_INT(order->at)), NULL);
}

/* What comes back from the wire is held no more where a release may mean it. */
static bool holds_end(struct db *db, struct fault *why, const struct queue_order *order)
{
    return order->verb != ORDER_RELEASE ||
           db_do(db, why,
                 "UPDATE queue_order_todo SET is_done = 1 WHERE after_id = $4 AND is_done = 0 AND order_id IN (SELECT "
                 "id FROM queue_order WHERE done_ms = 0 AND verb = 'hold' AND ($1 = 0 OR brand_id IN (0, $1)) AND ($2 "
                 "= 0 OR campaign_id IN (0, $2)) AND ($3 = '' OR domain IN ('', $3)))",
                 VALUES(V_INT((int64_t)order->brand_id), V_INT((int64_t)order->campaign_id), V_TEXT(order->domain),
                        V_INT(AFTER_WIRE)),
                 NULL);
}

/* Who ordered what, when, of which mails, and why. */
static bool record(struct db *db, struct fault *why, const struct queue_order *order, bool is_done)
{
    return db_do(db, why,
                 "INSERT INTO queue_order (id, at_ms, who, verb, accepted_until_ms, brand_id, campaign_id, domain, "
                 "site, pool, why, done_ms, source, to_pool, source_id, until_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, "
                 "$8, $9, $10, $11, $12, $13, $14, $15, $16)",
                 VALUES(V_INT((int64_t)order->id), V_INT(order->at), V_TEXT(order->who),
                        V_TEXT(order_verb_word(order->verb)), FILTER_VALUES(order), V_TEXT(order->why),
                        V_INT(is_done ? order->at : 0), V_TEXT(order->source), V_TEXT(order->to_pool),
                        V_INT((int64_t)order->source_id), V_INT(order->until)),
                 NULL);
}

bool order_note(struct db *db, struct fault *why, struct queue_order *order)
{
    order->id = id_make_anywhere(db_ids(db), order->at);
    return record(db, why, order, true);
}

bool order_give(struct db *db, struct fault *why, struct queue_order *order)
{
    bool is_of_pace = order_is_of_pace(order->verb);
    if (!filters(order))
        return fault_set(why, FAULT_INPUT, "say of which mails: by brand, campaign, domain, site, source, pool or age");
    bool is_standing = order_is_standing(order);
    bool moves_nothing = is_of_pace || (is_standing && order->verb == ORDER_HOLD);
    order->id = id_make_anywhere(db_ids(db), order->at);
    if ((is_standing && !stand(db, why, order)) || (is_of_pace && !pace_give(db, why, order)) ||
        !holds_end(db, why, order) || !record(db, why, order, moves_nothing))
        return false;
    if (is_of_pace)
        return true;
    db_mark(db, STORE_MARK_DELIVERIES);
    for (unsigned bucket = 0; bucket < ID_BUCKETS && !moves_nothing; bucket++)
        if (!db_do(db, why, "INSERT INTO queue_order_todo (bucket, order_id) VALUES ($1, $2)",
                   VALUES(V_INT(bucket), V_INT((int64_t)order->id)), NULL))
            return false;
    return true;
}

/* ── carrying it out ── */

bool order_list(struct db *db, struct fault *why, uint64_t id, uint64_t before, size_t limit, struct arena *arena,
                struct queue_order **orders, size_t *count)
{
    SCOPED(rows) rows = {0};
    *orders = ARENA_ARRAY(arena, struct queue_order, limit);
    *count = 0;
    if (!db_query(
            db, why, &rows,
            "SELECT o.id, o.at_ms, o.who, o.verb, o.brand_id, o.campaign_id, o.domain, o.site, "
            "o.accepted_until_ms, o.why, o.moved + (SELECT CAST(COALESCE(SUM(t.moved), 0) AS BIGINT) FROM "
            "queue_order_todo t WHERE t.order_id = o.id) + (SELECT CAST(COALESCE(SUM(n.moved), 0) AS BIGINT) FROM "
            "queue_order_node n WHERE n.order_id = o.id), o.done_ms, (SELECT COUNT(*) FROM queue_order_todo t "
            "WHERE t.order_id = o.id AND t.is_done = 0) + (SELECT COUNT(*) FROM queue_order_node n JOIN node a ON "
            "a.node = n.node WHERE n.order_id = o.id AND n.done_ms = 0 AND a.until_ms > 0), o.pool, o.source, "
            "o.to_pool, o.source_id, o.until_ms, (SELECT MAX(n.done_ms) FROM queue_order_node n WHERE n.order_id = "
            "o.id) FROM queue_order o WHERE ($1 = 0 OR o.id = $1) AND o.id < $3 ORDER BY o.id DESC LIMIT $2",
            VALUES(V_INT((int64_t)id), V_INT((int64_t)limit), V_INT(before ? (int64_t)before : INT64_MAX))))
        return false;
    while (*count < limit && rows_next(&rows)) {
        struct queue_order *order = &(*orders)[(*count)++];
        *order = (struct queue_order){
            .id = (uint64_t)rows_int(&rows, 0),
            .at = rows_int(&rows, 1),
            .who = arena_copy(arena, rows_text(&rows, 2)),
            .verb = verb_of(rows_text(&rows, 3)),
            .brand_id = (uint64_t)rows_int(&rows, 4),
            .campaign_id = (uint64_t)rows_int(&rows, 5),
            .domain = arena_copy(arena, rows_text(&rows, 6)),
            .site = arena_copy(arena, rows_text(&rows, 7)),
            .accepted_until = rows_int(&rows, 8),
            .why = arena_copy(arena, rows_text(&rows, 9)),
            .moved = rows_int(&rows, 10),
            .done = rows_int(&rows, 11),
            .buckets_left = rows_int(&rows, 12),
            .pool = arena_copy(arena, rows_text(&rows, 13)),
            .source = arena_copy(arena, rows_text(&rows, 14)),
            .to_pool = arena_copy(arena, rows_text(&rows, 15)),
            .source_id = (uint64_t)rows_int(&rows, 16),
            .until = rows_int(&rows, 17),
        };
        if (order_is_of_pace(order->verb)) /* its nodes say when */
            order->done = order->buckets_left ? 0 : rows_int(&rows, 18) > order->at ? rows_int(&rows, 18) : order->at;
    }
    return rows_end(&rows);
}

/* ── of the pace ── */

bool order_of_pace_open(struct db *db, struct fault *why, unsigned node, size_t most, struct arena *arena,
                        struct queue_order **orders, size_t *count)
{
    SCOPED(rows) rows = {0};
    *orders = NULL;
    *count = 0;
    if (!db_query(db, why, &rows,
                  "SELECT o.id, o.verb, o.site, o.source_id, o.source, o.until_ms FROM queue_order_node n JOIN "
                  "queue_order o ON o.id = n.order_id WHERE n.node = $1 AND n.done_ms = 0 ORDER BY o.id LIMIT $2",
                  VALUES(V_INT(node), V_INT((int64_t)most))))
        return false;
    while (*count < most && rows_next(&rows)) {
        if (!*orders)
            *orders = ARENA_ARRAY(arena, struct queue_order, most);
        (*orders)[(*count)++] = (struct queue_order){
            .id = (uint64_t)rows_int(&rows, 0),
            .verb = verb_of(rows_text(&rows, 1)),
            .site = arena_copy(arena, rows_text(&rows, 2)),
            .source_id = (uint64_t)rows_int(&rows, 3),
            .source = arena_copy(arena, rows_text(&rows, 4)),
            .until = rows_int(&rows, 5),
        };
    }
    return rows_end(&rows);
}

bool order_of_pace_done(struct db *db, struct fault *why, unsigned node, uint64_t id, int64_t moved, time_ms now)
{
    return db_do(
        db, why,
        "UPDATE queue_order_node SET moved = $3, done_ms = $4 WHERE order_id = $1 AND node = $2 AND done_ms = 0",
        VALUES(V_INT((int64_t)id), V_INT(node), V_INT(moved), V_INT(now)), NULL);
}

/* ── moves of mail ── */

static struct ledger_move move_of(const struct queue_order *order, time_ms now, unsigned attempts)
{
    struct ledger_move move = {
        .event = {.at = now, .note = SLICE_INIT("by_hand")}, .from = moves_of[order->verb].from, .due = now};
    switch (order->verb) {
    case ORDER_HOLD:
        move.event.kind = EVENT_HELD;
        move.event.state_after = DELIVERY_HELD;
        break;
    case ORDER_RELEASE:
        move.event.kind = EVENT_RELEASED;
        move.event.state_after = attempts ? DELIVERY_DEFERRED : DELIVERY_WAITING;
        break;
    case ORDER_PURGE:
        move.event.kind = EVENT_CANCELLED;
        move.event.state_after = DELIVERY_CANCELLED;
        break;
    case ORDER_RETRY:
        move.event.kind = EVENT_RELEASED;
        move.event.state_after = DELIVERY_DEFERRED;
        move.event.note = SLICE("retry");
        break;
    case ORDER_MOVE:    /* of lanes */
    case ORDER_SUSPEND: /* of the pace */
    case ORDER_RESUME:
    case ORDER_VERB_COUNT: break;
    }
    return move;
}

struct slice_of_bucket {
    unsigned bucket;
    uint64_t after;
    struct ledger_move *moves;
    struct lane_key *lanes;
    size_t count;
};

static bool slice_read(struct db *db, struct fault *why, const struct queue_order *order, time_ms now,
                       struct arena *arena, struct slice_of_bucket *slice)
{
    SCOPED(buf) sql = BUF(4096);
    SCOPED(rows) rows = {0};
    slice->moves = ARENA_ARRAY(arena, struct ledger_move, SLICE_ROWS);
    slice->lanes = ARENA_ARRAY(arena, struct lane_key, SLICE_ROWS);
    slice->count = 0;
    buf_printf(&sql,
               "SELECT d.id, d.address, d.campaign_id, d.contact_id, d.brand_id, d.attempts, l.id, l.priority, "
               "l.domain, l.waives_tls, l.source_id FROM delivery d JOIN lane l ON l.id = d.lane_id WHERE d.bucket = "
               "$7 AND d.id > "
               "$8 AND d.state "
               "IN %s AND " FILTER "%s ORDER BY d.id LIMIT $9",
               moves_of[order->verb].states, moves_of[order->verb].more);
    if (!db_query(db, why, &rows, buf_cstr(&sql),
                  VALUES(FILTER_VALUES(order), V_INT(slice->bucket), V_INT((int64_t)slice->after), V_INT(SLICE_ROWS))))
        return false;
    while (slice->count < SLICE_ROWS && rows_next(&rows)) {
        struct ledger_move *move = &slice->moves[slice->count];
        struct lane_key *lane = &slice->lanes[slice->count++];
        *move = move_of(order, now, (unsigned)rows_int(&rows, 5));
        move->event.delivery_id = (uint64_t)rows_int(&rows, 0);
        move->event.address = arena_copy(arena, rows_text(&rows, 1));
        move->event.campaign_id = (uint64_t)rows_int(&rows, 2);
        move->event.contact_id = (uint64_t)rows_int(&rows, 3);
        move->event.brand_id = (uint64_t)rows_int(&rows, 4);
        move->event.domain = arena_copy(arena, rows_text(&rows, 8));
        *lane = (struct lane_key){.id = (uint64_t)rows_int(&rows, 6),
                                  .brand_id = move->event.brand_id,
                                  .campaign_id = move->event.campaign_id,
                                  .priority = (int)rows_int(&rows, 7),
                                  .waives_tls = rows_int(&rows, 9) != 0,
                                  .source_id = (uint64_t)rows_int(&rows, 10),
                                  .domain = move->event.domain};
    }
    return rows_end(&rows);
}

/* What a purge and a hold have to look at again: it may come back from the wire. */
static bool on_wire(struct db *db, struct fault *why, const struct queue_order *order, unsigned bucket, bool *any)
{
    int64_t one;
    *any = false;
    return (order->verb != ORDER_PURGE && order->verb != ORDER_HOLD) ||
           db_query_ints(db, why,
                         "SELECT 1 FROM delivery d JOIN lane l ON l.id = d.lane_id WHERE d.bucket = $7 AND ((28 >> "
                         "d.state) & 1) = 1 AND d.state = 3 AND " FILTER " LIMIT 1",
                         VALUES(FILTER_VALUES(order), V_INT(bucket)), &one, 1, any);
}

static void tell(struct order_step *step, const struct slice_of_bucket *slice)
{
    for (size_t i = 0; i < slice->count; i++)
        if (slice->moves[i].is_moved)
            step->released[step->released_count++] =
                (struct ledger_released){.lane = slice->lanes[i], .bucket = slice->bucket};
}

/* The lanes of what one bucket owes: all of them at once, they are few. */
static bool lanes_move(struct db *db, struct fault *why, const struct queue_order *order, unsigned bucket,
                       struct order_step *step)
{
    int64_t moved = 0;
    bool ok = db_do(db, why,
                    "UPDATE lane SET pool = $8 WHERE pool <> $8 AND id IN (SELECT DISTINCT d.lane_id FROM delivery d "
                    "JOIN lane l ON l.id = d.lane_id WHERE d.bucket = $7 AND d.state <= 4 AND " FILTER ")",
                    VALUES(FILTER_VALUES(order), V_INT(bucket), V_TEXT(order->to_pool)), &moved);
    step->moved += moved;
    return ok &&
           db_do(db, why,
                 "UPDATE queue_order_todo SET moved = moved + $3, is_done = 1 WHERE bucket = $1 AND order_id = $2",
                 VALUES(V_INT(bucket), V_INT((int64_t)order->id), V_INT(moved)), NULL);
}

/* One slice of one bucket. *is_over: nothing more is to be done there now. */
static bool slice_run(const struct ledger *ledger, struct db *db, struct fault *why, const struct queue_order *order,
                      time_ms now, struct arena *arena, struct slice_of_bucket *slice, struct order_step *step,
                      bool *is_over)
{
    int64_t moved = 0;
    bool comes_back = false;
    *is_over = true;
    if (order->verb == ORDER_MOVE)
        return lanes_move(db, why, order, slice->bucket, step);
    if (!slice_read(db, why, order, now, arena, slice) || !ledger_settle(ledger, db, why, slice->moves, slice->count))
        return false;
    for (size_t i = 0; i < slice->count; i++)
        moved += slice->moves[i].is_moved;
    *is_over = slice->count < SLICE_ROWS;
    slice->after = *is_over ? 0 : slice->moves[slice->count - 1].event.delivery_id;
    step->moved += moved;
    if (order->verb == ORDER_RELEASE || order->verb == ORDER_RETRY)
        tell(step, slice);
    if (*is_over && !on_wire(db, why, order, slice->bucket, &comes_back))
        return false;
    return db_do(db, why,
                 "UPDATE queue_order_todo SET after_id = $3, moved = moved + $4, is_done = $5 WHERE bucket = $1 AND "
                 "order_id = $2",
                 VALUES(V_INT(slice->bucket), V_INT((int64_t)order->id),
                        V_INT(comes_back ? AFTER_WIRE : (int64_t)slice->after), V_INT(moved),
                        V_INT(*is_over && !comes_back)),
                 NULL);
}

static bool todo_read(struct db *db, struct fault *why, const struct queue_order *order,
                      struct slice_of_bucket slices[ID_BUCKETS], size_t *count)
{
    SCOPED(rows) rows = {0};
    *count = 0;
    if (!db_query(db, why, &rows,
                  "SELECT bucket, after_id FROM queue_order_todo WHERE order_id = $1 AND is_done = 0 ORDER BY bucket",
                  VALUES(V_INT((int64_t)order->id))))
        return false;
    while (*count < ID_BUCKETS && rows_next(&rows))
        slices[(*count)++] =
            (struct slice_of_bucket){.bucket = (unsigned)rows_int(&rows, 0), .after = (uint64_t)rows_int(&rows, 1)};
    return rows_end(&rows);
}

bool order_purge_again(struct db *db, struct fault *why, struct slice site)
{
    return db_do(db, why,
                 "INSERT INTO queue_order_todo (bucket, order_id) SELECT DISTINCT d.bucket, o.id FROM held_verdict h "
                 "JOIN delivery d ON d.bucket = h.bucket AND d.id = h.delivery_id JOIN lane l ON l.id = d.lane_id JOIN "
                 "queue_order o ON " OF_ORDER " WHERE o.verb = 'purge' AND h.site = $1 AND h.is_owed = 1 AND d.state "
                 "= 2 ORDER BY 1, 2 ON CONFLICT (bucket, order_id) DO UPDATE SET after_id = 0, is_done = 0",
                 VALUES(V_TEXT(site)), NULL) &&
           db_do(db, why,
                 "UPDATE queue_order SET done_ms = 0 WHERE verb = 'purge' AND id IN (SELECT order_id FROM "
                 "queue_order_todo)",
                 NO_VALUES, NULL);
}

static bool order_end(struct db *db, struct fault *why, const struct queue_order *order, time_ms now)
{
    const struct value id = V_INT((int64_t)order->id);
    return db_do(db, why,
                 "UPDATE queue_order SET done_ms = $2, moved = moved + (SELECT CAST(COALESCE(SUM(t.moved), 0) AS "
                 "BIGINT) FROM queue_order_todo t WHERE t.order_id = $1) WHERE id = $1 AND done_ms = 0",
                 VALUES(id, V_INT(now)), NULL) &&
           db_do(db, why, "DELETE FROM queue_order_todo WHERE order_id = $1", VALUES(id), NULL);
}

static bool same_reach(const struct order_reach *one, const struct order_reach *other)
{
    return one->brand_id == other->brand_id && one->campaign_id == other->campaign_id &&
           slice_equal(one->domain, other->domain);
}

void order_reach_add(struct order_reach reaches[ORDER_REACHES_MOST], size_t *count, const struct order_reach *reach)
{
    for (size_t i = 0; i < *count; i++)
        if (same_reach(&reaches[i], reach))
            return;
    if (*count < ORDER_REACHES_MOST)
        reaches[(*count)++] = *reach;
    else
        reaches[ORDER_REACHES_MOST - 1] = (struct order_reach){0};
}

static bool order_go_on(const struct ledger *ledger, struct db *db, struct fault *why, const struct queue_order *order,
                        time_ms now, size_t most, struct arena *arena, struct order_step *step)
{
    struct slice_of_bucket slices[ID_BUCKETS];
    struct bucket_set asked = {0}, ours;
    size_t count;
    int64_t left, before = step->moved;
    if (!todo_read(db, why, order, slices, &count))
        return false;
    for (size_t i = 0; i < count; i++)
        bucket_set_add(&asked, slices[i].bucket);
    ours = asked;
    if (ledger->leases && count && !leases_check(db, why, ledger->leases, &asked, &ours))
        return false;
    for (size_t i = 0; i < count; i++) {
        bool is_over = !bucket_set_has(&ours, slices[i].bucket);
        while (!is_over && (size_t)step->moved < most)
            if (!slice_run(ledger, db, why, order, now, arena, &slices[i], step, &is_over))
                return false;
        step->has_more |= !is_over;
    }
    if (step->moved > before && (order->verb == ORDER_HOLD || order->verb == ORDER_PURGE))
        order_reach_add(step->reaches, &step->reach_count,
                        &(struct order_reach){order->brand_id, order->campaign_id, order->domain});
    if (!db_query_ints(db, why, "SELECT COUNT(*) FROM queue_order_todo WHERE order_id = $1 AND is_done = 0",
                       VALUES(V_INT((int64_t)order->id)), &left, 1, NULL))
        return false;
    step->has_open |= left > 0;
    return left || order_end(db, why, order, now);
}

/* The oldest open ones behind `after`, as they were given. */
static bool open_read(struct db *db, struct fault *why, uint64_t after, uint64_t ids[ORDERS_A_STEP], size_t *count)
{
    SCOPED(rows) rows = {0};
    *count = 0;
    if (!db_query(db, why, &rows, "SELECT id FROM queue_order WHERE done_ms = 0 AND id > $1 ORDER BY id LIMIT $2",
                  VALUES(V_INT((int64_t)after), V_INT(ORDERS_A_STEP))))
        return false;
    while (*count < ORDERS_A_STEP && rows_next(&rows))
        ids[(*count)++] = (uint64_t)rows_int(&rows, 0);
    return rows_end(&rows);
}

/* All that are open have their turn: some may wait long, for mail on the wire or for another node. */
bool order_step(const struct ledger *ledger, struct db *db, struct fault *why, time_ms now, size_t most,
                struct arena *arena, struct order_step *step)
{
    uint64_t ids[ORDERS_A_STEP] = {0};
    size_t count = ORDERS_A_STEP;
    *step = (struct order_step){.released = ARENA_ARRAY(arena, struct ledger_released, most + SLICE_ROWS)};
    while (count == ORDERS_A_STEP && (size_t)step->moved < most) {
        if (!open_read(db, why, ids[count - 1], ids, &count))
            return false;
        for (size_t i = 0; i < count; i++) {
            struct queue_order *order;
            size_t found;
            if (!order_list(db, why, ids[i], 0, 1, arena, &order, &found))
                return false;
            /* one of a later version of this program is left to that one */
            if (found && order->verb < ORDER_VERB_COUNT && (size_t)step->moved < most &&
                !order_go_on(ledger, db, why, order, now, most, arena, step))
                return false;
        }
    }
    step->has_more |= (size_t)step->moved >= most;
    return true;
}
