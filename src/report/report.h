/* report.h - the numbers of campaigns: an event reader that keeps exact counters, and the queries on them
 *
 * The reader ("report") moves deliveries between count_state rows by each event's state_before and state_after;
 * counters are kept by bucket and summed when read, their sums by campaign, state and reason by node (count_total), and
 * its cursor moves in the same transaction: exact whatever crashes. An ACCEPTED event carries how many deliveries it
 * made (n). LEFT_OUT counts as state -1 (REPORT_LEFT_OUT). The counters run behind the events by the reader's lag
 * (event_reader_lag), never wrong otherwise. */
#ifndef TODOKE_REPORT_REPORT_H
#define TODOKE_REPORT_REPORT_H

#include "base/json.h"
#include "event/reader.h"

enum { REPORT_LEFT_OUT = -1 };
#define REPORT_READER "report" /* the name of its cursor */

struct report;
/* Start following. after_change (may be NULL) is called on the writer thread after counters moved: post to a mailbox.
 */
struct report *report_start(struct store *store, struct leases *leases, void (*after_change)(void *context),
                            void *context);
void report_stop(struct report *report);
/* Wait until the counters have caught up with the events (for commands and tests). */
NODISCARD bool report_catch_up(struct report *report, struct fault *why);
/* The reader's body, for those who run it themselves. */
NODISCARD bool report_take(void *context, struct db *db, struct fault *why, const struct event *events, size_t count);

struct report_totals {
    int64_t states[DELIVERY_STATE_COUNT];
    int64_t accepted; /* the sum of the ten */
    int64_t left_out;
};
/* campaign_id 0: everything. */
NODISCARD bool report_totals(struct db *db, struct fault *why, uint64_t campaign_id, struct report_totals *totals);
/* Does the campaign owe anything? Cheap while it does, even to a million recipients at 50,000 domains: the search
 * begins in *bucket, where something was found last. */
NODISCARD bool report_owes(struct db *db, struct fault *why, uint64_t campaign_id, unsigned *bucket, bool *owes);

struct report_domain {
    struct slice domain;
    struct report_totals totals;
};
/* By recipient domain, most deliveries first, at most `limit`; what was folded together (report/fold.h) is the last,
 * FOLD_OTHERS. Slices live in the arena. */
NODISCARD bool report_by_domain(struct db *db, struct fault *why, uint64_t campaign_id, size_t limit,
                                struct arena *arena, struct report_domain **domains, size_t *count);

struct report_reason {
    enum reason reason;
    enum whose_fault whose;
    int64_t states[DELIVERY_STATE_COUNT]; /* deliveries with this reason, by the state they are in now */
    int64_t n;                            /* their sum */
};
/* By reason, most first. domain empty: all. */
NODISCARD bool report_by_reason(struct db *db, struct fault *why, uint64_t campaign_id, struct slice domain,
                                struct arena *arena, struct report_reason **reasons, size_t *count);

struct report_left_out {
    struct slice why; /* suppress_why's word, as the LEFT_OUT events' notes say */
    int64_t n;
};
NODISCARD bool report_left_out(struct db *db, struct fault *why, uint64_t campaign_id, struct arena *arena,
                               struct report_left_out **rows, size_t *count);

/* What happened in the last seconds, in memory, from the reader's stream: events of this kind a second, over the last
 * `seconds` (1..60). Safe from any thread. */
double report_rate(const struct report *report, enum event_kind kind, unsigned seconds, time_ms now);

/* `todoke queue audit`: three counts of the same thing, in one view, on a reader's connection that is in no
 * transaction. A mark (on_wire) writes no event, so counters and rows agree in each ended state and in the sum of the
 * owed ones. */
struct report_audit {
    int64_t accepted;                       /* by the ACCEPTED events */
    int64_t rows[DELIVERY_STATE_COUNT];     /* by the delivery rows */
    int64_t counters[DELIVERY_STATE_COUNT]; /* by count_state */
    int64_t rows_sum, counters_sum, left_out;
    uint64_t lag; /* events the counters have not seen */
    bool agrees;  /* accepted = rows_sum, and, with lag 0, counters = rows */
};
NODISCARD bool report_audit(struct db *db, struct fault *why, uint64_t campaign_id, struct report_audit *audit);
/* The same inside a transaction of the caller's. */
NODISCARD bool report_audit_within(struct db *db, struct fault *why, uint64_t campaign_id, struct report_audit *audit);
/* One object, as CLI.md fixes it. */
void report_audit_write(struct json *json, const struct report_audit *audit);

#endif
