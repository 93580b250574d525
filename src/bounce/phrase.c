/* phrase.c - one pass finds the places where a phrase may begin; there the rows that begin so are compared
 *
 * A phrase begins with a word, or with a byte that is neither of a word nor a space. Of its first letters a bit is
 * kept: most places are passed over by it, and the others look only at the rows that share those letters. */
#include "bounce/phrase.h"

#include "bounce/blob.h"
#include <assert.h>
#include <stdatomic.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

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
