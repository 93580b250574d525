/* route_choose.c - the rules: which MX hosts, in which order, which of their addresses (M8, M9, R14-R17) */
#include "base/random.h"
#include "dns/route_inside.h"

/* --- before addresses are known: names and preferences --- */

static bool is_own_name(const struct route_options *options, struct slice name)
{
    for (size_t i = 0; i < options->own_name_count; i++)
        if (slice_equal_caseless(options->own_names[i], name))
            return true;
    return false;
}

static bool is_literal(struct slice name)
{
    struct ip ip;
    return ip_parse(name, &ip) || (name.len && name.ptr[0] == '[');
}

/* Equals by name: of more than are kept it is the same ones each time, for they name the MX set. */
static int by_preference(const void *a, const void *b)
{
    const struct dns_record *x = a, *y = b;
    int order = (int)x->preference - (int)y->preference;
    return order ? order : slice_compare(x->name, y->name);
}

static void shuffle_equals(struct route_host *hosts, size_t count, struct random *random)
{
    for (size_t from = 0, to; from < count; from = to) {
        for (to = from + 1; to < count && hosts[to].preference == hosts[from].preference; to++)
            ;
        for (size_t i = to - from; i > 1; i--) {
            size_t j = (size_t)random_below(random, i);
            struct route_host swap = hosts[from + i - 1];
            hosts[from + i - 1] = hosts[from + j];
            hosts[from + j] = swap;
        }
    }
}

static bool is_chosen(const struct route_query *query, struct slice name)
{
    for (size_t i = 0; i < query->candidate_count; i++)
        if (slice_equal(query->candidates[i].name, name))
            return true;
    return false;
}

static void choose(struct route_query *query, const struct dns_record *record)
{
    struct route_candidate *candidate = &query->candidates[query->candidate_count++];
    candidate->name = arena_copy(&query->arena, record->name);
    candidate->preference = record->preference;
}

bool route_choose(struct route_query *query, const struct dns_answer *mx)
{
    struct dns_record *records = ARENA_ARRAY(&query->arena, struct dns_record, mx->count);
    size_t count = 0, literals = 0;
    struct slice own = {0};
    for (size_t i = 0; i < mx->count; i++) /* a null MX beside others means nothing (RFC 7505 3) */
        if (mx->records[i].name.len)
            records[count++] = mx->records[i];
    if (count == 0) {
        route_refuse(query, ROUTE_NULL_MX, "the domain accepts no mail (null MX)");
        return false;
    }
    qsort(records, count, sizeof(*records), by_preference);
    size_t end = count;
    for (size_t i = 0; i < end; i++)
        if (is_own_name(query->options, records[i].name)) {
            own = records[i].name;
            for (end = i; end > 0 && records[end - 1].preference == records[i].preference; end--)
                ;
        }
    query->candidates =
        ARENA_ARRAY(&query->arena, struct route_candidate, end < ROUTE_HOSTS_MOST ? end : ROUTE_HOSTS_MOST);
    for (size_t i = 0; i < end && query->candidate_count < ROUTE_HOSTS_MOST; i++) {
        if (is_literal(records[i].name))
            literals++;
        else if (!is_chosen(query, records[i].name))
            choose(query, &records[i]);
    }
    if (query->candidate_count)
        return true;
    if (literals)
        route_refuse(query, ROUTE_PROHIBITED, "its MX is an IP address, not a host name");
    else if (own.len)
        route_refuse(query, ROUTE_LOOP, "mail loops back to us: its best MX, %.*s, is a name of ours", SLICE_ARG(own));
    return false;
}

bool route_choose_implicit(struct route_query *query)
{
    if (is_own_name(query->options, slice_str(query->domain))) {
        route_refuse(query, ROUTE_LOOP, "mail loops back to us: the domain is our own host");
        return false;
    }
    char normal[DNS_NAME_ROOM];
    struct dns_record self = {0};
    if (dns_name_normalise(slice_str(query->domain), normal))
        self.name = slice_str(normal);
    query->candidates = ARENA_ARRAY(&query->arena, struct route_candidate, 1);
    choose(query, &self);
    return true;
}

/* --- when all addresses are known --- */

static const struct ip *own_address(const struct route_options *options, const struct route_candidate *candidate)
{
    for (size_t i = 0; i < candidate->ip_count; i++)
        for (size_t j = 0; j < options->own_address_count; j++)
            if (ip_equal(&candidate->ips[i], &options->own_addresses[j]))
                return &candidate->ips[i];
    return NULL;
}

