/* pace_heard.c - what happened and what was said, and what follows from it: for the breaker, the guard, the reactions,
 * and our own limits */
#include "shape/pace_inside.h"

#include "base/memory.h"

enum { RESETS_IN_ROW = 3 };

/* ── the breaker ── */

static void breaker_open(struct pace *pace, struct random *random, time_ms now)
{
    double jitter = random ? 0.9 + 0.2 * random_unit(random) : 1.0;
    pace->breaker = BREAKER_OPEN;
    pace->breaker_since = now;
    pace->breaker_until = now + (time_ms)((double)breaker_pause(pace, pace->failures) * jitter);
    pace->failures++;
    pace_lowered(pace, PACE_BREAKER, pace->connections, 0, now);
    pace->connections = 1.0;
    pace->connections_limit = 0;
}

void pace_failed(struct pace *pace, unsigned standing, struct random *random, time_ms now)
{
    if (standing)
        return own_connections_refused(pace, standing, now);
    if (pace->breaker != BREAKER_OPEN)
        breaker_open(pace, random, now);
}

void pace_crowded(struct pace *pace, unsigned standing, time_ms now)
{
    own_connections_refused(pace, standing, now);
}

void pace_reset(struct pace *pace, struct random *random, time_ms now)
{
    own_connections_refused(pace, 0, now);
    if (++pace->resets_in_row < RESETS_IN_ROW || pace->breaker == BREAKER_OPEN)
        return;
    pace->resets_in_row = 0;
    breaker_open(pace, random, now);
}

void pace_talked(struct pace *pace, time_ms now)
{
    if (pace->breaker == BREAKER_PROBING)
        pace->breaker = BREAKER_CLOSED;
}

/* ── the guard: a site that suddenly knows nobody ── */

static void guard_hears(struct pace *pace, bool is_unknown, time_ms now)
{
    const struct site_guard *want = &pace->rule->guard;
    if (!want->percent)
        return;
    if (!pace->guard)
        pace->guard = memory_zero(1, sizeof(*pace->guard) + want->of * sizeof(bool));
    struct pace_guard *guard = pace->guard;
    if (guard->seen == want->of)
        guard->unknown -= guard->was_unknown[guard->next];
    else
        guard->seen++;
    guard->was_unknown[guard->next] = is_unknown;
    guard->unknown += is_unknown;
    guard->next = (guard->next + 1) % want->of;
    if (is_unknown && guard->seen == want->of && guard->unknown * 100 >= want->percent * want->of &&
        now >= pace->guarded_until) {
        pace->guarded_since = now;
        pace->guarded_until = now + scaled(pace, want->suspend);
        pace_lowered(pace, PACE_GUARD, 0, 0, now);
        guard->seen = guard->next = guard->unknown = 0; /* afterwards it is judged by what it says then */
    }
}

/* ── the reactions of the rule ── */

void reactions_apply(struct pace *pace, time_ms now)
{
    const struct site_rule *rule = pace->rule;
    pace->suspended_until = pace->slowed_until = pace->narrowed_until = 0;
    pace->suspended_by = pace->slowed_by = pace->narrowed_by = NULL;
    pace->slow_rate = (struct gate_pace){0, 0};
    for (size_t i = 0; pace->reactions && i < rule->reaction_count; i++) {
        const struct site_reaction *reaction = rule->reactions[i];
        time_ms until = pace->reactions[i].until;
        if (until <= now)
            continue;
        if (reaction->suspends && until > pace->suspended_until) {
            pace->suspended_until = until;
            pace->suspended_by = reaction;
        }
        if (reaction->rate.count) {
            struct gate_pace slow = pace_scaled_rate(pace, reaction->rate, 0);
            if (slow.interval_us > pace->slow_rate.interval_us) {
                pace->slow_rate = slow;
                pace->slowed_by = reaction;
                pace->slowed_until = until;
            }
        }
        if (reaction->connections && (!pace->narrowed_by || reaction->connections < pace->narrowed_by->connections)) {
            pace->narrowed_by = reaction;
            pace->narrowed_until = until;
        }
    }
}

