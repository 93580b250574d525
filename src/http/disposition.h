/* disposition.h - Content-Disposition of a download (RFC 6266, RFC 8187): any name, never a header of its own making
 */
#ifndef TODOKE_HTTP_DISPOSITION_H
#define TODOKE_HTTP_DISPOSITION_H

#include "base/buf.h"

/* Append `attachment; filename="..."`, and `; filename*=UTF-8''...` where the name is more than plain ASCII. Of the
 * first every octet that is not a letter, digit, space or one of -_.()[]+=@ is an underscore, one for each
 * character. */
void http_disposition(struct slice name, struct buf *out);

#endif
