#include "mailauth/auth_results.h"

enum { NAME_MAX_OCTETS = 255 };

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* White space and comments off the front; comments nest. False: one has no end. */
static bool skip_cfws(struct slice *rest)
{
    size_t at = 0, depth = 0;
    for (; at < rest->len; at++) {
        char c = rest->ptr[at];
        if (depth && c == '\\')
            at++;
        else if (c == '(')
            depth++;
        else if (depth && c == ')')
            depth--;
        else if (!depth && !is_space(c))
            break;
    }
    *rest = slice_from(*rest, at);
    return depth == 0;
}

/* A quoted string off the front, without quotes and backslashes. False: it has no end, or is longer than any name. */
static bool take_quoted(struct slice *rest, char *name, size_t *len)
{
    for (size_t at = 1; at < rest->len; at++) {
        char c = rest->ptr[at];
        if (c == '"') {
            *rest = slice_from(*rest, at + 1);
            return true;
        }
        if (c == '\\' && ++at < rest->len)
            c = rest->ptr[at];
        if (c == '\r' || c == '\n')
            continue; /* a fold is its space alone */
        if (*len >= NAME_MAX_OCTETS)
            return false;
        name[(*len)++] = c;
    }
    return false;
}

/* A token ends where a comment, a semicolon or white space begins. */
static void take_token(struct slice *rest, char *name, size_t *len)
{
    size_t at = 0;
    for (; at < rest->len && !is_space(rest->ptr[at]) && !strchr(";(\"", rest->ptr[at]); at++)
        if (*len < NAME_MAX_OCTETS)
            name[(*len)++] = rest->ptr[at];
    *rest = slice_from(*rest, at);
}

bool auth_results_claims(struct slice value, struct slice host_name)
{
    char name[NAME_MAX_OCTETS];
    size_t len = 0;
    if (!skip_cfws(&value) || !value.len)
        return true;
    if (value.ptr[0] != '"')
        take_token(&value, name, &len);
    else if (!take_quoted(&value, name, &len))
        return true;
    struct slice said = slice_trim(slice_of(name, len));
    if (said.len && said.ptr[said.len - 1] == '.')
        said.len--;
    return said.len == 0 || slice_equal_caseless(said, host_name);
}
