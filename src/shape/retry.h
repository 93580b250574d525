/* retry.h - when a refused delivery is tried again, and when it is given up (RECEIVERS.md "Retry hours by reason")
 *
 * A pure function of the verdict, the count of attempts, the clock and chance: no state, no store. Jitter always, so
 * that what was deferred together does not come back together (R27). */
#ifndef TODOKE_SHAPE_RETRY_H
#define TODOKE_SHAPE_RETRY_H

#include "base/random.h"
#include "base/time.h"
#include "mail/delivery.h"
#include "mail/reply.h"
#include "mail/verdict.h"

struct retry_settings {
    double scale; /* every wait is multiplied by this: 1.0, or less where a demonstration has no days to wait */
};

/* What becomes of a delivery whose attempt number `attempts` (from 1) was refused with `reply` and judged by
 * `verdict`:
 * BOUNCED, EXPIRED, or DEFERRED with *due set. `expires` is the instant after which it is given up (a wait that would
 * end later is cut to end shortly before, once: a full mailbox has the whole time, not half of it); `opens`: when
 * the way to its site, suspended now, opens again (0: it is open), which is when a limit's refusal is tried again. 5xx:
 * final, unless the verdict knows better (full mailbox, greylisting, a limit that opens again). 4xx and lost
 * connections (code 0): tried again (M10), whatever the words blame; but what is wrong with the mail itself or with its
 * authentication never heals by waiting (4.7.26 and kin), unless the words ask for later, or it is a 421, which ends
 * the connection only. */
enum delivery_state retry_decide(const struct verdict *verdict, const struct reply *reply, unsigned attempts,
                                 time_ms now, time_ms expires, time_ms opens, const struct retry_settings *settings,
                                 struct random *random, time_ms *due);

/* The wait before attempt `attempts` + 1, without jitter and scale; 0: not again. */
time_ms retry_wait(enum retry retry, unsigned attempts);

#endif