static void reactions_hear(struct pace *pace, const struct reply *reply, enum stage stage, time_ms now)
{
    const struct site_rule *rule = pace->rule;
    for (size_t i = 0; i < rule->reaction_count; i++) {
        const struct site_reaction *reaction = rule->reactions[i];
        if (!site_reaction_matches(reaction, reply, stage))
            continue;
        if (!pace->reactions)
            pace->reactions = NEW_ARRAY(struct pace_reaction, rule->reaction_count);
        struct pace_reaction *kept = &pace->reactions[i];
        kept->times[kept->next] = now;
        kept->next = (kept->next + 1) % reaction->count;
        kept->seen += kept->seen < reaction->count;
        time_ms oldest = kept->times[kept->next]; /* of the last `count` */
        if (kept->seen < reaction->count || (reaction->count > 1 && now - oldest > scaled(pace, reaction->within)))
            continue;
        kept->since = now;
        kept->until = now + scaled(pace, reaction->duration);
        kept->seen = kept->next = 0;
        pace_lowered(pace, reaction_limit(reaction), 0, reaction_value(reaction), now);
        reactions_apply(pace, now);
    }
}

void pace_hears_reply(struct pace *pace, const struct reply *reply, enum stage stage, time_ms now)
{
    reactions_hear(pace, reply, stage, now);
}

/* ── a mail was taken, or refused ── */

void pace_delivered(struct pace *pace, time_ms now)
{
    pace->failures = pace->resets_in_row = 0;
    pace->pause = scaled(pace, PACE_PAUSE_MS);
    if (pace->breaker == BREAKER_PROBING)
        pace->breaker = BREAKER_CLOSED;
    pace->troubled <<= 1;
    own_taken(pace, now);
    guard_hears(pace, false, now);
}

/* Of what does it speak: of how fast we are, of the site as a whole, or of this message, this address, our keys
 * (R21)? */
enum about { ABOUT_ELSE, ABOUT_SITE, ABOUT_PACE };
static enum about about_what(const struct verdict *verdict, const struct reply *reply, enum stage stage)
{
    switch (verdict->reason) {
    case REASON_GREYLISTED:
    case REASON_AUTH_FAILURE:
    case REASON_PTR_REQUIRED:
    case REASON_TLS_REQUIRED:
    case REASON_STARTTLS_FAILED:
    case REASON_RECIPIENT_FLOODED: return ABOUT_ELSE;
    case REASON_RATE_LIMITED: return ABOUT_PACE;
    default: break;
    }
    bool is_421_or_47 =
        reply->code == 421 || (reply->code / 100 == 4 && reply->status[0] == 4 && reply->status[1] == 7);
    bool is_narrow =
        verdict->scope == SCOPE_ADDRESS || verdict->scope == SCOPE_MESSAGE || verdict->scope == SCOPE_DOMAIN;
    if (verdict->action == ACTION_SLOW_DOWN || (is_421_or_47 && !is_narrow))
        return ABOUT_PACE;
    if (verdict->scope != SCOPE_SITE)
        return ABOUT_ELSE;
    return stage == STAGE_CONNECT || stage == STAGE_EHLO ? ABOUT_PACE : ABOUT_SITE;
}

/* A site that fails at one mail in fifty does so at any pace; at one in eight, it has too much to do. */
static bool is_in_trouble(const struct pace *pace)
{
    return __builtin_popcount(pace->troubled) >= 4;
}

static bool speaks_of_connections(const struct reply *reply, enum stage stage)
{
    static const struct slice words[] = {SLICE_INIT("connection"), SLICE_INIT("session"), SLICE_INIT("concurren")};
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (slice_find_caseless(reply->text, words[i]) != SLICE_NPOS)
            return true;
    return stage == STAGE_CONNECT || stage == STAGE_EHLO;
}

bool pace_refused(struct pace *pace, const struct verdict *verdict, const struct reply *reply, enum stage stage,
                  unsigned standing, time_ms now)
{
    bool is_unknown = verdict->reason == REASON_USER_UNKNOWN && reply->code >= 500;
    reactions_hear(pace, reply, stage, now);
    guard_hears(pace, is_unknown, now);
    if (is_unknown && now < pace->guarded_until)
        return true;
    enum about about = about_what(verdict, reply, stage);
    pace->troubled = pace->troubled << 1 | (about == ABOUT_SITE);
    if (about == ABOUT_ELSE || (about == ABOUT_SITE && !is_in_trouble(pace)))
        return false;
    if (speaks_of_connections(reply, stage) && pace->connections > 1)
        own_connections_refused(pace, standing, now);
    else
        own_rate_refused(pace, now);
    return false;
}
