#include "http/disposition.h"

#include "base/percent.h"
#include "base/utf8.h"

static bool is_plain(int32_t c)
{
    return c < 0x80 && c > 0 && (ascii_is_alnum((char)c) || strchr(" -_.()[]+=@", (char)c));
}

/* attr-char of RFC 8187 */
static bool is_attribute(char c)
{
    return ascii_is_alnum(c) || (c && strchr("!#$&+-.^_`|~", c));
}

void http_disposition(struct slice name, struct buf *out)
{
    bool is_all_plain = true;
    buf_text(out, "attachment; filename=\"");
    struct slice rest = name;
    for (int32_t c; (c = utf8_next(&rest)) >= 0;) {
        buf_byte(out, is_plain(c) ? (char)c : '_');
        is_all_plain &= is_plain(c);
    }
    buf_byte(out, '"');
    if (is_all_plain)
        return;
    SCOPED(buf) whole = BUF(4 * name.len + 4);
    utf8_repair(&whole, name);
    buf_text(out, "; filename*=UTF-8''");
    for (size_t i = 0; i < whole.len; i++) {
        if (is_attribute(whole.ptr[i]))
            buf_byte(out, whole.ptr[i]);
        else
            percent_byte(out, whole.ptr[i]);
    }
}
