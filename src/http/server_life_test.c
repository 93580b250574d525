/* How long a connection lasts, and who has a place: time, streams, answers from other threads, limits, the end (X12,
 * F5) */
#include "http/server_test.h"

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

/* RFC 9110 9.3.2: the head alone; and the connection goes on, though the handler would have told for ever */
static void a_head_of_events_is_all(void **state)
{
    static const char *const paths[] = {"/events", "/stream"};
    struct fixture *f = *state;
    for (int i = 0; i < 2; i++) {
        SCOPED(buf) asks = BUF(200);
        buf_reset(&f->client.got);
        buf_printf(&asks, "HEAD %s HTTP/1.1\r\nHost: a\r\n\r\n", paths[i]);
        stream_write(f->client.stream, buf_slice(&asks));
        until(f->loop, f->gone == i + 1 && has(f, "Transfer-Encoding: chunked\r\n\r\n"));
        assert_true(slice_ends(buf_slice(&f->client.got), SLICE("\r\n\r\n"))); /* no body begins */
        say(f, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        until(f->loop, has(f, "hello"));
        pass(f, HTTP_PING_MS + 1);
        assert_false(has(f, ":\n\n"));
    }
    assert_int_equal(http_server_connections(f->server), 1);
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
    begin(&f, NULL, true);
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
    begin(&f, NULL, true);
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
    const struct CMUnitTest tests[] = {
        WITH(slow_heads_and_bodies),
        WITH(idle_connections_go),
        WITH(a_client_that_takes_nothing_goes),
        WITH(streamed_answers),
        WITH(old_clients_get_streams_until_close),
        WITH(events_flow_and_end),
        WITH(a_head_of_events_is_all),
        WITH(a_suspended_request),
        WITH(the_server_goes_first),
        WITH(draining_finishes_what_is_under_way),
        cmocka_unit_test(too_many_wait_outside),
        cmocka_unit_test(the_idle_make_room),
        cmocka_unit_test(over_tls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
