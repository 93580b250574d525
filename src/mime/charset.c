#include "mime/charset.h"

#include "base/buf.h"
#include "base/memory.h"
#include "base/utf8.h"
#include <errno.h>
#include <iconv.h>

/* What the labels that mail carries mean to iconv; the wider superset wins where programs are sloppy. */
static const struct {
    struct slice label, name;
} aliases[] = {
    {SLICE_INIT("shift_jis"), SLICE_INIT("CP932")},
    {SLICE_INIT("shift-jis"), SLICE_INIT("CP932")},
    {SLICE_INIT("sjis"), SLICE_INIT("CP932")},
    {SLICE_INIT("x-sjis"), SLICE_INIT("CP932")},
    {SLICE_INIT("windows-31j"), SLICE_INIT("CP932")},
    {SLICE_INIT("ms932"), SLICE_INIT("CP932")},
    {SLICE_INIT("euc-jp"), SLICE_INIT("EUC-JP-MS")},
    {SLICE_INIT("x-euc-jp"), SLICE_INIT("EUC-JP-MS")},
    {SLICE_INIT("cp51932"), SLICE_INIT("EUC-JP-MS")},
    {SLICE_INIT("iso-2022-jp"), SLICE_INIT("ISO-2022-JP-3")},
    {SLICE_INIT("iso-2022-jp-ms"), SLICE_INIT("ISO-2022-JP-3")},
    {SLICE_INIT("cp50220"), SLICE_INIT("ISO-2022-JP-3")},
    {SLICE_INIT("cp50221"), SLICE_INIT("ISO-2022-JP-3")},
    {SLICE_INIT("gb2312"), SLICE_INIT("GB18030")},
    {SLICE_INIT("gbk"), SLICE_INIT("GB18030")},
    {SLICE_INIT("eucgb2312_cn"), SLICE_INIT("GB18030")}, /* as Python calls it */
    {SLICE_INIT("x-gbk"), SLICE_INIT("GB18030")},
    {SLICE_INIT("cp936"), SLICE_INIT("GB18030")},
    {SLICE_INIT("big5"), SLICE_INIT("BIG5-HKSCS")},
    {SLICE_INIT("big5_tw"), SLICE_INIT("BIG5-HKSCS")}, /* Python's again */
    {SLICE_INIT("x-x-big5"), SLICE_INIT("BIG5-HKSCS")},
    {SLICE_INIT("cp950"), SLICE_INIT("BIG5-HKSCS")},
    {SLICE_INIT("euc_kr"), SLICE_INIT("CP949")},
    {SLICE_INIT("windows-949"), SLICE_INIT("CP949")},
    {SLICE_INIT("iso-8859-8-i"), SLICE_INIT("ISO-8859-8")},
    {SLICE_INIT("iso-8859-8-e"), SLICE_INIT("ISO-8859-8")},
    {SLICE_INIT("euc_jp"), SLICE_INIT("EUC-JP-MS")},
    {SLICE_INIT("iso2022-jp"), SLICE_INIT("ISO-2022-JP-3")},
    {SLICE_INIT("ks_c_5601-1987"), SLICE_INIT("CP949")},
    {SLICE_INIT("euc-kr"), SLICE_INIT("CP949")},
    {SLICE_INIT("iso-8859-1"), SLICE_INIT("CP1252")},
    {SLICE_INIT("latin1"), SLICE_INIT("CP1252")},
    {SLICE_INIT("us-ascii"), SLICE_INIT("CP1252")},
    {SLICE_INIT("ascii"), SLICE_INIT("CP1252")},
    {SLICE_INIT("ansi_x3.4-1968"), SLICE_INIT("CP1252")},
    {SLICE_INIT("unicode-1-1-utf-7"), SLICE_INIT("UTF-7")},
    {SLICE_INIT("x-mac-japanese"), SLICE_INIT("CP932")},
};

