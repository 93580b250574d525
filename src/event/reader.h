/* event/reader.h - follow the events with a durable cursor for each bucket
 *
 * A reader's cursor moves in the transaction of its own tables, so what it derives is exact whatever crashes. It sees
 * every event once, each bucket's in seq order. It must be run by the bucket's leaseholder. */
#ifndef TODOKE_EVENT_READER_H
#define TODOKE_EVENT_READER_H

#include "event/event.h"
#include "store/lease.h"

/* Take a batch of events (never empty): bucket after bucket, each bucket's in seq order; write with db what follows
 * from them. Runs inside a write job: may run again with the same events when that job is repeated. */
typedef bool (*event_sink)(void *context, struct db *db, struct fault *why, const struct event *events, size_t count);

/* Inside a write job: hand at most `max` unseen events of these kinds (EVENT_BIT; 0: all) to the sink and move the
 * cursors past them and what lies between. *seen: how many; *has_more (may be NULL): there were more. buckets NULL:
 * all. */
NODISCARD bool event_reader_next_batch(struct db *db, struct fault *why, const char *reader,
                                       const struct bucket_set *buckets, uint64_t kinds, size_t max, event_sink sink,
                                       void *context, size_t *seen, bool *has_more);
/* How many events the reader has not seen. */
NODISCARD bool event_reader_lag(struct db *db, struct fault *why, const char *reader, uint64_t *lag);

/* A reader that follows by itself: woken after commits that appended events, at most every interval_ms, and by a poll.
 */
struct event_follower;
struct event_follower_options {
    const char *name; /* of the cursor */
    event_sink sink;
    void *context;
    uint64_t kinds; /* EVENT_BIT of all that the sink wants; 0: any */
    /* Of several nodes each follows its own buckets; only_leader: one node follows all. NULL: there is only one. */
    struct leases *leases;
    bool only_leader;
    size_t batch;        /* events a transaction; 0: 2,000 */
    time_ms interval_ms; /* least time between two batches while there is little to do */
    /* And after one of 256 events or more, as each costs less in a large batch; over when nothing has been appended for
     * 100 ms. 0: the same. */
    time_ms busy_interval_ms;
    void (*after)(void *context, size_t events); /* after each commit, on the writer thread; may be NULL */
};
struct event_follower *event_follow(struct store *store, const struct event_follower_options *options);
/* Run it again even if nothing woke it, and wait until it has caught up (for commands and tests). */
NODISCARD bool event_follower_catch_up(struct event_follower *follower, struct fault *why);
/* Before store_close. Waits for a batch that is being written. */
void event_follower_stop(struct event_follower *follower);

#endif