/* Drop ourselves and every host of equal or worse preference. The address that is ours; NULL: nothing was dropped. */
static const struct ip *cut_own(struct route_query *query)
{
    for (size_t i = 0; i < query->candidate_count; i++) {
        const struct ip *own = own_address(query->options, &query->candidates[i]);
        if (!own)
            continue;
        unsigned preference = query->candidates[i].preference;
        while (i > 0 && query->candidates[i - 1].preference == preference)
            i--;
        query->candidate_count = i;
        return own;
    }
    return NULL;
}

/* Those that may be connected, shuffled within their family. The first refusal is kept in `why`. */
static size_t permitted(struct route_query *query, struct route_candidate *candidate, uint8_t family, struct ip *to,
                        struct fault *why)
{
    struct loop *loop = dns_client_loop(query->client);
    size_t count = 0;
    for (size_t i = 0; i < candidate->ip_count; i++) {
        struct fault refused;
        if (candidate->ips[i].family != family)
            continue;
        if (network_permits(&loop_world(loop)->network, &candidate->ips[i], &refused))
            to[count++] = candidate->ips[i];
        else if (why->kind == FAULT_NONE)
            *why = refused;
    }
    for (size_t i = count; i > 1; i--) {
        size_t j = (size_t)random_below(loop_random(loop), i);
        struct ip swap = to[i - 1];
        to[i - 1] = to[j];
        to[j] = swap;
    }
    return count;
}

/* IPv4 and IPv6 in turns (R17). */
static void set_addresses(struct route_query *query, struct route_candidate *candidate, struct route_host *host,
                          struct fault *why)
{
    struct ip first[CANDIDATE_IPS], second[CANDIDATE_IPS];
    uint8_t preferred = query->options->prefers_ipv6 ? 6 : 4;
    size_t firsts = permitted(query, candidate, preferred, first, why);
    size_t seconds = permitted(query, candidate, (uint8_t)(10 - preferred), second, why);
    struct ip *addresses = ARENA_ARRAY(&query->arena, struct ip, ROUTE_ADDRESSES_MOST);
    for (size_t i = 0; (i < firsts || i < seconds) && host->address_count < ROUTE_ADDRESSES_MOST; i++) {
        if (i < firsts)
            addresses[host->address_count++] = first[i];
        if (i < seconds && host->address_count < ROUTE_ADDRESSES_MOST)
            addresses[host->address_count++] = second[i];
    }
    host->addresses = addresses;
}

void route_judge(struct route_query *query)
{
    unsigned most = query->options->hosts_most ? query->options->hosts_most : ROUTE_DEFAULT_HOSTS;
    struct route_host *hosts = ARENA_ARRAY(&query->arena, struct route_host, query->candidate_count + 1);
    struct fault prohibited = {FAULT_NONE};
    char ip[IP_TEXT_ROOM];
    const struct ip *own = cut_own(query);
    bool has_failed = false;
    struct route_host *missing = ARENA_ARRAY(&query->arena, struct route_host, query->candidate_count + 1);
    size_t count = 0;
    for (size_t i = 0; i < query->candidate_count && count < most; i++) {
        struct route_candidate *candidate = &query->candidates[i];
        struct route_host *host = &hosts[count];
        set_addresses(query, candidate, host, &prohibited);
        has_failed |= candidate->has_failed;
        host->name = candidate->name;
        host->preference = candidate->preference;
        if (host->address_count == 0 && candidate->has_failed)
            missing[query->route.missing_count++] = *host;
        if (host->address_count == 0)
            continue;
        host->is_secure = !candidate->is_insecure;
        host->dane_base = candidate->canonical; /* until route_dane.c knows better */
        count++;
    }
    query->route.status = ROUTE_FOUND;
    query->route.hosts = hosts;
    query->route.host_count = count;
    query->route.missing = missing;
    shuffle_equals(hosts, count, loop_random(dns_client_loop(query->client)));
    if (count)
        return;
    if (has_failed)
        route_refuse(query, ROUTE_TRY_LATER, "address lookup failed: %.*s", SLICE_ARG(query->failure));
    else if (prohibited.kind != FAULT_NONE)
        route_refuse(query, ROUTE_PROHIBITED, "%s", prohibited.text);
    else if (own && query->candidate_count == 0)
        route_refuse(query, ROUTE_LOOP, "mail loops back to us: its best MX is at %s, where we ourselves answer",
                     ip_text(own, ip));
    else if (query->route.is_implicit && query->candidates[0].has_ipv6_only)
        route_refuse(query, ROUTE_NO_ADDRESS, "it has IPv6 addresses only, and IPv6 is not used here");
    else if (query->route.is_implicit)
        route_refuse(query, ROUTE_NO_DOMAIN, "the domain takes no mail: it has neither MX nor address");
    else
        route_refuse(query, ROUTE_NO_ADDRESS, "no address for any of its MX hosts");
}
