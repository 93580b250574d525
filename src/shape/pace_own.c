/* pace_own.c - our own rate and our own connections: the limits that nobody tells
 *
 *     rate 0 (the rule's alone) --refused--> UNDER what was taken --steps of GROWTH--> PLATEAU below the known limit,
 *     hold --> probing above it: GENTLE, then BOLD --refused--> the limit is known better, a longer hold
 *                                                 --the rule's rate is reached--> rate 0
 *
 * Connections likewise: halved, or as many as stand; a twentieth for each mail that is taken. */
#include "shape/pace_inside.h"

enum {
    CALM_MS = 2000,        /* refusals so soon after a decrease belong to it */
    STEP_MS = 2000,        /* between two steps of growth */
    STEP_MESSAGES = 4,     /* and no step says anything with fewer messages than these */
    HOLD_MOST_MS = 60000,  /* after probes that failed */
    GENTLE_STEPS = 4,      /* of probing, by GENTLE; then by BOLD */
    PAUSE_MOST_MS = 80000, /* PACE_PAUSE_MS doubles up to this */
    OWN_SLACK_US = 20000,
};
static const double UNDER = 0.88, PLATEAU = 0.95, GROWTH = 0.02, GENTLE = 1.04, BOLD = 1.15, SLOWEST = 1.0 / 60;

/* ── the rate ── */

struct gate_pace own_pace(const struct pace *pace)
{
    if (pace->rate <= 0)
        return (struct gate_pace){0, 0};
    return (struct gate_pace){(int64_t)(1e6 / pace->rate), OWN_SLACK_US};
}

static time_ms step_time(const struct pace *pace)
{
    time_ms for_messages = (time_ms)(STEP_MESSAGES * 1000.0 / pace->rate);
    return longer(scaled(pace, STEP_MS), for_messages);
}

static void measure_anew(struct pace *pace, time_ms now)
{
    pace->taken_from = now;
    pace->taken = 0;
    pace->sent_in_step = 0;
    pace->step_from = now;
    pace->step_at = now + step_time(pace);
}

/* What the receiver took lately, messages a second; 0: too few, or too short a time, to say. */
static double measured(const struct pace *pace, time_ms now)
{
    time_ms lately = now - pace->taken_from;
    return pace->taken < STEP_MESSAGES || lately < scaled(pace, 1000) ? 0
                                                                      : (double)pace->taken * 1000.0 / (double)lately;
}

/* Which bin of time is it? Those in between are emptied. */
static void bins_turn(struct pace *pace, time_ms now)
{
    time_ms bin = now / scaled(pace, CALM_MS);
    time_ms passed = bin - pace->bin < (time_ms)COUNT_OF(pace->bins) ? bin - pace->bin : (time_ms)COUNT_OF(pace->bins);
    for (time_ms i = 0; i < passed; i++)
        pace->bins[(bin - i) % (time_ms)COUNT_OF(pace->bins)] = 0;
    pace->bin = bin;
}

/* What it took in a longer time. */
static double taken_at_length(struct pace *pace, time_ms now)
{
    uint64_t sum = 0;
    bins_turn(pace, now);
    for (size_t i = 0; i < COUNT_OF(pace->bins); i++)
        sum += pace->bins[i];
    time_ms bin = scaled(pace, CALM_MS);
    return (double)sum * 1000.0 / (double)((time_ms)(COUNT_OF(pace->bins) - 1) * bin + now % bin + 1);
}

double pace_taken(struct pace *pace, time_ms now)
{
    return taken_at_length(pace, now);
}

/* One step of growth, when the last one was used: up to just below the known limit; later, above it. */
void own_rate_grow(struct pace *pace, time_ms now)
{
    if (now < pace->step_at)
        return;
    double seconds = (double)(now - pace->step_from) / 1000.0;
    bool was_used = (double)pace->sent_in_step >= 0.6 * pace->rate * seconds;
    bool is_growing = was_used;
    if (!was_used) {
        pace->probing = 0;
    } else if (pace->rate < PLATEAU * pace->rate_limit) {
        pace->rate += GROWTH * pace->rate_limit;
    } else if (now >= pace->probe_at) {
        pace->rate *= pace->probing++ < GENTLE_STEPS ? GENTLE : BOLD;
    } else {
        is_growing = false;
    }
    bool is_measured_anew = is_growing && pace->probing;
    double most = pace_ceiling(pace);
    if (most > 0 && pace->rate >= most) { /* the rule alone limits again */
        pace->rate = pace->rate_limit = 0;
        pace->probing = 0;
        pace->hold = scaled(pace, PACE_HOLD_MS);
        return;
    }
    if (is_measured_anew)
        return measure_anew(pace, now);
    pace->sent_in_step = 0;
    pace->step_from = now;
    pace->step_at = now + step_time(pace);
}

