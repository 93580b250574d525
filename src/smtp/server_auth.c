/* server_auth.c - AUTH PLAIN, LOGIN and SCRAM-SHA-256 (RFC 4954, 4616, 7677)
 *
 *     AUTH mechanism [initial] --> lines of the client, one step each --> the AUTH question --> 235 or the owner's no
 *     SCRAM: client-first --> the SCRAM question (whose keys?) --> our challenge --> client-final --> the AUTH question
 *            --> our proof, as one more challenge --> an empty line --> 235 */
#include "base/base64.h"
#include "base/random.h"
#include "smtp/server_state.h"

void server_auth_wipe(struct smtp_server *server)
{
    struct buf *bufs[] = {&server->user, &server->secret};
    for (size_t i = 0; i < COUNT_OF(bufs); i++) {
        if (bufs[i]->room)
            explicit_bzero(bufs[i]->ptr, bufs[i]->room);
        buf_release(bufs[i]);
        buf_reset(bufs[i]);
    }
    if (server->line.room) /* the coded password went through here */
        explicit_bzero(server->line.ptr, server->line.room);
    if (server->scram) {
        scram_release(server->scram);
        free(server->scram);
        server->scram = NULL;
    }
}

/* It ends here, without a question. */
static void auth_refuse(struct smtp_server *server, const char *reply)
{
    server->state = SERVER_COMMAND;
    server_auth_wipe(server);
    server_refuse(server, reply);
}

static void challenge_say(struct smtp_server *server, struct slice text)
{
    server->state = SERVER_AUTH;
    buf_text(&server->out, "334 ");
    base64_encode(&server->out, text);
    buf_text(&server->out, "\r\n");
}

static void auth_ask(struct smtp_server *server, struct slice identity, struct slice user, struct slice password)
{
    server->state = SERVER_COMMAND;
    if (user.len == 0) {
        auth_refuse(server, "501 5.5.2 a name is missing");
        return;
    }
    server_ask(server, SMTP_SERVER_AUTH);
    server->question.name = server->auth_name;
    server->question.identity = identity;
    server->question.user = user;
    server->question.password = password;
}

static void plain_take(struct smtp_server *server, struct slice given)
{
    struct slice identity, user;
    if (!slice_split(&given, '\0', &identity) || !slice_split(&given, '\0', &user) || !given.ptr)
        auth_refuse(server, "501 5.5.2 this is not what PLAIN wants");
    else
        auth_ask(server, identity, user, given);
}

/* ---- SCRAM ---- */

static void scram_first_take(struct smtp_server *server, struct slice given)
{
    server->scram = NEW(struct scram);
    scram_init(server->scram);
    if (!scram_client_first(server->scram, given)) {
        auth_refuse(server, "501 5.5.2 this is not how SCRAM begins");
        return;
    }
    server->state = SERVER_COMMAND;
    server_ask(server, SMTP_SERVER_SCRAM);
    server->question.name = server->auth_name;
    server->question.identity = buf_slice(&server->scram->identity);
    server->question.user = buf_slice(&server->scram->name);
}

void smtp_server_scram(struct smtp_server *server, const struct scram_keys *keys, bool is_known)
{
    if (!server->is_asking || server->question.what != SMTP_SERVER_SCRAM)
        return;
    unsigned char chance[18];
    SCOPED(buf) nonce = BUF(64);
    SCOPED(buf) text = BUF(4096);
    random_bytes(chance, sizeof(chance));
    base64_encode(&nonce, slice_of(chance, sizeof(chance)));
    scram_server_first(server->scram, keys, is_known, buf_slice(&nonce), &text);
    server->is_asking = server->owes_question = false;
    server->auth_step = AUTH_SCRAM_FINAL;
    challenge_say(server, buf_slice(&text));
}

static void scram_final_take(struct smtp_server *server, struct slice given)
{
    bool is_proven;
    if (!scram_client_final(server->scram, given, &is_proven)) {
        auth_refuse(server, "501 5.5.2 this is not how SCRAM goes on");
        return;
    }
    auth_ask(server, buf_slice(&server->scram->identity), buf_slice(&server->scram->name), slice_of(NULL, 0));
    server->question.is_proven = is_proven;
}

