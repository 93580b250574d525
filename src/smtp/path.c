#include "smtp/path.h"

#include "base/utf8.h"
#include <stddef.h>

static bool is_atext(unsigned char c)
{
    return c >= 0x80 || ascii_is_alnum((char)c) || (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

/* "string" with backslash pairs; *at stands on the opening quote and ends behind the closing one. */
static bool quoted_skip(struct slice text, size_t *at)
{
    for (size_t i = *at + 1; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c == '"') {
            *at = i + 1;
            return true;
        }
        if (c == '\\' && ++i < text.len)
            c = (unsigned char)text.ptr[i];
        if (c < 0x20 || c == 0x7f)
            return false;
    }
    return false;
}

static bool dots_are_odd(struct slice local)
{
    return local.len == 0 || local.ptr[0] == '.' || local.ptr[local.len - 1] == '.' ||
           slice_find(local, SLICE("..")) >= 0;
}

/* Labels of letters, digits and hyphens (underscores are met in the world), or UTF-8. */
static bool domain_is_name(struct slice domain)
{
    size_t label = 0;
    for (size_t i = 0; i < domain.len; i++) {
        unsigned char c = (unsigned char)domain.ptr[i];
        if (c == '.') {
            if (label == 0 || domain.ptr[i - 1] == '-')
                return false;
            label = 0;
        } else if (ascii_is_alnum((char)c) || c == '_' || c >= 0x80 || (c == '-' && label)) {
            if (++label > 63 && c < 0x80)
                return false;
        } else {
            return false;
        }
    }
    return label > 0 && domain.ptr[domain.len - 1] != '-';
}

static bool domain_is_literal(struct slice domain)
{
    if (domain.len < 3 || domain.ptr[domain.len - 1] != ']')
        return false;
    for (size_t i = 1; i + 1 < domain.len; i++)
        if (!ascii_is_alnum(domain.ptr[i]) && !strchr(".:-", domain.ptr[i]))
            return false;
    return true;
}

/* "@one,@two:" at *at; leaves *at behind the colon. */
static bool route_skip(struct slice text, size_t *at)
{
    size_t i = *at;
    for (;;) {
        size_t from = ++i; /* behind the @ */
        while (i < text.len && text.ptr[i] != ',' && text.ptr[i] != ':' && text.ptr[i] != '>')
            i++;
        if (!domain_is_name(slice_of(text.ptr + from, i - from)) || i >= text.len)
            return false;
        if (text.ptr[i] == ':') {
            *at = i + 1;
            return true;
        }
        if (text.ptr[i] != ',' || ++i >= text.len || text.ptr[i] != '@')
            return false;
    }
}

static enum smtp_path_fault mailbox_read(struct slice text, size_t *at, bool has_brackets, unsigned rules,
                                         struct smtp_path *path)
{
    size_t from = *at, i = from;
    if (i < text.len && text.ptr[i] == '"') {
        if (!quoted_skip(text, &i))
            return SMTP_PATH_SYNTAX;
        path->is_quoted = true;
    } else {
        while (i < text.len && (is_atext((unsigned char)text.ptr[i]) || text.ptr[i] == '.'))
            i++;
    }
    path->local = slice_of(text.ptr + from, i - from);
    if (path->local.len == 0 || path->local.len > 2 * 64 + 2)
        return path->local.len ? SMTP_PATH_LOCAL_LONG : SMTP_PATH_SYNTAX;
    if (!path->is_quoted && !(rules & SMTP_PATH_LENIENT_DOTS) && dots_are_odd(path->local))
        return SMTP_PATH_SYNTAX;
    if (i < text.len && text.ptr[i] == '@') {
        size_t domain = ++i;
        while (i < text.len && text.ptr[i] != '>' && text.ptr[i] != ' ')
            i++;
        path->domain = slice_of(text.ptr + domain, i - domain);
        if (path->domain.len > 255)
            return SMTP_PATH_DOMAIN_LONG;
        path->is_literal = path->domain.len && path->domain.ptr[0] == '[';
        if (path->is_literal ? !domain_is_literal(path->domain) : !domain_is_name(path->domain))
            return SMTP_PATH_SYNTAX;
    } else if (!has_brackets || !slice_equal_caseless(path->local, SLICE("postmaster"))) {
        return SMTP_PATH_SYNTAX;
    }
    path->address = slice_of(text.ptr + from, i - from);
    *at = i;
    size_t quotes = 0;
    for (size_t k = 0; path->is_quoted && k < path->local.len; k++) /* what quoting adds is not counted */
        if (path->local.ptr[k] == '\\')
            quotes++, k++;
    if (path->local.len - quotes - (path->is_quoted ? 2 : 0) > 64)
        return SMTP_PATH_LOCAL_LONG;
    return path->address.len - quotes > 254 ? SMTP_PATH_DOMAIN_LONG : SMTP_PATH_OK;
}

enum smtp_path_fault smtp_path_read(struct slice *text, unsigned rules, struct smtp_path *path)
{
    *path = (struct smtp_path){0};
    size_t at = 0;
    bool has_brackets = text->len && text->ptr[0] == '<';
    if (!has_brackets && !(rules & SMTP_PATH_NO_BRACKETS))
        return SMTP_PATH_SYNTAX;
    at += has_brackets;
    if (has_brackets && at < text->len && text->ptr[at] == '>') {
        path->address = slice_of(text->ptr + at, 0);
    } else {
        if (at < text->len && text->ptr[at] == '@') {
            if (!route_skip(*text, &at))
                return SMTP_PATH_SYNTAX;
            if (rules & SMTP_PATH_NO_ROUTE)
                return SMTP_PATH_ROUTE;
            path->has_route = true;
        }
        enum smtp_path_fault fault = mailbox_read(*text, &at, has_brackets, rules, path);
        if (fault != SMTP_PATH_OK)
            return fault;
    }
    if (has_brackets && (at >= text->len || text->ptr[at++] != '>'))
        return SMTP_PATH_SYNTAX;
    if (at < text->len && text->ptr[at] != ' ')
        return SMTP_PATH_SYNTAX;
    if (!utf8_is_valid(path->address))
        return SMTP_PATH_SYNTAX;
    path->is_utf8 = !slice_is_ascii(path->address);
    *text = slice_from(*text, at);
    return SMTP_PATH_OK;
}
