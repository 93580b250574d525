/* The server over real sockets: framing, order, limits, time, streams, answers from other threads (X12, F5) */
#include "base/test.h"
#include "http/router.h"
#include "net/peer_test.h"

#include <dirent.h>
#include <pthread.h>
#include <unistd.h>

struct fixture {
    struct world world;
    struct loop *loop;
    struct http_router *router;
    struct http_server *server;
    struct peer client;
    /* what handlers keep */
    struct http_request *stream;
    struct http_later later;
    int gone, resumed_without, rooms;
    pthread_t thread;
    bool has_thread;
};

/* --- handlers --- */

static void hello(struct http_request *request, void *user)
{
    http_set(request, "X-One", SLICE("1"));
    http_respond(request, 200, "text/plain", SLICE("hello\n"));
}

static void echo(struct http_request *request, void *user)
{
    http_respond(request, 200, "text/plain", request->body);
}

/* What stands in the file: its length, first and last octet. */
static void spooled(struct http_request *request, void *user)
{
    char first = '-', last = '-';
    SCOPED(buf) out = BUF(1000);
    assert_true(request->body.len == 0);
    if (request->body_len) {
        assert_true(request->spool >= 0);
        assert_int_equal(lseek(request->spool, 0, SEEK_END), request->body_len);
        assert_int_equal(pread(request->spool, &first, 1, 0), 1);
        assert_int_equal(pread(request->spool, &last, 1, (off_t)request->body_len - 1), 1);
    }
    buf_printf(&out, "%zu %c%c\n", (size_t)request->body_len, first, last);
    http_respond(request, 200, "text/plain", buf_slice(&out));
}

static void params(struct http_request *request, void *user)
{
    SCOPED(buf) out = BUF(1000);
    struct slice value = SLICE("");
    buf_append(&out, http_param(request, "id"));
    if (http_query(request, "q", &value))
        buf_printf(&out, " q=%.*s", SLICE_ARG(value));
    if (http_form(request, "f", &value))
        buf_printf(&out, " f=%.*s", SLICE_ARG(value));
    if (http_cookie(request, "session", &value))
        buf_printf(&out, " session=%.*s", SLICE_ARG(value));
    http_respond(request, 200, "text/plain", buf_slice(&out));
}

static void no_content(struct http_request *request, void *user)
{
    http_respond(request, 204, NULL, SLICE("never sent"));
}

static void on_gone(struct http_request *request)
{
    struct fixture *f = request->user;
    f->gone++;
    f->stream = NULL;
}

static void on_room(struct http_request *request)
{
    ((struct fixture *)request->user)->rooms++;
}

static void streamed(struct http_request *request, void *user)
{
    struct fixture *f = user;
    request->user = f;
    request->on_gone = on_gone;
    request->on_room = on_room;
    http_begin(request, 200, "text/csv");
    f->stream = request;
}

static void sized(struct http_request *request, void *user)
{
    http_begin_sized(request, 206, "text/csv", 10);
    assert_true(http_send(request, SLICE("01234")) && http_send(request, SLICE("56789")));
    http_end(request);
}

static void cut_short(struct http_request *request, void *user)
{
    http_begin_sized(request, 200, "text/csv", 10);
    assert_true(http_send(request, SLICE("01234")));
    http_cut(request);
}

static void events(struct http_request *request, void *user)
{
    struct fixture *f = user;
    request->user = f;
    request->on_gone = on_gone;
    http_events_begin(request);
    f->stream = request;
}

static void on_resume(struct http_later *later, struct http_request *request)
{
    struct fixture *f = (struct fixture *)((char *)later - offsetof(struct fixture, later));
    if (request)
        http_respond(request, 202, "text/plain", SLICE("later\n"));
    else
        f->resumed_without++;
}

static void suspended(struct http_request *request, void *user)
{
    struct fixture *f = user;
    http_suspend(request, &f->later, on_resume);
}

