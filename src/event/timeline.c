/* timeline.c - everything that happened to one delivery
 *
 * The kinds that come in masses are in no index by delivery: the delivery's own row tells of ACCEPTED, times tell where
 * DELIVERED stands, and the row of what came of the delivery (report/engaged.h) where its opens and clicks do. */
#include "event/row.h"

/* What the delivery's row tells: ACCEPTED, which is counted in batches, and what it is now. */
struct told {
    bool found;
    struct event accepted;
    enum delivery_state state;
    time_ms since;
};

static bool delivery_tells(struct db *db, struct fault *why, uint64_t delivery_id, struct arena *arena,
                           struct told *told)
{
    SCOPED(rows) rows = {0};
    *told = (struct told){0};
    if (!db_query(db, why, &rows,
                  "SELECT accepted_ms, campaign_id, contact_id, brand_id, address, state, changed_ms FROM delivery "
                  "WHERE bucket = $1 AND id = $2",
                  VALUES(V_INT(id_bucket(delivery_id)), V_INT((int64_t)delivery_id))))
        return false;
    if (rows_next(&rows)) {
        told->found = true;
        told->state = (enum delivery_state)rows_int(&rows, 5);
        told->since = rows_int(&rows, 6);
        told->accepted = (struct event){.bucket = id_bucket(delivery_id),
                                        .id = delivery_id,
                                        .at = rows_int(&rows, 0),
                                        .kind = EVENT_ACCEPTED,
                                        .n = 1,
                                        .delivery_id = delivery_id,
                                        .campaign_id = (uint64_t)rows_int(&rows, 1),
                                        .contact_id = (uint64_t)rows_int(&rows, 2),
                                        .brand_id = (uint64_t)rows_int(&rows, 3),
                                        .address = arena_copy(arena, rows_text(&rows, 4)),
                                        .state_before = DELIVERY_STATE_COUNT,
                                        .state_after = DELIVERY_WAITING};
    }
    return rows_end(&rows);
}

/* Left to itself, SQLite walks through the whole bucket by its primary key. */
#define MOVES_FROM "SELECT " EVENT_COLUMNS " FROM "
#define MOVES_WHERE                                                                                                    \
    "WHERE bucket = $1 AND delivery_id = $2 AND ((393226 >> kind) & 1) = 0 AND kind <> 23 ORDER BY seq LIMIT $3"

/* DELIVERED is not in the index by delivery (most events are): it is looked for among the events of the time when it
 * came, `since` to `until`. */
static bool delivered_in(struct db *db, struct fault *why, unsigned log, uint64_t delivery_id, time_ms since,
                         time_ms until, struct arena *arena, struct event_page *page)
{
    uint64_t after, before;
    return event_seq_before(db, why, log, since - EVENT_DISORDER_MS, &after) &&
           event_seq_before(db, why, log, until + EVENT_DISORDER_MS, &before) &&
           event_page_fetch(
               db, why,
               "SELECT " EVENT_COLUMNS
               " FROM event WHERE bucket = $1 AND seq > $2 AND seq <= $3 AND kind = 3 AND delivery_id = $4 "
               "ORDER BY seq LIMIT 1",
               VALUES(V_INT(log), V_INT((int64_t)after), V_INT((int64_t)before), V_INT((int64_t)delivery_id)), 1, arena,
               page);
}

/* Which of the delivery's moves came first after its 250, and which last before: where that belongs among them. */
struct around {
    size_t from, to;      /* it stands before one of these; to: before that at the latest */
    time_ms since, until; /* when it was; both the same where that is known */
};

/* False: it was never delivered. */
static bool delivery_around(const struct told *told, const struct event_page *moves, struct around *around)
{
    *around = (struct around){0, moves->count, told->accepted.at, told->since};
    for (size_t i = 0; i < moves->count; i++) {
        const struct event *move = &moves->events[i];
        if (move->state_before == DELIVERY_DELIVERED) {
            around->to = i;
            around->until = move->before_since ? move->before_since : move->at;
            around->since = move->before_since ? move->before_since : around->since;
            return true;
        }
        if (move->state_after < DELIVERY_STATE_COUNT) {
            around->from = i + 1;
            around->since = move->at;
        }
    }
    around->since = told->since;
    return told->state == DELIVERY_DELIVERED;
}

