/* resolver.h - ask the DNS; "no such name", "try later" and "bogus" are values, not faults
 *
 * A resolver (libunbound: dns/unbound.h; data: dns/zone.h) is one for the process and may be asked from any thread.
 * Each loop asks through its own dns_client, which brings answers home by mailbox, joins identical questions that are
 * under way, and keeps answers for their TTL (bounded: DNS_CACHE_MOST answers; failures for DNS_FAILURE_TTL_MS).
 *
 * Names are given in text, any case, with or without the last dot; U-labels must have been made A-labels. CNAMEs are
 * followed. Never called back from inside dns_ask. */
#ifndef TODOKE_DNS_RESOLVER_H
#define TODOKE_DNS_RESOLVER_H

#include "base/arena.h"
#include "net/ip.h"
#include "net/loop.h"
#include "net/mailbox.h"
#include "net/tls.h"

enum dns_type { DNS_A = 1, DNS_CNAME = 5, DNS_PTR = 12, DNS_MX = 15, DNS_TXT = 16, DNS_AAAA = 28, DNS_TLSA = 52 };

enum dns_status {
    DNS_FOUND,     /* count > 0 */
    DNS_NO_NAME,   /* NXDOMAIN: nothing of that name exists */
    DNS_NO_DATA,   /* the name exists without such a record */
    DNS_TRY_LATER, /* SERVFAIL, REFUSED, timeout, nonsense: says nothing about the name */
    DNS_BOGUS,     /* DNSSEC validation failed: never to be used, and never permanent (R30) */
};

enum {
    DNS_NAME_ROOM = 256,
    DNS_RECORDS_MOST = 1000, /* of one answer; more are cut off */
    DNS_CACHE_MOST = 20000,
    DNS_FAILURE_TTL_MS = 5000,
    DNS_NEGATIVE_TTL_MOST_S = 900,
    DNS_TTL_MOST_S = 86400,
};

struct dns_record {
    struct ip ip;        /* A, AAAA */
    uint16_t preference; /* MX */
    struct slice name;   /* MX host, PTR, CNAME: lower-case, no last dot; "" is the root (null MX) */
    struct slice text;   /* TXT: the pieces joined */
    struct tlsa tlsa;    /* TLSA */
};

struct dns_answer {
    enum dns_status status;
    bool is_secure;         /* DNSSEC-validated, the absence too */
    uint32_t ttl_seconds;   /* how long it may be kept */
    struct slice canonical; /* the name after all CNAMEs, lower-case; "" unless FOUND */
    struct dns_record *records;
    size_t count;
    struct slice why; /* TRY_LATER, BOGUS: "timeout", "SERVFAIL", unbound's reason */
};
/* "found", "no_name", "no_data", "try_later", "bogus" */
struct slice dns_status_word(enum dns_status status);
struct slice dns_type_word(enum dns_type type);

struct dns_client;
/* Answers come from loop_world(loop)->resolver. */
struct dns_client *dns_client_new(struct loop *loop);
/* Open questions are forgotten without a callback. Not from inside one. */
void dns_client_free(struct dns_client *client);
struct loop *dns_client_loop(const struct dns_client *client);

struct dns_query;
/* The answer lives until the callback returns. */
typedef void dns_answered(void *owner, const struct dns_answer *answer);
struct dns_query *dns_ask(struct dns_client *client, struct slice name, enum dns_type type, dns_answered *on_answer,
                          void *owner);
/* No callback any more. Not after the callback has begun. */
void dns_cancel(struct dns_query *query);
/* For commands, and the jail's parent: run turns of the client's loop until the answer is there; copied into the
 * arena. */
void dns_ask_and_wait(struct dns_client *client, struct slice name, enum dns_type type, struct arena *arena,
                      struct dns_answer *answer);
/* A deep copy. */
void dns_answer_copy(struct arena *arena, const struct dns_answer *from, struct dns_answer *to);

/* --- behind the interface: a kind of resolver --- */
struct dns_request { /* made by a dns_client, answered by the resolver */
    struct mail_item item;
    struct mailbox *home;
    _Atomic int state; /* waiting, answered, abandoned */
    enum dns_type type;
    char name[DNS_NAME_ROOM]; /* lower-case, no last dot, NUL-terminated */
    struct dns_answer answer;
    struct arena arena; /* holds the answer */
};
struct resolver {
    /* From any thread. Exactly one dns_request_answered follows, now or later, from any thread. */
    void (*ask)(struct resolver *resolver, struct dns_request *request);
    void (*free)(struct resolver *resolver);
};
/* Clients first. */
void resolver_free(struct resolver *resolver);
/* Send the filled request home (or free it, when its client has gone). */
void dns_request_answered(struct dns_request *request);
/* Answer with TRY_LATER. */
void dns_request_failed(struct dns_request *request, enum dns_status status, const char *why);

/* A name as the cache and the zones know it: lower-case, no last dot, checked (labels of 1..63 octets, 253 in all).
 * "." becomes "". False: cannot be a name. */
NODISCARD bool dns_name_normalise(struct slice text, char to[DNS_NAME_ROOM]);

#endif