/* Nothing at all is taken any more: wait, longer each time. */
static void nothing_is_taken(struct pace *pace, time_ms now)
{
    pace_lowered(pace, PACE_BREAKER, pace->rate, 0, now);
    pace->breaker = BREAKER_OPEN;
    pace->breaker_until = now + pace->pause;
    pace->pause = pace->pause * 2 < scaled(pace, PAUSE_MOST_MS) ? pace->pause * 2 : scaled(pace, PAUSE_MOST_MS);
}

/* What it took lately, for a first guess: a burst counts as a second's. */
static double first_guess(const struct pace *pace, time_ms now)
{
    double seconds = (double)longer(now - pace->taken_from, scaled(pace, 1000)) / 1000.0, most = pace_ceiling(pace);
    double guess = pace->taken ? (double)pace->taken / seconds : 1.0 / pace->scale;
    return most > 0 && guess > most ? most : guess;
}

/* The limit as this refusal shows it: never above where we are, never below half of it. A time in which nothing was
 * taken belongs to the one before it: whoever takes a minute's worth in a second and then nothing has a limit too. */
static double limit_shown(struct pace *pace, time_ms now)
{
    double limit = measured(pace, now), long_time = taken_at_length(pace, now), least = 0.5 * pace->rate;
    if (pace->taken == 0 && pace->taken_before && !pace->probing)
        limit = (double)pace->taken_before * 1000.0 / (double)(now - pace->before_from + 1);
    else if (limit <= 0)
        limit = 0.85 * pace->rate;
    else if (pace->probing <= GENTLE_STEPS && long_time < limit)
        limit = long_time;
    if (limit < least)
        limit = least;
    if (limit > pace->rate)
        limit = pace->rate;
    if (!pace->probing || limit <= pace->rate_limit)
        return limit;
    if (pace->probing <= GENTLE_STEPS + 1)
        return pace->rate_limit; /* where we stood was fine */
    return pace->rate < 1.5 * pace->rate_limit ? (limit + pace->rate_limit) / 2 : limit;
}

void own_rate_refused(struct pace *pace, time_ms now)
{
    if (now < pace->rate_calm_until)
        return;
    bool is_first = pace->rate <= 0;
    double limit = is_first ? first_guess(pace, now) : limit_shown(pace, now), before = pace->rate;
    if (!is_first && pace->taken == 0)
        nothing_is_taken(pace, now);
    if (limit < SLOWEST / pace->scale)
        limit = SLOWEST / pace->scale;
    pace->rate_limit = limit;
    pace->rate = UNDER * limit;
    if (is_first || pace->taken)
        pace_lowered(pace, PACE_OWN_RATE, before, pace->rate, now);
    if (pace->probing > GENTLE_STEPS + 1)
        pace->hold = scaled(pace, PACE_HOLD_MS);
    else if (pace->probing)
        pace->hold = pace->hold * 3 / 2 < scaled(pace, HOLD_MOST_MS) ? pace->hold * 3 / 2 : scaled(pace, HOLD_MOST_MS);
    pace->probing = 0;
    pace->probe_at = now + pace->hold;
    if (pace->taken) {
        pace->taken_before = pace->taken;
        pace->before_from = pace->taken_from;
    }
    measure_anew(pace, now);
    pace->rate_calm_until = now + longer(scaled(pace, CALM_MS), (time_ms)(STEP_MESSAGES * 1000.0 / pace->rate));
}

/* ── the connections ── */

void own_connections_refused(struct pace *pace, unsigned standing, time_ms now)
{
    if (now < pace->connections_calm_until)
        return;
    double half = pace->connections / 2, before = pace->connections;
    bool was_probe = pace->connections_limit > 0 && pace->connections >= pace->connections_limit;
    pace->connections = standing && standing < pace->connections ? standing : half;
    if (pace->connections < 1)
        pace->connections = 1;
    pace_lowered(pace, PACE_OWN_CONNECTIONS, before, pace->connections, now);
    pace->connections_limit = pace->connections + 1;
    if (was_probe && pace->connections_hold * 2 <= scaled(pace, 10 * PACE_HOLD_MS))
        pace->connections_hold *= 2;
    pace->connections_probe_at = now + pace->connections_hold;
    pace->connections_calm_until = now + scaled(pace, CALM_MS);
}

/* A twentieth for each mail that is taken: up to just below where it was refused, and one more after the hold. */
static void connections_grow(struct pace *pace, time_ms now)
{
    if (pace->connections >= pace->rule->connections)
        return;
    pace->connections += 0.05;
    bool is_held = pace->connections_limit > 0 && now < pace->connections_probe_at;
    if (is_held && pace->connections >= pace->connections_limit)
        pace->connections = pace->connections_limit - 0.01;
    else if (pace->connections_limit > 0 && pace->connections >= pace->connections_limit + 1)
        pace->connections_limit = 0; /* that many are fine after all */
    if (pace->connections > pace->rule->connections)
        pace->connections = pace->rule->connections;
}

void own_taken(struct pace *pace, time_ms now)
{
    pace->taken++;
    bins_turn(pace, now);
    pace->bins[pace->bin % (time_ms)COUNT_OF(pace->bins)]++;
    connections_grow(pace, now);
}
