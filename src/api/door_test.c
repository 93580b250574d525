/* Who may come in to the API and the console, and what the console's page may do. */
#include "api/api_test.h"

#include <errno.h>
#include <poll.h>

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

/* X7: with the cookie that a browser adds to whatever any page sends, nothing is changed unless the browser says that
 * it was our own page. */
static void a_cookie_alone_changes_nothing(void **state)
{
    FIXTURE(f, state);
#define ROUTE(method, path, handler, who, body_limit) {method, "/api/v1" path},
    const struct {
        const char *method, *path;
    } routes[] = {
#include "api/routes.def"
    };
#undef ROUTE
    static const char *const others[] = {
        "",
        "Origin: null\r\n",
        "Origin: http://evil.example\r\n",
        "Origin: http://here:2\r\n",
        "Origin: http://here:1.evil.example\r\n",
        "Origin: http://sub.here:1\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
        "Referer: http://here:1/\r\n",
    };
    char cookie[200], headers[400];
    signed_in(&f);
    snprintf(cookie, sizeof(cookie), "%.*s", (int)(strcspn(f.cookie, "\r") + 2), f.cookie);
    for (size_t i = 0, changing = 0; i < COUNT_OF(routes); i++) {
        if (strcmp(routes[i].method, "GET") == 0)
            continue;
        changing++;
        char path[200];
        snprintf(path, sizeof(path), "%s", routes[i].path);
        for (char *c = path; *c; c++)
            *c = *c == '{' || *c == '}' ? '1' : *c;
        for (size_t k = 0; k < COUNT_OF(others); k++) {
            bool is_sign_in = strcmp(path, "/api/v1/session") == 0 && strcmp(routes[i].method, "POST") == 0;
            if (is_sign_in && !slice_starts(slice_str(others[k]), SLICE("Origin")))
                continue; /* it uses no cookie, but shows a secret */
            snprintf(headers, sizeof(headers), "%s%s", cookie, others[k]);
            struct answer answer = ask(&f, routes[i].method, path, headers, "{}");
            assert_int_row(path, answer.status, 403);
            assert_string_equal(answer.type, "application/problem+json");
            answer_release(&answer);
        }
        assert_true(i + 1 < COUNT_OF(routes) || changing > 40);
    }
    static const char check[] = "/api/v1/suppressions/check", emails[] = "{\"emails\":[\"stop@au.example\"]}";
    static const char *const ours[] = {OWN_ORIGIN, "Origin: https://here:1\r\n", "Sec-Fetch-Site: same-origin\r\n"};
    for (size_t k = 0; k < COUNT_OF(ours); k++) {
        snprintf(headers, sizeof(headers), "%s%s", cookie, ours[k]);
        struct answer answer = ask(&f, "POST", check, headers, emails);
        assert_int_row(ours[k], answer.status, 200);
        answer_release(&answer);
    }
    struct answer answer = ask(&f, "GET", "/api/v1/session", cookie, "");
    assert_int_equal(answer.status, 200); /* looking is free */
    answer_release(&answer);
    fixture_end(&f);
}

