/* The words inside a tag, and the fault that names a place. */
#include "content/liquid_compile_private.h"

#include "base/utf8.h"
#include <stdarg.h>
#include <stdio.h>

struct liquid_place liquid_place_of(struct slice source, size_t at)
{
    struct liquid_place place = {1, 1};
    for (size_t i = 0; i < at && i < source.len; i++) {
        if (source.ptr[i] == '\n') {
            place.line++;
            place.column = 1;
        } else if ((source.ptr[i] & 0xc0) != 0x80) {
            place.column++;
        }
    }
    return place;
}

bool compile_fault(struct compiler *c, size_t at, const char *format, ...)
{
    va_list args;
    char text[400];
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    struct liquid_place place = liquid_place_of(c->source, at);
    if (c->where)
        *c->where = place;
    return fault_set(c->why, FAULT_INPUT, "line %u, column %u: %s", place.line, place.column, text);
}

bool word_is(struct word word, const char *text)
{
    return (word.kind == WORD_MARK || word.kind == WORD_NAME) && slice_equal(word.text, slice_str(text));
}

/* Marks that Japanese keyboards make; they look right and are not. */
static const char *wide_mark(struct slice s)
{
    static const struct {
        struct slice wide;
        const char *narrow;
    } marks[] = {{SLICE_INIT("｜"), "|"}, {SLICE_INIT("："), ":"}, {SLICE_INIT("，"), ","},  {SLICE_INIT("．"), "."},
                 {SLICE_INIT("”"), "\""}, {SLICE_INIT("“"), "\""}, {SLICE_INIT("＂"), "\""}, {SLICE_INIT("’"), "'"},
                 {SLICE_INIT("‘"), "'"},  {SLICE_INIT("＝"), "="}, {SLICE_INIT("（"), "("},  {SLICE_INIT("）"), ")"}};
    for (size_t i = 0; i < COUNT_OF(marks); i++)
        if (slice_starts(s, marks[i].wide))
            return marks[i].narrow;
    return NULL;
}

static bool is_name_byte(struct slice s)
{
    char c = s.ptr[0];
    return ascii_is_alnum(c) || c == '_' || ((c & 0x80) && !wide_mark(s) && !slice_starts(s, SLICE("　")));
}

struct slice word_rest(const struct compiler *c)
{
    return slice_of(c->source.ptr + c->inner, c->end - c->inner);
}

void word_skip_space(struct compiler *c)
{
    for (;;) {
        struct slice rest = word_rest(c);
        if (rest.len && ascii_is_space(rest.ptr[0]))
            c->inner++;
        else if (slice_starts(rest, SLICE("　")))
            c->inner += 3;
        else
            return;
    }
}

static size_t number_len(struct slice rest)
{
    size_t len = rest.ptr[0] == '-' ? 1 : 0;
    while (len < rest.len && ascii_is_digit(rest.ptr[len]))
        len++;
    if (len + 1 < rest.len && rest.ptr[len] == '.' && ascii_is_digit(rest.ptr[len + 1]))
        for (len++; len < rest.len && ascii_is_digit(rest.ptr[len]);)
            len++;
    return len;
}

/* The word at the reading place, without moving on. False: a fault was set. */
bool word_peek(struct compiler *c, struct word *word, size_t *next)
{
    word_skip_space(c);
    struct slice rest = word_rest(c);
    *word = (struct word){WORD_END, c->inner, slice_head(rest, 0)};
    *next = c->inner;
    if (!rest.len)
        return true;
    char first = rest.ptr[0];
    size_t len = 0;
    if (first == '"' || first == '\'') {
        ptrdiff_t close = slice_find_byte(slice_from(rest, 1), first);
        if (close == SLICE_NPOS)
            return compile_fault(c, c->inner, "the quote %c is not closed", first);
        word->kind = WORD_STRING;
        word->text = slice_of(rest.ptr + 1, (size_t)close);
        *next = c->inner + (size_t)close + 2;
        return true;
    }
    if (ascii_is_digit(first) || (first == '-' && rest.len > 1 && ascii_is_digit(rest.ptr[1]))) {
        word->kind = WORD_NUMBER;
        len = number_len(rest);
    } else if (is_name_byte(rest)) {
        word->kind = WORD_NAME;
        while (len < rest.len && (is_name_byte(slice_from(rest, len)) || (rest.ptr[len] == '-' && len + 1 < rest.len &&
                                                                          is_name_byte(slice_from(rest, len + 1)))))
            len++;
        len += len < rest.len && rest.ptr[len] == '?';
    } else {
        const char *narrow = wide_mark(rest);
        if (narrow)
            return compile_fault(c, c->inner, "a full-width mark: write %s (half-width)", narrow);
        static const struct slice pairs[] = {SLICE_INIT("=="), SLICE_INIT("!="), SLICE_INIT("<>"),
                                             SLICE_INIT("<="), SLICE_INIT(">="), SLICE_INIT("..")};
        word->kind = WORD_MARK;
        len = 1;
        for (size_t i = 0; i < COUNT_OF(pairs); i++)
            if (slice_starts(rest, pairs[i]))
                len = 2;
        if (!memchr("|:,.[]()<>=!", first, 12))
            return compile_fault(c, c->inner, "\"%.*s\" means nothing here", SLICE_ARG(utf8_head(rest, 4)));
    }
    word->text = slice_head(rest, len);
    *next = c->inner + len;
    return true;
}

bool word_next(struct compiler *c, struct word *word)
{
    size_t next;
    if (!word_peek(c, word, &next))
        return false;
    c->inner = next;
    return true;
}

/* Move past the word when it is `text`. */
bool word_take(struct compiler *c, const char *text, bool *is_taken)
{
    struct word word;
    size_t next;
    if (!word_peek(c, &word, &next))
        return false;
    *is_taken = word_is(word, text);
    if (*is_taken)
        c->inner = next;
    return true;
}

bool word_expect(struct compiler *c, const char *text, const char *after)
{
    struct word word;
    if (!word_next(c, &word))
        return false;
    if (word_is(word, text))
        return true;
    return compile_fault(c, word.at, "expected \"%s\" after %s", text, after);
}

bool word_end(struct compiler *c)
{
    struct word word;
    if (!word_next(c, &word))
        return false;
    return word.kind == WORD_END || compile_fault(c, word.at, "\"%.*s\" is too much here", SLICE_ARG(word.text));
}
