/* prepare.h - what a program hands us as a mail becomes what is stored: checked, completed, without what is only for us
 *
 * RFC 6409 8, RFC 5322 3.6. Linear in the mail; one copy of it.
 *
 * Refused: a bare CR or LF or a NUL (R2, M1); a line over 998 octets (R9, M3; or re-encoded, when asked); no From, or
 * more than one of what may occur once (M26); a header that is none; 50 Received fields or more (R9, M19).
 * Heeded and kept: TLS-Required: No (RFC 8689).
 * Added when lacking: Date, Message-ID, and the given trace in front. Taken out: Bcc, Return-Path, X-Todoke-*, and an
 * Authentication-Results that claims to be ours (M37).
 * Re-encoded: 8-bit parts, to quoted-printable or base64 (R10, M17: what is signed is what any host can take), but not
 * in a mail that is signed already; a Subject in raw UTF-8, to encoded-words (R11). */
#ifndef TODOKE_SUBMIT_PREPARE_H
#define TODOKE_SUBMIT_PREPARE_H

#include "base/arena.h"
#include "base/fault.h"
#include "base/time.h"

enum { PREPARE_HOPS_MAX = 50, PREPARE_SUBJECT_MAX = 500 /* octets that are kept for people */ };

struct prepare_options {
    uint64_t message_id; /* of the stored mail: its Message-ID derives from it when it brings none */
    time_ms now;
    int date_offset_minutes;
    struct slice trace;      /* "Received: ...\r\n", ready; may be empty */
    struct slice host_name;  /* ours; may be empty */
    bool encodes_long_lines; /* otherwise refused */
    bool keeps_8bit;         /* it goes only to hosts that offer 8BITMIME; otherwise re-encoded */
    bool takes_wishes;       /* X-Todoke-Tag, -Campaign, -Schedule, -Unsubscribe; otherwise only taken out */
};

/* Slices live in the arena. */
struct prepared {
    struct slice bytes;        /* the mail, without signature */
    struct slice from_address; /* bare, as written */
    struct slice from_domain;  /* lower-case A-label */
    struct slice message_id;   /* with brackets */
    struct slice subject;      /* for people: decoded, cut */
    unsigned flags;            /* enum message_flag (submit/message.h) */
    struct slice tags, label;  /* wishes */
    time_ms schedule;          /* 0: at once */
    const char *reply;         /* when it is refused: "554 5.6.0" */
};

/* INPUT: refused; why.text says it to the sender, prepared->reply is the code for it. */
NODISCARD bool message_prepare(struct slice mail, const struct prepare_options *options, struct arena *arena,
                               struct prepared *prepared, struct fault *why);

#endif
