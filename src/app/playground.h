/* playground.h - simulated receivers on this machine, so that everything can be tried and nothing leaves
 *
 * Receivers listen on 127.25.x.y:2525 and speak real SMTP with real TLS (self-signed); their DNS is one zone (JSON for
 * dns/zone.h). Which receiver does what is data: app/playground/sites.c. What an address meets is its *fate*: a pure
 * function of the address, the same in every run: a "+word" at the end of the local part names it
 * ("taro+mailbox_full@docomo.example"), else its hash picks one from the mix of its site. Error mail, complaints and
 * vacation replies are real mails, sent by SMTP to where the zone says the envelope sender lives.
 *
 * One thread with one loop of its own serves everything. Start it with a world whose network is NETWORK_LOOPBACK and
 * whose resolver answers from playground_zone(); any other network is refused. Functions may be called from any thread
 * but the playground's own. */
#ifndef TODOKE_APP_PLAYGROUND_H
#define TODOKE_APP_PLAYGROUND_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/fault.h"
#include "base/time.h"
#include "mail/delivery.h"
#include "mail/verdict.h"
#include "net/ip.h"
#include "net/world.h"

/* FATE(NAME, word, how the delivery ends, reason that the first error must be read as, told by)
 * told by: NOTHING (all is well), REPLY (in the conversation), DNS, CONNECT, MAIL (error mail after a 250), LATER
 * (refused at first, taken or given up at the end: the reason is the first refusal's, and a throttled one may meet
 * none). */
#define FATES(X)                                                                                                       \
    X(ACCEPT, accept, DELIVERED, DELIVERED, NOTHING)                                                                   \
    X(USER_UNKNOWN, user_unknown, BOUNCED, USER_UNKNOWN, REPLY)                                                        \
    X(USER_UNKNOWN_LATE, user_unknown_late, BOUNCED, USER_UNKNOWN, MAIL)                                               \
    X(HAS_MOVED, has_moved, BOUNCED, HAS_MOVED, REPLY)                                                                 \
    X(MAILBOX_FULL, mailbox_full, DEFERRED, MAILBOX_FULL, REPLY)                                                       \
    X(MAILBOX_FULL_LATE, mailbox_full_late, BOUNCED, MAILBOX_FULL, MAIL)                                               \
    X(SUSPENDED, suspended, BOUNCED, SUSPENDED, REPLY)                                                                 \
    X(FILTERED, filtered, BOUNCED, FILTERED, REPLY)                                                                    \
    X(MESSAGE_TOO_BIG, message_too_big, BOUNCED, MESSAGE_TOO_BIG, REPLY)                                               \
    X(LINE_TOO_LONG, line_too_long, BOUNCED, LINE_TOO_LONG, REPLY)                                                     \
    X(SPAM, spam, BOUNCED, SPAM, REPLY)                                                                                \
    X(VIRUS, virus, BOUNCED, VIRUS, REPLY)                                                                             \
    X(POLICY, policy_violation, BOUNCED, POLICY_VIOLATION, REPLY)                                                      \
    X(AUTH_FAILURE, auth_failure, BOUNCED, AUTH_FAILURE, REPLY)                                                        \
    X(BLOCKED, blocked, BOUNCED, BLOCKED, REPLY)                                                                       \
    X(GREYLIST, greylisted, DELIVERED, GREYLISTED, LATER)                                                              \
    X(BUSY, busy, DELIVERED, SYSTEM_ERROR, LATER)                                                                      \
    X(THROTTLE, throttle, DELIVERED, RATE_LIMITED, LATER)                                                              \
    X(DELAYED, delayed, BOUNCED, EXPIRED, MAIL)                                                                        \
    X(VACATION, vacation, DELIVERED, VACATION, MAIL)                                                                   \
    X(COMPLAINT, complaint, DELIVERED, COMPLAINT, MAIL)                                                                \
    X(FORGED, forged, DELIVERED, DELIVERED, MAIL)                                                                      \
    X(HOST_UNKNOWN, host_unknown, BOUNCED, HOST_UNKNOWN, DNS)                                                          \
    X(NULL_MX, null_mx, BOUNCED, NOT_ACCEPT, DNS)                                                                      \
    X(REFUSED, refused, DEFERRED, NETWORK_ERROR, CONNECT)                                                              \
    X(RESET, reset, DEFERRED, NETWORK_ERROR, CONNECT)                                                                  \
    X(SILENT, silent, DEFERRED, NETWORK_ERROR, CONNECT)

enum fate_told {
    FATE_TOLD_NOTHING,
    FATE_TOLD_REPLY,
    FATE_TOLD_DNS,
    FATE_TOLD_CONNECT,
    FATE_TOLD_MAIL,
    FATE_TOLD_LATER
};
#define FATE_ENUM(NAME, word, ends, reason, told) FATE_##NAME,
enum fate { FATES(FATE_ENUM) FATE_COUNT };

