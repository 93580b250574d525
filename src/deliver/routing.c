/* routing.c - the dispatcher's knowledge of where domains go: sites, destinations, and routes that are asked for when
 * something is due, renewed while something is owed, and forgotten afterwards
 *
 * A domain's route is one destination: its MX set, or the failure to find one. Where the hosts of an MX set live may
 * change: then its worker hears, and connections to come go there. A DNS that fails does not take a known route away,
 * nor one of its hosts (for a day). */
#include "deliver/destination.h"
#include "deliver/directions.h"
#include "deliver/engine_inside.h"
#include "deliver/site.h"

#include "base/log.h"
#include <stdio.h>

enum {
    ROUTE_TTL_LEAST_S = 60,
    ROUTE_TTL_MOST_S = 3600,
    ROUTE_AGAIN_S = 60, /* after a DNS failure */
    ROUTE_STALE_MOST_MS = 86400000,
    ASKED_MOST = 500, /* routes asked for at a time; a campaign to 50,000 domains is no flood of questions */
    ASKED_MOST_URGENT = 700,
    LATE_MS = 3600000, /* nothing is due for so long: its route is asked for anew then */
    SOON_MS = 60000,   /* the same, when there are many: */
    ROUTES_MANY = 20000,
    LOOKED_AT_LEAST = 4096, /* of the map's places, in one second */
};

/* ── routes ── */

static void ask_now(struct domain_route *known);

static void lead_to(struct domain_route *known, struct destination *destination)
{
    struct destination *before = known->destination;
    known->destination = destination;
    if (destination) {
        destination->routes++;
        destination_used(known->dispatcher, destination);
    }
    if (before && destination && before != destination && before->outstanding) /* who waits there waits no longer */
        worker_control_leave(before->site->worker, before, known->domain);
    if (before) {
        before->routes--;
        destination_rests(known->dispatcher, before);
    }
}

static void queue_out(struct domain_route *known)
{
    struct route_queue *queue = known->queue;
    if (!queue)
        return;
    *(known->queue_before ? &known->queue_before->queue_next : &queue->first) = known->queue_next;
    *(known->queue_next ? &known->queue_next->queue_before : &queue->last) = known->queue_before;
    known->queue_before = known->queue_next = NULL;
    known->queue = NULL;
}

static void queue_in(struct route_queue *queue, struct domain_route *known)
{
    queue_out(known);
    known->queue = queue;
    known->queue_before = queue->last;
    *(queue->last ? &queue->last->queue_next : &queue->first) = known;
    queue->last = known;
}

static void ask_next(struct dispatcher *dispatcher)
{
    static const unsigned most[LANE_PRIORITIES] = {ASKED_MOST_URGENT, ASKED_MOST};
    for (size_t i = 0; i < COUNT_OF(most) && !dispatcher->is_stopping; i++) {
        while (dispatcher->to_ask[i].first && dispatcher->asking < most[i]) {
            struct domain_route *known = dispatcher->to_ask[i].first;
            queue_out(known);
            ask_now(known);
        }
    }
}

/* Nothing is awaited for it any more: somebody else's turn. */
static void answered(struct domain_route *known)
{
    known->dispatcher->asking -= known->is_asked;
    known->is_asked = false;
    ask_next(known->dispatcher);
}

/* Route and policy are known: where the lanes go from now on. */
static void settle(struct domain_route *known)
{
    struct dispatcher *dispatcher = known->dispatcher;
    struct route_kept *kept = known->found;
    time_ms now = loop_now(dispatcher->loop);
    uint32_t ttl = kept->route.ttl_seconds < ROUTE_TTL_LEAST_S ? ROUTE_TTL_LEAST_S : kept->route.ttl_seconds;
    if (ttl > ROUTE_TTL_MOST_S)
        ttl = ROUTE_TTL_MOST_S;
    if (kept->route.status == ROUTE_TRY_LATER || kept->route.status == ROUTE_NO_ADDRESS)
        ttl = ROUTE_AGAIN_S;
    known->found = NULL;
    known->good_until = now + SECONDS_MS(ttl);
    known->found_at = kept->route.status == ROUTE_FOUND ? now : 0;
    known->status = kept->route.status;
    struct destination *destination = destination_get(dispatcher, known, kept);
    lanes_route(dispatcher->lanes, known->name, &destination->site->group, destination);
    lead_to(known, destination);
    timer_set(&dispatcher->wake, 0);
    answered(known);
}

