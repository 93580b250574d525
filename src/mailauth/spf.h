/* spf.h - may this address send for this domain? check_host() of RFC 7208 (M35)
 *
 * Limits: 10 terms that ask the DNS, 2 void lookups, 10 names for each mx and ptr; past them PERMERROR. */
#ifndef TODOKE_MAILAUTH_SPF_H
#define TODOKE_MAILAUTH_SPF_H

#include "mailauth/lookup.h"

enum spf_result { SPF_NONE, SPF_NEUTRAL, SPF_PASS, SPF_FAIL, SPF_SOFTFAIL, SPF_TEMPERROR, SPF_PERMERROR };
struct slice spf_result_word(enum spf_result result);

struct spf_input {
    struct slice ip;        /* 4 or 16 octets; an IPv4-mapped IPv6 address counts as IPv4 */
    struct slice mail_from; /* "user@domain", or empty for the null sender: then postmaster@helo is checked */
    struct slice helo;      /* may be empty */
    struct slice receiver;  /* our host name, for %{r}; empty: "unknown" */
    int64_t now_seconds;    /* for %{t} */
};
struct spf_outcome {
    enum spf_result result;
    struct slice domain;      /* the domain checked */
    struct slice mechanism;   /* the term that matched, as written; empty */
    struct slice explanation; /* from exp= on FAIL; empty */
    struct slice reason;      /* one plain sentence */
    unsigned lookups;         /* terms that asked the DNS */
    unsigned void_lookups;
};
/* False: open questions are in the lookup; answer and call again. Slices live in the lookup's arena. */
NODISCARD bool spf_check(struct lookup *lookup, const struct spf_input *input, struct spf_outcome *outcome);

/* Text form to octets: "192.0.2.1", "2001:db8::1". False: neither. */
NODISCARD bool spf_ip_parse(struct slice text, struct arena *arena, struct slice *ip);

#endif
