/* client.h - one conversation with one host, without sockets (RFC 5321 and its extensions)
 *
 * The machine is fed with received bytes and gives bytes to send and *events* to its owner, who has the socket, the TLS
 * and the clock. The owner's loop, whenever bytes arrived or something changed:
 *
 *     while (smtp_client_next(client, &received, &event))
 *         switch (event.what) ...                  (hand over messages, start TLS, release the dot ...)
 *     do {                                          (out: any buf with a ceiling of SMTP_CLIENT_OUT_MIN or more)
 *         has_more = smtp_client_write(client, &out);
 *         send all of out, empty it
 *     } while (has_more && the transport has room); (else come back when it has drained)
 *     unless smtp_client_step() is what it was: restart the timer with smtp_client_timeout_ms(), or with what is left
 *     of the span (smtp_client_span_ms()), if that is less
 *
 * For every message handed over there is exactly one RECIPIENT event for each recipient and then one MESSAGE event,
 * whatever happens (a lost connection too). The last event of a conversation is OVER, exactly once.
 *
 * Speed: with PIPELINING one write carries MAIL, every RCPT and DATA; RSET rides along. A second message may be handed
 * over as soon as the dot of the first has been written (smtp_client_has_room): its MAIL, RCPT and DATA then travel
 * with that dot.
 *
 * The gate: the dot that ends a message is written only after smtp_client_release_dot(), which the owner calls when the
 * delivery is durably marked "on wire". It may be called any time after smtp_client_send(). A message none of whose
 * recipients was accepted needs no mark: its lonely dot (R24) is written without asking. A short body may wait for its
 * dot (is_held_whole): one system call less, and a mail that must not go leaves nothing behind at the host.
 *
 * Bounds: a reply of more than SMTP_REPLY_MAX octets or SMTP_REPLY_LINES lines ends the conversation; of its text the
 * first SMTP_REPLY_TEXT_MAX octets are kept. No clock inside: timeouts are the owner's, per reply and not per byte, and
 * for a whole span: all that comes before READY, and each message until its dot (R26). */
#ifndef TODOKE_SMTP_CLIENT_H
#define TODOKE_SMTP_CLIENT_H

#include "base/buf.h"
#include "base/time.h"
#include "mail/reply.h"
#include "mail/verdict.h"
#include "smtp/capability.h"

enum {
    SMTP_CLIENT_OUT_MIN = 8192,      /* least ceiling of the buf for smtp_client_write */
    SMTP_CLIENT_CHUNK = 65536,       /* most body bytes that one smtp_client_write appends, whatever the ceiling */
    SMTP_REPLY_MAX = 65536,          /* octets of one reply, all lines */
    SMTP_REPLY_LINES = 256,          /* lines of one reply */
    SMTP_REPLY_TEXT_MAX = 4096,      /* octets of text kept of one reply */
    SMTP_CLIENT_RECIPIENTS = 1000,   /* most recipients of one message */
    SMTP_CLIENT_RATE_LEAST = 8192,   /* octets a second of a body: its span grows by a second for each so many */
    SMTP_CLIENT_RECIPIENT_MS = 10000 /* ... and by so much for each recipient */
};

enum smtp_tls_wish {
    SMTP_TLS_NEVER, /* do not ask for STARTTLS */
    SMTP_TLS_MAY,   /* use it when offered; a refusal of STARTTLS goes on in clear */
    SMTP_TLS_MUST,  /* not offered or refused: the conversation is over at stage STARTTLS */
};

/* All zero means the default of M5. */
struct smtp_client_timeouts {
    time_ms banner, ehlo, starttls, auth, mail, rcpt, data, block, dot, rset;
    time_ms opening, message; /* spans: until READY, 600 s; from MAIL to the dot, 900 s and by size and recipients */
};

