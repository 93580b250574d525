/* route.c - from a domain to hosts with addresses
 *
 *     MX asked -> candidates chosen (route_choose.c: sorted, shuffled, our own cut off, literals refused)
 *              -> A and AAAA of each asked at once -> judged when the last has come
 *              -> TLSA of those whose MX and addresses are signed (route_dane.c)
 *
 * Always true: `waiting` counts the questions under way; the callback is made exactly once, from the loop. */
#include "base/random.h"
#include "dns/route_inside.h"

#include <assert.h>

static void ask_addresses(struct route_query *query);
static bool ask_whether_ipv6(struct route_query *query);

struct slice route_status_word(enum route_status status)
{
    switch (status) {
    case ROUTE_FOUND: return SLICE("found");
    case ROUTE_NO_DOMAIN: return SLICE("no_domain");
    case ROUTE_NULL_MX: return SLICE("null_mx");
    case ROUTE_LOOP: return SLICE("loop");
    case ROUTE_PROHIBITED: return SLICE("prohibited");
    case ROUTE_TRY_LATER: return SLICE("try_later");
    case ROUTE_NO_ADDRESS: return SLICE("no_address");
    }
    return SLICE("");
}

static void set_enhanced(struct route *route)
{
    static const uint8_t codes[][3] = {
        [ROUTE_FOUND] = {0, 0, 0},      [ROUTE_NO_DOMAIN] = {5, 1, 2},  [ROUTE_NULL_MX] = {5, 1, 10},
        [ROUTE_LOOP] = {5, 4, 6},       [ROUTE_PROHIBITED] = {5, 4, 4}, [ROUTE_TRY_LATER] = {4, 4, 3},
        [ROUTE_NO_ADDRESS] = {4, 4, 4},
    };
    memcpy(route->enhanced, codes[route->status], 3);
}

static void query_free(struct route_query *query)
{
    for (size_t i = 0; i < query->lookup_count; i++)
        if (query->lookups[i].query)
            dns_cancel(query->lookups[i].query);
    for (size_t i = 0; i < query->dane_count; i++)
        dns_cancel(query->dane[i].query);
    dns_cancel(query->mx_query);
    deferred_clear(&query->soon);
    arena_release(&query->arena);
    free(query);
}

void route_answer(struct route_query *query)
{
    set_enhanced(&query->route);
    query->on_route(query->owner, &query->route);
    query_free(query);
}

void route_refuse(struct route_query *query, enum route_status status, const char *format, ...)
{
    va_list args;
    SCOPED(buf) text = BUF(1000);
    va_start(args, format);
    buf_printf(&text, "%s: ", query->domain);
    buf_vprintf(&text, format, args);
    va_end(args);
    query->route.status = status;
    query->route.text = arena_copy(&query->arena, buf_slice(&text));
    query->route.hosts = NULL;
    query->route.host_count = 0;
}

static void keep_ttl(struct route_query *query, const struct dns_answer *answer)
{
    if (answer->ttl_seconds < query->route.ttl_seconds)
        query->route.ttl_seconds = answer->ttl_seconds;
}

/* --- addresses --- */

static void on_addresses(void *owner, const struct dns_answer *dns)
{
    struct route_lookup *lookup = owner;
    struct route_query *query = lookup->route_query;
    struct route_candidate *candidate = lookup->candidate;
    lookup->query = NULL;
    keep_ttl(query, dns);
    switch (dns->status) {
    case DNS_FOUND:
        if (lookup->type == DNS_AAAA && !query->options->uses_ipv6) {
            candidate->has_ipv6_only = true;
            break;
        }
        if (!dns->is_secure)
            candidate->is_insecure = true;
        if (!slice_equal(dns->canonical, candidate->name))
            candidate->canonical = arena_copy(&query->arena, dns->canonical);
        for (size_t i = 0; i < dns->count && candidate->ip_count < CANDIDATE_IPS; i++)
            candidate->ips[candidate->ip_count++] = dns->records[i].ip;
        break;
    case DNS_NO_NAME:
    case DNS_NO_DATA: break;
    case DNS_TRY_LATER:
    case DNS_BOGUS:
        candidate->has_failed = true;
        if (!query->failure.len)
            query->failure = arena_printf(&query->arena, "%.*s %.*s: %.*s", SLICE_ARG(candidate->name),
                                          SLICE_ARG(dns_type_word(lookup->type)), SLICE_ARG(dns->why));
        break;
    }
    if (--query->waiting || ask_whether_ipv6(query))
        return;
    route_judge(query);
    if (!route_ask_dane(query))
        route_answer(query);
}

static void ask_one(struct route_query *query, struct route_lookup *lookup, struct route_candidate *candidate,
                    enum dns_type type)
{
    *lookup = (struct route_lookup){.route_query = query, .candidate = candidate, .type = type};
    lookup->query = dns_ask(query->client, candidate->name, type, on_addresses, lookup);
}

/* A domain without MX and A takes no mail, for ever: but not when all it has is what we do not use. */
static bool ask_whether_ipv6(struct route_query *query)
{
    struct route_candidate *only = query->candidates;
    if (!query->route.is_implicit || query->options->uses_ipv6 || query->lookup_count != 1 || only->ip_count ||
        only->has_failed)
        return false;
    query->waiting++;
    ask_one(query, &query->lookups[query->lookup_count++], only, DNS_AAAA);
    return true;
}

