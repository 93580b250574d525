#include "base/base64.h"

#include "base/percent.h"

static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static char *encode_groups(char *to, const unsigned char *from, size_t len, const char *alphabet, bool has_padding)
{
    for (; len >= 3; len -= 3, from += 3) {
        uint32_t group = (uint32_t)from[0] << 16 | (uint32_t)from[1] << 8 | from[2];
        *to++ = alphabet[group >> 18];
        *to++ = alphabet[group >> 12 & 63];
        *to++ = alphabet[group >> 6 & 63];
        *to++ = alphabet[group & 63];
    }
    if (len) {
        uint32_t group = (uint32_t)from[0] << 16 | (len == 2 ? (uint32_t)from[1] << 8 : 0);
        *to++ = alphabet[group >> 18];
        *to++ = alphabet[group >> 12 & 63];
        if (len == 2)
            *to++ = alphabet[group >> 6 & 63];
        else if (has_padding)
            *to++ = '=';
        if (has_padding)
            *to++ = '=';
    }
    return to;
}

static void encode(struct buf *out, struct slice bytes, const char *alphabet, bool has_padding)
{
    char *to = buf_reserve(out, (bytes.len + 2) / 3 * 4);
    if (to)
        buf_advance(
            out, (size_t)(encode_groups(to, (const unsigned char *)bytes.ptr, bytes.len, alphabet, has_padding) - to));
}

void base64_encode(struct buf *out, struct slice bytes)
{
    encode(out, bytes, standard, true);
}

void base64url_encode(struct buf *out, struct slice bytes)
{
    encode(out, bytes, url_safe, false);
}

void base64_encode_lines(struct buf *out, struct slice bytes)
{
    enum { LINE_BYTES = 57 };
    while (bytes.len) {
        struct slice line = slice_head(bytes, LINE_BYTES);
        encode(out, line, standard, true);
        buf_text(out, "\r\n");
        bytes = slice_from(bytes, line.len);
    }
}

static int value64(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

/* Collects groups of `bits` into bytes. */
struct bits {
    uint32_t held;
    int count;
};

static void bits_take(struct bits *bits, struct buf *out, int value, int width)
{
    bits->held = bits->held << width | (uint32_t)value;
    bits->count += width;
    if (bits->count >= 8) {
        bits->count -= 8;
        buf_byte(out, (char)(bits->held >> bits->count & 255));
    }
}

static bool bits_are_clean(const struct bits *bits, int width)
{
    return bits->count < width && (bits->held & ((1u << bits->count) - 1)) == 0;
}

bool base64_decode(struct buf *out, struct slice text)
{
    struct bits bits = {0};
    if (text.len % 4)
        return false;
    size_t padding = slice_ends(text, SLICE("==")) ? 2 : slice_ends(text, SLICE("=")) ? 1 : 0;
    for (size_t i = 0; i < text.len - padding; i++) {
        int value = value64(text.ptr[i]);
        if (value < 0 || text.ptr[i] == '-' || text.ptr[i] == '_')
            return false;
        bits_take(&bits, out, value, 6);
    }
    return bits_are_clean(&bits, 6);
}

void base64_decode_loose(struct buf *out, struct slice text)
{
    static signed char table[256];
    static bool is_filled;
    if (!__atomic_load_n(&is_filled, __ATOMIC_ACQUIRE)) { /* every thread writes the same values */
        for (int c = 0; c < 256; c++)
            __atomic_store_n(&table[c], c == '-' || c == '_' ? -1 : (signed char)value64((char)c), __ATOMIC_RELAXED);
        __atomic_store_n(&is_filled, true, __ATOMIC_RELEASE);
    }
    char *to = buf_reserve(out, text.len / 4 * 3 + 3);
    if (!to)
        return;
    char *start = to;
    uint32_t held = 0;
    int count = 0;
    for (size_t i = 0; i < text.len && text.ptr[i] != '='; i++) {
        int value = table[(unsigned char)text.ptr[i]];
        if (value < 0)
            continue;
        held = held << 6 | (uint32_t)value;
        count += 6;
        if (count >= 8) {
            count -= 8;
            *to++ = (char)(held >> count & 255);
        }
    }
    buf_advance(out, (size_t)(to - start));
}

bool base64url_decode(struct buf *out, struct slice text)
{
    struct bits bits = {0};
    for (size_t i = 0; i < text.len; i++) {
        int value = value64(text.ptr[i]);
        if (value < 0 || text.ptr[i] == '+' || text.ptr[i] == '/')
            return false;
        bits_take(&bits, out, value, 6);
    }
    return bits_are_clean(&bits, 6);
}

void base32_encode(struct buf *out, struct slice bytes)
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
    uint32_t held = 0;
    int count = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        held = held << 8 | (unsigned char)bytes.ptr[i];
        for (count += 8; count >= 5; count -= 5)
            buf_byte(out, alphabet[held >> (count - 5) & 31]);
    }
    if (count)
        buf_byte(out, alphabet[held << (5 - count) & 31]);
}

bool base32_decode(struct buf *out, struct slice text)
{
    struct bits bits = {0};
    for (size_t i = 0; i < text.len; i++) {
        char c = ascii_lower(text.ptr[i]);
        int value = c >= 'a' && c <= 'z' ? c - 'a' : c >= '2' && c <= '7' ? c - '2' + 26 : -1;
        if (value < 0)
            return false;
        bits_take(&bits, out, value, 5);
    }
    return bits_are_clean(&bits, 5);
}

void hex_encode(struct buf *out, struct slice bytes)
{
    static const char alphabet[] = "0123456789abcdef";
    for (size_t i = 0; i < bytes.len; i++) {
        buf_byte(out, alphabet[(unsigned char)bytes.ptr[i] >> 4]);
        buf_byte(out, alphabet[bytes.ptr[i] & 15]);
    }
}

bool hex_decode(struct buf *out, struct slice text)
{
    if (text.len % 2)
        return false;
    for (size_t i = 0; i < text.len; i += 2) {
        int byte = percent_digits(text, i);
        if (byte < 0)
            return false;
        buf_byte(out, (char)byte);
    }
    return true;
}
