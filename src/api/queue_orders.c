/* queue_orders.c - orders to what is owed (queue/order.h), and the record of them
 *
 * A key bound to brands orders about its brands only, and nothing about sources and pools. */
#include "api/body.h"
#include "api/change.h"
#include "api/page.h"
#include "campaign/queue_order.h"
#include "mail/address.h"
#include "shape/site.h"

enum { LOOK_ORDERS = 500, LOOKS_MOST = 20, WHY_MAX = 400, SITE_MAX = 255 };

/* ── the record ── */

static void order_write(struct json *json, const struct queue_order *order)
{
    json_object_begin(json);
    json_put_id(json, "id", order->id);
    json_put_time(json, "at", order->at);
    json_put_string(json, "who", order->who);
    json_put_string(json, "verb", order->verb < ORDER_VERB_COUNT ? order_verb_word(order->verb) : SLICE("unknown"));
    json_put_id(json, "brand_id", order->brand_id);
    json_put_id(json, "campaign_id", order->campaign_id);
    json_put_string(json, "domain", order->domain);
    json_put_string(json, "site", order->site);
    json_put_string(json, "source", order->source);
    json_put_string(json, "pool", order->pool);
    json_put_string(json, "to_pool", order->to_pool);
    json_put_time(json, "until", order->until);
    json_put_time(json, "accepted_before", order->accepted_until);
    json_put_string(json, "why", order->why);
    json_put_int(json, "moved", order->moved);
    json_put_int(json, "buckets_left", order->buckets_left);
    json_put_time(json, "done_at", order->done);
    json_end(json);
}

/* A campaign's brand; 0: there is none. */
static bool campaign_brand(struct db *db, struct fault *why, uint64_t campaign_id, uint64_t *brand_id)
{
    int64_t found = 0;
    bool any = false;
    bool ok = !campaign_id || db_query_ints(db, why, "SELECT brand_id FROM campaign WHERE id = $1",
                                            VALUES(V_INT((int64_t)campaign_id)), &found, 1, &any);
    *brand_id = any ? (uint64_t)found : 0;
    return ok;
}

static bool is_seen(struct db *db, struct fault *why, const struct key_rights *rights, const struct queue_order *order,
                    bool *seen)
{
    uint64_t brand_id = order->brand_id;
    *seen = rights->brand_count == 0;
    if (*seen || (!brand_id && !campaign_brand(db, why, order->campaign_id, &brand_id)))
        return *seen;
    *seen = brand_id && key_may_brand(rights, brand_id);
    return true;
}

/* Up to `limit` of those that the caller sees, older than `before`. *last: where the next page begins. */
static bool orders_write(struct api *api, struct http_request *request, unsigned limit, uint64_t before,
                         struct json *json, uint64_t *last, bool *has_more, struct fault *why)
{
    const struct key_rights *rights = &api_caller(request)->key.rights;
    unsigned shown = 0;
    *has_more = true;
    *last = before;
    for (int look = 0; look < LOOKS_MOST; look++) {
        struct queue_order *orders;
        size_t count;
        if (!order_list(api->db, why, 0, *last, LOOK_ORDERS, &request->arena, &orders, &count))
            return false;
        for (size_t i = 0; i < count; i++) {
            bool seen;
            if (!is_seen(api->db, why, rights, &orders[i], &seen))
                return false;
            if (seen && shown == limit)
                return true;
            if (seen)
                order_write(json, &orders[i]);
            shown += seen;
            *last = orders[i].id;
        }
        if (count < LOOK_ORDERS) {
            *has_more = false;
            return true;
        }
    }
    return true; /* many orders of others between: a short page, and the next goes on */
}

void api_order_list(struct api *api, struct http_request *request)
{
    struct fault why = {0};
    unsigned limit;
    uint64_t before, last;
    bool has_more;
    SCOPED(buf) out = BUF(ANSWER_MAX);
    struct json json = {&out};
    if (!page_by_id(request, &limit, &before))
        return;
    json_object_begin(&json);
    json_put_array(&json, "items");
    bool ok = orders_write(api, request, limit, before, &json, &last, &has_more, &why);
    json_end(&json);
    page_close(&json, last, has_more);
    if (ok)
        answer_json(request, &out);
    else
        answer_fault(request, &why, 400);
}

