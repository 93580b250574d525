/* The words inside fields and bodies: parameters, encoded words, addresses, transfer encodings. */
#include "base/base64.h"
#include "base/percent.h"
#include "base/utf8.h"
#include "mime/charset.h"
#include "mime/read.h"

/* ---- transfer encodings (RFC 2045 6.7, 6.8) ---- */

/* `is_word`: the Q encoding of RFC 2047, where "_" is a space and no line ends are soft. */
static size_t quoted_printable_decode(struct slice text, bool is_word, char *to)
{
    char *out = to;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '_' && is_word) {
            *out++ = ' ';
        } else if (c != '=') {
            const char *from = text.ptr + i, *end = text.ptr + text.len;
            const char *mark = is_word ? from + 1 : memchr(from, '=', (size_t)(end - from));
            size_t run = (size_t)((mark ? mark : end) - from);
            memcpy(out, from, run);
            out += run;
            i += run - 1;
        } else {
            int byte = percent_digits(text, i + 1);
            if (byte >= 0) {
                *out++ = (char)byte;
                i += 2;
                continue;
            }
            size_t next = i + 1;
            while (next < text.len && (text.ptr[next] == ' ' || text.ptr[next] == '\t' || text.ptr[next] == '\r'))
                next++;
            if (!is_word && (next == text.len || text.ptr[next] == '\n' || text.ptr[next - 1] == '\r'))
                i = next < text.len && text.ptr[next] == '\n' ? next : next - 1; /* a soft line end */
            else
                *out++ = c;
        }
    }
    return (size_t)(out - to);
}

static struct slice base64_body(struct slice text, struct arena *arena)
{
    SCOPED(buf) bytes = BUF(text.len + 4);
    base64_decode_loose(&bytes, text);
    return arena_copy(arena, buf_slice(&bytes));
}

struct slice mime_body(const struct mime_part *part, size_t limit, struct arena *arena)
{
    switch (part->encoding) {
    case MIME_QUOTED_PRINTABLE: {
        struct slice text = slice_head(part->body, limit > SIZE_MAX / 3 ? SIZE_MAX : limit * 3);
        if (!memchr(text.ptr, '=', text.len))
            return slice_head(text, limit);
        char *to = arena_alloc(arena, text.len + 1);
        return slice_head(slice_of(to, quoted_printable_decode(text, false, to)), limit);
    }
    case MIME_BASE64:
        return base64_body(slice_head(part->body, limit > SIZE_MAX / 2 ? SIZE_MAX : limit / 5 * 7 + 8), arena);
    case MIME_IDENTITY:
    case MIME_UNKNOWN_ENCODING: break;
    }
    return slice_head(part->body, limit);
}

struct slice mime_body_text(const struct mime_part *part, size_t limit, struct arena *arena)
{
    return charset_to_utf8(mime_body(part, limit, arena), part->charset, arena);
}

/* ---- parameters (RFC 2045 5.1, RFC 2231) ---- */

/* One "name=value" of a parameter list; the value still quoted. */
static bool param_next(struct slice *rest, struct slice *name, struct slice *value)
{
    const char *at = rest->ptr, *end = rest->ptr + rest->len;
    while (at < end && (ascii_is_space(*at) || *at == ';'))
        at++;
    const char *from = at;
    while (at < end && *at != '=' && *at != ';')
        at++;
    *name = slice_trim(slice_of(from, (size_t)(at - from)));
    *value = slice_of(at, 0);
    if (at < end && *at == '=') {
        at++;
        while (at < end && ascii_is_space(*at))
            at++;
        from = at;
        if (at < end && *at == '"') {
            for (at++; at < end && *at != '"'; at++)
                at += *at == '\\' && at + 1 < end;
            at += at < end;
        } else {
            while (at < end && *at != ';' && !ascii_is_space(*at))
                at++;
        }
        *value = slice_of(from, (size_t)(at - from));
        while (at < end && *at != ';')
            at++;
    }
    *rest = slice_of(at, (size_t)(end - at));
    return name->len > 0 || at < end;
}

static struct slice unquoted(struct slice value, struct arena *arena)
{
    if (!value.len || value.ptr[0] != '"')
        return value;
    value = slice_from(value, 1);
    if (value.len && value.ptr[value.len - 1] == '"')
        value.len--;
    if (!memchr(value.ptr, '\\', value.len) && !memchr(value.ptr, '\n', value.len))
        return value;
    char *to = arena_alloc(arena, value.len + 1), *out = to;
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] == '\r' || value.ptr[i] == '\n')
            continue;
        if (value.ptr[i] == '\\' && i + 1 < value.len)
            i++;
        *out++ = value.ptr[i];
    }
    return slice_of(to, (size_t)(out - to));
}

