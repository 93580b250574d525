#include "bounce/scan.h"
#include "bounce/phrase.h"

enum { OF_LOCAL = 1, OF_DOMAIN = 2 };
static const uint8_t address_chars[256] = {
    ['0' ... '9'] = OF_LOCAL | OF_DOMAIN,
    ['A' ... 'Z'] = OF_LOCAL | OF_DOMAIN,
    ['a' ... 'z'] = OF_LOCAL | OF_DOMAIN,
    [0x80 ... 0xff] = OF_LOCAL | OF_DOMAIN,
    ['-'] = OF_LOCAL | OF_DOMAIN,
    ['.'] = OF_LOCAL | OF_DOMAIN,
    ['_'] = OF_LOCAL | OF_DOMAIN,
    ['!'] = OF_LOCAL,
    ['#' ... '\''] = OF_LOCAL,
    ['*'] = OF_LOCAL,
    ['+'] = OF_LOCAL,
    ['/'] = OF_LOCAL,
    ['='] = OF_LOCAL,
    ['?'] = OF_LOCAL,
    ['^'] = OF_LOCAL,
    ['`'] = OF_LOCAL,
    ['{' ... '~'] = OF_LOCAL,
};

static bool is_local_char(char c)
{
    return address_chars[(unsigned char)c] & OF_LOCAL;
}

static bool is_domain_char(char c)
{
    return address_chars[(unsigned char)c] & OF_DOMAIN;
}

bool scan_address(struct slice text, size_t *at, struct slice *address)
{
    enum { LOCAL_MAX = 256, DOMAIN_MAX = 255 };
    size_t floor = *at;
    while (*at < text.len) {
        const char *mark = memchr(text.ptr + *at, '@', text.len - *at);
        if (!mark)
            break;
        size_t middle = (size_t)(mark - text.ptr), from = middle, to = middle + 1;
        size_t least = middle > floor + LOCAL_MAX ? middle - LOCAL_MAX : floor;
        if (from > least && text.ptr[from - 1] == '"') { /* a quoted local part */
            size_t quote = from - 1;
            while (quote > least && text.ptr[quote - 1] != '"' && text.ptr[quote - 1] != '\n')
                quote--;
            from = quote > least && text.ptr[quote - 1] == '"' ? quote - 1 : from;
        } else {
            /* letters beyond ASCII belong to it only where it has no others: 宛先taro@example.jp */
            bool is_ascii = from > least && !(text.ptr[from - 1] & 0x80);
            while (from > least && is_local_char(text.ptr[from - 1]) && is_ascii == !(text.ptr[from - 1] & 0x80))
                from--;
            while (from < middle && (text.ptr[from] == '\'' || text.ptr[from] == '`'))
                from++;
        }
        if (to < text.len && text.ptr[to] == '[') {
            while (to < text.len && to - middle < 64 && text.ptr[to] != ']')
                to++;
            to += to < text.len && text.ptr[to] == ']';
        } else {
            bool is_ascii = true; /* of the label we are in */
            while (to < text.len && to - middle <= DOMAIN_MAX && is_domain_char(text.ptr[to])) {
                bool is_start = text.ptr[to - 1] == '.' || text.ptr[to - 1] == '@';
                bool is_ascii_char = !(text.ptr[to] & 0x80);
                if (is_start)
                    is_ascii = is_ascii_char;
                if (!is_ascii_char && (is_ascii || slice_starts(slice_from(text, to), SLICE("\xe3\x80")) ||
                                       slice_starts(slice_from(text, to), SLICE("\xef\xbc"))))
                    break;
                to++;
            }
            while (to > middle + 1 && (text.ptr[to - 1] == '.' || text.ptr[to - 1] == '-'))
                to--;
        }
        *at = floor = to > middle + 1 ? to : middle + 1;
        if (from < middle && to > middle + 1) {
            *address = slice_of(text.ptr + from, to - from);
            return true;
        }
    }
    *at = text.len;
    return false;
}

