/* Requests and answers over real sockets: framing, order, bodies (X12) */
#include "http/server_test.h"

#include <dirent.h>

static void whole_conversations(void **state)
{
    static const struct {
        const char *say, *hear;
        bool closes;
    } rows[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
         "HTTP/1.1 200 OK\r\n" DATE "Content-Type: text/plain\r\nX-One: 1\r\nContent-Length: 6\r\n\r\nhello\n", false},
        {"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
         "HTTP/1.1 200 OK\r\n" DATE "Content-Type: text/plain\r\nX-One: 1\r\nContent-Length: 6\r\n\r\n", false},
        {"GET /sized HTTP/1.1\r\nHost: a\r\n\r\nHEAD /sized HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
         "HTTP/1.1 206 Partial Content\r\n" DATE "Content-Type: text/csv\r\nContent-Length: 10\r\n\r\n0123456789"
         "HTTP/1.1 206 Partial Content\r\n" DATE
         "Connection: keep-alive\r\nContent-Type: text/csv\r\nContent-Length: 10\r\n\r\n",
         false},
        {"GET /cut-short HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
         "HTTP/1.1 200 OK\r\n" DATE "Content-Type: text/csv\r\nContent-Length: 10\r\n\r\n01234", true},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
         "HTTP/1.1 200 OK\r\n" DATE
         "Connection: close\r\nContent-Type: text/plain\r\nX-One: 1\r\nContent-Length: 6\r\n\r\nhello\n",
         true},
        {"GET / HTTP/1.0\r\n\r\n",
         "HTTP/1.1 200 OK\r\n" DATE
         "Connection: close\r\nContent-Type: text/plain\r\nX-One: 1\r\nContent-Length: 6\r\n\r\nhello\n",
         true},
        {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
         "HTTP/1.1 200 OK\r\n" DATE
         "Connection: keep-alive\r\nContent-Type: text/plain\r\nX-One: 1\r\nContent-Length: 6\r\n\r\nhello\n",
         false},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde",
         "HTTP/1.1 200 OK\r\n" DATE "Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nabcde", false},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
         "HTTP/1.1 200 OK\r\n" DATE "Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nabcde", false},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
         "HTTP/1.1 200 OK\r\n" DATE "Content-Type: text/plain\r\nContent-Length: 0\r\n\r\n", false},
        {"DELETE /p/1 HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 204 No Content\r\n" DATE "\r\n", false},
        {"GET /p/a%20b?x=1&q=c+d%21 HTTP/1.1\r\nHost: a\r\nCookie: a=b; session=s3cret; c=d\r\n\r\n",
         "HTTP/1.1 200 OK\r\n" DATE "Content-Type: text/plain\r\nContent-Length: 25\r\n\r\na b q=c d! session=s3cret",
         false},
        {"POST /p/1 HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: "
         "9\r\n\r\nf=%41&g=1",
         "HTTP/1.1 200 OK\r\n" DATE "Content-Type: text/plain\r\nContent-Length: 5\r\n\r\n1 f=A", false},
        {"OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 204 No Content\r\n" DATE "Allow: GET, HEAD\r\n\r\n", false},
        {"PUT / HTTP/1.1\r\nHost: a\r\n\r\n",
         "HTTP/1.1 405 Method Not Allowed\r\n" DATE
         "Content-Type: text/plain; charset=utf-8\r\nAllow: GET, HEAD\r\nContent-Length: 23\r\n\r\n405 Method Not "
         "Allowed\n",
         false},
        {"GET /none HTTP/1.1\r\nHost: a\r\n\r\n",
         "HTTP/1.1 404 Not Found\r\n" DATE
         "Content-Type: text/plain; charset=utf-8\r\nContent-Length: 14\r\n\r\n404 Not Found\n",
         false},
        {"POST /none HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
         "HTTP/1.1 404 Not Found\r\n" DATE
         "Connection: close\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 14\r\n\r\n404 Not Found\n",
         true},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct fixture *f = *state;
        if (i)
            dial(f, &f->client);
        say(f, rows[i].say);
        size_t want = strlen(rows[i].hear);
        until(f->loop, f->client.got.len >= want || f->client.closed);
        for (int t = 0; t < 3; t++)
            loop_turn(f->loop, 0);
        assert_slice(rows[i].say, buf_slice(&f->client.got), slice_str(rows[i].hear));
        assert_int_row(rows[i].say, f->client.closed, rows[i].closes);
        if (i + 1 < COUNT_OF(rows))
            peer_release(&f->client);
    }
}

