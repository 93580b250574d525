/* pace.c - what is in force, and which of it binds */
#include "shape/pace_inside.h"

#include <stdlib.h>
#include <string.h>

enum {
    SLACK_PART_RATE = 50, /* of a period's messages in one burst; of new connections more */
    SLACK_PART_OPENING = 5,
    IDLE_MS = 2000, /* a pause in sending: what was measured before it says nothing */
};
static const double TRICKLE = 1.0 / 60; /* messages a second, of a site that is suspended */

struct slice pace_limit_word(enum pace_limit limit)
{
#define PACE_LIMIT_WORD(NAME, word) [PACE_##NAME] = SLICE_INIT(#word),
    static const struct slice words[] = {PACE_LIMITS(PACE_LIMIT_WORD)};
    return words[limit];
}

/* At least one microsecond, so that a limit stays a limit. */
struct gate_pace pace_scaled_rate(const struct pace *pace, struct site_rate rate, int64_t slack_part)
{
    int64_t per = (int64_t)((double)rate.per * 1000.0 * pace->scale);
    return gate_pace(rate.count, per < 1 ? 1 : per, slack_part);
}

void pace_init(struct pace *pace, const struct site_rule *rule, double scale)
{
    *pace = (struct pace){.rule = rule, .scale = scale, .connections = rule->connections};
    pace->rule_rate = pace_scaled_rate(pace, rule->rate, SLACK_PART_RATE);
    pace->rule_opening = pace_scaled_rate(pace, rule->opening, SLACK_PART_OPENING);
    pace->hold = pace->connections_hold = scaled(pace, PACE_HOLD_MS);
    pace->pause = scaled(pace, PACE_PAUSE_MS);
}

void gate_goes_on(struct gate *gate, struct gate_pace pace, time_ms from)
{
    if (pace.interval_us)
        gate->next_us = from * 1000 + pace.slack_us + pace.interval_us;
}

void pace_goes_on(struct pace *pace, time_ms from)
{
    gate_goes_on(&pace->messages, pace->rule_rate, from);
    gate_goes_on(&pace->opening, pace->rule_opening, from);
}

void pace_release(struct pace *pace)
{
    free(pace->reactions);
    free(pace->guard);
    pace->reactions = NULL;
    pace->guard = NULL;
}

double pace_ceiling(const struct pace *pace)
{
    return pace->rule_rate.interval_us ? 1e6 / (double)pace->rule_rate.interval_us : 0;
}

/* Of what follows from one reply the reaction is the reason: it is named in a file. */
static bool is_told_already(const struct pace *pace, enum pace_limit by, time_ms now)
{
    enum pace_limit told = pace->lowering.by;
    return pace->lowering.count && pace->lowering.at == now && (by == PACE_OWN_RATE || by == PACE_OWN_CONNECTIONS) &&
           (told == PACE_REACTION_SUSPEND || told == PACE_REACTION_RATE || told == PACE_REACTION_CONNECTIONS);
}

void pace_lowered(struct pace *pace, enum pace_limit by, double from, double to, time_ms now)
{
    if (is_told_already(pace, by, now))
        return;
    pace->lowering =
        (struct pace_lowering){.count = pace->lowering.count + 1, .by = by, .at = now, .from = from, .to = to};
}

/* ── what is in force ── */

static void effects_end(struct pace *pace, time_ms now)
{
    if ((pace->suspended_by && now >= pace->suspended_until) || (pace->slowed_by && now >= pace->slowed_until) ||
        (pace->narrowed_by && now >= pace->narrowed_until))
        reactions_apply(pace, now);
    if (pace->breaker == BREAKER_OPEN && now >= pace->breaker_until)
        pace->breaker = BREAKER_PROBING;
}

time_ms pace_reopens(const struct pace *pace, time_ms now)
{
    time_ms until = pace->suspended_until > pace->guarded_until ? pace->suspended_until : pace->guarded_until;
    if (pace->breaker == BREAKER_OPEN && pace->breaker_until > until)
        until = pace->breaker_until;
    if (pace->ordered_until > until)
        until = pace->ordered_until;
    return until > now ? until : 0;
}