static void *resume_from_elsewhere(void *arg)
{
    http_resume(arg);
    return NULL;
}

static void in_a_thread(struct http_request *request, void *user)
{
    struct fixture *f = user;
    http_suspend(request, &f->later, on_resume);
    f->has_thread = pthread_create(&f->thread, NULL, resume_from_elsewhere, &f->later) == 0;
}

static void big(struct http_request *request, void *user)
{
    static char bytes[3 << 20];
    memset(bytes, 'b', sizeof(bytes));
    http_respond(request, 200, "text/plain", slice_of(bytes, sizeof(bytes)));
}

/* --- the fixture --- */

static void begin(struct fixture *f, struct tls_server *tls, bool is_manual)
{
    const struct http_route table[] = {
        {"GET", "/", hello, f, 0},
        {"POST", "/echo", echo, f, 100},
        {"POST", "/big-echo", echo, f, 5 << 20},
        {"POST", "/spooled", spooled, f, 1 << 20, .spools = true},
        {"GET", "/p/{id}", params, f, 0},
        {"POST", "/p/{id}", params, f, 0},
        {"DELETE", "/p/{id}", no_content, f, 0},
        {"GET", "/stream", streamed, f, 0},
        {"GET", "/sized", sized, f, 0},
        {"GET", "/cut-short", cut_short, f, 0},
        {"GET", "/events", events, f, 0},
        {"GET", "/later", suspended, f, 0},
        {"GET", "/thread", in_a_thread, f, 0},
        {"GET", "/big", big, f, 0},
    };
    struct http_options options = {.at = {ip_v4(127, 0, 0, 1), 0}, .tls = tls};
    struct fault why;
    if (is_manual)
        world_init_manual(&f->world, 784111777000, 1);
    else
        world_init(&f->world, NETWORK_LOOPBACK);
    f->loop = loop_new(&f->world);
    f->router = http_router_new();
    for (size_t i = 0; i < COUNT_OF(table); i++)
        http_router_add(f->router, &table[i]);
    f->server = http_server_new(f->loop, &options, f->router, &why);
    assert_non_null(f->server);
}

static void dial(struct fixture *f, struct peer *client)
{
    struct stream_target to = {.to = http_server_endpoint(f->server)};
    peer_init(client);
    client->stream = stream_connect(f->loop, &to, &peer_events, client);
}

static int set_up(void **state)
{
    struct fixture *f = NEW(struct fixture);
    begin(f, NULL, true);
    dial(f, &f->client);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    peer_release(&f->client);
    if (f->has_thread)
        pthread_join(f->thread, NULL);
    http_server_free(f->server);
    http_router_free(f->router);
    loop_free(f->loop);
    free(f);
    return 0;
}

static void say(struct fixture *f, const char *bytes)
{
    stream_write(f->client.stream, slice_str(bytes));
}

static bool has(const struct fixture *f, const char *text)
{
    return slice_find(slice_of(f->client.got.ptr, f->client.got.len), slice_str(text)) >= 0;
}

static int count(const struct fixture *f, const char *text)
{
    struct slice rest = buf_slice(&f->client.got);
    int found = 0;
    for (ptrdiff_t at; (at = slice_find(rest, slice_str(text))) >= 0; found++)
        rest = slice_from(rest, (size_t)at + 1);
    return found;
}

#define DATE "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"

/* --- tests --- */

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

static void pass(struct fixture *f, time_ms ms)
{
    world_advance(&f->world, ms);
    for (int i = 0; i < 4; i++)
        loop_turn(f->loop, 0);
}

