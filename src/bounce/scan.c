#include "bounce/scan.h"

#include "bounce/blob.h"
#include <assert.h>
#include <stdatomic.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

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

/* The two bytes at the front of a letter beyond ASCII, in lower case: the second half of the Cyrillic capitals has
 * another first byte than its small letters (blob.h). */
static unsigned pair_beyond(const unsigned char *two)
{
    return two[0] == 0xd0 && two[1] >= 0xa0 && two[1] <= 0xaf ? 0xd1u | (two[1] - 0x20u) << 8
                                                              : two[0] | (unsigned)two[1] << 8;
}

/* The first three bytes of a phrase or a text, of any case, as one of PHRASE_BITS: what is not set cannot begin any
 * phrase. Two bytes where the letter is of two, or where the set has a phrase of two (is_short). */
static unsigned begin_bit(const char *text, size_t len, bool is_short)
{
    const unsigned char *bytes = (const unsigned char *)text;
    unsigned pair = bytes[0] & 0x80 ? pair_beyond(bytes) : bytes[0] | (unsigned)bytes[1] << 8, third = 0;
    if (!is_short && len > 2 && (bytes[0] < 0x80 || bytes[0] >= 0xe0))
        third = bytes[2] <= ' ' ? ' ' : bytes[2] | 0x20u;
    return ((pair | 0x2020u) + (third << 16)) * 0x9e3779b1u >> 20;
}

/* Where a phrase may begin in a text: at the beginning of a word, and at every byte that is neither of a word nor a
 * space. Sixteen bytes at a time: a bit for each. */
enum { STRIDE = 16 };

#ifdef __SSE2__
static unsigned beginnings(const unsigned char *bytes, unsigned *in_word)
{
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)bytes);
    __m128i letter = _mm_sub_epi8(_mm_or_si128(v, _mm_set1_epi8(0x20)), _mm_set1_epi8('a'));
    __m128i digit = _mm_sub_epi8(v, _mm_set1_epi8('0'));
    __m128i is_word = _mm_or_si128(_mm_cmpeq_epi8(_mm_min_epu8(letter, _mm_set1_epi8(25)), letter),
                                   _mm_cmpeq_epi8(_mm_min_epu8(digit, _mm_set1_epi8(9)), digit));
    unsigned word = (unsigned)_mm_movemask_epi8(is_word);
    unsigned space = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8(' ')));
    /* bytes 0x80 to 0xbf are in the middle of a letter */
    unsigned middle = (unsigned)_mm_movemask_epi8(_mm_cmplt_epi8(v, _mm_set1_epi8((char)0xc0)));
    unsigned begins = ~(word & (word << 1 | *in_word)) & ~space & ~middle & 0xffffu;
    *in_word = word >> (STRIDE - 1) & 1;
    return begins;
}
#else
static unsigned beginnings(const unsigned char *bytes, unsigned *in_word)
{
    unsigned begins = 0;
    for (unsigned i = 0; i < STRIDE; i++) {
        bool is_word = ascii_is_alnum((char)bytes[i]);
        bool is_middle = bytes[i] >= 0x80 && bytes[i] < 0xc0; /* of a letter */
        if (bytes[i] != ' ' && !is_middle && !(is_word && *in_word))
            begins |= 1u << i;
        *in_word = is_word;
    }
    return begins;
}
#endif

/* The first four bytes of a phrase, letters in lower case (other bytes may be alike that are not: the whole phrase is
 * compared afterwards), and which of them count: where a space may be any white space, none does; behind it they do
 * while it is a single one. */
static uint32_t front_of(const char *bytes, size_t len)
{
    uint32_t front = 0;
    if (len >= sizeof(front))
        memcpy(&front, bytes, sizeof(front));
    else
        memcpy(&front, bytes, len);
    return front | 0x20202020u;
}

static uint32_t front_mask(struct slice phrase, bool is_single)
{
    unsigned char mask[4] = {0};
    uint32_t bits;
    for (size_t i = 0; i < phrase.len && i < sizeof(mask); i++) {
        mask[i] = phrase.ptr[i] == ' ' ? 0 : 0xff;
        if (phrase.ptr[i] == ' ' && !is_single)
            break;
    }
    memcpy(&bits, mask, sizeof(bits));
    return bits;
}

/* Do two bytes of white space stand side by side, where it may shift the first four letters of a phrase? */
static bool has_run(struct slice text)
{
    for (size_t i = 1; i < 4 && i + 1 < text.len; i++)
        if (ascii_is_space(text.ptr[i]) && ascii_is_space(text.ptr[i + 1]))
            return true;
    return false;
}

static void heads_make(struct phrase_heads *heads, const struct phrase *rows, size_t count)
{
    assert(count <= PHRASES_MAX);
    memset(heads->begin, 0, sizeof(heads->begin));
    memset(heads->heads, 0, sizeof(heads->heads));
    heads->is_short = false;
    for (size_t i = 0; i < count; i++)
        heads->is_short = heads->is_short || rows[i].text.len < 3;
    for (size_t i = count; i-- > 0;) {
        unsigned bit = begin_bit(rows[i].text.ptr, rows[i].text.len, heads->is_short);
        heads->begin[bit >> 6] |= 1ull << (bit & 63);
        heads->others[i] = heads->heads[bit % PHRASE_HEADS];
        heads->heads[bit % PHRASE_HEADS] = (uint8_t)(i + 1);
        heads->mask[0][i] = front_mask(rows[i].text, true);
        heads->mask[1][i] = front_mask(rows[i].text, false);
        heads->front[i] = front_of(rows[i].text.ptr, rows[i].text.len);
    }
}

