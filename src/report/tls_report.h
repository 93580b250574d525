/* tls_report.h - a day's TLS-RPT reports to those who ask for them (RFC 8460): where to, as what, and what became of it
 *
 *     a day's counts --an hour of its own, after midnight UTC--> DNS asked --no record--> none
 *                                                                  | one row for each rua of the record
 *                                                                  v
 *                                                                waiting --mail submitted, or POST taken--> sent
 *                                                                  |  ^ an hour later, TRIES_MOST times
 *                                                                  +--+--> failed
 *
 * Only texts and rows are here; asking and posting is app/tls_reporter.h's. Counts older than TLS_REPORT_DAYS are not
 * reported any more. */
#ifndef TODOKE_REPORT_TLS_REPORT_H
#define TODOKE_REPORT_TLS_REPORT_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/time.h"
#include "store/db.h"

enum {
    TLS_REPORT_DAYS = 3,
    TLS_REPORT_URIS_MOST = 4, /* of one record; more are not looked at */
    TLS_REPORT_URI_MAX = 1000,
    TLS_REPORT_TRIES_MOST = 24,
};

/* ── where to ── */

struct tls_report_uri {
    struct slice text;       /* as written */
    struct slice address;    /* mailto; "": it is https */
    struct slice host, path; /* https: a name, and what stands behind it, "/" at least */
};
/* The rua of the domain's one record among the TXT records at _smtp._tls.<domain> (3). False: there is none, several,
 * or it is not well formed. URIs of other kinds, ports other than 443 and users are left out. */
NODISCARD bool tls_report_uris(const struct slice *records, size_t count, struct arena *arena,
                               struct tls_report_uri uris[TLS_REPORT_URIS_MOST], size_t *found);

/* ── as what ── */

/* gzip (RFC 1952) of the JSON. */
void tls_report_pack(struct slice json, struct buf *out);
struct tls_report_letter {
    struct slice from, to; /* addresses */
    struct slice domain;   /* whose policy it is about */
    struct slice day;      /* "2026-11-22" */
    struct slice report_id;
    struct slice packed; /* the report, gzip */
};
/* The whole mail (5.3, 5.4), CRLF lines, without Date and Message-ID. INPUT: the day is none. */
NODISCARD bool tls_report_mail(const struct tls_report_letter *letter, struct buf *out, struct fault *why);

/* ── what became of it ── */

struct tls_report_row {
    struct slice day, domain, rua; /* rua "": DNS is to be asked */
    struct slice state, why;       /* "waiting", "none", "sent", "failed" */
    int64_t attempts;
    time_ms at, next;
};
/* Due now, at most `most`: days that have not been looked at, and what is to be tried again. Each domain has an hour of
 * its own in the first four after midnight; `scale` shortens that. */
NODISCARD bool tls_report_due(struct db *db, struct fault *why, time_ms now, double scale, size_t most,
                              struct arena *arena, struct tls_report_row **rows, size_t *count);
/* In a write job. state "waiting": again at `next`, failed when that was the last try. */
NODISCARD bool tls_report_set(struct db *db, struct fault *why, const struct tls_report_row *row, time_ms now);
/* In a write job: DNS has said where to: each uri waits, the question is answered. No uri: nobody wants it. */
NODISCARD bool tls_report_found(struct db *db, struct fault *why, const struct tls_report_row *row,
                                const struct tls_report_uri *uris, size_t count, time_ms now);
/* Newest first. */
NODISCARD bool tls_report_list(struct db *db, struct fault *why, size_t most, struct arena *arena,
                               struct tls_report_row **rows, size_t *count);

#endif