static void slow_heads_and_bodies(void **state)
{
    struct fixture *f = *state;
    until(f->loop, f->client.opened && http_server_connections(f->server) == 1);
    for (int i = 0; i < 14; i++) { /* a byte a second: the head's time does not begin anew */
        say(f, "G");
        pass(f, 1000);
        pass(f, 0);
    }
    assert_int_equal(f->client.closed, 0);
    pass(f, 2000);
    until(f->loop, f->client.closed);
    assert_true(has(f, "HTTP/1.1 408 "));

    peer_release(&f->client);
    dial(f, &f->client);
    say(f, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\nab");
    until(f->loop, http_server_connections(f->server) == 1 && f->client.drained);
    pass(f, 0);
    pass(f, HTTP_BODY_TIMEOUT_MS + 1);
    until(f->loop, f->client.closed);
    assert_true(has(f, "HTTP/1.1 408 "));
}

static void idle_connections_go(void **state)
{
    struct fixture *f = *state;
    say(f, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    until(f->loop, has(f, "hello"));
    pass(f, HTTP_IDLE_MS - 1000);
    assert_int_equal(http_server_connections(f->server), 1);
    pass(f, 1001);
    until(f->loop, f->client.closed);
    assert_int_equal(http_server_connections(f->server), 0);
    assert_int_equal(count(f, "HTTP/1.1 "), 1);
}

static void a_client_that_takes_nothing_goes(void **state)
{
    struct fixture *f = *state;
    stream_pause(f->client.stream);
    for (int i = 0; i < 8; i++)
        say(f, "GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
    until(f->loop, http_server_connections(f->server) == 1);
    for (int i = 0; i < 20; i++)
        loop_turn(f->loop, 0);
    for (int i = 0; i < 10 && http_server_connections(f->server); i++)
        pass(f, 30000);
    assert_int_equal(http_server_connections(f->server), 0);
}

static void streamed_answers(void **state)
{
    struct fixture *f = *state;
    say(f, "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    until(f->loop, f->stream);
    assert_true(http_send(f->stream, SLICE("one\r\n")));
    assert_true(http_send(f->stream, SLICE("")));
    assert_true(http_send(f->stream, SLICE("0123456789abcdef")));
    http_end(f->stream);
    until(f->loop, has(f, "\r\n0\r\n\r\n"));
    assert_true(has(f, "Transfer-Encoding: chunked\r\n\r\n5\r\none\r\n\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n"));
    say(f, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); /* and the connection goes on */
    until(f->loop, has(f, "hello"));

    f->stream = NULL; /* a slow reader is told to wait */
    stream_pause(f->client.stream);
    say(f, "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    until(f->loop, f->stream);
    static char much[65536];
    memset(much, 'x', sizeof(much));
    int sent = 0;
    for (int quiet = 0; quiet < 50; quiet++) {
        loop_turn(f->loop, 0);
        while (http_send(f->stream, slice_of(much, sizeof(much))))
            sent++, quiet = 0;
    }
    assert_in_range(sent, 4, 200);
    stream_resume(f->client.stream);
    until(f->loop, f->rooms > 0);
    stream_close(f->client.stream);
    f->client.stream = NULL;
    until(f->loop, f->gone == 1);
}

static void old_clients_get_streams_until_close(void **state)
{
    struct fixture *f = *state;
    say(f, "GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    until(f->loop, f->stream);
    assert_true(http_send(f->stream, SLICE("plain")));
    http_end(f->stream);
    until(f->loop, f->client.closed);
    assert_true(slice_ends(buf_slice(&f->client.got), SLICE("\r\n\r\nplain")));
}

static void events_flow_and_end(void **state)
{
    struct fixture *f = *state;
    say(f, "GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
    until(f->loop, f->stream);
    assert_true(http_event(f->stream, SLICE("progress"), SLICE("7"), SLICE("{\"a\":1}")));
    assert_true(http_event(f->stream, SLICE(""), SLICE(""), SLICE("two\nlines")));
    until(f->loop, has(f, "lines"));
    assert_true(has(f, "Content-Type: text/event-stream\r\nCache-Control: no-store\r\n"));
    assert_true(has(f, "event: progress\nid: 7\ndata: {\"a\":1}\n\n"));
    assert_true(has(f, "data: two\ndata: lines\n\n"));
    pass(f, HTTP_PING_MS + 1);
    until(f->loop, has(f, "3\r\n:\n\n\r\n"));
    for (int i = 0; i < 20; i++) /* an open stream is not idle */
        pass(f, HTTP_PING_MS + 1);
    assert_int_equal(f->gone, 0);
    stream_close(f->client.stream);
    f->client.stream = NULL;
    until(f->loop, f->gone == 1);
    assert_int_equal(http_server_connections(f->server), 0);
}

static void a_suspended_request(void **state)
{
    struct fixture *f = *state;
    say(f, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    until(f->loop, f->later.request);
    pass(f, 200000); /* the server waits as long as the handler needs */
    http_resume(&f->later);
    until(f->loop, has(f, "HTTP/1.1 202 Accepted"));

    f->later.request = NULL; /* the client goes first */
    say(f, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    until(f->loop, f->later.request);
    stream_close(f->client.stream);
    f->client.stream = NULL;
    until(f->loop, http_server_connections(f->server) == 0);
    assert_int_equal(f->resumed_without, 0);
    http_resume(&f->later);
    until(f->loop, f->resumed_without == 1);
}

static void the_server_goes_first(void **state)
{
    struct fixture *f = *state;
    struct peer other;
    dial(f, &other);
    say(f, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    stream_write(other.stream, SLICE("GET /events HTTP/1.1\r\nHost: a\r\n\r\n"));
    until(f->loop, f->later.request && f->stream);
    http_server_drain(f->server);
    assert_int_equal(f->gone, 1);
    http_resume(&f->later); /* comes home while the server is freed */
    http_server_free(f->server);
    f->server = NULL;
    assert_int_equal(f->resumed_without, 1);
    until(f->loop, f->client.closed && other.closed);
    peer_release(&other);
}

static void draining_finishes_what_is_under_way(void **state)
{
    struct fixture *f = *state;
    say(f, "GET /later HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    until(f->loop, f->later.request);
    http_server_drain(f->server);
    http_resume(&f->later);
    until(f->loop, f->client.closed);
    assert_int_equal(count(f, "HTTP/1.1 202 Accepted"), 1);
    assert_int_equal(count(f, "HTTP/1.1 "), 1); /* the next one was not begun */
    assert_true(has(f, "Connection: close"));
}

static void too_many_wait_outside(void **state)
{
    struct fixture f = {0};
    struct peer clients[4];
    struct http_options options = {.at = {ip_v4(127, 0, 0, 1), 0}, .connections_most = 2};
    struct fault why;
    begin(&f, NULL, false);
    http_server_free(f.server);
    f.server = http_server_new(f.loop, &options, f.router, &why);
    for (int i = 0; i < 4; i++) {
        dial(&f, &clients[i]);
        stream_write(clients[i].stream, SLICE("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    }
    until(f.loop, clients[0].got.len && clients[1].got.len);
    for (int i = 0; i < 10; i++)
        loop_turn(f.loop, 0);
    assert_int_equal(http_server_connections(f.server), 2);
    peer_release(&clients[0]);
    until(f.loop, clients[2].got.len);
    peer_release(&clients[1]);
    until(f.loop, clients[3].got.len);
    peer_release(&clients[2]);
    peer_release(&clients[3]);
    http_server_free(f.server);
    http_router_free(f.router);
    loop_free(f.loop);
}

/* X12: all places are taken by those who never ask, or never finish asking: others still come in, and nobody whose
 * request is being answered has to go. */
static void the_idle_make_room(void **state)
{
    enum { PLACES = 6 };
    struct fixture f = {0};
    struct peer clients[PLACES + 2];
    struct http_options options = {.at = {ip_v4(127, 0, 0, 1), 0}, .connections_most = PLACES};
    struct fault why;
    begin(&f, NULL, false);
    http_server_free(f.server);
    f.server = http_server_new(f.loop, &options, f.router, &why);
    for (size_t i = 0; i < PLACES; i++) {
        dial(&f, &clients[i]);
        until(f.loop, clients[i].opened && http_server_connections(f.server) == i + 1);
        pass(&f, 10);
        if (i == 0) { /* at work, and there the longest */
            stream_write(clients[i].stream, SLICE("GET /events HTTP/1.1\r\nHost: a\r\n\r\n"));
            until(f.loop, clients[i].got.len);
        } else if (i == 2) {
            stream_write(clients[i].stream, SLICE("GET / HT"));
        }
    }
    dial(&f, &clients[PLACES]);
    stream_write(clients[PLACES].stream, SLICE("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    pass(&f, 1000);
    assert_int_equal(http_server_connections(f.server), PLACES); /* they have just come: it waits */
    assert_int_equal(clients[PLACES].got.len, 0);
    stream_write(clients[1].stream, SLICE("GET / HTTP/1.1\r\nHost: a\r\n\r\n")); /* not idle any more */
    until(f.loop, clients[1].got.len);
    pass(&f, 1000);
    pass(&f, 500);
    until(f.loop, clients[PLACES].got.len);
    until(f.loop, clients[2].closed && clients[3].closed); /* one place is kept free for who comes next */
    assert_true(!clients[0].closed && !clients[1].closed && !clients[4].closed);
    pass(&f, 3000);
    dial(&f, &clients[PLACES + 1]);
    stream_write(clients[PLACES + 1].stream, SLICE("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    until(f.loop, clients[PLACES + 1].got.len);
    until(f.loop, clients[4].closed);
    assert_true(!clients[0].closed && !clients[1].closed && !clients[5].closed);
    for (size_t i = 0; i < COUNT_OF(clients); i++)
        peer_release(&clients[i]);
    http_server_free(f.server);
    http_router_free(f.router);
    loop_free(f.loop);
}

static void over_tls(void **state)
{
    static const char *const names[] = {"console.test"};
    struct fixture f = {0};
    struct fault why;
    struct tls_server *identity = tls_server_self_signed(names, 1, &why);
    struct tls_roots *roots = tls_roots_none();
    struct tls_client *trust = tls_client_new(roots);
    struct tls_want want = {.client = trust, .name = "console.test"};
    struct peer clear;
    begin(&f, identity, false);
    dial(&f, &f.client);
    until(f.loop, f.client.opened);
    stream_start_tls_client(f.client.stream, &want);
    say(&f, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    until(f.loop, has(&f, "hello"));
    dial(&f, &clear); /* HTTP in clear at a TLS door: no answer, the end */
    stream_write(clear.stream, SLICE("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    until(f.loop, clear.closed);
    peer_release(&clear);
    peer_release(&f.client);
    http_server_free(f.server);
    loop_turn(f.loop, 0);
    tls_client_free(trust);
    tls_roots_free(roots);
    tls_server_free(identity);
    http_router_free(f.router);
    loop_free(f.loop);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WITH(whole_conversations),
        WITH(refused_and_closed),
        WITH(pipelined_requests_keep_their_order),
        WITH(byte_by_byte),
        WITH(a_large_body_and_a_large_answer),
        WITH(large_bodies_go_to_files),
        WITH(expect_continue),
        WITH(slow_heads_and_bodies),
        WITH(idle_connections_go),
        WITH(a_client_that_takes_nothing_goes),
        WITH(streamed_answers),
        WITH(old_clients_get_streams_until_close),
        WITH(events_flow_and_end),
        WITH(a_suspended_request),
        WITH(the_server_goes_first),
        WITH(draining_finishes_what_is_under_way),
        cmocka_unit_test(too_many_wait_outside),
        cmocka_unit_test(the_idle_make_room),
        cmocka_unit_test(over_tls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
