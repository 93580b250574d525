/* session.c - who may come in: signing in and out, and the gate in front of every route */
#include "api/inside.h"
#include "api/visitor.h"

#include "base/log.h"
#include "campaign/brand.h"
#include <jansson.h>
#include <stdio.h>

#define COOKIE "todoke_session"
enum { MAKERS_MOST = 8 };

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

/* A browser adds its cookie to whatever any page makes it send, so the cookie alone only looks (X7). To change
 * something the request must also say that our own page made it, in a header that no page can write: Origin (ours, it
 * was asked above) or Sec-Fetch-Site. SameSite=Strict says the same, but trusts neighbours on other ports and
 * subdomains. */
static bool page_is_ours(const struct http_request *request)
{
    return is_safe(request) || http_header(request, "Origin").len ||
           slice_equal(http_header(request, "Sec-Fetch-Site"), SLICE("same-origin"));
}

/* A secret shown by this request; wrong ones are counted against its address, and after too many of them nobody signs
 * in from there for a while. Programs with a good key work on meanwhile: one that has a wrong one must not stop the
 * others behind the same proxy. NULL: answered. */
static struct caller *secret_owner(struct api *api, struct http_request *request, struct slice secret, bool is_sign_in)
{
    unsigned retry_after = 0;
    struct caller *caller = NULL;
    struct fault why = {0};
    time_ms now = world_monotonic(api->options.world);
    bool may_try = limiter_permits(&api->limiter, &request->peer.ip, now, &retry_after);
    if ((may_try || !is_sign_in) && secret.len &&
        !caller_find(&api->callers, api->db, secret, 0, now, api_now(api), &caller, &why)) {
        answer_fault(request, &why, 400);
        return NULL;
    }
    if (caller)
        return caller;
    if (!may_try) {
        http_set(request, "Retry-After", arena_printf(&request->arena, "%u", retry_after));
        answer_problem(request, 429, "", "too many wrong keys came from this address; try again in %u s", retry_after);
        return NULL;
    }
    char peer[ENDPOINT_TEXT_ROOM];
    limiter_was_wrong(&api->limiter, &request->peer.ip, now);
    log_warn("api", "a wrong key was shown peer=%s", endpoint_text(&request->peer, peer));
    http_set(request, "WWW-Authenticate", SLICE("Bearer error=\"invalid_token\""));
    answer_problem(
        request, 401, "",
        "this key is wrong, has expired or is paused; `todoke key list` shows them, `todoke key release` ends a pause");
    return NULL;
}

/* The key behind the session cookie, as it is now. False: the store cannot say; answered. */
static bool session_owner(struct api *api, struct http_request *request, struct caller **caller)
{
    struct slice id;
    unsigned char digest[SESSION_DIGEST];
    struct fault why = {0};
    time_ms now = world_monotonic(api->options.world);
    *caller = NULL;
    if (!http_cookie(request, COOKIE, &id) || !session_is_open(&api->sessions, id, now, digest) ||
        caller_find(&api->callers, api->db, SLICE(""), session_key(&api->sessions, digest), now, api_now(api), caller,
                    &why)) {
        if (*caller && session_began(&api->sessions, digest) <= (*caller)->key.sessions_ended) {
            session_end(&api->sessions, id);
            *caller = NULL;
        }
        return true;
    }
    answer_fault(request, &why, 400);
    return false;
}

/* ── the store hears of a key's use, once a minute ── */

static void use_note(struct api *api, struct caller *caller)
{
    time_ms now = api_now(api);
    if (now - caller->used_at < CALLER_USED_MS)
        return;
    caller->used_at = now;
    key_use(api->options.store, caller->key.id, now);
}

/* ── the gate ── */

/* What a key asks counts for the one that made it, too: many keys of a limited one are no way around its limit. */
static bool maker_permits(struct api *api, struct http_request *request, uint64_t maker)
{
    time_ms now = world_monotonic(api->options.world);
    for (int i = 0; maker && i < MAKERS_MOST; i++) {
        struct caller *payer = NULL;
        struct fault why = {0};
        unsigned left, wait_s;
        if (!caller_find(&api->callers, api->db, SLICE(""), maker, now, api_now(api), &payer, &why) || !payer)
            return true; /* revoked, or the store is away: each has its own limit, which is not more */
        if (!caller_may_ask(payer, now, &left, &wait_s)) {
            http_set(request, "Retry-After", arena_printf(&request->arena, "%u", wait_s));
            answer_problem(request, 429, "",
                           "the key that made this one may make %u requests a minute, with all that it made; try again "
                           "in %u s",
                           payer->key.rights.rate, wait_s);
            return false;
        }
        maker = payer->key.maker;
    }
    return true;
}

static bool rate_permits(struct api *api, struct http_request *request, struct caller *caller)
{
    unsigned left, wait_s, rate = caller->key.rights.rate;
    bool may = caller_may_ask(caller, world_monotonic(api->options.world), &left, &wait_s);
    if (!rate)
        return true;
    http_set(request, "RateLimit-Policy", arena_printf(&request->arena, "\"key\";q=%u;w=60", rate));
    http_set(request, "RateLimit", arena_printf(&request->arena, "\"key\";r=%u;t=%u", left, may ? 60 : wait_s));
    if (may)
        return true;
    http_set(request, "Retry-After", arena_printf(&request->arena, "%u", wait_s));
    answer_problem(request, 429, "", "this key may make %u requests a minute; try again in %u s", rate, wait_s);
    return false;
}

