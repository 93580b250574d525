/* Zone files (RFC 1035 5.1): lines of words; parentheses join lines; an entry that begins with white space belongs to
 * the name before. */
#include "base/base64.h"
#include "dns/zone_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { WORDS_MOST = 64, FILE_MOST = 64 << 20, WORD_MOST = 65535 };

struct zone_reader {
    struct zone *zone;
    struct slice rest;
    const char *place; /* file name */
    unsigned line;
    char origin[DNS_NAME_ROOM];
    char owner[DNS_NAME_ROOM];
    bool has_owner, begins_blank;
    uint32_t ttl_seconds, entry_ttl_seconds;
    struct slice words[WORDS_MOST]; /* of the entry, in `arena` */
    size_t count;
    unsigned entry_line;
    struct arena arena;
    struct fault *why;
};

static bool wrong(struct zone_reader *reader, const char *what, struct slice word)
{
    return fault_set(reader->why, FAULT_INPUT, "%s line %u: %s \"%.*s\"", reader->place, reader->entry_line, what,
                     SLICE_ARG(slice_head(word, 100)));
}

/* One word, quoted or not; \X and \DDD taken apart in quoted strings only where they stand for bytes of text. */
static bool take_word(struct zone_reader *reader, struct slice *word)
{
    struct slice rest = reader->rest;
    bool is_quoted = rest.len && rest.ptr[0] == '"';
    size_t at = is_quoted;
    SCOPED(buf) text = BUF(WORD_MOST);
    for (; at < rest.len; at++) {
        char c = rest.ptr[at];
        if (c == '\n' || (is_quoted ? c == '"' : ascii_is_space(c) || strchr("();\"", c)))
            break;
        if (c == '\\' && at + 1 < rest.len && rest.ptr[at + 1] != '\n') {
            uint64_t byte;
            if (at + 3 < rest.len && slice_to_u64(slice_of(rest.ptr + at + 1, 3), &byte) && byte < 256) {
                buf_byte(&text, (char)byte);
                at += 3;
            } else {
                buf_byte(&text, rest.ptr[++at]);
            }
            continue;
        }
        buf_byte(&text, c);
    }
    if (is_quoted && (at >= rest.len || rest.ptr[at] != '"'))
        return wrong(reader, "the quote is not closed:", slice_head(rest, 40));
    if (!buf_ok(&text))
        return wrong(reader, "too long:", slice_head(rest, 40));
    reader->rest = slice_from(rest, at + is_quoted);
    *word = arena_copy(&reader->arena, buf_slice(&text));
    return true;
}

/* The words of the next entry; *has none at the end of the file. */
static bool take_entry(struct zone_reader *reader, bool *has)
{
    unsigned depth = 0;
    arena_reset(&reader->arena);
    reader->count = 0;
    reader->entry_line = reader->line;
    reader->begins_blank = reader->rest.len && (reader->rest.ptr[0] == ' ' || reader->rest.ptr[0] == '\t');
    *has = reader->rest.len > 0;
    while (reader->rest.len) {
        char c = reader->rest.ptr[0];
        if (c == '\n') {
            reader->rest = slice_from(reader->rest, 1);
            reader->line++;
            if (depth == 0)
                return true;
        } else if (c == ';') {
            ptrdiff_t end = slice_find_byte(reader->rest, '\n');
            reader->rest = slice_from(reader->rest, end < 0 ? reader->rest.len : (size_t)end);
        } else if (c == '(' || c == ')') {
            if (c == ')' && depth == 0)
                return wrong(reader, "a parenthesis too many:", slice_head(reader->rest, 20));
            depth = c == '(' ? depth + 1 : depth - 1;
            reader->rest = slice_from(reader->rest, 1);
        } else if (ascii_is_space(c)) {
            reader->rest = slice_from(reader->rest, 1);
        } else {
            if (reader->count == WORDS_MOST)
                return wrong(reader, "too many words", SLICE(""));
            if (!take_word(reader, &reader->words[reader->count]))
                return false;
            reader->count++;
        }
    }
    return depth == 0 || wrong(reader, "a parenthesis is not closed", SLICE(""));
}

