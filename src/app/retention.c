/* retention.c - rounds of slices
 *
 *     round: parts of months (PostgreSQL) -> events -> deliveries -> received mail -> stored mails -> engaged
 *            -> counters of campaigns that are over -> logs -> pages that are free go back to the file system (SQLite)
 *     each step: slice, slice, ... until one was not full; SLICE_PAUSE_MS between two
 *
 * Rows that carry their age in their id (base/id.h) are found by their primary key: (bucket, id) below the first id of
 * the instant. A slice is one write job; it asks first whether this node leads. */
#include "app/retention.h"

#include "base/log.h"
#include "event/retire.h"
#include "net/loop.h"
#include "report/fold.h"
#include <stdio.h>

enum {
    SLICE = 500,
    SLICE_PAUSE_MS = 20,
    FIRST_MS = 5000,
    ROUND_MS = 600000,
    PARTS_AHEAD = 2,
    PAGES_A_SLICE = 256,
    FREE_PAGES_MOST = 4096, /* 16 MB of a file may be free, for what comes */
};

struct retention {
    struct retention_options options;
    struct db *reader;
    struct loop *loop;
    struct loop_thread thread;
    struct timer timer;
    _Atomic bool is_stopping;
};

/* ── a slice is a job ── */

struct slice_job {
    struct write_job job;
    struct leases *leases;
    bool (*run)(struct slice_job *slice, struct db *db, struct fault *why);
    time_ms now, before;
    unsigned bucket;
    const struct table *table;
    const struct event_part *part;
    const struct fold *fold;
    unsigned next_bucket; /* of the fold's next slice */
    int64_t gone;
    bool has_more, leads;
};

static bool slice_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct slice_job *slice = (struct slice_job *)job;
    slice->gone = 0;
    slice->has_more = false;
    return leases_lead(db, why, slice->leases, &slice->leads) && (!slice->leads || slice->run(slice, db, why));
}

static bool parts_run(struct slice_job *slice, struct db *db, struct fault *why)
{
    return event_parts_make(db, why, slice->now, PARTS_AHEAD);
}

static bool drop_run(struct slice_job *slice, struct db *db, struct fault *why)
{
    slice->gone = 1;
    slice->has_more = true;
    return event_part_drop(db, why, slice->part);
}

static bool events_run(struct slice_job *slice, struct db *db, struct fault *why)
{
    return event_retire_slice(db, why, slice->bucket, slice->before, SLICE, &slice->gone, &slice->has_more);
}

/* ── tables ── */

/* Rows of (bucket, id): which go is `old`, with $1 the bucket, $2 the first id that is young enough. */
struct table {
    const char *select; /* id, and for deliveries campaign and state, at most $3 */
    const char *remove;
    bool is_delivery;
};
static const struct table deliveries = {
    "SELECT id, COALESCE(campaign_id, 0), state FROM delivery WHERE bucket = $1 AND id < $2 AND state > 4 ORDER BY id "
    "LIMIT $3",
    "DELETE FROM delivery WHERE bucket = $1 AND id = $2", true};
static const struct table inbound = {
    "SELECT id FROM inbound WHERE bucket = $1 AND id < $2 AND state <> 0 ORDER BY id LIMIT $3",
    "DELETE FROM inbound WHERE bucket = $1 AND id = $2", false};
static const struct table messages = {
    "SELECT id FROM message WHERE bucket = $1 AND id < $2 AND keep_until_ms = 0 ORDER BY id LIMIT $3",
    "DELETE FROM message WHERE bucket = $1 AND id = $2", false};
static const struct table engaged = {
    "SELECT delivery_id FROM engaged WHERE bucket = $1 AND delivery_id < $2 ORDER BY delivery_id LIMIT $3",
    "DELETE FROM engaged WHERE bucket = $1 AND delivery_id = $2", false};

struct found {
    int64_t ids[SLICE];
    uint64_t campaigns[SLICE];
    int states[SLICE];
    size_t count;
};

static bool rows_find(struct slice_job *slice, struct db *db, struct fault *why, struct found *found)
{
    SCOPED(rows) rows = {0};
    found->count = 0;
    if (!db_query(db, why, &rows, slice->table->select,
                  VALUES(V_INT(slice->bucket), V_INT((int64_t)id_first_of(slice->before)), V_INT(SLICE))))
        return false;
    while (found->count < SLICE && rows_next(&rows)) {
        found->ids[found->count] = rows_int(&rows, 0);
        found->campaigns[found->count] = slice->table->is_delivery ? (uint64_t)rows_int(&rows, 1) : 0;
        found->states[found->count++] = slice->table->is_delivery ? (int)rows_int(&rows, 2) : 0;
    }
    return rows_end(&rows);
}

