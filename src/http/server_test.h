/* server_test.h - a server over real sockets, with a route for each manner of answering (for the tests of http/ only)
 */
#ifndef TODOKE_HTTP_SERVER_TEST_H
#define TODOKE_HTTP_SERVER_TEST_H

#include "base/test.h"
#include "http/router.h"
#include "net/peer_test.h"

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

static inline void hello(struct http_request *request, void *user)
{
    http_set(request, "X-One", SLICE("1"));
    http_respond(request, 200, "text/plain", SLICE("hello\n"));
}

static inline void echo(struct http_request *request, void *user)
{
    http_respond(request, 200, "text/plain", request->body);
}

/* What stands in the file: its length, first and last octet. */
static inline void spooled(struct http_request *request, void *user)
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

static inline void params(struct http_request *request, void *user)
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

static inline void no_content(struct http_request *request, void *user)
{
    http_respond(request, 204, NULL, SLICE("never sent"));
}

static inline void on_gone(struct http_request *request)
{
    struct fixture *f = request->user;
    f->gone++;
    f->stream = NULL;
}

static inline void on_room(struct http_request *request)
{
    ((struct fixture *)request->user)->rooms++;
}

static inline void streamed(struct http_request *request, void *user)
{
    struct fixture *f = user;
    request->user = f;
    request->on_gone = on_gone;
    request->on_room = on_room;
    http_begin(request, 200, "text/csv");
    f->stream = request;
}

static inline void sized(struct http_request *request, void *user)
{
    http_begin_sized(request, 206, "text/csv", 10);
    assert_true(http_send(request, SLICE("01234")) && http_send(request, SLICE("56789")));
    http_end(request);
}

static inline void cut_short(struct http_request *request, void *user)
{
    http_begin_sized(request, 200, "text/csv", 10);
    assert_true(http_send(request, SLICE("01234")));
    http_cut(request);
}

static inline void events(struct http_request *request, void *user)
{
    struct fixture *f = user;
    request->user = f;
    request->on_gone = on_gone;
    http_events_begin(request);
    f->stream = request;
}

static inline void on_resume(struct http_later *later, struct http_request *request)
{
    struct fixture *f = (struct fixture *)((char *)later - offsetof(struct fixture, later));
    if (request)
        http_respond(request, 202, "text/plain", SLICE("later\n"));
    else
        f->resumed_without++;
}

static inline void suspended(struct http_request *request, void *user)
{
    struct fixture *f = user;
    http_suspend(request, &f->later, on_resume);
}

static inline void *resume_from_elsewhere(void *arg)
{
    http_resume(arg);
    return NULL;
}

static inline void in_a_thread(struct http_request *request, void *user)
{
    struct fixture *f = user;
    http_suspend(request, &f->later, on_resume);
    f->has_thread = pthread_create(&f->thread, NULL, resume_from_elsewhere, &f->later) == 0;
}

static inline void big(struct http_request *request, void *user)
{
    static char bytes[3 << 20];
    memset(bytes, 'b', sizeof(bytes));
    http_respond(request, 200, "text/plain", slice_of(bytes, sizeof(bytes)));
}

/* --- the fixture --- */

static inline void begin(struct fixture *f, struct tls_server *tls, bool is_manual)
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

static inline void dial(struct fixture *f, struct peer *client)
{
    struct stream_target to = {.to = http_server_endpoint(f->server)};
    peer_init(client);
    client->stream = stream_connect(f->loop, &to, &peer_events, client);
}

static inline int set_up(void **state)
{
    struct fixture *f = NEW(struct fixture);
    begin(f, NULL, true);
    dial(f, &f->client);
    *state = f;
    return 0;
}

static inline int tear_down(void **state)
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

static inline void say(struct fixture *f, const char *bytes)
{
    stream_write(f->client.stream, slice_str(bytes));
}

static inline bool has(const struct fixture *f, const char *text)
{
    return slice_find(slice_of(f->client.got.ptr, f->client.got.len), slice_str(text)) >= 0;
}

static inline int count(const struct fixture *f, const char *text)
{
    struct slice rest = buf_slice(&f->client.got);
    int found = 0;
    for (ptrdiff_t at; (at = slice_find(rest, slice_str(text))) >= 0; found++)
        rest = slice_from(rest, (size_t)at + 1);
    return found;
}

#define DATE "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"

static inline void pass(struct fixture *f, time_ms ms)
{
    world_advance(&f->world, ms);
    for (int i = 0; i < 4; i++)
        loop_turn(f->loop, 0);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

#endif
