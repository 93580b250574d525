/* tls_count.h - how sessions ended, by day and policy, for TLS-RPT (RFC 8460; M45)
 *
 * A worker notes each session once; the dispatcher adds notes up in memory and hands them to the store every few
 * seconds (table tls_count). What is lost in a crash is a few seconds of statistics. */
#ifndef TODOKE_DELIVER_TLS_COUNT_H
#define TODOKE_DELIVER_TLS_COUNT_H

#include "base/map.h"
#include "deliver/security.h"
#include "store/store.h"

enum { TLS_COUNTS_MOST = 20000 /* kinds of sessions between two writings; more are not counted */ };

struct tls_note {
    struct mail_item item;
    enum tls_policy policy;
    enum tls_result result;
    struct slice domain, mx, detail, policy_text; /* behind the note */
    struct ip from, to;                           /* family 0: never connected */
};
/* One block: a copy of all. */
struct tls_note *tls_note_copy(const struct tls_note *note);

struct tls_counts {
    struct map sums; /* key of a row -> struct tls_sum */
};
/* `at`: wall. Frees the note. */
void tls_counts_take(struct tls_counts *counts, struct tls_note *note, time_ms at);
/* Into the store, without waiting; empties it. */
void tls_counts_write(struct tls_counts *counts, struct store *store);
void tls_counts_release(struct tls_counts *counts);

/* "2026-11-22" (UTC) */
struct day_text {
    char text[12];
};
struct day_text tls_day(time_ms at);

/* The reports of one day as JSON (RFC 8460 4.4), one for each policy domain: `take` gets each. `domain` empty: all.
 * INPUT: no such day. */
struct tls_report_from {
    struct slice organization, contact, day;
};
typedef bool tls_report_take(void *context, struct slice domain, struct slice json, struct fault *why);
NODISCARD bool tls_report_json(struct db *db, struct fault *why, const struct tls_report_from *from,
                               struct slice domain, tls_report_take *take, void *context);

#endif
