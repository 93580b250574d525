/* reply_reader.h - put one reply together from received bytes in any split (RFC 5321 4.2.1)
 *
 * Lines may end in CRLF or LF. When lines of one reply disagree about the code, the last line's counts. Control
 * characters in the text become '?'. Bounds: see smtp/client.h. */
#ifndef TODOKE_SMTP_REPLY_READER_H
#define TODOKE_SMTP_REPLY_READER_H

#include "base/buf.h"
#include "mail/reply.h"
#include "smtp/capability.h"

struct reply_reader {
    struct buf line; /* the front of a line whose end has not come yet */
    struct buf text;
    int code;
    uint16_t status[3];
    bool is_done;      /* the reply was given; the next byte begins another */
    size_t size;       /* octets of this reply so far */
    unsigned lines;    /* complete lines of it so far */
    const char *wrong; /* after REPLY_BROKEN: what */
};

void reply_reader_init(struct reply_reader *reader);
void reply_reader_release(struct reply_reader *reader);

enum reply_found { REPLY_MORE, REPLY_WHOLE, REPLY_BROKEN };

/* Cut the next reply off the front of *received. `can` not NULL: the lines behind the first are capabilities. The
 * reply's text is valid until the next call. BROKEN: no SMTP; nothing further can be read. */
enum reply_found reply_read(struct reply_reader *reader, struct slice *received, struct smtp_capabilities *can,
                            struct reply *reply);

#endif
