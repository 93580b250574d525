/* Who may come in to the API and the console, and what the console's page may do. */
#include "api/api_test.h"

static void nobody_comes_in_without_a_key(void **state)
{
    FIXTURE(f, state);
#define ROUTE(method, path, handler, who, body_limit) {method, "/api/v1" path, strcmp(#who, "ANYBODY") == 0},
    const struct {
        const char *method, *path;
        bool is_open;
    } routes[] = {
#include "api/routes.def"
    };
#undef ROUTE
    for (size_t i = 0; i < COUNT_OF(routes); i++) {
        if (routes[i].is_open)
            continue;
        char path[200]; /* braces are no part of a path */
        snprintf(path, sizeof(path), "%s", routes[i].path);
        for (char *c = path; *c; c++)
            *c = *c == '{' || *c == '}' ? '1' : *c;
        static const char *const nothing_good[] = {"", "Cookie: todoke_session=AAAA\r\n",
                                                   "Authorization: Basic eDp5\r\n"};
        for (size_t k = 0; k < COUNT_OF(nothing_good); k++) {
            struct answer answer = ask(&f, routes[i].method, path, nothing_good[k], "");
            assert_int_row(path, answer.status, 401);
            assert_string_equal(answer.type, "application/problem+json");
            answer_release(&answer);
        }
    }
    struct answer unknown = ask(&f, "GET", "/api/v1/nothing", "", "");
    assert_int_equal(unknown.status, 401);
    answer_release(&unknown);
    unknown = ask(&f, "GET", "/api/v1/nothing", signed_in(&f), "");
    assert_int_equal(unknown.status, 404);
    assert_string_equal(unknown.type, "application/problem+json");
    answer_release(&unknown);
    fixture_end(&f);
}

/* A large body is not even read from somebody without a key (X12). */
static void strangers_bodies_are_not_read(void **state)
{
    FIXTURE(f, state);
    char bearer[200];
    struct answer answer = ask(&f, "POST", "/api/v1/contacts/import?list=x", "Content-Length: 134217728\r\n", NULL);
    assert_int_equal(answer.status, 401);
    assert_non_null(strcasestr(answer.head, "\r\nConnection: close"));
    answer_release(&answer);
    answer = ask(&f, "POST", "/api/v1/contacts/import?list=x", "Content-Length: 134217729\r\n", NULL);
    assert_int_equal(answer.status, 413);
    answer_release(&answer);
    snprintf(bearer, sizeof(bearer), "Authorization: Bearer %.*s\r\n", (int)f.seed.secret.len, f.seed.secret.ptr);
    answer = ask(&f, "POST", "/api/v1/suppressions/check", bearer, "{\"emails\":[\"stop@au.example\"]}");
    assert_int_equal(answer.status, 200);
    answer_release(&answer);
    fixture_end(&f);
}

static void signing_in_and_out(void **state)
{
    FIXTURE(f, state);
    char bearer[200];
    snprintf(bearer, sizeof(bearer), "Authorization: Bearer %.*s\r\n", (int)f.seed.secret.len, f.seed.secret.ptr);
    struct answer answer = ask(&f, "GET", "/api/v1/session", bearer, "");
    assert_int_equal(answer.status, 200);
    answer_release(&answer);
    answer = ask(&f, "POST", "/api/v1/session", "", "{\"token\":\"wrong\"}");
    assert_int_equal(answer.status, 401);
    answer_release(&answer);
    answer = ask(&f, "POST", "/api/v1/session", "", "{\"token\":7}");
    assert_int_equal(answer.status, 400);
    answer_release(&answer);
    char body[200];
    snprintf(body, sizeof(body), "{\"token\":\"%.*s\"}", (int)f.seed.secret.len, f.seed.secret.ptr);
    answer = ask(&f, "POST", "/api/v1/session", "Origin: http://evil.example\r\n", body);
    assert_int_equal(answer.status, 403);
    answer_release(&answer);
    answer = ask(&f, "POST", "/api/v1/session", "Origin: http://here:1\r\n", body);
    assert_int_equal(answer.status, 204);
    assert_non_null(strstr(answer.head, "; HttpOnly; SameSite=Strict; Path=/"));
    answer_release(&answer);
    answer = fitting(&f, "GET", "/session", "/session", "");
    assert_text(answer, "brand.name", "花丸商店");
    assert_text(answer, "brand.from", "news@shop.example");
    assert_true(json_is_true(at(answer.json, "playground")));
    answer_release(&answer);
    answer = ask(&f, "DELETE", "/api/v1/session", signed_in(&f), "");
    assert_int_equal(answer.status, 204);
    answer_release(&answer);
    answer = fitting(&f, "GET", "/session", "/session", "");
    assert_int_equal(answer.status, 401);
    answer_release(&answer);
    fixture_end(&f);
}

/* X16 */
static void trying_keys_is_slow(void **state)
{
    FIXTURE(f, state);
    char bearer[200];
    snprintf(bearer, sizeof(bearer), "Authorization: Bearer %.*s\r\n", (int)f.seed.secret.len, f.seed.secret.ptr);
    for (int i = 0; i < 12; i++) {
        struct answer answer = ask(&f, "POST", "/api/v1/session", "", "{\"token\":\"guess\"}");
        assert_int_equal(answer.status, i < 10 ? 401 : 429);
        assert_true(i < 10 || strcasestr(answer.head, "\r\nRetry-After: "));
        answer_release(&answer);
    }
    struct answer answer = ask(&f, "GET", "/api/v1/session", bearer, ""); /* a program goes on with its good key */
    assert_int_equal(answer.status, 200);
    answer_release(&answer);
    fixture_end(&f);
}

static void the_page_and_its_policy(void **state)
{
    FIXTURE(f, state);
    struct answer answer = ask(&f, "GET", "/", "", "");
    assert_true(answer.status == 200 || answer.status == 404); /* a build without node has no console */
    assert_non_null(strcasestr(
        answer.head, "\r\nContent-Security-Policy: default-src 'self'; style-src-attr 'unsafe-inline'; img-src "
                     "'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors "
                     "'none'\r\n"));
    assert_non_null(strcasestr(answer.head, "\r\nX-Content-Type-Options: nosniff\r\n"));
    assert_non_null(strcasestr(answer.head, "\r\nReferrer-Policy: no-referrer\r\n"));
    answer_release(&answer);
    const struct embedded_file *asset = embedded_first(SLICE("console/assets/"));
    if (asset && slice_starts(asset->path, SLICE("console/assets/"))) {
        char path[300];
        snprintf(path, sizeof(path), "%.*s", SLICE_ARG(slice_from(asset->path, 7)));
        answer = ask(&f, "GET", path, "", "");
        assert_int_row(path, answer.status, 200);
        assert_non_null(strcasestr(answer.head, "immutable"));
        answer_release(&answer);
    }
    static const char *const nowhere[] = {"/assets/none.js", "/assets/../index.html",  "/assets/..%2findex.html",
                                          "/assets/",        "/data/api/openapi.yaml", "/index.php"};
    for (size_t i = 0; i < COUNT_OF(nowhere); i++) {
        answer = ask(&f, "GET", nowhere[i], "", "");
        assert_true(answer.status == 404 || answer.status == 400);
        answer_release(&answer);
    }
    fixture_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(nobody_comes_in_without_a_key), ON_BOTH(strangers_bodies_are_not_read), ON_BOTH(signing_in_and_out),
        ON_BOTH(trying_keys_is_slow),           ON_BOTH(the_page_and_its_policy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
