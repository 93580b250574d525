#include "base/utf8.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* Length and value of the sequence at the front; 0 when it is not UTF-8. */
static size_t decode(struct slice s, uint32_t *code_point)
{
    const unsigned char *p = (const unsigned char *)s.ptr;
    if (p[0] < 0x80) {
        *code_point = p[0];
        return 1;
    }
    size_t len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (p[0] < 0xc2 || p[0] > 0xf4 || s.len < len)
        return 0;
    uint32_t value = p[0] & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (p[i] & 0x3f);
    }
    if (value < least[len] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
        return 0;
    *code_point = value;
    return len;
}

bool slice_is_ascii(struct slice s)
{
    size_t at = 0;
#ifdef __SSE2__
    for (; at + 32 <= s.len; at += 32) {
        __m128i one = _mm_loadu_si128((const __m128i *)(const void *)(s.ptr + at));
        __m128i two = _mm_loadu_si128((const __m128i *)(const void *)(s.ptr + at + 16));
        if (_mm_movemask_epi8(_mm_or_si128(one, two)))
            return false;
    }
#endif
    for (uint64_t word; at + 8 <= s.len; at += 8) {
        memcpy(&word, s.ptr + at, 8);
        if (word & 0x8080808080808080u)
            return false;
    }
    for (; at < s.len; at++)
        if (s.ptr[at] & 0x80)
            return false;
    return true;
}

bool utf8_is_valid(struct slice s)
{
    uint32_t ignored;
    while (s.len) {
        uint64_t eight;
        if (s.len >= sizeof(eight) && (memcpy(&eight, s.ptr, sizeof(eight)), !(eight & 0x8080808080808080u))) {
            s = slice_from(s, sizeof(eight)); /* all ASCII */
            continue;
        }
        size_t len = decode(s, &ignored);
        if (!len)
            return false;
        s = slice_from(s, len);
    }
    return true;
}

int32_t utf8_next(struct slice *rest)
{
    if (rest->len == 0)
        return -1;
    uint32_t code_point = UTF8_REPLACEMENT;
    size_t len = decode(*rest, &code_point);
    *rest = slice_from(*rest, len ? len : 1);
    return (int32_t)code_point;
}

void utf8_append(struct buf *out, uint32_t c)
{
    char bytes[4];
    size_t len;
    if (c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        c = UTF8_REPLACEMENT;
    if (c < 0x80) {
        bytes[0] = (char)c;
        len = 1;
    } else if (c < 0x800) {
        bytes[0] = (char)(0xc0 | c >> 6);
        bytes[1] = (char)(0x80 | (c & 63));
        len = 2;
    } else if (c < 0x10000) {
        bytes[0] = (char)(0xe0 | c >> 12);
        bytes[1] = (char)(0x80 | (c >> 6 & 63));
        bytes[2] = (char)(0x80 | (c & 63));
        len = 3;
    } else {
        bytes[0] = (char)(0xf0 | c >> 18);
        bytes[1] = (char)(0x80 | (c >> 12 & 63));
        bytes[2] = (char)(0x80 | (c >> 6 & 63));
        bytes[3] = (char)(0x80 | (c & 63));
        len = 4;
    }
    buf_append(out, slice_of(bytes, len));
}

void utf8_repair(struct buf *out, struct slice s)
{
    uint32_t ignored;
    while (s.len) {
        size_t good = 0, len;
        while (good < s.len && (len = decode(slice_from(s, good), &ignored)))
            good += len;
        buf_append(out, slice_head(s, good));
        s = slice_from(s, good);
        if (s.len) {
            utf8_append(out, UTF8_REPLACEMENT);
            s = slice_from(s, 1);
        }
    }
}

struct slice utf8_head(struct slice s, size_t limit)
{
    if (s.len <= limit)
        return s;
    while (limit && (s.ptr[limit] & 0xc0) == 0x80)
        limit--;
    return slice_head(s, limit);
}

size_t utf8_columns(struct slice s)
{
    size_t columns = 0;
    for (int32_t c; (c = utf8_next(&s)) >= 0;) {
        bool is_mark = (c >= 0x300 && c <= 0x36f) || c == 0x3099 || c == 0x309a || (c >= 0x200b && c <= 0x200f) ||
                       (c >= 0xfe00 && c <= 0xfe0f);
        bool is_wide = (c >= 0x1100 && c <= 0x115f) || (c >= 0x2e80 && c <= 0xa4cf) || (c >= 0xac00 && c <= 0xd7a3) ||
                       (c >= 0xf900 && c <= 0xfaff) || (c >= 0xfe30 && c <= 0xfe6f) || (c >= 0xff00 && c <= 0xff60) ||
                       (c >= 0xffe0 && c <= 0xffe6) || (c >= 0x1f300 && c <= 0x1faff) || (c >= 0x20000 && c <= 0x3fffd);
        columns += is_mark ? 0 : is_wide ? 2 : 1;
    }
    return columns;
}

bool utf8_is_line(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c < ' ' || c == 0x7f)
            return false;
        unsigned char next = i + 1 < s.len ? (unsigned char)s.ptr[i + 1] : 0;
        if (c == 0xc2 && next < 0xa0) /* U+0080 to U+009F; text is UTF-8 */
            return false;
        if (c == 0xe2 && next == 0x80 && i + 2 < s.len && ((unsigned char)s.ptr[i + 2] | 1) == 0xa9)
            return false; /* U+2028, U+2029 */
    }
    return true;
}

bool utf8_is_inert(int32_t c)
{
    bool is_control = c < ' ' || (c >= 0x7f && c <= 0x9f) || c == 0x2028 || c == 0x2029;
    return !is_control && !(c >= 0x202a && c <= 0x202e) && !(c >= 0x2066 && c <= 0x2069);
}

void utf8_append_inert(struct buf *out, struct slice s)
{
    for (int32_t c; (c = utf8_next(&s)) >= 0;)
        utf8_append(out, utf8_is_inert(c) ? (uint32_t)c : ' ');
}
