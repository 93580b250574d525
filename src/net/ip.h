/* ip.h - IPv4 and IPv6 addresses and endpoints as values
 *
 * No names, no ports of services: numbers only. Text forms as in RFC 4291 / RFC 5952; an endpoint is written
 * "192.0.2.1:25" or "[2001:db8::1]:25". */
#ifndef TODOKE_NET_IP_H
#define TODOKE_NET_IP_H

#include "base/buf.h"
#include "base/fault.h"
#include <sys/socket.h>

struct ip {
    uint8_t family; /* 4 or 6; 0: none */
    uint8_t bytes[16];
};
struct endpoint {
    struct ip ip;
    uint16_t port;
};

enum { IP_TEXT_ROOM = 46, ENDPOINT_TEXT_ROOM = 56 };

/* The whole text must be one address (no zone index, no brackets, no leading zeroes). */
NODISCARD bool ip_parse(struct slice text, struct ip *ip);
/* "address:port", "[v6]:port" or ":port" (any IPv4 address). INPUT: says what was wrong with which text. */
NODISCARD bool endpoint_parse(struct slice text, struct endpoint *to, struct fault *why);
/* Into `to`, NUL-terminated; returns `to`. family 0 gives "none". */
const char *ip_text(const struct ip *ip, char to[IP_TEXT_ROOM]);
const char *endpoint_text(const struct endpoint *endpoint, char to[ENDPOINT_TEXT_ROOM]);

bool ip_equal(const struct ip *a, const struct ip *b);
struct ip ip_v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d);
/* The name asked for PTR: "1.2.0.192.in-addr.arpa", nibbles under ip6.arpa. */
void ip_reverse_name(const struct ip *ip, struct buf *out);
/* Is ip inside prefix/bits? Different families never match. */
bool ip_in_prefix(const struct ip *ip, const struct ip *prefix, unsigned bits);
/* 127/8 or ::1 (not the v4-mapped forms). */
bool ip_is_loopback(const struct ip *ip);

/* For the socket calls. */
socklen_t endpoint_to_sockaddr(const struct endpoint *endpoint, struct sockaddr_storage *to);
void endpoint_of_sockaddr(const struct sockaddr_storage *from, struct endpoint *endpoint);

#endif
