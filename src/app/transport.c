#include "app/transport.h"

#include "base/file.h"
#include "base/log.h"
#include "dns/unbound.h"
#include "dns/zone.h"
#include <ifaddrs.h>
#include <netinet/in.h>

enum { ZONE_MOST = 16 << 20, CA_MOST = 4 << 20, PROBE_MS = 8000, STUBS_MOST = 32 };

/* ── the resolver ── */

struct probe {
    enum dns_status status;
    bool is_secure, has_come;
};

static void on_probe(void *owner, const struct dns_answer *answer)
{
    struct probe *probe = owner;
    *probe = (struct probe){answer->status, answer->is_secure, true};
}

static struct probe ask_signed_name(struct world *world, const char *name)
{
    struct probe probe = {.status = DNS_TRY_LATER};
    struct loop *loop = loop_new(world);
    struct dns_client *client = dns_client_new(loop);
    time_ms until = world_monotonic(world) + PROBE_MS;
    struct dns_query *query = dns_ask(client, slice_str(name), DNS_MX, on_probe, &probe);
    while (!probe.has_come && world_monotonic(world) < until)
        loop_turn(loop, until - world_monotonic(world));
    if (!probe.has_come)
        dns_cancel(query);
    dns_client_free(client);
    loop_free(loop);
    return probe;
}

/* "example.internal=10.0.0.53@53, ..." into zone, server, zone, server ..., NULL. */
static bool read_stubs(struct arena *arena, const char *text, const char *stubs[2 * STUBS_MOST + 1], struct fault *why)
{
    struct slice rest = slice_str(text), piece;
    size_t count = 0;
    while (rest.len && slice_split(&rest, ',', &piece)) {
        struct slice server = slice_trim(piece), zone;
        if (count == STUBS_MOST)
            return fault_set(why, FAULT_INPUT, "dns.stub: at most %d zones", STUBS_MOST);
        if (!slice_split(&server, '=', &zone) || !server.ptr || !zone.len || !server.len)
            return fault_set(why, FAULT_INPUT, "dns.stub: \"%.*s\" is not zone=address@port",
                             SLICE_ARG(slice_head(piece, 100)));
        stubs[2 * count] = arena_str(arena, zone);
        stubs[2 * count++ + 1] = arena_str(arena, server);
    }
    stubs[2 * count] = NULL;
    return true;
}

static struct resolver *unbound_of(const struct config *config, struct world *world, bool is_insecure,
                                   struct fault *why)
{
    SCOPED(arena) arena = {0};
    const char *stubs[2 * STUBS_MOST + 1];
    if (!read_stubs(&arena, config->dns_stub.text, stubs, why))
        return NULL;
    const struct unbound_options options = {
        .anchor_file = config->dns_anchors.text[0] ? config->dns_anchors.text : NULL,
        .forward = config->dns_forward.text[0] ? config->dns_forward.text : NULL,
        .stubs = stubs[0] ? stubs : NULL,
        .is_insecure = is_insecure,
    };
    return unbound_resolver_new(world, &options, why);
}

static struct resolver *zone_of(const struct config *config, struct fault *why)
{
    SCOPED(buf) json = BUF(1);
    if (!file_read(config->dns_zone.text, ZONE_MOST, &json, why))
        return NULL;
    struct resolver *resolver = zone_resolver_of_json(buf_slice(&json), why);
    if (!resolver)
        fault_prefix(why, "%s: ", config->dns_zone.text);
    return resolver;
}

struct resolver *transport_resolver(const struct config *config, struct world *world, bool *has_dnssec,
                                    struct fault *why)
{
    const char *name = config->dns_probe.text;
    *has_dnssec = true;
    if (config->dns_zone.text[0])
        return world->resolver = zone_of(config, why);
    world->resolver = unbound_of(config, world, false, why);
    if (!world->resolver)
        return NULL;
    struct probe probe = ask_signed_name(world, name);
    if (probe.is_secure) {
        log_info("dns", "DNSSEC is validated: DANE is on");
        return world->resolver;
    }
    if (!probe.has_come || probe.status == DNS_TRY_LATER) {
        log_warn("dns",
                 "whether DNSSEC is validated cannot be told: %s is not answered; what is signed is validated, "
                 "what is not is not believed",
                 name);
        return world->resolver;
    }
    *has_dnssec = false;
    if (probe.status != DNS_BOGUS) {
        log_error("dns",
                  "DANE IS OFF: the answer for %s, which is signed, was not validated; are there trust anchors "
                  "(install dns-root-data, or set dns.anchors)?",
                  name);
        return world->resolver;
    }
    log_error("dns",
              "DANE IS OFF and DNSSEC is not validated: the answer for %s comes without valid signatures; the "
              "server at dns.forward does not pass them on, or dns.anchors is wrong",
              name);
    resolver_free(world->resolver);
    return world->resolver = unbound_of(config, world, true, why);
}

/* ── whom we trust, who we are ── */

struct tls_roots *transport_roots(const struct config *config, struct fault *why)
{
    struct tls_roots *roots = tls_roots_system();
    SCOPED(buf) pem = BUF(1);
    if (!config->tls_ca_file.text[0])
        return roots;
    if (file_read(config->tls_ca_file.text, CA_MOST, &pem, why) && tls_roots_add(roots, buf_slice(&pem), why))
        return roots;
    fault_prefix(why, "tls.ca_file: ");
    tls_roots_free(roots);
    return NULL;
}

size_t transport_own_addresses(const struct config *config, struct ip addresses[TRANSPORT_ADDRESSES_MOST])
{
    struct ifaddrs *all = NULL;
    size_t count = 0;
    if (strcmp(config->network_mode.text, "loopback") == 0 || getifaddrs(&all) != 0)
        return count;
    for (const struct ifaddrs *one = all; one && count < TRANSPORT_ADDRESSES_MOST; one = one->ifa_next) {
        struct sockaddr_storage storage = {0};
        struct endpoint at;
        if (!one->ifa_addr || (one->ifa_addr->sa_family != AF_INET && one->ifa_addr->sa_family != AF_INET6))
            continue;
        memcpy(&storage, one->ifa_addr,
               one->ifa_addr->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
        endpoint_of_sockaddr(&storage, &at);
        addresses[count++] = at.ip;
    }
    freeifaddrs(all);
    return count;
}

size_t transport_listens_at(const struct config *config, uint16_t smtp_port,
                            struct ip addresses[TRANSPORT_LISTENERS_MOST])
{
    const struct endpoint *listeners[TRANSPORT_LISTENERS_MOST] = {&config->mail_in_listen.endpoint,
                                                                  &config->submission_listen.endpoint};
    size_t count = 0;
    for (size_t i = 0; i < COUNT_OF(listeners); i++)
        if (listeners[i]->ip.family && listeners[i]->port == smtp_port)
            addresses[count++] = listeners[i]->ip;
    return count;
}
