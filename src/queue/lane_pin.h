/* lane_pin.h - what was in doubt by a source that one node alone has is tried again by that source (R22)
 *
 * Whoever owns the bucket may be another node than the one with the source, and that one may have sources of the pool,
 * too. So such a mail has a lane of its own, beside the one that it was submitted to: the same in all but the source.
 * While that source may be used and its node lives, the lane is handed there (queue/handoff.h) under the name that
 * lane_pin_name gives it; otherwise it is a lane like any other. */
#ifndef TODOKE_QUEUE_LANE_PIN_H
#define TODOKE_QUEUE_LANE_PIN_H

#include "queue/lanes.h"
#include "store/db.h"

/* Inside a write job: this delivery, in doubt in `lane`, belongs to the lane of this source from now on (0: to that of
 * any), which is found or made. *lane is that one afterwards. */
NODISCARD bool lane_pin(struct db *db, struct fault *why, uint64_t delivery_id, uint64_t source_id, time_ms now,
                        struct lane_key *lane);

/* "=17": what a handoff of such lanes has instead of a pool, which never begins so. */
enum { LANE_PIN_NAME_ROOM = 24 };
struct slice lane_pin_name(uint64_t source_id, char name[LANE_PIN_NAME_ROOM]);

#endif
