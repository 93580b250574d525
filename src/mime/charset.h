/* charset.h - any text as UTF-8, by glibc's iconv
 *
 * Labels lie: ISO-2022-JP called us-ascii, UTF-8 called iso-8859-1, Shift_JIS not called anything. So the bytes are
 * asked first: escape sequences, then whether they are UTF-8, then the label, then a guess between CP932 and EUC-JP.
 * Bytes that are nothing become U+FFFD. Linear in the text. */
#ifndef TODOKE_MIME_CHARSET_H
#define TODOKE_MIME_CHARSET_H

#include "base/arena.h"
#include "base/slice.h"
#include <iconv.h>

/* `label` as in a Content-Type or encoded word, may be empty. A slice of the text itself when that is UTF-8 already. */
struct slice charset_to_utf8(struct slice text, struct slice label, struct arena *arena);

/* glibc loads the module of a charset when it is opened and drops it when it is closed, which costs more than most
 * conversions. Who reads much mail keeps the common ones loaded: open once in the program, close at its end. */
struct charset_keeper;
struct charset_keeper *charset_keeper_new(void);
void charset_keeper_free(struct charset_keeper *keeper);

/* iconv_open, but want of memory, which glibc takes for a charset that it does not know, ends the program. */
iconv_t charset_converter(const char *to, const char *from);

/* The guess alone, for text without a label: "us-ascii", "utf-8", "iso-2022-jp", "cp932", "euc-jp" or "windows-1252".
 */
struct slice charset_guess(struct slice text);

#endif