static bool count_deliveries(struct db *db, struct fault *why, const struct found *found)
{
    for (size_t i = 0; i < found->count;) {
        uint64_t campaign = found->campaigns[i];
        int state = found->states[i];
        int64_t n = 0;
        for (; i < found->count && found->campaigns[i] == campaign && found->states[i] == state; i++)
            n++;
        if (!retired_add(db, why, campaign, state, n))
            return false;
    }
    return true;
}

static bool rows_run(struct slice_job *slice, struct db *db, struct fault *why)
{
    struct found *found = NEW(struct found);
    struct value *values = NEW_ARRAY(struct value, SLICE * 2);
    bool ok = rows_find(slice, db, why, found) && (!slice->table->is_delivery || count_deliveries(db, why, found));
    for (size_t i = 0; i < found->count; i++) {
        values[i * 2] = V_INT(slice->bucket);
        values[i * 2 + 1] = V_INT(found->ids[i]);
    }
    ok = ok && db_do_many(db, why, slice->table->remove, values, 2, found->count, NULL);
    slice->gone = (int64_t)found->count;
    slice->has_more = found->count == SLICE;
    free(values);
    free(found);
    return ok;
}

/* Small tables, each by one statement: $1 is the instant, in ms or as the first id of it. */
static bool logs_run(struct slice_job *slice, struct db *db, struct fault *why)
{
    static const char *const by_time[] = {
        "DELETE FROM queue_order WHERE done_ms > 0 AND done_ms < $1",
        "DELETE FROM queue_order_node WHERE order_id NOT IN (SELECT id FROM queue_order) AND $1 > 0",
        "DELETE FROM suspension WHERE until_ms < $1",
        "DELETE FROM pause WHERE until_ms < $1",
        "DELETE FROM alarm WHERE ended_ms > 0 AND ended_ms < $1",
        "DELETE FROM import_run WHERE finished_ms > 0 AND finished_ms < $1",
        "DELETE FROM unread_words WHERE last_ms < $1",
        "DELETE FROM site_total WHERE next_us / 1000 < $1",
    };
    const struct value id[] = {V_INT((int64_t)id_first_of(slice->before))}, at[] = {V_INT(slice->before)};
    char day[16];
    time_t seconds = (time_t)(slice->before / 1000);
    struct tm parts;
    gmtime_r(&seconds, &parts);
    strftime(day, sizeof(day), "%Y-%m-%d", &parts);
    int64_t gone = 0;
    if (!db_do(db, why, "DELETE FROM hook_delivery WHERE id < $1", id, 1, &slice->gone) ||
        !db_do(db, why, "DELETE FROM tls_count WHERE day < $1", VALUES(V_STR(day)), &gone))
        return false;
    slice->gone += gone;
    for (size_t i = 0; i < COUNT_OF(by_time); i++, slice->gone += gone)
        if (!db_do(db, why, by_time[i], at, 1, &gone))
            return false;
    return true;
}

/* Lanes that no delivery is in, of campaigns that ended long ago; and of all that have ended, that they were moved to
 * another pool (queue/order.h): every node keeps these in memory, and nobody leaves by them any more. */
static bool lanes_run(struct slice_job *slice, struct db *db, struct fault *why)
{
    const struct value values[] = {V_INT(slice->before), V_INT(SLICE)};
    int64_t moved;
    if (!db_do(db, why,
               "UPDATE lane SET pool = '' WHERE id IN (SELECT l.id FROM lane l JOIN campaign c ON c.id = l.campaign_id "
               "WHERE l.pool <> '' AND c.finished_ms > 0 LIMIT $1)",
               VALUES(V_INT(SLICE)), &moved) ||
        !db_do(db, why,
               "DELETE FROM lane WHERE id IN (SELECT l.id FROM lane l JOIN campaign c ON c.id = l.campaign_id WHERE "
               "c.finished_ms > 0 AND c.finished_ms < $1 LIMIT $2)",
               values, 2, &slice->gone))
        return false;
    slice->gone += moved;
    slice->has_more = slice->gone >= SLICE;
    return true;
}

static bool fold_run(struct slice_job *slice, struct db *db, struct fault *why)
{
    slice->next_bucket = slice->bucket;
    if (!fold_slice(db, why, slice->fold, SLICE, &slice->next_bucket, &slice->gone))
        return false;
    slice->has_more = slice->next_bucket < ID_BUCKETS;
    return true;
}

