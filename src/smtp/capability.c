#include "smtp/capability.h"

static bool number_read(struct slice text, uint64_t *number)
{
    return slice_to_u64(text, number);
}

static void auth_read(struct slice rest, struct smtp_capabilities *can)
{
    struct slice word;
    while (slice_split(&rest, ' ', &word)) {
        if (slice_equal_caseless(word, SLICE("PLAIN")))
            can->auth_plain = true;
        else if (slice_equal_caseless(word, SLICE("LOGIN")))
            can->auth_login = true;
        else if (slice_equal_caseless(word, SLICE("SCRAM-SHA-256")))
            can->auth_scram = true;
    }
}

static void limits_read(struct slice rest, struct smtp_capabilities *can)
{
    struct slice word;
    while (slice_split(&rest, ' ', &word)) {
        ptrdiff_t equals = slice_find_byte(word, '=');
        uint64_t number;
        if (equals < 0 || !number_read(slice_from(word, (size_t)equals + 1), &number) || number > UINT32_MAX)
            continue;
        struct slice name = slice_head(word, (size_t)equals);
        if (slice_equal_caseless(name, SLICE("MAILMAX")))
            can->mail_max = (uint32_t)number;
        else if (slice_equal_caseless(name, SLICE("RCPTMAX")))
            can->rcpt_max = (uint32_t)number;
        else if (slice_equal_caseless(name, SLICE("RCPTDOMAINMAX")))
            can->rcpt_domain_max = (uint32_t)number;
    }
}

void smtp_capability_read(struct slice line, struct smtp_capabilities *can)
{
    line = slice_trim(line);
    struct slice rest = line, word;
    if (!slice_split(&rest, ' ', &word))
        return;
    static const struct {
        struct slice word;
        size_t flag;
    } flags[] = {
        {SLICE_INIT("PIPELINING"), offsetof(struct smtp_capabilities, pipelining)},
        {SLICE_INIT("8BITMIME"), offsetof(struct smtp_capabilities, eight_bit)},
        {SLICE_INIT("SMTPUTF8"), offsetof(struct smtp_capabilities, smtputf8)},
        {SLICE_INIT("STARTTLS"), offsetof(struct smtp_capabilities, starttls)},
        {SLICE_INIT("CHUNKING"), offsetof(struct smtp_capabilities, chunking)},
        {SLICE_INIT("ENHANCEDSTATUSCODES"), offsetof(struct smtp_capabilities, status_codes)},
        {SLICE_INIT("DSN"), offsetof(struct smtp_capabilities, dsn)},
        {SLICE_INIT("REQUIRETLS"), offsetof(struct smtp_capabilities, requiretls)},
    };
    for (size_t i = 0; i < COUNT_OF(flags); i++)
        if (slice_equal_caseless(word, flags[i].word))
            *(bool *)((char *)can + flags[i].flag) = true;
    uint64_t number;
    if (slice_equal_caseless(word, SLICE("SIZE"))) {
        can->has_size = true;
        if (number_read(slice_trim(rest), &number))
            can->size_max = number;
    } else if (slice_equal_caseless(word, SLICE("AUTH"))) {
        auth_read(rest, can);
    } else if (slice_starts_caseless(word, SLICE("AUTH="))) {
        auth_read(slice_from(line, 5), can); /* the form of 1999 that some servers still say */
    } else if (slice_equal_caseless(word, SLICE("LIMITS"))) {
        limits_read(rest, can);
    }
}
