/* marks.h - where the words stand that decided, as the console counts: in UTF-16 code units */
#ifndef TODOKE_API_MARKS_H
#define TODOKE_API_MARKS_H

#include "base/json.h"

/* How many UTF-16 code units the first `bytes` bytes of text are (JavaScript's string offset). Offsets inside of a
 * character count that character; each byte that is no UTF-8 counts one, as json_text writes U+FFFD for it. */
size_t utf16_offset(struct slice text, size_t bytes);

/* "marks": [[from, to]], or [] where from and to (bytes of text) mark nothing. */
void json_put_marks(struct json *json, struct slice text, size_t from, size_t to);

#endif
