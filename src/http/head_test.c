/* X12: heads that are understood in one way only; everything else is refused */
#include "base/buf.h"
#include "base/test.h"
#include "http/head.h"

#define HOST "Host: a\r\n"

static void good_heads(void **state)
{
    static const struct {
        const char *head, *method, *path, *query;
        unsigned minor;
        bool kept, chunked;
        long length; /* -1: none */
        size_t headers;
    } rows[] = {
        {"GET / HTTP/1.1\r\n" HOST "\r\n", "GET", "/", "", 1, true, false, -1, 1},
        {"GET /a%20b?c=d&e HTTP/1.1\r\n" HOST "\r\n", "GET", "/a%20b", "c=d&e", 1, true, false, -1, 1},
        {"GET /?a?b HTTP/1.1\r\nhost:a\r\n\r\n", "GET", "/", "a?b", 1, true, false, -1, 1},
        {"POST /x HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", "POST", "/x", "", 1, true, false, 0, 2},
        {"POST /x HTTP/1.1\r\n" HOST "content-length:\t42 \r\n\r\n", "POST", "/x", "", 1, true, false, 42, 2},
        {"POST /x HTTP/1.1\r\n" HOST "Transfer-Encoding: Chunked\r\n\r\n", "POST", "/x", "", 1, true, true, -1, 2},
        {"GET / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n", "GET", "/", "", 1, false, false, -1, 2},
        {"GET / HTTP/1.1\r\n" HOST "Connection: upgrade, Close\r\n\r\n", "GET", "/", "", 1, false, false, -1, 2},
        {"GET / HTTP/1.0\r\n\r\n", "GET", "/", "", 0, false, false, -1, 0},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "GET", "/", "", 0, true, false, -1, 1},
        {"OPTIONS * HTTP/1.1\r\n" HOST "\r\n", "OPTIONS", "*", "", 1, true, false, -1, 1},
        {"GET http://a/p?q HTTP/1.1\r\n" HOST "\r\n", "GET", "/p", "q", 1, true, false, -1, 1},
        {"GET http://A HTTP/1.1\r\n" HOST "\r\n", "GET", "/", "", 1, true, false, -1, 1},
        {"GET / HTTP/1.1\r\nHost: [::1]:8080\r\nX-Empty:\r\nX-Utf8: \xc3\xa9\r\n\r\n", "GET", "/", "", 1, true, false,
         -1, 3},
        {"M-SEARCH /x HTTP/1.1\r\n" HOST "\r\n", "M-SEARCH", "/x", "", 1, true, false, -1, 1},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct http_head head;
        struct http_head_reader reader = {0};
        size_t used = 0, len = strlen(rows[i].head);
        SCOPED(buf) bytes = BUF(1000);
        buf_str(&bytes, rows[i].head);
        buf_text(&bytes, "the body, or the next request");
        assert_int_row(rows[i].head, http_head_read(&reader, buf_slice(&bytes), &head, &used), HTTP_DONE);
        assert_int_row(rows[i].head, used, len);
        assert_slice(rows[i].head, head.method, slice_str(rows[i].method));
        assert_slice(rows[i].head, head.path, slice_str(rows[i].path));
        assert_slice(rows[i].head, head.query, slice_str(rows[i].query));
        assert_int_row(rows[i].head, head.minor, rows[i].minor);
        assert_int_row(rows[i].head, head.is_kept_alive, rows[i].kept);
        assert_int_row(rows[i].head, head.is_chunked, rows[i].chunked);
        assert_int_row(rows[i].head, head.has_length ? (long)head.length : -1, rows[i].length);
        assert_int_row(rows[i].head, head.header_count, rows[i].headers);

        struct http_head_reader slowly = {0}; /* the same, byte by byte */
        enum http_step step = HTTP_MORE;
        for (size_t n = 0; n <= len; n++) {
            step = http_head_read(&slowly, slice_head(buf_slice(&bytes), n), &head, &used);
            assert_int_row(rows[i].head, step, n < len ? HTTP_MORE : HTTP_DONE);
        }
    }
}

