/* routing.c - the dispatcher's knowledge of where domains go: sites, destinations, and routes that are asked for when
 * something is due, renewed while something is owed, and forgotten afterwards
 *
 * A domain's route is one destination: its MX set, or the failure to find one. Where the hosts of an MX set live may
 * change: then its worker hears, and connections to come go there. A DNS that fails does not take a known route away
 * (for a day). */
#include "deliver/parts.h"

#include <stdio.h>

enum {
    ROUTE_TTL_LEAST_S = 60,
    ROUTE_TTL_MOST_S = 3600,
    ROUTE_AGAIN_S = 60, /* after a DNS failure */
    ROUTE_STALE_MOST_MS = 86400000,
};

/* What is known of a domain's route, and until when. */
struct domain_route {
    struct dispatcher *dispatcher;
    struct slice domain; /* the map's key */
    struct route_query *query;
    time_ms good_until;
    time_ms found_at; /* 0: never */
};

/* ── sites and destinations ── */

static struct site *site_get(struct dispatcher *dispatcher, struct slice name, const struct site_rule *rule)
{
    struct site *site = map_get(&dispatcher->sites, name);
    if (site)
        return site;
    site = memory_zero(1, sizeof(*site) + name.len);
    memcpy(site + 1, name.ptr, name.len);
    site->name = slice_of(site + 1, name.len);
    site->rule = rule;
    if (rule->rate.count)
        site->appetite =
            (size_t)rule->rate.count * 2000 / (size_t)rule->rate.per + 4; /* until its worker knows better */
    site->worker = &dispatcher->engine->workers[dispatcher->worker_turn++ % dispatcher->engine->worker_count];
    map_set(&dispatcher->sites, name, site);
    return site;
}

/* What tells an MX set apart: its hosts and preferences in order of name; a failure is one for each domain. */
static void route_key(const struct route *route, struct slice domain, struct buf *key)
{
    if (route->status != ROUTE_FOUND) {
        buf_printf(key, "!%.*s %.*s", SLICE_ARG(route_status_word(route->status)), SLICE_ARG(domain));
        return;
    }
    for (size_t seen = 0; seen < route->host_count;
         seen++) { /* hosts of equal preference are shuffled: sort them by name */
        const struct route_host *best = NULL;
        for (size_t i = 0; i < route->host_count; i++) {
            const struct route_host *host = &route->hosts[i];
            char mark[300];
            snprintf(mark, sizeof(mark), " %u:%.*s ", host->preference, SLICE_ARG(host->name));
            if (slice_find(buf_slice(key), slice_str(mark)) != SLICE_NPOS)
                continue;
            if (!best || host->preference < best->preference ||
                (host->preference == best->preference && slice_compare(host->name, best->name) < 0))
                best = host;
        }
        if (!best)
            break;
        buf_printf(key, " %u:%.*s ", best->preference, SLICE_ARG(best->name));
    }
}

static struct route_kept *route_kept_new(const struct route *route)
{
    struct route_kept *kept = NEW(struct route_kept);
    kept->held = 1;
    route_copy(&kept->arena, route, &kept->route);
    return kept;
}

/* The same for the same addresses and TLSA records of the same hosts, in whatever order they came. */
static uint64_t route_addresses(const struct route *route)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < route->host_count; i++) {
        const struct route_host *host = &route->hosts[i];
        uint64_t name = hash_bytes(host->name, 1);
        for (size_t a = 0; a < host->address_count; a++) {
            char text[IP_TEXT_ROOM];
            sum += hash_bytes(slice_str(ip_text(&host->addresses[a], text)), name);
        }
        sum += hash_u64(host->dane, name);
        for (size_t t = 0; t < host->tlsa_count; t++)
            sum += hash_bytes(host->tlsa[t].data,
                              hash_u64((uint64_t)host->tlsa[t].usage << 16 | (uint64_t)host->tlsa[t].selector << 8 |
                                           host->tlsa[t].matching,
                                       name));
    }
    return sum;
}