static bool delivered_find(struct db *db, struct fault *why, uint64_t delivery_id, const struct around *around,
                           struct arena *arena, struct event_page *page)
{
    unsigned own = id_bucket(delivery_id);
    return delivered_in(db, why, EVENT_COMMON_LOG, delivery_id, around->since, around->until, arena, page) &&
           (page->count || own == EVENT_COMMON_LOG ||
            delivered_in(db, why, own, delivery_id, around->since, around->until, arena, page));
}

/* Opens and clicks are in no index: the row of what came of the delivery says where they stand; and where its newest
 * downloads do, so that a robot's thousand keep nothing else off the timeline. */
static bool engaged_places(struct db *db, struct fault *why, uint64_t delivery_id, struct value *values, size_t most,
                           size_t *count)
{
    SCOPED(rows) rows = {0};
    *count = 0;
    if (!db_query(db, why, &rows, "SELECT events FROM engaged WHERE bucket = $1 AND delivery_id = $2",
                  VALUES(V_INT(id_bucket(delivery_id)), V_INT((int64_t)delivery_id))))
        return false;
    while (rows_next(&rows)) {
        struct slice rest = rows_text(&rows, 0), word, bucket;
        uint64_t number, seq;
        while (*count < most && slice_split(&rest, ' ', &word)) {
            if (!slice_split(&word, '.', &bucket) || !slice_to_u64(bucket, &number) || !slice_to_u64(word, &seq))
                continue;
            values[*count * 2] = V_INT((int64_t)number);
            values[*count * 2 + 1] = V_INT((int64_t)seq);
            ++*count;
        }
    }
    return rows_end(&rows);
}

struct taking {
    struct event_page *page;
    struct arena *arena;
};

/* Among what is there, by its time. */
static bool take_engaged(void *context, size_t index, const struct rows *row, struct fault *why)
{
    struct taking *taking = context;
    struct event_page *page = taking->page;
    struct event event;
    event_from_row(row, taking->arena, &event);
    size_t at = page->count++;
    for (; at && page->events[at - 1].at > event.at; at--)
        page->events[at] = page->events[at - 1];
    page->events[at] = event;
    return true;
}

bool event_timeline(struct db *db, struct fault *why, uint64_t delivery_id, size_t limit, struct arena *arena,
                    struct event_page *page)
{
    limit = event_page_limit(limit);
    struct told told;
    struct around around;
    struct event_page moves, delivered = {0};
    if (!delivery_tells(db, why, delivery_id, arena, &told) ||
        !event_page_fetch(
            db, why,
            db_pick(db, MOVES_FROM "event INDEXED BY event_delivery " MOVES_WHERE, MOVES_FROM "event " MOVES_WHERE),
            VALUES(V_INT(id_bucket(delivery_id)), V_INT((int64_t)delivery_id), V_INT((int64_t)limit + 1)), limit, arena,
            &moves))
        return false;
    if (delivery_around(&told, &moves, &around) && !delivered_find(db, why, delivery_id, &around, arena, &delivered))
        return false;
    enum { ENGAGED_MOST = 64 };
    struct value places[ENGAGED_MOST * 2];
    size_t engaged;
    if (!engaged_places(db, why, delivery_id, places, ENGAGED_MOST, &engaged))
        return false;
    *page = (struct event_page){.events = ARENA_ARRAY(arena, struct event, moves.count + 2 + engaged),
                                .has_more = moves.has_more};
    if (told.found)
        page->events[page->count++] = told.accepted;
    for (size_t i = 0; i <= moves.count; i++) {
        bool is_open = delivered.count && i >= around.from;
        if (is_open && (i == around.to || moves.events[i].at > delivered.events[0].at)) {
            page->events[page->count++] = delivered.events[0];
            delivered.count = 0;
        }
        if (i < moves.count)
            page->events[page->count++] = moves.events[i];
    }
    struct taking taking = {page, arena};
    return db_query_many(db, why, "SELECT " EVENT_COLUMNS " FROM event WHERE bucket = $1 AND seq = $2", places, 2,
                         engaged, take_engaged, &taking);
}
