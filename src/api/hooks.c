/* hooks.c - webhooks (hook/hook.h); a key bound to brands knows those of its brands */
#include "alarm/alarm.h"
#include "api/body.h"
#include "api/change.h"
#include "hook/hook.h"
#include <stdio.h>
#include <stdlib.h>

enum { KIND_WORDS_MAX = 1000 };

/* ── look ── */

static bool hook_id(struct http_request *request, uint64_t *id)
{
    if (id_parse(http_param(request, "id"), id) && *id)
        return true;
    answer_no_such(request, "webhook");
    return false;
}

/* Those of the id (0: all) that these brands see; malloc'ed. */
static bool hooks_seen(struct db *db, const struct brands *brands, uint64_t id, struct hook **hooks, size_t *count,
                       struct fault *why)
{
    size_t all;
    *count = 0;
    if (!hook_list(db, why, id, hooks, &all))
        return false;
    for (size_t i = 0; i < all; i++)
        if (brands_have(brands, (*hooks)[i].brand_id))
            (*hooks)[(*count)++] = (*hooks)[i];
    return true;
}

static void one_write(struct json *json, const struct hook *hook)
{
    json_object_begin(json);
    hook_write(json, hook);
    json_end(json);
}

static void hooks_answer(struct api *api, struct http_request *request, uint64_t id)
{
    struct fault why = {0};
    struct brands brands = caller_brands(api_caller(request));
    struct hook *hooks;
    size_t count;
    SCOPED(buf) out = BUF(ANSWER_MAX);
    struct json json = {&out};
    if (!hooks_seen(api->db, &brands, id, &hooks, &count, &why)) {
        answer_fault(request, &why, 400);
        return;
    }
    if (!id) {
        json_object_begin(&json);
        json_put_array(&json, "items");
    }
    for (size_t i = 0; i < count; i++)
        one_write(&json, &hooks[i]);
    if (!id) {
        json_end(&json);
        json_put_null(&json, "next_cursor");
        json_end(&json);
    }
    free(hooks);
    if (id && !count)
        answer_no_such(request, "webhook");
    else
        answer_json(request, &out);
}

void api_hook_list(struct api *api, struct http_request *request)
{
    hooks_answer(api, request, 0);
}

void api_hook_show(struct api *api, struct http_request *request)
{
    uint64_t id;
    if (hook_id(request, &id))
        hooks_answer(api, request, id);
}

void api_hook_log(struct api *api, struct http_request *request)
{
    uint64_t id;
    unsigned limit;
    struct slice cursor;
    struct fault why = {0};
    struct brands brands = caller_brands(api_caller(request));
    struct hook *hooks;
    struct hook_attempt *attempts;
    size_t count;
    if (!hook_id(request, &id) || !page_read(request, &limit, &cursor))
        return;
    if (!hooks_seen(api->db, &brands, id, &hooks, &count, &why)) {
        answer_fault(request, &why, 400);
        return;
    }
    free(hooks);
    if (!count) {
        answer_no_such(request, "webhook");
        return;
    }
    if (!hook_log(api->db, &why, id, 0, limit, &request->arena, &attempts, &count)) {
        answer_fault(request, &why, 400);
        return;
    }
    SCOPED(buf) out = BUF(ANSWER_MAX);
    struct json json = {&out};
    json_object_begin(&json);
    json_put_array(&json, "items");
    for (size_t i = 0; i < count; i++)
        hook_attempt_write(&json, &attempts[i]);
    json_end(&json);
    json_end(&json);
    answer_json(request, &out);
}

/* ── make ── */

struct hook_making {
    struct hook hook;
    bool is_from_now;
    const struct seal_key *seal;
};

static bool make_run(struct change *change, struct db *db, struct fault *why)
{
    struct hook_making *making = change->data;
    SCOPED(buf) secret = BUF(HOOK_SECRET_MAX);
    if ((making->is_from_now && !event_place_now(db, &making->hook.place, why)) ||
        !hook_add(db, why, making->seal, &making->hook, &secret, change->now))
        return false;
    change->status = 201;
    json_object_begin(&change->json);
    hook_write(&change->json, &making->hook);
    json_put_string(&change->json, "secret", buf_slice(&secret));
    json_end(&change->json);
    explicit_bzero(secret.ptr, secret.len);
    return true;
}

static void kinds_read(struct body *body, uint64_t *kinds)
{
    json_t *words = body_member(body, "kinds");
    SCOPED(buf) text = BUF(KIND_WORDS_MAX);
    struct fault why = {0};
    if (!words)
        return;
    if (!json_is_array(words) || json_array_size(words) > EVENT_KIND_END) {
        body_wrong(body, "kinds", "kinds is an array of words like \"delivered\" and \"bounced\"");
        return;
    }
    for (size_t i = 0; i < json_array_size(words); i++) {
        struct slice word;
        if (!body_line_of(body, "kinds", json_array_get(words, i), 30, &word))
            return;
        buf_printf(&text, "%s%.*s", i ? "," : "", SLICE_ARG(word));
    }
    if (!hook_kinds_parse(buf_slice(&text), kinds, &why))
        body_wrong(body, "kinds", "%s", why.text);
}