/* A label as iconv's name in `name` (64 bytes). False: nothing iconv could know. */
static bool name_of(struct slice label, char name[64])
{
    label = slice_trim(label);
    if (label.len >= 2 && label.ptr[0] == '"' && label.ptr[label.len - 1] == '"')
        label = slice_of(label.ptr + 1, label.len - 2);
    for (size_t i = 0; i < COUNT_OF(aliases); i++) {
        if (slice_equal_caseless(label, aliases[i].label)) {
            label = aliases[i].name;
            break;
        }
    }
    if (label.len == 0 || label.len > 40)
        return false;
    for (size_t i = 0; i < label.len; i++) {
        if (!ascii_is_alnum(label.ptr[i]) && !memchr("-_.:", label.ptr[i], 4))
            return false; /* a slash would mean options to iconv */
        name[i] = label.ptr[i];
    }
    name[label.len] = 0;
    return true;
}

static const char *const kept[] = {"ISO-2022-JP-3", "CP932", "EUC-JP-MS", "CP1252", "GB18030", "KOI8-R", "CP1251"};

static bool is_kept(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(kept); i++)
        if (strcmp(name, kept[i]) == 0)
            return true;
    return false;
}

iconv_t charset_converter(const char *to, const char *from)
{
    iconv_t converter = iconv_open(to, from); /* mistake: allowed, because its failures are told apart here */
    /* a module that could not be loaded for want of memory is said to be unknown, too; these come with glibc itself */
    if (converter == (iconv_t)-1 && (errno == ENOMEM || is_kept(from) || is_kept(to)))
        memory_gone("iconv");
    return converter;
}

/* Convert; bytes that are nothing become U+FFFD and are counted. False: iconv does not know the name. */
static bool convert(struct slice text, const char *name, struct arena *arena, struct slice *result, size_t *broken)
{
    iconv_t cd = charset_converter("UTF-8", name);
    if (cd == (iconv_t)-1)
        return false;
    SCOPED(buf) out = BUF(text.len * 16 + 1024);
    char *in = (char *)(uintptr_t)text.ptr; /* iconv's prototype forgets const */
    size_t in_left = text.len;
    *broken = 0;
    bool is_flushed = false;
    while (!is_flushed) {
        char *to = buf_reserve(&out, in_left * 2 + 64);
        if (!to)
            break;
        size_t out_left = in_left * 2 + 64, before = out_left;
        is_flushed = in_left == 0;
        size_t done = is_flushed ? iconv(cd, NULL, NULL, &to, &out_left) : iconv(cd, &in, &in_left, &to, &out_left);
        int error = errno;
        buf_advance(&out, before - out_left);
        if (done == (size_t)-1 && error != E2BIG && in_left) {
            ++*broken;
            utf8_append(&out, UTF8_REPLACEMENT);
            in++;
            in_left--;
            if (error == EILSEQ && *broken == 1)
                iconv(cd, NULL, NULL, NULL, NULL);
        }
    }
    iconv_close(cd);
    if (!utf8_is_valid(buf_slice(&out))) { /* half a surrogate pair out of UTF-16 or UTF-7 */
        SCOPED(buf) repaired = BUF(out.len * 3 + 16);
        utf8_repair(&repaired, buf_slice(&out));
        *result = arena_copy(arena, buf_slice(&repaired));
        return true;
    }
    *result = arena_copy(arena, buf_slice(&out));
    return true;
}

struct charset_keeper {
    iconv_t open[COUNT_OF(kept)];
};

struct charset_keeper *charset_keeper_new(void)
{
    struct charset_keeper *keeper = NEW(struct charset_keeper);
    for (size_t i = 0; i < COUNT_OF(kept); i++)
        keeper->open[i] = charset_converter("UTF-8", kept[i]);
    return keeper;
}

void charset_keeper_free(struct charset_keeper *keeper)
{
    for (size_t i = 0; keeper && i < COUNT_OF(kept); i++)
        if (keeper->open[i] != (iconv_t)-1)
            iconv_close(keeper->open[i]);
    free(keeper);
}

