/* reader.c - batches for readers, and followers that run by themselves
 *
 * A follower lives on the writer thread: its wake-ups, its job and its figures are all there, so nothing is locked.
 *
 *   idle --commit with events, or poll--> (interval not over: wait for the next poll) --> queued --job--> done
 *     done: more to read -> queued again; caught up -> idle; a fault -> idle, tried again at the poll in RETRY_MS */
#include "event/reader.h"

#include "base/log.h"
#include "event/row.h"

#include <assert.h>
#include <stddef.h>
#include <time.h>

/* ── one batch ── */

struct news {
    unsigned buckets[ID_BUCKETS];
    uint64_t from[ID_BUCKETS], counter[ID_BUCKETS]; /* by place, not by bucket */
    uint64_t until[ID_BUCKETS];                     /* what this batch takes */
    size_t count;
};

static bool news_read(struct db *db, struct fault *why, const char *reader, const struct bucket_set *buckets,
                      struct news *news)
{
    SCOPED(rows) rows = {0};
    news->count = 0;
    if (!db_query(db, why, &rows,
                  "SELECT c.bucket, c.seq, COALESCE(r.seq, 0) FROM bucket_counter c LEFT JOIN reader_cursor r ON "
                  "r.reader = $1 AND r.bucket = c.bucket WHERE c.seq > COALESCE(r.seq, 0) ORDER BY c.bucket",
                  VALUES(V_STR(reader))))
        return false;
    while (rows_next(&rows) && news->count < ID_BUCKETS) {
        unsigned bucket = (unsigned)rows_int(&rows, 0);
        assert(bucket < ID_BUCKETS);
        if (buckets && !bucket_set_has(buckets, bucket))
            continue;
        news->buckets[news->count] = bucket;
        news->counter[news->count] = (uint64_t)rows_int(&rows, 1);
        news->from[news->count++] = (uint64_t)rows_int(&rows, 2);
    }
    return rows_end(&rows);
}

struct batch {
    struct arena arena;
    struct event *events;
    size_t count, room;
};

static bool batch_take(void *context, size_t index, const struct rows *row, struct fault *why)
{
    struct batch *batch = context;
    assert(batch->count < batch->room);
    event_from_row(row, &batch->arena, &batch->events[batch->count++]);
    return true;
}

/* How far each bucket is read: every bucket has its turn, and what some do not need the others get. */
static size_t news_share(struct news *news, size_t max)
{
    size_t all = 0;
    for (size_t i = 0; i < news->count; i++)
        news->until[i] = news->from[i];
    for (size_t open = news->count; open && all < max;) {
        size_t share = (max - all) / open ? (max - all) / open : 1;
        open = 0;
        for (size_t i = 0; i < news->count && all < max; i++) {
            uint64_t left = news->counter[i] - news->until[i];
            uint64_t more = left < share ? left : share;
            news->until[i] += more;
            all += (size_t)more;
            open += news->until[i] < news->counter[i];
        }
    }
    return all;
}

static bool batch_read(struct db *db, struct fault *why, struct news *news, uint64_t kinds, size_t max,
                       struct batch *batch)
{
    SCOPED(buf) sql = BUF(2000);
    struct value values[ID_BUCKETS * 3];
    size_t rows = 0;
    batch->room = news_share(news, max);
    batch->events = arena_alloc(&batch->arena, sizeof(struct event) * batch->room);
    for (size_t i = 0; i < news->count; i++) {
        if (news->until[i] == news->from[i])
            continue;
        values[rows * 3] = V_INT(news->buckets[i]);
        values[rows * 3 + 1] = V_INT((int64_t)news->from[i]);
        values[rows++ * 3 + 2] = V_INT((int64_t)news->until[i]);
    }
    buf_text(&sql, "SELECT " EVENT_COLUMNS " FROM event WHERE bucket = $1 AND seq > $2 AND seq <= $3");
    if (kinds)
        buf_text(&sql, " AND kind IN (0"); /* no kind has number 0 */
    for (unsigned kind = 0; kinds && kind < EVENT_KIND_END; kind++)
        if (kinds & EVENT_BIT(kind))
            buf_printf(&sql, ", %u", kind);
    buf_str(&sql, kinds ? ") ORDER BY seq" : " ORDER BY seq");
    return db_query_many(db, why, buf_cstr(&sql), values, 3, rows, batch_take, batch);
}

