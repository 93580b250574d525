#include "mailauth/canonical.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* --- header fields --- */

static bool is_name_char(char c)
{
    return c > 0x20 && c < 0x7f && c != ':';
}

/* The field's name, or empty when the line does not begin a field. Space before the colon is tolerated. */
static struct slice field_name(struct slice line, size_t *value_at)
{
    size_t end = 0, colon;
    while (end < line.len && is_name_char(line.ptr[end]))
        end++;
    for (colon = end; colon < line.len && is_blank(line.ptr[colon]);)
        colon++;
    *value_at = colon + 1;
    return colon < line.len && line.ptr[colon] == ':' ? slice_head(line, end) : slice_of(line.ptr, 0);
}

void fields_split(struct slice mail, struct fields *fields)
{
    size_t room = 0;
    *fields = (struct fields){.body = slice_from(mail, mail.len)};
    struct slice rest = mail, line;
    while (rest.len) {
        struct slice here = rest;
        if (!slice_line(&rest, &line))
            break;
        if (!line.len) {
            fields->body = rest;
            break;
        }
        if (is_blank(line.ptr[0]) && fields->count) {
            struct field *field = &fields->field[fields->count - 1];
            field->whole.len = (size_t)(line.ptr + line.len - field->whole.ptr);
            field->value.len = (size_t)(line.ptr + line.len - field->value.ptr);
            continue;
        }
        size_t value_at;
        struct slice name = field_name(line, &value_at);
        if (!name.len && !fields->count && slice_starts(line, SLICE("From ")))
            continue; /* an mbox line in front */
        if (!name.len || fields->count == FIELDS_MAX) {
            fields->body = here;
            break;
        }
        if (fields->count == room) {
            room = room ? room * 2 : 32;
            fields->field = memory_resize(fields->field, room, sizeof(*fields->field));
        }
        fields->field[fields->count++] = (struct field){line, name, slice_from(line, value_at)};
    }
}

void fields_release(struct fields *fields)
{
    free(fields->field);
    *fields = (struct fields){0};
}

void field_relaxed(struct buf *out, struct field field)
{
    char *to = buf_reserve(out, field.whole.len + 2);
    if (!to)
        return;
    char *start = to;
    for (size_t i = 0; i < field.name.len; i++)
        *to++ = ascii_lower(field.name.ptr[i]);
    *to++ = ':';
    char *value = to;
    bool has_gap = false;
    for (size_t i = 0; i < field.value.len; i++) {
        char c = field.value.ptr[i];
        if (is_blank(c) || c == '\r' || c == '\n') {
            has_gap = true;
            continue;
        }
        if (has_gap && to > value)
            *to++ = ' ';
        has_gap = false;
        *to++ = c;
    }
    buf_advance(out, (size_t)(to - start));
}

void field_simple(struct buf *out, struct field field)
{
    struct slice rest = field.whole, line;
    for (bool is_first = true; slice_line(&rest, &line); is_first = false) {
        if (!is_first)
            buf_text(out, "\r\n");
        buf_append(out, line);
    }
}

/* --- body --- */

struct hasher {
    EVP_MD_CTX *digest;
    uint64_t limit, total;
    uint64_t empty_lines; /* seen, not yet known to be followed by anything */
    char block[4096];
    size_t used;
};

static void hasher_flush(struct hasher *hasher)
{
    if (hasher->used)
        EVP_DigestUpdate(hasher->digest, hasher->block, hasher->used);
    hasher->used = 0;
}

static void hasher_add(struct hasher *hasher, const char *bytes, size_t len)
{
    uint64_t room = hasher->limit > hasher->total ? hasher->limit - hasher->total : 0;
    hasher->total += len;
    if (len > room)
        len = (size_t)room;
    if (len > sizeof(hasher->block) - hasher->used) {
        hasher_flush(hasher);
        if (len >= sizeof(hasher->block)) {
            EVP_DigestUpdate(hasher->digest, bytes, len);
            return;
        }
    }
    memcpy(hasher->block + hasher->used, bytes, len);
    hasher->used += len;
}

