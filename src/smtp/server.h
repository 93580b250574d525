/* server.h - one conversation with one client, without sockets: the receiving side (RFC 5321 and its extensions)
 *
 * The machine is fed with received bytes and gives reply bytes and *events*. An event that is_question waits for its
 * answer: smtp_server_accept() or smtp_server_answer(), at once or much later; until then smtp_server_next() is false
 * and takes nothing, so pipelined input stays where it is: with the owner, in his bounded read buffer. The owner's
 * loop, whenever bytes arrived, an answer is there, or output has drained:
 *
 *     while (smtp_server_next(server, &received, &event))
 *         ... answer now or remember to answer later ...
 *     (what is left in `received` must be given again, in front of what comes next; stop reading while there is any)
 *     smtp_server_write(server, &out); send out
 *
 * The first event is CONNECT: its answer is the greeting. The last is CLOSE: send what is left, close.
 *
 * Strict: DATA ends only at CRLF.CRLF (R1). A bare CR or LF in a message is refused (550 5.6.0) or, by setting, made
 * CRLF; never passed on (R2). Input before the greeting, or behind EHLO, STARTTLS, AUTH or DATA before their replies,
 * is refused and the connection closed (R4, M13, X2). Command lines end with CRLF. Replies carry enhanced status codes
 * (M21). Too many errors: 421. It never holds more than one command line and the replies not yet written.
 *
 * Misbehaviour for tests and the playground needs no extra door: answer any text at any question, late, in raw bytes,
 * or not at all, and close or reset the stream. */
#ifndef TODOKE_SMTP_SERVER_H
#define TODOKE_SMTP_SERVER_H

#include "base/buf.h"
#include "base/time.h"
#include "smtp/path.h"
#include "smtp/scram.h"

enum smtp_bare_eol {
    SMTP_BARE_REFUSE,    /* 550 5.6.0 after the message has been read to its true end */
    SMTP_BARE_NORMALISE, /* each bare CR or LF reaches the owner as CRLF; it still ends nothing */
};

/* Zeros are the defaults named behind each line. */
struct smtp_server_settings {
    struct slice host_name;  /* in greeting and replies; needed */
    uint64_t size_max;       /* octets of a message; 0: 50 MiB */
    unsigned recipients_max; /* of one message, then 452 4.5.3; 0: 100 */
    unsigned errors_max;     /* refused commands (syntax, sequence, recipients) of a session, then 421; 0: 20 */
    unsigned messages_max;   /* messages of one session, then 421 4.7.0 at MAIL; 0: no limit */
    size_t text_line_max;    /* octets of a message line without CRLF: longer ones refuse the message; 0: no limit */
    enum smtp_bare_eol bare_eol;
    bool has_tls;        /* offer STARTTLS while not in TLS */
    bool is_tls_already; /* the stream is TLS from the first byte */
    bool needs_tls;      /* 530 5.7.0 to MAIL and AUTH before TLS */
    bool has_auth;       /* offer AUTH PLAIN LOGIN, in TLS only */
    bool has_scram;      /* and SCRAM-SHA-256; the owner knows SCRAM keys */
    bool may_auth_clear; /* ... or without TLS too (playground) */
    bool needs_auth;     /* 530 5.7.0 to MAIL before AUTH */
    bool is_lenient;     /* strangers' mail must arrive: MAIL FROM: <a@b>, odd EHLO names, dots where none may be */
    bool no_pipelining, no_8bitmime, no_smtputf8, no_chunking, no_size, no_dsn, no_status_codes; /* what not to offer */
    bool no_ehlo;                           /* EHLO is 502: HELO only */
    time_ms command_timeout, block_timeout; /* 0: 300 s, 180 s */
};

enum smtp_server_what {
    SMTP_SERVER_CONNECT,   /* question: accept is "220 host ESMTP"; a 4xx or 5xx answer closes */
    SMTP_SERVER_EHLO,      /* question: name, is_esmtp. Accept gives the list of capabilities */
    SMTP_SERVER_STARTTLS,  /* question: accept is 220. Then TLS_BEGIN */
    SMTP_SERVER_TLS_BEGIN, /* write the output, upgrade the stream, smtp_server_tls_done(). Give no clear bytes after it
                            */
    SMTP_SERVER_SCRAM,     /* question: user, identity. Answered by smtp_server_scram, or refused */
    SMTP_SERVER_AUTH,      /* question: user, password, identity, mechanism; SCRAM: is_proven instead of a password.
                              Accept is 235; wipe what you copy */
    SMTP_SERVER_MAIL,      /* question: path, params */
    SMTP_SERVER_RCPT,      /* question: path, params */
    SMTP_SERVER_DATA,      /* question: accept is 354 (DATA) or silent (BDAT). There is at least one recipient */
    SMTP_SERVER_BODY,      /* bytes: the next of the message, dots removed; valid until the next call */
    SMTP_SERVER_MESSAGE,   /* question, the end of the message: answer after the durable commit (R6, M7) */
    SMTP_SERVER_RESET,     /* forget the transaction (RSET, EHLO, STARTTLS, a message refused by the machine: code) */
    SMTP_SERVER_CLOSE,     /* send what is left, close. Said once, then nothing */
};

