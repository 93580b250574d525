/* U19: CSV as Excel and others write it: encodings, delimiters, quotes; broken files named with line and cure; X10,
 * X11. */
#include "audience/csv.h"
#include "base/test.h"

#include "mime/charset.h"
#include <time.h>

/* The records as "a|b|c" lines. */
static bool read_all(struct slice bytes, struct slice encoding, struct buf *out, struct slice *said_encoding,
                     char *delimiter, struct fault *why)
{
    struct csv *csv = csv_open(bytes, "t.csv", encoding, why);
    if (!csv)
        return false;
    struct csv_record record;
    while (csv_next(csv, &record, why)) {
        buf_printf(out, "%llu:", (unsigned long long)record.line);
        for (size_t i = 0; i < record.count; i++) {
            buf_append(out, record.fields[i]);
            buf_byte(out, '|');
        }
        buf_str(out, record.is_broken ? "!\n" : "\n");
    }
    *said_encoding = csv_encoding(csv); /* a literal */
    *delimiter = csv_delimiter(csv);
    csv_free(csv);
    return why->kind == FAULT_NONE;
}

static void records(void **state)
{
    static const struct {
        const char *row;
        struct slice bytes;
        const char *want;
        char delimiter;
    } table[] = {
        {"plain", SLICE_INIT("a,b\n1,2\n"), "1:a|b|\n2:1|2|\n", ','},
        {"CRLF, no end of line at the end", SLICE_INIT("a,b\r\n1,2"), "1:a|b|\n2:1|2|\n", ','},
        {"CR alone", SLICE_INIT("a,b\r1,2\r"), "1:a|b|\n2:1|2|\n", ','},
        {"empty file", SLICE_INIT(""), "", ','},
        {"empty lines are skipped and counted", SLICE_INIT("a,b\n\n\r\n1,2\n\n"), "1:a|b|\n4:1|2|\n", ','},
        {"Ctrl-Z at the end", SLICE_INIT("a,b\n1,2\n\x1a"), "1:a|b|\n2:1|2|\n", ','},
        {"empty fields", SLICE_INIT(",\n,,\n"), "1:||\n2:|||\n", ','},
        {"quoted", SLICE_INIT("\"a\",\"b,c\"\n"), "1:a|b,c|\n", ','},
        {"doubled quotes", SLICE_INIT("\"a\"\"b\",\"\"\"\",\"\"\n"), "1:a\"b|\"||\n", ','},
        {"several put together", SLICE_INIT("\"a\"\"1\",x,\"b\"\"2\"\n\"c\"\"3\"\n"), "1:a\"1|x|b\"2|\n2:c\"3|\n", ','},
        {"lines in a field", SLICE_INIT("a,\"x\r\ny\nz\"\nb,c\n"), "1:a|x\r\ny\nz|\n4:b|c|\n", ','},
        {"a quote inside an unquoted field", SLICE_INIT("a\"b,5\" disk\n"), "1:a\"b|5\" disk|\n", ','},
        {"spaces behind a closing quote", SLICE_INIT("\"a\"  ,b\n"), "1:a|b|\n", ','},
        {"semicolons", SLICE_INIT("a;b;c\n1,5;2;3\n"), "1:a|b|c|\n2:1,5|2|3|\n", ';'},
        {"tabs", SLICE_INIT("a\tb\n1\t2\n"), "1:a|b|\n2:1|2|\n", '\t'},
        {"delimiters inside quotes do not vote", SLICE_INIT("\"a,b,c,d\";e\n"), "1:a,b,c,d|e|\n", ';'},
        {"Excel's sep line", SLICE_INIT("sep=;\r\na;b,c,d\r\n"), "2:a|b,c,d|\n", ';'},
        {"one column", SLICE_INIT("email\na@b\n"), "1:email|\n2:a@b|\n", ','},
        {"BOM",
         SLICE_INIT("\xef\xbb\xbf"
                    "a,b\n"),
         "1:a|b|\n", ','},
        {"broken UTF-8 marks its row only", SLICE_INIT("名,あいうえお\n\xff,b\nc,d\n"),
         "1:名|あいうえお|\n2:\xef\xbf\xbd|b|!\n3:c|d|\n", ','},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        SCOPED(buf) out = BUF(10000);
        struct fault why = {0};
        struct slice encoding;
        char delimiter;
        if (!read_all(table[i].bytes, SLICE(""), &out, &encoding, &delimiter, &why))
            fail_msg("%s: %s", table[i].row, why.text);
        assert_slice(table[i].row, buf_slice(&out), slice_str(table[i].want));
        assert_int_row(table[i].row, delimiter, table[i].delimiter);
        assert_slice(table[i].row, encoding, SLICE("utf-8"));
    }
}

static const char japanese[] = "氏名,メールアドレス,備考\r\n山田 太郎,taro@example.jp,ソ連・表示①㈱髙﨑～\r\n髙橋 "
                               "花子,hanako@example.jp,\"改行\r\nあり\"\r\n";