static void line_relaxed(struct hasher *hasher, struct slice line)
{
    size_t start = 0;
    for (size_t i = 0; i < line.len; i++) {
        if (!is_blank(line.ptr[i]) || (line.ptr[i] == ' ' && (i + 1 == line.len || !is_blank(line.ptr[i + 1]))))
            continue;
        hasher_add(hasher, line.ptr + start, i - start);
        hasher_add(hasher, " ", 1);
        while (i + 1 < line.len && is_blank(line.ptr[i + 1]))
            i++;
        start = i + 1;
    }
    hasher_add(hasher, line.ptr + start, line.len - start);
}

static void body_line(struct hasher *hasher, struct slice line, bool is_relaxed)
{
    while (is_relaxed && line.len && is_blank(line.ptr[line.len - 1]))
        line.len--;
    if (!line.len) {
        hasher->empty_lines++;
        return;
    }
    for (; hasher->empty_lines; hasher->empty_lines--)
        hasher_add(hasher, "\r\n", 2);
    if (is_relaxed)
        line_relaxed(hasher, line);
    else
        hasher_add(hasher, line.ptr, line.len);
    hasher_add(hasher, "\r\n", 2);
}

/* Skip words and the single spaces between them, a block of bytes at once: stops before a control character, and before
 * a space that one or another space follows, or (block by block) near the end. */
#ifdef __SSE2__
static size_t skip_blocks(struct slice s, size_t at)
{
    const __m128i space = _mm_set1_epi8(' ');
    for (; at + 17 <= s.len; at += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(s.ptr + at));
        __m128i is_low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, space), bytes);
        unsigned low = (unsigned)_mm_movemask_epi8(is_low);
        if (!low)
            continue;
        unsigned spaces = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, space));
        unsigned next_is_low = low >> 1 | (unsigned)((unsigned char)s.ptr[at + 16] <= ' ') << 15;
        unsigned stop = (low & ~spaces) | (spaces & next_is_low);
        if (stop)
            return at + (size_t)__builtin_ctz(stop);
    }
    return at;
}
#else
static size_t skip_blocks(struct slice s, size_t at)
{
    return at;
}
#endif

static size_t skip_words(struct slice s, size_t at)
{
    at = skip_blocks(s, at);
    while (at < s.len && (unsigned char)s.ptr[at] > 0x20)
        at++;
    return at;
}

/* How many bytes from the front are canonical already, and end where a line begins: most of what our own composer
 * writes. Stops before anything that relaxed would change: TAB, two spaces, space before a line end, an empty line (it
 * may be one of the last), a CR or LF that stands alone. */
static size_t clean_prefix(struct slice body)
{
    size_t at = 0, line = 0;
    while ((at = skip_words(body, at)) < body.len) {
        char c = body.ptr[at], next = at + 1 < body.len ? body.ptr[at + 1] : '\0';
        if (c == '\r') {
            if (next != '\n' || at == line)
                return line;
            at += 2;
            line = at;
        } else if (c == '\n' || c == '\t' || (c == ' ' && (is_blank(next) || next == '\r' || next == '\n' || !next))) {
            return line;
        } else {
            at++;
        }
    }
    return line;
}

uint64_t body_digest(EVP_MD_CTX *digest, struct slice body, bool is_relaxed, uint64_t limit)
{
    struct hasher hasher;
    hasher.digest = digest;
    hasher.limit = limit;
    hasher.total = hasher.empty_lines = hasher.used = 0;
    while (body.len) {
        struct slice line;
        size_t clean = is_relaxed ? clean_prefix(body) : 0;
        if (clean) {
            for (; hasher.empty_lines; hasher.empty_lines--)
                hasher_add(&hasher, "\r\n", 2);
            hasher_add(&hasher, body.ptr, clean);
            body = slice_from(body, clean);
        }
        if (slice_line(&body, &line))
            body_line(&hasher, line, is_relaxed);
    }
    if (!hasher.total && !is_relaxed)
        hasher_add(&hasher, "\r\n", 2); /* an empty body is one CRLF in "simple" (3.4.3), nothing in "relaxed" */
    hasher_flush(&hasher);
    return hasher.total;
}
