/* security.h - what a connection to one host must be: the decision, and nothing but the decision (R30-R33, M44)
 *
 * In this order: DANE of the host (what DNSSEC says; a lookup that failed refuses the host) > MTA-STS of the domain in
 * mode enforce > the operator's rule for domain, site or brand > opportunistic. What forbids clear text is never got
 * around: the host is left, the next one tried, and in the end the mail waits. Mails that say TLS-Required: No have
 * destinations of their own, so their connections are nobody else's; for these DANE and MTA-STS are left out. */
#ifndef TODOKE_DELIVER_SECURITY_H
#define TODOKE_DELIVER_SECURITY_H

#include "dns/route.h"
#include "mailauth/sts.h"
#include "net/stream.h"

/* The operator's rule (table tls_rule); the greater one wins. */
enum tls_rule {
    TLS_RULE_OPPORTUNISTIC, /* TLS when offered, any certificate, clear text otherwise */
    TLS_RULE_SEEN,          /* the same, until a host was met in TLS: from then on TLS always (tls_seen.h) */
    TLS_RULE_REQUIRED,      /* TLS always, any certificate */
    TLS_RULE_VERIFIED,      /* TLS with a certificate for the host's name from somebody we trust */
};
/* "opportunistic", "seen", "required", "verified" */
struct slice tls_rule_word(enum tls_rule rule);
NODISCARD bool tls_rule_of(struct slice word, enum tls_rule *rule);

/* A smart host: all mail of its brand goes there, over TLS with a certificate for its name. */
struct relay {
    uint64_t brand_id;
    struct slice host; /* a name, or an address in brackets */
    uint16_t port;     /* 465: TLS from the first byte; otherwise STARTTLS */
    struct slice user, password;
    time_ms changed;
    bool is_locked; /* the password cannot be opened: nothing goes */
};

/* What holds for a destination beside its route; kept and replaced together with it (R18). */
struct security_policy {
    struct slice domain; /* whose recipients these are; "" when the destination is many domains' (then nothing below
                            is any single one's) */
    bool has_sts;
    struct sts_policy sts;
    struct slice sts_text; /* as fetched, for reports */
    enum tls_rule rule;
    bool is_waived;  /* for mails that say TLS-Required: No (RFC 8689): DANE and MTA-STS are not asked, the operator's
                        rule and the smart host are */
    bool avoids_tls; /* the site's TLS is known to be broken (data/sites, tls: never): in clear unless a policy demands
                        TLS */
    const struct relay *relay; /* NULL: the domain's own hosts */
};
/* A deep copy. */
void security_policy_copy(struct arena *arena, const struct security_policy *from, struct security_policy *to);
/* Does it (with this route) concern one domain only? Then that domain needs a destination of its own. */
bool security_is_single(const struct security_policy *policy, const struct route *route);

/* RFC 8460 4.3: how a session ended, as reports count it. */
#define TLS_RESULTS(X)                                                                                                 \
    X(SUCCESS, "success")                                                                                              \
    X(STARTTLS_NOT_SUPPORTED, "starttls-not-supported")                                                                \
    X(HOST_MISMATCH, "certificate-host-mismatch")                                                                      \
    X(EXPIRED, "certificate-expired")                                                                                  \
    X(NOT_TRUSTED, "certificate-not-trusted")                                                                          \
    X(VALIDATION_FAILURE, "validation-failure")                                                                        \
    X(TLSA_INVALID, "tlsa-invalid")                                                                                    \
    X(DNSSEC_INVALID, "dnssec-invalid")                                                                                \
    X(STS_POLICY_FETCH_ERROR, "sts-policy-fetch-error")                                                                \
    X(STS_POLICY_INVALID, "sts-policy-invalid")                                                                        \
    X(STS_WEBPKI_INVALID, "sts-webpki-invalid")
#define TLS_RESULT_ENUM(NAME, word) TLS_RESULT_##NAME,
enum tls_result { TLS_RESULTS(TLS_RESULT_ENUM) TLS_RESULT_COUNT };
struct slice tls_result_word(enum tls_result result);
enum tls_result tls_result_of_fault(enum tls_fault fault);

enum tls_policy { TLS_POLICY_NOT_FOUND, TLS_POLICY_STS, TLS_POLICY_TLSA };
/* "no-policy-found", "sts", "tlsa" */
struct slice tls_policy_word(enum tls_policy policy);

enum tls_level {
    TLS_LEVEL_MAY,     /* TLS if it can be had */
    TLS_LEVEL_ENCRYPT, /* TLS, whatever the certificate */
    TLS_LEVEL_NAME,    /* TLS with a certificate for the host's name */
    TLS_LEVEL_DANE,    /* TLS with a certificate that matches the TLSA records */
    TLS_LEVEL_REFUSED, /* no mail by this host: `why`, `result` */
};
struct security {
    enum tls_level level;
    enum tls_policy policy; /* which one is counted */
    bool is_tested;         /* MTA-STS in mode testing: mail goes as if it were not there; what it would have refused is
                               counted */
    enum tls_result result; /* REFUSED, or is_tested with a host that is not allowed; SUCCESS: nothing yet */
    const char *why;        /* REFUSED: in words, a literal; otherwise what demands this, "" for nobody */
};
/* was_seen: the host had TLS lately (asked for the rule `seen` only). */
struct security security_of(const struct security_policy *policy, const struct route_host *host, bool was_seen);

/* How a session counts that came about: `info` NULL when it is in clear. */
enum tls_result security_result(const struct security *security, const struct tls_info *info);

#endif