struct fate_row {
    struct slice word;
    enum delivery_state ends; /* DEFERRED: owed until it expires (or its suppression) */
    enum reason reason;       /* as the classifier must read the first error; DELIVERED: there is none */
    enum fate_told told;
};
extern const struct fate_row fate_table[FATE_COUNT];

/* What this address meets. Any case; an address of no domain of ours is HOST_UNKNOWN. */
enum fate playground_fate(struct slice address);
/* The receiver's label for people ("Gmail-like"), "" for a domain without a receiver. */
struct slice playground_label(struct slice domain);

/* Who the demo sends as. Texts live as long as the playground. */
struct playground_sender {
    const char *domain;             /* of From: "shop.example" */
    const char *return_path_domain; /* of MAIL FROM: "bounce.shop.example" */
    const char *ehlo_name;          /* "mta.shop.example" */
    const char *dkim_selector;      /* NULL: no key */
    const char *dkim_record;        /* the TXT value: "v=DKIM1; k=rsa; p=..." */
    const char
        *feedback_address; /* where complaints go (ARF); a domain of the two above, or its own entry in zone_more */
    struct ip mail_in;     /* our listener for the return path; reached at port 2525 */
    struct ip source;      /* we connect from here (SPF, PTR) */
    const char *zone_more; /* further JSON members, `"name": {...}, ...`; NULL: none */
};
/* The whole zone as JSON: receivers and sender. */
void playground_zone(const struct playground_sender *sender, struct buf *out);

struct playground_options {
    struct world *world; /* network NETWORK_LOOPBACK, resolver set; may be shared with other threads */
    const struct playground_sender *sender;
    const char *inbox_path;  /* mails kept are appended here too (mboxrd); NULL: memory only */
    const char *ledger_path; /* one line for each recipient decided, and each notice sent; NULL: none */
    time_ms late_ms;         /* error mail comes this long after the 250; 0: 3 s */
    time_ms greylist_ms;     /* a greylisted triple is taken after this; 0: 4 s */
    time_ms busy_ms;         /* the busy site answers 421 for this long after its first connection; 0: 5 s */
};

struct playground;
/* INPUT: a network that is not loopback only. WORLD: a port in use (names it), a file that cannot be written. */
struct playground *playground_start(const struct playground_options *options, struct fault *why);
/* Ends the thread; mails not sent yet are dropped. NULL is fine. */
void playground_stop(struct playground *playground);

/* What the receivers really did. Fates count recipients at their last word in a conversation (each attempt counts). */
struct playground_counts {
    uint64_t connections, in_tls;
    uint64_t accepted;                         /* recipients of messages that got 250 at the end */
    uint64_t refused_forever, refused_for_now; /* recipients answered 5xx and 4xx */
    uint64_t lost;                             /* messages begun and never ended: the sender went away */
    uint64_t fate[FATE_COUNT];                 /* recipients, by fate */
    uint64_t notices_sent[FATE_COUNT];         /* error mail, replies, complaints that we took (250) */
    uint64_t notices_failed, notices_waiting;  /* refused by us for good; not sent yet */
    uint64_t dkim_pass, spf_pass, dmarc_pass, auth_checked;
};
void playground_counts(struct playground *playground, struct playground_counts *counts);

/* The inbox: the newest PLAYGROUND_INBOX_MOST mails that receivers took, and error mail that went to us. */
enum { PLAYGROUND_INBOX_MOST = 20000, PLAYGROUND_INBOX_BYTES_MOST = 128 << 20 };
struct inbox_row {
    uint64_t id; /* from 1, in order of arrival */
    time_ms at;
    struct slice from, to, subject; /* decoded; `to` is the envelope's recipient */
    bool is_error;                  /* a notice that came to us, not mail that a receiver took */
    struct slice label;             /* of the receiver */
    size_t size_bytes;
};
/* Newest first, those before `before` (0: from the newest), at most `limit`; `q` is part of from, to or subject (any
 * ASCII case; empty: all). *next is the `before` of the next page, 0 at the end; *total counts all that match. */
void playground_inbox_list(struct playground *playground, struct slice q, uint64_t before, unsigned limit,
                           struct arena *arena, struct inbox_row **rows, size_t *count, uint64_t *next,
                           uint64_t *total);
/* False: not there (any more). The bytes are the mail as received, with a Return-Path and Received line on top. */
NODISCARD bool playground_inbox_get(struct playground *playground, uint64_t id, struct arena *arena,
                                    struct inbox_row *row, struct slice *mail);

#endif
