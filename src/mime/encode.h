/* encode.h - bytes into what mail can carry: transfer encodings (RFC 2045 6), encoded-words (RFC 2047), line ends
 *
 * Everything here appends to a buf and cannot fail otherwise than by the buf's ceiling (buf_ok). Output is ASCII, its
 * line ends are CRLF. Text that is not UTF-8 is repaired (U+FFFD) where a charset is declared by us. */
#ifndef TODOKE_MIME_ENCODE_H
#define TODOKE_MIME_ENCODE_H

#include "base/buf.h"

enum transfer { TRANSFER_7BIT, TRANSFER_QUOTED_PRINTABLE, TRANSFER_BASE64 };

enum {
    LINE_MAX_OCTETS = 998,     /* a line without its CRLF (RFC 5322 2.1.1) */
    LINE_FOLD_COLUMNS = 78,    /* where we like to fold a header */
    ENCODED_LINE_COLUMNS = 76, /* lines of base64 and quoted-printable, and of encoded-words */
    ENCODED_WORD_MAX = 75,     /* one encoded-word (RFC 2047 2) */
};

/* "7bit", "quoted-printable", "base64". */
struct slice transfer_word(enum transfer transfer);

/* The encoding for a text part: 7bit when it is ASCII with lines of at most 78 and no control bytes, else whichever of
 * quoted-printable and base64 is shorter. */
enum transfer transfer_choose(struct slice text);

/* Text with every line end (CRLF, LF, lone CR) written as CRLF and NULs left out. */
void text_crlf(struct buf *out, struct slice text);

/* Quoted-printable of a text whose line ends are CRLF already: they stay line ends; everything else that needs it is
 * =XX, also a space at a line's or the text's end, and what some hop might touch at a line's start ("." and "From ").
 * Lines are at most 76. `column` is where the line stands now; the new column is given back. */
size_t quoted_printable_encode(struct buf *out, struct slice text, size_t column);

/* The body of a text part in the chosen encoding; `text` may have any line ends; the result ends with CRLF unless the
 * text is empty. */
void text_encode(struct buf *out, struct slice text, enum transfer transfer);

/* `value` as encoded-words of UTF-8, B or Q whichever is shorter, folded: words of at most 75, lines of at most 76, no
 * character split. `column` is where the line stands now; the new column is given back. is_phrase restricts Q to what
 * a display name may hold (RFC 2047 5 (3)). CR, LF and NUL inside become spaces. */
size_t encoded_words(struct buf *out, struct slice value, size_t column, bool is_phrase);

#endif
