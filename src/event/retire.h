/* event/retire.h - events that are too old go
 *
 * On SQLite in slices from the beginning of each bucket, as far as every reader has read. On PostgreSQL the events of a
 * month (UTC) are a part of their own, event_YYYYMM, and the whole part goes; what has no part of its month is in
 * event_other, and goes in slices too. What the ACCEPTED ones among them said is kept in the table `retired`, so that
 * the audit still agrees. */
#ifndef TODOKE_EVENT_RETIRE_H
#define TODOKE_EVENT_RETIRE_H

#include "event/event.h"

/* Inside a write job: the oldest `most` events of this bucket that happened before `before`. *has_more: perhaps there
 * are others. */
NODISCARD bool event_retire_slice(struct db *db, struct fault *why, unsigned bucket, time_ms before, size_t most,
                                  int64_t *gone, bool *has_more);

/* ── PostgreSQL: months (elsewhere nothing happens) ── */

/* Inside a write job: parts for the month of `now` and the `ahead` next ones, where they are missing. Until the commit
 * nobody else reads or writes events; while somebody reads them for long (a backup) nothing happens, until the next
 * time. */
NODISCARD bool event_parts_make(struct db *db, struct fault *why, time_ms now, unsigned ahead);
/* On a reader's connection: the oldest part whose month was over before `before`, and what its ACCEPTED events said
 * (this reads all of it). *part 0: there is none. */
struct event_part {
    int part; /* 202611 */
    struct event_part_sum {
        uint64_t campaign_id;
        int64_t n;
    } * sums;
    size_t sum_count;
};
NODISCARD bool event_part_oldest(struct db *reader, struct fault *why, time_ms before, struct arena *arena,
                                 struct event_part *part);
/* Inside a write job: it goes. */
NODISCARD bool event_part_drop(struct db *db, struct fault *why, const struct event_part *part);

/* Inside a write job: so many rows of a campaign have gone. state -1: acceptances. */
NODISCARD bool retired_add(struct db *db, struct fault *why, uint64_t campaign_id, int state, int64_t n);

#endif