struct slice scan_typed_address(struct slice value)
{
    ptrdiff_t semicolon = slice_find_byte(value, ';');
    struct slice rest = slice_trim(semicolon >= 0 ? slice_from(value, (size_t)semicolon + 1) : value);
    size_t at = 0;
    struct slice address;
    if (rest.len && rest.ptr[0] == '"') { /* "a b"@c, or a display name */
        ptrdiff_t open = slice_find_byte(rest, '<');
        if (open < 0 && slice_find(rest, SLICE("\"@")) > 0)
            return rest;
    }
    ptrdiff_t open = slice_find_byte(rest, '<'), close = slice_find_last_byte(rest, '>');
    if (open >= 0 && close > open + 1)
        rest = slice_trim(slice_of(rest.ptr + open + 1, (size_t)(close - open) - 1));
    if (scan_address(rest, &at, &address))
        return address;
    while (rest.len && (rest.ptr[0] == '<' || rest.ptr[0] == '"' || rest.ptr[0] == '@'))
        rest = slice_from(rest, 1);
    while (rest.len && (rest.ptr[rest.len - 1] == '>' || rest.ptr[rest.len - 1] == '"'))
        rest.len--;
    return rest;
}

static bool is_host_char(char c)
{
    return ascii_is_alnum(c) || c == '-' || c == '.' || c == '_';
}

struct slice scan_host(struct slice value)
{
    ptrdiff_t semicolon = slice_find_byte(value, ';');
    if (semicolon >= 0 && semicolon < 12)
        value = slice_from(value, (size_t)semicolon + 1);
    value = slice_trim(value);
    size_t len = 0;
    while (len < value.len && is_host_char(value.ptr[len]))
        len++;
    if (!len && value.len > 2 && (value.ptr[0] == '[' || value.ptr[0] == '(')) {
        value = slice_from(value, 1);
        while (len < value.len && (is_host_char(value.ptr[len]) || value.ptr[len] == ':'))
            len++;
    }
    while (len && value.ptr[len - 1] == '.')
        len--;
    return slice_head(value, len);
}

static bool looks_like_host(struct slice host)
{
    ptrdiff_t dot = slice_find_byte(host, '.');
    return dot > 0 && (size_t)dot + 1 < host.len && host.len > 3;
}

struct slice scan_speaker(struct slice text)
{
    static const struct phrase rows[] = {
        {SLICE_INIT("host "), 5},          {SLICE_INIT("talking to "), 11},
        {SLICE_INIT("server "), 7},        {SLICE_INIT("connect to "), 11},
        {SLICE_INIT("connected to "), 13}, {SLICE_INIT("conversation with "), 18},
        {SLICE_INIT("host: "), 6},         {SLICE_INIT("connection with "), 16},
        {SLICE_INIT("remote mta "), 11},   {SLICE_INIT("smtp:rcpt host "), 15},
    };
    static struct phrases set = PHRASES(rows);
    text = slice_head(text, 2048);
    /* Gmail: "by the server for the recipient domain example.com by mx.example.com. [192.0.2.1]." */
    ptrdiff_t domain = slice_find(text, SLICE("the recipient domain "));
    if (domain >= 0) {
        ptrdiff_t by = slice_find(slice_from(text, (size_t)domain), SLICE(" by "));
        struct slice host = by >= 0 ? scan_host(slice_from(text, (size_t)(domain + by) + 4)) : SLICE("");
        if (looks_like_host(host))
            return host;
    }
    size_t at = 0;
    for (struct slice rest = text; rest.len;) {
        int len = scan_phrase_at(rest, &set, 0, &at);
        if (!len)
            break;
        rest = slice_from(rest, at + (size_t)len);
        struct slice host = scan_host(rest);
        if (looks_like_host(host))
            return host;
    }
    /* "mx.example.com [192.0.2.1] did not like our RCPT TO" */
    ptrdiff_t like = slice_find(text, SLICE(" did not like"));
    if (like > 0) {
        struct slice line = slice_head(text, (size_t)like);
        ptrdiff_t newline = slice_find_last_byte(line, '\n');
        struct slice host = scan_host(newline >= 0 ? slice_from(line, (size_t)newline + 1) : line);
        if (looks_like_host(host))
            return host;
    }
    return SLICE("");
}