void api_order_show(struct api *api, struct http_request *request)
{
    struct fault why = {0};
    uint64_t id;
    struct queue_order *order;
    size_t count = 0;
    bool seen = false, ok = true;
    SCOPED(buf) out = BUF(ANSWER_MAX);
    struct json json = {&out};
    if (id_parse(http_param(request, "id"), &id) && id)
        ok = order_list(api->db, &why, id, 0, 1, &request->arena, &order, &count);
    if (ok && count)
        ok = is_seen(api->db, &why, &api_caller(request)->key.rights, order, &seen);
    if (!ok) {
        answer_fault(request, &why, 400);
    } else if (!seen) {
        answer_no_such(request, "order");
    } else {
        order_write(&json, order);
        answer_json(request, &out);
    }
}

/* ── giving one ── */

/* What its filters name and the store has not: the field, or NULL. An order about it would find nothing, and look as
 * if. A campaign of a brand that the caller must not know of is none. */
static bool missing_read(struct db *db, struct fault *why, const struct key_rights *rights,
                         const struct queue_order *order, const char **missing)
{
    int64_t one;
    bool is_seen_by, is_there = true;
    *missing = NULL;
    if (!is_seen(db, why, rights, order, &is_seen_by))
        return false;
    if (is_seen_by && order->campaign_id &&
        !db_query_ints(db, why, "SELECT 1 FROM campaign WHERE id = $1", VALUES(V_INT((int64_t)order->campaign_id)),
                       &one, 1, &is_there))
        return false;
    if (!is_seen_by || !is_there)
        *missing = "campaign";
    else if (order->brand_id && !db_query_ints(db, why, "SELECT 1 FROM brand WHERE id = $1",
                                               VALUES(V_INT((int64_t)order->brand_id)), &one, 1, &is_there))
        return false;
    else if (!is_there)
        *missing = "brand";
    return true;
}

static bool give_run(struct change *change, struct db *db, struct fault *why)
{
    struct queue_order order = *(struct queue_order *)change->data;
    const char *missing;
    if (!missing_read(db, why, &change->rights, &order, &missing))
        return false;
    if (missing)
        return change_refuse(change, 404, *missing == 'b' ? "brand_id" : "campaign_id", "there is no such %s", missing);
    if (!change_who(change, db, &order.who, why))
        return false;
    if (!queue_order_begin(db, why, &order))
        return why->kind == FAULT_INPUT ? change_refuse(change, 400, "", "%s", why->text) : false;
    change->status = 202;
    order.done = order_is_standing(&order) && order.verb == ORDER_HOLD ? order.at : 0;
    order_write(&change->json, &order);
    return true;
}

/* dry_run: how many it would concern now. */
static void count_answer(struct api *api, struct http_request *request, const struct queue_order *order)
{
    struct fault why = {0};
    int64_t states[DELIVERY_STATE_COUNT], sum = 0;
    SCOPED(buf) out = BUF(4096);
    struct json json = {&out};
    const char *missing;
    if (!missing_read(api->db, &why, &api_caller(request)->key.rights, order, &missing) ||
        (!missing && !order_count(api->db, &why, order, states))) {
        answer_fault(request, &why, 400);
        return;
    }
    if (missing && *missing == 'b') {
        answer_problem(request, 404, "brand_id", "there is no such brand");
        return;
    }
    if (missing) {
        answer_problem(request, 404, "campaign_id", "there is no such campaign");
        return;
    }
    json_object_begin(&json);
    json_put_object(&json, "states");
    for (int state = 0; state <= DELIVERY_IN_DOUBT; state++) {
        json_key_slice(&json, delivery_word((enum delivery_state)state));
        json_int(&json, states[state]);
        sum += states[state];
    }
    json_end(&json);
    json_put_int(&json, "n", sum);
    json_put_bool(&json, "stands", order_is_standing(order) && order->verb == ORDER_HOLD);
    json_end(&json);
    answer_json(request, &out);
}

static enum order_verb verb_read(struct body *body)
{
    struct slice word = body_line_required(body, "verb", 20);
    for (int i = 0; i < ORDER_VERB_COUNT; i++)
        if (slice_equal(word, order_verb_word((enum order_verb)i)))
            return (enum order_verb)i;
    if (word.len)
        body_wrong(body, "verb", "verb is hold, release, retry, purge, move, suspend or resume");
    return ORDER_HOLD;
}