/* "now", "begin" or a cursor. */
static void from_read(struct body *body, struct event_place *place, bool *is_now)
{
    struct slice from = body_line(body, "from", EVENT_CURSOR_MAX);
    *place = (struct event_place){0};
    *is_now = !from.len || slice_equal(from, SLICE("now"));
    if (!*is_now && !slice_equal(from, SLICE("begin")) && !event_place_parse(from, place))
        body_wrong(body, "from", "from is now, begin, or a cursor of events");
}

void api_hook_create(struct api *api, struct http_request *request)
{
    SCOPED(body) body = {0};
    struct fault why = {0};
    struct sender *sender = NULL;
    if (!body_begin(&body, request))
        return;
    struct change *change = change_new(api, request, struct hook_making, make_run);
    struct hook_making *making = change->data;
    struct slice url = body_line_required(&body, "url", HOOK_URL_MAX);
    change->has_secret = true;
    making->seal = api->options.seal;
    kinds_read(&body, &making->hook.kinds);
    from_read(&body, &making->hook.place, &making->is_from_now);
    if (url.len && !hook_url_check(url, &why))
        body_wrong(&body, "url", "%s", why.text);
    snprintf(making->hook.url, sizeof(making->hook.url), "%.*s", SLICE_ARG(url));
    why = (struct fault){0};
    if ((body_has(&body, "brand") || api_caller(request)->key.rights.brand_count) &&
        !body_brand(api, &body, &sender, &why)) {
        change_free(change);
        answer_fault(request, &why, 400);
        return;
    }
    making->hook.brand_id = sender ? sender->brand.id : 0;
    if (!body_end(&body)) {
        change_free(change);
        return;
    }
    if (!making->seal) {
        change_free(change);
        answer_problem(request, 503, "", "this server has no key to seal secrets with");
        return;
    }
    change_begin(change, request);
}

/* ── change ── */

struct hook_changing {
    uint64_t id;
    enum { REMOVE, ENABLE, DISABLE, TEST, REPLAY } what;
    struct event_place place;
    bool is_from_now;
};

static bool alarm_over(struct change *change, struct db *db, struct fault *why, uint64_t id)
{
    char about[24];
    snprintf(about, sizeof(about), "%llu", (unsigned long long)id);
    return alarm_end(db, why, ALARM_WEBHOOK, slice_str(about), change->now);
}

static bool changing_run(struct change *change, struct db *db, struct fault *why)
{
    struct hook_changing *changing = change->data;
    struct brands brands = change_brands(change);
    struct hook *hooks;
    size_t count;
    uint64_t test_id;
    bool found;
    if (!hooks_seen(db, &brands, changing->id, &hooks, &count, why))
        return false;
    free(hooks);
    if (!count)
        return change_refuse(change, 404, "", "there is no such webhook");
    change->status = 204;
    switch (changing->what) {
    case REMOVE: return hook_remove(db, why, changing->id, &found) && alarm_over(change, db, why, changing->id);
    case ENABLE: return hook_enable(db, why, changing->id, true, &found) && alarm_over(change, db, why, changing->id);
    case DISABLE: return hook_enable(db, why, changing->id, false, &found) && alarm_over(change, db, why, changing->id);
    case TEST: return hook_test(db, why, changing->id, change->now, &test_id, &found);
    case REPLAY:
        return (!changing->is_from_now || event_place_now(db, &changing->place, why)) &&
               hook_replay(db, why, changing->id, &changing->place, &found);
    }
    return false;
}

static void hook_change(struct api *api, struct http_request *request, int what)
{
    SCOPED(body) body = {0};
    struct hook_changing changing = {.what = what};
    if (!hook_id(request, &changing.id) || !body_begin(&body, request))
        return;
    if (what == REPLAY) {
        (void)body_line_required(&body, "from", EVENT_CURSOR_MAX);
        from_read(&body, &changing.place, &changing.is_from_now);
    }
    if (!body_end(&body))
        return;
    struct change *change = change_new(api, request, struct hook_changing, changing_run);
    *(struct hook_changing *)change->data = changing;
    change_begin(change, request);
}

void api_hook_remove(struct api *api, struct http_request *request)
{
    hook_change(api, request, REMOVE);
}
void api_hook_enable(struct api *api, struct http_request *request)
{
    hook_change(api, request, ENABLE);
}
void api_hook_disable(struct api *api, struct http_request *request)
{
    hook_change(api, request, DISABLE);
}
void api_hook_test(struct api *api, struct http_request *request)
{
    hook_change(api, request, TEST);
}
void api_hook_replay(struct api *api, struct http_request *request)
{
    hook_change(api, request, REPLAY);
}
