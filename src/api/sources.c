/* sources.c - our own addresses, their pools and warm-ups (shape/source.h, shape/allowance.h): for keys of every brand
 */
#include "api/body.h"
#include "api/change.h"
#include "shape/allowance.h"
#include "shape/site.h"
#include "shape/source.h"
#include "shape/stand_in.h"

enum { IP_MAX = 60, NAME_MAX = 255, SITE_MAX = 255, NODE_MOST = 511 };

/* ── look ── */

static void ip_put(struct json *json, struct slice key, const struct ip *ip)
{
    char text[IP_TEXT_ROOM];
    json_key_slice(json, key);
    json_text(json, ip->family ? slice_str(ip_text(ip, text)) : SLICE(""));
}

static void plans_write(struct json *json, const struct warm_up *plans, size_t count)
{
    json_put_array(json, "warm_ups");
    for (size_t i = 0; i < count; i++) {
        struct slice rest = plans[i].caps, word;
        json_object_begin(json);
        json_put_string(json, "site", plans[i].group);
        json_put_array(json, "caps");
        while (rest.len && slice_split(&rest, ',', &word)) {
            int64_t cap = 0;
            if (slice_to_i64(word, &cap))
                json_int(json, cap);
        }
        json_end(json);
        json_put_int(json, "step", plans[i].step + 1);
        json_put_bool(json, "is_done", plans[i].cap < 0);
        json_key(json, "cap");
        if (plans[i].cap < 0)
            json_nothing(json);
        else
            json_int(json, plans[i].cap);
        json_put_int(json, "reserved", plans[i].reserved);
        json_put_int(json, "delivered", plans[i].delivered);
        json_put_int(json, "deferred", plans[i].deferred);
        json_put_string(json, "why", plans[i].why);
        json_end(json);
    }
    json_end(json);
}

static bool source_write(struct json *json, struct db *db, const struct source *source, time_ms now,
                         struct arena *arena, struct fault *why)
{
    struct warm_up *plans;
    size_t count;
    if (!warm_up_list(db, why, source->id, now, arena, &plans, &count))
        return false;
    json_object_begin(json);
    ip_put(json, SLICE("ip"), &source->ip);
    ip_put(json, SLICE("public_ip"), &source->public_ip);
    json_put_string(json, "ehlo_name", source->ehlo_name);
    json_put_string(json, "pool", source->pool);
    json_put_int(json, "weight", source->weight);
    json_put_int(json, "node", source->node);
    json_put_string(json, "state", source_state_word(source->state));
    json_put_string(json, "trouble", source->trouble);
    json_put_bool(json, "is_usable", source_is_usable(source));
    json_put_time(json, "since", source->since);
    plans_write(json, plans, count);
    json_end(json);
    return true;
}

void api_source_list(struct api *api, struct http_request *request)
{
    struct fault why = {0};
    struct source *list;
    size_t count;
    SCOPED(buf) out = BUF(ANSWER_MAX);
    struct json json = {&out};
    if (!api_sees_all(request))
        return;
    bool ok = source_list(api->db, &why, &request->arena, &list, &count);
    json_object_begin(&json);
    json_put_array(&json, "items");
    for (size_t i = 0; ok && i < count; i++)
        ok = source_write(&json, api->db, &list[i], api_now(api), &request->arena, &why);
    json_end(&json);
    json_put_null(&json, "next_cursor");
    json_end(&json);
    if (ok)
        answer_json(request, &out);
    else
        answer_fault(request, &why, 400);
}

/* By the address in the path. False: answered. */
static bool path_ip(struct http_request *request, struct ip *ip)
{
    if (!api_sees_all(request))
        return false;
    if (ip_parse(http_param(request, "ip"), ip))
        return true;
    answer_no_such(request, "source");
    return false;
}

void api_source_show(struct api *api, struct http_request *request)
{
    struct fault why = {0};
    struct source source;
    struct ip ip;
    SCOPED(buf) out = BUF(ANSWER_MAX);
    struct json json = {&out};
    if (!path_ip(request, &ip))
        return;
    if (source_find(api->db, &why, &ip, &request->arena, &source) &&
        source_write(&json, api->db, &source, api_now(api), &request->arena, &why))
        answer_json(request, &out);
    else if (why.kind == FAULT_INPUT)
        answer_no_such(request, "source");
    else
        answer_fault(request, &why, 400);
}

/* ── change ── */

