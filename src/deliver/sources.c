/* sources.c - our addresses: read by the dispatcher, known to each worker, and each site's ways by them
 *
 * The dispatcher reads the table each second; when it has changed every worker gets a copy, and each of its sites has
 * one egress for each source of its pool. An egress goes with its site (forget.c) and never before: a source that
 * drains, is in trouble or was removed is not usable, opens nothing, and its connections end behind the mail under way.
 *
 * A receiver does not know our pools: for it a source that changes its pool is the address that it was. So its egress
 * moves to the site of the other pool, with its pace, what the receiver said to it, and the connections that still end
 * at the site it came from (R28). */
#include "deliver/engine_inside.h"
#include "deliver/ordered.h"
#include "deliver/paused.h"
#include "deliver/site.h"
#include "deliver/slot.h"

#include "base/log.h"

/* ── the dispatcher's half ── */

static struct source_set *source_set_of(struct dispatcher *dispatcher, const struct source *list, size_t count)
{
    struct source_set *set = NEW(struct source_set);
    unsigned node = dispatcher->engine->options.ledger.node;
    set->list = ARENA_ARRAY(&set->arena, struct set_source, count + 1);
    set->plans = dispatcher->plans_mark;
    for (size_t i = 0; i < count; i++) {
        bool is_ours = !list[i].node || list[i].node == node;
        set->list[set->count++] = (struct set_source){
            .id = list[i].id,
            .ip = list[i].ip,
            .ehlo_name = arena_copy(&set->arena, list[i].ehlo_name),
            .pool = arena_copy(&set->arena, list[i].pool),
            .weight = list[i].weight ? list[i].weight : 1,
            .is_ours = is_ours,
            .is_usable = source_is_usable(&list[i]) && list[i].ip.family,
            .is_everywhere = list[i].node == 0,
            .is_capped = !is_ours && nodes_pin_is_capped(&dispatcher->nodes, list[i].id),
        };
    }
    return set;
}

/* What workers must hear of when it changes. */
static uint64_t sources_mark(const struct nodes *nodes, const struct source *list, size_t count)
{
    uint64_t mark = count;
    for (size_t i = 0; i < count; i++) {
        mark = hash_u64(list[i].id, mark);
        mark = hash_bytes(list[i].ehlo_name, mark);
        mark = hash_bytes(list[i].pool, mark);
        mark = hash_u64((uint64_t)list[i].weight << 32 | list[i].node, mark);
        mark = hash_u64(source_is_usable(&list[i]), mark);
        mark = hash_u64(nodes_pin_is_capped(nodes, list[i].id), mark);
    }
    return mark;
}

/* What was usable before and what is now: one line for each that changed. The checks of sources say themselves what
 * they found (health.c); here it is what a person did. */
static void sources_say(struct dispatcher *dispatcher, const struct source *list, size_t count)
{
    struct map *said = &dispatcher->sources_said;
    char ip[IP_TEXT_ROOM];
    for (size_t i = 0; i < count; i++) {
        const struct source *source = &list[i];
        struct slice name = slice_str(ip_text(&source->ip, ip));
        bool drains = source->state == SOURCE_DRAINING, has_drained = map_get(said, name) != NULL;
        if (drains && !has_drained) {
            map_set(said, name, dispatcher);
            log_info("deliver", "a source drains, nothing new leaves it source=%s pool=%.*s reason=%s", ip,
                     SLICE_ARG(source->pool), "order");
        } else if (!drains && has_drained) {
            map_remove(said, name);
            log_info("deliver", "a source drains no more source=%s pool=%.*s", ip, SLICE_ARG(source->pool));
        }
    }
}

void sources_refresh(struct dispatcher *dispatcher)
{
    struct arena arena = {0};
    struct source *list;
    size_t count;
    struct fault why;
    if (dispatcher->is_stopping)
        return;
    if (!source_list(dispatcher->reader, &why, &arena, &list, &count)) {
        log_warn("deliver", "the sources cannot be read: %s", why.text);
        arena_release(&arena);
        return;
    }
    nodes_days_look(dispatcher);
    uint64_t mark = sources_mark(&dispatcher->nodes, list, count), plans = dispatcher->plans_mark;
    if (!warm_ups_mark(dispatcher->reader, &why, &plans))
        log_warn("deliver", "the plans of sources cannot be read: %s", why.text);
    dispatcher->plans_mark = plans;
    mark = hash_u64(plans, mark);
    if (mark != dispatcher->sources_mark) {
        dispatcher->sources_mark = mark;
        sources_say(dispatcher, list, count);
        routing_sources(dispatcher, list, count);
        for (unsigned i = 0; i < dispatcher->engine->worker_count; i++)
            worker_control_sources(&dispatcher->engine->workers[i], source_set_of(dispatcher, list, count));
    }
    nodes_sources(dispatcher, list, count);
    health_check(dispatcher, list, count);
    arena_release(&arena);
}

/* ── the worker's half ── */

void source_set_free(struct source_set *set)
{
    if (set)
        arena_release(&set->arena);
    free(set);
}