/* ── SQLite: pages ── */

static bool pages_run(struct slice_job *slice, struct db *db, struct fault *why)
{
    int64_t before, after;
    if (db_is_postgres(db))
        return true;
    if (!db_query_ints(db, why, "PRAGMA freelist_count", NO_VALUES, &before, 1, NULL) || before <= FREE_PAGES_MOST)
        return before <= FREE_PAGES_MOST;
    SCOPED(rows) rows = {0};
    char sql[64];
    snprintf(sql, sizeof(sql), "PRAGMA incremental_vacuum(%d)", PAGES_A_SLICE);
    if (!db_query(db, why, &rows, sql, NO_VALUES))
        return false;
    while (rows_next(&rows)) { /* a row for each page: it goes on while it is asked */
    }
    if (!rows_end(&rows) || !db_query_ints(db, why, "PRAGMA freelist_count", NO_VALUES, &after, 1, NULL))
        return false;
    slice->gone = before - after;
    slice->has_more = after > FREE_PAGES_MOST && after < before;
    return true;
}

/* ── a round ── */

static bool slice_write(const struct retention_options *options, struct slice_job *slice, struct fault *why)
{
    slice->job = (struct write_job){.run = slice_run, .rows = SLICE, .fails_fast = true};
    slice->leases = options->leases;
    slice->now = world_wall(options->world);
    return store_write_wait(options->store, &slice->job, why);
}

static bool stops(const _Atomic bool *is_stopping)
{
    return is_stopping && atomic_load(is_stopping);
}

/* Until a slice is not full. */
static bool step(const struct retention_options *options, const _Atomic bool *is_stopping, struct slice_job *slice,
                 int64_t *gone, struct fault *why)
{
    do {
        if (!slice_write(options, slice, why))
            return false;
        *gone += slice->gone;
        if (slice->has_more && is_stopping) /* a server: others write too */
            world_pause(options->world, SLICE_PAUSE_MS);
    } while (slice->has_more && slice->leads && !stops(is_stopping));
    return true;
}

/* The same in every bucket that has such rows at all. */
static bool each_bucket(const struct retention_options *options, struct db *reader, const _Atomic bool *is_stopping,
                        const char *asks, int64_t old, struct slice_job *slice, int64_t *gone, struct fault *why)
{
    for (unsigned bucket = 0; bucket < ID_BUCKETS && !stops(is_stopping); bucket++) {
        int64_t one;
        bool found;
        if (!db_query_ints(reader, why, asks, VALUES(V_INT(bucket), V_INT(old)), &one, 1, &found))
            return false;
        slice->bucket = bucket;
        if (found && !step(options, is_stopping, slice, gone, why))
            return false;
    }
    return true;
}

static bool events_go(const struct retention_options *options, struct db *reader, const _Atomic bool *is_stopping,
                      time_ms before, struct retention_done *done, struct fault *why)
{
    struct slice_job make = {.run = parts_run}, slice = {.run = events_run, .before = before};
    int64_t ignored = 0;
    if (db_is_postgres(reader) && !step(options, is_stopping, &make, &ignored, why))
        return false;
    while (db_is_postgres(reader) && make.leads && !stops(is_stopping)) {
        SCOPED(arena) arena = {0};
        struct event_part part;
        struct slice_job drop = {.run = drop_run, .part = &part};
        if (!event_part_oldest(reader, why, before, &arena, &part))
            return false;
        if (!part.part)
            break;
        if (!slice_write(options, &drop, why))
            return false;
        done->parts += drop.gone;
        log_info("app", "the events of %06d are too old and went", part.part);
    }
    return each_bucket(
        options, reader, is_stopping,
        db_pick(reader,
                "SELECT 1 FROM (SELECT at_ms FROM event WHERE bucket = $1 ORDER BY seq LIMIT 1) AS f WHERE at_ms < $2",
                "SELECT 1 FROM (SELECT at_ms FROM event_other WHERE bucket = $1 ORDER BY seq LIMIT 1) AS f WHERE "
                "at_ms < $2"),
        before, &slice, &done->events, why);
}

static bool rows_go(const struct retention_options *options, struct db *reader, const _Atomic bool *is_stopping,
                    const struct table *table, const char *asks, time_ms before, int64_t *gone, struct fault *why)
{
    struct slice_job slice = {.run = rows_run, .before = before, .table = table};
    return each_bucket(options, reader, is_stopping, asks, (int64_t)id_first_of(before), &slice, gone, why);
}

