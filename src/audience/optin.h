/* optin.h - people who ask to be on a list themselves, and the proof that it was they (S53, S54, L1, L2)
 *
 *     optin_ask --a mail with a signed link goes to the address--> asked --optin_confirm--> confirmed: on the list
 *                                                                  asked --OPTIN_LIFE_MS--> expired
 *
 * Whoever types an address proves nothing: until the link is confirmed (by POST, never by GET) the contact is
 * unconfirmed and gets no campaign. What asking answers is the same whether the address is known, on the list already,
 * excluded, or asked too often: only the mail differs. Rows stay as the proof: who asked when, from which address, by
 * which program, what was shown, and when it was confirmed.
 *
 * What a person refuses is a suppression of his: of the brand (topic ""), of all campaigns of the brand for a while
 * (topic OPTIN_PAUSE), or of one list (topic "list:<id>"); each is looked at again before each mail. */
#ifndef TODOKE_AUDIENCE_OPTIN_H
#define TODOKE_AUDIENCE_OPTIN_H

#include "audience/contact.h"
#include "event/event.h"

#define OPTIN_LIFE_MS  DAYS_MS(3)
#define OPTIN_AGAIN_MS MINUTES_MS(10) /* between two mails of one request */
#define OPTIN_PAUSE    "campaigns"
enum {
    OPTIN_MAILS_MAX = 3, /* of one request */
    OPTIN_DAY_MAX = 5,   /* mails to one address in 24 hours, whatever lists */
    OPTIN_AGENT_MAX = 300,
    OPTIN_NOTICE_MAX = 2000,
    OPTIN_TITLE_MAX = 200,
    OPTIN_LISTS_MAX = 100, /* public lists of a brand */
};

/* Who says so: shown in the proof. */
struct optin_from {
    struct slice ip, agent;
};

struct optin {
    uint64_t id; /* its low 8 bits are the address's bucket */
    uint64_t list_id, brand_id;
    struct slice address, written, name;
    struct slice lang;                         /* "ja" or "en" */
    struct slice source;                       /* form, api, preferences */
    struct slice title, notice;                /* as they were shown */
    time_ms asked, expires, confirmed, mailed; /* confirmed 0: not yet */
    struct optin_from asked_from, confirmed_from;
    int mails;
};

/* Inside a write job. `asked` says address, written, name, lang, source, notice (empty: the list's), list_id and
 * asked_from; the rest is filled in. *wants_mail: send the link of asked->id to it, and tell by optin_mailed. False
 * with kind INPUT: there is no such list. */
NODISCARD bool optin_ask(struct db *db, struct fault *why, struct optin *asked, time_ms now, struct arena *arena,
                         bool *wants_mail);
NODISCARD bool optin_mailed(struct db *db, struct fault *why, const struct optin *asked, uint64_t message_id,
                            time_ms now);

NODISCARD bool optin_find(struct db *db, struct fault *why, uint64_t id, struct arena *arena, struct optin *optin,
                          bool *found);
/* Newest first, at most 1000: what this address has asked for. */
NODISCARD bool optin_list(struct db *db, struct fault *why, struct slice identity, struct arena *arena,
                          struct optin **optins, size_t *count);

enum optin_end { OPTIN_NONE, OPTIN_CONFIRMED, OPTIN_WAS_CONFIRMED, OPTIN_EXPIRED };
/* Inside a write job: the contact is confirmed and on the list; what it had refused of this list and of the brand is
 * taken back (other lists of the brand are left then), and SUBSCRIBED is appended. */
NODISCARD bool optin_confirm(struct db *db, struct fault *why, uint64_t id, const struct optin_from *from, time_ms now,
                             struct arena *arena, enum optin_end *end);

/* ── what a person wants of a brand, by the link in a mail ── */
struct preference {
    struct list list; /* one with a title */
    bool is_wanted;
};
struct preferences {
    uint64_t brand_id, contact_id; /* contact_id 0: the address is no contact */
    struct slice address, written, name;
    struct slice lang;    /* "ja", "en", or "": never said */
    bool is_refused;      /* nothing from this brand at all */
    time_ms paused_until; /* no campaigns until then; 0: not paused */
    struct preference *lists;
    size_t count;
};
/* As they are: brand_id and address are given. */
NODISCARD bool preferences_read(struct db *db, struct fault *why, time_ms now, struct arena *arena,
                                struct preferences *preferences);
/* Inside a write job: make it so: is_wanted of each list, lang, paused_until (0: goes on). Lists that were not read are
 * as they were. `cause` names the delivery whose link it was. With is_refused the lists are left alone and the brand is
 * refused: that is UNSUBSCRIBED. */
NODISCARD bool preferences_write(struct db *db, struct fault *why, const struct preferences *wanted,
                                 const struct event *cause, const struct optin_from *from, time_ms now,
                                 struct arena *arena);

/* "list:4711" */
struct slice optin_topic(uint64_t list_id, struct arena *arena);

#endif
