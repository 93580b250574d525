#include "smtp/command.h"

#include "base/percent.h"
#include "base/utf8.h"

static const char *path_refusal(enum smtp_path_fault fault, bool is_mail)
{
    switch (fault) {
    case SMTP_PATH_OK: return NULL;
    case SMTP_PATH_SYNTAX:
        return is_mail ? "501 5.1.7 this is not the syntax of a sender address"
                       : "501 5.1.3 this is not the syntax of a recipient address";
    case SMTP_PATH_LOCAL_LONG:
        return is_mail ? "553 5.1.7 more than 64 octets stand before the @"
                       : "553 5.1.3 more than 64 octets stand before the @";
    case SMTP_PATH_DOMAIN_LONG:
        return is_mail ? "553 5.1.7 the domain or the path is too long"
                       : "553 5.1.3 the domain or the path is too long";
    case SMTP_PATH_ROUTE:
        return is_mail ? "553 5.1.7 source routes are not accepted" : "553 5.1.3 source routes are not accepted";
    }
    return NULL;
}

/* xtext of RFC 3461 4: printable ASCII without '=' and ' ' (a '+' must lead two hex digits). */
static bool is_xtext(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c < '!' || c > '~' || c == '=')
            return false;
        if (c == '+' && percent_digits(text, i + 1) < 0)
            return false;
    }
    return text.len > 0;
}

/* No space, no control character. */
static bool is_visible(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] <= ' ' || text.ptr[i] == 0x7f)
            return false;
    return true;
}

static const char bad_params[] = "501 5.5.4 the parameter has no such value";
static const char twice_params[] = "501 5.5.4 a parameter is said twice";
static const char unknown_params[] = "555 5.5.4 a parameter that is not known here";

static const char *mail_param(struct slice name, struct slice value, const struct smtp_server_settings *settings,
                              struct smtp_params *params)
{
    if (!settings->no_size && slice_equal_caseless(name, SLICE("SIZE"))) {
        if (value.len > 20 || !slice_to_u64(value, &params->size))
            return bad_params;
    } else if (!settings->no_8bitmime && slice_equal_caseless(name, SLICE("BODY"))) {
        if (slice_equal_caseless(value, SLICE("7BIT")))
            params->body = SMTP_BODY_7BIT;
        else if (slice_equal_caseless(value, SLICE("8BITMIME")))
            params->body = SMTP_BODY_8BITMIME;
        else
            return bad_params;
    } else if (!settings->no_smtputf8 && slice_equal_caseless(name, SLICE("SMTPUTF8"))) {
        if (value.ptr)
            return bad_params;
        params->smtputf8 = true;
    } else if (settings->has_auth && slice_equal_caseless(name, SLICE("AUTH"))) {
        if (!slice_equal(value, SLICE("<>")) && !is_xtext(value))
            return bad_params;
        params->auth = value;
    } else if (!settings->no_dsn && slice_equal_caseless(name, SLICE("RET"))) {
        params->ret_full = slice_equal_caseless(value, SLICE("FULL"));
        params->ret_headers = slice_equal_caseless(value, SLICE("HDRS"));
        if (!params->ret_full && !params->ret_headers)
            return bad_params;
    } else if (!settings->no_dsn && slice_equal_caseless(name, SLICE("ENVID"))) {
        if (!is_xtext(value) || value.len > 100)
            return bad_params;
        params->envid = value;
    } else {
        return unknown_params;
    }
    return NULL;
}

static bool notify_read(struct slice value, unsigned *notify)
{
    static const struct {
        struct slice word;
        unsigned bit;
    } words[] = {{SLICE_INIT("NEVER"), SMTP_NOTIFY_NEVER},
                 {SLICE_INIT("SUCCESS"), SMTP_NOTIFY_SUCCESS},
                 {SLICE_INIT("FAILURE"), SMTP_NOTIFY_FAILURE},
                 {SLICE_INIT("DELAY"), SMTP_NOTIFY_DELAY}};
    struct slice word;
    while (slice_split(&value, ',', &word)) {
        unsigned bit = 0;
        for (size_t i = 0; i < COUNT_OF(words); i++)
            if (slice_equal_caseless(word, words[i].word))
                bit = words[i].bit;
        if (!bit || (*notify & bit))
            return false;
        *notify |= bit;
    }
    return *notify == SMTP_NOTIFY_NEVER || (*notify && !(*notify & SMTP_NOTIFY_NEVER));
}

static const char *rcpt_param(struct slice name, struct slice value, const struct smtp_server_settings *settings,
                              struct smtp_params *params)
{
    if (settings->no_dsn)
        return unknown_params;
    if (slice_equal_caseless(name, SLICE("NOTIFY"))) {
        if (!notify_read(value, &params->notify))
            return bad_params;
    } else if (slice_equal_caseless(name, SLICE("ORCPT"))) {
        ptrdiff_t semicolon = slice_find_byte(value, ';');
        if (semicolon <= 0 || value.len > 500 || slice_from(value, (size_t)semicolon + 1).len == 0 ||
            !utf8_is_valid(value) || !is_visible(value)) /* RFC 6533 3: "utf-8;" may carry it plainly */
            return bad_params;
        params->orcpt = value;
    } else {
        return unknown_params;
    }
    return NULL;
}