static bool cursors_move(struct db *db, struct fault *why, const char *reader, const struct news *news, bool *has_more)
{
    struct value values[ID_BUCKETS * 3];
    size_t rows = 0;
    *has_more = false;
    for (size_t i = 0; i < news->count; i++) {
        *has_more |= news->until[i] < news->counter[i];
        if (news->until[i] == news->from[i])
            continue;
        values[rows * 3] = V_STR(reader);
        values[rows * 3 + 1] = V_INT(news->buckets[i]);
        values[rows * 3 + 2] = V_INT((int64_t)news->until[i]);
        rows++;
    }
    return db_do_many(db, why,
                      "INSERT INTO reader_cursor (reader, bucket, seq) VALUES ($1, $2, $3) ON CONFLICT (reader, "
                      "bucket) DO UPDATE SET seq = excluded.seq",
                      values, 3, rows, NULL);
}

bool event_reader_next_batch(struct db *db, struct fault *why, const char *reader, const struct bucket_set *buckets,
                             uint64_t kinds, size_t max, event_sink sink, void *context, size_t *seen, bool *has_more)
{
    struct news news;
    struct batch batch = {0};
    bool more = false;
    *seen = 0;
    if (has_more)
        *has_more = false;
    if (!news_read(db, why, reader, buckets, &news))
        return false;
    if (!news.count)
        return true;
    bool ok = batch_read(db, why, &news, kinds, max, &batch) &&
              (!batch.count || sink(context, db, why, batch.events, batch.count)) &&
              cursors_move(db, why, reader, &news, &more);
    *seen = batch.count;
    if (has_more)
        *has_more = more;
    arena_release(&batch.arena);
    return ok;
}

bool event_reader_lag(struct db *db, struct fault *why, const char *reader, uint64_t *lag)
{
    int64_t number;
    if (!db_query_ints(db, why,
                       "SELECT CAST(COALESCE(SUM(c.seq - COALESCE(r.seq, 0)), 0) AS BIGINT) FROM bucket_counter c LEFT "
                       "JOIN reader_cursor r ON r.reader = $1 AND r.bucket = c.bucket",
                       VALUES(V_STR(reader)), &number, 1, NULL))
        return false;
    *lag = (uint64_t)number;
    return true;
}

/* ── followers ── */

enum { BATCH = 2000, RETRY_MS = 1000, BUSY = 256, QUIET_MS = 100 };

struct event_follower {
    struct store_watch watch;
    struct write_job job;
    struct store *store;
    struct event_follower_options options;
    /* the writer thread's: */
    bool is_queued, is_wanted, has_more, is_stopping;
    bool is_resting;  /* after a large batch, so that the next is large, too */
    time_ms next_ms;  /* monotonic: not before, */
    time_ms heard_ms; /* unless nothing has been appended for QUIET_MS since */
    size_t seen;
};

static time_ms monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void follower_consider(struct event_follower *follower)
{
    follower->watch.again_ms = 0;
    if (follower->is_queued || !follower->is_wanted || follower->is_stopping)
        return;
    time_ms now = monotonic_ms(), quiet = follower->heard_ms + QUIET_MS, wait = follower->next_ms - now;
    if (follower->is_resting && quiet - now < wait)
        wait = quiet - now;
    if (wait > 0) {
        follower->watch.again_ms = (unsigned)wait;
        return;
    }
    follower->is_wanted = false;
    follower->is_queued = true;
    store_write(follower->store, &follower->job);
}

static void follower_wake(struct store_watch *watch, unsigned marks)
{
    struct event_follower *follower = (struct event_follower *)watch;
    if (marks & (STORE_MARK_EVENTS | STORE_MARK_POLL))
        follower->is_wanted = true;
    if (marks & STORE_MARK_EVENTS)
        follower->heard_ms = monotonic_ms();
    follower_consider(follower);
}

static struct event_follower *follower_of(struct write_job *job)
{
    return (struct event_follower *)((char *)job - offsetof(struct event_follower, job));
}