static struct destination *destination_get(struct dispatcher *dispatcher, const struct route *route,
                                           struct slice domain)
{
    SCOPED(buf) key = BUF(16384);
    route_key(route, domain, &key);
    struct destination *destination = map_get(&dispatcher->destinations, buf_slice(&key));
    if (destination) {
        uint64_t addresses = route_addresses(route);
        if (addresses != destination->addresses) { /* the same hosts live elsewhere now */
            destination->addresses = addresses;
            worker_control_route(destination->site->worker, destination, route_kept_new(route));
        }
        return destination;
    }
    destination = NEW(struct destination);
    destination->key = arena_copy(&destination->arena, buf_slice(&key));
    destination->kept = route_kept_new(route);
    destination->addresses = route_addresses(route);
    struct slice hosts[ROUTE_HOSTS_MOST], name = domain;
    size_t count = 0;
    for (; count < route->host_count && count < COUNT_OF(hosts); count++)
        hosts[count] = route->hosts[count].name;
    const struct site_rule *rule = sites_rule_for(dispatcher->engine->options.sites, hosts, count);
    if (!rule->is_default)
        name = rule->name;
    else if (count)
        name = buf_slice(&key); /* an MX set of its own */
    struct site *site = site_get(dispatcher, name, rule);
    site->is_failure = route->status != ROUTE_FOUND;
    if (rule->is_default && count)
        site->name = arena_copy(&destination->arena, hosts[0]);
    destination->site = site;
    map_set(&dispatcher->destinations, destination->key, destination);
    return destination;
}

/* ── routes ── */

static void on_route(void *owner, const struct route *route)
{
    struct domain_route *known = owner;
    struct dispatcher *dispatcher = known->dispatcher;
    time_ms now = loop_now(dispatcher->loop);
    known->query = NULL;
    if (dispatcher->is_stopping) /* the workers are going */
        return;
    if (route->status == ROUTE_TRY_LATER && known->found_at && now < known->found_at + ROUTE_STALE_MOST_MS) {
        known->good_until = now + SECONDS_MS(ROUTE_AGAIN_S);
        return;
    }
    uint32_t ttl = route->ttl_seconds < ROUTE_TTL_LEAST_S ? ROUTE_TTL_LEAST_S : route->ttl_seconds;
    if (ttl > ROUTE_TTL_MOST_S)
        ttl = ROUTE_TTL_MOST_S;
    if (route->status == ROUTE_TRY_LATER || route->status == ROUTE_NO_ADDRESS)
        ttl = ROUTE_AGAIN_S;
    known->good_until = now + SECONDS_MS(ttl);
    known->found_at = route->status == ROUTE_FOUND ? now : 0;
    struct destination *destination = destination_get(dispatcher, route, known->domain);
    lanes_route(dispatcher->lanes, known->domain, &destination->site->group, destination);
    timer_set(&dispatcher->wake, 0);
}

static void ask(struct domain_route *known)
{
    struct dispatcher *dispatcher = known->dispatcher;
    if (!known->query)
        known->query = route_ask(dispatcher->dns, known->domain, &dispatcher->engine->route_options, on_route, known);
}

void routing_want(void *owner, struct slice domain)
{
    struct dispatcher *dispatcher = owner;
    struct domain_route *known = map_get(&dispatcher->routes, domain);
    if (!known) {
        known = memory_zero(1, sizeof(*known) + domain.len);
        known->dispatcher = dispatcher;
        memcpy(known + 1, domain.ptr, domain.len);
        known->domain = slice_of(known + 1, domain.len);
        map_set(&dispatcher->routes, domain, known);
    }
    ask(known);
}

/* Routes whose time is over are asked anew, and the old one serves until the answer comes; those that nobody needs any
 * more are forgotten. */
void routing_refresh(struct dispatcher *dispatcher)
{
    size_t at = 0;
    time_ms now = loop_now(dispatcher->loop);
    for (struct map_entry *entry; (entry = map_walk(&dispatcher->routes, &at));) {
        struct domain_route *known = entry->value;
        if (known->query || known->good_until >= now)
            continue;
        if (lanes_forget(dispatcher->lanes, known->domain)) {
            map_remove(&dispatcher->routes, known->domain);
            free(known);
        } else {
            ask(known);
        }
    }
}

void routing_release(struct dispatcher *dispatcher)
{
    size_t at = 0;
    for (struct map_entry *entry; (entry = map_walk(&dispatcher->routes, &at));) {
        struct domain_route *known = entry->value;
        if (known->query)
            route_cancel(known->query);
        free(known);
    }
    dns_client_free(dispatcher->dns);
    at = 0;
    for (struct map_entry *entry; (entry = map_walk(&dispatcher->destinations, &at));) {
        struct destination *destination = entry->value;
        route_kept_drop(destination->kept);
        arena_release(&destination->arena);
        free(destination);
    }
    at = 0;
    for (struct map_entry *entry; (entry = map_walk(&dispatcher->sites, &at));)
        free(entry->value);
    map_release(&dispatcher->routes);
    map_release(&dispatcher->destinations);
    map_release(&dispatcher->sites);
}
