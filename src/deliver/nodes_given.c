/* nodes_given.c - which mail of our buckets goes by another node, because the source that it needs is there
 *
 * Mail of a pool that has no source here and one on a living node; mail of a pool whose sources here have all used up
 * their warm-up's day, while one on a living node has something left; and mail that was in doubt by a source which
 * another node alone has (queue/lane_pin.h), whatever else its pool has here. Where that node does not live, such mail
 * waits for it: for options.source_wait, counted from when we know that it is gone. Then, or when the source drains, is
 * in trouble, has used up its warm-up's day, was taken away or is another pool's, it goes like any other mail (pinned.c
 * tells why in its event).
 *
 * A day that is used up: what was reserved and not sent goes back to the store a moment later. So that mail does not go
 * to and fro with it, a source counts as full from the moment that all of its day is given out until an eighth of it
 * has been free for FULL_STAYS_MS. Where all nodes' sources are full each keeps its own mail, and what went back is
 * used there. Only plans for all sites count: a pool's mail is handed over as a whole, whatever the site. */
#include "deliver/engine_inside.h"

#include "base/log.h"
#include "queue/lane_pin.h"
#include "shape/allowance.h"
#include <stdio.h>

enum { FULL_STAYS_MS = 15000, FREE_PART = 8 };

static bool node_lives(const struct nodes *nodes, unsigned node)
{
    return node < LEASE_NODES && (nodes->live[node / 64] >> node % 64 & 1);
}

static bool source_is_full(const struct dispatcher *dispatcher, uint64_t source_id)
{
    time_ms until = (time_ms)(uintptr_t)id_map_get(&dispatcher->nodes.full, source_id);
    return until && loop_now(dispatcher->loop) < until;
}

/* A source that this node has, too, and may send by. */
static bool is_ours_to_use(const struct dispatcher *dispatcher, const struct source *source)
{
    return source_is_usable(source) && (!source->node || source->node == dispatcher->engine->options.ledger.node);
}

struct candidates {
    unsigned nodes[16];
    size_t count;
};

static void candidate_add(struct candidates *candidates, unsigned node)
{
    if (candidates->count < COUNT_OF(candidates->nodes))
        candidates->nodes[candidates->count++] = node;
}

/* Which node is to send the mail of this pool? 0: we are, or there is none that could. One with something left of its
 * day goes before those that have none. */
static unsigned pool_node(const struct dispatcher *dispatcher, const struct source *list, size_t count,
                          struct slice pool)
{
    unsigned me = dispatcher->engine->options.ledger.node;
    struct candidates open = {0}, full = {0};
    bool is_here = false;
    for (size_t i = 0; i < count; i++) {
        if (!slice_equal(list[i].pool, pool) || !source_is_usable(&list[i]))
            continue;
        bool is_full = source_is_full(dispatcher, list[i].id), is_ours = is_ours_to_use(dispatcher, &list[i]);
        if (is_ours && !is_full)
            return 0;
        is_here |= is_ours;
        if (!is_ours && node_lives(&dispatcher->nodes, list[i].node))
            candidate_add(is_full ? &full : &open, list[i].node);
    }
    const struct candidates *others = open.count || is_here ? &open : &full;
    return others->count ? others->nodes[me % others->count] : 0;
}

/* ── one source each ── */

/* Until the next look at the sources it is as if its node were away. */
static struct pin *pin_get(struct nodes *nodes, uint64_t source_id)
{
    struct pin *pin = id_map_get(&nodes->pins, source_id);
    if (pin)
        return pin;
    pin = NEW(struct pin);
    pin->source_id = source_id;
    pin->is_away = true;
    id_map_set(&nodes->pins, source_id, pin);
    return pin;
}

bool nodes_pin_leads_away(struct nodes *nodes, uint64_t source_id, const char *pool)
{
    char name[LANE_PIN_NAME_ROOM];
    const struct pin *pin = pin_get(nodes, source_id);
    bool is_of_pool = !pin->pool[0] || (pool && strcmp(pin->pool, pool) == 0);
    return is_of_pool && (pin->is_away || map_get(&nodes->given, lane_pin_name(source_id, name)));
}

/* Was there ever such a node? */
static bool node_was_there(struct dispatcher *dispatcher, unsigned node)
{
    struct fault ignored;
    int64_t one;
    bool found = false;
    return !db_query_ints(dispatcher->reader, &ignored, "SELECT 1 FROM node WHERE node = $1", VALUES(V_INT(node)), &one,
                          1, &found) ||
           found;
}

static bool pin_waits(struct dispatcher *dispatcher, struct pin *pin, unsigned node)
{
    enum { LONG_AGO = 1 };
    const struct engine_options *options = &dispatcher->engine->options;
    time_ms now = loop_now(dispatcher->loop), wait = (time_ms)((double)options->source_wait * options->retry.scale);
    if (!pin->gone_at)
        pin->gone_at = node_was_there(dispatcher, node) ? now : LONG_AGO;
    return pin->gone_at != LONG_AGO && now - pin->gone_at < wait;
}

