/* percent.h - %XX: bytes of a URI that may not stand there as they are (RFC 3986 2.1), and what mail does likewise (RFC
 * 2231 4) */
#ifndef TODOKE_BASE_PERCENT_H
#define TODOKE_BASE_PERCENT_H

#include "base/buf.h"

/* The byte whose two hex digits, of either case, stand at text[at]; -1: there is none. For =XX and +XX, too. */
static inline int percent_digits(struct slice text, size_t at)
{
    if (text.len < 2 || at > text.len - 2)
        return -1;
    int high = ascii_hex_value(text.ptr[at]), low = high < 0 ? -1 : ascii_hex_value(text.ptr[at + 1]);
    return low < 0 ? -1 : high << 4 | low;
}

/* Strict; `plus_is_space` for form and query values. False: a broken escape, or NUL. `to` has room for text.len bytes.
 */
NODISCARD bool percent_decode(struct slice text, bool plus_is_space, char *to, size_t *len);
/* As mail needs it: what is no escape stays as it is. Gives how many bytes it wrote. */
size_t percent_decode_loose(struct slice text, char *to);

/* One byte as %XX, in capitals. */
void percent_byte(struct buf *out, char byte);
/* All but letters, digits and "-._~" so (RFC 3986 2.3): right in any place of any URI. */
void percent_encode(struct buf *out, struct slice text);

#endif