/* One bad request, an answer, the end; and nothing of what followed was taken for a request. */
static void refused_and_closed(void **state)
{
    static const struct {
        const char *say, *status;
    } rows[] = {
        {"GET / HTTP/1.1\nHost: a\n\n", "400"},
        {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", "400"},
        {"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", "400"},
        {"GET / HTTP/1.1\r\n\r\n", "400"},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\n\r\n", "400"},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\n\r\n", "413"},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n80\r\n"
         "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678"
         "9"
         "012345678901234567\r\n0\r\n\r\n",
         "413"},
        {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", "413"},
        {"GET /p/%zz HTTP/1.1\r\nHost: a\r\n\r\n", "400"},
        {"GET / HTTP/3.0\r\nHost: a\r\n\r\n", "505"},
        {"\x16\x03\x01", "400"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct fixture *f = *state;
        SCOPED(buf) start = BUF(100);
        buf_printf(&start, "HTTP/1.1 %s ", rows[i].status);
        if (i)
            dial(f, &f->client);
        say(f, rows[i].say);
        if (strcmp(rows[i].say, "GET /p/%zz HTTP/1.1\r\nHost: a\r\n\r\n") != 0)
            say(f, "GET / HTTP/1.1\r\nHost: smuggled\r\n\r\n");
        else
            say(f, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); /* framing is sound: kept alive */
        until(f->loop, f->client.closed);
        assert_row(rows[i].say, slice_starts(buf_slice(&f->client.got), buf_slice(&start)));
        if (strstr(rows[i].say, "%zz") == NULL)
            assert_int_row(rows[i].say, count(f, "HTTP/1.1 "), 1);
        if (i + 1 < COUNT_OF(rows))
            peer_release(&f->client);
    }
}

static void pipelined_requests_keep_their_order(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 100; i++)
        say(f, "GET /p/first HTTP/1.1\r\nHost: a\r\n\r\nPOST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n"
               "second");
    say(f, "GET /thread HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    until(f->loop, f->client.closed);
    assert_int_equal(count(f, "HTTP/1.1 200 OK"), 201);
    struct slice rest = buf_slice(&f->client.got);
    for (int i = 0; i < 100; i++) {
        ptrdiff_t first = slice_find(rest, SLICE("\r\n\r\nfirst")), second = slice_find(rest, SLICE("\r\n\r\nsecond"));
        assert_true(first >= 0 && second > first);
        rest = slice_from(rest, (size_t)second + 1);
    }
    assert_true(slice_find(rest, SLICE("later\n")) < slice_find(rest, SLICE("hello\n")));
}

static void byte_by_byte(void **state)
{
    struct fixture *f = *state;
    const char *request = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    for (; *request; request++) {
        stream_write(f->client.stream, slice_of(request, 1));
        loop_turn(f->loop, 0);
        loop_turn(f->loop, 0);
    }
    until(f->loop, has(f, "\r\n\r\nabc"));
}

static void a_large_body_and_a_large_answer(void **state)
{
    struct fixture *f = *state;
    SCOPED(buf) request = BUF(6 << 20);
    buf_printf(&request, "POST /big-echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", 4 << 20);
    size_t head = request.len;
    for (uint32_t i = 0; request.len < head + (4u << 20); i++)
        buf_append(&request, slice_of(&i, sizeof(i)));
    stream_write(f->client.stream, slice_head(buf_slice(&request), 1 << 20));
    until(f->loop, stream_queued(f->client.stream) == 0);
    for (size_t at = 1 << 20; at < request.len; at += 1 << 20) {
        stream_write(f->client.stream, slice_head(slice_from(buf_slice(&request), at), 1 << 20));
        until(f->loop, stream_queued(f->client.stream) == 0);
    }
    until(f->loop, f->client.got.len > 4u << 20);
    ptrdiff_t body = slice_find(buf_slice(&f->client.got), SLICE("\r\n\r\n")) + 4;
    until(f->loop, f->client.got.len == (size_t)body + (4u << 20));
    assert_memory_equal(f->client.got.ptr + body, request.ptr + head, 4u << 20);
}

static size_t files_open(void)
{
    size_t count = 0;
    DIR *folder = opendir("/proc/self/fd");
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

static void whole_write(struct fixture *f, struct slice bytes)
{
    for (size_t at = 0; at < bytes.len && !f->client.closed; at += 1 << 18) {
        stream_write(f->client.stream, slice_head(slice_from(bytes, at), 1 << 18));
        until(f->loop, f->client.closed || stream_queued(f->client.stream) == 0);
    }
}

/* A large body stands in a file, in order, within its limit, and the file goes with it. */
static void large_bodies_go_to_files(void **state)
{
    struct fixture *f = *state;
    stream_write(f->client.stream, SLICE("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    until(f->loop, slice_find(buf_slice(&f->client.got), SLICE("hello")) >= 0); /* it is accepted */
    size_t before = files_open();
    SCOPED(buf) request = BUF(6 << 20);
    buf_printf(&request, "POST /spooled HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\na", 1 << 20);
    for (int i = 2; i < 1 << 20; i++)
        buf_byte(&request, 'm');
    buf_text(&request, "z"); /* and the next one, in pieces of the same length */
    buf_text(&request,
             "POST /spooled HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
             "POST /spooled HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    whole_write(f, buf_slice(&request));
    until(f->loop, slice_find(buf_slice(&f->client.got), SLICE("1048576 az\n")) >= 0);
    until(f->loop, slice_find(buf_slice(&f->client.got), SLICE("5 ae\n")) >= 0);
    until(f->loop, slice_find(buf_slice(&f->client.got), SLICE("0 --\n")) >= 0);
    assert_int_equal(files_open(), before);
    SCOPED(buf) large = BUF(6 << 20);
    buf_text(&large, "POST /spooled HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n100001\r\n");
    for (int i = 0; i <= 1 << 20; i++)
        buf_byte(&large, 'x');
    whole_write(f, buf_slice(&large));
    until(f->loop, slice_find(buf_slice(&f->client.got), SLICE("HTTP/1.1 413")) >= 0);
    until(f->loop, f->client.closed);
    assert_true(files_open() <= before);
}

static void expect_continue(void **state)
{
    struct fixture *f = *state;
    say(f, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    until(f->loop, has(f, "HTTP/1.1 100 Continue\r\n\r\n"));
    say(f, "abc");
    until(f->loop, has(f, "200 OK"));
    say(f, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3000\r\nExpect: 100-continue\r\n\r\n");
    until(f->loop, f->client.closed);
    assert_int_equal(count(f, "100 Continue"), 1);
    assert_int_equal(count(f, "HTTP/1.1 413 "), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(whole_conversations),
        WITH(refused_and_closed),
        WITH(pipelined_requests_keep_their_order),
        WITH(byte_by_byte),
        WITH(a_large_body_and_a_large_answer),
        WITH(large_bodies_go_to_files),
        WITH(expect_continue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