static struct slice encode(const char *text, const char *name, char *out, size_t room)
{
    iconv_t cd = charset_converter(name, "UTF-8");
    assert_true(cd != (iconv_t)-1);
    char *in = (char *)(uintptr_t)text, *to = out;
    size_t in_left = strlen(text), out_left = room;
    assert_true(iconv(cd, &in, &in_left, &to, &out_left) != (size_t)-1);
    iconv(cd, NULL, NULL, &to, &out_left);
    iconv_close(cd);
    return slice_of(out, room - out_left);
}

static void encodings_are_detected(void **state)
{
    static const struct {
        const char *row, *iconv_name, *want;
    } table[] = {
        {"UTF-8", "UTF-8", "utf-8"},
        {"CP932", "CP932", "cp932"},
        {"EUC-JP", "EUC-JP-MS", "euc-jp"},

        {"UTF-16 with BOM", "UTF-16", "utf-16le"},
        {"UTF-16LE", "UTF-16LE", "utf-16le"},
        {"UTF-16BE", "UTF-16BE", "utf-16be"},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        for (int is_told = 0; is_told < 2; is_told++) {
            char bytes[2000];
            struct slice text = encode(japanese, table[i].iconv_name, bytes, sizeof(bytes));
            SCOPED(buf) out = BUF(10000);
            struct fault why = {0};
            struct slice encoding;
            char delimiter;
            if (!read_all(text, is_told ? slice_str(table[i].want) : SLICE("auto"), &out, &encoding, &delimiter, &why))
                fail_msg("%s: %s", table[i].row, why.text);
            assert_slice(table[i].row, encoding, slice_str(table[i].want));
            assert_slice(table[i].row, buf_slice(&out),
                         SLICE("1:氏名|メールアドレス|備考|\n2:山田 太郎|taro@example.jp|ソ連・表示①㈱髙﨑～|\n3:髙橋 "
                               "花子|hanako@example.jp|改行\r\nあり|\n"));
        }
    }
}

static void short_and_odd_files_are_guessed(void **state)
{
    static const struct {
        const char *row, *utf8, *iconv_name, *want;
    } table[] = {
        {"one kanji name", "name,email\n山田,a@b.jp\n", "CP932", "cp932"},
        {"one kanji name", "name,email\n山田,a@b.jp\n", "EUC-JP-MS", "euc-jp"},
        {"kana name", "name,email\nタナカ,a@b.jp\n", "EUC-JP-MS", "euc-jp"},
        {"half-width kana", "name,email\nﾔﾏﾀﾞ ﾀﾛｳ,a@b.jp\n", "CP932", "cp932"},
        {"French", "nom,e-mail\nRené Lefèvre,a@b.fr\nFrançois,c@d.fr\n", "CP1252", "windows-1252"},
        {"ASCII", "name,email\nA,a@b.jp\n", "UTF-8", "utf-8"},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        char bytes[2000];
        size_t bom_len;
        assert_slice(table[i].row,
                     csv_detect(encode(table[i].utf8, table[i].iconv_name, bytes, sizeof(bytes)), &bom_len),
                     slice_str(table[i].want));
    }
}

static void iso_2022_jp_with_what_real_files_have(void **state)
{
    /* 山田 with NEC's circled 1 and company sign, half-width kana, JIS-Roman, and kanji up to the line end without
     * going back */
    static const char bytes[] = "\x1b$B;3ED\x1b(B,\x1b$B-!-j\x1b(J,\x1b(I1\x1b(B\r\na,\x1b$B;3\r\nb,c\r\n";
    SCOPED(buf) out = BUF(10000);
    struct fault why = {0};
    struct slice encoding;
    char delimiter;
    if (!read_all(slice_str(bytes), SLICE(""), &out, &encoding, &delimiter, &why))
        fail_msg("%s", why.text);
    assert_slice("encoding", encoding, SLICE("iso-2022-jp"));
    assert_slice("text", buf_slice(&out), SLICE("1:山田|①㈱|ｱ|\n2:a|山|\n3:b|c|\n"));
}

