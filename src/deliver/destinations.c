/* destinations.c - what a route leads to: which site, which of its destinations
 *
 * A site is a provider's roll-up, by its rule, or one MX set; a destination is an MX set, or a failure to find one, and
 * what TLS must be there. Where the hosts of an MX set live is no part of its name: they may move (R18). */
#include "deliver/destination.h"
#include "deliver/directions.h"
#include "deliver/engine_inside.h"
#include "deliver/site.h"
#include "deliver/tls_seen.h"

#include <assert.h>
#include <stdio.h>

enum { KEY_MARK_ROOM = 300 };

static struct site_count *count_of_rule(const struct engine *engine, const struct site_rule *rule)
{
    size_t count, i = 0;
    const struct site_rule *const *rules = sites_rules(engine->options.sites, &count);
    while (i < count && rules[i] != rule)
        i++;
    assert(i < count);
    return &engine->site_counts[i];
}

/* A receiver is one worker's, whatever the pools that it is reached by: a source that changes its pool keeps its way to
 * it (sources.c). */
static void receiver_join(struct dispatcher *dispatcher, struct site *site)
{
    struct engine *engine = dispatcher->engine;
    struct site *first = map_get(&dispatcher->receivers, site->what);
    site->worker = first ? first->worker : &engine->workers[dispatcher->worker_turn++ % engine->worker_count];
    site->next_of_receiver = first;
    map_set(&dispatcher->receivers, site->what, site);
}

/* Found by what; known to people as name from its first day on: its worker reads that. */
static struct site *site_get(struct dispatcher *dispatcher, struct slice what, struct slice name, struct slice pool,
                             const struct site_rule *rule)
{
    SCOPED(buf) key = BUF(17000);
    buf_append(&key, what);
    if (pool.len)
        buf_printf(&key, " !pool %.*s", SLICE_ARG(pool));
    struct site *site = map_get(&dispatcher->sites, buf_slice(&key));
    if (site)
        return site;
    site = memory_zero(1, sizeof(*site) + name.len + pool.len);
    char *texts = (char *)(site + 1);
    memcpy(texts, name.ptr, name.len);
    if (pool.len)
        memcpy(texts + name.len, pool.ptr, pool.len);
    site->name = slice_of(texts, name.len);
    site->pool = slice_of(texts + name.len, pool.len);
    site->rule = rule;
    site->count = count_of_rule(dispatcher->engine, rule);
    if (rule->rate.count)
        site->appetite =
            (size_t)rule->rate.count * 2000 / (size_t)rule->rate.per + 4; /* until its worker knows better */
    site->key = map_set(&dispatcher->sites, buf_slice(&key), site);
    site->what = slice_head(site->key, what.len);
    receiver_join(dispatcher, site);
    return site;
}

void site_forget(struct dispatcher *dispatcher, struct site *site)
{
    struct site *first = map_get(&dispatcher->receivers, site->what), **at = &first;
    while (*at != site)
        at = &(*at)->next_of_receiver;
    *at = site->next_of_receiver;
    if (first)
        map_set(&dispatcher->receivers, site->what, first);
    else
        map_remove(&dispatcher->receivers, site->what);
    map_remove(&dispatcher->sites, site->key);
    free(site);
}

/* One host in the key of its MX set. */
static void key_mark(const struct route_host *host, char mark[KEY_MARK_ROOM])
{
    snprintf(mark, KEY_MARK_ROOM, " %u:%.*s ", host->preference, SLICE_ARG(host->name));
}

bool route_key_has(struct slice key, const struct route_host *host)
{
    char mark[KEY_MARK_ROOM];
    key_mark(host, mark);
    return slice_find(key, slice_str(mark)) != SLICE_NPOS;
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
            if (route_key_has(buf_slice(key), host))
                continue;
            if (!best || host->preference < best->preference ||
                (host->preference == best->preference && slice_compare(host->name, best->name) < 0))
                best = host;
        }
        if (!best)
            break;
        char mark[KEY_MARK_ROOM];
        key_mark(best, mark);
        buf_str(key, mark);
    }
}

struct route_kept *route_kept_new(const struct route *route, const struct security_policy *policy)
{
    struct route_kept *kept = NEW(struct route_kept);
    kept->held = 1;
    struct arena measure = {0}; /* there may be one for each of 50,000 domains */
    route_copy(&measure, route, &kept->route);
    security_policy_copy(&measure, policy, &kept->policy);
    arena_expect(&kept->arena, measure.used_bytes);
    arena_release(&measure);
    route_copy(&kept->arena, route, &kept->route);
    security_policy_copy(&kept->arena, policy, &kept->policy);
    return kept;
}

