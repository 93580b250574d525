#include "audience/csv.h"
#include "base/utf8.h"
#include "mime/charset.h"
#include <errno.h>

enum { SAMPLE = 1 << 20 };

/* UTF-16 without a BOM: text of our languages has many bytes 0 (ASCII, line ends), nearly all on one side. */
static struct slice guess_utf16(struct slice bytes)
{
    size_t zeros[2] = {0}, len = bytes.len < SAMPLE ? bytes.len & ~(size_t)1 : SAMPLE;
    for (size_t i = 0; i < len; i++)
        zeros[i & 1] += bytes.ptr[i] == 0;
    size_t many = len / 32 + 1;
    if (zeros[1] >= many && zeros[0] <= zeros[1] / 16)
        return SLICE("utf-16le");
    if (zeros[0] >= many && zeros[1] <= zeros[0] / 16)
        return SLICE("utf-16be");
    return (struct slice){0};
}

/* From the start of the line with the first byte above 127: where the guess has something to go by. */
static struct slice sample_of(struct slice bytes)
{
    size_t at = 0;
    while (at < bytes.len && (unsigned char)bytes.ptr[at] < 0x80)
        at++;
    ptrdiff_t line = slice_find_last_byte(slice_head(bytes, at), '\n');
    return slice_head(slice_from(bytes, line == SLICE_NPOS ? 0 : (size_t)line + 1), SAMPLE);
}

/* A UTF-8 file with some broken rows stays a UTF-8 file. */
static bool is_mostly_utf8(struct slice sample)
{
    size_t good = 0, bad = 0;
    while (sample.len) {
        unsigned char lead = (unsigned char)*sample.ptr;
        if (lead < 0x80) {
            sample = slice_from(sample, 1);
            continue;
        }
        if (utf8_next(&sample) == UTF8_REPLACEMENT)
            bad++;
        else
            good++;
    }
    return good > bad * 4;
}

/* How much like Japanese the bytes look when read as this: kana speak for it, half-width kana (what EUC-JP looks like
 * as CP932) and bytes that are nothing against it. */
struct look {
    long score;
    size_t wide, bad;
};

static void look_at(struct look *look, uint32_t c)
{
    if (c < 0x80)
        return;
    look->wide++;
    if (c >= 0x3041 && c <= 0x30ff) /* hiragana, katakana */
        look->score += 4;
    else if (c >= 0x4e00 && c <= 0x9fff) /* kanji */
        look->score += 1;
    else if (c >= 0xff61 && c <= 0xff9f) /* half-width katakana */
        look->score -= 1;
    else if (c >= 0xe000 && c <= 0xf8ff) /* private use */
        look->score -= 10;
}

static struct look look_as(struct slice sample, const char *encoding)
{
    struct look look = {0};
    iconv_t cd = charset_converter("UCS-4LE", encoding);
    if (cd == (iconv_t)-1)
        return (struct look){.score = -1000000};
    char *in = (char *)(uintptr_t)sample.ptr; /* iconv's prototype forgets const */
    size_t in_left = sample.len;
    while (in_left) {
        uint32_t wide[1024];
        char *out = (char *)wide;
        size_t out_left = sizeof(wide);
        size_t done = iconv(cd, &in, &in_left, &out, &out_left);
        int error = errno;
        for (size_t i = 0; i < (sizeof(wide) - out_left) / sizeof(*wide); i++)
            look_at(&look, wide[i]);
        if (done != (size_t)-1 || error == E2BIG)
            continue;
        if (error == EINVAL)
            break; /* the sample ends within a character */
        look.bad++;
        in++;
        in_left--;
    }
    iconv_close(cd);
    look.score -= (long)look.bad * 20;
    return look;
}

static struct slice guess_bytes(struct slice sample)
{
    struct look cp932 = look_as(sample, "CP932"), euc = look_as(sample, "EUC-JP-MS");
    bool is_euc = euc.score > cp932.score;
    const struct look *best = is_euc ? &euc : &cp932;
    if (best->bad * 10 > best->wide)
        return SLICE("windows-1252");
    return is_euc ? SLICE("euc-jp") : SLICE("cp932");
}

struct slice csv_detect(struct slice bytes, size_t *bom_len)
{
    static const struct {
        struct slice bom, encoding;
    } boms[] = {
        {SLICE_INIT("\xef\xbb\xbf"), SLICE_INIT("utf-8")},
        {SLICE_INIT("\xff\xfe"), SLICE_INIT("utf-16le")},
        {SLICE_INIT("\xfe\xff"), SLICE_INIT("utf-16be")},
    };
    *bom_len = 0;
    for (size_t i = 0; i < COUNT_OF(boms); i++) {
        if (slice_starts(bytes, boms[i].bom)) {
            *bom_len = boms[i].bom.len;
            return boms[i].encoding;
        }
    }
    struct slice wide = guess_utf16(bytes);
    if (wide.len)
        return wide;
    struct slice escape = slice_head(bytes, SAMPLE);
    if (slice_find(escape, SLICE("\x1b$")) != SLICE_NPOS || slice_find(escape, SLICE("\x1b(J")) != SLICE_NPOS)
        return SLICE("iso-2022-jp");
    if (utf8_is_valid(bytes))
        return SLICE("utf-8");
    struct slice sample = sample_of(bytes);
    if (is_mostly_utf8(sample))
        return SLICE("utf-8");
    return guess_bytes(sample);
}
