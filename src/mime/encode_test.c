/* M27 encoded-words, M30 and S46 body lines, R2 line ends */
#include "base/base64.h"
#include "base/test.h"
#include "base/utf8.h"
#include "mime/encode.h"

static void words_of_text(void **state)
{
    static const struct {
        const char *row;
        struct slice value;
        size_t column;
        bool is_phrase;
        struct slice want;
    } rows[] = {
        {"Japanese is B", SLICE_INIT("お客様へ"), 9, false, SLICE_INIT("=?UTF-8?B?44GK5a6i5qeY44G4?=")},
        {"mostly ASCII is Q", SLICE_INIT("Café of the year"), 9, false,
         SLICE_INIT("=?UTF-8?Q?Caf=C3=A9_of_the_year?=")},
        {"underscore, equals, question mark", SLICE_INIT("é_=? and more text after it"), 9, false,
         SLICE_INIT("=?UTF-8?Q?=C3=A9=5F=3D=3F_and_more_text_after_it?=")},
        {"a phrase holds fewer characters", SLICE_INIT("Jos\xc3\xa9 (the one), of the old town"), 6, true,
         SLICE_INIT("=?UTF-8?Q?Jos=C3=A9_=28the_one=29=2C_of_the_old_town?=")},
        {"controls become spaces (X3)", SLICE_INIT("é\r\nBcc: everybody here"), 9, false,
         SLICE_INIT("=?UTF-8?Q?=C3=A9__Bcc:_everybody_here?=")},
        {"not UTF-8 is repaired", SLICE_INIT("abcdefghijklmnopqr\xff"), 9, false,
         SLICE_INIT("=?UTF-8?Q?abcdefghijklmnopqr=EF=BF=BD?=")},
        {"emoji whole", SLICE_INIT("🎉"), 9, false, SLICE_INIT("=?UTF-8?B?8J+OiQ==?=")},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        SCOPED(buf) out = BUF(4096);
        encoded_words(&out, rows[i].value, rows[i].column, rows[i].is_phrase);
        assert_slice(rows[i].row, buf_slice(&out), rows[i].want);
    }
}

/* Decode our own words back, checking each on the way: at most 75, whole characters, lines of at most 76. */
static void words_back(struct slice folded, size_t column, struct buf *out)
{
    struct slice rest = folded, line;
    while (slice_line(&rest, &line)) {
        assert_true(line.len + column <= ENCODED_LINE_COLUMNS);
        column = 0;
        struct slice word = slice_trim(line);
        assert_true(word.len <= ENCODED_WORD_MAX && slice_starts(word, SLICE("=?UTF-8?")) &&
                    slice_ends(word, SLICE("?=")));
        struct slice payload = slice_head(slice_from(word, 10), word.len - 12);
        size_t start = out->len;
        if (word.ptr[8] == 'B')
            assert_true(base64_decode(out, payload));
        else
            for (size_t i = 0; i < payload.len; i++) {
                if (payload.ptr[i] == '=') {
                    assert_true(hex_decode(out, slice_of(payload.ptr + i + 1, 2)));
                    i += 2;
                } else {
                    buf_byte(out, payload.ptr[i] == '_' ? ' ' : payload.ptr[i]);
                }
            }
        assert_true(utf8_is_valid(slice_from(buf_slice(out), start)));
    }
}

static void words_round_trip_at_every_length(void **state)
{
    static const char *const units[] = {"あ", "a", "é", "🎉", "שלום ", "日本 x"};
    for (size_t unit = 0; unit < COUNT_OF(units); unit++) {
        SCOPED(buf) value = BUF(4096);
        for (int times = 0; times < 90; times++) {
            buf_str(&value, units[unit]);
            for (size_t column = 6; column < 70; column += 9) {
                SCOPED(buf) out = BUF(1 << 16);
                SCOPED(buf) back = BUF(1 << 16);
                size_t end = encoded_words(&out, buf_slice(&value), column, times % 2);
                bool is_folded_first = slice_starts(buf_slice(&out), SLICE("\r\n"));
                words_back(slice_from(buf_slice(&out), is_folded_first ? 2 : 0), is_folded_first ? 0 : column, &back);
                assert_slice(units[unit], buf_slice(&back), buf_slice(&value));
                assert_true(end <= ENCODED_LINE_COLUMNS);
            }
        }
    }
}

