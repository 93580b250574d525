/* base64.h - base64 (RFC 4648 4), base64url without padding (5), base32 lower-case without padding (6), hex */
#ifndef TODOKE_BASE_BASE64_H
#define TODOKE_BASE_BASE64_H

#include "base/buf.h"

void base64_encode(struct buf *out, struct slice bytes);
/* Lines of 76 characters, each ended by CRLF (RFC 2045 6.8). */
void base64_encode_lines(struct buf *out, struct slice bytes);
/* Strict: the alphabet, padding, nothing else. False leaves what was decoded so far in out. */
NODISCARD bool base64_decode(struct buf *out, struct slice text);
/* As mail needs it: skips whatever is not in the alphabet and ends at padding or the end. Never fails. */
void base64_decode_loose(struct buf *out, struct slice text);

void base64url_encode(struct buf *out, struct slice bytes);
NODISCARD bool base64url_decode(struct buf *out, struct slice text);

void base32_encode(struct buf *out, struct slice bytes);
/* Any case. */
NODISCARD bool base32_decode(struct buf *out, struct slice text);

void hex_encode(struct buf *out, struct slice bytes);
NODISCARD bool hex_decode(struct buf *out, struct slice text);

#endif
