/* Routes: fixed before {name} before {name...}; 404, 405; what cannot be decoded */
#include "base/test.h"
#include "http/router.h"

static void nothing(struct http_request *request, void *user)
{
}

static void routes(void **state)
{
    static const struct http_route table[] = {
        {"GET", "/", nothing, NULL, 0},
        {"GET", "/campaigns", nothing, NULL, 0},
        {"POST", "/campaigns", nothing, NULL, 0},
        {"GET", "/campaigns/{id}", nothing, NULL, 0},
        {"GET", "/campaigns/new", nothing, NULL, 0},
        {"DELETE", "/campaigns/{id}", nothing, NULL, 0},
        {"GET", "/campaigns/{id}/errors/{reason}", nothing, NULL, 0},
        {"GET", "/files/{path...}", nothing, NULL, 0},
        {"GET", "/files/special/{name}", nothing, NULL, 0},
    };
    static const struct {
        const char *method, *path;
        int route; /* index in table; -1: none */
        int status;
        const char *params;
    } rows[] = {
        {"GET", "/", 0, 0, ""},
        {"GET", "/campaigns", 1, 0, ""},
        {"HEAD", "/campaigns", 1, 0, ""},
        {"POST", "/campaigns", 2, 0, ""},
        {"GET", "/campaigns/17", 3, 0, "id=17 "},
        {"GET", "/campaigns/new", 4, 0, ""},
        {"DELETE", "/campaigns/new", 5, 0, "id=new "},
        {"GET", "/c%61mpaigns/new", 4, 0, ""},
        {"GET", "/campaigns/a%2Fb", 3, 0, "id=a/b "},
        {"GET", "/campaigns/%E3%81%82", 3, 0, "id=\xe3\x81\x82 "},
        {"GET", "/campaigns/1/errors/spam", 6, 0, "id=1 reason=spam "},
        {"GET", "/files/a/b%20c/d", 7, 0, "path=a/b c/d "},
        {"GET", "/files/a", 7, 0, "path=a "},
        {"GET", "/files/special/x", 8, 0, "name=x "},
        {"GET", "/files/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18", 7, 0,
         "path=1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18 "},
        {"PATCH", "/campaigns", -1, 405, "GET, HEAD, POST"},
        {"OPTIONS", "/campaigns/1", -1, 405, "GET, HEAD, DELETE"},
        {"GET", "/campaigns/", -1, 404, ""},
        {"GET", "/campaigns/1/", -1, 404, ""},
        {"GET", "/nothing", -1, 404, ""},
        {"GET", "/campaigns/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18", -1, 404, ""},
        {"GET", "/campaigns/%zz", -1, 400, ""},
        {"GET", "/campaigns/a%00b", -1, 400, ""},
        {"OPTIONS", "*", -1, 404, ""},
    };
    struct http_router *router = http_router_new();
    for (size_t i = 0; i < COUNT_OF(table); i++)
        http_router_add(router, &table[i]);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct http_head head = {.method = slice_str(rows[i].method), .path = slice_str(rows[i].path)};
        struct arena arena = {0};
        struct http_param params[HTTP_PARAMS_MOST];
        size_t count = 0;
        int status = 0;
        SCOPED(buf) told = BUF(1000);
        const struct http_route *route = http_router_find(router, &head, &arena, params, &count, &status, &told);
        if (rows[i].route < 0) {
            assert_row(rows[i].path, !route);
            assert_int_row(rows[i].path, status, rows[i].status);
        } else {
            assert_row(rows[i].path, route);
            assert_slice(rows[i].path, slice_str(route->pattern), slice_str(table[rows[i].route].pattern));
            assert_slice(rows[i].path, slice_str(route->method), slice_str(table[rows[i].route].method));
            buf_reset(&told);
            for (size_t p = 0; p < count; p++)
                buf_printf(&told, "%.*s=%.*s ", SLICE_ARG(params[p].name), SLICE_ARG(params[p].value));
        }
        if (rows[i].status != 404 && rows[i].status != 400)
            assert_slice(rows[i].path, buf_slice(&told), slice_str(rows[i].params));
        arena_release(&arena);
    }
    http_router_free(router);
}

static void the_fallback_takes_get_only(void **state)
{
    struct http_router *router = http_router_new();
    struct arena arena = {0};
    struct http_param params[HTTP_PARAMS_MOST];
    size_t count;
    int status;
    struct http_head get = {.method = SLICE("GET"), .path = SLICE("/any/page")};
    struct http_head post = {.method = SLICE("POST"), .path = SLICE("/any/page")};
    http_router_fallback(router, nothing, NULL);
    assert_non_null(http_router_find(router, &get, &arena, params, &count, &status, NULL));
    assert_null(http_router_find(router, &post, &arena, params, &count, &status, NULL));
    assert_int_equal(status, 404);
    arena_release(&arena);
    http_router_free(router);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(routes), cmocka_unit_test(the_fallback_takes_get_only)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
