#include "bounce/facts.h"

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
    static const struct slice lists[] = {
        SLICE_INIT("zen.spamhaus.org"),
        SLICE_INIT("sbl.spamhaus.org"),
        SLICE_INIT("xbl.spamhaus.org"),
        SLICE_INIT("pbl.spamhaus.org"),
        SLICE_INIT("dbl.spamhaus.org"),
        SLICE_INIT("sbl-xbl.spamhaus.org"),
        SLICE_INIT("bl.spamcop.net"),
        SLICE_INIT("b.barracudacentral.org"),
        SLICE_INIT("dnsbl.sorbs.net"),
        SLICE_INIT("psbl.surriel.com"),
        SLICE_INIT("ix.dnsbl.manitu.net"),
        SLICE_INIT("dnsbl-1.uceprotect.net"),
        SLICE_INIT("dnsbl-2.uceprotect.net"),
        SLICE_INIT("dnsbl-3.uceprotect.net"),
        SLICE_INIT("bl.mailspike.net"),
        SLICE_INIT("truncate.gbudb.net"),
        SLICE_INIT("cbl.abuseat.org"),
        SLICE_INIT("rbl.interserver.net"),
        SLICE_INIT("all.rbl.jp"),
        SLICE_INIT("short.rbl.jp"),
        SLICE_INIT("virus.rbl.jp"),
        SLICE_INIT("multi.surbl.org"),
        SLICE_INIT("bl.score.senderscore.com"),
        SLICE_INIT("dnsbl.spfbl.net"),
        SLICE_INIT("hostkarma.junkemailfilter.com"),
        SLICE_INIT("bad.psky.me"),
        SLICE_INIT("spam.abuse.ch"),
        SLICE_INIT("proofpoint.com/dnsbl"),
        SLICE_INIT("spamhaus"),
        SLICE_INIT("spamcop"),
        SLICE_INIT("barracudacentral"),
        SLICE_INIT("sorbs"),
        SLICE_INIT("uceprotect"),
        SLICE_INIT("invaluement"),
        SLICE_INIT("cloudmark"),
    };
    struct slice rest = slice_from(f->text, at);
    if (f->found[FACT_LIST].len && memchr(f->found[FACT_LIST].ptr, '.', f->found[FACT_LIST].len))
        return;
    char first = ascii_lower(rest.ptr[0]), second = rest.len > 1 ? ascii_lower(rest.ptr[1]) : 0;
    for (size_t i = 0; i < COUNT_OF(lists); i++) {
        if (first == lists[i].ptr[0] && second == lists[i].ptr[1] && slice_starts_caseless(rest, lists[i])) {
            if (!f->found[FACT_LIST].len || memchr(lists[i].ptr, '.', lists[i].len))
                f->found[FACT_LIST] = lists[i];
            return;
        }
    }
}

/* "S3150", "TSS04", "CS01", "AUP#In-1310", "OFR_506", "LPN007_405", "HL:REP": the provider's own code. */
static void code_take(struct finder *f, size_t at)
{
    static const struct slice starts[] = {
        SLICE_INIT("TSS"),   SLICE_INIT("TS0"),  SLICE_INIT("IPTS"), SLICE_INIT("AUP#"), SLICE_INIT("OFR"),
        SLICE_INIT("LPN"),   SLICE_INIT("SC-0"), SLICE_INIT("DY-0"), SLICE_INIT("OU-0"), SLICE_INIT("RL0"),
        SLICE_INIT("HL:"),   SLICE_INIT("DT:"),  SLICE_INIT("S31"),  SLICE_INIT("S77"),  SLICE_INIT("S84"),
        SLICE_INIT("BS0"),   SLICE_INIT("HCM"),  SLICE_INIT("CS0"),  SLICE_INIT("RP-0"), SLICE_INIT("PH0"),
        SLICE_INIT("VS98-"), SLICE_INIT("ofr_"), SLICE_INIT("lpn_")};
    struct slice rest = slice_from(f->text, at);
    if (f->found[FACT_CODE].len)
        return;
    for (size_t i = 0; i < COUNT_OF(starts); i++) {
        if (rest.ptr[0] != starts[i].ptr[0] || !slice_starts(rest, starts[i]))
            continue;
        size_t len = starts[i].len;
        bool has_more = false;
        while (len < rest.len && (ascii_is_alnum(rest.ptr[len]) || memchr("-_#", rest.ptr[len], 3))) {
            has_more = true;
            len++;
        }
        if (has_more && len <= 24)
            f->found[FACT_CODE] = slice_head(rest, len);
        return;
    }
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

/* What words are made of here; a fact begins where one does. */
static const bool in_word[256] = {
    ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['.'] = true, ['-'] = true};

void facts_find(struct slice text, struct arena *arena, struct facts *facts)
{
    struct finder f = {.text = text, .arena = arena};
    for (size_t i = 0, next; i < text.len; i = next) {
        next = i + 1;
        if (!in_word[(unsigned char)text.ptr[i]])
            continue;
        while (next < text.len && in_word[(unsigned char)text.ptr[next]])
            next++;
        char c = text.ptr[i];
        if (!ascii_is_alnum(c))
            continue;
        if (ascii_is_digit(c) || (i + 4 < text.len && memchr(text.ptr + i, ':', 5) && ascii_hex_value(c) >= 0))
            ip_take(&f, i);
        if (ascii_is_digit(c))
            continue;
        switch (ascii_lower(c)) {
        case 'h': url_take(&f, i); break;
        case 'l': limit_take(&f, i); break;
        case 'm': limit_take(&f, i), moved_take(&f, i); break;
        case 'd': result_take(&f, i); break;
        case 'f':
        case 'n': moved_take(&f, i); break;
        case 'p': moved_take(&f, i); break;
        default: break;
        }
        if (ascii_lower(c) == 's')
            result_take(&f, i);
        if (memchr("zsxpdbictaruhm", ascii_lower(c), 14))
            list_take(&f, i);
        if (memchr("TIAOLSDRHBCPVol", c, 15))
            code_take(&f, i);
    }
    facts->count = 0;
    for (int kind = 0; kind < FACT_KINDS; kind++)
        if (f.found[kind].len)
            facts->list[facts->count++] = (struct fact){names[kind], f.found[kind]};
}
