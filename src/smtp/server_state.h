/* server_state.h - what server.c, server_command.c and server_body.c share; nobody else includes it */
#ifndef TODOKE_SMTP_SERVER_STATE_H
#define TODOKE_SMTP_SERVER_STATE_H

#include "smtp/dots.h"
#include "smtp/server.h"

enum { SERVER_LINE_MAX = 12288 + 2, SERVER_OUT_MAX = 1 << 20, SERVER_OUT_FULL = 32768 };

enum server_state {
    SERVER_COMMAND, /* a command line comes next */
    SERVER_AUTH,    /* a line of the AUTH exchange comes next */
    SERVER_DATA,    /* the message, to CRLF.CRLF */
    SERVER_CHUNK,   /* chunk_left octets */
    SERVER_TLS,     /* the owner makes TLS */
    SERVER_CLOSED,
};

enum auth_step {
    AUTH_PLAIN,
    AUTH_LOGIN_USER,
    AUTH_LOGIN_PASSWORD,
    AUTH_SCRAM_FIRST,
    AUTH_SCRAM_FINAL,
    AUTH_SCRAM_END, /* proven both ways; the client says nothing more */
};

struct smtp_server {
    struct smtp_server_settings is;
    enum server_state state;

    /* The open question, and whether the owner has seen it. */
    bool is_asking, is_told;
    struct smtp_server_event question;
    /* Told in this order, before anything else. */
    bool owes_reset, owes_question, owes_tls, owes_close;
    int reset_code;

    /* The session. */
    bool has_helo, is_esmtp, has_tls, is_authenticated;
    unsigned errors, messages;

    /* The transaction. */
    bool has_mail, has_smtputf8, is_chunking;
    unsigned recipients;
    struct dot_reader dots;
    uint64_t size;
    const char *body_refusal; /* the message is bad: read to its end, then say this */
    uint64_t chunk_left, chunk_size;
    bool chunk_is_last, chunk_is_dropped;
    struct buf chunk_refusal; /* what to say at the end of a dropped chunk */

    struct buf line; /* the front of a line whose end has not come yet */
    bool line_is_skipped;
    size_t skipped;
    struct buf out;
    struct smtp_path path;
    struct smtp_params params;
    enum auth_step auth_step;
    struct slice auth_name;  /* the mechanism */
    struct scram *scram;     /* NULL: no such exchange under way */
    struct buf user, secret; /* decoded credentials; wiped */
};

/* Put a reply (without its CRLF) into the output. */
void server_say(struct smtp_server *server, const char *reply);
/* Refuse a command: say it, count it, and end the session when there were too many. */
void server_refuse(struct smtp_server *server, const char *reply);
void server_ask(struct smtp_server *server, enum smtp_server_what what);
/* Input where none may be: 554 and close. True when there was some. */
bool server_refuse_early(struct smtp_server *server, struct slice received);
void server_finish(struct smtp_server *server);
/* Forget the transaction; the owner is told when he knew of one. */
void server_reset(struct smtp_server *server, int code);

void server_command(struct smtp_server *server, struct slice line);
void server_auth(struct smtp_server *server, struct slice args);
/* The owner accepts. True: it was SCRAM, which has more to say before 235. */
bool server_auth_accepted(struct smtp_server *server);
void server_auth_line(struct smtp_server *server, struct slice line);
void server_auth_wipe(struct smtp_server *server);

/* Read on in the message: true with a BODY event; false: needs more, or something was said or asked. */
bool server_body(struct smtp_server *server, struct slice *received, struct smtp_server_event *event);
/* DATA or BDAT was answered. */
void server_body_begin(struct smtp_server *server, bool is_accepted);
/* The chunk of a BDAT that nobody wants: read past it, then say the refusal. */
void server_chunk_drop(struct smtp_server *server, struct slice refusal);

#endif
