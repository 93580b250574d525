#include "bounce/facts.h"

#include "bounce/phrase.h"

enum fact_kind {
    FACT_IP,
    FACT_LIST,
    FACT_URL,
    FACT_LIMIT,
    FACT_SPF,
    FACT_DKIM,
    FACT_DMARC,
    FACT_CODE,
    FACT_MOVED,
    FACT_KINDS
};

static const struct slice names[FACT_KINDS] = {
    [FACT_IP] = SLICE_INIT("ip"),          [FACT_LIST] = SLICE_INIT("list"),
    [FACT_URL] = SLICE_INIT("url"),        [FACT_LIMIT] = SLICE_INIT("limit_bytes"),
    [FACT_SPF] = SLICE_INIT("spf"),        [FACT_DKIM] = SLICE_INIT("dkim"),
    [FACT_DMARC] = SLICE_INIT("dmarc"),    [FACT_CODE] = SLICE_INIT("code"),
    [FACT_MOVED] = SLICE_INIT("moved_to"),
};

struct finder {
    struct slice text;
    struct arena *arena;
    struct slice found[FACT_KINDS];
};

static bool is_ip_char(char c)
{
    return ascii_hex_value(c) >= 0 || c == ':' || c == '.';
}

/* An IPv4 address, or an IPv6 one with at least three colons (so that times are none), at the front. */
static size_t ip_len(struct slice s)
{
    size_t len = 0, dots = 0, colons = 0, run = 0;
    bool is_decimal = true;
    while (len < s.len && len < 45 && is_ip_char(s.ptr[len])) {
        char c = s.ptr[len];
        if (c == '.' && colons)
            break;
        if (c == '.' || c == ':') {
            if (c == '.' && (run == 0 || run > 3))
                return 0;
            run = 0;
        } else {
            run++;
            is_decimal = is_decimal && ascii_is_digit(c);
        }
        dots += c == '.';
        colons += c == ':';
        len++;
    }
    if (colons >= 3 && !dots)
        return s.ptr[len - 1] == ':' ? len - 1 : len;
    if (dots == 4 && s.ptr[len - 1] == '.') { /* the end of a sentence */
        dots--;
        len--;
        run = 1;
    }
    return dots == 3 && colons == 0 && is_decimal && run && run <= 3 ? len : 0;
}

static void ip_take(struct finder *f, size_t at)
{
    if (f->found[FACT_IP].len)
        return;
    struct slice rest = slice_from(f->text, at);
    size_t len = ip_len(rest);
    char after = len < rest.len ? rest.ptr[len] : ' ';
    if (len && !ascii_is_alnum(after) && after != '-' && after != '_' && !slice_starts(rest, SLICE("127.")))
        f->found[FACT_IP] = slice_head(rest, len);
}

static void url_take(struct finder *f, size_t at)
{
    struct slice rest = slice_from(f->text, at);
    if (f->found[FACT_URL].len ||
        !(slice_starts_caseless(rest, SLICE("http://")) || slice_starts_caseless(rest, SLICE("https://"))))
        return;
    size_t len = 0;
    while (len < rest.len && (unsigned char)rest.ptr[len] > ' ' && !memchr("<>\"'()[]{}|\\^`", rest.ptr[len], 14))
        len++;
    while (len && memchr(".,;:!?", rest.ptr[len - 1], 6))
        len--;
    if (len > 11)
        f->found[FACT_URL] = slice_head(rest, len);
}

/* "Spf= Fail", "dkim=pass", "DMARC: none", "SPF check failed" gives "fail". */
static void result_take(struct finder *f, size_t at)
{
    static const struct {
        struct slice name;
        enum fact_kind kind;
    } rows[] = {{SLICE_INIT("spf"), FACT_SPF}, {SLICE_INIT("dkim"), FACT_DKIM}, {SLICE_INIT("dmarc"), FACT_DMARC}};
    static const struct slice results[] = {SLICE_INIT("softfail"),  SLICE_INIT("fail"),        SLICE_INIT("pass"),
                                           SLICE_INIT("none"),      SLICE_INIT("neutral"),     SLICE_INIT("temperror"),
                                           SLICE_INIT("permerror"), SLICE_INIT("did not pass")};
    struct slice rest = slice_from(f->text, at);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (f->found[rows[i].kind].len || !slice_starts_caseless(rest, rows[i].name))
            continue;
        struct slice after = slice_from(rest, rows[i].name.len);
        size_t skip = 0;
        while (skip < after.len && memchr(" =:[(", after.ptr[skip], 5))
            skip++;
        if (!skip)
            return;
        after = slice_from(after, skip);
        if (slice_starts_caseless(after, SLICE("check ")))
            after = slice_from(after, 6);
        for (size_t k = 0; k < COUNT_OF(results); k++)
            if (slice_starts_caseless(after, results[k]))
                f->found[rows[i].kind] = k == 7 ? SLICE("fail") : results[k];
    }
}