/* The set's own, made by whoever comes first; one who comes meanwhile makes his own in `spare`: nobody waits. */
enum { UNMADE, MAKING, MADE };
static __attribute__((noinline)) const struct phrase_heads *heads_first(struct phrases *set, struct phrase_heads *spare)
{
    int state = UNMADE;
    if (atomic_compare_exchange_strong(&set->state, &state, MAKING)) {
        heads_make(&set->heads, set->rows, set->count);
        atomic_store_explicit(&set->state, MADE, memory_order_release);
        return &set->heads;
    }
    heads_make(spare, set->rows, set->count);
    return spare;
}

static inline const struct phrase_heads *heads_of(struct phrases *set, struct phrase_heads *spare)
{
    bool is_made = atomic_load_explicit(&set->state, memory_order_acquire) == MADE;
    return is_made ? &set->heads : heads_first(set, spare);
}

static inline bool may_begin(const struct phrase_heads *heads, unsigned bit)
{
    return heads->begin[bit >> 6] >> (bit & 63) & 1;
}

static bool has_case_beyond(char c)
{
    return (unsigned char)c == 0xc3 || (unsigned char)c == 0xd0; /* what blob_lower knows */
}

/* Does the phrase stand at the front of the text, whatever the case of its letters, any white space for its spaces? */
static bool stands_at(struct slice rest, struct slice phrase)
{
    size_t i = 0, k = 0;
    if (slice_starts_caseless(rest, phrase))
        return true;
    while (k < phrase.len) {
        if (i == rest.len)
            return false;
        char c = rest.ptr[i];
        if (phrase.ptr[k] == ' ') {
            if (!ascii_is_space(c))
                return false;
            while (i < rest.len && ascii_is_space(rest.ptr[i]))
                i++;
            k++;
        } else if (has_case_beyond(c) && i + 1 < rest.len && k + 1 < phrase.len) {
            char two[2] = {c, rest.ptr[i + 1]};
            blob_lower(two, sizeof(two));
            if (memcmp(two, phrase.ptr + k, sizeof(two)) != 0)
                return false;
            i += 2;
            k += 2;
        } else {
            if (ascii_lower(c) != phrase.ptr[k])
                return false;
            i++;
            k++;
        }
    }
    return true;
}

/* The first row that stands at the beginning of `rest`, when it is one before `best`; else best. */
static __attribute__((noinline)) size_t row_at(const struct phrase_heads *heads, const struct phrase *rows,
                                               struct slice rest, unsigned bit, size_t best)
{
    bool has_case = has_case_beyond(rest.ptr[0]); /* other bytes than the phrase's may be meant */
    uint32_t front = front_of(rest.ptr, rest.len);
    const uint32_t *masks = heads->mask[has_run(rest)];
    for (size_t row = heads->heads[bit % PHRASE_HEADS]; row && row <= best; row = heads->others[row - 1])
        if ((has_case || !((front ^ heads->front[row - 1]) & masks[row - 1])) && stands_at(rest, rows[row - 1].text))
            return row - 1;
    return best;
}

/* The row that is found: the first of the table, or with is_any the first of the text. `count` when none is. */
static size_t row_find(struct slice text, struct phrases *set, bool is_any, size_t *at)
{
    struct phrase_heads spare;
    size_t best = set->count;
    text = slice_head(text, SCAN_PHRASE_BYTES);
    if (text.len < 2)
        return best;
    const struct phrase_heads *heads = heads_of(set, &spare);
    unsigned in_word = 0;
    for (size_t from = 0; from + 1 < text.len; from += STRIDE) {
        unsigned char tail[STRIDE];
        const unsigned char *bytes = (const unsigned char *)text.ptr + from;
        if (text.len - from < STRIDE) {
            memset(tail, ' ', sizeof(tail)); /* nothing begins there */
            bytes = memcpy(tail, bytes, text.len - from);
        }
        for (unsigned begins = beginnings(bytes, &in_word); begins; begins &= begins - 1) {
            size_t i = from + (unsigned)__builtin_ctz(begins);
            if (i + 1 >= text.len)
                break;
            unsigned bit = begin_bit(text.ptr + i, text.len - i, heads->is_short);
            if (!may_begin(heads, bit))
                continue;
            size_t row = row_at(heads, set->rows, slice_of(text.ptr + i, text.len - i), bit, best);
            if (row == best)
                continue;
            best = row;
            *at = i;
            if (is_any || best == 0)
                return best;
        }
    }
    return best;
}

int scan_phrase_at(struct slice text, struct phrases *set, int none, size_t *at)
{
    size_t row = row_find(text, set, false, at);
    return row < set->count ? set->rows[row].value : none;
}

bool scan_any(struct slice text, struct phrases *set)
{
    size_t at;
    return row_find(text, set, true, &at) < set->count;
}

size_t scan_front(struct slice text, struct phrases *set)
{
    if (text.len < 2)
        return set->count;
    struct phrase_heads spare;
    const struct phrase_heads *heads = heads_of(set, &spare);
    unsigned bit = begin_bit(text.ptr, text.len, heads->is_short);
    return may_begin(heads, bit) ? row_at(heads, set->rows, text, bit, set->count) : set->count;
}

int scan_phrase(struct slice text, struct phrases *set, int none)
{
    size_t at;
    return scan_phrase_at(text, set, none, &at);
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