struct source_wish {
    struct source source; /* only what `has_` says, beside ip */
    bool has_ehlo_name, has_pool, has_weight, has_state, begins, ends;
    struct slice site, caps;
};

static bool told(struct change *change, struct db *db, const struct ip *ip, struct fault *why)
{
    struct source source;
    return source_find(db, why, ip, &change->work, &source) &&
           source_write(&change->json, db, &source, change->now, &change->work, why);
}

static bool add_run(struct change *change, struct db *db, struct fault *why)
{
    struct source_wish wish = *(struct source_wish *)change->data;
    struct fault refused = {0};
    if (!source_add(db, &refused, &wish.source, change->now) ||
        (wish.begins && !warm_up_begin(db, &refused, wish.source.id, SLICE("*"), wish.caps, change->now))) {
        *why = refused;
        return false;
    }
    change->status = 201;
    return told(change, db, &wish.source.ip, why);
}

/* The source of the path, or a 404. */
static bool found(struct change *change, struct db *db, const struct ip *ip, struct source *source, struct fault *why)
{
    if (source_find(db, why, ip, &change->work, source))
        return true;
    return why->kind == FAULT_INPUT && change_refuse(change, 404, "", "there is no such source");
}

static bool change_run(struct change *change, struct db *db, struct fault *why)
{
    const struct source_wish *wish = change->data;
    struct source source;
    if (!found(change, db, &wish->source.ip, &source, why))
        return false;
    if (wish->has_ehlo_name)
        source.ehlo_name = wish->source.ehlo_name;
    if (wish->has_pool)
        source.pool = wish->source.pool;
    if (wish->has_weight)
        source.weight = wish->source.weight;
    return source_change(db, why, &source) &&
           (!wish->has_state || source_set_state(db, why, source.id, wish->source.state, change->now)) &&
           told(change, db, &source.ip, why);
}

static bool remove_run(struct change *change, struct db *db, struct fault *why)
{
    const struct source_wish *wish = change->data;
    struct source source;
    if (!found(change, db, &wish->source.ip, &source, why))
        return false;
    if (source.state != SOURCE_DRAINING)
        return change_refuse(change, 409, "", "it is in use: drain it first (PATCH with state draining)");
    change->status = 204;
    return source_remove(db, why, source.id);
}

static bool warm_up_run(struct change *change, struct db *db, struct fault *why)
{
    const struct source_wish *wish = change->data;
    struct source source;
    return found(change, db, &wish->source.ip, &source, why) &&
           (wish->ends ? warm_up_end(db, why, source.id, wish->site)
                       : warm_up_begin(db, why, source.id, wish->site, wish->caps, change->now)) &&
           told(change, db, &source.ip, why);
}

/* [50, 100] -> "50,100"; "" when absent: the plan of ours. */
static struct slice caps_read(struct body *body, struct arena *arena)
{
    json_t *caps = body_member(body, "caps");
    SCOPED(buf) text = BUF(4096);
    struct fault why = {0};
    if (!caps)
        return SLICE("");
    if (!json_is_array(caps) || !json_array_size(caps) || json_array_size(caps) > WARM_UP_STEPS_MOST) {
        body_wrong(body, "caps", "caps is an array of 1 to %d rising numbers", WARM_UP_STEPS_MOST);
        return SLICE("");
    }
    for (size_t i = 0; i < json_array_size(caps); i++)
        buf_printf(&text, "%s%lld", i ? "," : "",
                   json_is_integer(json_array_get(caps, i)) ? json_integer_value(json_array_get(caps, i)) : -1);
    if (!warm_up_caps_check(buf_slice(&text), &why))
        body_wrong(body, "caps", "caps: %s", why.text);
    return arena_copy(arena, buf_slice(&text));
}

static struct ip ip_read(struct body *body, const char *key, bool is_required)
{
    struct ip ip = {0};
    struct slice text = is_required ? body_line_required(body, key, IP_MAX) : body_line(body, key, IP_MAX);
    if (text.len && !ip_parse(text, &ip))
        body_wrong(body, key, "%s is no IP address", key);
    return ip;
}

static void wish_begin(struct api *api, struct http_request *request, const struct source_wish *wish,
                       bool (*run)(struct change *change, struct db *db, struct fault *why))
{
    struct change *change = change_new(api, request, struct source_wish, run);
    struct source_wish *kept = change->data;
    *kept = *wish;
    kept->source.ehlo_name = arena_copy(&change->arena, wish->source.ehlo_name);
    kept->source.pool = arena_copy(&change->arena, wish->source.pool);
    kept->site = arena_copy(&change->arena, wish->site);
    kept->caps = arena_copy(&change->arena, wish->caps);
    change_begin(change, request);
}

