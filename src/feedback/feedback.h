/* feedback.h - reports that receivers send about our mail: DMARC aggregate and failure, TLS-RPT, ARF
 *
 *     bytes --unpack (gz, zip)--> XML  --> DMARC aggregate report (RFC 7489 appendix C, RFC 9990)
 *                             --> JSON --> TLS report             (RFC 8460)
 *     a mail --its parts------------------> either of them, whatever their MIME types say; or
 *             message/feedback-report ----> a complaint           (ARF, RFC 5965), or one mail that failed DMARC (RFC
 * 6591, 9991)
 *
 * What is read is what the report says, nothing about whether it is true: who may send it is joined elsewhere. Readers
 * are lenient where senders are sloppy (no namespace, one of their own, upper case, bytes that are not UTF-8, a bare
 * "&", wrong MIME types) and strict where it is dangerous: a DTD is refused, no entity is expanded, nothing is fetched,
 * an archive in an archive stays shut, and everything has a ceiling (the enum below). Linear in what was unpacked. */
#ifndef TODOKE_FEEDBACK_FEEDBACK_H
#define TODOKE_FEEDBACK_FEEDBACK_H

#include "base/arena.h"
#include "base/fault.h"
#include "base/json.h"

enum {
    FEEDBACK_INFLATED_MAX = 100 << 20, /* bytes, of one archive */
    FEEDBACK_RATIO_MAX = 200,          /* unpacked to packed; looked at once 64 KB are out */
    FEEDBACK_JSON_MAX = 16 << 20,      /* a TLS report; real ones have some KB */
    FEEDBACK_ROWS_MAX = 100000,        /* records of one report, more are dropped (is_cut) */
    FEEDBACK_AUTH_MAX = 16,            /* DKIM or SPF results, or override reasons, of one record */
    FEEDBACK_ERRORS_MAX = 32,
    FEEDBACK_TEXT_MAX = 1024, /* bytes of one value; more is cut */
    FEEDBACK_FIELDS_MAX = 100,
    FEEDBACK_MX_MAX = 32,
};

/* The numbers are kept in the store. */
#define FEEDBACK_KINDS(X)                                                                                              \
    X(DMARC, dmarc_aggregate, 1)                                                                                       \
    X(FAILURE, dmarc_failure, 2)                                                                                       \
    X(TLS, tls, 3)                                                                                                     \
    X(ABUSE, arf, 4)
#define FEEDBACK_KIND_ENUM(NAME, word, number) FEEDBACK_##NAME = number,
enum feedback_kind { FEEDBACK_NONE, FEEDBACK_KINDS(FEEDBACK_KIND_ENUM) };
struct slice feedback_kind_word(enum feedback_kind kind);

/* ── DMARC aggregate ── */

/* A DKIM or SPF result as the receiver saw it. */
struct dmarc_auth {
    struct slice domain;
    struct slice selector; /* of DKIM */
    struct slice scope;    /* of SPF: mfrom or helo */
    struct slice result;   /* lower case: pass, fail, softfail, neutral, none, permerror, temperror, policy */
    struct slice human;    /* human_result */
};
struct dmarc_override {
    struct slice type; /* forwarded, mailing_list, local_policy ... */
    struct slice comment;
};
/* So many mails from one address that fared alike. Words are lower case. */
struct dmarc_row {
    struct slice source_ip; /* in its normal form when it is an address, else as written */
    uint64_t count;
    struct slice disposition; /* none, quarantine, reject, pass (RFC 9990) */
    struct slice dkim, spf;   /* aligned: pass or fail */
    struct slice header_from, envelope_from, envelope_to;
    struct dmarc_override *overrides;
    struct dmarc_auth *dkim_results, *spf_results;
    unsigned override_count, dkim_count, spf_count;
};
struct dmarc_policy_said {
    struct slice domain, discovery_method, adkim, aspf, p, sp, np, pct, fo, testing;
};

/* ── TLS-RPT ── */

struct tls_failure {
    struct slice result_type; /* starttls-not-supported, certificate-expired ... (RFC 8460 4.3) */
    struct slice sending_ip, receiving_mx, receiving_helo, receiving_ip, reason_code, additional;
    uint64_t sessions;
};
struct tls_policy_said {
    struct slice type, domain; /* tlsa, sts or no-policy-found */
    struct slice *mx;
    unsigned mx_count;
    uint64_t succeeded, failed; /* sessions */
    struct tls_failure *failures;
    unsigned failure_count;
};

/* ── ARF: one mail ── */

struct feedback_field {
    struct slice name; /* as written */
    struct slice value;
};

struct feedback {
    enum feedback_kind kind;
    /* of DMARC aggregate and TLS */
    struct slice org, email, contact, report_id, version, generator;
    int64_t begin, end; /* Unix seconds; 0: not said */
    struct slice errors[FEEDBACK_ERRORS_MAX];
    unsigned error_count;
    bool is_absent;     /* on a fault: nothing in the mail even looked like a report */
    bool is_cut;        /* there was more than the ceilings let in */
    struct slice space; /* the XML namespace, empty when none */

    struct dmarc_policy_said policy; /* DMARC */
    struct dmarc_row *rows;
    unsigned row_count;

    struct tls_policy_said *policies; /* TLS */
    unsigned policy_count;

    struct feedback_field *fields; /* ARF: of the machine-readable part, in order */
    unsigned field_count;
    struct slice type; /* Feedback-Type, lower case */
    /* and of the mail that it is about, raw header values */
    struct slice original_from, original_to, original_subject, original_message_id;
};

/* What the report is about: the domain of the policy, or of the first TLS policy, or Reported-Domain. Empty: unknown.
 */
struct slice feedback_domain(const struct feedback *feedback);
/* A field of the ARF part, caseless; ptr NULL when absent. */
struct slice feedback_field(const struct feedback *feedback, struct slice name);

/* Read a report from a mail or from a bare file (XML, JSON, gz, zip). Values are in the arena or in `bytes`. INPUT: it
 * is no report, or not a good one; LIMIT: it is over a ceiling. */
NODISCARD bool feedback_read(struct slice bytes, struct arena *arena, struct feedback *feedback, struct fault *why);

/* One form each, unpacked. */
NODISCARD bool feedback_read_xml(struct slice xml, struct arena *arena, struct feedback *feedback, struct fault *why);
NODISCARD bool feedback_read_tls(struct slice json, struct arena *arena, struct feedback *feedback, struct fault *why);

/* As the members of one open JSON object (docs/reports.md has the shape). */
void feedback_tell(const struct feedback *feedback, struct json *json);

#endif