unsigned pace_connections(struct pace *pace, time_ms now)
{
    effects_end(pace, now);
    if (pace_reopens(pace, now))
        return 0;
    unsigned most = pace->breaker == BREAKER_PROBING ? 1 : (unsigned)pace->connections;
    if (pace->narrowed_by && pace->narrowed_by->connections < most)
        most = pace->narrowed_by->connections;
    return most;
}

time_ms pace_may_send(struct pace *pace, time_ms now)
{
    effects_end(pace, now);
    time_ms reopens = pace_reopens(pace, now);
    if (reopens)
        return reopens - now;
    if (pace->rate > 0)
        own_rate_grow(pace, now);
    time_ms wait = gate_wait(&pace->messages, pace->rule_rate, now);
    wait = longer(wait, gate_wait(&pace->slow, pace->slow_rate, now));
    return longer(wait, gate_wait(&pace->own, own_pace(pace), now));
}

void pace_sent(struct pace *pace, time_ms now)
{
    gate_pass(&pace->messages, pace->rule_rate, now);
    gate_pass(&pace->slow, pace->slow_rate, now);
    gate_pass(&pace->own, own_pace(pace), now);
    if (now > pace->sent_at + scaled(pace, IDLE_MS) && pace->rate <= 0) {
        pace->taken_from = now;
        pace->taken = 0;
    }
    pace->sent_at = now;
    pace->sent_in_step++;
}

time_ms pace_may_open(struct pace *pace, unsigned open, time_ms now)
{
    unsigned most = pace_connections(pace, now);
    if (most && open >= most)
        return PACE_FULL;
    return longer(pace_may_send(pace, now), gate_wait(&pace->opening, pace->rule_opening, now));
}

time_ms pace_may_open_instead(const struct pace *pace, time_ms now)
{
    return gate_wait(&pace->opening, pace->rule_opening, now);
}
void pace_opened(struct pace *pace, time_ms now)
{
    gate_pass(&pace->opening, pace->rule_opening, now);
}

double pace_rate(struct pace *pace, time_ms now)
{
    effects_end(pace, now);
    if (pace_reopens(pace, now))
        return TRICKLE;
    int64_t longest = pace->rule_rate.interval_us > pace->slow_rate.interval_us ? pace->rule_rate.interval_us
                                                                                : pace->slow_rate.interval_us;
    double rate = longest ? 1e6 / (double)longest : 0;
    return pace->rate > 0 && (rate <= 0 || pace->rate < rate) ? pace->rate : rate;
}

/* ── may it be forgotten? ── */

enum { LEARNT_MS = 86400000 /* what was learnt is of use for so long */ };

/* Until the gate stands as a new one would. */
static time_ms gate_closes(const struct gate *gate)
{
    return (gate->next_us + 999) / 1000;
}

/* While matches of before still count, or one of them has an effect. */
static time_ms reaction_kept_until(const struct pace *pace, const struct site_reaction *reaction,
                                   const struct pace_reaction *kept)
{
    time_ms last = kept->times[(kept->next + reaction->count - 1) % reaction->count];
    return longer(kept->until, kept->seen ? last + scaled(pace, reaction->within) : 0);
}

static bool has_learnt(const struct pace *pace)
{
    return pace->rate > 0 || pace->connections < pace->rule->connections || pace->breaker != BREAKER_CLOSED ||
           pace->failures || (pace->guard && pace->guard->unknown);
}

time_ms pace_kept_until(const struct pace *pace, bool with_learnt, time_ms now)
{
    time_ms until = longer(pace_reopens(pace, now), longer(gate_closes(&pace->messages), gate_closes(&pace->slow)));
    until = longer(until, longer(gate_closes(&pace->own), gate_closes(&pace->opening)));
    for (size_t i = 0; pace->reactions && i < pace->rule->reaction_count; i++)
        until = longer(until, reaction_kept_until(pace, pace->rule->reactions[i], &pace->reactions[i]));
    if (with_learnt && has_learnt(pace))
        until = longer(until, longer(pace->sent_at, pace->lowering.at) + scaled(pace, LEARNT_MS));
    return until > now ? until : 0;
}

/* ── by hand ── */

void pace_suspend(struct pace *pace, time_ms until)
{
    pace->ordered_until = until;
}