/* Long files: records and characters across the pieces that are converted. */
static void pieces_join_without_a_seam(void **state)
{
    enum { ROWS = 60000 };
    SCOPED(buf) text = BUF(64 << 20);
    for (int i = 0; i < ROWS; i++)
        buf_printf(&text, "%d,\"表,示\"\"%d\",ソ十能①\r\n", i, i * 7);
    char *bytes = NEW_ARRAY(char, text.len * 2);
    struct fault why = {0};
    static const char *const names[] = {"CP932", "UTF-16LE", "EUC-JP-MS", "UTF-8"};
    for (size_t k = 0; k < COUNT_OF(names); k++) {
        struct slice encoded = encode(buf_cstr(&text), names[k], bytes, text.len * 2);
        struct csv *csv = csv_open(encoded, "t.csv", SLICE(""), &why);
        assert_non_null(csv);
        for (int round = 0; round < 2; round++) {
            struct csv_record record;
            int rows = 0;
            while (csv_next(csv, &record, &why)) {
                SCOPED(buf) want = BUF(100);
                buf_printf(&want, "%d|表,示\"%d|ソ十能①", rows, rows * 7);
                SCOPED(buf) got = BUF(100);
                for (size_t i = 0; i < record.count; i++) {
                    buf_str(&got, i ? "|" : "");
                    buf_append(&got, record.fields[i]);
                }
                assert_slice(names[k], buf_slice(&got), buf_slice(&want));
                assert_int_equal(record.line, ++rows);
                assert_false(record.is_broken);
            }
            assert_int_row(names[k], rows, ROWS);
            csv_rewind(csv);
        }
        csv_free(csv);
    }
    free(bytes);
}

static void what_is_broken_is_named_with_line_and_cure(void **state)
{
    static char long_line[3 << 20];
    memset(long_line, 'x', sizeof(long_line));
    memcpy(long_line, "a,b\n", 4);
    const struct {
        const char *row;
        struct slice bytes;
        const char *encoding, *part;
    } table[] = {
        {"never closed", SLICE("a,b\n1,\"2\n3,4\n"), "", "line 2: a quote opens here and is never closed"},
        {"closed by the next one's opening", SLICE("a,b\n1,\"2\n\"3\",4\n"), "", "line 2: broken row"},
        {"text behind a quote", SLICE("a,b\n\"x\"y,2\n"), "", "line 2: broken row"},
        {"a huge line", slice_of(long_line, sizeof(long_line)), "", "line 2: a row of more than"},
        {"Excel workbook", SLICE("PK\x03\x04..."), "", "Excel workbook (.xlsx)"},
        {"unknown encoding", SLICE("a,b\n"), "klingon", "there is no encoding \"klingon\""},
        {"never closed, converted",
         SLICE("\xff\xfe"
               "a\0,\0\"\0b\0"),
         "", "line 1: a quote opens here"},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        SCOPED(buf) out = BUF(8 << 20);
        struct fault why = {0};
        struct slice encoding;
        char delimiter;
        assert_row(table[i].row,
                   !read_all(table[i].bytes, slice_str(table[i].encoding), &out, &encoding, &delimiter, &why));
        assert_int_row(table[i].row, why.kind, FAULT_INPUT);
        if (!strstr(why.text, table[i].part))
            fail_msg("%s: %s", table[i].row, why.text);
    }
}

static void parsing_is_linear(void **state)
{
    double seconds[2];
    static const char *const pieces[] = {"a,b,c\n", "\"a\"\"b\",c\n", "\"\n\",", ",", "\r", "\"\"", "あ"};
    for (size_t p = 0; p < COUNT_OF(pieces); p++) {
        for (int k = 0; k < 2; k++) {
            size_t len = (size_t)(k + 1) << 22;
            SCOPED(buf) text = BUF(len + 16);
            while (text.len + 16 < len)
                buf_str(&text, pieces[p]);
            clock_t start = clock();
            struct fault why;
            struct csv *csv = csv_open(buf_slice(&text), "t.csv", SLICE("utf-8"), &why);
            struct csv_record record;
            while (csv_next(csv, &record, &why))
                ;
            csv_free(csv);
            seconds[k] = (double)(clock() - start) / CLOCKS_PER_SEC;
        }
        if (seconds[1] > 0.2 && seconds[1] > seconds[0] * 3.5)
            fail_msg("\"%s\": %.3f s, doubled %.3f s", pieces[p], seconds[0], seconds[1]);
    }
}

static void fields_are_written_so_that_they_come_back(void **state)
{
    static const struct {
        const char *row, *field, *want;
    } table[] = {
        {"plain", "a", "a"},
        {"comma", "a,b", "\"a,b\""},
        {"quote", "a\"b", "\"a\"\"b\""},
        {"line", "a\nb", "\"a\nb\""},
        {"formula (X10)", "=1+1", "\"'=1+1\""},
        {"plus", "+81", "\"'+81\""},
        {"at", "@a", "\"'@a\""},
        {"minus", "-1", "\"'-1\""},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        SCOPED(buf) out = BUF(100);
        csv_put(&out, slice_str(table[i].field));
        assert_slice(table[i].row, buf_slice(&out), slice_str(table[i].want));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records),
        cmocka_unit_test(encodings_are_detected),
        cmocka_unit_test(short_and_odd_files_are_guessed),
        cmocka_unit_test(iso_2022_jp_with_what_real_files_have),
        cmocka_unit_test(pieces_join_without_a_seam),
        cmocka_unit_test(what_is_broken_is_named_with_line_and_cure),
        cmocka_unit_test(parsing_is_linear),
        cmocka_unit_test(fields_are_written_so_that_they_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