static bool rights_permit(struct http_request *request, const struct caller *caller, unsigned needs)
{
    if (key_may(&caller->key.rights, needs))
        return true;
    SCOPED(buf) scope = BUF(KEY_SCOPES_TEXT_MAX);
    key_right_print(needs, &scope);
    answer_problem(request, 403, "", "this key lacks the scope \"%.*s\"; `todoke key add NAME --scope ...` gives it",
                   SLICE_ARG(buf_slice(&scope)));
    return false;
}

/* Looking for others may have moved it. */
static bool caller_again(struct api *api, struct http_request *request, uint64_t key_id, struct caller **caller)
{
    struct fault why = {0};
    if (caller_find(&api->callers, api->db, SLICE(""), key_id, world_monotonic(api->options.world), api_now(api),
                    caller, &why) &&
        *caller)
        return true;
    fault_set(&why, FAULT_WORLD, "the keys cannot be read just now");
    answer_fault(request, &why, 400);
    return false;
}

bool api_admits(struct api *api, struct http_request *request, unsigned needs)
{
    struct caller *caller;
    http_set(request, "Cache-Control", SLICE("no-store"));
    http_set(request, "X-Content-Type-Options", SLICE("nosniff"));
    if (!is_safe(request) && !origin_is_ours(request)) {
        answer_problem(request, 403, "", "the request came from another origin");
        return false;
    }
    request->user = NULL;
    if (needs == NEEDS_ANYBODY)
        return true;
    struct slice bearer = http_header(request, "Authorization");
    if (slice_starts_caseless(bearer, SLICE("Bearer "))) {
        if (!(caller = secret_owner(api, request, slice_trim(slice_from(bearer, 7)), false)))
            return false;
    } else if (!session_owner(api, request, &caller)) {
        return false;
    } else if (caller && !page_is_ours(request)) {
        answer_problem(request, 403, "",
                       "a session changes something only for our own page, whose browser sends Origin; programs send "
                       "`Authorization: Bearer` with their key");
        return false;
    }
    if (!caller) {
        http_set(request, "WWW-Authenticate", SLICE("Bearer"));
        answer_problem(request, 401, "",
                       "sign in first, or send `Authorization: Bearer` with a key of `todoke key add`");
        return false;
    }
    use_note(api, caller);
    uint64_t key_id = caller->key.id, maker = caller->key.maker;
    if (!rate_permits(api, request, caller) || (maker && !maker_permits(api, request, maker)))
        return false;
    if (maker && !caller_again(api, request, key_id, &caller))
        return false;
    if (!rights_permit(request, caller, needs))
        return false;
    request->user = caller;
    return true;
}

/* Between the two the key may go: only its id is kept. */
struct admitted {
    uint64_t key_id;
};

bool api_admits_early(struct api *api, struct http_request *request, unsigned needs)
{
    if (!api_admits(api, request, needs))
        return false;
    struct admitted *admitted = ARENA_NEW(&request->arena, struct admitted);
    admitted->key_id = api_caller(request)->key.id;
    request->user = admitted;
    request->is_admitted = true;
    return true;
}

bool api_admits_again(struct api *api, struct http_request *request)
{
    struct caller *caller = NULL;
    struct fault why = {0};
    uint64_t key_id = ((const struct admitted *)request->user)->key_id;
    request->user = NULL;
    if (!caller_find(&api->callers, api->db, SLICE(""), key_id, world_monotonic(api->options.world), api_now(api),
                     &caller, &why)) {
        answer_fault(request, &why, 400);
        return false;
    }
    request->user = caller;
    if (!caller)
        answer_problem(request, 401, "", "this key has expired, or was revoked, while the body was sent");
    return caller != NULL;
}

bool api_sees_all(struct http_request *request)
{
    if (api_caller(request)->key.rights.brand_count == 0)
        return true;
    answer_problem(request, 403, "", "this is about every brand, and the key is bound to some");
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
    const struct caller *caller = secret_owner(api, request, secret, true);
    if (!caller)
        return;
    struct slice old;
    if (http_cookie(request, COOKIE, &old)) { /* never two for one browser, and never an id that was there before */
        session_end(&api->sessions, old);
        visitors_look(api);
    }
    char id[SESSION_ID_TEXT];
    session_begin(&api->sessions, api->options.world, caller->key.id, id);
    set_cookie(request, slice_of(id, sizeof(id)), SESSION_LIFE);
    answer_nothing(request);
}

void api_session_close(struct api *api, struct http_request *request)
{
    struct slice id;
    if (http_cookie(request, COOKIE, &id))
        session_end(&api->sessions, id);
    visitors_look(api);
    set_cookie(request, SLICE(""), 0);
    answer_nothing(request);
}

/* The brand of the options, or the first one that this key sees. */
static bool brand_shown(struct api *api, const struct caller *caller, struct arena *arena, struct slice *name,
                        struct slice *from, struct fault *why)
{
    struct brands brands = caller_brands(caller);
    *name = SLICE("");
    *from = SLICE("");
    if (api->options.brand_name.len && brands.count == 0) {
        *name = api->options.brand_name;
        *from = api->options.brand_from;
        return true;
    }
    SCOPED(rows) rows = {0};
    SCOPED(buf) sql = BUF(2048);
    buf_text(&sql, "SELECT name, from_address FROM brand WHERE id > 0");
    brands_condition(&brands, "id", &sql);
    buf_text(&sql, " ORDER BY id LIMIT 1");
    if (!db_query(api->db, why, &rows, buf_cstr(&sql), NO_VALUES))
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
    if (!brand_shown(api, api_caller(request), &request->arena, &name, &from, &why)) {
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
