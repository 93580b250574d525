#include "event/row.h"

#include "store/counter.h"
#include <assert.h>

/* The order of the events by bucket, stable: counting sort. starts[b]..starts[b + 1] are the places of bucket b. */
static void sort_by_bucket(const struct event *events, size_t count, size_t starts[ID_BUCKETS + 1], size_t *order)
{
    memset(starts, 0, sizeof(size_t) * (ID_BUCKETS + 1));
    for (size_t i = 0; i < count; i++) {
        assert(events[i].bucket < ID_BUCKETS);
        starts[events[i].bucket + 1]++;
    }
    for (unsigned bucket = 0; bucket < ID_BUCKETS; bucket++)
        starts[bucket + 1] += starts[bucket];
    size_t next[ID_BUCKETS];
    memcpy(next, starts, sizeof(next));
    for (size_t i = 0; i < count; i++)
        order[next[events[i].bucket]++] = i;
}

struct numbering {
    struct event *events;
    const size_t *starts, *order;
    const unsigned *buckets; /* of the statements */
};

/* The counter stands at the last seq of this bucket's events now. */
static bool number_bucket(void *context, size_t index, const struct rows *row, struct fault *why)
{
    const struct numbering *numbering = context;
    unsigned bucket = numbering->buckets[index];
    size_t from = numbering->starts[bucket], to = numbering->starts[bucket + 1];
    uint64_t seq = (uint64_t)rows_int(row, 0) - (to - from);
    for (size_t i = from; i < to; i++)
        numbering->events[numbering->order[i]].seq = ++seq;
    return true;
}

#define COUNT_UP                                                                                                       \
    "INSERT INTO bucket_counter (bucket, seq) VALUES ($1, $2) ON CONFLICT (bucket) DO UPDATE SET seq = "               \
    "bucket_counter.seq + excluded.seq"

static bool number(struct db *db, struct fault *why, struct event *events, const size_t starts[ID_BUCKETS + 1],
                   const size_t *order)
{
    unsigned buckets[ID_BUCKETS];
    struct value values[ID_BUCKETS * 2];
    size_t rows = 0;
    for (unsigned bucket = 0; bucket < ID_BUCKETS; bucket++) { /* ascending: writers on two nodes cannot deadlock */
        size_t n = starts[bucket + 1] - starts[bucket];
        if (!n)
            continue;
        buckets[rows] = bucket;
        values[rows * 2] = V_INT(bucket);
        values[rows * 2 + 1] = V_INT((int64_t)n);
        rows++;
    }
    struct bucket_set wanted = {0};
    for (size_t i = 0; i < rows; i++)
        bucket_set_add(&wanted, buckets[i]);
    if (!counters_want(db, why, &wanted))
        return false;
    struct numbering numbering = {events, starts, order, buckets};
    if (!db_is_postgres(db)) { /* SQLite builds a table in memory for each RETURNING; here nobody else writes */
        struct value keys[ID_BUCKETS];
        for (size_t i = 0; i < rows; i++)
            keys[i] = values[i * 2];
        return db_do_many(db, why, COUNT_UP, values, 2, rows, NULL) &&
               db_query_many(db, why, "SELECT seq FROM bucket_counter WHERE bucket = $1", keys, 1, rows, number_bucket,
                             &numbering);
    }
    return db_query_many(db, why, COUNT_UP " RETURNING seq", values, 2, rows, number_bucket, &numbering);
}

/* Opens, clicks and acceptances say little: half of the columns, half of the binding. By their place in EVENT_COLUMNS.
 */
static const unsigned char short_places[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 15, 16, 24, 31, 34};
enum { SHORT_WIDTH = COUNT_OF(short_places) };
static const char short_sql[] =
    "INSERT INTO event (bucket, seq, id, at_ms, kind, n, origin, delivery_id, campaign_id, contact_id, brand_id, "
    "address, domain, state_before, state_after, code, remote_mta, note) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, "
    "$10, $11, $12, $13, $14, $15, $16, $17, $18)";
static const char whole_sql[] =
    "INSERT INTO event (" EVENT_COLUMNS
    ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, "
    "$23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35)";

/* False: there is more in it than a short row has. */
static bool make_short(const struct value whole[EVENT_WIDTH], struct value row[SHORT_WIDTH])
{
    size_t next = 0;
    for (size_t i = 0; i < EVENT_WIDTH; i++) {
        if (next < SHORT_WIDTH && short_places[next] == i)
            row[next++] = whole[i];
        else if (whole[i].kind != VALUE_NULL)
            return false;
    }
    return true;
}

bool event_append(struct db *db, struct fault *why, struct event *events, size_t count)
{
    if (!count)
        return true;
    struct arena arena = {0};
    size_t starts[ID_BUCKETS + 1], shorts = 0, wholes = 0;
    size_t *order = ARENA_ARRAY(&arena, size_t, count);
    struct value *whole = arena_alloc(&arena, sizeof(*whole) * EVENT_WIDTH * count);
    struct value *brief = arena_alloc(&arena, sizeof(*brief) * SHORT_WIDTH * count);
    sort_by_bucket(events, count, starts, order);
    bool ok = number(db, why, events, starts, order);
    for (size_t i = 0; ok && i < count; i++) {
        struct event *event = &events[order[i]];
        if (!event->id)
            event->id = id_make(db_ids(db), event->at, event->bucket);
        event_values(event, &arena, whole + wholes * EVENT_WIDTH);
        bool is_short = make_short(whole + wholes * EVENT_WIDTH, brief + shorts * SHORT_WIDTH);
        shorts += is_short;
        wholes += !is_short;
    }
    ok = ok && db_do_many(db, why, short_sql, brief, SHORT_WIDTH, shorts, NULL) &&
         db_do_many(db, why, whole_sql, whole, EVENT_WIDTH, wholes, NULL);
    db_mark(db, STORE_MARK_EVENTS);
    arena_release(&arena);
    return ok;
}
