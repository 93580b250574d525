/* client_state.h - what client.c, client_reply.c and client_write.c share; nobody else includes it */
#ifndef TODOKE_SMTP_CLIENT_STATE_H
#define TODOKE_SMTP_CLIENT_STATE_H

#include "base/arena.h"
#include "smtp/client.h"
#include "smtp/dots.h"
#include "smtp/reply_reader.h"
#include "smtp/scram_client.h"

enum client_phase {
    CLIENT_BANNER,
    CLIENT_EHLO,
    CLIENT_HELO,
    CLIENT_STARTTLS,
    CLIENT_TLS, /* the owner makes TLS */
    CLIENT_AUTH,
    CLIENT_READY,
    CLIENT_OVER,
};

enum recipient_state { RECIPIENT_OPEN, RECIPIENT_ACCEPTED, RECIPIENT_TOLD };

/* The steps of one transaction, in the order of the wire. asked and answered count steps: RSET is step 0 (begun at 1
 * when none is needed), MAIL 1, the RCPTs 2 .., then DATA, then the dot. */
enum { STEP_RSET = 0, STEP_MAIL = 1, STEP_RCPT = 2 };

struct transaction {
    struct smtp_message message;
    size_t asked, answered; /* steps written, steps whose reply was read */
    size_t rcpt_count;      /* recipients asked for: RCPTMAX may be less than the message's */
    size_t accepted;
    uint8_t *recipients; /* enum recipient_state; room for recipient_room */
    size_t recipient_room;
    bool mail_is_refused;
    bool has_go;      /* 354 */
    bool is_released; /* the dot may go */
    bool is_lonely;   /* 354 without recipients: only a dot (R24) */
    size_t body_at;   /* slice of the body being written */
    struct slice body_rest;
    bool body_is_begun, body_is_written;
    struct dot_writer dots;
};

static inline size_t step_data(const struct transaction *tx)
{
    return STEP_RCPT + tx->rcpt_count;
}
static inline size_t step_dot(const struct transaction *tx)
{
    return STEP_RCPT + tx->rcpt_count + 1;
}
static inline bool dot_is_written(const struct transaction *tx)
{
    return tx->asked > step_dot(tx);
}

/* What must be told to recipients before anything else happens. */
struct telling {
    bool is_on;
    bool ends_message; /* MESSAGE follows */
    enum smtp_outcome outcome;
    enum stage stage;
    struct reply reply;
    size_t next, to; /* recipients not told yet, in this range */
};

enum client_owes { OWES_NOTHING, OWES_GREETED, OWES_WANT_TLS, OWES_READY, OWES_WANT_DOT };

enum client_auth { AUTH_SCRAM, AUTH_PLAIN, AUTH_LOGIN };

struct smtp_client {
    struct smtp_client_settings is;
    struct arena arena; /* the settings' text */
    enum client_phase phase;
    bool owes_command; /* the command of this phase is not written yet */
    bool is_over_told;
    bool has_tls, tls_is_verified;
    bool wants_quit, owes_quit;
    bool tls_was_refused;
    unsigned auth_step; /* lines of the exchange answered so far */
    enum client_auth auth;
    bool auth_is_mutual; /* SCRAM: the server has proved that it knows the password */
    struct scram_client scram;
    struct buf auth_answer; /* SCRAM: what is to be said next, without base64 */
    unsigned step, span;
    struct smtp_capabilities can;
    struct reply_reader reader;

    struct transaction slots[2]; /* slots[first] is the one whose replies come next */
    unsigned first, count;
    bool needs_reset; /* the last transaction was left open: RSET leads the next */
    uint32_t messages;

    enum client_owes owes;
    struct reply owed_reply;
    struct telling telling;

    /* What was refused last of what the conversation could go on without, until it comes to more; code 0: nothing. */
    struct reply refusal;
    enum stage refused_at; /* EHLO, STARTTLS */
    struct buf refusal_text;

    enum smtp_over over_how;
    enum stage over_stage;
    struct reply over_reply;
    struct buf over_text;
};

static inline struct transaction *client_tx(struct smtp_client *client, unsigned n)
{
    return &client->slots[(client->first + n) & 1];
}

/* Take one whole reply. */
void client_take_reply(struct smtp_client *client, const struct reply *reply);
void client_over(struct smtp_client *client, enum smtp_over how, enum stage stage, const struct reply *reply);
void client_over_text(struct smtp_client *client, enum smtp_over how, enum stage stage, const char *text);
bool client_pipelines(const struct smtp_client *client);

#endif
