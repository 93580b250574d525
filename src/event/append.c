#include "event/row.h"

#include "store/counter.h"
#include <assert.h>

/* On SQLite, where one node owns all buckets, every log is a place of its own in the file, and a commit writes each
 * page that it touches: what comes in masses, and what nobody looks for by its delivery's index, stands in one log. */
static unsigned log_of(const struct db *db, const struct event *event)
{
    bool is_first_try = event->state_before == DELIVERY_WAITING && event->attempt == 1;
    bool is_common = event->kind == EVENT_ACCEPTED || (event->kind == EVENT_DELIVERED && is_first_try) ||
                     event->kind == EVENT_OPENED || event->kind == EVENT_CLICKED || event->kind == EVENT_DOWNLOADED;
    return is_common && !db_is_postgres(db) ? EVENT_COMMON_LOG : event->bucket;
}

/* The order of the events by log, stable: counting sort. starts[b]..starts[b + 1] are the places of log b. */
static void sort_by_log(const struct db *db, const struct event *events, size_t count, size_t starts[ID_BUCKETS + 1],
                        size_t *order)
{
    memset(starts, 0, sizeof(size_t) * (ID_BUCKETS + 1));
    for (size_t i = 0; i < count; i++) {
        assert(events[i].bucket < ID_BUCKETS);
        starts[log_of(db, &events[i]) + 1]++;
    }
    for (unsigned log = 0; log < ID_BUCKETS; log++)
        starts[log + 1] += starts[log];
    size_t next[ID_BUCKETS];
    memcpy(next, starts, sizeof(next));
    for (size_t i = 0; i < count; i++)
        order[next[log_of(db, &events[i])]++] = i;
}

struct numbering {
    struct event *events;
    const size_t *starts, *order;
    const unsigned *logs; /* of the statements */
};

/* The counter stands at the last seq of this log's events now. */
static bool number_log(void *context, size_t index, const struct rows *row, struct fault *why)
{
    const struct numbering *numbering = context;
    unsigned log = numbering->logs[index];
    size_t from = numbering->starts[log], to = numbering->starts[log + 1];
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
    unsigned logs[ID_BUCKETS];
    struct value values[ID_BUCKETS * 2];
    size_t rows = 0;
    for (unsigned log = 0; log < ID_BUCKETS; log++) { /* ascending: writers on two nodes cannot deadlock */
        size_t n = starts[log + 1] - starts[log];
        if (!n)
            continue;
        logs[rows] = log;
        values[rows * 2] = V_INT(log);
        values[rows * 2 + 1] = V_INT((int64_t)n);
        rows++;
    }
    struct bucket_set wanted = {0};
    for (size_t i = 0; i < rows; i++)
        bucket_set_add(&wanted, logs[i]);
    if (!counters_want(db, why, &wanted))
        return false;
    struct numbering numbering = {events, starts, order, logs};
    if (!db_is_postgres(db)) { /* SQLite builds a table in memory for each RETURNING; here nobody else writes */
        struct value keys[ID_BUCKETS];
        for (size_t i = 0; i < rows; i++)
            keys[i] = values[i * 2];
        return db_do_many(db, why, COUNT_UP, values, 2, rows, NULL) &&
               db_query_many(db, why, "SELECT seq FROM bucket_counter WHERE bucket = $1", keys, 1, rows, number_log,
                             &numbering);
    }
    return db_query_many(db, why, COUNT_UP " RETURNING seq", values, 2, rows, number_log, &numbering);
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
    "$23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36)";

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
    sort_by_log(db, events, count, starts, order);
    bool ok = number(db, why, events, starts, order);
    for (size_t i = 0; ok && i < count; i++) {
        struct event *event = &events[order[i]];
        if (!event->id)
            event->id = id_make(db_ids(db), event->at, event->bucket);
        event_values(event, log_of(db, event), &arena, whole + wholes * EVENT_WIDTH);
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
