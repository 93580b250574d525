/* dmarc.h - does the From domain stand behind this mail, and what does it want done if not? (RFC 9989; M40)
 *
 * The tree walk of RFC 9989 (at most 8 questions for each name) decides the record and the organisational domain; the
 * older way (RFC 7489: public suffix list) is worked out beside it and told where it differs, because big receivers
 * still use it. */
#ifndef TODOKE_MAILAUTH_DMARC_H
#define TODOKE_MAILAUTH_DMARC_H

#include "mailauth/lookup.h"

enum dmarc_result { DMARC_NONE, DMARC_PASS, DMARC_FAIL, DMARC_TEMPERROR, DMARC_PERMERROR };
enum dmarc_policy { DMARC_POLICY_NONE, DMARC_POLICY_QUARANTINE, DMARC_POLICY_REJECT };
struct slice dmarc_result_word(enum dmarc_result result);
struct slice dmarc_policy_word(enum dmarc_policy policy);

struct dmarc_record {
    enum dmarc_policy p, sp, np; /* sp and np fall back as the RFC says */
    bool is_strict_dkim, is_strict_spf;
    bool is_testing; /* t=y */
    char psd;        /* 'y', 'n' or 'u' */
    struct slice rua, ruf;
};
/* INPUT-free: false when the text is no DMARC record at all ("v=DMARC1" must come first, exactly so). What stands
 * behind its first DMARC_RECORD_MAX octets is not looked at: a walk reads a record some dozens of times. */
enum { DMARC_RECORD_MAX = 8192 };
NODISCARD bool dmarc_record_parse(struct slice text, struct dmarc_record *record);

struct dmarc_input {
    struct slice from_domain;        /* of the From header, A-label */
    const struct slice *spf_domains; /* that passed SPF */
    size_t spf_count;
    const struct slice *dkim_domains; /* d= that passed DKIM */
    size_t dkim_count;
};
struct dmarc_outcome {
    enum dmarc_result result;
    enum dmarc_policy policy;        /* that applies to this mail: p, sp or np; one step milder where t=y */
    struct slice record_domain;      /* where the record was found; empty: none */
    struct slice org_domain;         /* by the tree walk */
    struct slice classic_org_domain; /* by the public suffix list */
    struct dmarc_record record;
    bool is_spf_aligned, is_dkim_aligned;
    enum dmarc_result classic_result; /* as RFC 7489 would have it */
    struct slice reason;
};
/* False: open questions are in the lookup; answer and call again. */
NODISCARD bool dmarc_check(struct lookup *lookup, const struct dmarc_input *input, struct dmarc_outcome *outcome);

/* The organisational domain by the public suffix list alone; empty for a public suffix itself. */
struct slice org_domain_classic(struct slice domain, struct arena *arena);

#endif
