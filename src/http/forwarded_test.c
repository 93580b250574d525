/* Whose X-Forwarded headers are believed, and how far back; whom clear text answers. */
#include "http/inside.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static void who_is_the_client(void **state)
{
    static const struct {
        const char *peer, *headers, *client;
        bool is_tls;
    } table[] = {
        {"10.0.0.1:9", "", "10.0.0.1:9", false},
        {"10.0.0.1:9", "X-Forwarded-For: 203.0.113.5\r\n", "203.0.113.5:0", false},
        {"10.0.0.1:9", "x-forwarded-for: 203.0.113.5:443\r\nX-FORWARDED-PROTO: HTTPS\r\n", "203.0.113.5:443", true},
        {"10.0.0.1:9", "X-Forwarded-For: 2001:db8::7\r\n", "[2001:db8::7]:0", false},
        {"10.0.0.1:9", "X-Forwarded-For: [2001:db8::7]\r\n", "[2001:db8::7]:0", false},
        {"10.0.0.1:9", "X-Forwarded-For: [2001:db8::7]:443\r\n", "[2001:db8::7]:443", false},
        /* what the client wrote itself stands left of what our proxy saw */
        {"10.0.0.1:9", "X-Forwarded-For: 198.51.100.1, 203.0.113.5\r\n", "203.0.113.5:0", false},
        {"10.0.0.1:9", "X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-For: 203.0.113.5\r\n", "203.0.113.5:0", false},
        {"10.0.0.1:9", "X-Forwarded-For: 203.0.113.5, 10.0.0.7\r\n", "203.0.113.5:0", false},
        {"10.0.0.1:9", "X-Forwarded-For: 198.51.100.1, 203.0.113.5\r\nX-Forwarded-For: 10.0.0.7,10.0.0.8\r\n",
         "203.0.113.5:0", false},
        {"10.0.0.1:9", "X-Forwarded-For: 10.0.0.7\r\n", "10.0.0.7:0", false},
        /* nonsense ends the walk where it was */
        {"10.0.0.1:9", "X-Forwarded-For: unknown\r\n", "10.0.0.1:9", false},
        {"10.0.0.1:9", "X-Forwarded-For: 203.0.113.5, unknown, 10.0.0.7\r\n", "10.0.0.7:0", false},
        {"10.0.0.1:9", "X-Forwarded-For:\r\n", "10.0.0.1:9", false},
        {"10.0.0.1:9", "X-Forwarded-For: ,,,\r\n", "10.0.0.1:9", false},
        {"10.0.0.1:9", "X-Forwarded-For: :443\r\n", "10.0.0.1:9", false},
        {"10.0.0.1:9", "X-Forwarded-Proto: https\r\n", "10.0.0.1:9", true},
        {"10.0.0.1:9", "X-Forwarded-Proto: https, http\r\n", "10.0.0.1:9", false},
        {"10.0.0.1:9", "X-Forwarded-Proto: http\r\nX-Forwarded-Proto: https\r\n", "10.0.0.1:9", true},
        /* who is no proxy of ours says what he likes */
        {"192.0.2.1:9", "X-Forwarded-For: 203.0.113.5\r\nX-Forwarded-Proto: https\r\n", "192.0.2.1:9", false},
        {"192.0.2.1:9", "X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: https\r\n", "192.0.2.1:9", false},
    };
    struct proxies proxies;
    struct fault why;
    assert_true(proxies_parse(SLICE("10.0.0.0/24"), &proxies, &why));
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct http_request request = {0};
        struct http_head_reader reader = {0};
        char text[ENDPOINT_TEXT_ROOM];
        SCOPED(buf) bytes = BUF(1000);
        size_t used;
        print_message("row %zu\n", i);
        buf_printf(&bytes, "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", table[i].headers);
        assert_int_equal(http_head_read(&reader, buf_slice(&bytes), &request.head, &used), HTTP_DONE);
        assert_true(endpoint_parse(slice_str(table[i].peer), &request.peer, &why));
        forwarded_apply(&proxies, &request);
        assert_string_equal(endpoint_text(&request.peer, text), table[i].client);
        assert_int_equal(request.is_tls, table[i].is_tls);
    }
}

static void hello(struct http_request *request, void *user)
{
    http_respond(request, 200, "text/plain", SLICE("hello"));
}

/* Behind a proxy, clear text is for it and for this machine alone. */
static void clear_text_from_elsewhere(void **state)
{
    static const struct {
        const char *peer, *networks, *answer;
    } table[] = {
        {"127.0.0.1:9", "10.0.0.0/24", "HTTP/1.1 200"}, {"[::1]:9", "10.0.0.0/24", "HTTP/1.1 200"},
        {"10.0.0.5:9", "10.0.0.0/24", "HTTP/1.1 200"},  {"10.0.1.5:9", "10.0.0.0/24", "HTTP/1.1 403"},
        {"192.0.2.1:9", "10.0.0.0/24", "HTTP/1.1 403"}, {"192.0.2.1:9", "", "HTTP/1.1 200"},
    };
    const struct http_route route = {"GET", "/", hello, NULL, 0};
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct world world;
        struct proxies proxies;
        struct fault why;
        struct endpoint peer;
        int pair[2];
        char answer[200] = "";
        ssize_t len = -1;
        world_init(&world, NETWORK_LOOPBACK);
        assert_true(proxies_parse(slice_str(table[i].networks), &proxies, &why));
        assert_true(endpoint_parse(slice_str(table[i].peer), &peer, &why));
        struct loop *loop = loop_new(&world);
        struct http_router *router = http_router_new();
        const struct http_options options = {.at = {ip_v4(127, 0, 0, 1), 0}, .proxies = &proxies};
        http_router_add(router, &route);
        struct http_server *server = http_server_new(loop, &options, router, &why);
        assert_non_null(server);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
        http_server_adopt(server, pair[1], &peer);
        assert_int_equal(write(pair[0], "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27), 27);
        for (int turn = 0; turn < 100 && len < 0; turn++) {
            loop_turn(loop, 10);
            len = read(pair[0], answer, sizeof(answer) - 1);
        }
        assert_true(slice_starts(slice_str(answer), slice_str(table[i].answer)));
        http_server_free(server);
        http_router_free(router);
        close(pair[0]);
        loop_turn(loop, 0);
        loop_free(loop);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_the_client),
        cmocka_unit_test(clear_text_from_elsewhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
