/* pace_kept.c - what a run leaves to the next one: what the receiver brought about and lasts */
#include "shape/pace_inside.h"

#include "base/memory.h"

enum { BREAKER_KEPT = 2 /* openings in a row: what is shorter is over when a server has started */ };

/* ── left ── */

static bool breaker_is_kept(const struct pace *pace)
{
    return pace->failures >= BREAKER_KEPT;
}

uint64_t pace_pauses_mark(const struct pace *pace)
{
    uint64_t mark = (uint64_t)pace->guarded_until + (uint64_t)(breaker_is_kept(pace) ? pace->breaker_until : 0);
    for (size_t i = 0; pace->reactions && i < pace->rule->reaction_count; i++)
        mark += (uint64_t)pace->reactions[i].until;
    return mark;
}

size_t pace_pauses(const struct pace *pace, time_ms now, struct pace_pause list[PACE_PAUSES_MOST])
{
    const struct site_rule *rule = pace->rule;
    size_t count = 0;
    if (pace->guarded_until > now)
        list[count++] = (struct pace_pause){
            .by = PACE_GUARD, .at = rule->guard.at, .since = pace->guarded_since, .until = pace->guarded_until};
    if (breaker_is_kept(pace) && pace->breaker == BREAKER_OPEN && pace->breaker_until > now)
        list[count++] = (struct pace_pause){
            .by = PACE_BREAKER, .since = pace->breaker_since, .until = pace->breaker_until, .failures = pace->failures};
    for (size_t i = 0; pace->reactions && i < rule->reaction_count && count < PACE_PAUSES_MOST; i++) {
        const struct site_reaction *reaction = rule->reactions[i];
        time_ms until = pace->reactions[i].until;
        if (until > now)
            list[count++] = (struct pace_pause){.by = reaction_limit(reaction),
                                                .reaction = reaction->id,
                                                .at = reaction->at,
                                                .since = pace->reactions[i].since,
                                                .until = until};
    }
    return count;
}

/* ── found again ── */

/* Its place among the rule's reactions; their count: the rule has it no more. */
static size_t reaction_place(const struct site_rule *rule, struct slice id)
{
    size_t i = 0;
    while (i < rule->reaction_count && !slice_equal(rule->reactions[i]->id, id))
        i++;
    return i;
}

/* How long such a one lasts now; 0: nothing of the kind follows any more. */
static time_ms length_now(const struct pace *pace, const struct pace_pause *pause)
{
    const struct site_rule *rule = pace->rule;
    if (pause->by == PACE_GUARD)
        return rule->guard.percent ? scaled(pace, rule->guard.suspend) : 0;
    if (pause->by == PACE_BREAKER)
        return pause->failures ? breaker_pause(pace, pause->failures - 1) * 11 / 10 : 0;
    size_t place = reaction_place(rule, pause->reaction);
    return pause->reaction.len && place < rule->reaction_count ? scaled(pace, rule->reactions[place]->duration) : 0;
}

static void lowered_again(struct pace *pace, enum pace_limit by, const struct site_reaction *reaction, time_ms since)
{
    if (pace->lowering.count && pace->lowering.at >= since)
        return;
    pace->lowering = (struct pace_lowering){
        .count = pace->lowering.count + 1, .by = by, .at = since, .to = reaction ? reaction_value(reaction) : 0};
}

static void reaction_again(struct pace *pace, size_t place, time_ms since, time_ms until)
{
    const struct site_reaction *reaction = pace->rule->reactions[place];
    if (!pace->reactions)
        pace->reactions = NEW_ARRAY(struct pace_reaction, pace->rule->reaction_count);
    if (until <= pace->reactions[place].until)
        return;
    pace->reactions[place].since = since;
    pace->reactions[place].until = until;
    lowered_again(pace, reaction_limit(reaction), reaction, since);
}

static bool pause_again(struct pace *pace, const struct pace_pause *pause, time_ms now)
{
    time_ms most = length_now(pace, pause), length = pause->until - pause->since;
    time_ms since = pause->since < now ? pause->since : now;
    time_ms until = since + (length < most ? length : most);
    if (until <= now)
        return false;
    if (pause->by == PACE_GUARD && until > pace->guarded_until) {
        pace->guarded_since = since;
        pace->guarded_until = until;
        lowered_again(pace, PACE_GUARD, NULL, since);
    } else if (pause->by == PACE_BREAKER && until > pace->breaker_until) {
        pace->breaker = BREAKER_OPEN;
        pace->breaker_since = since;
        pace->breaker_until = until;
        pace->failures = pause->failures;
        pace->connections = 1.0;
        lowered_again(pace, PACE_BREAKER, NULL, since);
    } else if (pause->reaction.len) {
        reaction_again(pace, reaction_place(pace->rule, pause->reaction), since, until);
    }
    return true;
}

static time_ms since_of(const struct pace *pace, const struct pace_binding *binding)
{
    switch (binding->limit) {
    case PACE_REACTION_SUSPEND: return pace->reactions[reaction_place(pace->rule, binding->reaction->id)].since;
    case PACE_GUARD: return pace->guarded_since;
    case PACE_BREAKER: return pace->breaker_since;
    default: return binding->since;
    }
}

size_t pace_pauses_again(struct pace *pace, const struct pace_pause *list, size_t count, time_ms now)
{
    size_t taken = 0;
    for (size_t i = 0; i < count; i++)
        taken += pause_again(pace, &list[i], now);
    if (!taken)
        return 0;
    reactions_apply(pace, now);
    gate_goes_on(&pace->slow, pace->slow_rate, now);
    if (pace_reopens(pace, now)) /* what is merely slower says so when mail waits for it */
        pace->binding.since = since_of(pace, pace_binding(pace, 0, now));
    return taken;
}
