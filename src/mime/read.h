/* read.h - read a mail: one linear pass, slices into its bytes, nothing copied until asked
 *
 * RFC 5322, 2045, 2046, 2047, 2231, 6532. Lines may end in CRLF, LF or a lone CR (a mail that has no LF in its first
 * header line is read with CR). A mail read here keeps pointing into the caller's bytes; the tables are in the caller's
 * arena. Any bytes at all may be given: what is over a cap is "not parsed" (mail.over says which), never a crash, and
 * what was read until then is still there.
 *
 *     struct mime_mail mail;
 *     mime_read(bytes, &arena, &mail);
 *     struct slice subject = mime_text(mime_header(&mail, 0, SLICE("Subject")), &arena);
 *     for (unsigned i = 0; i < mail.part_count; i++) if (mime_is(&mail.parts[i], "text", "plain")) ...
 */
#ifndef TODOKE_MIME_READ_H
#define TODOKE_MIME_READ_H

#include "base/arena.h"
#include "base/slice.h"

enum {
    MIME_DEPTH_MAX = 32,            /* nested containers (M29) */
    MIME_PARTS_MAX = 1000,          /* in the whole mail */
    MIME_HEADERS_MAX = 1000,        /* in one header block */
    MIME_HEADER_BYTES_MAX = 262144, /* one header block */
    MIME_BOUNDARY_MAX = 255,        /* octets of one that count: RFC 2046 allows 70, up to 200 were seen */
    MIME_PARAMS_MAX = 64,           /* of one header, continuations included (M28) */
};

enum mime_over { MIME_WHOLE, MIME_OVER_DEPTH, MIME_OVER_PARTS, MIME_OVER_HEADERS };

enum mime_encoding { MIME_IDENTITY, MIME_QUOTED_PRINTABLE, MIME_BASE64, MIME_UNKNOWN_ENCODING };

/* One header field. The value is raw: folds and encoded words are still in it. */
struct mime_header {
    struct slice name;
    struct slice value; /* without the white space around it */
    uint32_t key;       /* length, first and last letter: most names differ here */
};

/* Parts stand in the order of the mail; part 0 is the whole mail. The children of part i are those parts after i and
 * before parts[i].end whose parent is i. A message/rfc822 or message/global part has one child: the message in it. */
struct mime_part {
    struct slice type, subtype; /* as written; text and plain when the header says nothing */
    struct slice charset;       /* as written, "" when not given */
    struct slice boundary;
    struct slice head; /* the header block's bytes */
    struct slice body; /* raw; of a container: everything in it */
    unsigned header_from, header_count;
    uint64_t seen;   /* which names its headers may have (private to read.c) */
    unsigned parent; /* of part 0: 0 */
    unsigned end;    /* index after the last part inside this one */
    unsigned depth;
    enum mime_encoding encoding;
    bool is_message; /* has the headers of a message: part 0 and children of message/rfc822 */
};

struct mime_mail {
    struct slice bytes;
    struct mime_header *headers; /* of all parts, one after another */
    struct mime_part *parts;
    unsigned header_count, part_count;
    enum mime_over over;
};

/* Reads always succeed; `mail->over` tells whether a cap cut it. A leading "From " line (mbox) is skipped. */
void mime_read(struct slice bytes, struct arena *arena, struct mime_mail *mail);

/* Only the first header block: part 0 with its headers and the rest as its body, no parts below. */
void mime_read_head(struct slice bytes, struct arena *arena, struct mime_mail *mail);

/* The raw value of the first field of that name in the part; NULL ptr when there is none. Names are caseless. */
struct slice mime_header(const struct mime_mail *mail, unsigned part, struct slice name);
/* The nth (from 0) field of that name. */
struct slice mime_header_nth(const struct mime_mail *mail, unsigned part, struct slice name, unsigned nth);

bool mime_is(const struct mime_part *part, const char *type, const char *subtype); /* caseless */

/* A parameter of a structured value ("text/plain; charset=utf-8"), unquoted, RFC 2231 pieces joined and decoded to
 * UTF-8. Empty when absent. Copies into the arena only when it must. */
struct slice mime_param(struct slice value, struct slice name, struct arena *arena);

/* An unstructured value for people: unfolded, encoded words (RFC 2047) decoded, UTF-8 whatever it was. A slice of the
 * value itself when there is nothing to do. */
struct slice mime_text(struct slice value, struct arena *arena);

/* All addresses of an address-list value, bare (a@b, quotes kept), groups and comments left out. At most `room`; gives
 * how many were written. An address is a slice of the value. */
size_t mime_addresses(struct slice value, struct slice *addresses, size_t room);

/* What stands in "<...>", or the whole trimmed value: Message-ID and kin. */
struct slice mime_angle(struct slice value);

/* The part's body with its transfer encoding undone, at most about `limit` bytes of it. A slice of the mail when there
 * is nothing to undo. */
struct slice mime_body(const struct mime_part *part, size_t limit, struct arena *arena);

/* The same as UTF-8 text: charset applied, mislabelled ones repaired (charset.h). */
struct slice mime_body_text(const struct mime_part *part, size_t limit, struct arena *arena);

#endif
