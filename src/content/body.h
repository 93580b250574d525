/* body.h - one text part of a mail, its static stretches encoded beforehand
 *
 * A template's own texts are the same for every recipient, so their quoted-printable or base64 form is made once, at
 * compile time; a rendering copies it and encodes only what is put in between.
 *
 * Quoted-printable: a stretch is encoded from column 0; where the line stands elsewhere, a soft line break goes first.
 * Base64: a stretch is encoded three times, without its first 0, 1 or 2 octets, which complete the group that the text
 * before it left open. A wrapped body (plain text) wraps line by line: of a stretch only the first and the last line
 * can touch what is put in, so what is between is wrapped and encoded beforehand too.
 *
 * Output: lines of at most 76, CRLF only. Immutable once compiled; any thread may render it. */
#ifndef TODOKE_CONTENT_BODY_H
#define TODOKE_CONTENT_BODY_H

#include "content/liquid.h"
#include "mime/encode.h"

struct body;
/* Takes the template over. wrap_columns 0: not wrapped. */
struct body *body_new(struct liquid *liquid, size_t wrap_columns);
void body_free(struct body *body);
enum transfer body_transfer(const struct body *body);

/* Append the part's encoded body, ended by CRLF. line and scratch are the caller's, overwritten. */
NODISCARD bool body_render(const struct body *body, const struct liquid_context *context, struct buf *out,
                           struct buf *line, struct buf *scratch, struct fault *why);

#endif
