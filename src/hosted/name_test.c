/* S27, X3, X9: names that strangers give, shown and saved by others */
#include "base/test.h"
#include "hosted/hosted.h"
#include "hosted/name.h"

static void names_are_cleaned(void **state)
{
    static const struct {
        const char *what, *given, *want;
    } rows[] = {
        {"a plain one", "catalog.pdf", "catalog.pdf"},
        {"Japanese with a space", "カタログ 2026.pdf", "カタログ 2026.pdf"},
        {"a path", "../../etc/passwd", "passwd"},
        {"a path of Windows", "C:\\Users\\a\\見積.xlsx", "見積.xlsx"},
        {"only a path", "a/b/", "file"},
        {"nothing", "", "file"},
        {"only dots", " .. ", "file"},
        {"hidden", ".bashrc", "bashrc"},
        {"dots at its end, which Windows drops", "a.exe. .", "a.exe"},
        {"a header in it", "a\r\nSet-Cookie: x=1.pdf", "aSet-Cookie: x=1.pdf"},
        {"NUL would end it, were it text", "a\tb\x7f.pdf", "ab.pdf"},
        {"quotes stay", "a \"b\" 'c'.pdf", "a \"b\" 'c'.pdf"},
        {"C1 controls", "a\xc2\x85.pdf", "a.pdf"},
        {"turned round: reads invoice_exe.pdf",
         "invoice_\xe2\x80\xae"
         "fdp.exe",
         "invoice_fdp.exe"},
        {"isolates and marks",
         "\xe2\x81\xa6\xd8\x9c\xe2\x80\x8f"
         "a.pdf",
         "a.pdf"},
        {"a line separator", "a\xe2\x80\xa8.pdf", "a.pdf"},
        {"bytes that are no UTF-8", "a\xff\xfe\x80.pdf", "a.pdf"},
        {"half a character", "a\xe3\x82", "a"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        SCOPED(buf) out = BUF(1000);
        hosted_name_clean(slice_str(rows[i].given), &out);
        assert_slice(rows[i].what, buf_slice(&out), slice_str(rows[i].want));
    }
}

static void long_names_keep_their_ending(void **state)
{
    for (size_t len = 200; len < 100000; len = len * 5 / 4) {
        SCOPED(buf) name = BUF(200000);
        SCOPED(buf) out = BUF(1000);
        while (name.len < len)
            buf_text(&name, "あ");
        buf_text(&name, ".pdf");
        hosted_name_clean(buf_slice(&name), &out);
        assert_true(buf_ok(&out) && out.len <= HOSTED_NAME_MAX);
        assert_true(len > 10000 || slice_ends(buf_slice(&out), SLICE(".pdf")));
    }
}

static void types(void **state)
{
    static const struct {
        const char *given, *name, *want; /* NULL: none */
        bool is_active;
    } rows[] = {
        {"application/pdf", "a", "application/pdf", false},
        {"text/plain; charset=utf-8", "a", "text/plain", false},
        {"", "見積.PDF", "application/pdf", false},
        {"", "a.xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", false},
        {"application/x-www-form-urlencoded", "a.csv", "text/csv", false},
        {"", "a", "application/octet-stream", false},
        {"", "a.html", "application/octet-stream", false},
        {"text/html", "a.pdf", "text/html", true},
        {"image/svg+xml", "a", "image/svg+xml", true},
        {"application/xhtml+xml", "a", "application/xhtml+xml", true},
        {"text/javascript", "a", "text/javascript", true},
        {"application/vnd.openxmlformats-officedocument.presentationml.slideshow", "a",
         "application/vnd.openxmlformats-officedocument.presentationml.slideshow", false},
        {"Application/VND.OpenXMLFormats-OfficeDocument.WordProcessingML.Template", "a",
         "Application/VND.OpenXMLFormats-OfficeDocument.WordProcessingML.Template", false},
        {"text/html+openxml", "a", "text/html+openxml", true},
        {"image/svg+openxml", "a", "image/svg+openxml", true},
        {"application/openxml+xml", "a", "application/openxml+xml", true},
        {"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml", "a",
         "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml", true},
        {"application/vnd.openxmlformats-officedocument.x+xml", "a",
         "application/vnd.openxmlformats-officedocument.x+xml", true},
        {"x-application/vnd.openxmlformats-officedocument.presentationml.slide", "a",
         "x-application/vnd.openxmlformats-officedocument.presentationml.slide", true},
        {"pdf", "a", NULL, false},
        {"a/b/c", "a", NULL, false},
        {"/pdf", "a", NULL, false},
        {"a b/pdf", "a", NULL, false},
        {"a/b\r\nX: y", "a", NULL, false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct slice type;
        bool is_one = hosted_type_of(slice_str(rows[i].given), slice_str(rows[i].name), &type);
        assert_int_row(rows[i].given, is_one, rows[i].want != NULL);
        if (is_one) {
            assert_slice(rows[i].given, type, slice_str(rows[i].want));
            assert_int_row(rows[i].given, hosted_type_is_active(type), rows[i].is_active);
        }
    }
}

static void sizes(void **state)
{
    static const struct {
        uint64_t bytes;
        const char *want;
    } rows[] = {{0, "0 B"},
                {999, "999 B"},
                {1000, "1 KB"},
                {1234, "1.2 KB"},
                {12345, "12 KB"},
                {999499, "999 KB"},
                {999500, "1 MB"},
                {5242880, "5.2 MB"},
                {268435456, "268 MB"},
                {(uint64_t)9 << 30, "9.7 GB"},
                {UINT64_MAX / 16, "1152922 TB"}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        SCOPED(buf) out = BUF(100);
        hosted_size_print(rows[i].bytes, &out);
        assert_slice(rows[i].want, buf_slice(&out), slice_str(rows[i].want));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_cleaned),
        cmocka_unit_test(long_names_keep_their_ending),
        cmocka_unit_test(types),
        cmocka_unit_test(sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
