/* ended.c - mail whose sender has named an end, in a pool that has no way
 *
 * Where no source of a pool may be used, or its day is used up, nothing is claimed; so nobody saw that a code of ten
 * minutes was over: it stayed owed until a source came, its campaign never finished, and its sender heard nothing. Such
 * rows are looked for by themselves (lanes_claim_ended), and the worker that they are handed to ends them as expired.
 * Mail with the house's own time waits: it has a try left (engine_options.expires_after).
 *
 * The rows must be read for it, so it is done by pieces: SHARE_MS of each second at most, and a walk that is through
 * begins again AGAIN_S later. Nothing is done, and nothing costs, where every site has a way. */
#include "deliver/engine_inside.h"
#include "deliver/site.h"

#include "base/log.h"

enum { AGAIN_S = 5, SHARE_MS = 20, STEPS_MOST = 256, AT_ONCE_MOST = 1000 };

static bool is_shut(const struct site *site)
{
    return site->group.active_count && atomic_load_explicit(&site->has_no_way, memory_order_relaxed);
}

static bool group_is_shut(void *context, const struct lane_group *group)
{
    (void)context;
    return is_shut((const struct site *)((const char *)group - offsetof(struct site, group)));
}

static bool any_is_shut(const struct dispatcher *dispatcher)
{
    size_t at = 0;
    for (struct map_entry *entry; (entry = map_walk(&dispatcher->sites, &at));)
        if (is_shut(entry->value))
            return true;
    return false;
}

/* A step of the walk. False: enough of it for this second. */
static bool step(struct dispatcher *dispatcher, const struct lanes_ended *ended, size_t *found)
{
    struct recipient *list;
    size_t count;
    bool is_round;
    struct fault why;
    if (!lanes_claim_ended(dispatcher->lanes, ended, &list, &count, &is_round, &why)) {
        log_warn("deliver", "deliveries cannot be read: %s", why.text);
        return false;
    }
    dispatcher_hand_out(dispatcher, list, count);
    *found += count;
    if (is_round)
        dispatcher->ended_next = dispatcher->seconds + AGAIN_S;
    return !is_round && *found < AT_ONCE_MOST;
}

void ended_look(struct dispatcher *dispatcher)
{
    struct engine *engine = dispatcher->engine;
    struct world *world = engine->options.world;
    time_ms now = loop_now(dispatcher->loop), until = world_monotonic(world) + SHARE_MS;
    const struct lanes_ended ended = {
        .is_shut = group_is_shut, .now = world_wall(world), .house = engine->options.expires_after};
    size_t found = 0;
    if (!ended.house || dispatcher->seconds < dispatcher->ended_next || engine_doubts_clock(engine, now) ||
        now >= atomic_load(&engine->safe_until) || !any_is_shut(dispatcher))
        return;
    bool is_one_view = dispatcher_begin_view(dispatcher);
    for (int steps = 0; steps < STEPS_MOST && step(dispatcher, &ended, &found); steps++)
        if (world_monotonic(world) >= until)
            break;
    dispatcher_end_view(dispatcher, is_one_view);
}
