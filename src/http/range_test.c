/* RFC 9110 14 (ranges), RFC 6266 and 8187 (names of downloads); X3: no name makes a header */
#include "base/buf.h"
#include "base/test.h"
#include "http/disposition.h"
#include "http/range.h"
#include "http/server.h"

static void ranges(void **state)
{
    static const struct {
        const char *value;
        uint64_t size;
        enum http_range want;
        uint64_t first, len;
    } rows[] = {
        {"", 100, HTTP_WHOLE, 0, 100},
        {"bytes=0-99", 100, HTTP_PART, 0, 100},
        {"bytes=0-0", 100, HTTP_PART, 0, 1},
        {"bytes=10-19", 100, HTTP_PART, 10, 10},
        {"bytes=90-", 100, HTTP_PART, 90, 10},
        {"bytes=90-1000", 100, HTTP_PART, 90, 10},
        {"bytes=-1", 100, HTTP_PART, 99, 1},
        {"bytes=-1000", 100, HTTP_PART, 0, 100},
        {"BYTES=1-2", 100, HTTP_PART, 1, 2},
        {" bytes= 1-2 ", 100, HTTP_PART, 1, 2},
        {"bytes=100-", 100, HTTP_NO_SUCH_PART, 0, 100},
        {"bytes=99999999999999999999999999-", 100, HTTP_NO_SUCH_PART, 0, 100},
        {"bytes=0-99999999999999999999999999", 100, HTTP_PART, 0, 100},
        {"bytes=-0", 100, HTTP_NO_SUCH_PART, 0, 100},
        {"bytes=0-0", 0, HTTP_NO_SUCH_PART, 0, 0},
        {"bytes=-5", 0, HTTP_NO_SUCH_PART, 0, 0},
        {"bytes=18446744073709551615-18446744073709551615", 100, HTTP_NO_SUCH_PART, 0, 100},
        {"bytes=00000000000000000000000000001-2", 100, HTTP_PART, 1, 2},
        /* several, or none that we know: the whole */
        {"bytes=0-1,3-4", 100, HTTP_WHOLE, 0, 100},
        {"bytes=5-4", 100, HTTP_WHOLE, 0, 100},
        {"bytes=-", 100, HTTP_WHOLE, 0, 100},
        {"bytes=", 100, HTTP_WHOLE, 0, 100},
        {"bytes=a-b", 100, HTTP_WHOLE, 0, 100},
        {"bytes=1-2-3", 100, HTTP_WHOLE, 0, 100},
        {"bytes=+1-2", 100, HTTP_WHOLE, 0, 100},
        {"bytes=--1", 100, HTTP_WHOLE, 0, 100},
        {"seconds=1-2", 100, HTTP_WHOLE, 0, 100},
        {"bytes", 100, HTTP_WHOLE, 0, 100},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint64_t first = 7, len = 7;
        enum http_range got = http_range_parse(slice_str(rows[i].value), rows[i].size, &first, &len);
        assert_int_row(rows[i].value, got, rows[i].want);
        assert_int_row(rows[i].value, first, rows[i].first);
        assert_int_row(rows[i].value, len, rows[i].len);
        assert_true(first + len <= rows[i].size);
    }
}

static void conditions(void **state)
{
    static const struct {
        const char *method, *name, *value, *range;
        enum http_range want;
    } rows[] = {
        {"GET", "If-None-Match", "\"a\"", "", HTTP_HAS_IT},
        {"HEAD", "If-None-Match", "W/\"a\"", "", HTTP_HAS_IT},
        {"GET", "If-None-Match", "\"b\", \"a\"", "bytes=0-1", HTTP_HAS_IT},
        {"GET", "If-None-Match", "*", "", HTTP_HAS_IT},
        {"GET", "If-None-Match", "\"b\"", "bytes=0-1", HTTP_PART},
        {"GET", "If-Match", "\"b\"", "bytes=0-1", HTTP_IS_NOT_WANTED},
        {"GET", "If-Match", "W/\"a\"", "", HTTP_IS_NOT_WANTED},
        {"GET", "If-Match", "\"a\"", "bytes=0-1", HTTP_PART},
        {"GET", "If-Range", "\"a\"", "bytes=0-1", HTTP_PART},
        {"GET", "If-Range", "\"b\"", "bytes=0-1", HTTP_WHOLE},
        {"GET", "If-Range", "W/\"a\"", "bytes=0-1", HTTP_WHOLE},
        {"GET", "If-Range", "Sun, 06 Nov 1994 08:49:37 GMT", "bytes=0-1", HTTP_WHOLE},
        {"GET", "If-Range", "\"b\"", "bytes=100-", HTTP_WHOLE},
        {"HEAD", "X", "", "bytes=0-1", HTTP_WHOLE},
        {"GET", "X", "", "", HTTP_WHOLE},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct http_request request = {.spool = -1};
        uint64_t first, len;
        request.head.method = slice_str(rows[i].method);
        request.head.headers[0].name = slice_str(rows[i].name);
        request.head.headers[0].value = slice_str(rows[i].value);
        request.head.headers[1].name = SLICE("Range");
        request.head.headers[1].value = slice_str(rows[i].range);
        request.head.header_count = 2;
        assert_int_row(rows[i].value, http_range_of(&request, SLICE("\"a\""), 100, &first, &len), rows[i].want);
    }
}

static void dispositions(void **state)
{
    static const struct {
        const char *name, *want;
    } rows[] = {
        {"catalog (2).pdf", "attachment; filename=\"catalog (2).pdf\""},
        {"カタログ 2026.pdf", "attachment; filename=\"____ 2026.pdf\"; "
                              "filename*=UTF-8''%E3%82%AB%E3%82%BF%E3%83%AD%E3%82%B0%202026.pdf"},
        {"a\"b.pdf", "attachment; filename=\"a_b.pdf\"; filename*=UTF-8''a%22b.pdf"},
        {"a\\b.pdf", "attachment; filename=\"a_b.pdf\"; filename*=UTF-8''a%5Cb.pdf"},
        {"a;filename=x.exe", "attachment; filename=\"a_filename=x.exe\"; filename*=UTF-8''a%3Bfilename%3Dx.exe"},
        {"100%.pdf", "attachment; filename=\"100_.pdf\"; filename*=UTF-8''100%25.pdf"},
        {"it's*.pdf", "attachment; filename=\"it_s_.pdf\"; filename*=UTF-8''it%27s%2A.pdf"},
        {"a\r\nX: y", "attachment; filename=\"a__X_ y\"; filename*=UTF-8''a%0D%0AX%3A%20y"},
        {"a\xff", "attachment; filename=\"a_\"; filename*=UTF-8''a%EF%BF%BD"},
        {"é.pdf", "attachment; filename=\"_.pdf\"; filename*=UTF-8''%C3%A9.pdf"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        SCOPED(buf) out = BUF(4000);
        http_disposition(slice_str(rows[i].name), &out);
        assert_slice(rows[i].name, buf_slice(&out), slice_str(rows[i].want));
    }
    for (int c = 0; c < 256; c++) { /* every octet: one line, and nothing leaves the quotes */
        char name[3] = {'a', (char)c, 'b'};
        SCOPED(buf) out = BUF(4000);
        http_disposition(slice_of(name, 3), &out);
        int quotes = 0;
        for (size_t i = 0; i < out.len; i++) {
            assert_true(out.ptr[i] >= ' ' && out.ptr[i] < 0x7f);
            quotes += out.ptr[i] == '"';
        }
        assert_int_equal(quotes, 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges),
        cmocka_unit_test(conditions),
        cmocka_unit_test(dispositions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
