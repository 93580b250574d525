/* Macros of RFC 7208 7: %{d}, %{ir}, %{l2r-} ... */
#include "mailauth/spf_private.h"

#include "base/percent.h"

#include <arpa/inet.h>
#include <stdio.h>

enum { EXPANDED_MAX = 8192, PARTS_MAX = 128 };

struct macro {
    char letter;   /* as written: capital means URL-escaped */
    unsigned keep; /* parts from the right; 0: all */
    bool is_reversed;
    struct slice delimiters;
};

/* Read "{...}" behind a percent sign; gives its length, 0 when it is none. */
static size_t macro_read(struct slice s, struct macro *macro)
{
    size_t at = 2;
    *macro = (struct macro){.delimiters = SLICE(".")};
    if (s.len < 3 || s.ptr[0] != '{' || !strchr("slodiphcrtvSLODIPHCRTV", s.ptr[1]))
        return 0;
    macro->letter = s.ptr[1];
    for (; at < s.len && ascii_is_digit(s.ptr[at]); at++) {
        macro->keep = macro->keep * 10 + (unsigned)(s.ptr[at] - '0');
        if (macro->keep > 128)
            macro->keep = 128;
    }
    if (at > 2 && macro->keep == 0)
        return 0;
    if (at < s.len && ascii_lower(s.ptr[at]) == 'r') {
        macro->is_reversed = true;
        at++;
    }
    size_t from = at;
    while (at < s.len && s.ptr[at] && strchr(".-+,/_=", s.ptr[at]))
        at++;
    if (at > from)
        macro->delimiters = slice_of(s.ptr + from, at - from);
    return at < s.len && s.ptr[at] == '}' ? at + 1 : 0;
}

/* Ends in a top label that is no number, or in a macro (domain-end, 7.1). */
static bool is_good_end(struct slice text, size_t last_macro_end)
{
    if (last_macro_end == text.len && text.len)
        return true;
    if (text.len && text.ptr[text.len - 1] == '.')
        text.len--;
    ptrdiff_t dot = slice_find_last_byte(text, '.');
    struct slice label = slice_from(text, (size_t)(dot + 1));
    bool has_letter = false;
    if (dot == SLICE_NPOS || (size_t)dot < last_macro_end || !label.len || label.ptr[0] == '-' ||
        label.ptr[label.len - 1] == '-')
        return false;
    for (size_t i = 0; i < label.len; i++) {
        if (!ascii_is_alnum(label.ptr[i]) && label.ptr[i] != '-')
            return false;
        has_letter |= !ascii_is_digit(label.ptr[i]);
    }
    return has_letter;
}

bool spf_macro_is_good(struct slice text, bool is_domain_spec)
{
    size_t macro_end = 0;
    struct macro macro;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] != '%')
            continue;
        char next = i + 1 < text.len ? text.ptr[i + 1] : '\0';
        size_t len = next == '%' || next == '_' || next == '-' ? 1 : macro_read(slice_from(text, i + 1), &macro);
        if (!len || (is_domain_spec && next == '{' && strchr("crtCRT", macro.letter)))
            return false;
        i += len;
        macro_end = i + 1;
    }
    return !is_domain_spec || is_good_end(text, macro_end);
}

static void append_nibbles(struct buf *out, struct slice ip)
{
    static const char hex[] = "0123456789ABCDEF"; /* as the published suite prints them; DNS does not care */
    for (size_t i = 0; i < ip.len; i++) {
        unsigned char octet = (unsigned char)ip.ptr[i];
        buf_printf(out, i ? ".%c.%c" : "%c.%c", hex[octet >> 4], hex[octet & 15]);
    }
}

static void append_ip(struct buf *out, struct slice ip, bool is_for_people)
{
    char text[INET6_ADDRSTRLEN];
    if (ip.len == 16 && !is_for_people)
        append_nibbles(out, ip);
    else if (inet_ntop(ip.len == 4 ? AF_INET : AF_INET6, ip.ptr, text, sizeof(text)))
        buf_str(out, text);
}