struct smtp_client_settings {
    struct slice ehlo_name; /* our FQDN or address literal (M18) */
    enum smtp_tls_wish tls;
    bool is_tls_already;      /* the stream is TLS from the first byte (port 465): banner comes inside it */
    bool is_tls_verified;     /* ... and the peer's certificate was verified */
    bool may_auth_unverified; /* AUTH over TLS whose certificate nobody verified; never in clear (R31) */
    struct slice user,
        password; /* AUTH (SCRAM-SHA-256, PLAIN, LOGIN) when user is not empty; failing it is OVER at AUTH */
    struct slice scram_nonce; /* random, printable, no comma; with it SCRAM-SHA-256 is preferred where offered */
    bool no_pipelining;       /* talk in lock step even when PIPELINING is offered (site rule) */
    struct smtp_client_timeouts timeout; /* zeros: defaults */
};

/* What to send. Everything pointed to stays alive and unchanged until the MESSAGE event. Addresses are bare, in wire
 * form ("\"a..b\"@docomo.ne.jp"; empty mail_from for <>). The body is wire form (CRLF), in one or several slices; it is
 * dot-stuffed on the way out, gets a final CRLF when it lacks one, and a CR or LF that is not part of a CRLF leaves as
 * CRLF: no other CR or LF is ever sent (R2, M1). */
struct smtp_message {
    struct slice mail_from;
    const struct slice *recipients;
    size_t recipient_count; /* 1..SMTP_CLIENT_RECIPIENTS */
    const struct slice *body;
    size_t body_count;
    uint64_t size;       /* octets, for SIZE=; 0: the sum of the slices */
    bool needs_8bit;     /* the body has octets above 127 */
    bool needs_smtputf8; /* headers have them; addresses are looked at by the machine itself */
    bool is_held_whole;  /* nothing of the body goes before the dot is released: then one write carries both */
    void *owner;         /* given back in its events */
};

/* Whether this host can take this message (asked after READY). */
enum smtp_fit {
    SMTP_FITS,
    SMTP_FIT_TOO_BIG,     /* larger than the host's SIZE: 5.3.4 (M14) */
    SMTP_FIT_NO_8BITMIME, /* re-encode it and hand over again, or refuse with 5.6.3 (R10, M17) */
    SMTP_FIT_NO_SMTPUTF8, /* 5.6.7 (R11) */
    SMTP_FIT_BAD_ADDRESS, /* an address that cannot stand in a command (CR, LF, NUL, space, brackets, too long): 5.1.3
                           */
};

enum smtp_client_what {
    SMTP_CLIENT_GREETED,   /* 220; reply */
    SMTP_CLIENT_WANT_TLS,  /* upgrade the stream, then smtp_client_tls_done(). Write nothing in between */
    SMTP_CLIENT_READY,     /* capabilities are settled: hand over a message. Told once */
    SMTP_CLIENT_WANT_DOT,  /* 354 came, somebody accepted, and the dot was not released yet; message */
    SMTP_CLIENT_RECIPIENT, /* message, index, outcome, stage, reply */
    SMTP_CLIENT_MESSAGE,   /* every recipient has been told: the message's memory is free; message, has_room again */
    SMTP_CLIENT_OVER,      /* how, stage, reply: write what is left (QUIT), close; nothing follows */
};

enum smtp_outcome {
    SMTP_DELIVERED, /* 2xx to the dot */
    SMTP_REFUSED,   /* 4xx or 5xx of `reply` at `stage` */
    SMTP_AGAIN,  /* too many recipients (452, 552 5.5.3, LIMITS RCPTMAX): send in the next transaction at once (R20) */
    SMTP_UNSENT, /* the conversation ended before this was on the wire: nothing was decided, try elsewhere or later */
    SMTP_IN_DOUBT, /* it ended after the dot and before the reply (R22), or the reply made no sense */
};

enum smtp_over {
    SMTP_OVER_QUIT,     /* we said QUIT */
    SMTP_OVER_REPLY,    /* the peer ended it with `reply`: 421, or a refusal before READY */
    SMTP_OVER_PROTOCOL, /* the peer speaks no SMTP; reply.text says what was wrong, code 0 */
    SMTP_OVER_TLS,      /* TLS was needed or begun and did not come about; reply when the peer said so */
    SMTP_OVER_CLOSED,   /* smtp_client_closed(); reply.text is the owner's word for it, code 0; or how the host had
                           refused EHLO or STARTTLS (that stage, then), and it took nothing since */
};

