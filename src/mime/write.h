/* write.h - headers, parts and whole mails, written (RFC 5322, 2045-2049, 2047, 2231)
 *
 * Header injection is impossible by construction (X3, M26): every value passes through one gate that turns CR, LF, NUL
 * and other controls into a space; only this file writes line ends. Lines fold at 78 where there is white space to fold
 * at and never exceed 998 (M3, S46): what has no white space is encoded (text) or refused (tokens: false, nothing is
 * written). Names of headers and parameters are ours, never strangers'. */
#ifndef TODOKE_MIME_WRITE_H
#define TODOKE_MIME_WRITE_H

#include "base/fault.h"
#include "base/time.h"
#include "mime/encode.h"

/* "Name: text". ASCII stays as it is, folded; anything else (also text that looks like an encoded-word, or a word too
 * long to fold) becomes encoded-words. For Subject and kin. */
void header_text(struct buf *out, struct slice name, struct slice value);

/* "Name: token token" for values that are syntax, not text: ids, URIs in brackets, parameters. Folded at spaces. False
 * and nothing written: not printable ASCII, or a token that would make a line longer than 998. */
NODISCARD bool header_tokens(struct buf *out, struct slice name, struct slice value);

/* "Name: Display Name <address>"; the name quoted or encoded as it needs, left out when empty. The address must be
 * ASCII or UTF-8 (RFC 6532) without controls, spaces outside quotes, or brackets: else false and nothing written. */
NODISCARD bool header_mailbox(struct buf *out, struct slice name, struct slice display, struct slice address);

/* "Date: Sun, 22 Nov 2026 22:30:00 +0900". */
void header_date(struct buf *out, struct slice name, time_ms at, int offset_minutes);

/* The value of a parameter with its name, after "; " and a fold where needed: name=token, name="quoted", or RFC 2231
 * name*=UTF-8''... in continuations (name*0*=...) when it is long. Gives the new column. */
size_t header_parameter(struct buf *out, struct slice name, struct slice value, size_t column);

/* A boundary from an id and the part's place in the tree: the same for the same input, at most 40 characters, and
 * impossible inside quoted-printable or base64 ("=_"). 7bit bodies are checked by part_write. */
void boundary_make(struct buf *out, uint64_t id, unsigned place);

enum part_kind {
    PART_TEXT,      /* text of any subtype, given as UTF-8 */
    PART_FILE,      /* bytes: attachment, or inline when it has a content id */
    PART_MESSAGE,   /* message/rfc822, message/delivery-status ...: 7bit as it is; what is not 7bit clean is refused */
    PART_MULTIPART, /* children */
};

/* One node of a mail to be written. Zeroed fields are left out. */
struct part {
    enum part_kind kind;
    struct slice type;       /* "text/plain", "image/png", "multipart/report" ... ours, ASCII */
    struct slice parameters; /* further parameters, ASCII, ready: "report-type=delivery-status" */
    struct slice content;
    struct slice filename;   /* UTF-8 */
    struct slice content_id; /* without brackets: shown inline */
    const struct part *children;
    size_t child_count;
};

/* Content-* headers, empty line and body of the part, boundaries derived from `id`. INPUT: a PART_MESSAGE that is not
 * 7bit clean, more than 32 levels. */
NODISCARD bool part_write(struct buf *out, const struct part *part, uint64_t id, struct fault *why);

/* A mail of our own making (notices, confirmations, DSNs): headers in good order, then the part. */
struct mail_draft {
    struct slice from_name, from_address;
    struct slice sender; /* address only; empty: none */
    struct slice to_name, to_address;
    struct slice reply_to; /* address only; empty: none */
    struct slice subject;
    struct slice message_domain; /* right side of the Message-ID */
    struct slice in_reply_to;    /* with brackets; also written as References */
    struct slice auto_submitted; /* "auto-generated", "auto-replied"; empty: none */
    time_ms date;
    int date_offset_minutes;
    uint64_t id; /* Message-ID and boundaries derive from it */
    const struct part *body;
};
NODISCARD bool mail_write(struct buf *out, const struct mail_draft *draft, struct fault *why);

#endif
