#include "mail/reply.h"

#include "base/buf.h"

bool reply_status_parse(struct slice text, uint16_t status[3], struct slice *rest)
{
    size_t at = 0;
    unsigned numbers[3];
    for (int part = 0; part < 3; part++) {
        size_t from = at;
        unsigned number = 0;
        while (at < text.len && at - from < 3 && ascii_is_digit(text.ptr[at]))
            number = number * 10 + (unsigned)(text.ptr[at++] - '0');
        if (at == from || (at < text.len && ascii_is_digit(text.ptr[at])))
            return false;
        numbers[part] = number;
        if (part < 2 && (at >= text.len || text.ptr[at++] != '.'))
            return false;
    }
    if (numbers[0] != 2 && numbers[0] != 4 && numbers[0] != 5)
        return false;
    if (at < text.len && (ascii_is_alnum(text.ptr[at]) || text.ptr[at] == '.' || text.ptr[at] == '-'))
        return false; /* an IP address, a version, a longer word */
    for (int part = 0; part < 3; part++)
        status[part] = (uint16_t)numbers[part];
    *rest = slice_trim(slice_from(text, at));
    return true;
}

/* "550", "550-", "550 " at the front. */
static bool code_parse(struct slice line, int *code, struct slice *rest)
{
    if (line.len < 3 || !ascii_is_digit(line.ptr[1]) || !ascii_is_digit(line.ptr[2]) || line.ptr[0] < '2' ||
        line.ptr[0] > '5')
        return false;
    if (line.len > 3 && line.ptr[3] != ' ' && line.ptr[3] != '-' && line.ptr[3] != '\t')
        return false;
    *code = (line.ptr[0] - '0') * 100 + (line.ptr[1] - '0') * 10 + (line.ptr[2] - '0');
    *rest = slice_from(line, line.len > 3 ? 4 : 3);
    return true;
}

void reply_parse(struct slice said, struct buf *joined, struct reply *reply)
{
    *reply = (struct reply){0};
    struct slice line, rest, text;
    bool is_first = true;
    while (slice_line(&said, &line)) {
        int code;
        if (code_parse(line, &code, &rest)) {
            if (!reply->code)
                reply->code = code;
            if (code == reply->code)
                line = rest;
        }
        line = slice_trim(line);
        uint16_t status[3];
        if (reply->code && reply_status_parse(line, status, &text)) {
            if (!reply->status[0])
                memcpy(reply->status, status, sizeof(reply->status));
            if (memcmp(reply->status, status, sizeof(status)) == 0)
                line = text;
        }
        if (line.len == 0)
            continue;
        if (!is_first)
            buf_byte(joined, ' ');
        buf_append(joined, slice_head(line, joined->limit - joined->len));
        is_first = false;
    }
    joined->is_over = false; /* cut, and said so in the header */
    reply->text = buf_slice(joined);
}

static bool says_any(struct slice text, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (slice_find_caseless(text, slice_str(words[i])) != SLICE_NPOS)
            return true;
    return false;
}

/* "Error: ..." is how Postfix begins whatever it says; other errors are somebody's. */
static bool says_errors(struct slice text)
{
    static const struct slice word = SLICE_INIT("error");
    for (ptrdiff_t at; (at = slice_find_caseless(text, word)) != SLICE_NPOS;) {
        text = slice_from(text, (size_t)at + word.len);
        if (text.len == 0 || text.ptr[0] != ':')
            return true;
    }
    return false;
}

bool reply_is_of_session(const struct reply *reply)
{
    static const char *const whose[] = {"this session",      "this connection", "per session",     "per connection",
                                        "a session",         "a connection",    "one session",     "one connection",
                                        "single connection", "same connection", "please reconnect"},
                             *const what[] = {"message", "mail", "transaction", "recipient", "rcpt"},
                             *const other[] = {"invalid", "unknown", "bad ",   "fail",      "spam",
                                               "rate",    "virus",   "policy", "reputation"};
    /* These do not say whose: with a 421 it is the connection, unless something else is named that may have had enough.
     */
    static const char *const enough[] = {"too many messages",
                                         "too many mails",
                                         "too many mail transactions",
                                         "too many transactions",
                                         "maximum number of messages",
                                         "maximum number of mails",
                                         "maximum messages",
                                         "max messages",
                                         "timeout",
                                         "timed out",
                                         "idle",
                                         "inactivity",
                                         "shutting down",
                                         "shutdown"},
                             *const elsewhere[] = {"later",       "your",       "from ",   " ip",       "[",
                                                   "connections", "hour",       "minute",  "day",       "quota",
                                                   "sender",      "user",       "mailbox", "slow",      "throttl",
                                                   "frequen",     "defer",      "volume",  "recipient", "concurren",
                                                   "simultan",    "connecting", "backend"};
    bool is_4xx = reply->code == 421 || (reply->code >= 450 && reply->code <= 452);
    bool is_too_many = reply->status[1] == 5 && reply->status[2] == 3; /* RFC 3463 3.6: too many recipients */
    bool is_refused = reply->status[1] == 7 && reply->status[2] != 0;
    if (reply->code == 452 && is_too_many)
        return true;
    if (!is_4xx || says_any(reply->text, other, COUNT_OF(other)) || says_errors(reply->text))
        return false;
    return (says_any(reply->text, whose, COUNT_OF(whose)) && says_any(reply->text, what, COUNT_OF(what))) ||
           (reply->code == 421 && !is_refused && says_any(reply->text, enough, COUNT_OF(enough)) &&
            !says_any(reply->text, elsewhere, COUNT_OF(elsewhere)));
}

bool reply_asks_for_later(const struct reply *reply)
{
    static const char *const words[] = {"later",     "temporar",    "try again",   "retry",   "at this time",
                                        "for now",   "in progress", "unavailable", "timeout", "timed out",
                                        "plus tard", "später",      "しばらく",    "後ほど"};
    return reply->code >= 400 && reply->code < 500 && says_any(reply->text, words, COUNT_OF(words));
}
