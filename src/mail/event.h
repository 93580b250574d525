/* event.h - everything that ever happens to a mail, on one road
 *
 * Events are appended in the transaction that makes them true, numbered without gaps within their bucket, and never
 * changed. Readers (report, hook, journey, alarm) follow with cursors. The store keeps the numbers below: they never
 * change (20 was never written). */
#ifndef TODOKE_MAIL_EVENT_H
#define TODOKE_MAIL_EVENT_H

#include "base/time.h"
#include "mail/delivery.h"
#include "mail/verdict.h"

#define EVENT_KINDS(X)                                                                                                 \
    X(ACCEPTED, accepted, 1)   /* a delivery was submitted */                                                          \
    X(LEFT_OUT, left_out, 2)   /* expansion met this contact and left it out; no delivery was made */                  \
    X(DELIVERED, delivered, 3) /* the receiver said 250 */                                                             \
    X(DEFERRED, deferred, 4)   /* refused for now, or no connection */                                                 \
    X(BOUNCED, bounced, 5)     /* refused for good; origin: reply, or mail for an error mail days later */             \
    X(EXPIRED, expired, 6)                                                                                             \
    X(SUPPRESSED, suppressed, 7) /* found excluded at claim or just before MAIL FROM */                                \
    X(CANCELLED, cancelled, 8)                                                                                         \
    X(IN_DOUBT, in_doubt, 9)                                                                                           \
    X(HELD, held, 10)                                                                                                  \
    X(RELEASED, released, 11)                                                                                          \
    X(DELAY_NOTICE, delay_notice, 12) /* a relay after us says it is still trying */                                   \
    X(COMPLAINT, complaint, 13)                                                                                        \
    X(AUTOREPLY, autoreply, 14)                                                                                        \
    X(EXCLUDED, excluded, 15) /* an address went on the suppression list */                                            \
    X(UNSUBSCRIBED, unsubscribed, 16)                                                                                  \
    X(OPENED, opened, 17)                       /* remote_mta: the user agent */                                       \
    X(CLICKED, clicked, 18)                     /* likewise; code: the link's number; note: where it leads */          \
    X(UNVERIFIED, unverified, 19)               /* an error mail that proves nothing: counted, changes nobody */       \
    X(CONTACT_RECOVERED, contact_recovered, 21) /* a success reset the error counter */                                \
    X(SUBSCRIBED, subscribed, 22)               /* a person is on a list by his own wish; note: "list:<id>" */         \
    X(DOWNLOADED, downloaded, 23)               /* as opened; note: the file's name */

#define EVENT_ENUM(NAME, word, number) EVENT_##NAME = number,
enum event_kind { EVENT_KINDS(EVENT_ENUM) EVENT_KIND_END };

struct slice event_word(enum event_kind kind);
NODISCARD bool event_of(struct slice word, enum event_kind *kind);

/* Where it comes from: an SMTP reply, an error mail; or, of opens and clicks, who that was. */
enum event_origin {
    EVENT_ORIGIN_NONE,
    EVENT_ORIGIN_REPLY,
    EVENT_ORIGIN_MAIL,
    EVENT_ORIGIN_PERSON,
    EVENT_ORIGIN_ROBOT, /* scanners, prefetchers */
    EVENT_ORIGIN_PROXY, /* a privacy proxy, which loads for everybody: says nothing about the person */
    EVENT_ORIGIN_END,
};

/* Slices are owned by whoever made the event; absent ones are empty, absent ids 0. Verdict fields are meaningful for
 * the kinds that carry one (deferred, bounced, expired, delay_notice, complaint, autoreply, unverified). */
struct event {
    unsigned bucket; /* of the address; read back: of the log in which it stands (event/event.h) */
    uint64_t seq;    /* within that log; given by event_append */
    uint64_t id;     /* carries the address's bucket, wherever it stands */
    time_ms at;
    enum event_kind kind;
    unsigned n; /* accepted: how many deliveries it made, in this bucket for this campaign and domain; 0 counts as 1 */
    enum event_origin origin;
    uint64_t delivery_id, campaign_id, contact_id, brand_id;
    uint64_t mail_id; /* the received error mail, when there is one */
    struct slice address, domain, site;
    enum delivery_state state_before, state_after; /* equal when the event moved nothing */
    time_ms before_since; /* when it had come into state_before; only of what had been delivered; 0: not known */
    struct verdict verdict;
    enum authenticity authenticity;
    enum stage stage;
    int code;
    uint16_t status[3];
    struct slice diagnostic; /* at most EVENT_DIAGNOSTIC_MAX octets, UTF-8 */
    struct slice remote_mta; /* name[ip] */
    int attempt;
    time_ms next_attempt_at; /* 0: none */
    struct slice note;       /* kind-specific word: why left out, feedback type, url ... */
};
enum { EVENT_DIAGNOSTIC_MAX = 2048 };

/* The note of an attempt by another source than the one by which the mail was in doubt (R22): this, then why (removed,
 * pool, unusable, node, day, address, then), a space and that one's address. */
#define EVENT_NOTE_OTHER_SOURCE "other_source "

#endif
