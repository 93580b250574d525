/* rehearsal.h - what another policy would have done with the events of some days
 *
 * Reads the events in their order, as suppress_apply met them, and counts strikes in memory only; nothing is written.
 * Where more than 200,000 addresses have errors they are looked at in several turns, so memory stays within some 60 MB.
 * The days begin with clean slates: errors of the time before do not count. An address that the policy of then excluded
 * got no mail afterwards, so a gentler policy is shown with less than it would have seen. */
#ifndef TODOKE_SUPPRESS_REHEARSAL_H
#define TODOKE_SUPPRESS_REHEARSAL_H

#include "suppress/suppress.h"

enum { REHEARSAL_EXAMPLES = 3 };

struct rehearsal_options {
    const struct policy *policy;
    int threshold;     /* instead of the policy's own; 0: its own */
    uint64_t brand_id; /* only its events; 0: all */
    time_ms since, until;
};
struct rehearsal_reason {
    int64_t errors;                            /* final ones: attempts of one delivery are one */
    int64_t then;                              /* addresses excluded, as it was */
    int64_t would;                             /* addresses it would have excluded */
    int64_t both;                              /* excluded then, and now too (whatever the reason is then) */
    struct slice examples[REHEARSAL_EXAMPLES]; /* addresses that only it would have excluded */
    struct slice spared[REHEARSAL_EXAMPLES];   /* addresses that only the policy of then excluded */
    unsigned example_count, spared_count;
};
struct rehearsal {
    struct rehearsal_reason reasons[REASON_COUNT];
    int64_t events, addresses; /* looked at; with at least one error */
    int64_t then, would;       /* sums */
};
NODISCARD bool rehearsal_run(struct db *db, struct fault *why, const struct rehearsal_options *options,
                             struct arena *arena, struct rehearsal *rehearsal);

#endif
