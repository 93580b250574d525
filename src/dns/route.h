/* route.h - where mail for a domain goes: MX hosts in order, with their addresses (RFC 5321 5.1, RFC 7505)
 *
 * M8: preference order, random within equal preference; A/AAAA of the domain only when it has no MX at all; CNAMEs
 * followed. M9, R14: "0 ." is a final answer (5.1.10); no such domain is 5.1.2; DNS failures are 4.4.3, never
 * permanent; MX hosts without any address: defer, no fallback to the domain. R15: our own names, and under whatever
 * name the addresses where we answer, drop that host and all of equal or worse preference, nothing left is 5.4.6 (who
 * they are is the caller's to say); MX hosts that are IP literals are refused;
 * addresses that world.network refuses are dropped, nothing left is 5.4.4. */
#ifndef TODOKE_DNS_ROUTE_H
#define TODOKE_DNS_ROUTE_H

#include "dns/resolver.h"

enum route_status {
    ROUTE_FOUND,
    ROUTE_NO_DOMAIN,  /* 5.1.2  the domain does not exist, or takes no mail (no MX, no address) */
    ROUTE_NULL_MX,    /* 5.1.10 the domain says it takes no mail */
    ROUTE_LOOP,       /* 5.4.6  only we ourselves are left */
    ROUTE_PROHIBITED, /* 5.4.4  nothing but addresses we must not connect to */
    ROUTE_TRY_LATER,  /* 4.4.3  DNS failed */
    ROUTE_NO_ADDRESS, /* 4.4.4  MX hosts, but no address for any of them; or no MX, and IPv6 alone, which is not used */
};

/* What DNSSEC says about a host's certificate (RFC 7672); always NONE unless route_options.uses_dane. */
enum route_dane {
    ROUTE_DANE_NONE,    /* nothing: the MX, its address or its TLSA records are not signed, or there are none */
    ROUTE_DANE_USABLE,  /* `tlsa` holds: TLS is mandatory and must match one of them */
    ROUTE_DANE_ENCRYPT, /* signed TLSA records that nobody can use: TLS is mandatory, any certificate will do */
    ROUTE_DANE_BROKEN,  /* bogus, or the lookup failed: no mail by this host now (M44) */
};

enum {
    ROUTE_HOSTS_MOST = 20,
    ROUTE_ADDRESSES_MOST = 16 /* of one host */,
    ROUTE_DEFAULT_HOSTS = 10,
    ROUTE_TLSA_MOST = 40
};

struct route_host {
    struct slice name; /* the MX name itself (for SNI, TLSA, STS), lower-case */
    uint16_t preference;
    bool is_secure;             /* the addresses were DNSSEC-validated */
    const struct ip *addresses; /* shuffled within a family; IPv6 and IPv4 in turns, IPv4 first unless
                                   prefers_ipv6 */
    size_t address_count;
    enum route_dane dane;
    const struct tlsa *tlsa; /* USABLE: those of usage 2 and 3 that can be used */
    size_t tlsa_count;
    struct slice dane_base; /* the TLSA base domain: the MX name, or what its CNAME leads to; for SNI and names */
    struct slice dane_why;  /* BROKEN: in words */
};
struct route {
    enum route_status status;
    uint8_t enhanced[3]; /* 5.1.10; 0.0.0 when found */
    struct slice text;   /* for people: "example.com: no such domain (NXDOMAIN)"; "" when found */
    bool is_implicit;    /* no MX: the domain's own addresses */
    bool is_secure;      /* the MX answer was DNSSEC-validated (DANE, R30) */
    uint32_t ttl_seconds;
    const struct route_host *hosts; /* in the order to try */
    size_t host_count;
    /* FOUND, but these have no address here because the DNS failed: name and preference alone. Not copied. */
    const struct route_host *missing;
    size_t missing_count;
};

struct route_options {
    const struct slice *own_names;
    size_t own_name_count;
    const struct ip *own_addresses;
    size_t own_address_count;
    unsigned hosts_most; /* 0: ROUTE_DEFAULT_HOSTS */
    bool uses_ipv6;      /* ask AAAA too (R17: only with FCrDNS) */
    bool prefers_ipv6;
    bool is_host;   /* the domain is a host itself: its addresses are asked, whatever its MX (a smart host) */
    bool uses_dane; /* ask TLSA where everything above it is signed */
};

struct route_query;
/* The route lives until the callback returns. */
typedef void route_found(void *owner, const struct route *route);
/* `domain`: an A-label domain, or an address literal "[192.0.2.1]", "[IPv6:...]". options must live until the
 * callback; what they say of ourselves may change meanwhile, on this thread. Never called back from inside. */
struct route_query *route_ask(struct dns_client *client, struct slice domain, const struct route_options *options,
                              route_found *on_route, void *owner);
void route_cancel(struct route_query *query);
/* A deep copy. */
void route_copy(struct arena *arena, const struct route *from, struct route *to);
/* "found", "no_domain", "null_mx", "loop", "prohibited", "try_later", "no_address" */
struct slice route_status_word(enum route_status status);

#endif