void route_kept_drop(struct route_kept *kept)
{
    if (--kept->held)
        return;
    arena_release(&kept->arena);
    free(kept);
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

enum tls_rule destination_rule(const struct dispatcher *dispatcher, const struct domain_route *known,
                               const struct site_rule *rule)
{
    enum tls_rule said = directions_rule(dispatcher->directions, known->domain,
                                         rule->is_default ? SLICE("") : rule->name, known->brand_id);
    return rule->tls == SITE_TLS_REQUIRED && said < TLS_RULE_REQUIRED ? TLS_RULE_REQUIRED : said;
}

/* Do TLSA records of its hosts count? Of the same hosts, for a domain whose MX are signed; not for another one whose
 * are not (RFC 7672 2.2.1). */
static bool has_dane(const struct route *route)
{
    for (size_t i = 0; i < route->host_count; i++)
        if (route->hosts[i].dane != ROUTE_DANE_NONE)
            return true;
    return false;
}

/* What tells apart destinations of one MX set: what TLS must be, for whose recipients, by which smart host. */
static void policy_key(const struct security_policy *policy, bool is_signed, struct buf *key)
{
    if (policy->rule != TLS_RULE_OPPORTUNISTIC)
        buf_printf(key, "!%.*s ", SLICE_ARG(tls_rule_word(policy->rule)));
    if (policy->is_waived)
        buf_text(key, "!waived ");
    if (is_signed)
        buf_text(key, "!signed ");
    if (policy->domain.len)
        buf_printf(key, "!for %.*s ", SLICE_ARG(policy->domain));
    if (policy->relay)
        buf_printf(key, "!relay %llu %u %llx", (unsigned long long)policy->relay->brand_id, policy->relay->port,
                   (unsigned long long)hash_bytes(
                       policy->relay->user, hash_bytes(policy->relay->password, (uint64_t)policy->relay->changed)));
}

/* The same whatever order its equals came in: days and totals are counted by it in the store, across starts and nodes
 * (R28). */
static struct slice site_name(const struct route *route)
{
    const struct route_host *least = &route->hosts[0];
    for (size_t i = 1; i < route->host_count; i++) {
        const struct route_host *host = &route->hosts[i];
        if (host->preference == least->preference && slice_compare(host->name, least->name) < 0)
            least = host;
    }
    return least->name;
}

struct destination *destination_get(struct dispatcher *dispatcher, struct domain_route *known, struct route_kept *kept)
{
    const struct route *route = &kept->route;
    SCOPED(buf) key = BUF(16384);
    SCOPED(buf) site_key = BUF(16384);
    struct slice hosts[ROUTE_HOSTS_MOST], name = known->domain.len ? known->domain : known->name, what = name;
    size_t count = 0;
    route_key(route, known->name, &site_key);
    for (; count < route->host_count && count < COUNT_OF(hosts); count++)
        hosts[count] = route->hosts[count].name;
    const struct site_rule *rule = sites_rule_for(dispatcher->engine->options.sites, hosts, count);
    if (!rule->is_default) {
        what = name = rule->name;
    } else if (count) {
        what = buf_slice(&site_key); /* an MX set of its own */
        name = site_name(route);
    }
    known->rule = kept->policy.rule = destination_rule(dispatcher, known, rule);
    kept->policy.is_waived = known->is_waived;
    kept->policy.avoids_tls = rule->tls == SITE_TLS_NEVER;
    if (security_is_single(&kept->policy, route))
        kept->policy.domain = arena_copy(&kept->arena, known->domain);
    uint64_t seen = tls_seen_read(dispatcher, kept);
    bool was_seen = tls_was_seen(kept, 0, world_wall(dispatcher->engine->options.world));
    known->tls = route->host_count ? security_of(&kept->policy, &route->hosts[0], was_seen).why : "";
    if (known->is_waived && !known->tls[0])
        known->tls = "TLS-Required: No";
    buf_append(&key, buf_slice(&site_key));
    policy_key(&kept->policy, has_dane(route), &key);
    if (known->pool.len)
        buf_printf(&key, " !pool %.*s", SLICE_ARG(known->pool));
    uint64_t addresses = route_addresses(route) + hash_bytes(kept->policy.sts_text, 2) + seen;
    struct destination *destination = map_get(&dispatcher->destinations, buf_slice(&key));
    if (destination) {
        if (addresses != destination->addresses) { /* the same hosts live elsewhere now, or must be met otherwise */
            destination->addresses = addresses;
            worker_control_route(destination->site->worker, destination, kept);
        } else {
            route_kept_drop(kept);
        }
        return destination;
    }
    destination = NEW(struct destination);
    destination->key = map_set(&dispatcher->destinations, buf_slice(&key), destination);
    destination->kept = kept;
    destination->addresses = addresses;
    destination->site = site_get(dispatcher, what, name, known->pool, rule);
    destination->site->is_failure = route->status != ROUTE_FOUND;
    if (destination->site->destination_count++ == 0)
        idle_used(&dispatcher->idle_sites, &destination->site->idle);
    known_count(dispatcher);
    return destination;
}