/* What this node is to read now, fenced until the commit. */
static bool next_batch(struct event_follower *follower, struct db *db, struct fault *why, size_t *seen, bool *has_more)
{
    const struct event_follower_options *options = &follower->options;
    struct bucket_set buckets = bucket_set_all(), ours = buckets;
    bool leads = true;
    *seen = 0;
    *has_more = false;
    if (options->only_leader ? !leases_lead(db, why, options->leases, &leads)
                             : options->leases && !leases_check(db, why, options->leases, &buckets, &ours))
        return false;
    return !leads || event_reader_next_batch(db, why, options->name, &ours, options->kinds, options->batch,
                                             options->sink, options->context, seen, has_more);
}

static bool follower_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct event_follower *follower = follower_of(job);
    return next_batch(follower, db, why, &follower->seen, &follower->has_more);
}

/* A batch asks each bucket and moves each cursor, however few events there are. */
static time_ms pause_after(struct event_follower *follower)
{
    const struct event_follower_options *options = &follower->options;
    follower->is_resting = !follower->has_more && options->busy_interval_ms && follower->seen >= BUSY;
    return follower->has_more ? 0 : follower->is_resting ? options->busy_interval_ms : options->interval_ms;
}

static void follower_done(struct write_job *job, const struct fault *why)
{
    struct event_follower *follower = follower_of(job);
    follower->is_queued = false;
    time_ms pause = pause_after(follower);
    follower->next_ms = monotonic_ms() + (why ? RETRY_MS : pause);
    if (why) {
        follower->is_resting = false;
        log_warn("event", "reader %s: %s", follower->options.name, why->text);
        follower->is_wanted = true;
        return;
    }
    follower->is_wanted |= follower->has_more;
    if (follower->seen && follower->options.after)
        follower->options.after(follower->options.context, follower->seen);
    follower_consider(follower);
}

struct event_follower *event_follow(struct store *store, const struct event_follower_options *options)
{
    struct event_follower *follower = NEW(struct event_follower);
    follower->watch.wake = follower_wake;
    follower->store = store;
    follower->options = *options;
    if (!follower->options.batch)
        follower->options.batch = BATCH;
    follower->job.run = follower_run;
    follower->job.done = follower_done;
    follower->job.fails_fast = true; /* a poll tries again; and stopping need not wait for a lost store */
    follower->job.rows = 256;        /* what one batch may hold up others, more or less */
    store_watch_add(store, &follower->watch);
    return follower;
}

/* A batch of our own in the writer's queue, behind whatever the follower has there. */
struct catch_up {
    struct write_job job;
    struct event_follower *follower;
    size_t seen;
    bool has_more;
};

static bool catch_up_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct catch_up *catch_up = (struct catch_up *)job;
    return next_batch(catch_up->follower, db, why, &catch_up->seen, &catch_up->has_more);
}

/* Comes behind the commit. */
static bool after_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct catch_up *catch_up = (struct catch_up *)job;
    const struct event_follower_options *options = &catch_up->follower->options;
    if (catch_up->seen && options->after)
        options->after(options->context, catch_up->seen);
    catch_up->seen = 0;
    return true;
}

bool event_follower_catch_up(struct event_follower *follower, struct fault *why)
{
    struct catch_up catch_up = {.job = {.run = catch_up_run}, .follower = follower, .has_more = true};
    while (catch_up.has_more) {
        struct catch_up after = catch_up;
        after.job.run = after_run;
        if (!store_write_wait(follower->store, &catch_up.job, why))
            return false;
        after.seen = catch_up.seen;
        if (!store_write_wait(follower->store, &after.job, why))
            return false;
    }
    return true;
}

static bool stop_run(struct write_job *job, struct db *db, struct fault *why)
{
    ((struct catch_up *)job)->follower->is_stopping = true;
    return true;
}

void event_follower_stop(struct event_follower *follower)
{
    if (!follower)
        return;
    store_watch_remove(follower->store, &follower->watch);
    /* the first job stops new batches, the second comes behind the last one */
    struct catch_up stop = {.job = {.run = stop_run, .fails_fast = true}, .follower = follower};
    struct fault ignored;
    for (int i = 0; i < 2; i++)
        if (!store_write_wait(follower->store, &stop.job, &ignored))
            log_debug("event", "reader %s stopped while the store was away", follower->options.name);
    free(follower);
}
