/* clicks.c - the counted links and the pixel of a mail: /c/{token} and /o/{token} (S85, X6)
 *
 * A click leads where the mail said and nowhere else: the token names the delivery and the number of the link, the
 * content version that the delivery was made from says the address. The answer waits for its event's commit, so no
 * click that was answered is lost. HEAD counts nothing. Nothing but counts is changed by any of them.
 *
 * What comes in one turn of the loop is one batch:
 *
 *   follow_begin: token good --> batch_turn, at the turn's end: what is not kept is read, in one go
 *     something to count  --> one write job --commit--> every request resumed: answered
 *     nothing to count    -->                           every request resumed: answered */
#include "api/clicks.h"
#include "api/agent.h"
#include "api/public_page.h"
#include "mailauth/token.h"

enum { AGENT_KEPT = 300 };

enum follow_end {
    FOLLOW_LED,   /* to where the link leads, or the pixel */
    FOLLOW_LOST,  /* there is no such link */
    FOLLOW_LATER, /* the store does not answer */
};

struct follow {
    struct http_later later;
    struct follow *next; /* of its batch */
    struct click_batch *batch;
    uint64_t delivery_id;
    unsigned number; /* of the link */
    enum event_kind kind;
    enum event_origin origin;
    bool is_counted;
    enum follow_end end;
    struct slice agent, target;
};
#define FOLLOW_OF(ptr, member) ((struct follow *)(void *)((char *)(ptr)-offsetof(struct follow, member)))

struct click_batch {
    struct write_job job;
    struct api *api;
    struct arena arena; /* everything of it */
    struct follow *first, **last;
    size_t count, unanswered;
    struct event *events;
    size_t event_count;
    bool has_failed;
};
#define BATCH_OF(ptr) ((struct click_batch *)(void *)((char *)(ptr)-offsetof(struct click_batch, job)))

/* ── answers ── */

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

static void answer(const struct follow *follow, struct http_request *request)
{
    enum follow_end end = follow->is_counted && follow->batch->has_failed ? FOLLOW_LATER : follow->end;
    switch (end) {
    case FOLLOW_LED:
        if (follow->kind == EVENT_CLICKED)
            answer_redirect(request, follow->target);
        else
            answer_pixel(request);
        return;
    case FOLLOW_LOST: public_page(request, 404, PUBLIC_PAGE_LOST); return;
    case FOLLOW_LATER: public_page(request, 503, PUBLIC_PAGE_LATER); return;
    }
}

static void follow_resumed(struct http_later *later, struct http_request *request)
{
    const struct follow *follow = FOLLOW_OF(later, later);
    struct click_batch *batch = follow->batch;
    batch->api->writes--;
    if (request)
        answer(follow, request);
    if (--batch->unanswered == 0) {
        arena_release(&batch->arena);
        free(batch);
    }
}

static void batch_resume(struct click_batch *batch)
{
    struct follow *follow = batch->first;
    while (follow) { /* the last of them may take the batch with it */
        struct follow *next = follow->next;
        http_resume(&follow->later);
        follow = next;
    }
}

/* ── counting ── */

static bool batch_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct click_batch *batch = BATCH_OF(job);
    return event_append(db, why, batch->events, batch->event_count);
}

static void batch_done(struct write_job *job, const struct fault *why)
{
    struct click_batch *batch = BATCH_OF(job);
    batch->has_failed = why != NULL;
    batch_resume(batch);
}

static void count(struct click_batch *batch, const struct follow *follow, const struct clicked_delivery *delivery,
                  time_ms now)
{
    struct slice address = arena_copy(&batch->arena, delivery->address);
    batch->events[batch->event_count++] = (struct event){
        .bucket = id_bucket(follow->delivery_id),
        .at = now,
        .kind = follow->kind,
        .origin = follow->origin,
        .delivery_id = follow->delivery_id,
        .campaign_id = delivery->campaign_id,
        .contact_id = delivery->contact_id,
        .brand_id = delivery->brand_id,
        .address = address,
        .domain = slice_from(address, (size_t)(slice_find_last_byte(address, '@') + 1)),
        .state_before = delivery->state,
        .state_after = delivery->state,
        .code = (int)follow->number,
        .remote_mta = follow->agent,
        .note = follow->target,
    };
}