/* Does it lack a host that it had, because the DNS failed? Without it the MX set would be another one, its site too:
 * with other limits, beside the connections of the one before (R28). */
static bool lacks_known_host(const struct domain_route *known, const struct route *route)
{
    bool lacks = false;
    for (size_t i = 0; i < route->missing_count && known->destination; i++)
        lacks |= route_key_has(known->destination->key, &route->missing[i]);
    return lacks;
}

/* What was known may serve on: for a day, and while people want nothing else of it. */
static bool may_serve_on(const struct domain_route *known, time_ms now)
{
    return known->found_at && now < known->found_at + ROUTE_STALE_MOST_MS && known->destination &&
           known->rule == destination_rule(known->dispatcher, known, known->destination->site->rule);
}

static void on_route(void *owner, const struct route *route)
{
    struct domain_route *known = owner;
    struct dispatcher *dispatcher = known->dispatcher;
    time_ms now = loop_now(dispatcher->loop);
    known->query = NULL;
    if (dispatcher->is_stopping) /* the workers are going */
        return;
    bool has_failed = route->status == ROUTE_TRY_LATER || lacks_known_host(known, route);
    if (has_failed && may_serve_on(known, now)) {
        known->good_until = now + SECONDS_MS(ROUTE_AGAIN_S);
        sts_cancel(known->sts);
        known->sts = NULL;
        if (known->found)
            route_kept_drop(known->found);
        known->found = NULL;
        answered(known);
        return;
    }
    struct security_policy policy = {0};
    if (known->found)
        policy = known->found->policy;
    struct route_kept *kept = route_kept_new(route, &policy);
    if (known->found)
        route_kept_drop(known->found);
    known->found = kept;
    if (!known->sts)
        settle(known);
}

static void on_policy(void *owner, const struct sts_found *found)
{
    struct domain_route *known = owner;
    known->sts = NULL;
    if (known->dispatcher->is_stopping)
        return;
    struct security_policy policy = {0};
    if (found)
        policy = (struct security_policy){.has_sts = true, .sts = *found->policy, .sts_text = found->text};
    const struct route none = {.status = ROUTE_TRY_LATER};
    struct route_kept *kept = route_kept_new(known->found ? &known->found->route : &none, &policy);
    if (known->found)
        route_kept_drop(known->found);
    known->found = kept;
    if (!known->query)
        settle(known);
}

static void ask_relay(struct domain_route *known)
{
    struct dispatcher *dispatcher = known->dispatcher;
    const struct relay *relay = directions_relay(dispatcher->directions, known->brand_id);
    const struct security_policy policy = {.relay = relay};
    const struct route locked = {
        .status = ROUTE_TRY_LATER, .enhanced = {4, 3, 5}, .text = SLICE("the smart host's password cannot be opened")};
    if (!relay) /* taken away: its lanes go elsewhere */
        return answered(known);
    if (known->found)
        route_kept_drop(known->found);
    known->found = route_kept_new(&locked, &policy);
    if (relay->is_locked)
        return settle(known);
    known->query = route_ask(dispatcher->dns, relay->host, &dispatcher->engine->relay_options, on_route, known);
}

static void ask_now(struct domain_route *known)
{
    struct dispatcher *dispatcher = known->dispatcher;
    known->is_asked = true;
    dispatcher->asking++;
    if (!known->domain.len)
        return ask_relay(known);
    known->query = route_ask(dispatcher->dns, known->domain, &dispatcher->engine->route_options, on_route, known);
    if (dispatcher->sts && known->domain.ptr[0] != '[')
        known->sts = sts_ask(dispatcher->sts, known->domain, on_policy, known);
}