/* A large body is not even read from somebody without a key (X12). */
static void strangers_bodies_are_not_read(void **state)
{
    FIXTURE(f, state);
    char bearer[200];
    struct answer answer = ask(&f, "POST", "/api/v1/contacts/import?list=x", "Content-Length: 8589934592\r\n", NULL);
    assert_int_equal(answer.status, 401);
    assert_non_null(strcasestr(answer.head, "\r\nConnection: close"));
    answer_release(&answer);
    answer = ask(&f, "POST", "/api/v1/contacts/import?list=x", "Content-Length: 8589934593\r\n", NULL);
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
    char first[160];
    snprintf(first, sizeof(first), "%s", signed_in(&f));
    answer = ask(&f, "POST", "/api/v1/session", first, body); /* X7: another sign-in, another id; the old one is over */
    assert_int_equal(answer.status, 204);
    answer_release(&answer);
    answer = ask(&f, "GET", "/api/v1/session", first, "");
    assert_int_equal(answer.status, 401);
    answer_release(&answer);
    f.cookie[0] = '\0';
    assert_string_not_equal(signed_in(&f), first);
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

/* ── who stays ── */

/* A stream that has begun. */
static int stream_open(struct fixture *f, const char *path, const char *headers)
{
    char request[600], got[4000];
    size_t len = 0;
    int fd = dial(f);
    int said = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: here:1\r\n%s\r\n", path, headers);
    assert_int_equal(send(fd, request, (size_t)said, MSG_NOSIGNAL), said);
    do {
        ssize_t more = recv(fd, got + len, sizeof(got) - 1 - len, 0);
        if (more <= 0)
            fail_msg("%s: no stream", path);
        len += (size_t)more;
        got[len] = '\0';
    } while (!strstr(got, "\r\n\r\n"));
    assert_int_row(path, strtol(got + 9, NULL, 10), 200);
    return fd;
}

/* Reads until the last chunk, the connection's end, or this moment has passed; true: it was the last chunk. A stream
 * says ": ping" now and then, so the wait needs an end of its own. */
static bool stream_reads_its_end(struct fixture *f, int fd, time_ms wait_ms)
{
    static const struct slice end = SLICE_INIT("0\r\n\r\n");
    SCOPED(buf) got = BUF(1 << 20);
    time_ms until = world_monotonic(&f->world) + wait_ms, left;
    char piece[4096];
    while (!slice_ends(buf_slice(&got), end) && (left = until - world_monotonic(&f->world)) > 0) {
        struct pollfd ready = {fd, POLLIN, 0};
        if (poll(&ready, 1, (int)left) <= 0)
            continue;
        ssize_t len = recv(fd, piece, sizeof(piece), 0);
        if (len <= 0)
            break;
        buf_append(&got, slice_of(piece, (size_t)len));
    }
    return slice_ends(buf_slice(&got), end);
}

static bool stream_ends(struct fixture *f, int fd)
{
    bool ends = stream_reads_its_end(f, fd, SECONDS_MS(20));
    close(fd);
    return ends;
}

static bool stream_stays(struct fixture *f, int fd)
{
    char piece[1];
    return !stream_reads_its_end(f, fd, 1200) && (recv(fd, piece, 1, MSG_DONTWAIT | MSG_PEEK) != 0);
}

struct made_key {
    char bearer[200], cookie[200]; /* each a whole header line */
    uint64_t id;
};
static struct made_key make_key(struct fixture *f, const char *headers, const char *body, int status)
{
    struct made_key made = {0};
    struct answer answer = ask(f, "POST", "/api/v1/keys", headers, body);
    assert_int_row(body, answer.status, status);
    if (status == 201) {
        const char *secret = json_string_value(at(answer.json, "secret"));
        assert_true(slice_to_u64(slice_str(json_string_value(at(answer.json, "id"))), &made.id));
        snprintf(made.bearer, sizeof(made.bearer), "Authorization: Bearer %s\r\n", secret);
        char token[200];
        snprintf(token, sizeof(token), "{\"token\":\"%s\"}", secret);
        struct answer session = ask(f, "POST", "/api/v1/session", "", token);
        assert_int_equal(session.status, 204);
        const char *cookie = strcasestr(session.head, "Set-Cookie: ");
        snprintf(made.cookie, sizeof(made.cookie), "Cookie: %.*s\r\n" OWN_ORIGIN, (int)strcspn(cookie + 12, ";\r"),
                 cookie + 12);
        answer_release(&session);
    }
    answer_release(&answer);
    return made;
}

static void expect(struct fixture *f, const char *method, const char *path, const char *headers, int status)
{
    struct answer answer = ask(f, method, path, headers, "");
    assert_int_row(path, answer.status, status);
    answer_release(&answer);
}

/* S14: whoever is signed out, or whose key is gone, sees nothing more, at once. */
static void streams_end_with_whom_they_are_for(void **state)
{
    FIXTURE(f, state);
    char campaign[200], path[100];
    static const char events[] = "/api/v1/events/stream";
    snprintf(campaign, sizeof(campaign), "/api/v1/campaigns/%llu/stream", (unsigned long long)f.seed.draft.id);
    struct made_key key = make_key(&f, signed_in(&f), "{\"name\":\"reads\",\"scopes\":[\"all:read\"]}", 201);
    int by_session = stream_open(&f, events, key.cookie), looks = stream_open(&f, campaign, key.cookie);
    int by_key = stream_open(&f, events, key.bearer);
    expect(&f, "DELETE", "/api/v1/session", key.cookie, 204);
    assert_true(stream_ends(&f, by_session) && stream_ends(&f, looks));
    assert_true(stream_stays(&f, by_key));
    snprintf(path, sizeof(path), "/api/v1/keys/%llu", (unsigned long long)key.id);
    expect(&f, "DELETE", path, signed_in(&f), 204);
    assert_true(stream_ends(&f, by_key));
    key = make_key(&f, signed_in(&f), "{\"name\":\"halts\",\"scopes\":[\"all:read\"]}", 201);
    by_key = stream_open(&f, events, key.bearer);
    snprintf(path, sizeof(path), "/api/v1/keys/%llu/pause", (unsigned long long)key.id);
    expect(&f, "POST", path, signed_in(&f), 204);
    assert_true(stream_ends(&f, by_key));
    fixture_end(&f);
}

/* S14: an operator ends all sessions of a key; its secret, and others' sessions, stay. */
static void all_sessions_of_a_key_end(void **state)
{
    FIXTURE(f, state);
    char path[100], token[300];
    struct made_key key = make_key(&f, signed_in(&f), "{\"name\":\"k\"}", 201);
    int by_session = stream_open(&f, "/api/v1/events/stream", key.cookie);
    int by_key = stream_open(&f, "/api/v1/events/stream", key.bearer);
    expect(&f, "GET", "/api/v1/session", key.cookie, 200);
    snprintf(path, sizeof(path), "/api/v1/keys/%llu/sessions", (unsigned long long)key.id);
    struct answer answer = ask(&f, "DELETE", path, signed_in(&f), "");
    assert_int_equal(answer.status, 204);
    answer_release(&answer);
    expect(&f, "GET", "/api/v1/session", key.cookie, 401);
    expect(&f, "GET", "/api/v1/session", key.bearer, 200);
    expect(&f, "GET", "/api/v1/session", signed_in(&f), 200);
    assert_true(stream_ends(&f, by_session));
    assert_true(stream_stays(&f, by_key));
    close(by_key);
    const char *secret = key.bearer + strlen("Authorization: Bearer ");
    snprintf(token, sizeof(token), "{\"token\":\"%.*s\"}", (int)strcspn(secret, "\r"), secret);
    answer = ask(&f, "POST", "/api/v1/session", "", token); /* and may sign in again */
    const char *cookie = strcasestr(answer.head, "Set-Cookie: ");
    snprintf(key.cookie, sizeof(key.cookie), "Cookie: %.*s\r\n", (int)strcspn(cookie + 12, ";\r"), cookie + 12);
    answer_release(&answer);
    expect(&f, "GET", "/api/v1/session", key.cookie, 200);
    expect(&f, "DELETE", "/api/v1/keys/77/sessions", signed_in(&f), 404);
    fixture_end(&f);
}

/* X16: nobody makes himself a key without the limits of his own. */
static void a_limited_key_makes_none_without_limits(void **state)
{
    FIXTURE(f, state);
    time_ms begun = world_monotonic(&f.world);
    struct made_key slow =
        make_key(&f, signed_in(&f), "{\"name\":\"slow\",\"rate\":12,\"expires_at\":\"2126-01-01T00:00:00Z\"}", 201);
    make_key(&f, slow.bearer, "{\"name\":\"more\",\"rate\":0}", 403);
    make_key(&f, slow.bearer, "{\"name\":\"more\",\"rate\":13}", 403);
    make_key(&f, slow.bearer, "{\"name\":\"longer\",\"expires_at\":\"2126-01-01T00:00:01Z\"}", 403);
    struct made_key own = make_key(&f, slow.bearer, "{\"name\":\"own\"}", 201);
    struct answer answer = ask(&f, "GET", "/api/v1/keys", signed_in(&f), "");
    assert_text(answer, "items.0.name", "own");
    assert_number(answer, "items.0.rate", 12);
    assert_text(answer, "items.0.expires_at", "2126-01-01T00:00:00.000Z");
    char maker[30];
    snprintf(maker, sizeof(maker), "%llu", (unsigned long long)slow.id);
    assert_text(answer, "items.0.made_by", maker);
    answer_release(&answer);
    struct made_key another = make_key(&f, slow.bearer, "{\"name\":\"another\"}", 201);
    int taken = 0; /* five of the twelve are gone; both draw on what is left */
    for (int i = 0; i < 12; i++) {
        answer = ask(&f, "GET", "/api/v1/session", i % 2 ? own.bearer : another.bearer, "");
        taken += answer.status == 200;
        assert_true(answer.status == 200 || (answer.status == 429 && strcasestr(answer.head, "\r\nRetry-After: ")));
        answer_release(&answer);
    }
    time_ms passed = world_monotonic(&f.world) - begun; /* one more each five seconds, however slow this machine is */
    assert_true(taken >= 6 && taken <= 8 + passed / 5000);
    fixture_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(nobody_comes_in_without_a_key),
        ON_BOTH(a_cookie_alone_changes_nothing),
        ON_BOTH(strangers_bodies_are_not_read),
        ON_BOTH(signing_in_and_out),
        ON_BOTH(trying_keys_is_slow),
        ON_BOTH(the_page_and_its_policy),
        ON_BOTH(streams_end_with_whom_they_are_for),
        ON_BOTH(all_sessions_of_a_key_end),
        ON_BOTH(a_limited_key_makes_none_without_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