void api_source_add(struct api *api, struct http_request *request)
{
    SCOPED(body) body = {0};
    if (!api_sees_all(request) || !body_begin(&body, request))
        return;
    struct source_wish wish = {.source = {.ip = ip_read(&body, "ip", true),
                                          .public_ip = ip_read(&body, "public_ip", false),
                                          .ehlo_name = body_line_required(&body, "ehlo_name", NAME_MAX),
                                          .pool = body_line(&body, "pool", NAME_MAX),
                                          .weight = (unsigned)body_int(&body, "weight", 1, SOURCE_WEIGHT_MOST, 1),
                                          .node = (unsigned)body_int(&body, "node", 0, NODE_MOST, 0)}};
    wish.begins = body_bool(&body, "warm_up", false);
    wish.caps = caps_read(&body, &request->arena);
    if (wish.caps.len && !wish.begins)
        body_wrong(&body, "caps", "caps are of a warm-up: \"warm_up\": true");
    if (!wish.source.pool.len)
        wish.source.pool = SLICE(SOURCE_POOL_DEFAULT);
    if (body_end(&body))
        wish_begin(api, request, &wish, add_run);
}

void api_source_change(struct api *api, struct http_request *request)
{
    SCOPED(body) body = {0};
    struct source_wish wish = {0};
    if (!path_ip(request, &wish.source.ip) || !body_begin(&body, request))
        return;
    wish.has_ehlo_name = body_has(&body, "ehlo_name");
    wish.has_pool = body_has(&body, "pool");
    wish.has_weight = body_has(&body, "weight");
    wish.has_state = body_has(&body, "state");
    wish.source.ehlo_name = body_line(&body, "ehlo_name", NAME_MAX);
    wish.source.pool = body_line(&body, "pool", NAME_MAX);
    wish.source.weight = (unsigned)body_int(&body, "weight", 1, SOURCE_WEIGHT_MOST, 1);
    struct slice state = body_line(&body, "state", 20);
    wish.source.state = slice_equal(state, SLICE("draining")) ? SOURCE_DRAINING : SOURCE_ACTIVE;
    if (wish.has_state && !slice_equal(state, source_state_word(wish.source.state)))
        body_wrong(&body, "state", "state is active or draining");
    if (body_end(&body))
        wish_begin(api, request, &wish, change_run);
}

void api_source_remove(struct api *api, struct http_request *request)
{
    struct source_wish wish = {0};
    if (path_ip(request, &wish.source.ip))
        wish_begin(api, request, &wish, remove_run);
}

void api_source_warm_up(struct api *api, struct http_request *request)
{
    SCOPED(body) body = {0};
    struct fault why = {0};
    struct source_wish wish = {0};
    if (!path_ip(request, &wish.source.ip) || !body_begin(&body, request))
        return;
    wish.site = body_line(&body, "site", SITE_MAX);
    wish.caps = caps_read(&body, &request->arena);
    wish.ends = body_bool(&body, "end", false);
    if (wish.ends && wish.caps.len)
        body_wrong(&body, "caps", "a plan that ends has no caps");
    if (wish.site.len && !wish.ends && api->options.sites && !sites_name_check(api->options.sites, wish.site, &why))
        body_wrong(&body, "site", "site: %s", why.text);
    if (!wish.site.len)
        wish.site = SLICE("*");
    if (body_end(&body))
        wish_begin(api, request, &wish, warm_up_run);
}

/* ── pools ── */

