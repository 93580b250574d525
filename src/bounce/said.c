#include "bounce/said.h"

#include "base/buf.h"
#include "mail/reply.h"
#ifdef __SSE2__
#include <emmintrin.h>
#endif

static bool code_at(struct slice s, int *code)
{
    if (s.len < 3 || s.ptr[0] < '2' || s.ptr[0] > '5' || !ascii_is_digit(s.ptr[1]) || !ascii_is_digit(s.ptr[2]) ||
        s.ptr[1] > '7')
        return false;
    if (s.len > 3 && !ascii_is_space(s.ptr[3]) && s.ptr[3] != '-')
        return false;
    *code = (s.ptr[0] - '0') * 100 + (s.ptr[1] - '0') * 10 + (s.ptr[2] - '0');
    return true;
}

/* "5.1.1", "#5.1.1", "(5.1.1)", "[5.1.1]", "(#5.1.1):" at the front; gives what follows. */
static bool status_at(struct slice s, uint16_t status[3], struct slice *rest)
{
    size_t at = 0;
    while (at < s.len && at < 3 && memchr("(#[<'\"", s.ptr[at], 6))
        at++;
    struct slice number = slice_from(s, at);
    size_t len = 0;
    while (len < number.len && (ascii_is_digit(number.ptr[len]) || number.ptr[len] == '.'))
        len++;
    if (len && number.ptr[len - 1] == '.') /* the end of a sentence */
        len--;
    if (len < 5 || len > 9 || !reply_status_parse(slice_head(number, len), status, rest))
        return false;
    number = slice_from(number, len);
    if (number.len && (ascii_is_alnum(number.ptr[0]) || number.ptr[0] == '-' || number.ptr[0] == '@'))
        return false;
    while (number.len && memchr(")]>:,", number.ptr[0], 5))
        number = slice_from(number, 1);
    *rest = slice_trim(number);
    return true;
}

/* Later lines of a reply repeat code and status; joined, they stand in the middle of the words. */
static struct slice without_repeats(struct slice text, int code, struct arena *arena)
{
    char digits[4] = {(char)('0' + code / 100), (char)('0' + code / 10 % 10), (char)('0' + code % 10), 0};
    if (slice_find(text, slice_of(digits, 3)) < 0)
        return text;
    char *to = arena_alloc(arena, text.len + 1), *out = to;
    for (size_t i = 0; i < text.len;) {
        struct slice rest = slice_from(text, i), after;
        uint16_t status[3];
        bool is_start = i == 0 || ascii_is_space(text.ptr[i - 1]);
        if (is_start && rest.len > 4 && memcmp(rest.ptr, digits, 3) == 0 &&
            (rest.ptr[3] == '-' || rest.ptr[3] == ' ')) {
            after = slice_from(rest, 4);
            if (status_at(after, status, &after) || rest.ptr[3] == '-') {
                i = (size_t)(after.ptr - text.ptr);
                continue;
            }
        }
        *out++ = text.ptr[i++];
    }
    return slice_trim(slice_of(to, (size_t)(out - to)));
}

void said_parse(struct slice diagnostic, struct arena *arena, struct said *said)
{
    *said = (struct said){0};
    struct slice text = slice_trim(diagnostic);
    if (slice_starts_caseless(text, SLICE("smtp;")))
        text = slice_trim(slice_from(text, 5));
    struct slice rest = text;
    bool has_mark = text.len > 3 && (text.ptr[3] == ':' || text.ptr[3] == ',');
    if (code_at(has_mark ? slice_head(text, 3) : text, &said->code))
        rest = slice_trim(slice_from(text, text.len > 3 ? 4 : 3));
    struct slice after;
    if (status_at(rest, said->status, &after))
        rest = after;
    if (!said->code && said->status[0] && code_at(rest, &said->code)) /* "5.1.1 550 words" */
        rest = slice_trim(slice_from(rest, rest.len > 3 ? 4 : 3));
    if (said->code)
        rest = without_repeats(rest, said->code, arena);
    if (!said->status[0]) {
        ptrdiff_t at = slice_find_pair(rest, "(#");
        if (at >= 0 && !status_at(slice_from(rest, (size_t)at), said->status, &after))
            said->status[0] = said->status[1] = said->status[2] = 0;
    }
    said->text = rest;
}

/* The next byte, from `at` on, with which a code may begin; the length of the text when there is none. */
static size_t code_digit_next(struct slice text, size_t at)
{
#ifdef __SSE2__
    for (; at + 16 <= text.len; at += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(text.ptr + at));
        __m128i above = _mm_sub_epi8(bytes, _mm_set1_epi8('2'));
        int found = _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(above, _mm_set1_epi8('5' - '2')), above));
        if (found)
            return at + (unsigned)__builtin_ctz((unsigned)found);
    }
#endif
    while (at < text.len && (text.ptr[at] < '2' || text.ptr[at] > '5'))
        at++;
    return at;
}

ptrdiff_t said_find(struct slice text)
{
    for (size_t i = code_digit_next(text, 0); i + 3 <= text.len; i = code_digit_next(text, i + 1)) {
        char before = i ? text.ptr[i - 1] : ' ';
        int code;
        struct slice digits = slice_head(slice_from(text, i), 3);
        bool has_mark = i + 3 < text.len && memchr(":,", text.ptr[i + 3], 2); /* "550: 5.2.2", "ERROR_CODE :550, " */
        if (ascii_is_alnum(before) || memchr(".-_@/=+$,", before, 9) ||
            !code_at(has_mark ? digits : slice_from(text, i), &code))
            continue;
        if (code >= 300 && code < 400)
            continue;
        struct slice rest = slice_from(text, i + 4), after;
        uint16_t status[3];
        if (status_at(has_mark ? slice_trim(rest) : rest, status, &after))
            return (ptrdiff_t)i;
        if (before == '#' || code < 400)
            continue;
        /* words: a letter or an address must follow, and the number must not count things ("500 messages a day") */
        size_t back = i; /* over the spaces before it */
        while (back && ascii_is_space(text.ptr[back - 1]) && text.ptr[back - 1] != '\n')
            back--;
        if (back && text.ptr[back - 1] == '\n')
            before = '\n';
        bool is_reply_start = before == ':' || before == '\n' || before == '"' || before == '\'' || before == '(' ||
                              i == 0 || (i >= 2 && ascii_is_space(before) && memchr(":<>;-(\n", text.ptr[i - 2], 7));
        if (has_mark && before != ':' && before != '\n' && i)
            continue;
        if (is_reply_start && (rest.len == 0 || text.ptr[i + 3] == '-' || ascii_is_alpha(rest.ptr[0]) ||
                               memchr("<[(\"'#:* -", rest.ptr[0], 10) || (unsigned char)rest.ptr[0] >= 0x80))
            return (ptrdiff_t)i;
    }
    return SLICE_NPOS;
}

bool said_find_status(struct slice text, uint16_t status[3])
{
    for (size_t i = 0; i + 5 <= text.len; i++) {
        char c = text.ptr[i];
        if ((c != '2' && c != '4' && c != '5') || text.ptr[i + 1] != '.')
            continue;
        char before = i ? text.ptr[i - 1] : ' ';
        struct slice rest;
        if (!ascii_is_alnum(before) && before != '.' && before != '-' && before != '/' &&
            status_at(slice_from(text, i), status, &rest))
            return true;
    }
    return false;
}
