/* slice.h - a look at bytes that somebody else owns
 *
 * Passed by value. The bytes need not end in NUL and may contain any octet. An empty slice may have a NULL pointer.
 * "Caseless" always means ASCII letters only: mail's keywords are ASCII, and no locale may change what they mean. */
#ifndef TODOKE_BASE_SLICE_H
#define TODOKE_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define NODISCARD                       __attribute__((warn_unused_result))
#define PRINTF_LIKE(format_at, args_at) __attribute__((format(printf, format_at, args_at)))
#define COUNT_OF(array)                 (sizeof(array) / sizeof(*(array)))

struct slice {
    const char *ptr;
    size_t len;
};

/* A slice of a string literal; usable in static tables. */
#define SLICE(literal)                                                                                                 \
    (struct slice)                                                                                                     \
    {                                                                                                                  \
        "" literal, sizeof(literal) - 1                                                                                \
    }
#define SLICE_INIT(literal)                                                                                            \
    {                                                                                                                  \
        "" literal, sizeof(literal) - 1                                                                                \
    }
/* The two arguments of a "%.*s". */
#define SLICE_ARG(slice) (int)(slice).len, (slice).ptr

static inline struct slice slice_of(const void *ptr, size_t len)
{
    return (struct slice){(const char *)ptr, len};
}
/* NULL gives the empty slice. */
static inline struct slice slice_str(const char *text)
{
    return (struct slice){text, text ? strlen(text) : 0};
}
static inline bool slice_is_empty(struct slice s)
{
    return s.len == 0;
}
/* The bytes from `from` on; empty when `from` is past the end. */
static inline struct slice slice_from(struct slice s, size_t from)
{
    if (from >= s.len)
        return (struct slice){s.len ? s.ptr + s.len : s.ptr, 0}; /* NULL + 0 is undefined */
    return (struct slice){s.ptr + from, s.len - from};
}
/* At most the first `len` bytes. */
static inline struct slice slice_head(struct slice s, size_t len)
{
    return (struct slice){s.ptr, s.len < len ? s.len : len};
}

static inline char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}
static inline char ascii_upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
}
static inline bool ascii_is_digit(char c)
{
    return c >= '0' && c <= '9';
}
static inline bool ascii_is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
static inline bool ascii_is_alnum(char c)
{
    return ascii_is_digit(c) || ascii_is_alpha(c);
}
/* Space, TAB, CR, LF, VT, FF. */
static inline bool ascii_is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}
/* 0..15, or -1. */
int ascii_hex_value(char c);

enum { SLICE_NPOS = -1 };

bool slice_equal(struct slice a, struct slice b);
/* For the two below: the first letters have been compared. */
bool slice_rest_equal_caseless(const char *a, const char *b, size_t len);
static inline bool slice_first_alike(struct slice a, struct slice b)
{
    return !((a.ptr[0] ^ b.ptr[0]) & ~0x20); /* nearly always decides */
}
static inline bool slice_equal_caseless(struct slice a, struct slice b)
{
    return a.len == b.len && (!a.len || (slice_first_alike(a, b) && slice_rest_equal_caseless(a.ptr, b.ptr, a.len)));
}
/* memcmp order, shorter first on a tie. */
int slice_compare(struct slice a, struct slice b);
bool slice_starts(struct slice s, struct slice with);
static inline bool slice_starts_caseless(struct slice s, struct slice with)
{
    return s.len >= with.len &&
           (!with.len || (slice_first_alike(s, with) && slice_rest_equal_caseless(s.ptr, with.ptr, with.len)));
}
bool slice_ends(struct slice s, struct slice with);
bool slice_ends_caseless(struct slice s, struct slice with);

/* Index of the first such byte or text, or SLICE_NPOS. slice_find is memmem; the caseless one is for short haystacks.
 */
ptrdiff_t slice_find_byte(struct slice s, char c);
ptrdiff_t slice_find_last_byte(struct slice s, char c);
/* Octets to insert, delete or replace until a is b (Levenshtein): for "did you mean". Words of more than 64 octets: 64.
 */
size_t slice_distance(struct slice a, struct slice b);
/* Where these two bytes stand side by side: "\nF" finds lines that begin with an F in one go. */
ptrdiff_t slice_find_pair(struct slice s, const char two[2]);
ptrdiff_t slice_find(struct slice s, struct slice what);
ptrdiff_t slice_find_caseless(struct slice s, struct slice what);

/* Without white space at both ends. */
struct slice slice_trim(struct slice s);

/* Cut what stands before the first `separator` off the front of *rest and give it; the last piece leaves *rest with a
 * NULL ptr. Use: while (slice_split(&rest, ',', &piece)) ... */
bool slice_split(struct slice *rest, char separator, struct slice *piece);

/* Cut one line off the front of *rest, without its end (CRLF, LF or a lone CR). False when nothing is left. */
bool slice_line(struct slice *rest, struct slice *line);

/* The whole slice as a decimal number; false when empty, not digits only (a '-' may lead the signed one) or too big. */
NODISCARD bool slice_to_u64(struct slice s, uint64_t *number);
NODISCARD bool slice_to_i64(struct slice s, int64_t *number);

/* A malloc'ed copy with a NUL behind it. */
char *slice_dup(struct slice s);

/* Equal, in time that depends on the length only: for tokens and MACs. */
bool slice_equal_constant_time(struct slice a, struct slice b);

#endif