void nodes_days_look(struct dispatcher *dispatcher)
{
    struct nodes *nodes = &dispatcher->nodes;
    SCOPED(arena) arena = {0};
    struct warm_up_use *list;
    struct fault ignored; /* then as it was */
    size_t count, at = 0;
    uintptr_t until = (uintptr_t)(loop_now(dispatcher->loop) + FULL_STAYS_MS);
    if (!store_has_others(dispatcher->engine->options.store) ||
        !warm_ups_used(dispatcher->reader, &ignored, world_wall(dispatcher->engine->options.world), &arena, &list,
                       &count))
        return;
    for (struct id_map_entry *entry; (entry = id_map_walk(&nodes->pins, &at));)
        ((struct pin *)entry->value)->is_capped = false;
    for (size_t i = 0; i < count; i++) {
        struct pin *pin = id_map_get(&nodes->pins, list[i].source_id);
        int64_t part = list[i].cap / FREE_PART, left = list[i].cap - list[i].reserved;
        if (pin)
            pin->is_capped = left <= 0;
        if (left <= 0 || (left <= (part ? part : 1) && source_is_full(dispatcher, list[i].source_id)))
            id_map_set(&nodes->full, list[i].source_id, (void *)until);
    }
}

bool nodes_pin_is_capped(const struct nodes *nodes, uint64_t source_id)
{
    const struct pin *pin = id_map_get(&nodes->pins, source_id);
    return pin && pin->is_capped;
}

/* Where does mail go that keeps to this source? Into `given`, if to its node. True: it waits now and did not before, or
 * the other way round. */
static bool pin_settle(struct dispatcher *dispatcher, struct pin *pin, const struct source *list, size_t count,
                       struct map *given)
{
    const struct source *source = NULL;
    char name[LANE_PIN_NAME_ROOM];
    bool was_away = pin->is_away;
    for (size_t i = 0; i < count && !source; i++)
        source = list[i].id == pin->source_id ? &list[i] : NULL;
    snprintf(pin->pool, sizeof(pin->pool), "%.*s", SLICE_ARG(source ? source->pool : SLICE("")));
    pin->is_away = false;
    if (!source || !source_is_usable(source) || pin->is_capped || !source->node ||
        source->node == dispatcher->engine->options.ledger.node) {
        pin->gone_at = 0;
    } else if (node_lives(&dispatcher->nodes, source->node)) {
        pin->gone_at = 0;
        map_set(given, lane_pin_name(pin->source_id, name), (void *)(uintptr_t)source->node);
    } else {
        pin->is_away = pin_waits(dispatcher, pin, source->node);
        if (was_away && !pin->is_away)
            log_info("deliver", "what was in doubt by a source of node %u waits for that node no longer", source->node);
    }
    return pin->is_away != was_away;
}

/* ── all of it ── */

/* True: what waits for a node has changed, too. */
static bool given_now(struct dispatcher *dispatcher, const struct source *list, size_t count, struct map *given)
{
    bool has_changed = false;
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        unsigned node = pool_node(dispatcher, list, count, list[i].pool);
        if (node)
            map_set(given, list[i].pool, (void *)(uintptr_t)node);
    }
    for (struct id_map_entry *entry; (entry = id_map_walk(&dispatcher->nodes.pins, &at));)
        has_changed |= pin_settle(dispatcher, entry->value, list, count, given);
    return has_changed;
}

static bool has_own(const struct dispatcher *dispatcher, const struct source *list, size_t count, struct slice pool)
{
    for (size_t i = 0; i < count; i++)
        if (slice_equal(list[i].pool, pool) && is_ours_to_use(dispatcher, &list[i]))
            return true;
    return false;
}

static void say_given(const struct dispatcher *dispatcher, const struct map *fresh, const struct source *list,
                      size_t count)
{
    const struct map *before = &dispatcher->nodes.given;
    size_t at = 0;
    for (struct map_entry *entry; (entry = map_walk(fresh, &at));) {
        unsigned node = (unsigned)(uintptr_t)entry->value;
        if (map_get(before, entry->key))
            continue;
        if (slice_starts(entry->key, SLICE("=")))
            log_info("deliver", "what was in doubt by a source of node %u goes by that node", node);
        else
            log_info("deliver", "mail of pool %.*s goes by node %u: %s", SLICE_ARG(entry->key), node,
                     has_own(dispatcher, list, count, entry->key) ? "ours have used up their day"
                                                                  : "its sources are there");
    }
}

void nodes_sources(struct dispatcher *dispatcher, const struct source *list, size_t count)
{
    struct nodes *nodes = &dispatcher->nodes;
    struct map given = {0};
    if (!store_has_others(dispatcher->engine->options.store))
        return;
    bool waits_otherwise = given_now(dispatcher, list, count, &given);
    bool is_same = given.count == nodes->given.count && !waits_otherwise;
    size_t at = 0;
    for (struct map_entry *entry; is_same && (entry = map_walk(&given, &at));)
        is_same = map_get(&nodes->given, entry->key) == entry->value;
    if (is_same)
        return map_release(&given);
    say_given(dispatcher, &given, list, count);
    bool is_more = nodes->given.count != 0 || waits_otherwise; /* perhaps one less: its mail is ours again */
    map_release(&nodes->given);
    nodes->given = given;
    nodes_share_changed(dispatcher, is_more);
    nodes->is_asked = true;
}

void nodes_given_release(struct nodes *nodes)
{
    size_t at = 0;
    for (struct id_map_entry *entry; (entry = id_map_walk(&nodes->pins, &at));)
        free(entry->value);
    id_map_release(&nodes->pins);
    id_map_release(&nodes->full);
    map_release(&nodes->given);
}