enum stage scan_stage(struct slice text)
{
    static const struct phrase rows[] = {
        {SLICE_INIT("end of data"), STAGE_DOT},
        {SLICE_INIT("end of message"), STAGE_DOT},
        {SLICE_INIT("sending message body"), STAGE_DOT},
        {SLICE_INIT("final data"), STAGE_DOT},
        {SLICE_INIT("final dot"), STAGE_DOT},
        {SLICE_INIT("failed after i sent the message"), STAGE_DOT},
        {SLICE_INIT("text command"), STAGE_DOT},
        {SLICE_INIT("does not like recipient"), STAGE_RCPT},
        {SLICE_INIT("does not like sender"), STAGE_MAIL},
        {SLICE_INIT("rcpt to"), STAGE_RCPT},
        {SLICE_INIT("rcpt_to"), STAGE_RCPT},
        {SLICE_INIT("rcpt command"), STAGE_RCPT},
        {SLICE_INIT("smtp:rcpt"), STAGE_RCPT},
        {SLICE_INIT("to mail from"), STAGE_MAIL},
        {SLICE_INIT("after mail from"), STAGE_MAIL},
        {SLICE_INIT("for mail from"), STAGE_MAIL},
        {SLICE_INIT("sending mail from"), STAGE_MAIL},
        {SLICE_INIT("pipelined mail from"), STAGE_MAIL},
        {SLICE_INIT("for mail command"), STAGE_MAIL},
        {SLICE_INIT("mail command"), STAGE_MAIL},
        {SLICE_INIT("our mail from"), STAGE_MAIL},
        {SLICE_INIT(">>> mail from"), STAGE_MAIL},
        {SLICE_INIT("> mail from"), STAGE_MAIL},
        {SLICE_INIT("mail_from]"), STAGE_MAIL},
        {SLICE_INIT("\"mail from"), STAGE_MAIL},
        {SLICE_INIT("to data"), STAGE_DATA},
        {SLICE_INIT("after data"), STAGE_DATA},
        {SLICE_INIT("pipelined data"), STAGE_DATA},
        {SLICE_INIT("data command"), STAGE_DATA},
        {SLICE_INIT("our data"), STAGE_DATA},
        {SLICE_INIT("(data"), STAGE_DATA},
        {SLICE_INIT("data)"), STAGE_DATA},
        {SLICE_INIT(">>> data"), STAGE_DATA},
        {SLICE_INIT("to helo"), STAGE_EHLO},
        {SLICE_INIT("to ehlo"), STAGE_EHLO},
        {SLICE_INIT("after helo"), STAGE_EHLO},
        {SLICE_INIT("after ehlo"), STAGE_EHLO},
        {SLICE_INIT("our ehlo"), STAGE_EHLO},
        {SLICE_INIT(">>> helo"), STAGE_EHLO},
        {SLICE_INIT(">>> ehlo"), STAGE_EHLO},
        {SLICE_INIT("> ehlo"), STAGE_EHLO},
        {SLICE_INIT("starttls"), STAGE_STARTTLS},
        {SLICE_INIT("initial connection"), STAGE_CONNECT},
        {SLICE_INIT("refused to talk to me"), STAGE_CONNECT},
        {SLICE_INIT("greeting failed"), STAGE_CONNECT},
    };
    static struct phrases set = PHRASES(rows);
    return (enum stage)scan_phrase(text, &set, STAGE_UNKNOWN);
}

struct slice scan_squeeze(struct slice text, struct arena *arena)
{
    text = slice_trim(text);
    bool is_clean = true;
    for (size_t i = 0; i < text.len && is_clean; i++)
        is_clean =
            !ascii_is_space(text.ptr[i]) || (text.ptr[i] == ' ' && text.ptr[i + 1 < text.len ? i + 1 : i - 1] != ' ');
    if (is_clean)
        return text;
    char *to = arena_alloc(arena, text.len + 1), *out = to;
    for (size_t i = 0; i < text.len; i++) {
        if (!ascii_is_space(text.ptr[i]))
            *out++ = text.ptr[i];
        else if (out > to && out[-1] != ' ')
            *out++ = ' ';
    }
    return slice_of(to, (size_t)(out - to));
}