/* What follows `name` in a parameter's own name: "*", "*0", "*12*"; -1: another parameter. */
static int section_of(struct slice have, struct slice name, bool *is_extended)
{
    *is_extended = false;
    if (!slice_starts_caseless(have, name))
        return -1;
    have = slice_from(have, name.len);
    if (!have.len)
        return 0;
    if (have.ptr[0] != '*')
        return -1;
    have = slice_from(have, 1);
    if (have.len && have.ptr[have.len - 1] == '*') {
        *is_extended = true;
        have.len--;
    }
    if (!have.len) {
        *is_extended = true;
        return 0;
    }
    uint64_t number;
    return slice_to_u64(have, &number) && number < MIME_PARAMS_MAX ? (int)number : -1;
}

struct slice mime_param(struct slice value, struct slice name, struct arena *arena)
{
    struct slice pieces[MIME_PARAMS_MAX];
    bool is_extended[MIME_PARAMS_MAX];
    int highest = -1;
    struct slice have, text, rest = value, type;
    slice_split(&rest, ';', &type);
    for (int i = 0; i < MIME_PARAMS_MAX && rest.ptr && param_next(&rest, &have, &text); i++) {
        bool extended;
        int section = section_of(have, name, &extended);
        if (section < 0)
            continue;
        if (section > highest)
            while (highest < section)
                pieces[++highest] = (struct slice){0};
        if (!pieces[section].ptr || (extended && !is_extended[section])) { /* the first, but name* before name */
            pieces[section] = text;
            is_extended[section] = extended;
        }
    }
    if (highest < 0)
        return SLICE("");
    if (highest == 0 && !is_extended[0])
        return unquoted(pieces[0], arena);
    struct slice charset = SLICE("");
    SCOPED(buf) joined = BUF(value.len + 1);
    for (int i = 0; i <= highest && pieces[i].ptr; i++) {
        struct slice piece = unquoted(pieces[i], arena);
        if (is_extended[i]) {
            ptrdiff_t first = i == 0 ? slice_find_byte(piece, '\'') : SLICE_NPOS;
            ptrdiff_t second = first >= 0 ? slice_find_byte(slice_from(piece, (size_t)first + 1), '\'') : SLICE_NPOS;
            if (second >= 0) {
                charset = slice_head(piece, (size_t)first);
                piece = slice_from(piece, (size_t)(first + second) + 2);
            }
            char *to = arena_alloc(arena, piece.len + 1);
            piece = slice_of(to, percent_decode_loose(piece, to));
        }
        buf_append(&joined, piece);
    }
    return charset_to_utf8(arena_copy(arena, buf_slice(&joined)), charset, arena);
}

/* ---- encoded words (RFC 2047) ---- */

struct encoded_word {
    struct slice charset, text;
    char encoding; /* 'q' or 'b' */
    size_t len;    /* of the whole word in the value */
};

/* "=?charset*lang?q?text?=" at the front. Spaces inside are forgiven, as many programs write them. */
static bool encoded_word_parse(struct slice s, struct encoded_word *word)
{
    if (s.len < 8 || s.ptr[0] != '=' || s.ptr[1] != '?')
        return false;
    struct slice rest = slice_from(s, 2);
    ptrdiff_t mark = slice_find_byte(slice_head(rest, 64), '?');
    if (mark <= 0 || (size_t)mark + 3 > rest.len || rest.ptr[mark + 2] != '?')
        return false;
    word->charset = slice_head(rest, (size_t)mark);
    ptrdiff_t star = slice_find_byte(word->charset, '*');
    if (star > 0)
        word->charset.len = (size_t)star;
    word->encoding = ascii_lower(rest.ptr[mark + 1]);
    if (word->encoding != 'q' && word->encoding != 'b')
        return false;
    rest = slice_from(rest, (size_t)mark + 3);
    for (size_t i = 0; i + 1 < rest.len; i++) {
        if (rest.ptr[i] == '?' && rest.ptr[i + 1] == '=') {
            word->text = slice_head(rest, i);
            word->len = (size_t)(rest.ptr + i + 2 - s.ptr);
            return true;
        }
        if (rest.ptr[i] == '\n')
            return false;
    }
    return false;
}

static void word_decode(const struct encoded_word *word, struct buf *out, struct arena *arena)
{
    if (word->encoding == 'b') {
        base64_decode_loose(out, word->text);
        return;
    }
    char *to = arena_alloc(arena, word->text.len + 1);
    buf_append(out, slice_of(to, quoted_printable_decode(word->text, true, to)));
}