static bool name_of(struct zone_reader *reader, struct slice word, char to[DNS_NAME_ROOM])
{
    SCOPED(buf) full = BUF(DNS_NAME_ROOM * 2);
    if (slice_equal(word, SLICE("@"))) {
        buf_str(&full, reader->origin);
    } else {
        buf_append(&full, word);
        if (word.len && word.ptr[word.len - 1] != '.' && reader->origin[0]) {
            buf_byte(&full, '.');
            buf_str(&full, reader->origin);
        }
    }
    if (word.len == 0 || !buf_ok(&full) || !dns_name_normalise(buf_slice(&full), to))
        return wrong(reader, "not a domain name:", word);
    return true;
}

/* 3600, 1h30m, 2d */
static bool ttl_of(struct slice word, uint32_t *ttl)
{
    uint64_t total = 0, number = 0;
    bool has_digit = false;
    if (word.len == 0 || !ascii_is_digit(word.ptr[0]))
        return false;
    for (size_t i = 0; i < word.len; i++) {
        char c = ascii_lower(word.ptr[i]);
        if (ascii_is_digit(c)) {
            number = number * 10 + (uint64_t)(c - '0');
            has_digit = true;
        } else {
            uint64_t unit = c == 's' ? 1 : c == 'm' ? 60 : c == 'h' ? 3600 : c == 'd' ? 86400 : c == 'w' ? 604800 : 0;
            if (!unit || !has_digit)
                return false;
            total += number * unit;
            number = 0;
            has_digit = false;
        }
        if (number > UINT32_MAX || total > UINT32_MAX)
            return false;
    }
    total += number;
    *ttl = total < DNS_TTL_MOST_S ? (uint32_t)total : DNS_TTL_MOST_S;
    return true;
}

static bool u_of(struct zone_reader *reader, struct slice word, uint64_t most, uint64_t *number)
{
    return (slice_to_u64(word, number) && *number <= most) || wrong(reader, "not a number in range:", word);
}

static bool tlsa_of(struct zone_reader *reader, const struct slice *data, size_t count, struct dns_record *record)
{
    uint64_t usage, selector, matching;
    SCOPED(buf) hex = BUF(WORD_MOST);
    SCOPED(buf) bytes = BUF(WORD_MOST);
    if (count < 4)
        return wrong(reader, "TLSA wants usage, selector, matching, data", SLICE(""));
    if (!u_of(reader, data[0], 255, &usage) || !u_of(reader, data[1], 255, &selector) ||
        !u_of(reader, data[2], 255, &matching))
        return false;
    for (size_t i = 3; i < count; i++)
        buf_append(&hex, data[i]);
    if (!hex_decode(&bytes, buf_slice(&hex)))
        return wrong(reader, "not hex:", buf_slice(&hex));
    record->tlsa = (struct tlsa){(uint8_t)usage, (uint8_t)selector, (uint8_t)matching,
                                 arena_copy(&reader->arena, buf_slice(&bytes))};
    return true;
}

static bool record_of(struct zone_reader *reader, enum dns_type type, const struct slice *data, size_t count)
{
    struct dns_record record = {0};
    char name[DNS_NAME_ROOM];
    uint64_t preference;
    SCOPED(buf) text = BUF(WORD_MOST);
    if (count == 0)
        return wrong(reader, "no data for", dns_type_word(type));
    switch (type) {
    case DNS_A:
    case DNS_AAAA:
        if (!ip_parse(data[0], &record.ip) || record.ip.family != (type == DNS_A ? 4 : 6))
            return wrong(reader, "not such an address:", data[0]);
        break;
    case DNS_MX:
        if (!u_of(reader, data[0], UINT16_MAX, &preference))
            return false;
        if (count < 2)
            return wrong(reader, "MX without a host", SLICE(""));
        record.preference = (uint16_t)preference;
        if (!name_of(reader, data[1], name))
            return false;
        record.name = slice_str(name);
        break;
    case DNS_PTR:
    case DNS_CNAME:
        if (!name_of(reader, data[0], name))
            return false;
        record.name = slice_str(name);
        break;
    case DNS_TXT:
        for (size_t i = 0; i < count; i++)
            buf_append(&text, data[i]);
        record.text = buf_slice(&text);
        break;
    case DNS_TLSA:
        if (!tlsa_of(reader, data, count, &record))
            return false;
        break;
    }
    struct zone_name *owner = zone_name_add(reader->zone, reader->owner);
    owner->ttl_seconds = reader->entry_ttl_seconds;
    zone_record_add(reader->zone, owner, type, &record);
    return true;
}

