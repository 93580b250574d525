/* kept_report.h - reports that came in: kept once, listed, summed by source */
#ifndef TODOKE_RECEIVE_KEPT_REPORT_H
#define TODOKE_RECEIVE_KEPT_REPORT_H

#include "base/time.h"
#include "receive/record.h"
#include "store/db.h"

/* In a write job. A report that is there already (same kind, organisation, id and domain) changes nothing: receivers
 * send them twice. */
NODISCARD bool kept_report_add(struct db *db, struct fault *why, const struct report_record *report, uint64_t mail_id,
                               time_ms now);

struct kept_report {
    uint64_t id, mail_id, good, bad;
    enum feedback_kind kind;
    struct slice org, report_id, domain, policy, email;
    time_ms begin, end, received;
    bool is_cut;
    struct slice sender, dkim, dmarc; /* of the mail that brought it: From domain, results; "" while not looked at */
};
struct report_filter {
    enum feedback_kind kind; /* NONE: any */
    struct slice domain;     /* empty: any */
    uint64_t before_id;      /* paging: older than this one; 0: from the newest */
    size_t limit;            /* 1 .. 1000 */
};
typedef bool kept_report_take(void *context, const struct kept_report *report);
/* Newest first. */
NODISCARD bool kept_report_list(struct db *db, struct fault *why, const struct report_filter *filter,
                                kept_report_take *take, void *context);
/* One; *found false: there is none. Slices in the arena. */
NODISCARD bool kept_report_find(struct db *db, struct fault *why, uint64_t id, struct arena *arena,
                                struct kept_report *report, bool *found);

typedef bool kept_source_take(void *context, const struct report_source *source);
/* What one report says (id), or what all of a kind say about a domain since a moment, summed; most first, at most
 * `limit`. */
struct source_filter {
    uint64_t report; /* 0: by the rest */
    enum feedback_kind kind;
    struct slice domain; /* empty: any */
    time_ms since;
    size_t limit;
};
NODISCARD bool kept_report_sources(struct db *db, struct fault *why, const struct source_filter *filter,
                                   kept_source_take *take, void *context);

#endif
