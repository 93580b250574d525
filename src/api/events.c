/* events.c - what happened: page by page, or followed live as server-sent events or JSON lines
 *
 *     opened --room, and counters moved or a second passed--> events written --reader slow--> waits for room --...
 *
 * A follower reads at most FOLLOW_BATCH events in one turn of the loop, so that others get theirs. */
#include "api/event_page.h"

#include "api/follow.h"
#include "api/visitor.h"

enum { FOLLOW_BATCH = 200, FOLLOW_MS = 1000, FOLLOW_SOON_MS = 1, FOLLOWERS_MOST = 200, LINES_MAX = 4 << 20 };

/* ── a page ── */

static void page_take(void *context, const struct event *event)
{
    event_write(context, event);
}

static void lines_take(void *context, const struct event *event)
{
    struct buf *out = context;
    struct json json = {out};
    event_write(&json, event);
    buf_byte(out, '\n');
}

static bool wants_lines(const struct http_request *request)
{
    return slice_find(http_header(request, "Accept"), SLICE("application/x-ndjson")) != SLICE_NPOS;
}

void api_event_list(struct api *api, struct http_request *request)
{
    unsigned limit;
    struct slice cursor;
    struct event_wish wish;
    struct fault why = {0};
    size_t count;
    bool has_more, is_lines = wants_lines(request);
    struct brands brands = caller_brands(api_caller(request));
    if (!page_read(request, &limit, &cursor) || !event_wish_read(api, request, &wish))
        return;
    SCOPED(buf) out = BUF(ANSWER_MAX);
    SCOPED(buf) next = BUF(EVENT_CURSOR_MAX);
    struct json json = {&out};
    if (!is_lines) {
        json_object_begin(&json);
        json_put_array(&json, "items");
    }
    if (!event_page_next(api->db, &wish, &brands, NULL, limit, is_lines ? lines_take : page_take,
                         is_lines ? (void *)&out : &json, &count, &has_more, &why)) {
        answer_fault(request, &why, 400);
        return;
    }
    event_place_print(&wish.place, &next);
    if (is_lines) {
        http_set(request, "X-Next-Cursor", buf_slice(&next));
        http_respond(request, 200, "application/x-ndjson", buf_slice(&out));
        return;
    }
    json_end(&json);
    json_put_string(&json, "next_cursor", buf_slice(&next));
    json_put_bool(&json, "has_more", has_more);
    json_end(&json);
    answer_json(request, &out);
}

/* ── followers ── */

struct follower {
    struct follower *next;
    struct api *api;
    struct http_request *request; /* NULL: gone; freed by the next sweep */
    struct event_wish wish;
    struct key_rights rights; /* whose events */
    struct visitor visitor;
    bool is_lines;
    struct timer timer;
};

static void follower_gone(struct http_request *request)
{
    struct follower *follower = request->user;
    follower->request = NULL;
    timer_set(&follower->timer, 0);
}

static void follower_end(struct follower *follower)
{
    struct api *api = follower->api;
    for (struct follower **at = &api->followers; *at; at = &(*at)->next) {
        if (*at == follower) {
            *at = follower->next;
            break;
        }
    }
    timer_clear(&follower->timer);
    if (follower->request) {
        follower->request->on_gone = NULL;
        follower->request->on_room = NULL;
        http_end(follower->request);
    }
    free(follower);
}

static bool follower_send(struct follower *follower, struct slice lines)
{
    if (follower->is_lines)
        return http_send(follower->request, lines);
    SCOPED(buf) id = BUF(EVENT_CURSOR_MAX);
    struct slice rest = lines, line;
    event_place_print(&follower->wish.place, &id);
    bool is_taken = true;
    while (is_taken && follower->request && slice_line(&rest, &line)) {
        /* the place stands at the last of them: who comes back after an earlier one gets some twice, none never */
        bool is_last = slice_trim(rest).len == 0;
        is_taken = http_event(follower->request, SLICE("event"), is_last ? buf_slice(&id) : SLICE(""), line);
    }
    return is_taken;
}

static void follower_turn(struct timer *timer)
{
    struct follower *follower = timer->owner;
    struct event_wish before = follower->wish;
    const struct brands brands = {follower->rights.brands, follower->rights.brand_count};
    struct fault why = {0};
    SCOPED(buf) lines = BUF(LINES_MAX);
    size_t count = 0;
    bool has_more = false;
    if (!follower->request || !visitor_may_stay(follower->api, &follower->visitor) || follower->api->is_stopping) {
        follower_end(follower);
        return;
    }
    if (event_page_next(follower->api->db, &follower->wish, &brands, NULL, FOLLOW_BATCH, lines_take, &lines, &count,
                        &has_more, &why) &&
        buf_ok(&lines) && count && !follower_send(follower, buf_slice(&lines))) {
        follower->wish = before; /* the reader is slow: the same again when it has taken what it has */
        has_more = false;
    }
    if (why.kind != FAULT_NONE)
        follower->wish = before;
    timer_set(&follower->timer, has_more ? FOLLOW_SOON_MS : FOLLOW_MS);
}

static void follower_room(struct http_request *request)
{
    struct follower *follower = request->user;
    timer_set(&follower->timer, 0);
}

void followers_changed(struct api *api)
{
    for (struct follower *follower = api->followers; follower; follower = follower->next)
        if (follower->timer.due > loop_now(api->loop) + FOLLOW_SOON_MS || !timer_is_set(&follower->timer))
            timer_set(&follower->timer, FOLLOW_SOON_MS);
}

void followers_look(struct api *api)
{
    for (struct follower *follower = api->followers; follower; follower = follower->next)
        timer_set(&follower->timer, 0);
}

void followers_end(struct api *api)
{
    while (api->followers)
        follower_end(api->followers);
}

void api_event_stream(struct api *api, struct http_request *request)
{
    struct event_wish wish;
    size_t open = 0;
    if (!event_wish_read(api, request, &wish))
        return;
    for (struct follower *other = api->followers; other; other = other->next)
        open++;
    if (open >= FOLLOWERS_MOST || api->is_stopping) {
        answer_problem(request, 503, "", "too many programs follow the events; use one stream for all of yours");
        return;
    }
    struct follower *follower = NEW(struct follower);
    *follower = (struct follower){.next = api->followers,
                                  .api = api,
                                  .request = request,
                                  .wish = wish,
                                  .rights = api_caller(request)->key.rights,
                                  .is_lines = wants_lines(request)};
    visitor_of(api, request, &follower->visitor);
    api->followers = follower;
    timer_init(&follower->timer, api->loop, follower_turn, follower);
    request->user = follower;
    request->on_gone = follower_gone;
    if (follower->is_lines) {
        request->on_room = follower_room;
        http_begin(request, 200, "application/x-ndjson");
    } else {
        http_events_begin(request);
    }
    timer_set(&follower->timer, 0);
}