/* The names of DNS blocklists, as they stand in refusals. */
static void list_take(struct finder *f, size_t at)
{
    enum { WHOLE = 1, FAMILY }; /* a list's name, or only whose it is */
    static const struct phrase rows[] = {
        {SLICE_INIT("zen.spamhaus.org"), WHOLE},
        {SLICE_INIT("sbl.spamhaus.org"), WHOLE},
        {SLICE_INIT("xbl.spamhaus.org"), WHOLE},
        {SLICE_INIT("pbl.spamhaus.org"), WHOLE},
        {SLICE_INIT("dbl.spamhaus.org"), WHOLE},
        {SLICE_INIT("sbl-xbl.spamhaus.org"), WHOLE},
        {SLICE_INIT("bl.spamcop.net"), WHOLE},
        {SLICE_INIT("b.barracudacentral.org"), WHOLE},
        {SLICE_INIT("dnsbl.sorbs.net"), WHOLE},
        {SLICE_INIT("psbl.surriel.com"), WHOLE},
        {SLICE_INIT("ix.dnsbl.manitu.net"), WHOLE},
        {SLICE_INIT("dnsbl-1.uceprotect.net"), WHOLE},
        {SLICE_INIT("dnsbl-2.uceprotect.net"), WHOLE},
        {SLICE_INIT("dnsbl-3.uceprotect.net"), WHOLE},
        {SLICE_INIT("bl.mailspike.net"), WHOLE},
        {SLICE_INIT("truncate.gbudb.net"), WHOLE},
        {SLICE_INIT("cbl.abuseat.org"), WHOLE},
        {SLICE_INIT("rbl.interserver.net"), WHOLE},
        {SLICE_INIT("all.rbl.jp"), WHOLE},
        {SLICE_INIT("short.rbl.jp"), WHOLE},
        {SLICE_INIT("virus.rbl.jp"), WHOLE},
        {SLICE_INIT("multi.surbl.org"), WHOLE},
        {SLICE_INIT("bl.score.senderscore.com"), WHOLE},
        {SLICE_INIT("dnsbl.spfbl.net"), WHOLE},
        {SLICE_INIT("hostkarma.junkemailfilter.com"), WHOLE},
        {SLICE_INIT("bad.psky.me"), WHOLE},
        {SLICE_INIT("spam.abuse.ch"), WHOLE},
        {SLICE_INIT("proofpoint.com/dnsbl"), WHOLE},
        {SLICE_INIT("spamhaus"), FAMILY},
        {SLICE_INIT("spamcop"), FAMILY},
        {SLICE_INIT("barracudacentral"), FAMILY},
        {SLICE_INIT("sorbs"), FAMILY},
        {SLICE_INIT("uceprotect"), FAMILY},
        {SLICE_INIT("invaluement"), FAMILY},
        {SLICE_INIT("cloudmark"), FAMILY},
    };
    static struct phrases set = PHRASES(rows);
    struct slice *found = &f->found[FACT_LIST], rest = slice_from(f->text, at);
    if (found->len && memchr(found->ptr, '.', found->len))
        return;
    size_t row = scan_front(rest, &set);
    if (row < set.count && (!found->len || rows[row].value == WHOLE))
        *found = rows[row].text;
}