static bool directive(struct zone_reader *reader)
{
    struct slice word = reader->words[0], value = reader->count > 1 ? reader->words[1] : SLICE("");
    char origin[DNS_NAME_ROOM];
    if (slice_equal_caseless(word, SLICE("$ORIGIN"))) {
        if (!name_of(reader, value, origin))
            return false;
        memcpy(reader->origin, origin, sizeof(origin));
        return true;
    }
    if (slice_equal_caseless(word, SLICE("$TTL")))
        return ttl_of(value, &reader->ttl_seconds) || wrong(reader, "not a TTL:", value);
    return wrong(reader, "unknown directive", word);
}

static bool type_of(struct slice word, enum dns_type *type)
{
    static const enum dns_type types[] = {DNS_A, DNS_CNAME, DNS_PTR, DNS_MX, DNS_TXT, DNS_AAAA, DNS_TLSA};
    for (size_t i = 0; i < COUNT_OF(types); i++)
        if (slice_equal_caseless(word, dns_type_word(types[i]))) {
            *type = types[i];
            return true;
        }
    return false;
}

static bool entry(struct zone_reader *reader)
{
    static const struct slice others[] = {
        SLICE_INIT("SOA"), SLICE_INIT("NS"),    SLICE_INIT("SRV"),   SLICE_INIT("CAA"),   SLICE_INIT("DNSKEY"),
        SLICE_INIT("DS"),  SLICE_INIT("RRSIG"), SLICE_INIT("NSEC"),  SLICE_INIT("NSEC3"), SLICE_INIT("HINFO"),
        SLICE_INIT("SPF"), SLICE_INIT("SVCB"),  SLICE_INIT("HTTPS"), SLICE_INIT("NAPTR"), SLICE_INIT("NSEC3PARAM")};
    enum dns_type type;
    size_t at = 0;
    reader->entry_ttl_seconds = reader->ttl_seconds;
    if (reader->words[0].len && reader->words[0].ptr[0] == '$')
        return directive(reader);
    if (!reader->begins_blank) {
        if (!name_of(reader, reader->words[at++], reader->owner))
            return false;
        reader->has_owner = true;
    } else if (!reader->has_owner) {
        return wrong(reader, "no name before", reader->words[0]);
    }
    while (at < reader->count && (slice_equal_caseless(reader->words[at], SLICE("IN")) ||
                                  ttl_of(reader->words[at], &reader->entry_ttl_seconds)))
        at++;
    if (at == reader->count)
        return wrong(reader, "no type after", reader->words[0]);
    if (type_of(reader->words[at], &type))
        return record_of(reader, type, reader->words + at + 1, reader->count - at - 1);
    for (size_t i = 0; i < COUNT_OF(others); i++)
        if (slice_equal_caseless(reader->words[at], others[i])) {
            zone_name_add(reader->zone, reader->owner);
            return true;
        }
    return wrong(reader, "unknown type", reader->words[at]);
}

static bool read_entries(struct zone_reader *reader)
{
    bool has = true;
    while (take_entry(reader, &has)) {
        if (!has)
            return true;
        if (reader->count && !entry(reader))
            return false;
    }
    return false;
}

struct resolver *zone_resolver_of_text(struct slice text, const char *place, struct fault *why)
{
    struct zone_reader *reader = NEW(struct zone_reader);
    reader->zone = zone_new();
    reader->rest = text;
    reader->place = place;
    reader->line = 1;
    reader->ttl_seconds = reader->zone->ttl_seconds;
    reader->why = why;
    bool ok = read_entries(reader);
    struct resolver *resolver = ok ? zone_resolver(reader->zone) : NULL;
    if (!ok)
        zone_free(reader->zone);
    arena_release(&reader->arena);
    free(reader);
    return resolver;
}

struct resolver *zone_resolver_of_file(const char *path, struct fault *why)
{
    SCOPED(buf) text = BUF(FILE_MOST);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        fault_errno(why, "%s", path);
        return NULL;
    }
    ssize_t got = 0;
    char *to;
    while ((to = buf_reserve(&text, 65536)) && (got = read(fd, to, 65536)) > 0)
        buf_advance(&text, (size_t)got);
    int error = errno;
    close(fd);
    errno = error;
    if (got < 0)
        fault_errno(why, "%s", path);
    else if (!buf_ok(&text))
        fault_set(why, FAULT_LIMIT, "%s: larger than %d MiB", path, FILE_MOST >> 20);
    else
        return zone_resolver_of_text(buf_slice(&text), path, why);
    return NULL;
}
