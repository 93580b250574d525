/* status.c - is it alive, is it ready, and how is it set up */
#include "api/inside.h"

/* warning: it works, but somebody should look; "": none */
static void health_answer(struct http_request *request, bool is_good, const char *what, struct slice why,
                          const char *warning)
{
    SCOPED(buf) out = BUF(4096);
    struct json json = {&out};
    json_object_begin(&json);
    json_put_string(&json, "status", is_good ? SLICE("ok") : SLICE("unavailable"));
    json_put_string(&json, "check", slice_str(what));
    json_put_string(&json, "why", why);
    json_put_array(&json, "warnings");
    if (*warning)
        json_text(&json, slice_str(warning));
    json_end(&json);
    json_end(&json);
    http_respond(request, is_good ? 200 : 503, "application/json", buf_slice(&out));
}

/* This thread answers. */
void api_health_live(struct api *api, struct http_request *request)
{
    health_answer(request, true, "live", SLICE(""), "");
}

/* The store can be read and written, and the server is not about to end. */
void api_health_ready(struct api *api, struct http_request *request)
{
    struct fault why = {0};
    struct store_figures figures;
    struct api_metrics now = {0};
    int64_t one;
    if (api->options.metrics)
        api->options.metrics(api->options.owner, &now);
    store_figures(api->options.store, &figures);
    if (api->is_stopping)
        health_answer(request, false, "ready", SLICE("the server is stopping"), "");
    else if (figures.is_lost)
        health_answer(request, false, "ready", SLICE("the store cannot be written"), "");
    else if (!db_query_ints(api->db, &why, "SELECT 1", NO_VALUES, &one, 1, NULL))
        health_answer(request, false, "ready", SLICE("the store cannot be read"), "");
    else
        health_answer(request, true, "ready", SLICE(""),
                      now.is_event_file_waiting ? "events.file cannot be written; its events wait in the store" : "");
}

static void live(struct http_request *request, void *user)
{
    http_set(request, "Cache-Control", SLICE("no-store"));
    api_health_live(user, request);
}
static void ready(struct http_request *request, void *user)
{
    http_set(request, "Cache-Control", SLICE("no-store"));
    api_health_ready(user, request);
}

void status_routes(struct api *api)
{
    http_router_add(api->router, &(struct http_route){"GET", "/health/live", live, api, 0});
    http_router_add(api->router, &(struct http_route){"GET", "/health/ready", ready, api, 0});
}

/* ── settings: as they are now; nothing of them is secret but a password in the store's address ── */

void api_setting_list(struct api *api, struct http_request *request)
{
    SCOPED(buf) out = BUF(ANSWER_MAX);
    struct json json = {&out};
    if (!api_sees_all(request))
        return;
    json_object_begin(&json);
    json_put_array(&json, "items");
    for (size_t i = 0; i < api->options.setting_count; i++) {
        const struct api_setting *setting = &api->options.settings[i];
        json_object_begin(&json);
        json_put_string(&json, "key", slice_str(setting->key));
        json_put_string(&json, "value", slice_str(setting->value));
        json_put_string(&json, "default", slice_str(setting->fallback));
        json_put_string(&json, "doc", slice_str(setting->doc));
        json_end(&json);
    }
    json_end(&json);
    json_end(&json);
    answer_json(request, &out);
}
