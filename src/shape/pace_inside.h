/* pace_inside.h - a pace from the inside, for pace.c, pace_own.c and pace_heard.c only */
#ifndef TODOKE_SHAPE_PACE_INSIDE_H
#define TODOKE_SHAPE_PACE_INSIDE_H

#include "shape/pace.h"

enum {
    PACE_HOLD_MS = 30000, /* below the known limit, before probing above it */
    PACE_PAUSE_MS = 5000, /* nothing is taken any more: no message for this long, doubling */
    PACE_BREAKER_MS = 30000,
    PACE_BREAKER_DOUBLINGS = 5, /* 16 min */
};

/* One reaction's matches, and its effect. */
struct pace_reaction {
    time_ms times[SITE_REACTION_COUNT_MOST]; /* a ring: the latest matches */
    unsigned next, seen;
    time_ms since, until; /* since: the words that did it last */
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
/* How long the breaker is open that so many others went before in a row, but for its jitter. */
static inline time_ms breaker_pause(const struct pace *pace, unsigned before)
{
    return scaled(pace,
                  (time_ms)PACE_BREAKER_MS << (before < PACE_BREAKER_DOUBLINGS ? before : PACE_BREAKER_DOUBLINGS));
}
/* As the gate would stand at the worst: all that the pace allows was used until `from`. */
void gate_goes_on(struct gate *gate, struct gate_pace pace, time_ms from);
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

/* What it does, and to how much: messages a second, connections; 0: none. */
static inline enum pace_limit reaction_limit(const struct site_reaction *reaction)
{
    return reaction->suspends     ? PACE_REACTION_SUSPEND
           : reaction->rate.count ? PACE_REACTION_RATE
                                  : PACE_REACTION_CONNECTIONS;
}
static inline double reaction_value(const struct site_reaction *reaction)
{
    return reaction->rate.count ? 1000.0 * reaction->rate.count / (double)reaction->rate.per : reaction->connections;
}
/* The strictest of the reactions whose time is not over. */
void reactions_apply(struct pace *pace, time_ms now);

#endif
