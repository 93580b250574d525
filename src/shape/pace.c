#include "shape/pace.h"

#include "base/memory.h"
#include <assert.h>

enum {
    CALM_MS = 2000,        /* refusals so soon after a decrease belong to it */
    STEP_MS = 2000,        /* between two steps of growth */
    STEP_MESSAGES = 4,     /* and no step says anything with fewer messages than these */
    HOLD_MS = 30000,       /* below the known limit, before probing above it */
    HOLD_MOST_MS = 60000,  /* after probes that failed */
    IDLE_MS = 2000,        /* a pause in sending: what was measured before it says nothing */
    GENTLE_STEPS = 4,      /* of probing, by GENTLE; then by BOLD */
    PAUSE_MS = 5000,       /* nothing is taken any more: no message for this long, doubling to */
    PAUSE_MOST_MS = 80000, /* this */
    BREAKER_MS = 30000,    /* doubling five times: 16 min */
    BREAKER_DOUBLINGS = 5,
    RESETS_IN_ROW = 3,
    SLACK_PART_RATE = 50, /* of a period's messages in one burst; of new connections more */
    SLACK_PART_OPENING = 5,
    OWN_SLACK_US = 20000,
};
static const double UNDER = 0.88, PLATEAU = 0.95, GROWTH = 0.02, GENTLE = 1.04, BOLD = 1.15, SLOWEST = 1.0 / 60;

struct pace_reaction {
    time_ms times[SITE_REACTION_COUNT_MOST]; /* a ring: the latest matches */
    unsigned next, seen;
    time_ms until; /* its effect */
};
struct pace_guard {
    unsigned next, seen, unknown;
    bool was_unknown[]; /* rule->guard.of of them */
};

struct slice pace_limit_word(enum pace_limit limit)
{
#define PACE_LIMIT_WORD(NAME, word) [PACE_##NAME] = SLICE_INIT(#word),
    static const struct slice words[] = {PACE_LIMITS(PACE_LIMIT_WORD)};
    return words[limit];
}

static time_ms scaled(const struct pace *pace, time_ms wait)
{
    return (time_ms)((double)wait * pace->scale) + 1;
}

/* At least one microsecond, so that a limit stays a limit. */
static struct gate_pace scaled_rate(const struct pace *pace, struct site_rate rate, int64_t slack_part)
{
    int64_t per = (int64_t)((double)rate.per * 1000.0 * pace->scale);
    return gate_pace(rate.count, per < 1 ? 1 : per, slack_part);
}

void pace_init(struct pace *pace, const struct site_rule *rule, double scale)
{
    *pace = (struct pace){.rule = rule, .scale = scale, .connections = rule->connections};
    pace->rule_rate = scaled_rate(pace, rule->rate, SLACK_PART_RATE);
    pace->rule_opening = scaled_rate(pace, rule->opening, SLACK_PART_OPENING);
    pace->hold = pace->connections_hold = scaled(pace, HOLD_MS);
    pace->pause = scaled(pace, PAUSE_MS);
}

void pace_release(struct pace *pace)
{
    free(pace->reactions);
    free(pace->guard);
    pace->reactions = NULL;
    pace->guard = NULL;
}

/* ── what is in force ── */

/* The strictest of the reactions whose time is not over. */
static void reactions_apply(struct pace *pace, time_ms now)
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
            struct gate_pace slow = scaled_rate(pace, reaction->rate, 0);
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

static struct gate_pace own_pace(const struct pace *pace)
{
    if (pace->rate <= 0)
        return (struct gate_pace){0, 0};
    return (struct gate_pace){(int64_t)(1e6 / pace->rate), OWN_SLACK_US};
}

static time_ms longer(time_ms a, time_ms b)
{
    return a > b ? a : b;
}

static void rate_grow(struct pace *pace, time_ms now);

time_ms pace_may_send(struct pace *pace, time_ms now)
{
    effects_end(pace, now);
    time_ms reopens = pace_reopens(pace, now);
    if (reopens)
        return reopens - now;
    if (pace->rate > 0)
        rate_grow(pace, now);
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
        return SLOWEST;
    int64_t longest = pace->rule_rate.interval_us > pace->slow_rate.interval_us ? pace->rule_rate.interval_us
                                                                                : pace->slow_rate.interval_us;
    double rate = longest ? 1e6 / (double)longest : 0;
    return pace->rate > 0 && (rate <= 0 || pace->rate < rate) ? pace->rate : rate;
}

/* ── our own rate ── */

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

/* Of what follows from one reply the reaction is the reason: it is named in a file. */
static bool is_told_already(const struct pace *pace, enum pace_limit by, time_ms now)
{
    enum pace_limit told = pace->lowering.by;
    return pace->lowering.count && pace->lowering.at == now && (by == PACE_OWN_RATE || by == PACE_OWN_CONNECTIONS) &&
           (told == PACE_REACTION_SUSPEND || told == PACE_REACTION_RATE || told == PACE_REACTION_CONNECTIONS);
}

static void lowered(struct pace *pace, enum pace_limit by, double from, double to, time_ms now)
{
    if (is_told_already(pace, by, now))
        return;
    pace->lowering =
        (struct pace_lowering){.count = pace->lowering.count + 1, .by = by, .at = now, .from = from, .to = to};
}

