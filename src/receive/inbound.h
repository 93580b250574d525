/* inbound.h - receive/ asks upwards what to do with mail for us; app/ fills it in
 *
 * The mail is answered 250 only when inbound_done says that it is durably kept (R6, M7). */
#ifndef TODOKE_RECEIVE_INBOUND_H
#define TODOKE_RECEIVE_INBOUND_H

#include "mailauth/return_path.h"
#include "net/ip.h"

/* What an envelope recipient of ours is for. */
enum inbound_use {
    INBOUND_RETURN_PATH, /* b-<token>@: token and delivery_id say whether it is really ours */
    INBOUND_UNSUBSCRIBE, /* u-<token>@: likewise */
    INBOUND_MAILBOX,     /* a named one: postmaster, abuse ... */
};

struct inbound_recipient {
    struct slice address; /* bare, as written */
    enum inbound_use use;
    enum token_result token; /* TOKEN_NONE for INBOUND_MAILBOX */
    uint64_t delivery_id;    /* 0 unless TOKEN_GOOD or TOKEN_EXPIRED; nor of a return path that is shared */
};

/* One accepted mail. Made by receive/, the sink's from inbound.accept until it calls inbound_done. Immutable. */
struct inbound_mail {
    struct slice mail_from; /* bare, as written; empty for <> */
    const struct inbound_recipient *recipients;
    size_t recipient_count; /* 1 or more */
    struct slice helo;
    struct endpoint peer;
    bool is_tls;
    time_ms at;         /* wall clock, when the dot came */
    struct slice bytes; /* the mail, CRLF lines, with our Return-Path and Received lines in front */
    size_t trace_len;   /* octets of these lines: slice_from(bytes, trace_len) is what came over the wire */
};

struct inbound {
    void *self;
    /* Is this (lower-case) domain one whose mail comes here? On the loop's thread; must not block. */
    bool (*is_ours)(void *self, struct slice domain);
    /* Keep this mail, then call inbound_done, from any thread, exactly once. On the loop's thread; must not block. */
    void (*accept)(void *self, struct inbound_mail *mail);
};

/* The mail is durably kept (is_kept), or could not be: then the sender hears 452 4.3.1 and tries again. Gives the mail
 * back; it may be gone when this returns. */
void inbound_done(struct inbound_mail *mail, bool is_kept);

#endif
