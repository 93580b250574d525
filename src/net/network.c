#include "net/network.h"

#include "net/stream.h"

struct stream *stream_socket_connect(struct network *network, struct loop *loop, const struct stream_target *to,
                                     const struct stream_events *events, void *owner); /* stream_socket.c */

/* IANA's special-purpose registries (RFC 6890), as far as mail has no business there. */
static const struct {
    struct ip prefix;
    unsigned bits;
    const char *what;
} refused[] = {
    {{4, {0}}, 8, "\"this network\""},
    {{4, {10}}, 8, "private (RFC 1918)"},
    {{4, {100, 64}}, 10, "carrier-grade NAT"},
    {{4, {127}}, 8, "loopback"},
    {{4, {169, 254}}, 16, "link-local or metadata"},
    {{4, {172, 16}}, 12, "private (RFC 1918)"},
    {{4, {192, 0, 0}}, 24, "protocol assignments"},
    {{4, {192, 0, 2}}, 24, "documentation"},
    {{4, {192, 88, 99}}, 24, "6to4 relays"},
    {{4, {192, 168}}, 16, "private (RFC 1918)"},
    {{4, {198, 18}}, 15, "benchmarking"},
    {{4, {198, 51, 100}}, 24, "documentation"},
    {{4, {203, 0, 113}}, 24, "documentation"},
    {{4, {224}}, 4, "multicast"},
    {{4, {240}}, 4, "reserved or broadcast"},
    {{6, {0}}, 128, "unspecified"},
    {{6, {[15] = 1}}, 128, "loopback"},
    {{6, {0x01}}, 64, "discard-only"},
    {{6, {0x20, 0x01, 0x0d, 0xb8}}, 32, "documentation"},
    {{6, {0x3f, 0xff}}, 20, "documentation"},
    {{6, {0x5f, 0x00}}, 16, "segment routing"},
    {{6, {0xfc}}, 7, "unique local (ULA)"},
    {{6, {0xfe, 0x80}}, 10, "link-local"},
    {{6, {0xfe, 0xc0}}, 10, "site-local"},
    {{6, {0xff}}, 8, "multicast"},
};

/* IPv6 forms that carry an IPv4 address, and where it stands in them. */
static const struct {
    struct ip prefix;
    unsigned bits;
    unsigned at;
    bool is_inverted;
    const char *what;
} carriers[] = {
    {{6, {[10] = 0xff, [11] = 0xff}}, 96, 12, false, "v4-mapped"},
    {{6, {[8] = 0xff, [9] = 0xff}}, 96, 12, false, "v4-translated"},
    {{6, {0}}, 96, 12, false, "v4-compatible"},
    {{6, {0x00, 0x64, 0xff, 0x9b}}, 96, 12, false, "NAT64"},
    {{6, {0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}}, 48, 12, false, "local NAT64"},
    {{6, {0x20, 0x02}}, 16, 2, false, "6to4"},
    {{6, {0x20, 0x01, 0x00, 0x00}}, 32, 12, true, "Teredo"},
};

void network_init(struct network *network, enum network_mode mode)
{
    *network = (struct network){
        .mode = mode,
        .smtp_port = mode == NETWORK_LOOPBACK ? NETWORK_PLAYGROUND_PORT : 25,
        .connect = stream_socket_connect,
    };
}

bool network_permit(struct network *network, struct slice prefix, struct fault *why)
{
    struct slice rest = prefix, address;
    struct ip ip;
    uint64_t bits;
    if (network->permitted_count == NETWORK_PERMITTED_MOST)
        return fault_set(why, FAULT_INPUT, "at most %d permitted networks", NETWORK_PERMITTED_MOST);
    if (!slice_split(&rest, '/', &address) || !ip_parse(address, &ip))
        return fault_set(why, FAULT_INPUT, "\"%.*s\" is not address/bits", SLICE_ARG(slice_head(prefix, 100)));
    uint64_t most = ip.family == 4 ? 32 : 128;
    if (!rest.ptr)
        bits = most;
    else if (!slice_to_u64(rest, &bits) || bits > most)
        return fault_set(why, FAULT_INPUT, "\"%.*s\" is not address/bits", SLICE_ARG(slice_head(prefix, 100)));
    network->permitted[network->permitted_count].prefix = ip;
    network->permitted[network->permitted_count++].bits = (unsigned)bits;
    return true;
}

static const char *refused_as(const struct ip *ip)
{
    for (size_t i = 0; i < COUNT_OF(refused); i++)
        if (ip_in_prefix(ip, &refused[i].prefix, refused[i].bits))
            return refused[i].what;
    return NULL;
}

static bool carried_v4(const struct ip *ip, struct ip *v4, const char **what)
{
    for (size_t i = 0; i < COUNT_OF(carriers); i++)
        if (ip_in_prefix(ip, &carriers[i].prefix, carriers[i].bits)) {
            *v4 = (struct ip){.family = 4};
            for (unsigned b = 0; b < 4; b++)
                v4->bytes[b] = (uint8_t)(ip->bytes[carriers[i].at + b] ^ (carriers[i].is_inverted ? 0xff : 0));
            *what = carriers[i].what;
            return true;
        }
    return false;
}

bool network_permits(const struct network *network, const struct ip *ip, struct fault *why)
{
    char text[IP_TEXT_ROOM];
    struct ip inner;
    const char *what, *carrier;
    if (ip->family != 4 && ip->family != 6)
        return fault_set(why, FAULT_INPUT, "no address to connect to");
    if (network->mode == NETWORK_LOOPBACK)
        return ip_is_loopback(ip) ||
               fault_set(why, FAULT_INPUT, "%s: only loopback may be connected in demo, bench and tests",
                         ip_text(ip, text));
    for (unsigned i = 0; i < network->permitted_count; i++)
        if (ip_in_prefix(ip, &network->permitted[i].prefix, network->permitted[i].bits))
            return true;
    if ((what = refused_as(ip)))
        return fault_set(why, FAULT_INPUT, "%s: %s addresses are not connected", ip_text(ip, text), what);
    if (ip->family == 6 && carried_v4(ip, &inner, &carrier) && (what = refused_as(&inner)))
        return fault_set(why, FAULT_INPUT, "%s: %s form of a %s address, not connected", ip_text(ip, text), carrier,
                         what);
    return true;
}

struct endpoint network_map(const struct network *network, struct endpoint to)
{
    if (to.port == 25)
        to.port = network->smtp_port;
    return to;
}