struct slice mime_text(struct slice value, struct arena *arena)
{
    if (!value.len)
        return SLICE("");
    bool has_word = value.len >= 2 && slice_find_pair(value, "=?") >= 0;
    if (!has_word && !memchr(value.ptr, '\n', value.len) && !memchr(value.ptr, '\r', value.len))
        return charset_to_utf8(value, SLICE(""), arena);
    SCOPED(buf) out = BUF(value.len * 4 + 16);
    SCOPED(buf) bytes = BUF(value.len + 16);
    size_t at = 0, last_word_end = SIZE_MAX, out_at_word_end = 0;
    while (at < value.len) {
        struct encoded_word word;
        size_t mark = at;
        while (mark < value.len && !(value.ptr[mark] == '=' && mark + 1 < value.len && value.ptr[mark + 1] == '?'))
            mark++;
        /* plain text up to the mark, unfolded */
        struct slice plain = slice_of(value.ptr + at, mark - at);
        bool is_gap = slice_trim(plain).len == 0;
        if (plain.len) {
            plain = charset_to_utf8(plain, SLICE(""), arena);
            for (size_t i = 0; i < plain.len; i++)
                if (plain.ptr[i] != '\r' && plain.ptr[i] != '\n')
                    buf_byte(&out, plain.ptr[i] == '\t' ? ' ' : plain.ptr[i]);
        }
        at = mark;
        if (at >= value.len)
            break;
        if (!encoded_word_parse(slice_from(value, at), &word)) {
            buf_text(&out, "=?");
            at += 2;
            last_word_end = SIZE_MAX;
            continue;
        }
        if (is_gap && last_word_end != SIZE_MAX)
            out.len = out_at_word_end; /* white space between two words does not count */
        buf_reset(&bytes);
        struct slice charset = word.charset;
        for (;;) { /* neighbours in one charset are joined first: programs cut characters in two */
            word_decode(&word, &bytes, arena);
            at += word.len;
            size_t next = at;
            while (next < value.len && ascii_is_space(value.ptr[next]))
                next++;
            struct encoded_word more;
            if (!encoded_word_parse(slice_from(value, next), &more) || !slice_equal_caseless(more.charset, charset))
                break;
            at = next;
            word = more;
        }
        buf_append(&out, charset_to_utf8(arena_copy(arena, buf_slice(&bytes)), charset, arena));
        last_word_end = at;
        out_at_word_end = out.len;
    }
    return slice_trim(arena_copy(arena, buf_slice(&out)));
}

/* ---- addresses (RFC 5322 3.4, as strangers write them) ---- */

struct slice mime_angle(struct slice value)
{
    ptrdiff_t open = slice_find_byte(value, '<');
    if (open >= 0) {
        struct slice inner = slice_from(value, (size_t)open + 1);
        ptrdiff_t close = slice_find_byte(inner, '>');
        return slice_trim(slice_head(inner, close >= 0 ? (size_t)close : inner.len));
    }
    return slice_trim(value);
}

/* Past a quoted string or a comment that begins at `at`. */
static size_t past_quoted(struct slice value, size_t at)
{
    for (at++; at < value.len && value.ptr[at] != '"'; at++)
        at += value.ptr[at] == '\\';
    return at < value.len ? at + 1 : value.len;
}

static size_t past_comment(struct slice value, size_t at)
{
    int depth = 0;
    for (; at < value.len; at++) {
        if (value.ptr[at] == '\\')
            at++;
        else if (value.ptr[at] == '(')
            depth++;
        else if (value.ptr[at] == ')' && --depth == 0)
            return at + 1;
    }
    return value.len;
}

static struct slice without_route(struct slice address)
{
    ptrdiff_t colon = address.len && address.ptr[0] == '@' ? slice_find_byte(address, ':') : SLICE_NPOS;
    return slice_trim(colon >= 0 ? slice_from(address, (size_t)colon + 1) : address);
}

size_t mime_addresses(struct slice value, struct slice *addresses, size_t room)
{
    size_t count = 0, at = 0;
    while (at < value.len && count < room) {
        struct slice angle = {0};
        size_t word_from = SIZE_MAX, word_to = 0; /* the last run of non-space with an @ in it */
        size_t run_from = SIZE_MAX;
        bool has_at = false, is_over = false;
        while (at < value.len && !is_over) {
            char c = value.ptr[at];
            if (c == '"') {
                run_from = run_from == SIZE_MAX ? at : run_from;
                at = past_quoted(value, at);
                continue;
            }
            bool is_break = c == ',' || c == ';' || c == ':' || c == '<' || c == '(' || ascii_is_space(c);
            if (is_break && run_from != SIZE_MAX && has_at) {
                word_from = run_from;
                word_to = at;
            }
            if (is_break)
                run_from = SIZE_MAX, has_at = false;
            if (c == ',' || c == ';') {
                is_over = true;
                at++;
            } else if (c == '(') {
                at = past_comment(value, at);
            } else if (c == '<') {
                size_t close = at + 1;
                while (close < value.len && value.ptr[close] != '>')
                    close = value.ptr[close] == '"' ? past_quoted(value, close) : close + 1;
                angle = slice_of(value.ptr + at + 1, (close < value.len ? close : value.len) - at - 1);
                at = close < value.len ? close + 1 : value.len;
            } else {
                if (!is_break && run_from == SIZE_MAX)
                    run_from = at;
                has_at = has_at || c == '@';
                at++;
            }
        }
        if (run_from != SIZE_MAX && has_at && !is_over) {
            word_from = run_from;
            word_to = value.len;
        }
        struct slice address = without_route(angle);
        if (!address.len && word_from != SIZE_MAX)
            address = slice_of(value.ptr + word_from, word_to - word_from);
        if (memchr(address.len ? address.ptr : "", '@', address.len))
            addresses[count++] = address;
    }
    return count;
}
