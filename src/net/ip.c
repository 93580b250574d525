#include "net/ip.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

bool ip_parse(struct slice text, struct ip *ip)
{
    char copy[IP_TEXT_ROOM];
    struct ip parsed = {0};
    if (text.len == 0 || text.len >= sizeof(copy) || memchr(text.ptr, 0, text.len))
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    if (inet_pton(AF_INET, copy, parsed.bytes) == 1)
        parsed.family = 4;
    else if (inet_pton(AF_INET6, copy, parsed.bytes) == 1)
        parsed.family = 6;
    else
        return false;
    *ip = parsed;
    return true;
}

bool endpoint_parse(struct slice text, struct endpoint *to, struct fault *why)
{
    ptrdiff_t colon = slice_find_last_byte(text, ':');
    struct slice host = slice_head(text, colon < 0 ? 0 : (size_t)colon);
    uint64_t port;
    if (colon < 0 || !slice_to_u64(slice_from(text, (size_t)colon + 1), &port) || port > 65535)
        return fault_set(why, FAULT_INPUT, "\"%.*s\" is not address:port", SLICE_ARG(slice_head(text, 100)));
    if (host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
        host = slice_of(host.ptr + 1, host.len - 2);
    else if (slice_find_byte(host, ':') >= 0)
        return fault_set(why, FAULT_INPUT, "\"%.*s\": write an IPv6 address in brackets, [::1]:25",
                         SLICE_ARG(slice_head(text, 100)));
    to->port = (uint16_t)port;
    if (host.len == 0) {
        to->ip = ip_v4(0, 0, 0, 0);
        return true;
    }
    if (!ip_parse(host, &to->ip))
        return fault_set(why, FAULT_INPUT, "\"%.*s\" is not an IP address", SLICE_ARG(slice_head(host, 100)));
    return true;
}

const char *ip_text(const struct ip *ip, char to[IP_TEXT_ROOM])
{
    if (ip->family == 0 || !inet_ntop(ip->family == 4 ? AF_INET : AF_INET6, ip->bytes, to, IP_TEXT_ROOM))
        snprintf(to, IP_TEXT_ROOM, "none");
    return to;
}

const char *endpoint_text(const struct endpoint *endpoint, char to[ENDPOINT_TEXT_ROOM])
{
    char ip[IP_TEXT_ROOM];
    ip_text(&endpoint->ip, ip);
    snprintf(to, ENDPOINT_TEXT_ROOM, endpoint->ip.family == 6 ? "[%s]:%u" : "%s:%u", ip, endpoint->port);
    return to;
}

bool ip_equal(const struct ip *a, const struct ip *b)
{
    return a->family == b->family && memcmp(a->bytes, b->bytes, a->family == 4 ? 4 : 16) == 0;
}

struct ip ip_v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
    return (struct ip){4, {a, b, c, d}};
}

void ip_reverse_name(const struct ip *ip, struct buf *out)
{
    if (ip->family == 4) {
        buf_printf(out, "%u.%u.%u.%u.in-addr.arpa", ip->bytes[3], ip->bytes[2], ip->bytes[1], ip->bytes[0]);
        return;
    }
    for (int i = 15; i >= 0; i--)
        buf_printf(out, "%x.%x.", ip->bytes[i] & 15, ip->bytes[i] >> 4);
    buf_text(out, "ip6.arpa");
}

bool ip_in_prefix(const struct ip *ip, const struct ip *prefix, unsigned bits)
{
    if (ip->family != prefix->family)
        return false;
    size_t whole = bits / 8;
    if (memcmp(ip->bytes, prefix->bytes, whole) != 0)
        return false;
    unsigned rest = bits % 8;
    return rest == 0 || ((ip->bytes[whole] ^ prefix->bytes[whole]) >> (8 - rest)) == 0;
}

bool ip_is_loopback(const struct ip *ip)
{
    static const struct ip one = {6, {[15] = 1}};
    return ip->family == 4 ? ip->bytes[0] == 127 : ip_equal(ip, &one);
}

socklen_t endpoint_to_sockaddr(const struct endpoint *endpoint, struct sockaddr_storage *to)
{
    memset(to, 0, sizeof(*to));
    if (endpoint->ip.family == 4) {
        struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(endpoint->port)};
        memcpy(&v4.sin_addr, endpoint->ip.bytes, 4);
        memcpy(to, &v4, sizeof(v4));
        return sizeof(v4);
    }
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(endpoint->port)};
    memcpy(&v6.sin6_addr, endpoint->ip.bytes, 16);
    memcpy(to, &v6, sizeof(v6));
    return sizeof(v6);
}

void endpoint_of_sockaddr(const struct sockaddr_storage *from, struct endpoint *endpoint)
{
    *endpoint = (struct endpoint){0};
    if (from->ss_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, from, sizeof(v4));
        endpoint->ip.family = 4;
        memcpy(endpoint->ip.bytes, &v4.sin_addr, 4);
        endpoint->port = ntohs(v4.sin_port);
    } else if (from->ss_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, from, sizeof(v6));
        endpoint->port = ntohs(v6.sin6_port);
        if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) { /* an IPv4 peer of a dual-stack listener */
            endpoint->ip.family = 4;
            memcpy(endpoint->ip.bytes, v6.sin6_addr.s6_addr + 12, 4);
        } else {
            endpoint->ip.family = 6;
            memcpy(endpoint->ip.bytes, &v6.sin6_addr, 16);
        }
    }
}
