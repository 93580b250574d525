/* route_inside.h - a route while it is looked for */
#ifndef TODOKE_DNS_ROUTE_INSIDE_H
#define TODOKE_DNS_ROUTE_INSIDE_H

#include "dns/route.h"

enum { CANDIDATE_IPS = 64 /* of one host that are looked at */ };

struct route_candidate {
    struct slice name;
    uint16_t preference;
    bool is_insecure, has_failed;
    bool has_ipv6_only;     /* asked when nothing else was found, and IPv6 is not used */
    struct slice canonical; /* what its CNAMEs lead to; "" when it has none */
    size_t ip_count;
    struct ip ips[CANDIDATE_IPS];
};

struct route_lookup {
    struct route_query *route_query;
    struct route_candidate *candidate;
    enum dns_type type;
    struct dns_query *query; /* NULL: answered */
};

/* The TLSA records of one host while they are looked for (route_dane.c). */
enum dane_step { DANE_AT_CANONICAL, DANE_IS_ALIAS_SIGNED, DANE_AT_NAME };
struct dane_lookup {
    struct route_query *route_query;
    struct route_host *host;
    enum dane_step step;
    struct dns_query *query; /* NULL: answered, or not asked */
};

struct route_query {
    struct dns_client *client;
    const struct route_options *options;
    route_found *on_route;
    void *owner;
    struct arena arena;
    const char *domain;
    struct dns_query *mx_query;
    struct route_candidate *candidates; /* in the order to try; at most ROUTE_HOSTS_MOST */
    size_t candidate_count;
    struct route_lookup *lookups;
    size_t lookup_count, waiting;
    struct slice failure; /* the first address lookup that failed, in words */
    struct deferred soon; /* literals */
    struct dane_lookup *dane;
    size_t dane_count, dane_waiting;
    struct route route;
};

/* Set the answer to a refusal, with the domain in front of the words. */
void route_refuse(struct route_query *query, enum route_status status, const char *format, ...) PRINTF_LIKE(3, 4);
/* Candidates from the MX records; false: refused already. */
NODISCARD bool route_choose(struct route_query *query, const struct dns_answer *mx);
/* The domain itself. */
NODISCARD bool route_choose_implicit(struct route_query *query);
/* All addresses are known: the answer. */
void route_judge(struct route_query *query);
/* The hosts are chosen: ask for their TLSA records. False: there is nothing to ask. Otherwise route_answer follows. */
NODISCARD bool route_ask_dane(struct route_query *query);
/* Tell the owner; the query is gone. */
void route_answer(struct route_query *query);

#endif
