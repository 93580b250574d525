#include "base/slice.h"

#include "base/memory.h"
#ifdef __SSE2__
#include <emmintrin.h>
#endif

int ascii_hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool slice_equal(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* A to Z of eight bytes in lower case; other bytes stay. */
static uint64_t lower_eight(uint64_t x)
{
    const uint64_t ones = 0x0101010101010101u, highs = ones * 0x80;
    uint64_t low = x & ~highs;
    uint64_t is_upper = (low + ones * (0x80 - 'A')) & ~(low + ones * (0x7f - 'Z')) & ~x & highs;
    return x | is_upper >> 2;
}

static uint64_t load(const char *from, size_t len)
{
    uint64_t x = 0;
    memcpy(&x, from, len);
    return x;
}

bool slice_rest_equal_caseless(const char *a, const char *b, size_t len)
{
    if (len < 8) {
        if (len >= 4)
            return lower_eight(load(a, 4) | load(a + len - 4, 4) << 32) ==
                   lower_eight(load(b, 4) | load(b + len - 4, 4) << 32);
        for (size_t i = 0; i < len; i++)
            if (ascii_lower(a[i]) != ascii_lower(b[i]))
                return false;
        return true;
    }
    for (size_t i = 0; i + 8 < len; i += 8)
        if (lower_eight(load(a + i, 8)) != lower_eight(load(b + i, 8)))
            return false;
    return lower_eight(load(a + len - 8, 8)) == lower_eight(load(b + len - 8, 8));
}

int slice_compare(struct slice a, struct slice b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len ? memcmp(a.ptr, b.ptr, len) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

bool slice_starts(struct slice s, struct slice with)
{
    return s.len >= with.len && (with.len == 0 || memcmp(s.ptr, with.ptr, with.len) == 0);
}

bool slice_ends(struct slice s, struct slice with)
{
    return s.len >= with.len && slice_equal(slice_from(s, s.len - with.len), with);
}

bool slice_ends_caseless(struct slice s, struct slice with)
{
    return s.len >= with.len && slice_equal_caseless(slice_from(s, s.len - with.len), with);
}

ptrdiff_t slice_find_byte(struct slice s, char c)
{
    const char *at = s.len ? memchr(s.ptr, c, s.len) : NULL;
    return at ? at - s.ptr : SLICE_NPOS;
}

size_t slice_distance(struct slice a, struct slice b)
{
    enum { MOST = 64 };
    size_t row[MOST + 1];
    if (a.len > MOST || b.len > MOST)
        return MOST;
    for (size_t j = 0; j <= b.len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t above = row[j], cost = diagonal + (a.ptr[i - 1] != b.ptr[j - 1]);
            size_t step = (above < row[j - 1] ? above : row[j - 1]) + 1;
            row[j] = cost < step ? cost : step;
            diagonal = above;
        }
    }
    return row[b.len];
}

ptrdiff_t slice_find_last_byte(struct slice s, char c)
{
    const char *at = s.len ? memrchr(s.ptr, c, s.len) : NULL;
    return at ? at - s.ptr : SLICE_NPOS;
}

ptrdiff_t slice_find_pair(struct slice s, const char two[2])
{
    size_t at = 0;
#ifdef __SSE2__
    __m128i first = _mm_set1_epi8(two[0]), second = _mm_set1_epi8(two[1]);
    for (; at + 17 <= s.len; at += 16) {
        __m128i here = _mm_loadu_si128((const __m128i *)(const void *)(s.ptr + at));
        __m128i next = _mm_loadu_si128((const __m128i *)(const void *)(s.ptr + at + 1));
        int both = _mm_movemask_epi8(_mm_and_si128(_mm_cmpeq_epi8(here, first), _mm_cmpeq_epi8(next, second)));
        if (both)
            return (ptrdiff_t)at + __builtin_ctz((unsigned)both);
    }
#endif
    for (; at + 2 <= s.len; at++)
        if (s.ptr[at] == two[0] && s.ptr[at + 1] == two[1])
            return (ptrdiff_t)at;
    return SLICE_NPOS;
}

ptrdiff_t slice_find(struct slice s, struct slice what)
{
    if (what.len == 0)
        return 0;
    const char *at = s.len ? memmem(s.ptr, s.len, what.ptr, what.len) : NULL;
    return at ? at - s.ptr : SLICE_NPOS;
}

ptrdiff_t slice_find_caseless(struct slice s, struct slice what)
{
    if (what.len == 0)
        return 0;
    for (size_t i = 0; i + what.len <= s.len; i++)
        if (ascii_lower(s.ptr[i]) == ascii_lower(what.ptr[0]) &&
            slice_rest_equal_caseless(s.ptr + i, what.ptr, what.len))
            return (ptrdiff_t)i;
    return SLICE_NPOS;
}

struct slice slice_trim(struct slice s)
{
    while (s.len && ascii_is_space(s.ptr[0]))
        s = slice_from(s, 1);
    while (s.len && ascii_is_space(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

bool slice_split(struct slice *rest, char separator, struct slice *piece)
{
    if (!rest->ptr)
        return false;
    ptrdiff_t at = slice_find_byte(*rest, separator);
    if (at == SLICE_NPOS) {
        *piece = *rest;
        *rest = (struct slice){NULL, 0};
        return true;
    }
    *piece = slice_head(*rest, (size_t)at);
    *rest = slice_from(*rest, (size_t)at + 1);
    return true;
}

bool slice_line(struct slice *rest, struct slice *line)
{
    if (rest->len == 0)
        return false;
    size_t end = 0;
#ifdef __SSE2__
    __m128i cr = _mm_set1_epi8('\r'), lf = _mm_set1_epi8('\n');
    for (int ends = 0; !ends && end + 16 <= rest->len; end += ends ? 0 : 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(rest->ptr + end));
        ends = _mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(bytes, cr), _mm_cmpeq_epi8(bytes, lf)));
        end += ends ? (size_t)__builtin_ctz((unsigned)ends) : 0;
    }
#endif
    while (end < rest->len && rest->ptr[end] != '\r' && rest->ptr[end] != '\n')
        end++;
    *line = slice_head(*rest, end);
    size_t next = end;
    if (next < rest->len && rest->ptr[next] == '\r')
        next++;
    if (next < rest->len && rest->ptr[next] == '\n')
        next++;
    *rest = slice_from(*rest, next);
    return true;
}

bool slice_to_u64(struct slice s, uint64_t *number)
{
    uint64_t value = 0;
    if (s.len == 0 || s.len > 20)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (!ascii_is_digit(s.ptr[i]) || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(s.ptr[i] - '0'), &value))
            return false;
    }
    *number = value;
    return true;
}

bool slice_to_i64(struct slice s, int64_t *number)
{
    bool is_negative = s.len && s.ptr[0] == '-';
    uint64_t value;
    if (!slice_to_u64(is_negative ? slice_from(s, 1) : s, &value) || value > (uint64_t)INT64_MAX)
        return false;
    *number = is_negative ? -(int64_t)value : (int64_t)value;
    return true;
}

char *slice_dup(struct slice s)
{
    char *copy = memory_alloc(s.len + 1);
    if (s.len)
        memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    return copy;
}

bool slice_equal_constant_time(struct slice a, struct slice b)
{
    if (a.len != b.len)
        return false;
    volatile unsigned char difference = 0;
    for (size_t i = 0; i < a.len; i++)
        difference |= (unsigned char)(a.ptr[i] ^ b.ptr[i]);
    return difference == 0;
}
