/* event/event.h - append facts, and read them back
 *
 * An event's place is (log, seq), in the store (bucket, seq): seq comes from the log's counter row, updated in the
 * appending transaction, so commit order equals seq order without gaps, on both stores. Its log is the bucket of its
 * address; but on SQLite, where one node owns all buckets, what comes in masses (accepted, delivered at the first try,
 * opened, clicked, downloaded) stands in EVENT_COMMON_LOG, so that a commit of many touches a page or two and not one
 * for each. The nouns are in mail/event.h. */
#ifndef TODOKE_EVENT_EVENT_H
#define TODOKE_EVENT_EVENT_H

#include "base/arena.h"
#include "mail/brands.h"
#include "mail/event.h"
#include "store/store.h"

enum { EVENT_COMMON_LOG = 0 /* read first: what follows an event of a mail is in another log, or behind it */ };

/* Inside a write transaction: number the events in the order of their logs (within one in the order given), fill `seq`,
 * and `id` where it is 0, and insert them. Marks STORE_MARK_EVENTS. An event without delivery state (state_before and
 * state_after both DELIVERY_STATE_COUNT) moved nothing and belongs to no delivery. Diagnostics are cut to
 * EVENT_DIAGNOSTIC_MAX and made UTF-8. A job that appends takes no other row locks after this call: append last, so
 * that writers on two nodes cannot deadlock. */
NODISCARD bool event_append(struct db *db, struct fault *why, struct event *events, size_t count);

/* ── queries: for readers' connections ── */

/* What a page of events is filtered by; zero means any. */
struct event_filter {
    uint64_t campaign_id, brand_id;
    struct brands brands;
    bool by_whose, by_reason; /* `whose` and `reason` count only then */
    enum whose_fault whose;
    enum reason reason;
    uint64_t kinds;      /* EVENT_BIT(kind) of kinds in EVENT_PROBLEMS; 0: all of them */
    struct slice text;   /* part of the address or the diagnostic, ASCII letters of any case */
    struct slice domain; /* recipient domain */
    struct slice site;
    struct slice status; /* "5.1.1" */
    time_ms since, until;
    uint64_t before_id; /* paging: only events older than this id; 0: from the newest */
};
#define EVENT_BIT(kind) ((uint64_t)1 << (kind))
enum { EVENT_PAGE_MAX = 1000 };
extern const uint64_t EVENT_PROBLEMS; /* deferred, bounced, expired, delay_notice, complaint, autoreply, unverified */

/* The slices of the events live in the arena. `rule` and `words` of a verdict too. */
struct event_page {
    struct event *events;
    size_t count;
    bool has_more; /* ask again with before_id = the last event's id */
};
/* Newest first, at most `limit` (up to EVENT_PAGE_MAX). A deferral is listed only while it is the last that happened to
 * its delivery. */
NODISCARD bool event_problems(struct db *db, struct fault *why, const struct event_filter *filter, size_t limit,
                              struct arena *arena, struct event_page *page);
/* How many of them by whose fault; of the newest EVENT_COUNTED_MAX that match. */
enum { EVENT_COUNTED_MAX = 100000 };
NODISCARD bool event_problem_faults(struct db *db, struct fault *why, const struct event_filter *filter,
                                    uint64_t n[WHOSE_COUNT]);
/* Everything that happened to one delivery, oldest first; it begins with ACCEPTED, made from the delivery's row. Of its
 * opens and clicks the newest 32 (report/engaged.h), as soon as the report's reader has seen them. */
NODISCARD bool event_timeline(struct db *db, struct fault *why, uint64_t delivery_id, size_t limit, struct arena *arena,
                              struct event_page *page);
/* One of EVENT_PROBLEMS by its id. False without a fault text (kind NONE): there is none. */
NODISCARD bool event_find(struct db *db, struct fault *why, uint64_t id, struct arena *arena, struct event *event);
/* One log's events after a seq, oldest first. */
NODISCARD bool event_since(struct db *db, struct fault *why, unsigned log, uint64_t after_seq, size_t limit,
                           struct arena *arena, struct event_page *page);
/* The last seq of a log before this time, by halving: times follow seq but for EVENT_DISORDER_MS. */
enum { EVENT_DISORDER_MS = 5000 };
NODISCARD bool event_seq_before(struct db *db, struct fault *why, unsigned log, time_ms since, uint64_t *seq);

#endif
