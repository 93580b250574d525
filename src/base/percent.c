#include "base/percent.h"

bool percent_decode(struct slice text, bool plus_is_space, char *to, size_t *len)
{
    size_t out = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '%') {
            int byte = percent_digits(text, i + 1);
            if (byte < 0)
                return false;
            c = (char)byte;
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        if (c == '\0')
            return false;
        to[out++] = c;
    }
    *len = out;
    return true;
}

size_t percent_decode_loose(struct slice text, char *to)
{
    size_t out = 0;
    for (size_t i = 0; i < text.len; i++) {
        int byte = text.ptr[i] == '%' ? percent_digits(text, i + 1) : -1;
        to[out++] = byte < 0 ? text.ptr[i] : (char)byte;
        i += byte < 0 ? 0 : 2;
    }
    return out;
}

void percent_byte(struct buf *out, char byte)
{
    static const char digits[] = "0123456789ABCDEF";
    unsigned char c = (unsigned char)byte;
    const char three[3] = {'%', digits[c >> 4], digits[c & 15]};
    buf_append(out, slice_of(three, sizeof(three)));
}

void percent_encode(struct buf *out, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (ascii_is_alnum(c) || (c && strchr("-._~", c)))
            buf_byte(out, c);
        else
            percent_byte(out, c);
    }
}