/* Where it leads; counted when it should be. */
static void settle(struct api *api, struct click_batch *batch, struct follow *follow, time_ms now)
{
    struct fault why = {0};
    const struct clicked_delivery *delivery = clicked_delivery(&api->clicked, follow->delivery_id, now);
    const struct clicked_content *content =
        delivery ? clicked_content(&api->clicked, api->db, delivery->version_id, &why) : NULL;
    if (!content && why.kind != FAULT_NONE && why.kind != FAULT_INPUT)
        follow->end = FOLLOW_LATER;
    else if (!content || (follow->kind == EVENT_CLICKED && follow->number >= content->count))
        follow->end = FOLLOW_LOST;
    if (follow->end != FOLLOW_LED) {
        follow->is_counted = false;
        return;
    }
    if (follow->kind == EVENT_CLICKED)
        follow->target = arena_copy(&batch->arena, content->targets[follow->number]);
    else
        follow->number = 0;
    if (follow->is_counted)
        count(batch, follow, delivery, now);
}

/* Read what is asked for and not kept. False: the store does not answer. */
static bool read_deliveries(struct api *api, struct click_batch *batch, time_ms now)
{
    struct fault why;
    size_t missing = 0;
    uint64_t *ids = ARENA_ARRAY(&batch->arena, uint64_t, batch->count);
    clicked_make_room(&api->clicked, batch->count);
    for (const struct follow *follow = batch->first; follow; follow = follow->next)
        if (!clicked_delivery(&api->clicked, follow->delivery_id, now))
            ids[missing++] = follow->delivery_id;
    return clicked_read(&api->clicked, api->db, ids, missing, now, &why);
}

static void batch_turn(struct deferred *turn)
{
    struct api *api = turn->owner;
    struct click_batch *batch = api->clicks;
    time_ms now = api_now(api);
    api->clicks = NULL;
    batch->unanswered = batch->count;
    batch->events = ARENA_ARRAY(&batch->arena, struct event, batch->count);
    bool is_read = read_deliveries(api, batch, now);
    for (struct follow *follow = batch->first; follow; follow = follow->next) {
        if (is_read) {
            settle(api, batch, follow, now);
            continue;
        }
        follow->is_counted = false;
        follow->end = FOLLOW_LATER;
    }
    if (!batch->event_count) {
        batch_resume(batch);
        return;
    }
    batch->job.run = batch_run;
    batch->job.done = batch_done;
    batch->job.fails_fast = true;
    batch->job.rows = (unsigned)batch->event_count;
    store_write(api->options.store, &batch->job);
}

/* ── coming ── */

static struct click_batch *batch_of_turn(struct api *api)
{
    if (api->clicks)
        return api->clicks;
    struct click_batch *batch = api->clicks = NEW(struct click_batch);
    batch->api = api;
    batch->last = &batch->first;
    deferred_ask(&api->clicks_turn);
    return batch;
}

static void follow_begin(struct api *api, struct http_request *request, enum event_kind kind)
{
    struct token link = {0};
    enum token_result token = token_check(api->options.ring, kind == EVENT_CLICKED ? TOKEN_CLICK : TOKEN_OPEN,
                                          http_param(request, "token"), api_now(api), &link);
    if (token != TOKEN_GOOD && token != TOKEN_EXPIRED) {
        public_page(request, 404, PUBLIC_PAGE_LOST);
        return;
    }
    struct click_batch *batch = batch_of_turn(api);
    struct follow *follow = ARENA_NEW(&batch->arena, struct follow);
    follow->batch = batch;
    follow->delivery_id = link.id;
    follow->number = (unsigned)link.number;
    follow->kind = kind;
    follow->is_counted = token == TOKEN_GOOD && slice_equal(request->head.method, SLICE("GET"));
    if (follow->is_counted) { /* an old link still leads there, uncounted */
        follow->origin = agent_of(api->options.robots, request);
        follow->agent = arena_copy(&batch->arena, slice_head(http_header(request, "User-Agent"), AGENT_KEPT));
    }
    *batch->last = follow;
    batch->last = &follow->next;
    batch->count++;
    api->writes++;
    http_suspend(request, &follow->later, follow_resumed);
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
    deferred_init(&api->clicks_turn, api->loop, batch_turn, api);
    http_router_add(api->router, &(struct http_route){"GET", "/c/{token}", follow_click, api, 0});
    http_router_add(api->router, &(struct http_route){"GET", "/o/{token}", follow_open, api, 0});
}
