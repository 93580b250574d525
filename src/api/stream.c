/* stream.c - the live report: server-sent events until the campaign ends
 *
 *     opened --tick: the report differs from what was sent--> "progress" --...--> over and settled --> "end", closed
 *
 * A tick looks after all streams: at most every TICK_LEAST_MS when counters have moved, at least every TICK_MOST_MS as
 * the net. One report is made for each campaign that is looked at, however many look. A reader too slow for an event
 * misses it and gets the next. */
#include "api/campaign_json.h"

#include "api/inside.h"
#include "api/visitor.h"

enum {
    TICK_LEAST_MS = 500,
    TICK_MOST_MS = 1000,
    SETTLE_MS = 5000,   /* over, but its counters still run behind: the last report waits so long at most */
    STREAMS_MOST = 500, /* more are told to come back later */
};

struct stream_page {
    struct stream_page *next;
    struct api *api;
    struct http_request *request; /* NULL: the client has gone; freed at the end of the tick */
    uint64_t campaign_id;
    uint64_t sent; /* hash of the report that was sent last; 0: none */
    time_ms over_since;
    struct visitor visitor;
};

static void streams_sweep(struct api *api)
{
    api->has_gone = false;
    for (struct stream_page **at = &api->streams; *at;) {
        struct stream_page *stream = *at;
        if (stream->request) {
            at = &stream->next;
            continue;
        }
        *at = stream->next;
        free(stream);
    }
}

static void page_gone(struct http_request *request)
{
    struct stream_page *stream = request->user;
    stream->request = NULL;
    stream->api->has_gone = true;
    if (!stream->api->is_ticking)
        streams_sweep(stream->api);
}

static void page_close(struct stream_page *stream)
{
    struct http_request *request = stream->request;
    stream->request = NULL;
    stream->api->has_gone = true;
    request->on_gone = NULL;
    http_end(request);
}

/* ── one campaign's report for all who look at it ── */

struct seen {
    uint64_t campaign_id;
    bool is_there, is_over, is_settled;
    struct buf report;
    uint64_t hash;
};

static bool is_settled(const struct report_totals *totals)
{
    int64_t owed = 0;
    for (unsigned state = 0; state < DELIVERY_STATE_COUNT; state++)
        if (delivery_is_owed((enum delivery_state)state))
            owed += totals->states[state];
    return owed == 0;
}

static bool seen_make(struct api *api, uint64_t campaign_id, struct arena *arena, struct seen *seen)
{
    struct campaign campaign;
    struct counted counted;
    struct fault why = {0};
    buf_reset(&seen->report);
    seen->campaign_id = campaign_id;
    seen->is_there = campaign_by_id(api->db, &why, campaign_id, arena, &campaign);
    if (!seen->is_there)
        return why.kind == FAULT_NONE;
    struct json json = {&seen->report};
    if (!report_write(api, &json, &campaign, arena, &counted, &why) || !buf_ok(&seen->report))
        return false; /* the store is away: the next tick tries again */
    seen->is_over = campaign_is_over(&campaign);
    seen->is_settled = is_settled(&counted.totals);
    seen->hash = hash_bytes(buf_slice(&seen->report), 0) | 1;
    return true;
}

static void page_serve(struct stream_page *stream, const struct seen *seen, time_ms now)
{
    struct api *api = stream->api;
    if (!seen->is_there || !visitor_may_stay(api, &stream->visitor)) {
        page_close(stream);
        return;
    }
    if (stream->sent != seen->hash &&
        http_event(stream->request, SLICE("progress"), SLICE(""), buf_slice(&seen->report)))
        stream->sent = seen->hash;
    if (!stream->request || !seen->is_over)
        return;
    if (!stream->over_since)
        stream->over_since = now;
    if (stream->sent != seen->hash || (!seen->is_settled && now - stream->over_since < SETTLE_MS))
        return;
    bool is_told = http_event(stream->request, SLICE("end"), SLICE(""), SLICE("{}"));
    if (is_told && stream->request)
        page_close(stream);
}

void streams_tick(struct timer *timer)
{
    struct api *api = timer->owner;
    time_ms now = world_monotonic(api->options.world);
    struct seen seen = {.report = BUF(ANSWER_MAX)};
    api->ticked_at = now;
    api->is_ticking = true;
    for (struct stream_page *stream = api->streams; stream; stream = stream->next)
        if (stream->request && !visitor_may_stay(api, &stream->visitor))
            page_close(stream); /* also when the store is away and there is no report to be made */
    for (struct stream_page *first = api->streams; first; first = first->next) {
        bool is_done = !first->request;
        for (struct stream_page *before = api->streams; before != first && !is_done; before = before->next)
            is_done = before->campaign_id == first->campaign_id;
        if (is_done)
            continue;
        SCOPED(arena) arena = {0};
        if (!seen_make(api, first->campaign_id, &arena, &seen))
            continue;
        for (struct stream_page *stream = first; stream; stream = stream->next)
            if (stream->campaign_id == first->campaign_id && stream->request)
                page_serve(stream, &seen, now);
    }
    buf_release(&seen.report);
    api->is_ticking = false;
    if (api->has_gone)
        streams_sweep(api);
    if (api->streams)
        timer_set(&api->tick, TICK_MOST_MS);
}

void streams_changed(struct api *api)
{
    time_ms passed = world_monotonic(api->options.world) - api->ticked_at;
    time_ms in_ms = passed >= TICK_LEAST_MS ? 0 : TICK_LEAST_MS - passed;
    if (api->streams && (!timer_is_set(&api->tick) || api->tick.due > loop_now(api->loop) + in_ms))
        timer_set(&api->tick, in_ms);
}

void streams_look(struct api *api)
{
    if (api->streams)
        timer_set(&api->tick, 0);
}

void streams_end(struct api *api)
{
    timer_clear(&api->tick);
    for (struct stream_page *stream = api->streams; stream; stream = stream->next)
        if (stream->request)
            page_close(stream);
    streams_sweep(api);
}

void api_campaign_stream(struct api *api, struct http_request *request)
{
    struct campaign campaign;
    if (!campaign_of_request(api, request, &campaign))
        return;
    size_t open = 0;
    for (struct stream_page *stream = api->streams; stream; stream = stream->next)
        open++;
    if (open >= STREAMS_MOST || api->is_stopping) {
        answer_problem(request, 503, "", "too many live pages are open; close some, or ask for the report instead");
        return;
    }
    SCOPED(arena) arena = {0};
    struct seen seen = {.report = BUF(ANSWER_MAX)};
    if (!seen_make(api, campaign.id, &arena, &seen) || !seen.is_there) {
        buf_release(&seen.report);
        answer_problem(request, 503, "", "the report cannot be read just now; try again shortly");
        return;
    }
    struct stream_page *stream = NEW(struct stream_page);
    *stream = (struct stream_page){.next = api->streams, .api = api, .request = request, .campaign_id = campaign.id};
    visitor_of(api, request, &stream->visitor);
    time_ms now = world_monotonic(api->options.world);
    api->streams = stream;
    request->user = stream;
    request->on_gone = page_gone;
    if (seen.is_over)
        stream->over_since = now - (seen.is_settled ? SETTLE_MS : 0);
    api->is_ticking = true; /* nobody may free the stream while we speak */
    http_events_begin(request);
    if (stream->request)
        page_serve(stream, &seen, now);
    api->is_ticking = false;
    buf_release(&seen.report);
    if (api->has_gone)
        streams_sweep(api);
    if (api->streams && !timer_is_set(&api->tick))
        timer_set(&api->tick, TICK_MOST_MS);
}