static struct egress *egress_of(const struct site *site, uint64_t source_id)
{
    struct egress *egress = site->egresses;
    while (egress && egress->source_id != source_id)
        egress = egress->next;
    return egress;
}

static void egress_moves(struct egress *egress, struct site *to)
{
    struct site *from = egress->site;
    struct egress **at = &from->egresses;
    while (*at != egress)
        at = &(*at)->next;
    *at = egress->next;
    if (!from->egresses) /* what waits there goes home */
        atomic_store_explicit(&from->has_no_way, true, memory_order_relaxed);
    for (struct destination *destination = from->destinations; destination; destination = destination->of_site)
        for (struct slot *slot = destination->slots; slot; slot = slot->next)
            if (slot->egress == egress)
                slot_leave_if_idle(slot);
    egress->site = to;
    egress->next = to->egresses;
    to->egresses = egress;
    struct share *const shares[] = {egress->share, egress->opening};
    for (size_t i = 0; i < COUNT_OF(shares); i++)
        if (shares[i])
            shares[i]->site = to;
}

/* The way that this source has to the same receiver by a pool that it was in. */
static struct egress *egress_elsewhere(const struct worker *worker, const struct site *site, uint64_t source_id)
{
    struct egress *egress = NULL;
    for (const struct site *other = worker->sites; other && !egress; other = other->next_of_worker)
        if (other != site && slice_equal(other->what, site->what))
            egress = egress_of(other, source_id);
    return egress;
}

static struct egress *egress_get(struct worker *worker, struct site *site, uint64_t source_id, bool has_moved)
{
    struct egress *egress = egress_of(site, source_id);
    if (egress)
        return egress;
    if (has_moved && (egress = egress_elsewhere(worker, site, source_id))) {
        egress_moves(egress, site);
        return egress;
    }
    egress = NEW(struct egress);
    egress->site = site;
    egress->source_id = source_id;
    egress->weight = 1;
    pace_init(&egress->pace, site->rule, worker->engine->options.retry.scale);
    if (worker->engine->limits_from)
        pace_goes_on(&egress->pace, worker->engine->limits_from);
    ordered_begin(worker, egress, loop_now(worker->loop));
    paused_begin(egress, loop_now(worker->loop));
    egress->next = site->egresses;
    site->egresses = egress;
    atomic_fetch_add_explicit(&worker->engine->ways, 1, memory_order_relaxed);
    return egress;
}

/* Limits of an address that every node has are shared among them. */
static void share_begin(struct egress *egress, bool is_everywhere)
{
    const struct site_rule *rule = egress->site->rule;
    if (!is_everywhere || egress->share)
        return;
    egress->share = share_of_egress(egress, rule->rate, rule->connections, "");
    if (rule->opening.count)
        egress->opening = share_of_egress(egress, rule->opening, 0, " opening");
}

void egresses_update(struct worker *worker, struct site *site)
{
    if (!site->pool.len) { /* the system chooses the address */
        egress_get(worker, site, 0, false)->is_usable = true;
        return;
    }
    for (struct egress *egress = site->egresses; egress; egress = egress->next)
        egress->is_usable = false;
    const struct source_set *set = worker->sources;
    for (size_t i = 0; set && i < set->count; i++) {
        const struct set_source *source = &set->list[i];
        if (!source->is_ours || !slice_equal(source->pool, site->pool))
            continue;
        struct egress *egress = egress_get(worker, site, source->id, source->has_moved);
        egress->from = source->ip;
        egress->weight = source->weight;
        egress->is_usable = source->is_usable;
        share_begin(egress, source->is_everywhere);
        if (!slice_equal(egress->ehlo_name, source->ehlo_name)) /* conversations look at the old one: it stays */
            egress->ehlo_name = map_set(&worker->names, source->ehlo_name, worker);
    }
}

static void moves_mark(const struct source_set *before, struct source_set *set)
{
    for (size_t i = 0; before && i < set->count; i++)
        for (size_t j = 0; j < before->count; j++)
            if (before->list[j].id == set->list[i].id)
                set->list[i].has_moved =
                    before->list[j].has_moved || !slice_equal(before->list[j].pool, set->list[i].pool);
}

void sources_arrived(struct worker *worker, struct source_set *set)
{
    bool has_other_plans = worker->sources && worker->sources->plans != set->plans;
    time_ms now = loop_now(worker->loop);
    moves_mark(worker->sources, set);
    source_set_free(worker->sources);
    worker->sources = set;
    for (struct site *site = worker->sites; has_other_plans && site; site = site->next_of_worker)
        for (struct egress *egress = site->egresses; egress; egress = egress->next)
            if (egress->source_id)
                egress_day_anew(egress, now);
    for (struct site *site = worker->sites; site; site = site->next_of_worker) {
        if (!site->pool.len || (!site->egresses && !atomic_load_explicit(&site->has_no_way, memory_order_relaxed)))
            continue;
        egresses_update(worker, site);
        for (struct destination *destination = site->destinations; destination; destination = destination->of_site) {
            for (struct slot *slot = destination->slots; slot; slot = slot->next)
                if (!slot->egress->is_usable)
                    slot_leave_if_idle(slot);
        }
        worker_pump(worker, site);
    }
}
