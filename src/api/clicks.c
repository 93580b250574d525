/* clicks.c - the counted links and the pixel of a mail: /c/{token} and /o/{token} (S85, X6)
 *
 * A click leads where the mail said and nowhere else: the token names the delivery and the number of the link, the
 * content version that the delivery was made from says the address. The answer waits for its event's commit, so no
 * click that was answered is lost. HEAD counts nothing. Nothing but counts is changed by any of them. */
#include "api/clicks.h"
#include "api/agent.h"
#include "api/public_page.h"
#include "campaign/brand.h"
#include "content/links.h"
#include "mailauth/token.h"

enum { CONTENTS_KEPT = 256, AGENT_KEPT = 300 };

struct clicked_content {
    struct arena arena;
    struct slice *targets;
    size_t count;
};

void clicks_release(struct api *api)
{
    size_t at = 0;
    for (struct id_map_entry *entry; (entry = id_map_walk(&api->clicked, &at));) {
        struct clicked_content *content = entry->value;
        arena_release(&content->arena);
        free(content);
    }
    id_map_release(&api->clicked);
}

/* The link targets of a content version; NULL: why, or there is no such version (kind NONE). */
static struct clicked_content *targets_of(struct api *api, uint64_t version_id, struct fault *why)
{
    struct clicked_content *content = id_map_get(&api->clicked, version_id);
    if (content || !version_id)
        return content;
    SCOPED(arena) arena = {0};
    struct content_version version;
    if (!content_version_find(api->db, why, version_id, &arena, &version))
        return NULL;
    if (api->clicked.count >= CONTENTS_KEPT)
        clicks_release(api);
    content = NEW(struct clicked_content);
    if (version.counts_clicks)
        content->targets = links_targets(version.html, &content->arena, &content->count);
    id_map_set(&api->clicked, version_id, content);
    return content;
}

struct follow {
    struct http_later later;
    struct follow *next; /* of its batch */
    struct click_batch *batch;
    struct api *api;
    struct event event;
    struct arena arena;
};
#define FOLLOW_OF(ptr, member) ((struct follow *)(void *)((char *)(ptr)-offsetof(struct follow, member)))

/* What came while the batch before it was being committed: one job, one append for all of them. */
struct click_batch {
    struct write_job job;
    struct follow *first, **last;
    size_t count, unanswered;
    bool has_failed;
};
#define BATCH_OF(ptr) ((struct click_batch *)(void *)((char *)(ptr)-offsetof(struct click_batch, job)))

static void answer_pixel(struct http_request *request)
{
    static const char gif[] = "GIF89a\1\0\1\0\x80\0\0\0\0\0\0\0\0!\xf9\4\1\0\0\0\0,\0\0\0\0\1\0\1\0\0\2\2D\1\0;";
    http_set(request, "Cache-Control", SLICE("no-store, private"));
    http_respond(request, 200, "image/gif", slice_of(gif, sizeof(gif) - 1));
}

static void answer_redirect(struct http_request *request, struct slice target)
{
    http_set(request, "Location", target);
    http_set(request, "Cache-Control", SLICE("no-store, private"));
    http_set(request, "Referrer-Policy", SLICE("no-referrer"));
    http_respond(request, 302, "text/plain", SLICE(""));
}

static void answer_followed(struct http_request *request, const struct event *event)
{
    if (event->kind == EVENT_CLICKED)
        answer_redirect(request, event->note);
    else
        answer_pixel(request);
}

static bool batch_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct click_batch *batch = BATCH_OF(job);
    struct event *events = NEW_ARRAY(struct event, batch->count);
    size_t count = 0;
    for (const struct follow *follow = batch->first; follow; follow = follow->next)
        events[count++] = follow->event;
    bool ok = event_append(db, why, events, count);
    free(events);
    return ok;
}

static void batch_done(struct write_job *job, const struct fault *why)
{
    struct click_batch *batch = BATCH_OF(job);
    batch->has_failed = why != NULL;
    struct follow *follow = batch->first;
    while (follow) { /* the last of them may take the batch with it */
        struct follow *next = follow->next;
        http_resume(&follow->later);
        follow = next;
    }
}

/* Hand over what waits, unless a batch is with the writer. */
static void batch_begin(struct api *api)
{
    struct click_batch *batch = api->clicks_waiting;
    if (!batch || api->clicks_written)
        return;
    api->clicks_waiting = NULL;
    api->clicks_written = batch;
    batch->unanswered = batch->count;
    batch->job.run = batch_run;
    batch->job.done = batch_done;
    batch->job.fails_fast = true;
    store_write(api->options.store, &batch->job);
}

