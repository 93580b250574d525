/* fold.h - the counters of a campaign that is over become few, and say the same
 *
 *     0 not yet --over for some time (retention.counters)--> 1 --as old as events get (retention.events)--> 2
 *
 * Counters are kept by bucket, so that readers of several nodes do not wait for each other: a campaign of a million has
 * 180,000 rows. Folding adds them up in FOLD_BUCKET, which no reader writes, and sums over all buckets stay what they
 * were. Each domain of the FOLD_DOMAINS_KEPT largest keeps its rows, more than any report shows; the rest is
 * FOLD_OTHERS. What happens after a fold (an error mail, a click) is counted in its own bucket as ever and folded by
 * the second, when the deliveries are gone too. What a finished campaign still owes by its counters stays where it is.
 */
#ifndef TODOKE_REPORT_FOLD_H
#define TODOKE_REPORT_FOLD_H

#include "base/arena.h"
#include "base/map.h"
#include "store/db.h"

enum { FOLD_BUCKET = ID_BUCKETS, FOLD_DOMAINS_KEPT = 200 };
#define FOLD_OTHERS "*"

struct fold {
    uint64_t campaign_id; /* 0: none is to be folded */
    int level;            /* 1 or 2 */
    struct map kept;      /* domains */
};
void fold_release(struct fold *fold);

/* On a reader's connection: the next campaign whose turn it is, ended before `over`, or for good before `for_good`. */
NODISCARD bool fold_next(struct db *reader, struct fault *why, time_ms over, time_ms for_good, struct fold *fold);
/* Inside a write job: *bucket and those after it, until about `most` rows are gone; *bucket is then the next one, or
 * ID_BUCKETS at the end, when the campaign is marked as folded. */
NODISCARD bool fold_slice(struct db *db, struct fault *why, const struct fold *fold, int64_t most, unsigned *bucket,
                          int64_t *gone);

#endif