enum smtp_body_type { SMTP_BODY_UNSAID, SMTP_BODY_7BIT, SMTP_BODY_8BITMIME };
enum smtp_notify { SMTP_NOTIFY_NEVER = 1, SMTP_NOTIFY_SUCCESS = 2, SMTP_NOTIFY_FAILURE = 4, SMTP_NOTIFY_DELAY = 8 };

/* ESMTP parameters; absent ones are zero or empty. xtext is not decoded. */
struct smtp_params {
    uint64_t size;
    enum smtp_body_type body;
    bool smtputf8;
    struct slice auth;          /* AUTH= (RFC 4954 5) */
    bool ret_full, ret_headers; /* RET= */
    struct slice envid, orcpt;
    unsigned notify; /* enum smtp_notify bits; 0: not said */
};

struct smtp_server_event {
    enum smtp_server_what what;
    bool is_question;
    bool is_esmtp;                /* EHLO, not HELO */
    bool is_chunked;              /* DATA: by BDAT */
    struct slice name;            /* EHLO: what the client calls itself; AUTH: the mechanism */
    struct slice identity;        /* AUTH PLAIN: to act for; usually empty */
    struct slice user, password;  /* AUTH; wiped after the answer */
    bool is_proven;               /* AUTH by SCRAM: the client has the key. Otherwise refuse */
    const struct smtp_path *path; /* MAIL, RCPT */
    const struct smtp_params *params;
    struct slice bytes; /* BODY */
    uint64_t size;      /* MESSAGE: octets given as BODY */
    int code;           /* RESET: what the machine answered, 0 when the client asked for it */
};

struct smtp_server;

struct smtp_server *smtp_server_new(const struct smtp_server_settings *settings); /* copied, host_name too */
void smtp_server_free(struct smtp_server *server);

/* Understand what was received: cuts it off the front of *received until there is something to tell. False: nothing to
 * tell; *received is used up unless a question is open, TLS is being made, output waits to be written, or it is over.
 * Event slices are valid until the next call of smtp_server_next or an answer. */
bool smtp_server_next(struct smtp_server *server, struct slice *received, struct smtp_server_event *event);

/* Answer the open question. accept: the machine's own positive reply. answer: "550 5.1.1 no such user", one or several
 * lines joined by CRLF, without the last CRLF; its first digit decides (2, 3: accepted), 421 closes. */
void smtp_server_accept(struct smtp_server *server);
void smtp_server_answer(struct smtp_server *server, struct slice reply);
/* Answer the SCRAM question. Nobody of that name: is_known false and keys made from the name and a secret, so that
 * nobody can tell. */
void smtp_server_scram(struct smtp_server *server, const struct scram_keys *keys, bool is_known);
bool smtp_server_is_asking(const struct smtp_server *server);

/* The stream is in TLS (or failed to be: then over). Everything known of the client is forgotten. */
void smtp_server_tls_done(struct smtp_server *server, bool is_up);

/* End it: `reply` (may be empty) is said, CLOSE follows. For timeouts: "421 4.4.2 ..." */
void smtp_server_close(struct smtp_server *server, struct slice reply);

/* Append the replies not written yet. */
void smtp_server_write(struct smtp_server *server, struct buf *out);
bool smtp_server_has_output(const struct smtp_server *server);

bool smtp_server_has_tls(const struct smtp_server *server);
/* By EHLO, not HELO. */
bool smtp_server_is_esmtp(const struct smtp_server *server);
bool smtp_server_is_authenticated(const struct smtp_server *server);
/* In a transaction: MAIL was accepted and nothing ended it yet. */
bool smtp_server_has_mail(const struct smtp_server *server);
/* The client is sending a message now, and has not come to its end. */
bool smtp_server_is_in_message(const struct smtp_server *server);
/* How long the client may be silent now; 0 while a question is open or TLS is being made. */
time_ms smtp_server_timeout_ms(const struct smtp_server *server);

#endif
