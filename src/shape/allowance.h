/* allowance.h - what a source may still send today: limits a day that hold across crashes and restarts (R28, S50)
 *
 * Two limits of this kind: a rule's `daily` for each (source, site), and a source's warm-up plan for a site or for all
 * sites together. Both are given out in blocks that are written down before they are used: a crash loses what was left
 * of a block, and never sends more than the cap; what is given back goes to the limits it was taken of, whatever plans
 * have begun and ended since. A block is an eighth of what is left at most, one of the last eight:
 * so the end of a day is for whoever has mail, and not for who asked first. Days are UTC.
 *
 * A warm-up plan is a row: caps, one for each step. At the first use of a new day it goes a step on when the day before
 * used at least half of its cap, less than 5 % of its answers were deferrals, and less than one in 1,000 of its mails
 * was complained of (complaints of that site, or of all for `*`, whatever their source, on that day and, when the next
 * use came later, on the one behind it); a day with more than 20 %
 * deferred goes a step back; otherwise the step is repeated. Behind the last step the plan is done: no cap. */
#ifndef TODOKE_SHAPE_ALLOWANCE_H
#define TODOKE_SHAPE_ALLOWANCE_H

#include "base/arena.h"
#include "base/time.h"
#include "store/store.h"

enum allowance_bound { ALLOWANCE_NONE, ALLOWANCE_DAILY, ALLOWANCE_WARM_UP };

static inline int64_t allowance_day(time_ms wall)
{
    return wall / DAYS_MS(1);
}

struct allowance_ask {
    uint64_t source_id; /* 0: the system's choice of address */
    struct slice site;
    unsigned daily;  /* of the rule; 0: none */
    unsigned want;   /* a block of so many at most; 0: only report */
    unsigned unused; /* of an earlier block of `unused_day`, given back to what it was taken of */
    int64_t unused_day;
    unsigned unused_of;           /* as `of` of that block; of several blocks what they have in common */
    unsigned delivered, deferred; /* since the last report, for the warm-up's judgement */
    time_ms now;                  /* wall */
    /* out */
    unsigned granted;
    int64_t day;                /* the block is good for this day only */
    enum allowance_bound bound; /* what limits: NONE: nothing does, `granted` means nothing */
    int64_t cap;                /* of it */
    unsigned of;                /* the limits that the block was taken of (enum allowance_of) */
};
enum allowance_of { ALLOWANCE_OF_DAILY = 1, ALLOWANCE_OF_SITE_PLAN = 2, ALLOWANCE_OF_PLAN = 4 };
/* Inside a write job; may run again. */
NODISCARD bool allowance_reserve(struct db *db, struct fault *why, struct allowance_ask *ask);

/* "50,100,500": rising numbers from 1 on, at most WARM_UP_STEPS_MOST. The pure part: cap of a step; -1 behind the last.
 */
enum { WARM_UP_STEPS_MOST = 60 };
NODISCARD bool warm_up_caps_check(struct slice caps, struct fault *why);
int64_t warm_up_cap(struct slice caps, int64_t step);
/* Yesterday's figures -> the change of step: +1, 0 or -1; `why` (a literal) when not +1. */
int warm_up_judge(int64_t cap, int64_t reserved, int64_t delivered, int64_t deferred, int64_t complaints,
                  const char **why);

/* Inside write jobs. caps "" uses the plan of ours: 50 a day, then about 1.5 times more each day to 100,000. */
NODISCARD bool warm_up_begin(struct db *db, struct fault *why, uint64_t source_id, struct slice group,
                             struct slice caps, time_ms now);
/* INPUT: there is none. */
NODISCARD bool warm_up_end(struct db *db, struct fault *why, uint64_t source_id, struct slice group);
/* Another one whenever a plan begins, begins anew or ends. */
NODISCARD bool warm_ups_mark(struct db *db, struct fault *why, uint64_t *mark);
struct warm_up {
    struct slice group, caps, why;
    int64_t step, day, cap, reserved; /* cap -1: done; reserved: of today */
    int64_t delivered, deferred;
};
NODISCARD bool warm_up_list(struct db *db, struct fault *why, uint64_t source_id, time_ms now, struct arena *arena,
                            struct warm_up **list, size_t *count);
/* Those for all sites that have been used on the day of `now` (wall) and have a cap then. */
struct warm_up_use {
    uint64_t source_id;
    int64_t cap, reserved;
};
NODISCARD bool warm_ups_used(struct db *db, struct fault *why, time_ms now, struct arena *arena,
                             struct warm_up_use **list, size_t *count);
/* Has it given out all that its plan for all sites lets it send on the day of `now` (wall)? */
NODISCARD bool warm_up_is_used_up(struct db *db, struct fault *why, uint64_t source_id, time_ms now, bool *is_it);

#endif