/* ---- HTML ---- */

static size_t entity_decode(struct slice s, char *to)
{
    static const struct {
        struct slice name;
        const char *text;
    } names[] = {
        {SLICE_INIT("&lt;"), "<"},    {SLICE_INIT("&gt;"), ">"},   {SLICE_INIT("&amp;"), "&"},
        {SLICE_INIT("&quot;"), "\""}, {SLICE_INIT("&nbsp;"), " "}, {SLICE_INIT("&#39;"), "'"},
        {SLICE_INIT("&#64;"), "@"},   {SLICE_INIT("&#8203;"), ""}, {SLICE_INIT("&apos;"), "'"},
        {SLICE_INIT("&#43;"), "+"},   {SLICE_INIT("&#46;"), "."},
    };
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (slice_starts_caseless(s, names[i].name)) {
            *to = names[i].text[0];
            return names[i].name.len;
        }
    }
    return 0;
}

struct slice scan_html(struct slice html, struct arena *arena)
{
    char *to = arena_alloc(arena, html.len + 1), *out = to;
    size_t i = 0;
    const char *close = NULL; /* the next ">" */
    bool is_hidden = false;   /* inside <style>, <script>, <head> */
    while (i < html.len) {
        char c = html.ptr[i];
        if (c == '<') {
            struct slice rest = slice_from(html, i + 1);
            bool is_close = rest.len && rest.ptr[0] == '/';
            struct slice name = slice_from(rest, is_close);
            if (close < rest.ptr) /* looked for once for all the "<" before it */
                close = memchr(rest.ptr, '>', rest.len);
            close = close ? close : html.ptr + html.len;
            const char *end = close < html.ptr + html.len ? close : NULL;
            if (!end || !name.len || (!ascii_is_alpha(name.ptr[0]) && name.ptr[0] != '!')) {
                *out++ = c;
                i++;
                continue;
            }
            static const struct slice hidden[] = {SLICE_INIT("style"), SLICE_INIT("script"), SLICE_INIT("title")};
            static const struct slice blocks[] = {SLICE_INIT("p"),     SLICE_INIT("br"), SLICE_INIT("div"),
                                                  SLICE_INIT("tr"),    SLICE_INIT("li"), SLICE_INIT("h"),
                                                  SLICE_INIT("table"), SLICE_INIT("hr")};
            for (size_t k = 0; k < COUNT_OF(hidden); k++)
                if (slice_starts_caseless(name, hidden[k]))
                    is_hidden = !is_close;
            for (size_t k = 0; k < COUNT_OF(blocks); k++) {
                if (slice_starts_caseless(name, blocks[k])) {
                    if (out > to && out[-1] != '\n')
                        *out++ = '\n';
                    break;
                }
            }
            bool is_cell = name.len > 2 && ascii_lower(name.ptr[0]) == 't' && !ascii_is_alpha(name.ptr[2]);
            char cell = is_cell ? ascii_lower(name.ptr[1]) : 0;
            if (cell == 'h' && is_close && out > to && !memchr(": \n", out[-1], 3)) /* it names what the next one has */
                *out++ = ':';
            if ((cell == 'h' || cell == 'd') && out > to && !ascii_is_space(out[-1]))
                *out++ = ' ';
            i = (size_t)(end - html.ptr) + 1;
            continue;
        }
        if (is_hidden) {
            i++;
            continue;
        }
        size_t len = c == '&' ? entity_decode(slice_from(html, i), out) : 0;
        if (len) {
            out += *out != 0;
            i += len;
            continue;
        }
        *out++ = c == '\n' || c == '\r' || c == '\t' ? ' ' : c;
        i++;
    }
    return slice_of(to, (size_t)(out - to));
}
