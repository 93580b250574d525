/* spf_private.h - the inside of an SPF check: terms, macros, and who asks the DNS; for spf*.c only */
#ifndef TODOKE_MAILAUTH_SPF_PRIVATE_H
#define TODOKE_MAILAUTH_SPF_PRIVATE_H

#include "base/buf.h"
#include "mailauth/spf.h"

enum { SPF_TERMS_MAX = 128, SPF_DNS_TERMS_MAX = 10, SPF_VOID_MAX = 2, SPF_NAMES_MAX = 10, SPF_NAME_MAX = 253 };

enum spf_mechanism { SPF_ALL, SPF_INCLUDE, SPF_A, SPF_MX, SPF_PTR, SPF_IP4, SPF_IP6, SPF_EXISTS };
struct spf_term {
    enum spf_mechanism mechanism;
    enum spf_result qualifier;
    struct slice written;
    struct slice domain_spec;  /* not expanded; empty: the current domain */
    unsigned cidr4, cidr6;     /* bits that count */
    unsigned char network[16]; /* ip4, ip6 */
};
struct spf_record {
    struct spf_term term[SPF_TERMS_MAX];
    size_t count;
    struct slice redirect, exp; /* domain-specs; empty: none */
};
/* False: a syntax error (PERMERROR); `reason` names the term. */
bool spf_record_parse(struct slice text, struct spf_record *record, struct arena *arena, struct slice *reason);

struct spf_check {
    struct lookup *lookup;
    const struct spf_input *input;
    struct spf_outcome *outcome;
    struct slice ip; /* 4 or 16 octets, mapped ones made IPv4 */
    struct slice local, sender_domain;
    bool is_pending; /* an answer is missing: unwind */
};
/* The answer, or NULL when it is missing (is_pending is set). A name that cannot exist has the answer NO_NAME. */
const struct question *spf_ask(struct spf_check *check, enum question_type type, struct slice name);
/* Does an A or AAAA answer hold the client's address within so many bits? */
bool spf_address_matches(const struct spf_check *check, const struct question *answer, unsigned bits);
/* The client's names whose addresses lead back to it (5.5), at most SPF_NAMES_MAX of those that the PTR gave. False:
 * pending. */
bool spf_validated_names(struct spf_check *check, struct slice names[SPF_NAMES_MAX], size_t *count);
bool spf_is_below(struct slice name, struct slice domain);

/* Is it a macro-string by its syntax; for a domain-spec also its end (7.1)? */
bool spf_macro_is_good(struct slice text, bool is_domain_spec);
/* Expand; domain-specs are cut to 253 from the left. False: pending. */
bool spf_macro_expand(struct spf_check *check, struct slice text, struct slice domain, bool is_explanation,
                      struct slice *expanded);

#endif