static bool has_escape(struct slice text)
{
    const char *at = text.ptr, *end = text.ptr + text.len;
    while (at < end && (at = memchr(at, 0x1b, (size_t)(end - at)))) {
        if (end - at >= 3 && (at[1] == '$' || at[1] == '('))
            return true;
        at++;
    }
    return false;
}

/* How many bytes are not CP932 and not EUC-JP, and how much looks like Japanese in each. */
struct guess {
    size_t bad, kana;
};

static struct guess as_cp932(struct slice s)
{
    struct guess guess = {0};
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c < 0x80 || (c >= 0xa1 && c <= 0xdf))
            continue;
        unsigned char next = i + 1 < s.len ? (unsigned char)s.ptr[i + 1] : 0;
        if (((c >= 0x81 && c <= 0x9f) || (c >= 0xe0 && c <= 0xfc)) && next >= 0x40 && next != 0x7f && next <= 0xfc) {
            guess.kana += c == 0x82 || c == 0x83 || c == 0x81;
            i++;
        } else {
            guess.bad++;
        }
    }
    return guess;
}

static struct guess as_euc_jp(struct slice s)
{
    struct guess guess = {0};
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c < 0x80)
            continue;
        unsigned char next = i + 1 < s.len ? (unsigned char)s.ptr[i + 1] : 0;
        if (((c >= 0xa1 && c <= 0xfe) || c == 0x8e) && next >= 0xa1 && next <= 0xfe) {
            guess.kana += c == 0xa4 || c == 0xa5 || c == 0xa1;
            i++;
        } else {
            guess.bad++;
        }
    }
    return guess;
}

struct slice charset_guess(struct slice text)
{
    if (has_escape(text))
        return SLICE("iso-2022-jp");
    if (slice_is_ascii(text))
        return SLICE("us-ascii");
    if (utf8_is_valid(text))
        return SLICE("utf-8");
    struct guess cp932 = as_cp932(text), euc = as_euc_jp(text);
    if (euc.bad == 0 && (cp932.bad || euc.kana >= cp932.kana))
        return euc.kana ? SLICE("euc-jp") : SLICE("windows-1252");
    if (cp932.bad * 20 <= cp932.kana)
        return SLICE("cp932");
    return SLICE("windows-1252");
}

static bool is_utf7(struct slice label)
{
    return slice_equal_caseless(label, SLICE("utf-7")) || slice_equal_caseless(label, SLICE("unicode-1-1-utf-7"));
}

struct slice charset_to_utf8(struct slice text, struct slice label, struct arena *arena)
{
    char name[64];
    struct slice result;
    size_t broken;
    if ((slice_starts_caseless(label, SLICE("utf-16")) || slice_starts_caseless(label, SLICE("utf-32"))) &&
        slice_is_ascii(text) && !memchr(text.len ? text.ptr : "", 0, text.len))
        return text; /* every line end of real UTF-16 has a NUL: only the label is wrong */
    bool is_wide = slice_starts_caseless(label, SLICE("utf-16")) || slice_starts_caseless(label, SLICE("utf-32")) ||
                   slice_starts_caseless(label, SLICE("hz-gb")) || slice_starts_caseless(label, SLICE("iso-2022-")) ||
                   is_utf7(label);
    if (!is_wide && !memchr(text.len ? text.ptr : "", 0x1b, text.len) && (slice_is_ascii(text) || utf8_is_valid(text)))
        return text;
    /* a label that fits, or the first guess that does */
    if (!has_escape(text) || is_wide) {
        if (name_of(label, name) && convert(text, name, arena, &result, &broken) && broken * 50 <= text.len)
            return result;
        if (utf8_is_valid(text))
            return text;
    }
    struct slice guess = charset_guess(text);
    if (slice_equal(guess, SLICE("windows-1252")) && name_of(label, name) &&
        convert(text, name, arena, &result, &broken))
        return result;
    if (name_of(guess, name) && convert(text, name, arena, &result, &broken))
        return result;
    SCOPED(buf) repaired = BUF(text.len * 3 + 16);
    utf8_repair(&repaired, text);
    return arena_copy(arena, buf_slice(&repaired));
}
