/* unbound.h - the real DNS: libunbound, validating and caching, one context and one thread for the process
 *
 * The DNS thread runs its own loop with libunbound inside; questions and answers travel by mailbox. Where
 * world.network is NETWORK_LOOPBACK nothing but the loopback servers named in the options is ever asked. */
#ifndef TODOKE_DNS_UNBOUND_H
#define TODOKE_DNS_UNBOUND_H

#include "dns/resolver.h"

struct unbound_options {
    const char *anchor_file;    /* DNSSEC trust anchors; NULL: Debian's (dns-root-data), where it is installed */
    const char *resolv_conf;    /* forward to the servers named there; NULL: ask the roots ourselves */
    const char *forward;        /* "address" or "address@port" to forward everything to; NULL */
    const char *const *anchors; /* more trust anchors, in zone-file form; NULL-ended */
    const char *const *stubs;   /* zone, "address@port", zone, ... authoritative servers; NULL-ended */
    bool is_insecure;           /* no validation: nothing is ever secure, DANE is off */
};

/* Starts the thread. INPUT: an option that libunbound refuses, named. */
struct resolver *unbound_resolver_new(struct world *world, const struct unbound_options *options, struct fault *why);

#endif