static void ask_addresses(struct route_query *query)
{
    size_t kinds = query->options->uses_ipv6 ? 2 : 1;
    query->lookups = ARENA_ARRAY(&query->arena, struct route_lookup, query->candidate_count * kinds + 1);
    query->lookup_count = query->waiting = query->candidate_count * kinds;
    for (size_t i = 0; i < query->lookup_count; i++)
        ask_one(query, &query->lookups[i], &query->candidates[i / kinds], i % kinds ? DNS_AAAA : DNS_A);
}

/* --- MX --- */

static void on_mx(void *owner, const struct dns_answer *dns)
{
    struct route_query *query = owner;
    query->mx_query = NULL;
    keep_ttl(query, dns);
    query->route.is_secure = dns->is_secure;
    switch (dns->status) {
    case DNS_FOUND:
        if (!route_choose(query, dns))
            break;
        ask_addresses(query);
        return;
    case DNS_NO_DATA:
        query->route.is_implicit = true;
        if (!route_choose_implicit(query))
            break;
        ask_addresses(query);
        return;
    case DNS_NO_NAME:
        route_refuse(query, ROUTE_NO_DOMAIN, dns->why.len ? "not a domain name" : "no such domain (NXDOMAIN)");
        break;
    case DNS_TRY_LATER: route_refuse(query, ROUTE_TRY_LATER, "MX lookup failed: %.*s", SLICE_ARG(dns->why)); break;
    case DNS_BOGUS: route_refuse(query, ROUTE_TRY_LATER, "MX lookup failed: DNSSEC: %.*s", SLICE_ARG(dns->why)); break;
    }
    route_answer(query);
}

/* --- address literals: "[192.0.2.1]", "[IPv6:2001:db8::1]" (RFC 5321 4.1.3) --- */

static bool literal_of(struct slice domain, struct ip *ip)
{
    if (domain.len < 3 || domain.ptr[0] != '[' || domain.ptr[domain.len - 1] != ']')
        return false;
    domain = slice_of(domain.ptr + 1, domain.len - 2);
    bool is_v6 = slice_starts_caseless(domain, SLICE("IPv6:"));
    return ip_parse(is_v6 ? slice_from(domain, 5) : domain, ip) && is_v6 == (ip->family == 6);
}

static void on_soon(struct deferred *soon)
{
    struct route_query *query = soon->owner;
    if (query->candidate_count)
        route_judge(query);
    route_answer(query);
}

static void begin_literal(struct route_query *query, struct slice domain)
{
    struct ip ip;
    deferred_init(&query->soon, dns_client_loop(query->client), on_soon, query);
    deferred_ask(&query->soon);
    if (!literal_of(domain, &ip)) {
        route_refuse(query, ROUTE_NO_DOMAIN, "not an address literal");
        return;
    }
    query->route.is_implicit = true;
    if (!route_choose_implicit(query))
        return;
    query->candidates[0].name = arena_copy(&query->arena, slice_of(domain.ptr + 1, domain.len - 2));
    query->candidates[0].ips[0] = ip;
    query->candidates[0].ip_count = 1;
    query->candidates[0].is_insecure = true;
}

struct route_query *route_ask(struct dns_client *client, struct slice domain, const struct route_options *options,
                              route_found *on_route, void *owner)
{
    struct route_query *query = NEW(struct route_query);
    query->client = client;
    query->options = options;
    query->on_route = on_route;
    query->owner = owner;
    query->domain = arena_str(&query->arena, slice_head(domain, 260));
    query->route.ttl_seconds = DNS_TTL_MOST_S;
    char normal[DNS_NAME_ROOM];
    if (domain.len && domain.ptr[0] == '[')
        begin_literal(query, domain);
    else if (options->is_host && dns_name_normalise(domain, normal) && route_choose_implicit(query))
        ask_addresses(query);
    else
        query->mx_query = dns_ask(client, domain, DNS_MX, on_mx, query);
    return query;
}

void route_cancel(struct route_query *query)
{
    if (query)
        query_free(query);
}

/* What is empty takes no memory: there may be one for each of 50,000 domains. */
static struct slice text_copy(struct arena *arena, struct slice text)
{
    return text.len ? arena_copy(arena, text) : SLICE("");
}

static void route_dane_copy(struct arena *arena, const struct route_host *from, struct route_host *to)
{
    struct tlsa *tlsa = from->tlsa_count ? ARENA_ARRAY(arena, struct tlsa, from->tlsa_count) : NULL;
    for (size_t i = 0; i < from->tlsa_count; i++) {
        tlsa[i] = from->tlsa[i];
        tlsa[i].data = arena_copy(arena, from->tlsa[i].data);
    }
    to->tlsa = tlsa;
    to->dane_base = slice_equal(from->dane_base, from->name) ? to->name : text_copy(arena, from->dane_base);
    to->dane_why = text_copy(arena, from->dane_why);
}

void route_copy(struct arena *arena, const struct route *from, struct route *to)
{
    struct route_host *hosts = from->host_count ? ARENA_ARRAY(arena, struct route_host, from->host_count) : NULL;
    struct route copy = *from;
    for (size_t i = 0; i < from->host_count; i++) {
        const struct route_host *host = &from->hosts[i];
        struct ip *addresses = host->address_count ? ARENA_ARRAY(arena, struct ip, host->address_count) : NULL;
        for (size_t a = 0; a < host->address_count; a++)
            addresses[a] = host->addresses[a];
        hosts[i] = *host;
        hosts[i].name = arena_copy(arena, host->name);
        hosts[i].addresses = addresses;
        route_dane_copy(arena, host, &hosts[i]);
    }
    copy.hosts = hosts;
    copy.missing = NULL;
    copy.missing_count = 0;
    copy.text = text_copy(arena, from->text);
    *to = copy;
}
