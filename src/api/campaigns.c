/* campaigns.c - campaigns: listed, shown, started, paused, resumed, reported */
#include "api/campaign_json.h"

#include "api/change.h"
#include "campaign/queue_order.h"

/* ── reading ── */

static bool list_read(struct api *api, const struct brands *brands, uint64_t before, unsigned limit,
                      struct arena *arena, struct campaign *campaigns, size_t *count, bool *has_more, struct fault *why)
{
    *count = 0;
    *has_more = true;
    while (*has_more && *count < limit) {
        struct campaign_page page;
        if (!campaign_list_of(api->db, why, brands, before, limit - *count, arena, &page))
            return false;
        for (size_t i = 0; i < page.count; i++)
            campaigns[(*count)++] = page.campaigns[i];
        *has_more = page.has_more && page.count;
        if (*count)
            before = campaigns[*count - 1].id;
    }
    return true;
}

void api_campaign_list(struct api *api, struct http_request *request)
{
    unsigned limit;
    struct slice cursor;
    uint64_t before = 0;
    if (!page_read(request, &limit, &cursor))
        return;
    if (cursor.len && !id_parse(cursor, &before)) {
        answer_bad_cursor(request);
        return;
    }
    struct fault why = {0};
    struct brands brands = caller_brands(api_caller(request));
    struct campaign *campaigns = ARENA_ARRAY(&request->arena, struct campaign, limit);
    size_t count;
    bool has_more;
    SCOPED(buf) out = BUF(ANSWER_MAX);
    struct json json = {&out};
    json_object_begin(&json);
    json_key(&json, "items");
    if (!list_read(api, &brands, before, limit, &request->arena, campaigns, &count, &has_more, &why) ||
        !campaigns_write(api, &json, campaigns, count, &request->arena, &why)) {
        answer_fault(request, &why, 400);
        return;
    }
    json_put_id(&json, "next_cursor", has_more ? campaigns[count - 1].id : 0);
    json_end(&json);
    answer_json(request, &out);
}

static void campaign_answer(struct api *api, struct http_request *request, const struct campaign *campaign)
{
    struct fault why = {0};
    struct counted counted = {.campaign_id = campaign->id};
    SCOPED(buf) out = BUF(ANSWER_MAX);
    struct json json = {&out};
    if (!counted_load(api->db, &why, &counted, 1) ||
        !campaign_write(api, &json, campaign, &counted, &request->arena, &why))
        answer_fault(request, &why, 400);
    else
        answer_json(request, &out);
}

void api_campaign_show(struct api *api, struct http_request *request)
{
    struct campaign campaign;
    if (campaign_of_request(api, request, &campaign))
        campaign_answer(api, request, &campaign);
}

void api_campaign_report(struct api *api, struct http_request *request)
{
    struct campaign campaign;
    struct fault why = {0};
    if (!campaign_of_request(api, request, &campaign))
        return;
    SCOPED(buf) out = BUF(ANSWER_MAX);
    struct json json = {&out};
    if (report_write(api, &json, &campaign, &request->arena, NULL, &why))
        answer_json(request, &out);
    else
        answer_fault(request, &why, 400);
}

/* ── acting: the request waits for the commit, its thread does not ── */

enum act_verb { ACT_SEND, ACT_PAUSE, ACT_RESUME };
struct act {
    struct write_job job;
    struct http_later later;
    struct api *api;
    enum act_verb verb;
    uint64_t campaign_id, key_id;
    struct arena arena;
    struct repeat repeat; /* of the request's Idempotency-Key: the second time it is answered, and nothing is done */
    enum repeat_state repeated;
    struct fault why;
};

#define ACT_OF(member_ptr, member) ((struct act *)(void *)((char *)(member_ptr)-offsetof(struct act, member)))

static bool act_do(const struct act *act, struct db *db, time_ms now, struct fault *why)
{
    SCOPED(arena) arena = {0};
    struct slice who;
    if (act->verb == ACT_SEND)
        return campaign_send(db, why, act->campaign_id, now);
    return key_who(db, act->key_id, &arena, &who, why) &&
           campaign_order(db, why, act->verb == ACT_PAUSE ? ORDER_HOLD : ORDER_RELEASE, act->campaign_id, who,
                          act->verb == ACT_PAUSE ? SLICE("paused in the console") : SLICE("resumed in the console"),
                          now);
}

static bool act_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct act *act = ACT_OF(job, job);
    time_ms now = api_now(act->api);
    int status;
    SCOPED(buf) answer = BUF(16);
    if (!repeat_find(&act->repeat, db, now, &act->repeated, &status, &answer, why))
        return false;
    if (act->repeated != REPEAT_NEW)
        return true;
    return act_do(act, db, now, why) && repeat_keep(&act->repeat, db, now, 200, SLICE(""), why);
}

static void act_done(struct write_job *job, const struct fault *why)
{
    struct act *act = ACT_OF(job, job);
    const struct api_options *options = &act->api->options;
    if (why)
        act->why = *why;
    else if (act->verb != ACT_SEND && options->holds_changed)
        options->holds_changed(options->owner);
    http_resume(&act->later);
}

static void act_resumed(struct http_later *later, struct http_request *request)
{
    struct act *act = ACT_OF(later, later);
    struct api *api = act->api;
    struct campaign campaign;
    struct fault why = {0};
    api->writes--;
    if (!request) { /* the client has gone */
    } else if (act->why.kind != FAULT_NONE) {
        answer_fault(request, &act->why, 409);
    } else if (act->repeated == REPEAT_OTHER) {
        answer_problem(request, 409, "Idempotency-Key",
                       "this Idempotency-Key was used for another request; take a new one");
    } else if (campaign_by_id(api->db, &why, act->campaign_id, &request->arena, &campaign)) {
        campaign_answer(api, request, &campaign);
    } else {
        answer_fault(request, &why, 400);
    }
    arena_release(&act->arena);
    free(act);
    api_changed(api); /* streams show the new state */
}

static void act_begin(struct api *api, struct http_request *request, enum act_verb verb)
{
    struct campaign campaign;
    if (!campaign_of_request(api, request, &campaign))
        return;
    struct act *act = NEW(struct act);
    *act = (struct act){
        .job = {.run = act_run, .done = act_done, .rows = 2, .fails_fast = true},
        .api = api,
        .verb = verb,
        .campaign_id = campaign.id,
        .key_id = api_caller(request)->key.id,
    };
    if (!repeat_read(request, api_caller(request)->key.id, &act->arena, &act->repeat)) {
        free(act);
        return;
    }
    api->writes++;
    http_suspend(request, &act->later, act_resumed);
    store_write(api->options.store, &act->job);
}

void api_campaign_send(struct api *api, struct http_request *request)
{
    act_begin(api, request, ACT_SEND);
}

void api_campaign_pause(struct api *api, struct http_request *request)
{
    act_begin(api, request, ACT_PAUSE);
}

void api_campaign_resume(struct api *api, struct http_request *request)
{
    act_begin(api, request, ACT_RESUME);
}