/* As soon as there is room for the question, those of transactional mail first. */
static void ask(struct domain_route *known, bool is_urgent)
{
    struct dispatcher *dispatcher = known->dispatcher;
    if (known->is_asked || (known->queue && !is_urgent))
        return;
    queue_in(&dispatcher->to_ask[is_urgent ? 0 : LANE_PRIORITIES - 1], known);
    ask_next(dispatcher);
}

void routing_want(void *owner, struct slice name, bool is_urgent)
{
    struct dispatcher *dispatcher = owner;
    struct domain_route *known = map_get(&dispatcher->routes, name);
    if (!known) {
        known = NEW(struct domain_route);
        known->dispatcher = dispatcher;
        known->name = map_set(&dispatcher->routes, name, known);
        struct route_name read = route_name_read(known->name);
        known->domain = read.domain;
        known->brand_id = read.brand_id;
        known->pool = read.pool;
        known->is_waived = read.is_waived;
    }
    ask(known, is_urgent);
}

static void route_free(struct domain_route *known)
{
    queue_out(known);
    route_cancel(known->query);
    sts_cancel(known->sts);
    if (known->found)
        route_kept_drop(known->found);
    free(known);
}

static void route_forget(struct domain_route *known)
{
    struct dispatcher *dispatcher = known->dispatcher;
    struct slice name = known->name;
    lead_to(known, NULL);
    route_free(known);
    map_remove(&dispatcher->routes, name);
}

static bool are_many(const struct dispatcher *dispatcher)
{
    size_t most = dispatcher->engine->options.idle_most;
    return dispatcher->routes.count > (most ? most : ROUTES_MANY);
}

/* Nothing is owed to it, and its time is over; or nothing is due for a long time, and then it is asked for anew. Where
 * there are many, a few seconds are long. */
static bool is_of_no_use(struct domain_route *known, time_ms now)
{
    struct dispatcher *dispatcher = known->dispatcher;
    time_ms wall = world_wall(dispatcher->engine->options.world);
    time_ms due = lanes_next_due(dispatcher->lanes, known->name);
    if (due <= wall) {
        known->idle_since = 0;
        return false;
    }
    bool is_pressed = known->idle_since && are_many(dispatcher);
    time_ms late = (time_ms)((is_pressed ? SOON_MS : LATE_MS) * dispatcher->engine->options.retry.scale) + 1;
    if (!known->idle_since)
        known->idle_since = now;
    bool is_over = is_pressed || known->good_until < now || now - known->idle_since >= late;
    if (!is_over || lanes_forget(dispatcher->lanes, known->name))
        return is_over;
    if (due - wall < late)
        return false;
    lanes_route(dispatcher->lanes, known->name, NULL, NULL);
    return true;
}

/* Routes whose time is over are asked anew, and the old one serves until the answer comes; those that nobody needs any
 * more are forgotten. Of many, a part each second: the walk is round in half a minute, in four seconds when there are
 * more than ROUTES_MANY. */
void routing_refresh(struct dispatcher *dispatcher)
{
    const struct map *routes = &dispatcher->routes;
    size_t *at = &dispatcher->routes_looked_at, part = routes->room / (are_many(dispatcher) ? 4 : 32);
    bool is_all = dispatcher->looks_at_all;
    time_ms now = loop_now(dispatcher->loop);
    dispatcher->looks_at_all = false;
    if (is_all || *at >= routes->room)
        *at = 0;
    size_t end = is_all ? routes->room : *at + (part < LOOKED_AT_LEAST ? LOOKED_AT_LEAST : part);
    for (struct map_entry *entry; *at < end && (entry = map_walk(routes, at));) {
        struct domain_route *known = entry->value;
        if (known->is_asked || known->queue)
            continue;
        if (is_of_no_use(known, now))
            route_forget(known);
        else if (known->good_until < now)
            ask(known, false);
    }
}

static void ask_all_anew(struct dispatcher *dispatcher)
{
    size_t at = 0;
    for (struct map_entry *entry; (entry = map_walk(&dispatcher->routes, &at));)
        ((struct domain_route *)entry->value)->good_until = 0;
    dispatcher->looks_at_all = true;
}

/* ── what people decided ── */

