/* pace_inside.h - a pace from the inside, for pace.c, pace_own.c and pace_heard.c only */
#ifndef TODOKE_SHAPE_PACE_INSIDE_H
#define TODOKE_SHAPE_PACE_INSIDE_H

#include "shape/pace.h"

enum {
    PACE_HOLD_MS = 30000, /* below the known limit, before probing above it */
    PACE_PAUSE_MS = 5000, /* nothing is taken any more: no message for this long, doubling */
};

/* One reaction's matches, and its effect. */
struct pace_reaction {
    time_ms times[SITE_REACTION_COUNT_MOST]; /* a ring: the latest matches */
    unsigned next, seen;
    time_ms until;
};

/* Who was unknown of the last few. */
struct pace_guard {
    unsigned next, seen, unknown;
    bool was_unknown[]; /* rule->guard.of of them */
};

static inline time_ms longer(time_ms a, time_ms b)
{
    return a > b ? a : b;
}

/* ── pace.c ── */

/* Our times are those of the clock times `scale`; never nothing. */
static inline time_ms scaled(const struct pace *pace, time_ms wait)
{
    return (time_ms)((double)wait * pace->scale) + 1;
}
struct gate_pace pace_scaled_rate(const struct pace *pace, struct site_rate rate, int64_t slack_part);
/* Messages a second that the rule allows; 0: it has no rate. */
double pace_ceiling(const struct pace *pace);
/* Keep that this limit lowered it. Not kept where a reaction was the reason for the same moment: it is named in a
 * file. */
void pace_lowered(struct pace *pace, enum pace_limit by, double from, double to, time_ms now);

/* ── pace_own.c: the limits that nobody tells ── */

struct gate_pace own_pace(const struct pace *pace);
/* Sending goes on: a step, when one is due. */
void own_rate_grow(struct pace *pace, time_ms now);
void own_rate_refused(struct pace *pace, time_ms now);
/* standing: how many others are in conversation; 0: not known. */
void own_connections_refused(struct pace *pace, unsigned standing, time_ms now);
/* One mail was taken: count it, and allow more connections. */
void own_taken(struct pace *pace, time_ms now);

/* ── pace_heard.c: what was said ── */

/* The strictest of the reactions whose time is not over. */
void reactions_apply(struct pace *pace, time_ms now);

#endif
