/* csv_encoding.c - the encodings that a list may come in (csv_detect.c tells which) */
#include "audience/csv_inside.h"

/* Names that people use, as ours and as iconv's. */
static const struct {
    struct slice word, encoding;
} encodings[] = {
    {SLICE_INIT("utf-8"), SLICE_INIT("utf-8")},
    {SLICE_INIT("utf8"), SLICE_INIT("utf-8")},
    {SLICE_INIT("us-ascii"), SLICE_INIT("utf-8")},
    {SLICE_INIT("cp932"), SLICE_INIT("cp932")},
    {SLICE_INIT("shift_jis"), SLICE_INIT("cp932")},
    {SLICE_INIT("shift-jis"), SLICE_INIT("cp932")},
    {SLICE_INIT("sjis"), SLICE_INIT("cp932")},
    {SLICE_INIT("windows-31j"), SLICE_INIT("cp932")},
    {SLICE_INIT("euc-jp"), SLICE_INIT("euc-jp")},
    {SLICE_INIT("iso-2022-jp"), SLICE_INIT("iso-2022-jp")},
    {SLICE_INIT("jis"), SLICE_INIT("iso-2022-jp")},
    {SLICE_INIT("utf-16"), SLICE_INIT("utf-16le")},
    {SLICE_INIT("utf-16le"), SLICE_INIT("utf-16le")},
    {SLICE_INIT("utf-16be"), SLICE_INIT("utf-16be")},
    {SLICE_INIT("windows-1252"), SLICE_INIT("windows-1252")},
    {SLICE_INIT("iso-8859-1"), SLICE_INIT("windows-1252")},
    {SLICE_INIT("latin1"), SLICE_INIT("windows-1252")},
};

const char *csv_iconv_name(struct slice encoding)
{
    if (slice_equal(encoding, SLICE("cp932")))
        return "CP932";
    if (slice_equal(encoding, SLICE("euc-jp")))
        return "EUC-JP-MS";
    if (slice_equal(encoding, SLICE("iso-2022-jp")))
        return "EUC-JP-MS"; /* what csv_unescape_jis makes of it */
    if (slice_equal(encoding, SLICE("utf-16le")))
        return "UTF-16LE";
    if (slice_equal(encoding, SLICE("utf-16be")))
        return "UTF-16BE";
    return "CP1252";
}

bool csv_encoding_of(struct slice word, struct slice *encoding)
{
    for (size_t i = 0; i < COUNT_OF(encodings); i++) {
        if (slice_equal_caseless(word, encodings[i].word)) {
            *encoding = encodings[i].encoding;
            return true;
        }
    }
    return false;
}

/* By hand because iconv's strict tables lack the NEC and IBM characters (a circled 1, the company sign) that real files
 * have between the same escapes. */
void csv_unescape_jis(struct slice bytes, struct buf *out)
{
    enum { ASCII, KANJI, KANA } set = ASCII;
    for (size_t i = 0; i < bytes.len;) {
        unsigned char c = (unsigned char)bytes.ptr[i];
        struct slice rest = slice_from(bytes, i);
        if (slice_starts(rest, SLICE("\x1b$B")) || slice_starts(rest, SLICE("\x1b$@"))) {
            set = KANJI;
            i += 3;
        } else if (c == 0x1b && rest.len >= 3 && rest.ptr[1] == '(') {
            set = rest.ptr[2] == 'I' ? KANA : ASCII;
            i += 3;
        } else if (c == '\r' || c == '\n' || set == ASCII || c < 0x21 || c > 0x7e) {
            if (c == '\n')
                set = ASCII; /* each line begins in ASCII (RFC 1468) */
            buf_byte(out, (char)c);
            i++;
        } else if (set == KANA || i + 1 == bytes.len) {
            buf_byte(out, (char)0x8e);
            buf_byte(out, (char)(c | 0x80));
            i++;
        } else {
            buf_byte(out, (char)(c | 0x80));
            buf_byte(out, (char)(bytes.ptr[i + 1] | 0x80));
            i += 2;
        }
    }
}
