/* gate.h - so many in any window: a limit that no window of its period ever exceeds (R28)
 *
 * The generic cell rate algorithm on the clock it is given: each passage moves the next one by `interval`, and `slack`
 * is how far ahead of its turn one may pass (a small burst). In any half-open window of length `per` at most
 * ceil((per + slack) / interval) pass; gate_pace chooses the interval so that this is `count`, whatever came before.
 * Sixteen bytes; the clock may be as coarse as it likes, and must not go back. */
#ifndef TODOKE_SHAPE_GATE_H
#define TODOKE_SHAPE_GATE_H

#include "base/time.h"

struct gate {
    int64_t next_us; /* when the next one has its turn */
};
struct gate_pace {
    int64_t interval_us, slack_us; /* interval 0: no limit */
};

/* `count` in any window of `per_us`; one part in `slack_part` of it may come in a burst (0: none, evenly spaced). */
static inline struct gate_pace gate_pace(uint64_t count, int64_t per_us, int64_t slack_part)
{
    if (!count)
        return (struct gate_pace){0, 0};
    int64_t slack = slack_part ? per_us / slack_part : 0;
    return (struct gate_pace){(per_us + slack + (int64_t)count - 1) / (int64_t)count, slack};
}

/* 0: pass now; otherwise ms until one may. */
static inline time_ms gate_wait(const struct gate *gate, struct gate_pace pace, time_ms now)
{
    int64_t early = gate->next_us - pace.slack_us - now * 1000;
    return !pace.interval_us || early <= 0 ? 0 : (early + 999) / 1000;
}

static inline void gate_pass(struct gate *gate, struct gate_pace pace, time_ms now)
{
    int64_t now_us = now * 1000;
    if (pace.interval_us)
        gate->next_us = (gate->next_us > now_us ? gate->next_us : now_us) + pace.interval_us;
}

#endif