/* "S3150", "TSS04", "CS01", "AUP#In-1310", "OFR_506", "LPN007_405", "HL:REP": the provider's own code. */
static void code_take(struct finder *f, size_t at)
{
    static const struct phrase rows[] = {
        {SLICE_INIT("tss"), 1},   {SLICE_INIT("ts0"), 1}, {SLICE_INIT("ipts"), 1}, {SLICE_INIT("aup#"), 1},
        {SLICE_INIT("ofr"), 1},   {SLICE_INIT("lpn"), 1}, {SLICE_INIT("sc-0"), 1}, {SLICE_INIT("dy-0"), 1},
        {SLICE_INIT("ou-0"), 1},  {SLICE_INIT("rl0"), 1}, {SLICE_INIT("hl:"), 1},  {SLICE_INIT("dt:"), 1},
        {SLICE_INIT("s31"), 1},   {SLICE_INIT("s77"), 1}, {SLICE_INIT("s84"), 1},  {SLICE_INIT("bs0"), 1},
        {SLICE_INIT("hcm"), 1},   {SLICE_INIT("cs0"), 1}, {SLICE_INIT("rp-0"), 1}, {SLICE_INIT("ph0"), 1},
        {SLICE_INIT("vs98-"), 1},
    };
    static struct phrases set = PHRASES(rows);
    struct slice rest = slice_from(f->text, at);
    if (f->found[FACT_CODE].len)
        return;
    size_t row = scan_front(rest, &set);
    if (row == set.count)
        return;
    size_t len = rows[row].text.len;
    bool is_code = slice_starts(rest, SLICE("ofr_")) || slice_starts(rest, SLICE("lpn_")), has_more = false;
    for (size_t i = 0; i < len && !is_code; i++)
        if (ascii_upper(rest.ptr[i]) != rest.ptr[i])
            return;
    while (len < rest.len && (ascii_is_alnum(rest.ptr[len]) || memchr("-_#", rest.ptr[len], 3))) {
        has_more = true;
        len++;
    }
    if (has_more && len <= 24)
        f->found[FACT_CODE] = slice_head(rest, len);
}

/* A number of bytes near the word "size" or "limit": "fixed limit 10485760", "limit of 25 MB", "size limit is 10240
 * KB". */
static void limit_take(struct finder *f, size_t at)
{
    struct slice rest = slice_from(f->text, at);
    if (f->found[FACT_LIMIT].len ||
        !(slice_starts_caseless(rest, SLICE("limit")) || slice_starts_caseless(rest, SLICE("maximum"))))
        return;
    rest = slice_head(rest, 60);
    size_t from = 0;
    while (from < rest.len && !ascii_is_digit(rest.ptr[from]))
        from++;
    uint64_t number = 0;
    size_t digits = 0;
    while (from + digits < rest.len && digits < 13 && ascii_is_digit(rest.ptr[from + digits]))
        number = number * 10 + (uint64_t)(rest.ptr[from + digits++] - '0');
    struct slice unit = slice_trim(slice_from(rest, from + digits));
    if (slice_starts_caseless(unit, SLICE("mb")) || slice_starts_caseless(unit, SLICE("m ")) ||
        slice_starts_caseless(unit, SLICE("mega")))
        number *= 1048576;
    else if (slice_starts_caseless(unit, SLICE("kb")) || slice_starts_caseless(unit, SLICE("k ")) ||
             slice_starts_caseless(unit, SLICE("kilo")))
        number *= 1024;
    else if (digits < 5 && !slice_starts_caseless(unit, SLICE("byte")))
        return;
    if (number >= 1024)
        f->found[FACT_LIMIT] = arena_printf(f->arena, "%llu", (unsigned long long)number);
}

/* "please try <new@example.com>", "has moved to new@example.com" (RFC 5321 251, 551). */
static void moved_take(struct finder *f, size_t at)
{
    static const struct slice starts[] = {SLICE_INIT("please try <"), SLICE_INIT("moved to <"),
                                          SLICE_INIT("moved to: <"), SLICE_INIT("forwarding to <"),
                                          SLICE_INIT("new address is <")};
    struct slice rest = slice_from(f->text, at);
    for (size_t i = 0; i < COUNT_OF(starts) && !f->found[FACT_MOVED].len; i++) {
        if (!slice_starts_caseless(rest, starts[i]))
            continue;
        struct slice address = slice_from(rest, starts[i].len);
        ptrdiff_t close = slice_find_byte(slice_head(address, 254), '>');
        if (close > 3 && memchr(address.ptr, '@', (size_t)close))
            f->found[FACT_MOVED] = slice_head(address, (size_t)close);
    }
}

