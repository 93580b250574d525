/* session.c - who may come in: signing in and out, and the gate in front of every route */
#include "api/inside.h"

#include "access/key.h"
#include "base/log.h"
#include "campaign/brand.h"
#include <jansson.h>
#include <stdio.h>

#define COOKIE "todoke_session"

/* An Origin that is present must be our own: its host and port are those of the Host header. */
static bool origin_is_ours(const struct http_request *request)
{
    struct slice origin = http_header(request, "Origin");
    if (!origin.len)
        return true;
    struct slice scheme = request->is_tls ? SLICE("https://") : SLICE("http://");
    /* a proxy that ends TLS in front of us speaks http to us and https to the browser */
    if (!request->is_tls && slice_starts(origin, SLICE("https://")))
        scheme = SLICE("https://");
    return slice_starts(origin, scheme) && slice_equal_caseless(slice_from(origin, scheme.len), request->head.host);
}

static bool is_safe(const struct http_request *request)
{
    return slice_equal(request->head.method, SLICE("GET")) || slice_equal(request->head.method, SLICE("HEAD"));
}

/* A secret shown by this request; wrong ones are counted against its address, and after too many of them nobody signs
 * in from there for a while. Programs with a good key work on meanwhile: one that has a wrong one must not stop the
 * others behind the same proxy. False: answered. */
static bool secret_is_good(struct api *api, struct http_request *request, struct slice secret, bool is_sign_in)
{
    unsigned retry_after = 0;
    bool is_good = false;
    struct fault why = {0};
    time_ms now = world_monotonic(api->options.world);
    bool may_try = limiter_permits(&api->limiter, &request->peer.ip, now, &retry_after);
    if ((may_try || !is_sign_in) && !key_check(api->db, &why, secret, api_now(api), &is_good)) {
        answer_fault(request, &why, 400);
        return false;
    }
    if (is_good)
        return true;
    if (!may_try) {
        http_set(request, "Retry-After", arena_printf(&request->arena, "%u", retry_after));
        answer_problem(request, 429, "", "too many wrong keys came from this address; try again in %u s", retry_after);
        return false;
    }
    char peer[ENDPOINT_TEXT_ROOM];
    limiter_was_wrong(&api->limiter, &request->peer.ip, now);
    log_warn("api", "a wrong key was shown peer=%s", endpoint_text(&request->peer, peer));
    answer_problem(request, 401, "", "this key is wrong or has expired; `todoke key add NAME` makes a new one");
    return false;
}

bool api_admits(struct api *api, struct http_request *request, enum api_who who)
{
    http_set(request, "Cache-Control", SLICE("no-store"));
    http_set(request, "X-Content-Type-Options", SLICE("nosniff"));
    if (!is_safe(request) && !origin_is_ours(request)) {
        answer_problem(request, 403, "", "the request came from another origin");
        return false;
    }
    if (who == ANYBODY)
        return true;
    struct slice bearer = http_header(request, "Authorization"), id;
    if (slice_starts_caseless(bearer, SLICE("Bearer ")))
        return secret_is_good(api, request, slice_trim(slice_from(bearer, 7)), false);
    if (http_cookie(request, COOKIE, &id) &&
        session_is_open(&api->sessions, id, world_monotonic(api->options.world), NULL))
        return true;
    answer_problem(request, 401, "", "sign in first, or send `Authorization: Bearer` with a key of `todoke key add`");
    return false;
}

static void set_cookie(struct http_request *request, struct slice id, time_ms life)
{
    http_set(request, "Set-Cookie",
             arena_printf(&request->arena, COOKIE "=%.*s; HttpOnly; SameSite=Strict; Path=/; Max-Age=%lld%s",
                          SLICE_ARG(id), (long long)(life / 1000), request->is_tls ? "; Secure" : ""));
}

void api_session_open(struct api *api, struct http_request *request)
{
    json_error_t wrong;
    json_t *body = json_loadb(request->body.ptr, request->body.len, JSON_REJECT_DUPLICATES, &wrong);
    json_t *token = json_object_get(body, "token");
    struct slice secret = {0};
    if (json_is_string(token))
        secret = arena_copy(&request->arena, slice_of(json_string_value(token), json_string_length(token)));
    json_decref(body);
    if (!secret.len || secret.len > KEY_SECRET_MAX) {
        answer_problem(request, 400, "token", "the body is {\"token\": \"...\"}, at most %d characters",
                       KEY_SECRET_MAX);
        return;
    }
    if (!secret_is_good(api, request, secret, true))
        return;
    char id[SESSION_ID_TEXT];
    session_begin(&api->sessions, api->options.world, id);
    set_cookie(request, slice_of(id, sizeof(id)), SESSION_LIFE);
    answer_nothing(request);
}

void api_session_close(struct api *api, struct http_request *request)
{
    struct slice id;
    if (http_cookie(request, COOKIE, &id))
        session_end(&api->sessions, id);
    set_cookie(request, SLICE(""), 0);
    answer_nothing(request);
}

/* The brand of the options, or the store's first. */
static bool brand_shown(struct api *api, struct arena *arena, struct slice *name, struct slice *from, struct fault *why)
{
    *name = api->options.brand_name;
    *from = api->options.brand_from;
    if (name->len)
        return true;
    SCOPED(rows) rows = {0};
    if (!db_query(api->db, why, &rows, "SELECT name, from_address FROM brand ORDER BY id LIMIT 1", NO_VALUES))
        return false;
    if (rows_next(&rows)) {
        *name = arena_copy(arena, rows_text(&rows, 0));
        *from = arena_copy(arena, rows_text(&rows, 1));
    }
    return rows_end(&rows);
}

void api_session_show(struct api *api, struct http_request *request)
{
    struct fault why = {0};
    struct slice name, from;
    if (!brand_shown(api, &request->arena, &name, &from, &why)) {
        answer_fault(request, &why, 400);
        return;
    }
    SCOPED(buf) out = BUF(65536);
    struct json json = {&out};
    json_object_begin(&json);
    json_put_string(&json, "version", SLICE(TODOKE_VERSION));
    json_put_bool(&json, "playground", api->options.is_playground);
    json_put_object(&json, "brand");
    json_put_string(&json, "name", name);
    json_put_string(&json, "from", from);
    json_end(&json);
    json_put_time(&json, "now", api_now(api));
    json_end(&json);
    answer_json(request, &out);
}