void api_pool_list(struct api *api, struct http_request *request)
{
    struct fault why = {0};
    SCOPED(rows) rows = {0};
    SCOPED(buf) out = BUF(ANSWER_MAX);
    struct json json = {&out};
    if (!api_sees_all(request))
        return;
    bool ok = db_query(api->db, &why, &rows,
                       "SELECT p.pool, (SELECT COUNT(*) FROM source s WHERE s.pool = p.pool), (SELECT COUNT(*) FROM "
                       "source s WHERE s.pool = p.pool AND s.state = 'active' AND s.trouble = ''), (SELECT COUNT(*) "
                       "FROM brand b WHERE b.id > 0 AND (b.pool = p.pool OR (b.pool = '' AND p.pool = 'default'))), "
                       "(SELECT COUNT(*) FROM lane l WHERE l.pool = p.pool AND l.pool <> ''), (SELECT stand_in FROM "
                       "pool_stand_in i WHERE i.pool = p.pool) FROM (SELECT pool FROM pool_stand_in UNION SELECT pool "
                       "FROM source UNION SELECT pool FROM brand WHERE pool <> '') p ORDER BY p.pool",
                       NO_VALUES);
    json_object_begin(&json);
    json_put_array(&json, "items");
    while (ok && rows_next(&rows)) {
        json_object_begin(&json);
        json_put_string(&json, "name", rows_text(&rows, 0));
        json_put_int(&json, "sources", rows_int(&rows, 1));
        json_put_int(&json, "usable", rows_int(&rows, 2));
        json_put_int(&json, "brands", rows_int(&rows, 3));
        json_put_int(&json, "moved_lanes", rows_int(&rows, 4));
        json_put_string(&json, "stand_in", rows_text(&rows, 5));
        json_end(&json);
    }
    json_end(&json);
    json_put_null(&json, "next_cursor");
    json_end(&json);
    if (ok && rows_end(&rows))
        answer_json(request, &out);
    else
        answer_fault(request, &why, 400);
}

struct standing_in {
    struct slice pool, by; /* by "": nobody */
};

static bool stand_in_run(struct change *change, struct db *db, struct fault *why)
{
    const struct standing_in *wish = change->data;
    if (!stand_in_set(db, why, wish->pool, wish->by, change->now))
        return false;
    json_object_begin(&change->json);
    json_put_string(&change->json, "pool", wish->pool);
    json_put_string(&change->json, "stand_in", wish->by);
    json_end(&change->json);
    return true;
}

void api_pool_stand_in(struct api *api, struct http_request *request)
{
    SCOPED(body) body = {0};
    struct standing_in wish = {0};
    if (!api_sees_all(request) || !body_begin(&body, request))
        return;
    wish.by = body_line(&body, "stand_in", NAME_MAX);
    if (!body_end(&body))
        return;
    struct change *change = change_new(api, request, struct standing_in, stand_in_run);
    wish.by = arena_copy(&change->arena, wish.by);
    wish.pool = arena_copy(&change->arena, http_param(request, "pool"));
    *(struct standing_in *)change->data = wish;
    change_begin(change, request);
}

struct assignment {
    uint64_t brand_id;
    struct slice pool;
    int64_t weight, recipients; /* 0: as it is */
    bool has_pool;
};

static bool assign_run(struct change *change, struct db *db, struct fault *why)
{
    const struct assignment *wish = change->data;
    struct brand_way way;
    if (!brand_way_find(db, why, wish->brand_id, &change->work, &way))
        return why->kind == FAULT_INPUT && change_refuse(change, 404, "", "there is no such brand");
    if (wish->has_pool)
        way.pool = wish->pool;
    if (wish->weight)
        way.weight = (unsigned)wish->weight;
    if (wish->recipients)
        way.recipients_per_transaction = (unsigned)wish->recipients;
    if (!brand_way_set(db, why, wish->brand_id, &way))
        return false;
    json_object_begin(&change->json);
    json_put_id(&change->json, "brand_id", wish->brand_id);
    json_put_string(&change->json, "pool", way.pool);
    json_put_int(&change->json, "weight", way.weight);
    json_put_int(&change->json, "recipients_per_transaction", way.recipients_per_transaction);
    json_end(&change->json);
    return true;
}

void api_pool_assign(struct api *api, struct http_request *request)
{
    SCOPED(body) body = {0};
    struct assignment wish = {0};
    if (!api_sees_all(request))
        return;
    if (!id_parse(http_param(request, "id"), &wish.brand_id)) {
        answer_no_such(request, "brand");
        return;
    }
    if (!body_begin(&body, request))
        return;
    wish.has_pool = body_has(&body, "pool");
    wish.pool = body_line(&body, "pool", NAME_MAX);
    wish.weight = body_int(&body, "weight", 1, SOURCE_WEIGHT_MOST, 0);
    wish.recipients = body_int(&body, "recipients_per_transaction", 1, BRAND_RECIPIENTS_MOST, 0);
    if (!body_end(&body))
        return;
    struct change *change = change_new(api, request, struct assignment, assign_run);
    wish.pool = arena_copy(&change->arena, wish.pool);
    *(struct assignment *)change->data = wish;
    change_begin(change, request);
}