static void follow_resumed(struct http_later *later, struct http_request *request)
{
    struct follow *follow = FOLLOW_OF(later, later);
    struct click_batch *batch = follow->batch;
    struct api *api = follow->api;
    api->writes--;
    if (request && batch->has_failed)
        public_page(request, 503, PUBLIC_PAGE_LATER);
    else if (request)
        answer_followed(request, &follow->event);
    arena_release(&follow->arena);
    free(follow);
    if (--batch->unanswered == 0) {
        if (api->clicks_written == batch)
            api->clicks_written = NULL;
        free(batch);
        batch_begin(api);
    }
}

static void follow_wait(struct api *api, struct follow *follow)
{
    struct click_batch *batch = api->clicks_waiting;
    if (!batch) {
        batch = api->clicks_waiting = NEW(struct click_batch);
        batch->last = &batch->first;
    }
    follow->batch = batch;
    *batch->last = follow;
    batch->last = &follow->next;
    batch->count++;
    batch_begin(api);
}

/* The delivery as an event needs it. *version_id 0: there is no such delivery. */
static bool read_delivery(struct api *api, uint64_t id, struct arena *arena, struct event *event, uint64_t *version_id,
                          struct fault *why)
{
    SCOPED(rows) rows = {0};
    *version_id = 0;
    if (!db_query(
            api->db, why, &rows,
            "SELECT campaign_id, contact_id, brand_id, address, state, version_id FROM delivery WHERE bucket = $1 "
            "AND id = $2",
            VALUES(V_INT(id_bucket(id)), V_INT((int64_t)id))))
        return false;
    if (rows_next(&rows)) {
        event->campaign_id = (uint64_t)rows_int(&rows, 0);
        event->contact_id = (uint64_t)rows_int(&rows, 1);
        event->brand_id = (uint64_t)rows_int(&rows, 2);
        event->address = arena_copy(arena, rows_text(&rows, 3));
        event->domain = slice_from(event->address, (size_t)(slice_find_last_byte(event->address, '@') + 1));
        event->state_before = event->state_after = (enum delivery_state)rows_int(&rows, 4);
        *version_id = (uint64_t)rows_int(&rows, 5);
    }
    return rows_end(&rows);
}

static void follow_begin(struct api *api, struct http_request *request, enum event_kind kind)
{
    uint64_t version_id = 0;
    struct token link = {0};
    struct fault why = {0};
    enum token_result token = token_check(api->options.ring, kind == EVENT_CLICKED ? TOKEN_CLICK : TOKEN_OPEN,
                                          http_param(request, "token"), api_now(api), &link);
    uint64_t id = link.id;
    unsigned number = link.number;
    if (token != TOKEN_GOOD && token != TOKEN_EXPIRED) {
        public_page(request, 404, PUBLIC_PAGE_LOST);
        return;
    }
    struct follow *follow = NEW(struct follow);
    struct event *event = &follow->event;
    *event = (struct event){.bucket = id_bucket(id), .delivery_id = id, .kind = kind, .at = api_now(api)};
    bool ok = read_delivery(api, id, &follow->arena, event, &version_id, &why);
    const struct clicked_content *content = ok ? targets_of(api, version_id, &why) : NULL;
    bool is_there = content && (kind == EVENT_OPENED || number < content->count);
    if (is_there && kind == EVENT_CLICKED) {
        event->code = (int)number;
        event->note = arena_copy(&follow->arena, content->targets[number]);
    }
    bool is_counted = is_there && token == TOKEN_GOOD && slice_equal(request->head.method, SLICE("GET"));
    if (is_counted) {
        event->origin = agent_of(request);
        event->remote_mta = arena_copy(&follow->arena, slice_head(http_header(request, "User-Agent"), AGENT_KEPT));
        follow->api = api;
        api->writes++;
        http_suspend(request, &follow->later, follow_resumed);
        follow_wait(api, follow);
        return;
    }
    if (is_there) /* an old link still leads there, uncounted */
        answer_followed(request, event);
    else if (!content && why.kind != FAULT_NONE && why.kind != FAULT_INPUT)
        public_page(request, 503, PUBLIC_PAGE_LATER);
    else
        public_page(request, 404, PUBLIC_PAGE_LOST);
    arena_release(&follow->arena);
    free(follow);
}

static void follow_click(struct http_request *request, void *user)
{
    struct api *api = user;
    follow_begin(api, request, EVENT_CLICKED);
}

static void follow_open(struct http_request *request, void *user)
{
    struct api *api = user;
    follow_begin(api, request, EVENT_OPENED);
}

void clicks_routes(struct api *api)
{
    http_router_add(api->router, &(struct http_route){"GET", "/c/{token}", follow_click, api, 0});
    http_router_add(api->router, &(struct http_route){"GET", "/o/{token}", follow_open, api, 0});
}
