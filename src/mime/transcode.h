/* transcode.h - an 8-bit mail as a 7-bit one (RFC 6152 3, RFC 2045 6)
 *
 * Leaf parts with octets above 127, NULs or lines over 998 octets become quoted-printable or base64, whichever is
 * shorter, and their Content-Transfer-Encoding says so; that of the multiparts around them becomes 7bit. Parts inside
 * message/rfc822 too. Everything else stays as it is, octet for octet. Headers are left alone. */
#ifndef TODOKE_MIME_TRANSCODE_H
#define TODOKE_MIME_TRANSCODE_H

#include "base/buf.h"

/* Append the mail (CRLF line ends) to `out`. False, and nothing appended: it cannot be done: more parts or depth than
 * we read, or a multipart/signed that would be broken. */
NODISCARD bool mime_to_7bit(struct slice mail, struct buf *out);

#endif
