/* csv_inside.h - encodings, for csv.c only */
#ifndef TODOKE_AUDIENCE_CSV_INSIDE_H
#define TODOKE_AUDIENCE_CSV_INSIDE_H

#include "audience/csv.h"
#include "base/buf.h"

/* The encoding that people call so, in any case ("Shift_JIS": cp932). False: none. */
NODISCARD bool csv_encoding_of(struct slice word, struct slice *encoding);
const char *csv_iconv_name(struct slice encoding);
/* ISO-2022-JP is EUC-JP with escapes instead of high bits: append it so. At most twice as long. */
void csv_unescape_jis(struct slice bytes, struct buf *out);

#endif
