/* alarm.h - warnings to people: an event reader that watches what comes back
 *
 * The reader ("alarm") watches four things, exactly once each whatever crashes (its cursor moves with its tables):
 *
 * - each site's share of unknown users (suppress/guard.h): it makes the guard hold, tries again, ends it (R36);
 * - the rate of error mail that proves nothing: unverified, backscatter, forged. Above `per_hour` within an hour, or
 *   above `times` the installation's usual hour, somebody misuses our name or an account of ours (S12, S13);
 * - the recipients that each access key hands in mail for, by SMTP or the API. Far above the busiest hour of its own
 *   last seven days, somebody else may have it (S13); where that is wanted, the key is paused until a person releases
 * it;
 * - refusals whose words no rule knows: collected by likeness (bounce/likeness.h).
 *
 * Beside the events it looks at DMARC reports that came in: mail that passes with our DKIM signature from many networks
 * that are neither ours nor known as forwarders is somebody sending a mail of ours again (X5).
 *
 * An alarm is one row for one matter, from its beginning to its end:
 *
 *     (none) --raised--> open --quiet again--> ended
 *                          |                     |
 *                          '----- a person acknowledges: shown no more on the home page -----'
 *
 * alarm_list and alarm_ack are for commands and the api. */
#ifndef TODOKE_ALARM_ALARM_H
#define TODOKE_ALARM_ALARM_H

#include "bounce/rules.h"
#include "event/reader.h"
#include "net/world.h"
#include "queue/ledger.h"
#include "submit/submit.h"

#define ALARM_READER "alarm" /* the name of its cursor */

/* ── rows ── */

#define ALARM_KINDS(X)                                                                                                 \
    X(UNVERIFIED_MAIL, unverified_mail)                                                                                \
    X(SITE_GUARD, site_guard)                                                                                          \
    X(CERTIFICATE, certificate)                                                                                        \
    X(WEBHOOK, webhook)                                                                                                \
    X(CREDENTIAL, credential) X(STORE_LOG, store_log) X(EVENT_FILE, event_file) X(REPLAY, replay) X(TLS_GONE, tls_gone)
#define ALARM_ENUM(NAME, word) ALARM_##NAME,
enum alarm_kind { ALARM_KINDS(ALARM_ENUM) ALARM_KIND_COUNT };
struct slice alarm_word(enum alarm_kind kind);

struct alarm_row {
    uint64_t id;
    enum alarm_kind kind;
    struct slice about; /* the site; the certificate's name; the webhook's id; the key's name and number; "events.file";
                           the domain; the host; empty: the installation */
    int64_t n,
        normal; /* how many when last looked at (site: percent; certificate: days left; log: MB); how many are usual */
    struct slice detail;                       /* JSON */
    time_ms since, last, ended, acked, mailed; /* 0: not yet */
    struct slice acked_by;
};
/* Newest first. only_open: those that nobody acknowledged, ended ones of the last seven days too. Texts in the arena.
 */
NODISCARD bool alarm_list(struct db *db, struct fault *why, bool only_open, time_ms now, size_t limit,
                          struct arena *arena, struct alarm_row **rows, size_t *count);
/* Inside a write job. *found: there is such a row. A second time changes nothing. */
NODISCARD bool alarm_ack(struct db *db, struct fault *why, uint64_t id, struct slice by, time_ms now, bool *found);
/* The same for the open matter of this kind and `about`, where there is one. */
NODISCARD bool alarm_ack_matter(struct db *db, struct fault *why, enum alarm_kind kind, struct slice about,
                                struct slice by, time_ms now);
/* Inside a write job. Begin a matter, or say how it is now; and its end. One open row for each kind and `about`. */
NODISCARD bool alarm_raise(struct db *db, struct fault *why, enum alarm_kind kind, struct slice about, int64_t n,
                           int64_t normal, struct slice detail, time_ms now);
NODISCARD bool alarm_end(struct db *db, struct fault *why, enum alarm_kind kind, struct slice about, time_ms now);
/* In words for people: what happened, what to do. lang as in bounce/words.h; in the arena. */
struct alarm_words {
    struct slice title, text;
};
struct alarm_words alarm_words_ja(const struct alarm_row *row, struct arena *arena);
struct alarm_words alarm_words_en(const struct alarm_row *row, struct arena *arena);

/* ── the watch ── */

struct alarm_options {
    struct store *store;
    struct world *world;
    const struct rules *rules;
    struct ledger ledger;    /* its policy has the guard's limits */
    int64_t per_hour;        /* 0: 200 */
    int64_t times;           /* 0: 10 */
    int64_t key_per_hour;    /* so many recipients within an hour are never unusual for a key; 0: 1,000 */
    int64_t key_times;       /* 0: 5 */
    int64_t replay_networks; /* so many strange networks with our signature are never unusual; 0: 20 */
    /* Inside the write job that raised it: pause the key. NULL: it goes on. */
    bool (*pause)(void *owner, struct db *db, struct fault *why, uint64_t key_id, time_ms now);
    double time_scale; /* of the waits between two tries at a held site; 0: 1.0 */
    /* What was held is due again: as engine_submitted. On the writer thread, after the commit. May be NULL. */
    void (*released)(void *owner, const struct submit_news *news, size_t count);
    /* Inside the write job that raised a row nobody was mailed about: send the mail in the same transaction, and say
     * whether it was sent. *news as of submit.h, in the arena: told to `released` after the commit. May be NULL. */
    bool (*mail)(void *owner, struct db *db, struct fault *why, const struct alarm_row *row, struct arena *arena,
                 struct submit_news **news, size_t *news_count, bool *is_sent);
    void *owner;
};
struct alarm_watch;
struct alarm_watch *alarm_watch_start(const struct alarm_options *options);
void alarm_watch_stop(struct alarm_watch *watch);
/* Wait until it has read every event, and done what is due now (for commands and tests). */
NODISCARD bool alarm_watch_catch_up(struct alarm_watch *watch, struct fault *why);

/* ── unread words ── */

struct unread_row {
    struct slice fingerprint, words, sample, last_sample, receiver;
    int code;
    struct slice status, stage;
    int64_t n;
    time_ms first, last;
};
enum { UNREAD_ROWS_MAX = 1000 };
/* Most frequent first. */
NODISCARD bool unread_list(struct db *db, struct fault *why, size_t limit, struct arena *arena,
                           struct unread_row **rows, size_t *count);

#endif
