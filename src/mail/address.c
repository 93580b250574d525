#include "mail/address.h"

#include "base/map.h"
#include "base/memory.h"
#include "base/utf8.h"
#include <idn2.h>

static bool is_atext(unsigned char c)
{
    return c >= 0x80 || ascii_is_alnum((char)c) || (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

bool domain_normalise(struct slice text, struct arena *arena, struct slice *domain, struct fault *why)
{
    if (text.len && text.ptr[text.len - 1] == '.')
        text.len--;
    if (text.len == 0)
        return fault_set(why, FAULT_INPUT, "the domain is missing");
    if (text.len > ADDRESS_DOMAIN_MAX * 4)
        return fault_set(why, FAULT_INPUT, "the domain is longer than %d octets", ADDRESS_DOMAIN_MAX);
    char *name = arena_str(arena, text);
    if (strlen(name) != text.len)
        return fault_set(why, FAULT_INPUT, "the domain contains a NUL");
    if (slice_is_ascii(text)) {
        for (char *c = name; *c; c++)
            *c = ascii_lower(*c);
    } else {
        char *ascii = NULL;
        int result = idn2_to_ascii_8z(name, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
        if (result == IDN2_MALLOC)
            memory_gone("libidn2"); /* not the address's fault */
        if (result != IDN2_OK)
            return fault_set(why, FAULT_INPUT, "the domain \"%s\" is no international domain name: %s", name,
                             idn2_strerror(result));
        name = arena_str(arena, slice_str(ascii));
        idn2_free(ascii);
    }
    size_t len = strlen(name), label = 0;
    if (len > ADDRESS_DOMAIN_MAX)
        return fault_set(why, FAULT_INPUT, "the domain is longer than %d octets", ADDRESS_DOMAIN_MAX);
    for (size_t i = 0; i <= len; i++) {
        if (i < len && name[i] != '.') {
            if (!ascii_is_alnum(name[i]) && name[i] != '-' && name[i] != '_')
                return fault_set(why, FAULT_INPUT, "the domain \"%s\" contains \"%c\"", name, name[i]);
            label++;
            continue;
        }
        if (label == 0 || label > 63)
            return fault_set(why, FAULT_INPUT, "the domain \"%s\" has %s", name,
                             label ? "a part longer than 63 octets" : "an empty part");
        if (name[i - 1] == '-' || name[i - label] == '-')
            return fault_set(why, FAULT_INPUT, "the domain \"%s\" has a part that begins or ends with \"-\"", name);
        label = 0;
    }
    *domain = slice_of(name, len);
    return true;
}

/* Unquote a local part into the arena and see what is odd about it. */
static bool local_parse(struct slice text, struct arena *arena, struct address *address, struct fault *why)
{
    if (text.len >= 2 && text.ptr[0] == '"' && text.ptr[text.len - 1] == '"') {
        char *to = arena_alloc(arena, text.len);
        size_t len = 0;
        for (size_t i = 1; i + 1 < text.len; i++) {
            if (text.ptr[i] == '\\' && i + 2 < text.len)
                i++;
            else if (text.ptr[i] == '"' || text.ptr[i] == '\\')
                return fault_set(why, FAULT_INPUT, "a quote stands inside the quoted local part");
            to[len++] = text.ptr[i];
        }
        text = slice_of(to, len);
    } else {
        for (size_t i = 0; i < text.len; i++)
            if (!is_atext((unsigned char)text.ptr[i]) && text.ptr[i] != '.')
                return fault_set(why, FAULT_INPUT, "\"%c\" may not stand before the @ unquoted", text.ptr[i]);
    }
    if (text.len == 0 || text.len > ADDRESS_LOCAL_MAX)
        return fault_set(why, FAULT_INPUT,
                         text.len ? "more than %d octets stand before the @" : "nothing stands before the @",
                         ADDRESS_LOCAL_MAX);
    bool is_dot_atom = true;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c < 0x20 || c == 0x7f)
            return fault_set(why, FAULT_INPUT, "a control character stands before the @");
        if (c == '.') {
            if (i == 0 || i + 1 == text.len || text.ptr[i - 1] == '.')
                address->has_rfc_violation = true;
        } else if (!is_atext(c)) {
            is_dot_atom = false;
        }
    }
    address->needs_smtputf8 = !slice_is_ascii(text);
    if (address->needs_smtputf8 && !utf8_is_valid(text))
        return fault_set(why, FAULT_INPUT, "what stands before the @ is not UTF-8");
    address->local = arena_copy(arena, text);
    if (!is_dot_atom)
        address->has_rfc_violation = false; /* odd, but rightly quoted */
    return true;
}

static struct slice quoted_local(struct slice local, struct arena *arena)
{
    bool needs_quotes = local.ptr[0] == '.' || local.ptr[local.len - 1] == '.' || slice_find(local, SLICE("..")) >= 0;
    for (size_t i = 0; i < local.len && !needs_quotes; i++)
        needs_quotes = local.ptr[i] != '.' && !is_atext((unsigned char)local.ptr[i]);
    if (!needs_quotes)
        return local;
    char *to = arena_alloc(arena, local.len * 2 + 2);
    size_t len = 0;
    to[len++] = '"';
    for (size_t i = 0; i < local.len; i++) {
        if (local.ptr[i] == '"' || local.ptr[i] == '\\')
            to[len++] = '\\';
        to[len++] = local.ptr[i];
    }
    to[len++] = '"';
    return slice_of(to, len);
}

bool address_parse(struct slice text, struct arena *arena, struct address *address, struct fault *why)
{
    *address = (struct address){0};
    text = slice_trim(text);
    ptrdiff_t at = slice_find_last_byte(text, '@');
    if (at == SLICE_NPOS)
        return fault_set(why, FAULT_INPUT, "there is no @");
    if (text.len > ADDRESS_MAX * 4)
        return fault_set(why, FAULT_INPUT, "the address is longer than %d octets", ADDRESS_MAX);
    if (!local_parse(slice_head(text, (size_t)at), arena, address, why) ||
        !domain_normalise(slice_from(text, (size_t)at + 1), arena, &address->domain, why))
        return false;
    if (slice_find_byte(address->domain, '.') == SLICE_NPOS)
        return fault_set(why, FAULT_INPUT, "the domain \"%.*s\" has no dot", SLICE_ARG(address->domain));
    struct slice written = quoted_local(address->local, arena);
    address->written = arena_printf(arena, "%.*s@%.*s", SLICE_ARG(written), SLICE_ARG(address->domain));
    if (address->written.len > ADDRESS_MAX)
        return fault_set(why, FAULT_INPUT, "the address is longer than %d octets", ADDRESS_MAX);
    address->identity = arena_printf(arena, "%.*s@%.*s", SLICE_ARG(address->local), SLICE_ARG(address->domain));
    char *lower = (char *)(uintptr_t)address->identity.ptr;
    for (size_t i = 0; i < address->local.len; i++)
        lower[i] = ascii_lower(lower[i]);
    return true;
}

static bool is_of(struct slice domain, struct slice of)
{
    return slice_equal(domain, of) || (domain.len > of.len && domain.ptr[domain.len - of.len - 1] == '.' &&
                                       slice_equal(slice_from(domain, domain.len - of.len), of));
}

bool address_of_person(struct slice text, struct arena *arena, struct address *address, struct fault *why)
{
    static const struct slice gave_out[] = {SLICE_INIT("docomo.ne.jp"), SLICE_INIT("ezweb.ne.jp"),
                                            SLICE_INIT("au.com")};
    if (!address_parse(text, arena, address, why))
        return false;
    if (!address->has_rfc_violation || slice_trim(text).ptr[0] == '"')
        return true;
    for (size_t i = 0; i < COUNT_OF(gave_out); i++)
        if (is_of(address->domain, gave_out[i]))
            return true;
    return fault_set(why, FAULT_INPUT,
                     "a dot stands first, last or twice before the @: only docomo and au gave out such");
}

struct slice address_find(struct slice text)
{
    ptrdiff_t open = slice_find_last_byte(text, '<');
    if (open != SLICE_NPOS) {
        struct slice inside = slice_from(text, (size_t)open + 1);
        ptrdiff_t close = slice_find_byte(inside, '>');
        return slice_trim(close == SLICE_NPOS ? inside : slice_head(inside, (size_t)close));
    }
    ptrdiff_t at = slice_find_byte(text, '@');
    if (at == SLICE_NPOS)
        return SLICE("");
    size_t from = (size_t)at, to = (size_t)at + 1;
    if (from && text.ptr[from - 1] == '"') {
        for (from--; from && text.ptr[from - 1] != '"';)
            from--;
        from -= from > 0;
    } else {
        while (from && (is_atext((unsigned char)text.ptr[from - 1]) || text.ptr[from - 1] == '.'))
            from--;
    }
    while (to < text.len && (is_atext((unsigned char)text.ptr[to]) || text.ptr[to] == '.'))
        to++;
    while (to > (size_t)at + 1 && text.ptr[to - 1] == '.')
        to--;
    return slice_of(text.ptr + from, to - from);
}

unsigned address_bucket(struct slice identity)
{
    return (unsigned)(hash_bytes(identity, ADDRESS_NORMAL_VERSION) % BUCKETS);
}