/* Campaign after campaign; one that a stop broke off is begun again. */
static bool counters_go(const struct retention_options *options, struct db *reader, const _Atomic bool *is_stopping,
                        int64_t *gone, struct fault *why)
{
    time_ms now = world_wall(options->world);
    bool ok = true, has_more = true;
    while (ok && has_more && !stops(is_stopping)) {
        SCOPED(fold) fold = {0};
        struct slice_job slice = {.run = fold_run, .fold = &fold, .has_more = true, .leads = true};
        ok = fold_next(reader, why, now - options->counters, now - options->events, &fold);
        has_more = fold.campaign_id != 0;
        while (ok && has_more && slice.has_more && !stops(is_stopping)) {
            ok = slice_write(options, &slice, why);
            has_more = slice.leads;
            slice.bucket = slice.next_bucket;
            *gone += slice.gone;
            if (is_stopping)
                world_pause(options->world, SLICE_PAUSE_MS);
        }
    }
    return ok;
}

bool retention_round(const struct retention_options *options, struct db *reader, const _Atomic bool *is_stopping,
                     struct retention_done *done, struct fault *why)
{
    time_ms now = world_wall(options->world), events = now - options->events;
    struct slice_job logs = {.run = logs_run, .before = now - options->logs},
                     lanes = {.run = lanes_run, .before = events}, pages = {.run = pages_run};
    *done = (struct retention_done){0};
    return events_go(options, reader, is_stopping, events, done, why) &&
           rows_go(options, reader, is_stopping, &deliveries,
                   "SELECT 1 FROM delivery WHERE bucket = $1 AND id < $2 AND state > 4 LIMIT 1", events,
                   &done->deliveries, why) &&
           rows_go(options, reader, is_stopping, &inbound,
                   "SELECT 1 FROM inbound WHERE bucket = $1 AND id < $2 AND state <> 0 LIMIT 1", now - options->inbound,
                   &done->inbound, why) &&
           rows_go(options, reader, is_stopping, &messages,
                   "SELECT 1 FROM message WHERE bucket = $1 AND id < $2 AND keep_until_ms = 0 LIMIT 1", events,
                   &done->messages, why) &&
           rows_go(options, reader, is_stopping, &engaged,
                   "SELECT 1 FROM engaged WHERE bucket = $1 AND delivery_id < $2 LIMIT 1", events, &done->others,
                   why) &&
           counters_go(options, reader, is_stopping, &done->counters, why) &&
           step(options, is_stopping, &logs, &done->others, why) &&
           step(options, is_stopping, &lanes, &done->others, why) &&
           step(options, is_stopping, &pages, &done->pages, why);
}

/* ── the thread ── */

static void round_due(struct timer *timer)
{
    struct retention *retention = timer->owner;
    struct retention_done done;
    struct fault why = {0};
    if (leases_lead_now(retention->options.leases)) {
        if (!retention_round(&retention->options, retention->reader, &retention->is_stopping, &done, &why) &&
            !atomic_load(&retention->is_stopping))
            log_warn("app", "what is too old cannot be removed now: %s", why.text);
        else if (done.events || done.deliveries || done.inbound || done.messages)
            log_info("app", "too old and gone: %lld events, %lld deliveries, %lld received mails, %lld sent ones",
                     (long long)done.events, (long long)done.deliveries, (long long)done.inbound,
                     (long long)done.messages);
    }
    if (!atomic_load(&retention->is_stopping))
        timer_set(timer, ROUND_MS);
}

struct retention *retention_start(const struct retention_options *options, struct fault *why)
{
    struct retention *retention = NEW(struct retention);
    retention->options = *options;
    retention->reader = store_reader_open(options->store, why);
    if (!retention->reader) {
        free(retention);
        return NULL;
    }
    retention->loop = loop_new(options->world);
    timer_init(&retention->timer, retention->loop, round_due, retention);
    timer_set(&retention->timer, FIRST_MS);
    loop_thread_start(&retention->thread, retention->loop, NULL, NULL, NULL);
    loop_thread_name(&retention->thread, "retention");
    return retention;
}

void retention_stop(struct retention *retention)
{
    if (!retention)
        return;
    atomic_store(&retention->is_stopping, true);
    loop_thread_join(&retention->thread);
    timer_clear(&retention->timer);
    loop_free(retention->loop);
    db_free(retention->reader);
    free(retention);
}