static double ceiling(const struct pace *pace)
{
    return pace->rule_rate.interval_us ? 1e6 / (double)pace->rule_rate.interval_us : 0;
}

/* One step of growth, when the last one was used: up to just below the known limit; later, above it. */
static void rate_grow(struct pace *pace, time_ms now)
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
    double most = ceiling(pace);
    if (most > 0 && pace->rate >= most) { /* the rule alone limits again */
        pace->rate = pace->rate_limit = 0;
        pace->probing = 0;
        pace->hold = scaled(pace, HOLD_MS);
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
    lowered(pace, PACE_BREAKER, pace->rate, 0, now);
    pace->breaker = BREAKER_OPEN;
    pace->breaker_until = now + pace->pause;
    pace->pause = pace->pause * 2 < scaled(pace, PAUSE_MOST_MS) ? pace->pause * 2 : scaled(pace, PAUSE_MOST_MS);
}

/* What it took lately, for a first guess: a burst counts as a second's. */
static double first_guess(const struct pace *pace, time_ms now)
{
    double seconds = (double)longer(now - pace->taken_from, scaled(pace, 1000)) / 1000.0, most = ceiling(pace);
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

static void rate_refused(struct pace *pace, time_ms now)
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
        lowered(pace, PACE_OWN_RATE, before, pace->rate, now);
    if (pace->probing > GENTLE_STEPS + 1)
        pace->hold = scaled(pace, HOLD_MS);
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

/* ── our own connections ── */

static void connections_refused(struct pace *pace, unsigned standing, time_ms now)
{
    if (now < pace->connections_calm_until)
        return;
    double half = pace->connections / 2, before = pace->connections;
    bool was_probe = pace->connections_limit > 0 && pace->connections >= pace->connections_limit;
    pace->connections = standing && standing < pace->connections ? standing : half;
    if (pace->connections < 1)
        pace->connections = 1;
    lowered(pace, PACE_OWN_CONNECTIONS, before, pace->connections, now);
    pace->connections_limit = pace->connections + 1;
    if (was_probe && pace->connections_hold * 2 <= scaled(pace, 10 * HOLD_MS))
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

/* ── the breaker ── */

static void breaker_open(struct pace *pace, struct random *random, time_ms now)
{
    unsigned doubling = pace->failures < BREAKER_DOUBLINGS ? pace->failures : BREAKER_DOUBLINGS;
    double jitter = random ? 0.9 + 0.2 * random_unit(random) : 1.0;
    pace->breaker = BREAKER_OPEN;
    pace->breaker_until = now + (time_ms)((double)scaled(pace, BREAKER_MS << doubling) * jitter);
    pace->failures++;
    lowered(pace, PACE_BREAKER, pace->connections, 0, now);
    pace->connections = 1.0;
    pace->connections_limit = 0;
}

void pace_failed(struct pace *pace, unsigned standing, struct random *random, time_ms now)
{
    if (standing)
        return connections_refused(pace, standing, now);
    if (pace->breaker != BREAKER_OPEN)
        breaker_open(pace, random, now);
}

void pace_crowded(struct pace *pace, unsigned standing, time_ms now)
{
    connections_refused(pace, standing, now);
}

void pace_reset(struct pace *pace, struct random *random, time_ms now)
{
    connections_refused(pace, 0, now);
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

/* ── what was said ── */

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
        pace->guarded_until = now + scaled(pace, want->suspend);
        lowered(pace, PACE_GUARD, 0, 0, now);
        guard->seen = guard->next = guard->unknown = 0; /* afterwards it is judged by what it says then */
    }
}

void pace_delivered(struct pace *pace, time_ms now)
{
    pace->failures = pace->resets_in_row = 0;
    pace->pause = scaled(pace, PAUSE_MS);
    if (pace->breaker == BREAKER_PROBING)
        pace->breaker = BREAKER_CLOSED;
    pace->taken++;
    pace->troubled <<= 1;
    bins_turn(pace, now);
    pace->bins[pace->bin % (time_ms)COUNT_OF(pace->bins)]++;
    connections_grow(pace, now);
    guard_hears(pace, false, now);
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
        kept->until = now + scaled(pace, reaction->duration);
        kept->seen = kept->next = 0;
        lowered(pace,
                reaction->suspends     ? PACE_REACTION_SUSPEND
                : reaction->rate.count ? PACE_REACTION_RATE
                                       : PACE_REACTION_CONNECTIONS,
                0,
                reaction->rate.count ? 1000.0 * reaction->rate.count / (double)reaction->rate.per
                                     : reaction->connections,
                now);
        reactions_apply(pace, now);
    }
}

void pace_hears_reply(struct pace *pace, const struct reply *reply, enum stage stage, time_ms now)
{
    reactions_hear(pace, reply, stage, now);
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
        connections_refused(pace, standing, now);
    else
        rate_refused(pace, now);
    return false;
}

/* ── what binds ── */

static struct pace_binding binding_of(struct pace *pace, unsigned open, time_ms now)
{
    const struct site_rule *rule = pace->rule;
    effects_end(pace, now);
    time_ms reopens = pace_reopens(pace, now);
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
        return (struct pace_binding){.limit = PACE_RULE_RATE, .value = ceiling(pace), .at = rule->at[SITE_LIMIT_RATE]};
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
