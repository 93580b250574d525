/* api.c - the thread, its server, and its end
 *
 *     api_start: loop, database, listening socket; then the thread runs
 *     api_stop --"stop" by mailbox--> streams ended, server drained --nothing under way, or STOP_TURNS--> loop stopped,
 *     joined; what waits for a commit is always waited for, since the writer still holds it. */
#include "api/aside.h"
#include "api/clicks.h"
#include "api/follow.h"
#include "api/import_thread.h"
#include "api/inside.h"

#include "base/log.h"

enum { SMALL_BODY = 4096 /* bytes: read before anybody asks whose it is */, STOP_TURN_MS = 20, STOP_TURNS = 100 };
/* Larger bodies never stand in memory (http/server.h). */
#define SPOOL_ABOVE ((uint64_t)32 << 20)

struct api_route {
    struct api *api;
    api_handler *handler;
    unsigned needs;
    bool is_aside;
};

static void route_call(struct http_request *request, void *user)
{
    struct api_route *route = user;
    if (!(request->is_admitted ? api_admits_again(route->api, request) : api_admits(route->api, request, route->needs)))
        return;
    if (route->is_aside && request->body_len == 0)
        aside_handle(route->api->aside, request, route->handler);
    else
        route->handler(route->api, request);
}

static bool route_admits(struct http_request *request, void *user)
{
    struct api_route *route = user;
    return api_admits_early(route->api, request, route->needs);
}

static void routes_add(struct api *api)
{
    static const struct {
        const char *method, *pattern;
        api_handler *handler;
        unsigned needs;
        uint64_t body_limit;
    } table[] = {
#define ROUTE(method, path, handler, who, body_limit) {method, "/api/v1" path, api_##handler, NEEDS_##who, body_limit},
#include "api/routes.def"
#undef ROUTE
    };
    api->routes = NEW_ARRAY(struct api_route, COUNT_OF(table));
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        api->routes[i] = (struct api_route){api, table[i].handler, table[i].needs, may_read_aside(table[i].handler)};
        bool is_file = table[i].handler == api_file_add; /* how large it may be is a setting */
        bool is_large = table[i].body_limit > SMALL_BODY && table[i].needs != NEEDS_ANYBODY;
        http_router_add(api->router,
                        &(struct http_route){.method = table[i].method,
                                             .pattern = table[i].pattern,
                                             .handler = route_call,
                                             .user = &api->routes[i],
                                             .body_limit = is_file ? api->options.file_size_max : table[i].body_limit,
                                             .spools = table[i].body_limit > SPOOL_ABOVE,
                                             .admits = is_large ? route_admits : NULL});
    }
    public_routes(api);
    status_routes(api);
    metrics_routes(api);
    contract_routes(api);
    console_routes(api);
}

/* ── the end ── */

static void stop_turn(struct timer *timer)
{
    struct api *api = timer->owner;
    bool is_patient = api->stop_turns++ < STOP_TURNS;
    if (api->writes || (is_patient && http_server_connections(api->server)))
        timer_set(&api->stop_timer, STOP_TURN_MS);
    else
        loop_stop(api->loop);
}

static void stop_begin(struct api *api)
{
    api->is_stopping = true;
    atomic_store(&api->is_ending, true);
    streams_end(api);
    followers_end(api);
    http_server_drain(api->server);
    timer_set(&api->stop_timer, 0);
}

static void received(struct mailbox *mailbox, struct mail_item *batch)
{
    struct api *api = mailbox->owner;
    for (struct mail_item *item = batch, *next; item; item = next) {
        next = item->next;
        if (item == &api->stop) {
            stop_begin(api);
        } else {
            atomic_store(&api->is_changed, false);
            streams_changed(api);
            followers_changed(api);
        }
    }
}

static void *run(void *context)
{
    struct api *api = context;
    loop_run(api->loop);
    return NULL;
}

/* ── for others ── */

/* What needs the store or the options; the loop and its mailbox stay for those who still call api_changed. */
static void close_all(struct api *api)
{
    if (api->loop) {
        timer_clear(&api->tick);
        timer_clear(&api->stop_timer);
    }
    if (api->server)
        http_server_free(api->server);
    api->server = NULL;
    null_mx_free(api->null_mx);
    api->null_mx = NULL;
    aside_stop(api->aside);
    api->aside = NULL;
    db_free(api->db);
    api->db = NULL;
    callers_release(&api->callers);
    senders_release(&api->senders);
    clicked_release(&api->clicked);
    rules_scratch_free(api->scratch);
    api->scratch = NULL;
}

void api_free(struct api *api)
{
    if (!api)
        return;
    if (api->loop) {
        mailbox_release(&api->mailbox);
        mailbox_release(&api->import_news);
        loop_free(api->loop);
    }
    if (api->router)
        http_router_free(api->router);
    free(api->routes);
    free(api);
}

static bool prepare(struct api *api, struct fault *why)
{
    const struct api_options *options = &api->options;
    api->db = store_reader_open(options->store, why);
    if (!api->db)
        return false;
    api->aside = aside_start(api, why);
    if (!api->aside)
        return false;
    api->scratch = rules_scratch_new(options->rules);
    api->loop = loop_new(options->world);
    mailbox_init(&api->import_news, api->loop, import_news_came, api);
    mailbox_init(&api->mailbox, api->loop, received, api);
    if (!options->takes_null_mx)
        api->null_mx = null_mx_new(api->loop);
    timer_init(&api->tick, api->loop, streams_tick, api);
    timer_init(&api->stop_timer, api->loop, stop_turn, api);
    api->router = http_router_new();
    routes_add(api);
    const struct http_options http = {.at = options->listen,
                                      .tls = options->tls,
                                      .proxies = options->proxies,
                                      .has_proxy_head = options->has_proxy_head,
                                      .cure_setting = options->cure_setting,
                                      .server_name = "todoke"};
    api->server = http_server_new(api->loop, &http, api->router, why);
    if (!api->server)
        return false;
    api->at = http_server_endpoint(api->server);
    return true;
}

struct api *api_start(const struct api_options *options, struct fault *why)
{
    struct api *api = NEW(struct api);
    api->options = *options;
    atomic_init(&api->is_changed, false);
    if (!prepare(api, why)) {
        close_all(api);
        api_free(api);
        return NULL;
    }
    if (pthread_create(&api->thread, NULL, run, api) != 0) {
        close_all(api);
        api_free(api);
        fault_set(why, FAULT_WORLD, "no thread for the HTTP server");
        return NULL;
    }
    char at[ENDPOINT_TEXT_ROOM];
    log_info("api", "listening at=%s", endpoint_text(&api->at, at));
    return api;
}

void api_stop(struct api *api)
{
    if (!api || api->is_stopping)
        return;
    mailbox_post(&api->mailbox, &api->stop);
    pthread_join(api->thread, NULL);
    atomic_store(&api->is_changed, true);
    close_all(api);
}

struct endpoint api_endpoint(const struct api *api)
{
    return api->at;
}

void api_changed(struct api *api)
{
    if (!atomic_exchange(&api->is_changed, true))
        mailbox_post(&api->mailbox, &api->changed);
}
