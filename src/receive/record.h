/* record.h - what reading one mail from a stranger gives: claims, plain and bounded, fit to cross from the jail
 *
 *     reader (jail.h):  bytes --record_read--> struct mail_record --record_write--> octets
 *     server:           octets --record_parse--> struct mail_record --join.h--> what follows for our records
 *
 * Nothing in it is believed because a reader says so: record_parse checks every length, number and text (UTF-8 without
 * control characters), and whatever a record claims counts only as far as token, store, DNS and signatures bear it out.
 */
#ifndef TODOKE_RECEIVE_RECORD_H
#define TODOKE_RECEIVE_RECORD_H

#include "bounce/read.h"
#include "feedback/feedback.h"
#include "mailauth/dkim_verify.h"
#include "receive/jail.h"

enum { RECORD_SOURCES_MAX = 5000, RECORD_ADDRESSES_MAX = 16, RECORD_TEXT_MAX = 2048 };

/* What a report counts, by source and outcome.
 *   DMARC    mails from `ip` as `domain`; outcome: the disposition
 *   TLS      sessions with host `ip` (as named in the report) for `domain`; outcome: success, or what went wrong
 *   failure  one mail from `ip` as `domain`; outcome: what was done with it */
struct report_source {
    struct slice ip, domain, outcome, dkim, spf, detail;
    uint64_t count;
    bool is_good; /* DMARC: aligned by DKIM or SPF; TLS: a session with TLS */
};
struct report_record {
    enum feedback_kind kind; /* DMARC, FAILURE or TLS; NONE: the mail has no report */
    struct slice org, email, report_id, domain, policy;
    int64_t begin, end; /* Unix seconds */
    struct report_source *sources;
    unsigned source_count;
    bool is_cut;
};

struct mail_record {
    struct bounce bounce;                         /* rows without `facts`; at most one thousand */
    struct slice addresses[RECORD_ADDRESSES_MAX]; /* from the headers that name a recipient: b-... and u-... only */
    unsigned address_count;
    struct slice from_domain; /* of the only From address, as written; empty: none, or several */
    struct dkim_claims dkim;
    enum mime_over over; /* a cap of mime/ cut it */
    struct report_record report;
    struct slice report_why; /* a report that could not be read: one line; empty: none */
};

/* Inside. Of its fields only the addresses: those in the headers that look like return paths of ours. */
void record_addresses(const struct mime_mail *mail, struct mail_record *record);
/* Inside. now: Unix seconds. */
void record_read(struct slice mail, const struct rules *rules, struct rules_scratch *scratch, int64_t now,
                 struct arena *arena, struct mail_record *record);
void record_write(const struct mail_record *record, struct buf *out);

/* Outside. Slices are in `bytes`. INPUT: it is no record. */
NODISCARD bool record_parse(struct slice bytes, struct arena *arena, struct mail_record *record, struct fault *why);

/* For jail_start: rules, charsets, digests, archives and XML made ready, then record_read and record_write. */
extern const struct jail_work record_work;

#endif
