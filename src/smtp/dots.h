/* dots.h - a message between its own form and the form it has behind DATA (RFC 5321 4.5.2)
 *
 * Both directions work on whatever split of the bytes they are given and copy no more than they must: the writer copies
 * once, in runs; the reader gives slices of what it was given. Both know only CRLF as the end of a line. */
#ifndef TODOKE_SMTP_DOTS_H
#define TODOKE_SMTP_DOTS_H

#include "base/buf.h"

/* Zeroed: at the start of a message. */
struct dot_writer {
    bool is_midline;
    bool has_cr; /* the last byte taken was a CR; it leaves as CRLF with whatever comes next */
};

/* Append the body, dots doubled at line starts and every lone CR or LF made CRLF, until it is used up or `out` may be
 * full: at most half of what is left below out's ceiling, and of `at_most` octets, is taken. */
void dots_write(struct dot_writer *writer, struct slice *body, size_t at_most, struct buf *out);
/* Append the CRLF that the body lacked, if it did. What remains to be sent is ".\r\n". */
void dots_write_end(struct dot_writer *writer, struct buf *out);

enum dots_place { DOTS_LINE_START, DOTS_MIDLINE, DOTS_CR, DOTS_DOT, DOTS_DOT_CR, DOTS_OWES_CRLF };

/* Zeroed: at the start of a message. */
struct dot_reader {
    enum dots_place place;
    bool is_raw;         /* set it for BDAT: dots mean nothing, and there is no end */
    bool has_bare_eol;   /* a CR or LF that is no part of a CRLF was met; it was given as CRLF */
    size_t line_len;     /* octets of the line so far */
    size_t line_longest; /* without CRLF */
};

enum dots_found { DOTS_MORE, DOTS_BYTES, DOTS_END };

/* Cut the next piece of the message off the front of *received. BYTES: *bytes is some of it. END: CRLF.CRLF has been
 * met and cut off. MORE: *received is used up. */
enum dots_found dots_read(struct dot_reader *reader, struct slice *received, struct slice *bytes);
/* The message ends here (BDAT LAST): what was held back, if anything. */
struct slice dots_read_end(struct dot_reader *reader);

#endif