typedef const char *(*param_reader)(struct slice name, struct slice value, const struct smtp_server_settings *settings,
                                    struct smtp_params *params);

static struct slice param_name(struct slice word)
{
    ptrdiff_t equals = slice_find_byte(word, '=');
    return equals < 0 ? word : slice_head(word, (size_t)equals);
}

/* Was it said before this word? (RFC 5321 4.1.1.11; a line has 2,048 octets at most.) */
static bool param_is_said(struct slice all, struct slice word)
{
    struct slice name = param_name(word), before = slice_of(all.ptr, (size_t)(word.ptr - all.ptr)), one;
    while (slice_split(&before, ' ', &one))
        if (one.len && slice_equal_caseless(param_name(one), name))
            return true;
    return false;
}

static const char *params_read(struct slice rest, const struct smtp_server_settings *settings, bool is_esmtp,
                               param_reader read, struct smtp_params *params)
{
    *params = (struct smtp_params){0};
    struct slice word, all = rest;
    while (slice_split(&rest, ' ', &word)) {
        if (word.len == 0)
            continue;
        if (!is_esmtp)
            return unknown_params;
        if (param_is_said(all, word))
            return twice_params;
        struct slice name = param_name(word), value = {0};
        if (name.len < word.len)
            value = slice_from(word, name.len + 1);
        const char *refusal = read(name, value, settings, params);
        if (refusal)
            return refusal;
    }
    return NULL;
}

/* The word, the path, and what follows it. */
static const char *command_read(struct slice *args, struct slice word, bool is_mail,
                                const struct smtp_server_settings *settings, struct smtp_path *path)
{
    if (!slice_starts_caseless(*args, word))
        return is_mail ? "501 5.5.4 say MAIL FROM:<address>" : "501 5.5.4 say RCPT TO:<address>";
    *args = slice_from(*args, word.len);
    while (settings->is_lenient && args->len && args->ptr[0] == ' ')
        *args = slice_from(*args, 1);
    unsigned rules = settings->is_lenient ? SMTP_PATH_LENIENT_DOTS | SMTP_PATH_NO_BRACKETS : 0;
    return path_refusal(smtp_path_read(args, rules, path), is_mail);
}

const char *smtp_mail_read(struct slice args, const struct smtp_server_settings *settings, bool is_esmtp,
                           struct smtp_path *path, struct smtp_params *params)
{
    const char *refusal = command_read(&args, SLICE("FROM:"), true, settings, path);
    if (!refusal)
        refusal = params_read(args, settings, is_esmtp, mail_param, params);
    if (!refusal && path->is_utf8 && !params->smtputf8)
        return "553 5.6.7 this address needs SMTPUTF8";
    return refusal;
}

const char *smtp_rcpt_read(struct slice args, const struct smtp_server_settings *settings, bool is_esmtp,
                           bool has_smtputf8, struct smtp_path *path, struct smtp_params *params)
{
    const char *refusal = command_read(&args, SLICE("TO:"), false, settings, path);
    if (!refusal && path->address.len == 0)
        return "501 5.1.3 a recipient needs an address";
    if (!refusal)
        refusal = params_read(args, settings, is_esmtp, rcpt_param, params);
    if (!refusal && path->is_utf8 && !has_smtputf8)
        return "553 5.6.7 this address needs SMTPUTF8 at MAIL";
    return refusal;
}

bool smtp_bdat_read(struct slice args, uint64_t *size, bool *is_last)
{
    ptrdiff_t space = slice_find_byte(args, ' ');
    *is_last = space >= 0;
    if (space >= 0 && !slice_equal_caseless(slice_trim(slice_from(args, (size_t)space)), SLICE("LAST")))
        return false;
    return slice_to_u64(space >= 0 ? slice_head(args, (size_t)space) : args, size);
}

bool smtp_helo_is_valid(struct slice name, bool is_lenient)
{
    if (name.len == 0 || name.len > 255)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (is_lenient ? c <= ' ' || c == 0x7f
                       : !ascii_is_alnum(c) && c != '.' && c != '-' && c != '_' && c != ':' && c != '[' && c != ']')
            return false;
    }
    if (is_lenient)
        return true;
    if (name.ptr[0] == '[')
        return name.len > 2 && name.ptr[name.len - 1] == ']' && slice_find_last_byte(name, '[') == 0;
    return name.ptr[0] != '.' && name.ptr[0] != '-' && slice_find(name, SLICE("..")) < 0 &&
           slice_find_byte(name, '[') < 0 && slice_find_byte(name, ']') < 0 && slice_find_byte(name, ':') < 0;
}
