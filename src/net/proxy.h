/* proxy.h - who may speak for another address: our own proxies, and what they say (PROXY protocol versions 1 and 2)
 *
 * A proxy in front of us is the only peer whose word about the client is believed; the setting trusted_proxies names
 * its network. PROXY headers (HAProxy's document proxy-protocol.txt) stand before everything else on a connection,
 * before TLS too; they are never guessed: a connection that must have one and has none is ended. */
#ifndef TODOKE_NET_PROXY_H
#define TODOKE_NET_PROXY_H

#include "net/ip.h"

enum {
    PROXIES_MOST = 64,
    PROXY_V1_MOST = 107,  /* octets of a version 1 line with its CRLF */
    PROXY_V2_MOST = 4096, /* of a version 2 header with everything in it */
};

struct proxies {
    struct {
        struct ip prefix;
        unsigned bits;
    } of[PROXIES_MOST];
    size_t count;
};
/* "127.0.0.0/8, 2001:db8::1". INPUT: which word is no network, or too many. */
NODISCARD bool proxies_parse(struct slice text, struct proxies *proxies, struct fault *why);
bool proxies_have(const struct proxies *proxies, const struct ip *ip);

enum proxy_step { PROXY_MORE, PROXY_DONE, PROXY_BAD };
struct proxy_head {
    size_t len;      /* octets it took */
    bool has_client; /* false (UNKNOWN, LOCAL, or a family that is not ours): the connection is the proxy's own */
    struct endpoint client; /* where the connection came from */
    bool has_tls;           /* version 2: the client came to the proxy by TLS */
    const char *wrong;      /* PROXY_BAD */
};
/* Everything of the connection so far, from its first byte. MORE: it may become one; BAD as soon as it cannot. Linear,
 * looks at PROXY_V2_MOST octets at most. */
enum proxy_step proxy_head_read(struct slice bytes, struct proxy_head *head);

#endif
