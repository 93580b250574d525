/* session.h - one connection to a simulated receiver, as its three files share it
 *
 *     session.c       the connection, and what is answered before the mail comes
 *     session_mail.c  what is decided when the mail is there
 *     session_say.c   the words of an answer; counting */
#ifndef TODOKE_APP_PLAYGROUND_SESSION_H
#define TODOKE_APP_PLAYGROUND_SESSION_H

#include "app/playground/conversation.h"
#include "app/playground/inside.h"

enum { RECIPIENTS_MOST = 100, BODY_MOST = 30 << 20, SIZE_DEFAULT = 25 << 20, RESET_EVERY = 30 };

struct recipient {
    struct slice address, domain;
    enum fate fate;
    uint64_t pick;
};

struct session {
    struct playground *playground;
    struct site_state *state;
    const struct site *site;
    struct conversation *conversation;
    struct session *next, **at; /* in playground->sessions */
    struct ip peer;
    char helo[256];
    bool will_reset; /* one of those that are reset in the middle */

    struct arena arena; /* of the transaction */
    struct slice mail_from;
    struct recipient recipients[RECIPIENTS_MOST];
    size_t recipient_count;
    struct buf body;
    struct auth_check *auth;
    struct dns_query *query;
    struct auth_answer checked; /* words are NULL while nothing was checked */
};

/* --- session_say.c --- */
struct slice session_domain_of(struct slice address);
/* A reply with its braces filled in; recipient may be NULL. In the transaction's arena. */
struct slice session_say(struct session *session, const char *text, const struct recipient *recipient);
/* One recipient has heard its last word in this conversation. */
void session_count(struct session *session, enum fate fate, int code, struct slice address);
void session_answer(struct session *session, struct slice reply);
void session_accept(struct session *session);
/* Refuse one recipient (`only`), or all there are, in the words of this fate; counts them. */
void session_refuse(struct session *session, const char *text, enum fate fate, const struct recipient *only);
/* End the transaction. */
void session_forget(struct session *session);
/* The text of this fate here, when it is told at this stage; else NULL. */
const char *session_text(const struct session *session, enum fate fate, enum stage stage, uint64_t pick);
/* Does everybody at this site meet this fate? */
bool site_is(const struct site *site, enum fate fate);

/* --- session_mail.c --- */
/* The mail is there: answers now, or when DKIM, SPF and DMARC are checked. */
void session_on_message(struct session *session);

#endif
