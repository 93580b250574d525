/* utf8.h - UTF-8 (RFC 3629): validate, walk, repair */
#ifndef TODOKE_BASE_UTF8_H
#define TODOKE_BASE_UTF8_H

#include "base/buf.h"

enum { UTF8_REPLACEMENT = 0xfffd };

bool utf8_is_valid(struct slice s);
bool slice_is_ascii(struct slice s);
/* One line of text: nothing that ends a line anywhere, no control character (U+0000 to U+001F, U+007F to U+009F,
 * U+2028, U+2029). What is no UTF-8 is not looked at. */
bool utf8_is_line(struct slice s);
/* Does it only show itself? Not: control characters (as above), and what turns the order of the letters around it
 * (U+202A to U+202E, U+2066 to U+2069). */
bool utf8_is_inert(int32_t code_point);
/* Append s, strangers' words in a line for people: a space for each that is not, U+FFFD for what is no UTF-8. */
void utf8_append_inert(struct buf *out, struct slice s);
/* Cut one code point off the front of *rest; UTF8_REPLACEMENT for each byte that is not UTF-8; -1 when nothing is left.
 */
int32_t utf8_next(struct slice *rest);
void utf8_append(struct buf *out, uint32_t code_point);
/* Append s with every invalid byte replaced by U+FFFD. */
void utf8_repair(struct buf *out, struct slice s);
/* At most `limit` bytes from the front, never cutting a code point. */
struct slice utf8_head(struct slice s, size_t limit);
/* Columns in a fixed-width terminal: wide East Asian characters count 2, combining marks 0. */
size_t utf8_columns(struct slice s);

#endif