struct smtp_client_event {
    enum smtp_client_what what;
    enum smtp_outcome outcome;
    enum smtp_over how;
    enum stage stage;
    struct reply reply; /* code 0: no reply, text says why. Valid until the next call of smtp_client_next */
    const struct smtp_message *message;
    size_t index; /* of the recipient */
};

struct smtp_client;

/* Settings are copied, their text too. */
struct smtp_client *smtp_client_new(const struct smtp_client_settings *settings);
void smtp_client_free(struct smtp_client *client);

/* Understand what was received: cuts it off the front of *received until there is something to tell. False: nothing to
 * tell, *received is used up. Call it also with nothing received after any other call here, until it is false. */
bool smtp_client_next(struct smtp_client *client, struct slice *received, struct smtp_client_event *event);

/* Append what may be sent now; it counts as sent. True: more is ready (a long body), call again. */
bool smtp_client_write(struct smtp_client *client, struct buf *out);

/* Answer to WANT_TLS. Bytes received in clear after the 220 end the conversation (X2). False for is_up: OVER_TLS. */
void smtp_client_tls_done(struct smtp_client *client, bool is_up, bool is_verified);

enum smtp_fit smtp_client_fits(const struct smtp_client *client, const struct smtp_message *message);
/* The local refusal that stands for it, as if the host had said it at MAIL (not for SMTP_FITS). */
struct reply smtp_fit_reply(enum smtp_fit fit);

/* READY was told, the conversation goes on, and a message may be handed over now. False also after MAILMAX of LIMITS:
 * quit then. */
bool smtp_client_has_room(const struct smtp_client *client);
/* Nothing handed over is unfinished. */
bool smtp_client_is_idle(const struct smtp_client *client);

/* Hand over a message (the struct is copied, what it points to is not). Anything but SMTP_FITS: not taken, no events.
 * Only when smtp_client_has_room(). */
NODISCARD enum smtp_fit smtp_client_send(struct smtp_client *client, const struct smtp_message *message);

/* The message handed over last is durably marked: its dot may go. */
void smtp_client_release_dot(struct smtp_client *client);
/* It may no longer: true, the dot had been released and was not written yet; it waits again. */
bool smtp_client_withhold_dot(struct smtp_client *client);

/* Say QUIT (at once when idle, else after the messages under way) and be over; nobody waits for 221 (R23). */
void smtp_client_quit(struct smtp_client *client);

/* The stream is gone: end of file, reset, timeout, or the owner gives up. `why` is a short text for the reply; copied.
 */
void smtp_client_closed(struct smtp_client *client, struct slice why);

/* Known after READY (of the TLS session if there is one). */
const struct smtp_capabilities *smtp_client_can(const struct smtp_client *client);
bool smtp_client_has_tls(const struct smtp_client *client);
/* STARTTLS was refused, the conversation goes on in clear (SMTP_TLS_MAY), and nothing was taken yet. */
bool smtp_client_misses_tls(const struct smtp_client *client);

/* What the conversation waits for, how long that may take in all, and a number that changes whenever one wait ends and
 * another begins. Timeout 0: it waits for its owner only (idle, TLS handshake, the gate). */
enum stage smtp_client_stage(const struct smtp_client *client);
time_ms smtp_client_timeout_ms(const struct smtp_client *client);
unsigned smtp_client_step(const struct smtp_client *client);
/* R26: how long the span under way may take in all, however many replies come in time, and a number that changes with
 * each span (then the step changes, too). 0: none is under way; or a dot is out, which has its own time only. */
time_ms smtp_client_span_ms(const struct smtp_client *client);
unsigned smtp_client_span(const struct smtp_client *client);

#endif