/* What words are made of here (OF_WORD), and which facts may begin with a byte. */
enum {
    OF_WORD = 1,
    BEGINS_IP = 2,
    BEGINS_URL = 4,
    BEGINS_LIMIT = 8,
    BEGINS_MOVED = 16,
    BEGINS_RESULT = 32,
    BEGINS_LIST = 64,
    BEGINS_CODE = 128,
};
#define BOTH(lower, upper, flags) [lower] = OF_WORD | (flags), [upper] = OF_WORD | (flags)
static const uint8_t flags[256] = {
    ['.'] = OF_WORD,
    ['-'] = OF_WORD,
    ['0' ... '9'] = OF_WORD | BEGINS_IP,
    ['a'] = OF_WORD | BEGINS_LIST,
    ['A'] = OF_WORD | BEGINS_LIST | BEGINS_CODE,
    ['b'] = OF_WORD | BEGINS_LIST,
    ['B'] = OF_WORD | BEGINS_LIST | BEGINS_CODE,
    ['c'] = OF_WORD | BEGINS_LIST,
    ['C'] = OF_WORD | BEGINS_LIST | BEGINS_CODE,
    ['d'] = OF_WORD | BEGINS_LIST | BEGINS_RESULT,
    ['D'] = OF_WORD | BEGINS_LIST | BEGINS_RESULT | BEGINS_CODE,
    BOTH('e', 'E', 0),
    BOTH('f', 'F', BEGINS_MOVED),
    BOTH('g', 'G', 0),
    ['h'] = OF_WORD | BEGINS_LIST | BEGINS_URL,
    ['H'] = OF_WORD | BEGINS_LIST | BEGINS_URL | BEGINS_CODE,
    ['i'] = OF_WORD | BEGINS_LIST,
    ['I'] = OF_WORD | BEGINS_LIST | BEGINS_CODE,
    BOTH('j', 'J', 0),
    BOTH('k', 'K', 0),
    ['l'] = OF_WORD | BEGINS_LIMIT | BEGINS_CODE,
    ['L'] = OF_WORD | BEGINS_LIMIT | BEGINS_CODE,
    BOTH('m', 'M', BEGINS_LIST | BEGINS_LIMIT | BEGINS_MOVED),
    BOTH('n', 'N', BEGINS_MOVED),
    ['o'] = OF_WORD | BEGINS_CODE,
    ['O'] = OF_WORD | BEGINS_CODE,
    ['p'] = OF_WORD | BEGINS_LIST | BEGINS_MOVED,
    ['P'] = OF_WORD | BEGINS_LIST | BEGINS_MOVED | BEGINS_CODE,
    BOTH('q', 'Q', 0),
    ['r'] = OF_WORD | BEGINS_LIST,
    ['R'] = OF_WORD | BEGINS_LIST | BEGINS_CODE,
    ['s'] = OF_WORD | BEGINS_LIST | BEGINS_RESULT,
    ['S'] = OF_WORD | BEGINS_LIST | BEGINS_RESULT | BEGINS_CODE,
    ['t'] = OF_WORD | BEGINS_LIST,
    ['T'] = OF_WORD | BEGINS_LIST | BEGINS_CODE,
    BOTH('u', 'U', BEGINS_LIST),
    ['v'] = OF_WORD | BEGINS_LIST,
    ['V'] = OF_WORD | BEGINS_LIST | BEGINS_CODE,
    BOTH('w', 'W', 0),
    BOTH('x', 'X', BEGINS_LIST),
    BOTH('y', 'Y', 0),
    BOTH('z', 'Z', BEGINS_LIST),
};
#undef BOTH

void facts_find(struct slice text, struct arena *arena, struct facts *facts)
{
    struct finder f = {.text = text, .arena = arena};
    for (size_t i = 0, next; i < text.len; i = next) {
        uint8_t begins = flags[(unsigned char)text.ptr[i]];
        next = i + 1;
        if (!begins)
            continue;
        while (next < text.len && flags[(unsigned char)text.ptr[next]])
            next++;
        char c = text.ptr[i];
        if (begins & BEGINS_IP || (i + 4 < text.len && ascii_hex_value(c) >= 0 && memchr(text.ptr + i, ':', 5)))
            ip_take(&f, i);
        if (begins & BEGINS_URL)
            url_take(&f, i);
        if (begins & BEGINS_LIMIT)
            limit_take(&f, i);
        if (begins & BEGINS_MOVED)
            moved_take(&f, i);
        if (begins & BEGINS_RESULT)
            result_take(&f, i);
        if (begins & BEGINS_LIST)
            list_take(&f, i);
        if (begins & BEGINS_CODE)
            code_take(&f, i);
    }
    facts->count = 0;
    for (int kind = 0; kind < FACT_KINDS; kind++)
        if (f.found[kind].len)
            facts->list[facts->count++] = (struct fact){names[kind], f.found[kind]};
}