bool pace_resume(struct pace *pace, time_ms now)
{
    effects_end(pace, now);
    bool was_held = pace->suspended_by || pace->slowed_by || pace->narrowed_by || pace->guarded_until > now ||
                    pace->breaker != BREAKER_CLOSED || pace->rate > 0 || pace->connections < pace->rule->connections;
    struct pace fresh;
    pace_release(pace);
    pace_init(&fresh, pace->rule, pace->scale);
    /* what the receiver was given, and what is told about it */
    fresh.messages = pace->messages;
    fresh.opening = pace->opening;
    fresh.sent_at = pace->sent_at;
    fresh.taken = pace->taken;
    fresh.taken_from = pace->taken_from;
    memcpy(fresh.bins, pace->bins, sizeof(fresh.bins));
    fresh.bin = pace->bin;
    fresh.ordered_until = pace->ordered_until;
    fresh.binding = pace->binding;
    fresh.binding.reaction = NULL;
    fresh.lowering = pace->lowering;
    *pace = fresh;
    return was_held;
}

/* ── what binds ── */

static struct pace_binding binding_of(struct pace *pace, unsigned open, time_ms now)
{
    const struct site_rule *rule = pace->rule;
    effects_end(pace, now);
    time_ms reopens = pace_reopens(pace, now);
    if (pace->ordered_until > now)
        return (struct pace_binding){.limit = PACE_ORDER, .until = pace->ordered_until};
    if (reopens && reopens == pace->suspended_until)
        return (struct pace_binding){.limit = PACE_REACTION_SUSPEND,
                                     .until = reopens,
                                     .reaction = pace->suspended_by,
                                     .at = pace->suspended_by->at};
    if (reopens && reopens == pace->guarded_until)
        return (struct pace_binding){.limit = PACE_GUARD, .until = reopens, .at = rule->guard.at};
    if (reopens || pace->breaker == BREAKER_PROBING)
        return (struct pace_binding){.limit = PACE_BREAKER, .until = reopens, .value = reopens ? 0 : 1};
    time_ms by_rule = gate_wait(&pace->messages, pace->rule_rate, now);
    time_ms by_reaction = gate_wait(&pace->slow, pace->slow_rate, now),
            by_us = gate_wait(&pace->own, own_pace(pace), now);
    if (by_reaction && by_reaction >= by_us && by_reaction >= by_rule)
        return (struct pace_binding){.limit = PACE_REACTION_RATE,
                                     .value = 1e6 / (double)pace->slow_rate.interval_us,
                                     .until = pace->slowed_until,
                                     .reaction = pace->slowed_by,
                                     .at = pace->slowed_by->at};
    if (by_us && by_us >= by_rule)
        return (struct pace_binding){.limit = PACE_OWN_RATE, .value = pace->rate};
    if (by_rule)
        return (struct pace_binding){
            .limit = PACE_RULE_RATE, .value = pace_ceiling(pace), .at = rule->at[SITE_LIMIT_RATE]};
    unsigned most = pace_connections(pace, now);
    if (open >= most && pace->narrowed_by && most == pace->narrowed_by->connections)
        return (struct pace_binding){.limit = PACE_REACTION_CONNECTIONS,
                                     .value = most,
                                     .until = pace->narrowed_until,
                                     .reaction = pace->narrowed_by,
                                     .at = pace->narrowed_by->at};
    if (open >= most && most < rule->connections)
        return (struct pace_binding){.limit = PACE_OWN_CONNECTIONS, .value = most};
    if (open >= most)
        return (struct pace_binding){
            .limit = PACE_RULE_CONNECTIONS, .value = most, .at = rule->at[SITE_LIMIT_CONNECTIONS]};
    if (gate_wait(&pace->opening, pace->rule_opening, now))
        return (struct pace_binding){.limit = PACE_RULE_OPENING,
                                     .value = 1e6 / (double)pace->rule_opening.interval_us,
                                     .at = rule->at[SITE_LIMIT_OPENING]};
    return (struct pace_binding){.limit = PACE_NOTHING};
}

const struct pace_binding *pace_binding(struct pace *pace, unsigned open, time_ms now)
{
    struct pace_binding fresh = binding_of(pace, open, now);
    bool is_same = fresh.limit == pace->binding.limit && fresh.reaction == pace->binding.reaction;
    fresh.since = is_same ? pace->binding.since : now;
    pace->binding = fresh;
    return &pace->binding;
}