bool server_auth_accepted(struct smtp_server *server)
{
    if (!server->scram)
        return false;
    if (server->question.is_proven) {
        SCOPED(buf) text = BUF(256);
        scram_server_final(server->scram, &text);
        server->auth_step = AUTH_SCRAM_END;
        challenge_say(server, buf_slice(&text));
    } else { /* whatever the owner thinks */
        auth_refuse(server, "535 5.7.8 name or key is wrong");
    }
    return true;
}

static void scram_end_take(struct smtp_server *server, struct slice given)
{
    if (given.len) {
        auth_refuse(server, "501 5.5.2 nothing more is wanted");
        return;
    }
    server->state = SERVER_COMMAND;
    server->is_authenticated = true;
    server_auth_wipe(server);
    server_say(server, "235 2.7.0 welcome");
}

/* ---- lines ---- */

/* One base64 answer of the client, "=" for an empty one. */
static void auth_take(struct smtp_server *server, struct slice text)
{
    struct buf *into = server->auth_step == AUTH_LOGIN_USER ? &server->user : &server->secret;
    buf_reset(into);
    if (!slice_equal(text, SLICE("=")) && (!base64_decode(into, text) || !buf_ok(into))) {
        auth_refuse(server, "501 5.5.2 this is not base64");
        return;
    }
    struct slice given = buf_slice(into);
    switch (server->auth_step) {
    case AUTH_PLAIN: plain_take(server, given); return;
    case AUTH_LOGIN_USER:
        server->auth_step = AUTH_LOGIN_PASSWORD;
        server->state = SERVER_AUTH;
        server_say(server, "334 UGFzc3dvcmQ6");
        return;
    case AUTH_LOGIN_PASSWORD: auth_ask(server, slice_of(NULL, 0), buf_slice(&server->user), given); return;
    case AUTH_SCRAM_FIRST: scram_first_take(server, given); return;
    case AUTH_SCRAM_FINAL: scram_final_take(server, given); return;
    case AUTH_SCRAM_END: scram_end_take(server, given); return;
    }
}

static const struct mechanism {
    struct slice name;
    enum auth_step first;
    const char *challenge;
} mechanisms[] = {
    {SLICE_INIT("PLAIN"), AUTH_PLAIN, "334 "},
    {SLICE_INIT("LOGIN"), AUTH_LOGIN_USER, "334 VXNlcm5hbWU6"},
    {SLICE_INIT("SCRAM-SHA-256"), AUTH_SCRAM_FIRST, "334 "},
};

void server_auth(struct smtp_server *server, struct slice args)
{
    struct slice name = {0}, initial = args;
    slice_split(&initial, ' ', &name);
    const struct mechanism *mechanism = NULL;
    for (size_t i = 0; i < COUNT_OF(mechanisms); i++)
        if (slice_equal_caseless(name, mechanisms[i].name) &&
            (mechanisms[i].first != AUTH_SCRAM_FIRST || server->is.has_scram))
            mechanism = &mechanisms[i];
    const char *refusal = NULL;
    if (!server->is.has_auth)
        refusal = "502 5.5.1 AUTH is not offered";
    else if (!server->has_helo || !server->is_esmtp)
        refusal = "503 5.5.1 say EHLO first";
    else if (!server->has_tls && !server->is.may_auth_clear)
        refusal = "538 5.7.11 not without TLS";
    else if (server->is_authenticated || server->has_mail)
        refusal = "503 5.5.1 not now";
    else if (!mechanism)
        refusal = "504 5.5.4 this mechanism is not offered";
    if (refusal) {
        server_refuse(server, refusal);
        return;
    }
    server->auth_name = mechanism->name;
    server->auth_step = mechanism->first;
    if (initial.len) {
        auth_take(server, initial);
    } else {
        server->state = SERVER_AUTH;
        server_say(server, mechanism->challenge);
    }
}

void server_auth_line(struct smtp_server *server, struct slice line)
{
    if (slice_equal(line, SLICE("*")))
        auth_refuse(server, "501 5.7.0 cancelled");
    else
        auth_take(server, line);
}
