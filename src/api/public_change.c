#include "api/public_change.h"

#include "api/body.h"
#include "audience/optin.h"
#include "base/utf8.h"

#define CHANGE_OF(ptr, member) ((struct public_change *)(void *)((char *)(ptr)-offsetof(struct public_change, member)))

static bool change_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct public_change *change = CHANGE_OF(job, job);
    arena_reset(&change->work);
    change->news_count = 0;
    return change->run(change, db, why);
}

static void change_done(struct write_job *job, const struct fault *why)
{
    struct public_change *change = CHANGE_OF(job, job);
    const struct api_options *options = &change->api->options;
    if (why)
        change->why = *why;
    else if (change->news_count && options->submitted)
        options->submitted(options->owner, change->news, change->news_count);
    http_resume(&change->later);
}

void public_change_free(struct public_change *change)
{
    arena_release(&change->arena);
    arena_release(&change->work);
    free(change);
}

static void change_resumed(struct http_later *later, struct http_request *request)
{
    struct public_change *change = CHANGE_OF(later, later);
    change->api->writes--;
    if (request && change->why.kind != FAULT_NONE && change->why.kind != FAULT_INPUT)
        public_page(request, 503, PUBLIC_PAGE_LATER);
    else if (request)
        change->answer(change, request);
    public_change_free(change);
}

struct public_change *public_change_make(struct api *api, struct http_request *request, size_t data_size,
                                         bool (*run)(struct public_change *change, struct db *db, struct fault *why),
                                         void (*answer)(struct public_change *change, struct http_request *request))
{
    struct public_change *change = NEW(struct public_change);
    char ip[IP_TEXT_ROOM];
    change->job = (struct write_job){.run = change_run, .done = change_done, .rows = 4, .fails_fast = true};
    change->api = api;
    change->now = api_now(api);
    change->data = arena_zero(&change->arena, data_size);
    change->ip = arena_copy(&change->arena, slice_str(ip_text(&request->peer.ip, ip)));
    change->agent = http_header(request, "User-Agent");
    if (!text_is_storable(change->agent))
        change->agent = SLICE("");
    change->agent = arena_copy(&change->arena, utf8_head(change->agent, OPTIN_AGENT_MAX));
    change->run = run;
    change->answer = answer;
    return change;
}

void public_change_begin(struct public_change *change, struct http_request *request)
{
    change->api->writes++;
    http_suspend(request, &change->later, change_resumed);
    store_write(change->api->options.store, &change->job);
}
