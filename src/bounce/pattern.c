/* pattern.c - from its key, whose place is known, a pattern is walked to both ends
 *
 * Each token takes as much as it can and gives back what the next ones need; a pattern of many gaps gives up after
 * STEPS_MAX steps, so that no text can hold us up. */
#include "bounce/pattern.h"

enum {
    STEPS_MAX = 4096, /* of one confirmation */
    GAP_MAX = 60,     /* characters */
};

static bool is_ip(struct slice s)
{
    unsigned dots = 0, colons = 0, digits = 0, number = 0;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c == '.' || c == ':') {
            if (c == '.' ? digits == 0 : digits > 4)
                return false;
            dots += c == '.';
            colons += c == ':';
            digits = number = 0;
            continue;
        }
        int value = ascii_hex_value(c);
        if (value < 0 || (dots && value > 9))
            return false;
        number = number * 10 + (unsigned)value;
        digits++;
        if (dots && (digits > 3 || number > 255))
            return false;
    }
    return colons ? colons >= 2 && colons <= 8 && dots == 0 : dots == 3 && digits > 0;
}

static bool is_address(struct slice s)
{
    if (s.len && s.ptr[0] == '<')
        s = slice_from(s, 1);
    if (s.len && s.ptr[s.len - 1] == '>')
        s.len--;
    ptrdiff_t at = slice_find_byte(s, '@');
    if (at < 1 || at > 64 || (size_t)at + 1 == s.len)
        return false;
    for (size_t i = (size_t)at + 1; i < s.len; i++)
        if (s.ptr[i] == '@' || memchr(",;:()[]<>", s.ptr[i], 9))
            return false;
    return true;
}

static bool is_domain(struct slice s)
{
    return s.len && ascii_is_alnum(s.ptr[0]) && memchr(s.ptr, '.', s.len);
}

struct walk {
    struct slice text;
    const struct blob *blob;
    const struct blob_token *tokens;
    int count;
    int steps;
    bool is_anchored; /* the first token must begin the text */
};

/* May c be inside a token of this kind? */
static bool belongs(uint32_t kind, char c)
{
    switch ((enum blob_token_kind)kind) {
    case TOKEN_GAP: return true;
    case TOKEN_DIGITS: return ascii_is_digit(c);
    case TOKEN_IP: return ascii_hex_value(c) >= 0 || c == '.' || c == ':';
    case TOKEN_ADDRESS: return !ascii_is_space(c);
    case TOKEN_DOMAIN: return ascii_is_alnum(c) || c == '-' || c == '.' || (unsigned char)c >= 0x80;
    case TOKEN_TEXT: break;
    }
    return false;
}

/* Match tokens from `i` on, away from `at` in direction `step` (1 or -1). Gives the far end, or -1. */
static ptrdiff_t walk_on(struct walk *w, int i, size_t at, int step)
{
    if (i < 0 || i >= w->count)
        return i < 0 && w->is_anchored && at > 0 ? -1 : (ptrdiff_t)at;
    if (++w->steps > STEPS_MAX)
        return -1;
    const struct blob_token *token = &w->tokens[i];
    size_t room = step > 0 ? w->text.len - at : at;
    if (token->kind == TOKEN_TEXT) {
        size_t len = token->text.len;
        if (len > room || memcmp(step > 0 ? w->text.ptr + at : w->text.ptr + at - len,
                                 blob_slice(w->blob, token->text).ptr, len) != 0)
            return -1;
        return walk_on(w, i + step, step > 0 ? at + len : at - len, step);
    }
    size_t most = token->kind == TOKEN_GAP ? GAP_MAX : token->kind >= TOKEN_ADDRESS ? 320 : 45;
    size_t reach = 0, characters = 0; /* how far this token could go */
    for (; reach < room; reach++) {
        char c = step > 0 ? w->text.ptr[at + reach] : w->text.ptr[at - reach - 1];
        characters += (c & 0xc0) != 0x80; /* UTF-8 */
        if (characters > most || !belongs(token->kind, c))
            break;
    }
    for (size_t n = 0; n <= reach; n++) { /* a gap is as short as it can be, everything else as long */
        size_t len = token->kind == TOKEN_GAP ? n : reach - n;
        struct slice s = slice_of(step > 0 ? w->text.ptr + at : w->text.ptr + at - len, len);
        if ((token->kind == TOKEN_DIGITS && !len) || (token->kind == TOKEN_IP && !is_ip(s)) ||
            (token->kind == TOKEN_ADDRESS && !is_address(s)) || (token->kind == TOKEN_DOMAIN && !is_domain(s)))
            continue;
        ptrdiff_t end = walk_on(w, i + step, step > 0 ? at + len : at - len, step);
        if (end >= 0)
            return end;
    }
    return -1;
}

bool pattern_meets(struct slice text, const struct blob *blob, const struct blob_pattern *pattern, size_t key_to,
                   size_t *from, size_t *to)
{
    struct walk w = {.text = text,
                     .blob = blob,
                     .tokens = BLOB_AT(blob, struct blob_token, blob->tokens) + pattern->token_from,
                     .count = (int)pattern->token_count,
                     .is_anchored = pattern->is_anchored};
    int key = (int)pattern->key_token;
    size_t key_from = key_to - w.tokens[key].text.len;
    ptrdiff_t first = walk_on(&w, key - 1, key_from, -1);
    if (first < 0)
        return false;
    ptrdiff_t last = walk_on(&w, key + 1, key_to, 1);
    if (last < 0)
        return false;
    *from = (size_t)first;
    *to = (size_t)last;
    return true;
}
