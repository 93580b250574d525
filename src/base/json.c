#include "base/json.h"

#include "base/utf8.h"
#include <assert.h>
#include <math.h>
#include <stdio.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

static void before_value(struct json *json)
{
    if (json->is_after_key) {
        json->is_after_key = false;
        return;
    }
    uint64_t bit = 1ull << json->depth;
    if (json->depth && (json->has_item & bit))
        buf_byte(json->out, ',');
    json->has_item |= bit;
}

static void open_container(struct json *json, bool is_object)
{
    before_value(json);
    assert(json->depth < 63);
    json->depth++;
    uint64_t bit = 1ull << json->depth;
    json->has_item &= ~bit;
    json->is_object = is_object ? json->is_object | bit : json->is_object & ~bit;
    buf_byte(json->out, is_object ? '{' : '[');
}

void json_object_begin(struct json *json)
{
    open_container(json, true);
}

void json_array_begin(struct json *json)
{
    open_container(json, false);
}

void json_end(struct json *json)
{
    assert(json->depth > 0);
    buf_byte(json->out, json->is_object >> json->depth & 1 ? '}' : ']');
    json->depth--;
}

static const bool needs_care[256] = {
    [0 ... 0x1f] = true,
    ['"'] = true,
    ['\\'] = true,
    [0x7f ... 0xff] = true,
};

/* How many bytes from the beginning stand for themselves. Sixteen at a time, then eight while none of eight can need
 * care (a byte above one that does may seem to need it, too: it is looked at alone then). */
static size_t plain_length(struct slice s)
{
    const uint64_t ones = 0x0101010101010101u, highs = ones * 0x80;
    size_t plain = 0;
#ifdef __SSE2__
    const __m128i quotes = _mm_set1_epi8('"'), slashes = _mm_set1_epi8('\\'), delete = _mm_set1_epi8(0x7f);
    for (; plain + 16 <= s.len; plain += 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(const void *)(s.ptr + plain));
        __m128i care = _mm_cmplt_epi8(x, _mm_set1_epi8(0x20)); /* and those beyond ASCII, as they are negative */
        care = _mm_or_si128(care, _mm_cmpeq_epi8(x, quotes));
        care = _mm_or_si128(care, _mm_or_si128(_mm_cmpeq_epi8(x, slashes), _mm_cmpeq_epi8(x, delete)));
        unsigned bits = (unsigned)_mm_movemask_epi8(care);
        if (bits)
            return plain + (unsigned)__builtin_ctz(bits);
    }
#endif
    for (uint64_t x; plain + 8 <= s.len; plain += 8) {
        memcpy(&x, s.ptr + plain, 8);
        uint64_t quote = x ^ ones * '"', slash = x ^ ones * '\\';
        uint64_t care = ((x - ones * 0x20) | (quote - ones) | (slash - ones) | (x + ones) | x) & highs;
        if (care)
            break;
    }
    while (plain < s.len && !needs_care[(unsigned char)s.ptr[plain]])
        plain++;
    return plain;
}

void json_escape(struct buf *out, struct slice s)
{
    size_t plain = plain_length(s);
    buf_append(out, slice_head(s, plain));
    s = slice_from(s, plain);
    while (s.len) {
        int32_t c = utf8_next(&s);
        switch (c) {
        case '"': buf_text(out, "\\\""); break;
        case '\\': buf_text(out, "\\\\"); break;
        case '\n': buf_text(out, "\\n"); break;
        case '\r': buf_text(out, "\\r"); break;
        case '\t': buf_text(out, "\\t"); break;
        case 0x2028: buf_text(out, "\\u2028"); break;
        case 0x2029: buf_text(out, "\\u2029"); break;
        default:
            if (c < 0x20 || c == 0x7f) {
                static const char hex[] = "0123456789abcdef";
                buf_text(out, "\\u00");
                buf_byte(out, hex[c >> 4]);
                buf_byte(out, hex[c & 15]);
            } else {
                utf8_append(out, (uint32_t)c);
            }
        }
        plain = plain_length(s);
        buf_append(out, slice_head(s, plain));
        s = slice_from(s, plain);
    }
}

static void quoted(struct buf *out, struct slice s)
{
    size_t plain = plain_length(s);
    char *to = plain == s.len ? buf_reserve(out, s.len + 2) : NULL;
    if (to) { /* most strings */
        to[0] = '"';
        if (s.len)
            memcpy(to + 1, s.ptr, s.len);
        to[s.len + 1] = '"';
        buf_advance(out, s.len + 2);
        return;
    }
    buf_byte(out, '"');
    json_escape(out, s);
    buf_byte(out, '"');
}

void json_key_slice(struct json *json, struct slice key)
{
    before_value(json);
    quoted(json->out, key);
    buf_byte(json->out, ':');
    json->is_after_key = true;
}

void json_text(struct json *json, struct slice s)
{
    before_value(json);
    quoted(json->out, s);
}

void json_int(struct json *json, int64_t number)
{
    before_value(json);
    buf_i64(json->out, number);
}

void json_double(struct json *json, double number)
{
    before_value(json);
    if (isfinite(number))
        buf_printf(json->out, "%.6g", number);
    else
        buf_text(json->out, "null");
}

void json_bool(struct json *json, bool value)
{
    before_value(json);
    buf_append(json->out, value ? SLICE("true") : SLICE("false"));
}

void json_nothing(struct json *json)
{
    before_value(json);
    buf_text(json->out, "null");
}

void json_raw(struct json *json, struct slice ready)
{
    before_value(json);
    buf_append(json->out, ready);
}

void json_put_words_of(struct json *json, struct slice key, struct slice ja, struct slice en)
{
    json_key_slice(json, key);
    json_object_begin(json);
    json_put_string(json, "ja", ja);
    json_put_string(json, "en", en);
    json_end(json);
}

void json_put_id_of(struct json *json, struct slice key, uint64_t id)
{
    char text[24];
    int len = snprintf(text, sizeof(text), "%llu", (unsigned long long)id);
    json_key_slice(json, key);
    if (id)
        json_text(json, slice_of(text, (size_t)len));
    else
        json_nothing(json);
}

void json_put_time_of(struct json *json, struct slice key, time_ms at)
{
    char text[40];
    struct buf out = {text, 0, sizeof(text) - 1, sizeof(text) - 1, false};
    json_key_slice(json, key);
    if (!at) {
        json_nothing(json);
        return;
    }
    time_rfc3339(&out, at);
    json_text(json, buf_slice(&out));
}
