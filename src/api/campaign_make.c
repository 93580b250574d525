/* campaign_make.c - a draft is made; a campaign is cancelled for good */
#include "api/body.h"
#include "api/campaign_json.h"
#include "api/change.h"
#include "api/people.h"
#include "campaign/queue_order.h"

enum { EXPIRES_LEAST_S = 60, EXPIRES_MOST_S = 30 * 24 * 3600 };

static bool campaign_answer(struct change *change, struct db *db, uint64_t id, struct fault *why)
{
    struct campaign campaign;
    if (!campaign_by_id(db, why, id, &change->work, &campaign))
        return false;
    struct json *json = &change->json;
    json_object_begin(json);
    json_put_id(json, "id", campaign.id);
    json_put_id(json, "brand_id", campaign.brand_id);
    json_put_string(json, "name", campaign.name);
    json_put_string(json, "state", campaign_state_word(campaign.state));
    json_put_id(json, "content_id", campaign.content_version_id);
    json_put_id(json, "list_id", campaign.list_id);
    json_put_time(json, "created_at", campaign.created);
    json_end(json);
    return true;
}

static bool make_run(struct change *change, struct db *db, struct fault *why)
{
    struct campaign *given = change->data, campaign = *given;
    struct brands brands = change_brands(change);
    struct list list;
    bool found;
    int64_t brand_id = 0;
    if (!db_query_ints(db, why, "SELECT brand_id FROM content_version WHERE id = $1",
                       VALUES(V_INT((int64_t)campaign.content_version_id)), &brand_id, 1, &found))
        return false;
    if (!found || (uint64_t)brand_id != campaign.brand_id)
        return change_refuse(change, 400, "content_id", "the brand has no such content");
    if (!list_is_seen(db, brands, campaign.list_id, &change->work, &list, &found, why))
        return false;
    if (!found || list.brand_id != campaign.brand_id)
        return change_refuse(change, 400, "list_id", "the brand has no such list");
    change->status = 201;
    return campaign_create(db, why, &campaign, change->now) && campaign_answer(change, db, campaign.id, why);
}

void api_campaign_create(struct api *api, struct http_request *request)
{
    SCOPED(body) body = {0};
    struct fault why = {0};
    struct sender *sender;
    if (!body_begin(&body, request))
        return;
    struct slice name = body_line_required(&body, "name", 200);
    struct campaign campaign = {
        .content_version_id = body_id(&body, "content_id"), .list_id = body_id(&body, "list_id"), .priority = 1};
    int64_t expires = body_int(&body, "expires_after_seconds", EXPIRES_LEAST_S, EXPIRES_MOST_S, 0);
    campaign.expires_after = expires ? SECONDS_MS(expires) : api->options.expires_after;
    if (!campaign.content_version_id)
        body_wrong(&body, "content_id", "content_id is missing");
    if (!campaign.list_id)
        body_wrong(&body, "list_id", "list_id is missing");
    if (!body_brand(api, &body, &sender, &why)) {
        answer_fault(request, &why, 400);
        return;
    }
    if (!body_end(&body))
        return;
    struct change *change = change_new(api, request, struct campaign, make_run);
    campaign.brand_id = sender->brand.id;
    campaign.name = arena_copy(&change->arena, name);
    *(struct campaign *)change->data = campaign;
    change_begin(change, request);
}

static bool cancel_run(struct change *change, struct db *db, struct fault *why)
{
    uint64_t id = *(uint64_t *)change->data;
    struct slice who;
    if (!change_who(change, db, &who, why))
        return false;
    if (campaign_order(db, why, ORDER_PURGE, id, who, SLICE("cancelled by the API"), change->now))
        return campaign_answer(change, db, id, why);
    return why->kind == FAULT_INPUT ? change_refuse(change, 409, "", "%s", why->text) : false;
}

void api_campaign_cancel(struct api *api, struct http_request *request)
{
    struct campaign campaign;
    if (!campaign_of_request(api, request, &campaign))
        return;
    struct change *change = change_new(api, request, uint64_t, cancel_run);
    *(uint64_t *)change->data = campaign.id;
    change->changes_holds = true;
    change_begin(change, request);
}
