/* submission.h - programs hand us mail by SMTP (RFC 6409): sign in, then whatever they send becomes stored mail
 *
 * Who has not signed in, and is in no trusted network, can send nothing to nobody (M20). AUTH only in TLS (M16). 250
 * comes after the commit that keeps the mail (R6, M7); many sessions share one commit. What is refused, completed and
 * re-encoded is message_prepare's affair (submit/prepare.h); from a domain with a null MX nothing is taken
 * (550 5.7.27); a store that cannot write is 452 4.3.1 (R8); an answer that takes too long is 451, and then the mail is
 * not kept (R7). Everybody's recipients an hour and everybody's wrong keys are bounded: 4xx that says when. One
 * submission belongs to one loop. */
#ifndef TODOKE_RECEIVE_SUBMISSION_H
#define TODOKE_RECEIVE_SUBMISSION_H

#include "receive/authenticator.h"
#include "receive/session.h"
#include "submit/recent.h"

struct submission_network {
    struct ip ip;
    unsigned bits;
};

struct submission_options {
    struct session_options session; /* host_name and limits; the listener's `at` is of the first front (STARTTLS) */
    struct endpoint tls_at;         /* a second front, TLS from the first byte; port 0 and family 0: none */
    struct store *store;
    struct authenticator authenticator;
    const struct submission_network *trusted; /* may submit without AUTH and TLS; not copied */
    size_t trusted_count;
    time_ms expires_after, keep_body; /* counted from when the mail is due */
    int date_offset_minutes;
    bool encodes_long_lines, keeps_8bit; /* submit/prepare.h */
    bool no_reports;                     /* nothing is told by mail (submit/notice.h) */
    time_ms delay_after;                 /* counted from when it is due: NOTIFY=DELAY is told then */
    bool takes_null_mx;                  /* from domains that take no mail, too (RFC 7505 4.2) */
    struct recent_mails *recent;         /* what is handed in is kept there, too; NULL: nowhere */
    /* After each commit, on the writer's thread: tell the engine. */
    void (*submitted)(void *owner, const struct submit_news *news, size_t count);
    void *owner;
};

struct submission_counts {
    uint64_t sessions, mails, recipients, refused, auth_good, auth_bad;
};

struct submission;
/* WORLD: the listeners' reasons. Options are copied. */
struct submission *submission_new(struct loop *loop, const struct submission_options *options, struct fault *why);
/* Take no more connections and end those there are, with 421; mails under way are still written, and their senders hear
 * so before. Run the loop until nothing is pending, and SESSION_LAST_WORDS_MS longer, unless false is given: nobody
 * was there. */
bool submission_stop(struct submission *submission);
/* Mails that wait for their commit. submission_free only when 0. */
/* Mail for so many recipients was handed in then: counts against that hour (what was before a restart). Before the loop
 * runs. */
void submission_used(struct submission *submission, uint64_t hour_id, time_ms at, size_t recipients);
unsigned submission_pending(const struct submission *submission);
void submission_free(struct submission *submission); /* NULL is fine */
struct submission_counts submission_counts(const struct submission *submission);

#endif