static void bad_heads(void **state)
{
#define ROW(head, status, wrong)                                                                                       \
    {                                                                                                                  \
        head, sizeof(head) - 1, status, wrong                                                                          \
    }
    static const struct {
        const char *head;
        size_t len;
        int status;
        const char *wrong;
    } rows[] = {
        ROW("GET / HTTP/1.1\n", 400, "bare LF"),
        ROW("GET / HTTP/1.1\r\nHost: a\n\r\n", 400, "bare LF"),
        ROW("GET / HTTP/1.1\r\nHost: a\r\n\n", 400, "bare LF"),
        ROW("GET / HTTP/1.1\rHost: a\r\n\r\n", 400, "bare CR"),
        ROW("GET / HTTP/1.1\r\nX: a\rb\r\n" HOST "\r\n", 400, "bare CR"),
        ROW("GET / HTTP/1.1\r\nX: a\0b\r\n" HOST "\r\n", 400, "control character"),
        ROW("GET /\x7f HTTP/1.1\r\n" HOST "\r\n", 400, "control character"),
        ROW("\x16\x03\x01\x02", 400, "control character"),
        ROW("\r\nGET / HTTP/1.1\r\n" HOST "\r\n", 400, "empty line before the request"),
        ROW("GET / HTTP/1.1\r\n" HOST "X: a\r\n b\r\n\r\n", 400, "folded header line"),
        ROW("GET / HTTP/1.1\r\n" HOST "X: a\r\n\tb\r\n\r\n", 400, "folded header line"),
        ROW("GET / HTTP/1.1\r\n " HOST "\r\n", 400, "folded header line"),
        ROW("GET / HTTP/1.1\r\n" HOST "Content-Length : 5\r\n\r\n", 400, "not a header line"),
        ROW("GET / HTTP/1.1\r\n" HOST "no colon\r\n\r\n", 400, "not a header line"),
        ROW("GET / HTTP/1.1\r\n" HOST ": empty\r\n\r\n", 400, "not a header line"),
        ROW("GET / HTTP/1.1\r\n" HOST "X\xc3\xa9: a\r\n\r\n", 400, "not a header line"),
        ROW("POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400,
            "Content-Length with Transfer-Encoding"),
        ROW("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 400,
            "Content-Length with Transfer-Encoding"),
        ROW("POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 400, "two Content-Lengths"),
        ROW("POST / HTTP/1.1\r\n" HOST "Content-Length: 5, 5\r\n\r\n", 400, "Content-Length is not a number"),
        ROW("POST / HTTP/1.1\r\n" HOST "Content-Length: +5\r\n\r\n", 400, "Content-Length is not a number"),
        ROW("POST / HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n", 400, "Content-Length is not a number"),
        ROW("POST / HTTP/1.1\r\n" HOST "Content-Length: 0x5\r\n\r\n", 400, "Content-Length is not a number"),
        ROW("POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n", 400, "Content-Length is not a number"),
        ROW("POST / HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999\r\n\r\n", 400,
            "Content-Length is not a number"),
        ROW("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n", 400,
            "Transfer-Encoding is not chunked"),
        ROW("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n", 400, "Transfer-Encoding is not chunked"),
        ROW("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400,
            "two Transfer-Encodings"),
        ROW("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "chunks in HTTP/1.0"),
        ROW("GET / HTTP/1.1\r\n\r\n", 400, "no Host"),
        ROW("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400, "no Host"),
        ROW("GET / HTTP/1.1\r\n" HOST HOST "\r\n", 400, "two Hosts"),
        ROW("GET / HTTP/1.1\r\nHost: user@a\r\n\r\n", 400, "Host is not a host"),
        ROW("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "Host is not a host"),
        ROW("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "Host is not a host"),
        ROW("GET http://b/ HTTP/1.1\r\n" HOST "\r\n", 400, "target and Host name different hosts"),
        ROW("GET http://u@a/ HTTP/1.1\r\n" HOST "\r\n", 400, "target and Host name different hosts"),
        ROW("GET http:///x HTTP/1.1\r\n" HOST "\r\n", 400, "target without a host"),
        ROW("GET ftp://a/x HTTP/1.1\r\n" HOST "\r\n", 400, "target is not a path"),
        ROW("GET x HTTP/1.1\r\n" HOST "\r\n", 400, "target is not a path"),
        ROW("GET * HTTP/1.1\r\n" HOST "\r\n", 400, "target * is for OPTIONS"),
        ROW("CONNECT a:25 HTTP/1.1\r\n" HOST "\r\n", 400, "target is not a path"),
        ROW("GET /a b HTTP/1.1\r\n" HOST "\r\n", 400, "target is not a URI"),
        ROW("GET /a#b HTTP/1.1\r\n" HOST "\r\n", 400, "target is not a URI"),
        ROW("GET /a\\..\\b HTTP/1.1\r\n" HOST "\r\n", 400, "target is not a URI"),
        ROW("GET /\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n", 400, "target is not a URI"),
        ROW("GET  / HTTP/1.1\r\n" HOST "\r\n", 400, "target is not a path"),
        ROW("GET /\tHTTP/1.1\r\n" HOST "\r\n", 400, "not a request line"),
        ROW("GET /\r\n" HOST "\r\n", 400, "not a request line"),
        ROW(" GET / HTTP/1.1\r\n" HOST "\r\n", 400, "not a request line"),
        ROW("G(T / HTTP/1.1\r\n" HOST "\r\n", 400, "method is not a token"),
        ROW("GET / HTTP/1.1 \r\n" HOST "\r\n", 400, "not an HTTP version"),
        ROW("GET / http/1.1\r\n" HOST "\r\n", 400, "not an HTTP version"),
        ROW("GET / HTTP/11\r\n" HOST "\r\n", 400, "not an HTTP version"),
        ROW("GET / HTTP/2.0\r\n" HOST "\r\n", 505, "only HTTP/1.0 and HTTP/1.1"),
        ROW("GET / HTTP/1.2\r\n" HOST "\r\n", 505, "only HTTP/1.0 and HTTP/1.1"),
        ROW("GET / HTTP/1.1\r\n" HOST "Expect: 200-ok\r\n\r\n", 417, "Expect is not 100-continue"),
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct http_head head;
        struct http_head_reader reader = {0};
        size_t used = 0;
        assert_int_row(rows[i].head, http_head_read(&reader, slice_of(rows[i].head, rows[i].len), &head, &used),
                       HTTP_BAD);
        assert_slice(rows[i].head, slice_str(reader.wrong), slice_str(rows[i].wrong));
        assert_int_row(rows[i].head, reader.status, rows[i].status);
    }
}

static void bounds(void **state)
{
    SCOPED(buf) bytes = BUF(1 << 20);
    struct http_head head;
    struct http_head_reader reader = {0};
    size_t used;
    buf_text(&bytes, "GET /");
    while (bytes.len < 20000)
        buf_byte(&bytes, 'a');
    assert_int_equal(http_head_read(&reader, buf_slice(&bytes), &head, &used), HTTP_BAD);
    assert_int_equal(reader.status, 414);

    buf_reset(&bytes);
    buf_text(&bytes, "GET / HTTP/1.1\r\n" HOST);
    for (int i = 0; i < 99; i++)
        buf_text(&bytes, "X: y\r\n");
    buf_text(&bytes, "\r\n");
    reader = (struct http_head_reader){0};
    assert_int_equal(http_head_read(&reader, buf_slice(&bytes), &head, &used), HTTP_DONE);
    bytes.len -= 2;
    buf_text(&bytes, "X: y\r\n\r\n");
    reader = (struct http_head_reader){0};
    assert_int_equal(http_head_read(&reader, buf_slice(&bytes), &head, &used), HTTP_BAD);
    assert_int_equal(reader.status, 431);

    buf_reset(&bytes);
    buf_text(&bytes, "GET / HTTP/1.1\r\n");
    while (bytes.len < 20000)
        buf_text(&bytes,
                 "X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
                 "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
                 "y\r\n");
    reader = (struct http_head_reader){0};
    assert_int_equal(http_head_read(&reader, buf_slice(&bytes), &head, &used), HTTP_BAD);
    assert_int_equal(reader.status, 431);
}

static void chunks(void **state)
{
    static const struct {
        const char *bytes;
        const char *body; /* NULL: refused */
        const char *wrong;
    } rows[] = {
        {"5\r\nhello\r\n0\r\n\r\n", "hello", NULL},
        {"5\r\nhello\r\n006\r\n world\r\n0\r\n\r\n", "hello world", NULL},
        {"A\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n", "0123456789", NULL},
        {"0\r\n\r\n", "", NULL},
        {"5;ext=1\r\nhello\r\n0\r\n\r\n", NULL, "chunk extension"},
        {"5 \r\nhello\r\n0\r\n\r\n", NULL, "chunk size is not hex"},
        {"0x5\r\nhello\r\n0\r\n\r\n", NULL, "chunk size is not hex"},
        {"-5\r\nhello\r\n0\r\n\r\n", NULL, "chunk size is not hex"},
        {"\r\nhello\r\n0\r\n\r\n", NULL, "chunk without a size"},
        {"5\nhello\r\n0\r\n\r\n", NULL, "bare LF in chunks"},
        {"5\r\nhelloX\r\n0\r\n\r\n", NULL, "chunk does not end with CRLF"},
        {"5\r\nhello\n0\r\n\r\n", NULL, "chunk does not end with CRLF"},
        {"FFFFFFFFFFFFFFFFF\r\n", NULL, "chunk line too long"},
        {"0\r\nTrailer: x\n\r\n", NULL, "bare LF in chunks"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        for (size_t step_size = 1; step_size < 40; step_size += 6) {
            SCOPED(buf) body = BUF(1000);
            struct http_chunks reader = {0};
            struct slice all = slice_str(rows[i].bytes), data;
            size_t have = 0, at = 0, used;
            enum http_step step = HTTP_MORE;
            while (step == HTTP_MORE && have < all.len) {
                have = have + step_size < all.len ? have + step_size : all.len;
                do {
                    step = http_chunks_read(&reader, slice_from(slice_head(all, have), at), &used, &data);
                    buf_append(&body, data);
                    at += used;
                } while (step == HTTP_MORE && used);
            }
            assert_int_row(rows[i].bytes, step, rows[i].body ? HTTP_DONE : HTTP_BAD);
            if (rows[i].body)
                assert_slice(rows[i].bytes, buf_slice(&body), slice_str(rows[i].body));
            else
                assert_slice(rows[i].bytes, slice_str(reader.wrong), slice_str(rows[i].wrong));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(good_heads), cmocka_unit_test(bad_heads),
                                       cmocka_unit_test(bounds), cmocka_unit_test(chunks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
