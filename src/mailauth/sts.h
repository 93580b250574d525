/* sts.h - MTA-STS (RFC 8461): a domain says in DNS and over HTTPS which hosts take its mail, and that they speak TLS
 *
 * Only the texts: the TXT record at _mta-sts.<domain>, the policy at
 * https://mta-sts.<domain>/.well-known/mta-sts.txt, and which hosts a policy allows. Asking, fetching and keeping are
 * deliver/sts_cache.h's. Strangers' bytes: linear, bounded, and what is not exactly right is no policy. */
#ifndef TODOKE_MAILAUTH_STS_H
#define TODOKE_MAILAUTH_STS_H

#include "base/arena.h"
#include "base/fault.h"

enum {
    STS_ID_MAX = 32,              /* letters and digits of an id */
    STS_POLICY_MAX = 64 * 1024,   /* octets of a policy (3.3) */
    STS_MX_MAX = 1000,            /* hosts of a policy; with more it is refused */
    STS_MAX_AGE_MOST_S = 31557600 /* a longer max_age counts as this (3.2) */
};

enum sts_mode { STS_NONE, STS_TESTING, STS_ENFORCE };
/* "none", "testing", "enforce" */
struct slice sts_mode_word(enum sts_mode mode);
NODISCARD bool sts_mode_of(struct slice word, enum sts_mode *mode);

struct sts_policy {
    enum sts_mode mode;
    uint32_t max_age_s;
    const struct slice *mx; /* lower-case, "mx.example.com" or "*.example.com" */
    size_t mx_count;        /* 0 only in mode none */
};

/* The id of the domain's one record among its TXT records (3.1). False: there is none, several, or it is not well
 * formed, and then the domain has no new policy. */
NODISCARD bool sts_record_id(const struct slice *texts, size_t count, struct slice *id);
/* Read a policy (3.2); what it points to is in the arena. INPUT: line and what is wrong with it. */
NODISCARD bool sts_policy_read(struct slice text, struct arena *arena, struct sts_policy *policy, struct fault *why);
/* May mail go to this host (the MX name, lower-case)? A leading "*." stands for exactly one label (4.1). */
bool sts_allows(const struct sts_policy *policy, struct slice mx);

#endif
