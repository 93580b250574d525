/* The syntax of an SPF record (RFC 7208 4.6.1, 12). The whole record is read before any of it is evaluated: one error
 * anywhere is a PERMERROR. */
#include "mailauth/spf_private.h"

#include <arpa/inet.h>

static bool wrong(struct arena *arena, struct slice *reason, struct slice term, const char *what)
{
    *reason = arena_printf(arena, "the record cannot be read: \"%.*s\": %s", SLICE_ARG(slice_head(term, 100)), what);
    return false;
}

static const struct {
    struct slice name;
    enum spf_mechanism mechanism;
} mechanisms[] = {
    {SLICE_INIT("all"), SPF_ALL}, {SLICE_INIT("include"), SPF_INCLUDE}, {SLICE_INIT("a"), SPF_A},
    {SLICE_INIT("mx"), SPF_MX},   {SLICE_INIT("ptr"), SPF_PTR},         {SLICE_INIT("ip4"), SPF_IP4},
    {SLICE_INIT("ip6"), SPF_IP6}, {SLICE_INIT("exists"), SPF_EXISTS},
};

/* "/24" at the end of *text, cut off; `slashes` in front. False: there is one and it is wrong. */
static bool cidr_cut(struct slice *text, struct slice slashes, unsigned most, unsigned *bits)
{
    size_t digits = 0;
    uint64_t number;
    while (digits < text->len && ascii_is_digit(text->ptr[text->len - 1 - digits]))
        digits++;
    struct slice before = slice_head(*text, text->len - digits), written = slice_from(*text, before.len);
    if (!slice_ends(before, slashes))
        return true;
    bool is_longer = slashes.len == 1 && slice_ends(before, SLICE("//"));
    if (is_longer)
        return true;
    if (!digits || digits > 3 || (digits > 1 && written.ptr[0] == '0') || !slice_to_u64(written, &number) ||
        number > most)
        return false;
    *bits = (unsigned)number;
    text->len -= digits + slashes.len;
    return true;
}

static bool parse_ip(struct spf_term *term, struct slice text)
{
    char copy[64];
    bool is_v4 = term->mechanism == SPF_IP4;
    if (!cidr_cut(&text, SLICE("/"), is_v4 ? 32 : 128, is_v4 ? &term->cidr4 : &term->cidr6) || text.len >= sizeof(copy))
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    return inet_pton(is_v4 ? AF_INET : AF_INET6, copy, term->network) == 1;
}

/* What follows the name: ":domain" and, for a and mx, CIDR lengths. */
static bool parse_argument(struct spf_term *term, struct slice rest)
{
    bool has_cidr = term->mechanism == SPF_A || term->mechanism == SPF_MX;
    bool needs_domain = term->mechanism == SPF_INCLUDE || term->mechanism == SPF_EXISTS;
    if (term->mechanism == SPF_ALL)
        return rest.len == 0;
    if (term->mechanism == SPF_IP4 || term->mechanism == SPF_IP6)
        return slice_starts(rest, SLICE(":")) && parse_ip(term, slice_from(rest, 1));
    if (has_cidr &&
        (!cidr_cut(&rest, SLICE("//"), 128, &term->cidr6) || !cidr_cut(&rest, SLICE("/"), 32, &term->cidr4)))
        return false;
    if (!rest.len)
        return !needs_domain;
    term->domain_spec = slice_from(rest, 1);
    return rest.ptr[0] == ':' && spf_macro_is_good(term->domain_spec, true);
}

static size_t name_len(struct slice term)
{
    size_t len = 0;
    if (!term.len || !ascii_is_alpha(term.ptr[0]))
        return 0;
    while (len < term.len && (ascii_is_alnum(term.ptr[len]) || memchr("-_.", term.ptr[len], 3)))
        len++;
    return len;
}

/* name=macro-string; redirect and exp once each, and as domain-specs. */
static bool parse_modifier(struct spf_record *record, struct slice term, size_t name, struct arena *arena,
                           struct slice *reason)
{
    struct slice value = slice_from(term, name + 1), *to = NULL;
    if (slice_equal_caseless(slice_head(term, name), SLICE("redirect")))
        to = &record->redirect;
    else if (slice_equal_caseless(slice_head(term, name), SLICE("exp")))
        to = &record->exp;
    if (to && to->len)
        return wrong(arena, reason, term, "this may be given only once");
    if (!spf_macro_is_good(value, to != NULL))
        return wrong(arena, reason, term, to ? "no domain, or a wrong macro" : "a wrong macro");
    if (to)
        *to = value;
    return true;
}

static bool parse_mechanism(struct spf_record *record, struct slice written, struct arena *arena, struct slice *reason)
{
    static const char marks[] = "+-~?";
    static const enum spf_result results[] = {SPF_PASS, SPF_FAIL, SPF_SOFTFAIL, SPF_NEUTRAL};
    struct slice term = written;
    if (record->count == SPF_TERMS_MAX)
        return wrong(arena, reason, written, "too many terms");
    struct spf_term *made = &record->term[record->count++];
    *made = (struct spf_term){.qualifier = SPF_PASS, .written = written, .cidr4 = 32, .cidr6 = 128};
    const char *mark = memchr(marks, term.ptr[0], sizeof(marks) - 1);
    if (mark) {
        made->qualifier = results[mark - marks];
        term = slice_from(term, 1);
    }
    size_t len = 0;
    while (len < term.len && (ascii_is_alnum(term.ptr[len]) || memchr("-_.", term.ptr[len], 3)))
        len++;
    for (size_t i = 0; i < COUNT_OF(mechanisms); i++) {
        if (!slice_equal_caseless(slice_head(term, len), mechanisms[i].name))
            continue;
        made->mechanism = mechanisms[i].mechanism;
        return parse_argument(made, slice_from(term, len)) || wrong(arena, reason, written, "its argument is wrong");
    }
    return wrong(arena, reason, written, "there is no such mechanism");
}

bool spf_record_parse(struct slice text, struct spf_record *record, struct arena *arena, struct slice *reason)
{
    struct slice rest = slice_from(text, sizeof("v=spf1") - 1), term;
    record->count = 0;
    record->redirect = record->exp = slice_of("", 0);
    while (slice_split(&rest, ' ', &term)) {
        if (!term.len)
            continue;
        for (size_t i = 0; i < term.len; i++)
            if (term.ptr[i] < 0x21 || term.ptr[i] > 0x7e)
                return wrong(arena, reason, SLICE("?"), "a byte that may not be in it");
        size_t name = name_len(term);
        bool is_modifier = name && name < term.len && term.ptr[name] == '=';
        if (is_modifier ? !parse_modifier(record, term, name, arena, reason)
                        : !parse_mechanism(record, term, arena, reason))
            return false;
    }
    return true;
}
