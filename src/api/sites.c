/* sites.c - what goes on at the receivers now: asked of all nodes, answered when they have told
 *
 *     a request --a wish, by the writer--> looked at every LOOK_MS --all nodes have told, or ANSWER_MS--> told by the
 * reading thread
 *
 * What one receiver is must not be denied because a node is slow: there all that live are waited for (ONE_MS is longer
 * than the lease of one beside others).
 *
 * A request that waits holds no thread. deliver/board.h is where the nodes tell. */
#include "api/sites.h"
#include "api/aside.h"
#include "api/body.h"
#include "deliver/board.h"
#include "mail/address.h"
#include "report/site_story.h"

enum { LOOK_MS = 40, ANSWER_MS = 3000, ONE_MS = 10000 };

struct site_ask {
    struct write_job job;
    struct http_later later;
    struct timer again;
    struct api *api;
    struct caller caller; /* as it was when it was admitted */
    api_handler *tell;
    struct arena arena;
    struct slice names; /* with spaces between; "" : all that are busy */
    int64_t wish;
    time_ms begun; /* monotonic */
    struct fault why;
};
#define ASK_OF(ptr, member) ((struct site_ask *)(void *)((char *)(ptr)-offsetof(struct site_ask, member)))

static void ask_free(struct site_ask *ask)
{
    timer_clear(&ask->again);
    arena_release(&ask->arena);
    free(ask);
}

/* ── waiting ── */

/* A domain that nobody has written to yet: DNS is being asked. */
static bool is_awaited(const struct board *board, struct slice name)
{
    for (size_t i = 0; i < board->route_count; i++)
        if (slice_equal(board->routes[i].domain, name))
            return slice_equal(board->routes[i].status, SLICE("asked"));
    for (size_t i = 0; i < board->route_count; i++)
        if (slice_equal(board->routes[i].site, name))
            return false;
    return slice_find_byte(name, '.') != SLICE_NPOS;
}

static bool is_answered(struct site_ask *ask, bool *answered)
{
    struct arena arena = {0};
    struct board board;
    bool ok = board_read(ask->api->db, &ask->why, api_now(ask->api), &arena, &board);
    struct slice rest = ask->names, name;
    *answered = ok && (!board.node_count || board_is_answered(&board, ask->wish));
    bool asks_dns = loop_now(ask->api->loop) < ask->begun + ANSWER_MS;
    while (ok && board.node_count && *answered && asks_dns && slice_split(&rest, ' ', &name))
        *answered = !is_awaited(&board, name);
    arena_release(&arena);
    return ok;
}

static void ask_resumed(struct http_later *later, struct http_request *request);
static void site_tell(struct api *api, struct http_request *request);

static void look_again(struct timer *timer)
{
    http_resume(&((struct site_ask *)timer->owner)->later);
}

static void ask_resumed(struct http_later *later, struct http_request *request)
{
    struct site_ask *ask = ASK_OF(later, later);
    struct api *api = ask->api;
    bool answered = false;
    api->writes--;
    if (!request) { /* the client has gone */
        ask_free(ask);
        return;
    }
    if (ask->why.kind != FAULT_NONE || !is_answered(ask, &answered)) {
        answer_fault(request, &ask->why, 400);
        ask_free(ask);
        return;
    }
    time_ms until = ask->begun + (ask->tell == site_tell ? ONE_MS : ANSWER_MS);
    if (!answered && loop_now(api->loop) < until && !api->is_stopping) {
        if (api->options.board_asked)
            api->options.board_asked(api->options.owner);
        api->writes++;
        http_suspend(request, &ask->later, ask_resumed);
        timer_set(&ask->again, LOOK_MS);
        return;
    }
    request->user = &ask->caller;
    aside_handle(api->aside, request, ask->tell);
    ask_free(ask);
}

static bool ask_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct site_ask *ask = ASK_OF(job, job);
    struct slice rest = ask->names, name;
    if (!rest.len)
        return board_ask(db, why, rest, api_now(ask->api), &ask->wish);
    while (slice_split(&rest, ' ', &name))
        if (!board_ask(db, why, name, api_now(ask->api), &ask->wish))
            return false;
    return true;
}

static void ask_done(struct write_job *job, const struct fault *why)
{
    struct site_ask *ask = ASK_OF(job, job);
    if (why)
        ask->why = *why;
    else if (ask->api->options.board_asked)
        ask->api->options.board_asked(ask->api->options.owner);
    http_resume(&ask->later);
}

void site_ask_begin(struct api *api, struct http_request *request, struct slice names, api_handler *tell)
{
    struct site_ask *ask = NEW(struct site_ask);
    ask->job = (struct write_job){.run = ask_run, .done = ask_done, .rows = 12, .fails_fast = true};
    ask->api = api;
    ask->caller = *api_caller(request);
    ask->tell = tell;
    ask->names = arena_copy(&ask->arena, names);
    ask->begun = loop_now(api->loop);
    timer_init(&ask->again, api->loop, look_again, ask);
    api->writes++;
    http_suspend(request, &ask->later, ask_resumed);
    store_write(api->options.store, &ask->job);
}

/* ── telling, on the reading thread ── */

static void sites_tell(struct api *api, struct http_request *request)
{
    struct fault why = {0};
    struct board board;
    SCOPED(buf) out = BUF(ANSWER_MAX);
    struct json json = {&out};
    if (!board_read(api->db, &why, api_now(api), &request->arena, &board)) {
        answer_fault(request, &why, 400);
        return;
    }
    json_object_begin(&json);
    sites_json(&json, &board, api_now(api), &request->arena);
    json_end(&json);
    answer_json(request, &out);
}

/* The path's name as the board has it. False: it can be none. */
static bool site_name(struct http_request *request, struct slice *name)
{
    struct fault ignored;
    struct slice given = http_param(request, "site");
    return domain_normalise(given, &request->arena, name, &ignored) && name->len <= BOARD_NAME_MAX;
}

static void site_tell(struct api *api, struct http_request *request)
{
    struct fault why = {0};
    struct board board;
    struct site_story story;
    struct slice name;
    SCOPED(buf) out = BUF(ANSWER_MAX);
    struct json json = {&out};
    if (!site_name(request, &name)) {
        answer_no_such(request, "site");
    } else if (!board_read(api->db, &why, api_now(api), &request->arena, &board) ||
               !site_story_read(api->db, &why, name, &board, api_now(api), &request->arena, &story)) {
        answer_fault(request, &why, 400);
    } else if (!story.domain_count && !story.way_count) {
        answer_no_such(request, "site");
    } else {
        site_story_json(&json, &story, &request->arena);
        answer_json(request, &out);
    }
}

/* ── the routes ── */

void api_site_list(struct api *api, struct http_request *request)
{
    if (api_sees_all(request))
        site_ask_begin(api, request, SLICE(""), sites_tell);
}

void api_site_show(struct api *api, struct http_request *request)
{
    struct slice name;
    if (!api_sees_all(request))
        return;
    if (site_name(request, &name))
        site_ask_begin(api, request, name, site_tell);
    else
        answer_no_such(request, "site");
}
