/* reply.h - one SMTP reply as it was said (RFC 5321 4.2, RFC 2034) */
#ifndef TODOKE_MAIL_REPLY_H
#define TODOKE_MAIL_REPLY_H

#include "base/slice.h"

struct reply {
    int code;           /* 200..599; 0 when the peer said nothing readable */
    uint16_t status[3]; /* enhanced status x.y.z as numbers, y and z 0..999; 0.0.0 when absent */
    struct slice text;  /* all lines without code and status, joined by one space; owned by whoever made the reply */
};

/* Read a status "x.y.z" (x is 2, 4 or 5; y, z at most three digits) at the front of text; gives the rest. False: none
 * there. */
NODISCARD bool reply_status_parse(struct slice text, uint16_t status[3], struct slice *rest);

/* Take one or several reply lines as text ("550-5.1.1 a\r\n550 5.1.1 b", or "550 5.1.1 a" alone, or any text at all)
 * apart. The joined text is written to `joined` (ceiling = how much is kept; what is over is cut). Linear. */
struct buf;
void reply_parse(struct slice said, struct buf *joined, struct reply *reply);

/* Does it say that this connection has had its share, of mails, recipients or time, and nothing against anybody: "421
 * 4.7.0 Too many messages in this session", "452 4.5.3 Too many recipients", "421 4.4.2 timeout exceeded" (R25)? To be
 * asked of a refusal at MAIL or RCPT on a connection that mail has gone by: then there may be another one. */
bool reply_is_of_session(const struct reply *reply);

/* A 4yz whose words say that the next try may go otherwise: "virus scanner temporarily unavailable", "looks like spam,
 * please try again later". */
bool reply_asks_for_later(const struct reply *reply);

static inline bool reply_is_permanent(const struct reply *reply)
{
    return reply->code >= 500 && reply->code < 600;
}

#endif