void routing_sources(struct dispatcher *dispatcher, const struct source *list, size_t count)
{
    struct engine *engine = dispatcher->engine;
    if (ourselves_are(&dispatcher->ourselves, &engine->options, list, count, &engine->route_options))
        ask_all_anew(dispatcher);
}

static void name_route(void *context, const struct lane_key *key, struct buf *name)
{
    directions_name(context, key, name);
}

/* Who stands in for whom now, and for whom nobody does any more. */
static void say_stand_ins(const struct directions *old, const struct directions *fresh)
{
    size_t at = 0;
    for (struct map_entry *entry; (entry = map_walk(&fresh->stand_ins, &at));)
        if (!old || !map_get(&old->stand_ins, entry->key))
            log_info("deliver", "a pool has no way now, another stands in pool=%.*s by=%s", SLICE_ARG(entry->key),
                     (const char *)entry->value);
    at = 0;
    for (struct map_entry *entry; old && (entry = map_walk(&old->stand_ins, &at));)
        if (!map_get(&fresh->stand_ins, entry->key))
            log_info("deliver", "a pool has its own way again pool=%.*s", SLICE_ARG(entry->key));
}

bool routing_directions(struct dispatcher *dispatcher, struct fault *why)
{
    struct directions *fresh = directions_read(dispatcher->reader, dispatcher->engine->options.seal, why);
    if (!fresh)
        return false;
    bool is_first = !dispatcher->directions;
    if (!is_first && fresh->digest == dispatcher->directions->digest) {
        directions_free(fresh);
        return true;
    }
    struct directions *old = dispatcher->directions;
    say_stand_ins(old, fresh);
    dispatcher->directions = fresh;
    lanes_name_routes(dispatcher->lanes, name_route, fresh);
    directions_free(old);
    ask_all_anew(dispatcher);
    if (!is_first)
        nodes_directions(dispatcher);
    return true;
}

static void sts_failed(void *owner, struct slice domain, enum tls_result result, struct slice why)
{
    struct dispatcher *dispatcher = owner;
    const struct tls_note note = {.policy = TLS_POLICY_STS, .result = result, .domain = domain, .detail = why};
    tls_counts_take(&dispatcher->tls_counts, tls_note_copy(&note), world_wall(dispatcher->engine->options.world));
}

bool routing_begin(struct dispatcher *dispatcher, struct fault *why)
{
    const struct engine_options *options = &dispatcher->engine->options;
    const struct sts_cache_options sts = {
        .loop = dispatcher->loop,
        .dns = dispatcher->dns,
        .store = options->store,
        .roots = options->roots,
        .uses_ipv6 = options->uses_ipv6,
        .failed = sts_failed,
        .owner = dispatcher,
    };
    if (options->uses_sts && !(dispatcher->sts = sts_cache_new(&sts, dispatcher->reader, why)))
        return false;
    routing_sources(dispatcher, NULL, 0); /* until they are read */
    return routing_directions(dispatcher, why);
}

void routing_notes(struct mailbox *mailbox, struct mail_item *items)
{
    struct dispatcher *dispatcher = mailbox->owner;
    time_ms now = world_wall(dispatcher->engine->options.world);
    while (items) {
        struct tls_note *note = (struct tls_note *)items;
        items = items->next;
        tls_counts_take(&dispatcher->tls_counts, note, now);
    }
}

void routing_release(struct dispatcher *dispatcher)
{
    size_t at = 0;
    for (struct map_entry *entry; (entry = map_walk(&dispatcher->routes, &at));)
        route_free(entry->value);
    sts_cache_free(dispatcher->sts);
    tls_counts_release(&dispatcher->tls_counts);
    directions_free(dispatcher->directions);
    dns_client_free(dispatcher->dns);
    ourselves_release(&dispatcher->ourselves);
    at = 0;
    for (struct map_entry *entry; (entry = map_walk(&dispatcher->destinations, &at));)
        destination_free(entry->value);
    at = 0;
    for (struct map_entry *entry; (entry = map_walk(&dispatcher->sites, &at));)
        free(entry->value);
    map_release(&dispatcher->routes);
    map_release(&dispatcher->destinations);
    map_release(&dispatcher->sites);
    map_release(&dispatcher->receivers);
}
