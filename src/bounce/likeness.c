#include "bounce/likeness.h"

#include "base/map.h"
#include "base/utf8.h"
#include <stdio.h>

enum { ID_LEAST = 6 /* a word with digits in it that is shorter stands for itself: "tss04", "s3150" */ };

static bool is_edge(char c)
{
    return c != 0 && strchr("<>()[]{}\"'`,;:!?=|", c) != NULL;
}

/* What a run of non-space bytes consists of. */
struct shape {
    bool has_at, has_dot, has_slashes, is_ip, is_number, has_letter, has_digit, has_high;
};

static struct shape shape_of(struct slice word)
{
    struct shape shape = {.is_ip = true, .is_number = true};
    for (size_t i = 0; i < word.len; i++) {
        char c = word.ptr[i];
        bool is_digit = ascii_is_digit(c);
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        shape.has_at |= c == '@' && i > 0;
        shape.has_dot |= c == '.' && i > 0 && i + 1 < word.len;
        shape.has_slashes |= c == '/' && i + 1 < word.len && word.ptr[i + 1] == '/';
        shape.has_letter |= is_letter;
        shape.has_digit |= is_digit;
        shape.has_high |= (unsigned char)c >= 0x80;
        shape.is_number &= is_digit || c == '.' || c == '-' || c == '/' || c == '#' || c == '%' || c == '+';
        shape.is_ip &= is_digit || c == '.';
    }
    return shape;
}

/* "550", "5.1.1": they stay. */
static bool is_code(struct slice word)
{
    bool is_reply = word.len == 3 && word.ptr[0] >= '2' && word.ptr[0] <= '5';
    bool is_status = word.len >= 5 && word.len <= 7 && word.ptr[1] == '.' && (word.ptr[0] == '4' || word.ptr[0] == '5');
    return is_reply || is_status;
}

static int dots(struct slice word)
{
    int n = 0;
    for (size_t i = 0; i < word.len; i++)
        n += word.ptr[i] == '.';
    return n;
}

static void word_write(struct slice word, struct buf *out)
{
    struct shape shape = shape_of(word);
    if (shape.has_slashes)
        buf_text(out, "<url>");
    else if (shape.has_at)
        buf_text(out, "<addr>");
    else if (shape.is_ip && dots(word) == 3)
        buf_text(out, "<ip>");
    else if (shape.has_digit && shape.is_number && !is_code(word))
        buf_text(out, "<n>");
    else if (shape.has_dot && shape.has_letter && !shape.has_high && word.len > 3)
        buf_text(out, "<host>");
    else if (shape.has_digit && shape.has_letter && !shape.has_high && word.len >= ID_LEAST)
        buf_text(out, "<id>");
    else
        for (size_t i = 0; i < word.len; i++)
            buf_byte(out, ascii_lower(word.ptr[i]));
}

/* Words end at white space and at signs, but a URL keeps its own signs. */
static size_t word_end(struct slice text, size_t i)
{
    bool is_url = false;
    for (; i < text.len && (unsigned char)text.ptr[i] > ' '; i++) {
        char c = text.ptr[i];
        bool is_scheme_end = c == ':' && i + 2 < text.len && text.ptr[i + 1] == '/' && text.ptr[i + 2] == '/';
        is_url |= is_scheme_end;
        if (is_edge(c) && (!is_url || (!is_scheme_end && strchr("<>\"'()", c))))
            break;
    }
    return i;
}

void likeness_write(struct slice text, struct buf *out)
{
    text = utf8_head(text, LIKENESS_TEXT_MAX);
    size_t i = 0;
    bool wants_space = false, has_any = false;
    while (i < text.len) {
        char c = text.ptr[i];
        if ((unsigned char)c <= ' ') {
            wants_space = has_any;
            i++;
            continue;
        }
        if (wants_space)
            buf_byte(out, ' ');
        wants_space = false;
        has_any = true;
        if (is_edge(c)) {
            buf_byte(out, c);
            i++;
            continue;
        }
        size_t from = i;
        i = word_end(text, i);
        struct slice word = slice_of(text.ptr + from, i - from);
        struct slice end = slice_of(text.ptr + i, 0);
        while (word.len > 1 && word.ptr[word.len - 1] == '.') { /* the end of a sentence is no host's */
            word.len--;
            end = slice_of(word.ptr + word.len, end.len + 1);
        }
        word_write(word, out);
        buf_append(out, end);
    }
}

void likeness_fingerprint(struct slice likeness, char fingerprint[LIKENESS_FINGERPRINT])
{
    snprintf(fingerprint, LIKENESS_FINGERPRINT, "%016llx", (unsigned long long)hash_bytes(likeness, 0x756e72656164));
}