/* %{p}: the validated name of the client, best one below the domain; "unknown" without (7.3). */
static bool append_validated(struct spf_check *check, struct slice domain, struct buf *out)
{
    struct slice names[SPF_NAMES_MAX], best = SLICE("unknown");
    size_t count;
    if (!spf_validated_names(check, names, &count))
        return false;
    for (size_t i = count; i--;)
        best = names[i];
    for (size_t i = count; i--;)
        if (spf_is_below(names[i], domain))
            best = names[i];
    for (size_t i = count; i--;)
        if (slice_equal_caseless(names[i], domain))
            best = names[i];
    buf_append(out, best);
    return true;
}

static bool append_value(struct spf_check *check, char letter, struct slice domain, struct buf *out)
{
    const struct spf_input *input = check->input;
    switch (ascii_lower(letter)) {
    case 's':
        buf_append(out, check->local);
        buf_byte(out, '@');
        buf_append(out, check->sender_domain);
        break;
    case 'l': buf_append(out, check->local); break;
    case 'o': buf_append(out, check->sender_domain); break;
    case 'd': buf_append(out, domain); break;
    case 'i': append_ip(out, check->ip, false); break;
    case 'c': append_ip(out, check->ip, true); break;
    case 'p': return append_validated(check, domain, out);
    case 'v': buf_append(out, check->ip.len == 4 ? SLICE("in-addr") : SLICE("ip6")); break;
    case 'h': buf_append(out, input->helo); break;
    case 'r': buf_append(out, input->receiver.len ? input->receiver : SLICE("unknown")); break;
    case 't': buf_i64(out, input->now_seconds); break;
    default: break;
    }
    return true;
}

/* Cut at the delimiters, turn round, keep the right-hand parts, join with dots. */
static void transform(const struct macro *macro, struct slice value, struct buf *out)
{
    struct slice parts[PARTS_MAX];
    size_t count = 0, from = 0;
    for (size_t i = 0; i <= value.len && count < PARTS_MAX; i++) {
        if (i < value.len && slice_find_byte(macro->delimiters, value.ptr[i]) == SLICE_NPOS)
            continue;
        parts[count++] = slice_of(value.ptr + from, i - from);
        from = i + 1;
    }
    size_t keep = macro->keep && macro->keep < count ? macro->keep : count;
    for (size_t i = count - keep; i < count; i++) {
        if (i > count - keep)
            buf_byte(out, '.');
        buf_append(out, parts[macro->is_reversed ? count - 1 - i : i]);
    }
}

static bool append_macro(struct spf_check *check, const struct macro *macro, struct slice domain, struct buf *out)
{
    SCOPED(buf) value = BUF(EXPANDED_MAX);
    SCOPED(buf) changed = BUF(EXPANDED_MAX);
    if (!append_value(check, macro->letter, domain, &value))
        return false;
    transform(macro, buf_slice(&value), &changed);
    if (macro->letter >= 'A' && macro->letter <= 'Z')
        percent_encode(out, buf_slice(&changed));
    else
        buf_append(out, buf_slice(&changed));
    return true;
}

bool spf_macro_expand(struct spf_check *check, struct slice text, struct slice domain, bool is_explanation,
                      struct slice *expanded)
{
    SCOPED(buf) out = BUF(EXPANDED_MAX);
    for (size_t i = 0; i < text.len; i++) {
        struct macro macro;
        char next = i + 1 < text.len ? text.ptr[i + 1] : '\0';
        if (text.ptr[i] != '%') {
            buf_byte(&out, text.ptr[i]);
        } else if (next == '{') {
            i += macro_read(slice_from(text, i + 1), &macro);
            if (!append_macro(check, &macro, domain, &out))
                return false;
        } else {
            buf_append(&out, next == '_' ? SLICE(" ") : next == '-' ? SLICE("%20") : SLICE("%"));
            i++;
        }
    }
    struct slice result = buf_slice(&out);
    if (!is_explanation && result.len && result.ptr[result.len - 1] == '.')
        result.len--;
    while (!is_explanation && result.len > SPF_NAME_MAX) { /* whole labels from the left (7.3) */
        ptrdiff_t dot = slice_find_byte(result, '.');
        result = slice_from(result, dot == SLICE_NPOS ? result.len : (size_t)dot + 1);
    }
    *expanded = arena_copy(check->lookup->arena, result);
    return true;
}