static void quoted_printable_rows(void **state)
{
    static const struct {
        const char *row;
        struct slice text, want;
    } rows[] = {
        {"plain", SLICE_INIT("hello\r\n"), SLICE_INIT("hello\r\n")},
        {"equals", SLICE_INIT("a=b\r\n"), SLICE_INIT("a=3Db\r\n")},
        {"space at line end", SLICE_INIT("a \r\nb\t\r\n"), SLICE_INIT("a=20\r\nb=09\r\n")},
        {"space at text end", SLICE_INIT("a "), SLICE_INIT("a=20")},
        {"dot at line start", SLICE_INIT(".\r\n.a\r\n"), SLICE_INIT("=2E\r\n=2Ea\r\n")},
        {"From at line start", SLICE_INIT("From me\r\nFromage\r\n"), SLICE_INIT("=46rom me\r\nFromage\r\n")},
        {"lone CR and LF are bytes (R2)", SLICE_INIT("a\rb\nc\r\n"), SLICE_INIT("a=0Db=0Ac\r\n")},
        {"UTF-8", SLICE_INIT("é"), SLICE_INIT("=C3=A9")},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        SCOPED(buf) out = BUF(4096);
        quoted_printable_encode(&out, rows[i].text, 0);
        assert_slice(rows[i].row, buf_slice(&out), rows[i].want);
    }
}

static void qp_decode(struct buf *out, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] != '=') {
            buf_byte(out, text.ptr[i]);
        } else if (text.ptr[i + 1] == '\r') {
            i += 2;
        } else {
            assert_true(hex_decode(out, slice_of(text.ptr + i + 1, 2)));
            i += 2;
        }
    }
}

static void lines_within(struct slice text, size_t limit)
{
    size_t line = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\r' || text.ptr[i] == '\n') {
            assert_true(text.ptr[i] == '\n' ? i && text.ptr[i - 1] == '\r'
                                            : i + 1 < text.len && text.ptr[i + 1] == '\n');
            line = 0;
        } else {
            assert_true(++line <= limit);
        }
    }
}

/* S46: a single line of 20 kB, in both encodings; every start column. */
static void long_lines_are_broken_and_come_back(void **state)
{
    SCOPED(buf) text = BUF(1 << 20);
    for (int i = 0; i < 2000; i++)
        buf_str(&text, i % 7 ? "abc .=x " : "長い行");
    for (size_t column = 0; column < 76; column += 5) {
        SCOPED(buf) out = BUF(1 << 20);
        SCOPED(buf) back = BUF(1 << 20);
        quoted_printable_encode(&out, buf_slice(&text), column);
        lines_within(buf_slice(&out), 76);
        qp_decode(&back, buf_slice(&out));
        assert_slice("qp", buf_slice(&back), buf_slice(&text));
    }
    SCOPED(buf) out = BUF(1 << 20);
    text_encode(&out, buf_slice(&text), TRANSFER_BASE64);
    lines_within(buf_slice(&out), 76);
}

static void transfer_rows(void **state)
{
    SCOPED(buf) long_line = BUF(4096);
    for (int i = 0; i < 100; i++)
        buf_text(&long_line, "0123456789");
    const struct {
        const char *row;
        struct slice text;
        enum transfer want;
    } rows[] = {
        {"empty", SLICE_INIT(""), TRANSFER_7BIT},
        {"ASCII", SLICE_INIT("hello\nworld\n"), TRANSFER_7BIT},
        {"a little UTF-8", SLICE_INIT("The café opens at nine and closes at five every day"),
         TRANSFER_QUOTED_PRINTABLE},
        {"Japanese", SLICE_INIT("いつもお世話になっております。"), TRANSFER_BASE64},
        {"a control byte", SLICE_INIT("a\x01 and so on"), TRANSFER_QUOTED_PRINTABLE},
        {"a line of 1000", buf_slice(&long_line), TRANSFER_QUOTED_PRINTABLE},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_int_row(rows[i].row, transfer_choose(rows[i].text), rows[i].want);
}

static void line_ends_become_crlf(void **state)
{
    SCOPED(buf) out = BUF(100);
    text_crlf(&out, SLICE("a\nb\rc\r\nd\n\re\0f"));
    assert_slice("R2", buf_slice(&out), SLICE("a\r\nb\r\nc\r\nd\r\n\r\nef"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_of_text),         cmocka_unit_test(words_round_trip_at_every_length),
        cmocka_unit_test(quoted_printable_rows), cmocka_unit_test(long_lines_are_broken_and_come_back),
        cmocka_unit_test(transfer_rows),         cmocka_unit_test(line_ends_become_crlf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