/* A key of one brand speaks of that; one of several says of which. */
static void brand_settle(struct body *body, const struct key_rights *rights, struct queue_order *order)
{
    if (!rights->brand_count)
        return;
    if (order->brand_id && !key_may_brand(rights, order->brand_id))
        body_wrong(body, "brand_id", "there is no such brand");
    if (!order->brand_id && !order->campaign_id && rights->brand_count == 1)
        order->brand_id = rights->brands[0];
    if (!order->brand_id && !order->campaign_id)
        body_wrong(body, "brand_id", "this key is for several brands: say of which with brand_id or campaign_id");
    bool is_of_house = order->verb == ORDER_MOVE || order_is_of_pace(order->verb);
    if (order->source.len || order->pool.len || is_of_house)
        body_wrong(body, is_of_house ? "verb" : "source",
                   "sources, pools and the pace of a site are for keys of every brand");
}

static void order_read(struct api *api, struct body *body, struct queue_order *order, struct arena *arena)
{
    struct fault why = {0};
    time_ms before;
    *order = (struct queue_order){.at = api_now(api), .verb = verb_read(body)};
    order->brand_id = body_id(body, "brand_id");
    order->campaign_id = body_id(body, "campaign_id");
    order->domain = body_line(body, "domain", SITE_MAX);
    order->site = arena_lower(arena, body_line(body, "site", SITE_MAX));
    order->source = body_line(body, "source", 60);
    order->pool = body_line(body, "pool", 60);
    order->to_pool = body_line(body, "to_pool", 60);
    order->why = body_line(body, "why", WHY_MAX);
    before = body_time(body, "accepted_before");
    if (before > order->at)
        body_wrong(body, "accepted_before", "accepted_before has not come yet");
    order->accepted_until = before ? before : order->at;
    if (!order->why.len)
        order->why = SLICE("by the API");
    if (order->domain.len && !domain_normalise(order->domain, arena, &order->domain, &why))
        body_wrong(body, "domain", "domain: %s", why.text);
    order->until = body_time(body, "until");
    if (order->site.len && api->options.sites && !sites_name_check(api->options.sites, order->site, &why))
        body_wrong(body, "site", "site: %s", why.text);
    if (body_has(body, "until") != (order->verb == ORDER_SUSPEND))
        body_wrong(body, "until", "a suspend needs until, other orders have none");
    if (order_is_of_pace(order->verb) && body_bool(body, "dry_run", false))
        body_wrong(body, "dry_run", "suspend and resume move no mail: GET /sites/{name} tells what binds");
    if (body_has(body, "to_pool") != (order->verb == ORDER_MOVE))
        body_wrong(body, "to_pool", "a move needs to_pool (\"\": back to the brand's own), other orders have none");
}

void api_order_give(struct api *api, struct http_request *request)
{
    SCOPED(body) body = {0};
    struct fault why = {0};
    struct queue_order order;
    if (!body_begin(&body, request))
        return;
    order_read(api, &body, &order, &request->arena);
    bool is_dry_run = body_bool(&body, "dry_run", false);
    brand_settle(&body, &api_caller(request)->key.rights, &order);
    if (!body.is_wrong && !queue_order_ready(api->db, &why, &order, &request->arena)) {
        if (why.kind != FAULT_INPUT) {
            answer_fault(request, &why, 400);
            return;
        }
        body_wrong(&body,
                   slice_starts(slice_str(why.text), SLICE("to:"))         ? "to_pool"
                   : slice_starts(slice_str(why.text), SLICE("site:"))     ? "site"
                   : slice_starts(slice_str(why.text), SLICE("until:"))    ? "until"
                   : slice_starts(slice_str(why.text), SLICE("campaign:")) ? "campaign_id"
                   : order.source.len                                      ? "source"
                                                                           : "",
                   "%s", why.text);
    }
    if (!body_end(&body))
        return;
    if (is_dry_run) {
        count_answer(api, request, &order);
        return;
    }
    struct change *change = change_new(api, request, struct queue_order, give_run);
    struct slice *const texts[] = {&order.domain, &order.site, &order.source, &order.pool, &order.to_pool, &order.why};
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        *texts[i] = arena_copy(&change->arena, *texts[i]);
    *(struct queue_order *)change->data = order;
    change->changes_holds = true;
    change_begin(change, request);
}
