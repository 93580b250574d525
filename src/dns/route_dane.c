/* route_dane.c - TLSA records of the chosen hosts (RFC 7672 2.2, RFC 7671 7)
 *
 *     signed, a CNAME:    AT_CANONICAL --none--> AT_NAME
 *     signed, no CNAME:                          AT_NAME
 *     a CNAME that leads out of what is signed:  IS_ALIAS_SIGNED --yes--> AT_NAME
 *
 * Asked only where the MX (or its absence) and the host's addresses are signed: a server that cannot answer TLSA at all
 * is common where nothing is signed, and would stop mail there for nothing. */
#include "dns/route_inside.h"

#include <stdio.h>

static void ask(struct dane_lookup *lookup, enum dane_step step);

static void broken(struct dane_lookup *lookup, const struct dns_answer *dns)
{
    struct route_host *host = lookup->host;
    host->dane = ROUTE_DANE_BROKEN;
    host->dane_why =
        arena_printf(&lookup->route_query->arena, "%.*s: TLSA lookup failed: %s%.*s", SLICE_ARG(host->name),
                     dns->status == DNS_BOGUS ? "DNSSEC: " : "", SLICE_ARG(dns->why));
}

static void take_records(struct dane_lookup *lookup, const struct dns_answer *dns)
{
    struct route_host *host = lookup->host;
    struct arena *arena = &lookup->route_query->arena;
    struct tlsa *tlsa = ARENA_ARRAY(arena, struct tlsa, dns->count + 1);
    for (size_t i = 0; i < dns->count && host->tlsa_count < ROUTE_TLSA_MOST; i++) {
        if (!tlsa_is_usable(&dns->records[i].tlsa))
            continue;
        tlsa[host->tlsa_count] = dns->records[i].tlsa;
        tlsa[host->tlsa_count++].data = arena_copy(arena, dns->records[i].tlsa.data);
    }
    host->tlsa = tlsa;
    host->dane = host->tlsa_count ? ROUTE_DANE_USABLE : ROUTE_DANE_ENCRYPT;
    if (lookup->step == DANE_AT_NAME)
        host->dane_base = host->name;
}

/* What this answer means. True: another question follows. */
static bool goes_on(struct dane_lookup *lookup, const struct dns_answer *dns)
{
    switch (dns->status) {
    case DNS_TRY_LATER:
    case DNS_BOGUS: broken(lookup, dns); return false;
    case DNS_FOUND:
        if (lookup->step == DANE_IS_ALIAS_SIGNED) {
            if (dns->is_secure)
                ask(lookup, DANE_AT_NAME);
            return dns->is_secure;
        }
        if (dns->is_secure) {
            take_records(lookup, dns);
            return false;
        }
        break;
    case DNS_NO_NAME:
    case DNS_NO_DATA: break;
    }
    if (lookup->step != DANE_AT_CANONICAL)
        return false;
    ask(lookup, DANE_AT_NAME);
    return true;
}

static void on_dane(void *owner, const struct dns_answer *dns)
{
    struct dane_lookup *lookup = owner;
    struct route_query *query = lookup->route_query;
    lookup->query = NULL;
    if (dns->ttl_seconds < query->route.ttl_seconds)
        query->route.ttl_seconds = dns->ttl_seconds;
    if (!goes_on(lookup, dns) && --query->dane_waiting == 0)
        route_answer(query);
}

static void ask(struct dane_lookup *lookup, enum dane_step step)
{
    struct route_host *host = lookup->host;
    struct dns_client *client = lookup->route_query->client;
    char name[DNS_NAME_ROOM + 16];
    lookup->step = step;
    if (step == DANE_IS_ALIAS_SIGNED) {
        lookup->query = dns_ask(client, host->name, DNS_CNAME, on_dane, lookup);
        return;
    }
    struct slice base = step == DANE_AT_CANONICAL ? host->dane_base : host->name;
    snprintf(name, sizeof(name), "_25._tcp.%.*s", SLICE_ARG(base));
    lookup->query = dns_ask(client, slice_str(name), DNS_TLSA, on_dane, lookup);
}

bool route_ask_dane(struct route_query *query)
{
    struct route *route = &query->route;
    if (!query->options->uses_dane || route->status != ROUTE_FOUND || !route->is_secure)
        return false;
    query->dane = ARENA_ARRAY(&query->arena, struct dane_lookup, route->host_count);
    for (size_t i = 0; i < route->host_count; i++) {
        struct route_host *host = (struct route_host *)(uintptr_t)&route->hosts[i]; /* ours: route_judge made it */
        bool is_alias = host->dane_base.len > 0;
        if (!host->is_secure && !is_alias)
            continue;
        struct dane_lookup *lookup = &query->dane[query->dane_count++];
        lookup->route_query = query;
        lookup->host = host;
        query->dane_waiting++;
        ask(lookup, !host->is_secure ? DANE_IS_ALIAS_SIGNED : is_alias ? DANE_AT_CANONICAL : DANE_AT_NAME);
    }
    return query->dane_waiting > 0;
}
