/* queue.c - what is owed, whether the books balance, and what is held */
#include "api/body.h"
#include "api/change.h"
#include "mail/address.h"
#include "queue/order.h"
#include "report/report.h"

enum { HOLDS_SHOWN = 10000, HOLD_WHY_MAX = 400 };

void api_queue_audit(struct api *api, struct http_request *request)
{
    struct fault why = {0};
    struct report_audit audit;
    if (!api_sees_all(request))
        return;
    if (!report_audit(api->db, &why, 0, &audit)) {
        answer_fault(request, &why, 400);
        return;
    }
    SCOPED(buf) out = BUF(65536);
    struct json json = {&out};
    report_audit_write(&json, &audit);
    answer_json(request, &out);
}

/* What is owed, the domains that it is owed to, the biggest first. */
void api_queue_show(struct api *api, struct http_request *request)
{
    struct fault why = {0};
    struct brands brands = caller_brands(api_caller(request));
    SCOPED(rows) rows = {0};
    SCOPED(buf) sql = BUF(8192);
    SCOPED(buf) out = BUF(ANSWER_MAX);
    struct json json = {&out};
    buf_text(&sql, "SELECT l.domain, COUNT(*), MIN(d.due_ms), CAST(SUM(CASE WHEN d.state = 0 THEN 1 ELSE 0 END) AS "
                   "BIGINT), CAST(SUM(CASE WHEN d.state = 1 THEN 1 ELSE 0 END) AS BIGINT) FROM (SELECT lane_id, "
                   "due_ms, state FROM delivery WHERE state <= 1");
    brands_condition(&brands, "brand_id", &sql);
    buf_text(&sql, " LIMIT 200000) d JOIN lane l ON l.id = d.lane_id GROUP BY l.domain ORDER BY COUNT(*) DESC, "
                   "l.domain LIMIT 200");
    json_object_begin(&json);
    json_put_array(&json, "items");
    bool ok = db_query(api->db, &why, &rows, buf_cstr(&sql), NO_VALUES);
    while (ok && rows_next(&rows)) {
        json_object_begin(&json);
        json_put_string(&json, "domain", rows_text(&rows, 0));
        json_put_int(&json, "owed", rows_int(&rows, 1));
        json_put_int(&json, "waiting", rows_int(&rows, 3));
        json_put_int(&json, "deferred", rows_int(&rows, 4));
        json_put_time(&json, "next_due_at", rows_int(&rows, 2));
        json_end(&json);
    }
    json_end(&json);
    json_end(&json);
    if (ok && rows_end(&rows))
        answer_json(request, &out);
    else
        answer_fault(request, &why, 400);
}

/* ── holds ── */

/* A hold of a brand or campaign is that brand's; of a domain everybody's. */
static bool hold_is_seen(struct db *db, const struct key_rights *rights, struct slice kind, struct slice name,
                         bool *is_seen, struct fault *why)
{
    int64_t brand = 0;
    uint64_t id;
    *is_seen = rights->brand_count == 0;
    if (*is_seen || !slice_to_u64(name, &id))
        return true;
    if (slice_equal(kind, SLICE("brand")))
        brand = (int64_t)id;
    else if (slice_equal(kind, SLICE("campaign"))) {
        bool found;
        if (!db_query_ints(db, why, "SELECT brand_id FROM campaign WHERE id = $1", VALUES(V_INT((int64_t)id)), &brand,
                           1, &found))
            return false;
    }
    *is_seen = key_may_brand(rights, (uint64_t)brand);
    return true;
}

struct hold_row {
    struct slice kind, name, why;
    time_ms since;
};

static bool holds_read(struct db *db, struct arena *arena, struct hold_row **holds, size_t *count, struct fault *why)
{
    SCOPED(rows) rows = {0};
    *holds = ARENA_ARRAY(arena, struct hold_row, HOLDS_SHOWN);
    *count = 0;
    if (!db_query(db, why, &rows,
                  "SELECT kind, name, why, since_ms FROM hold ORDER BY since_ms DESC, kind, name LIMIT $1",
                  VALUES(V_INT(HOLDS_SHOWN))))
        return false;
    while (*count < HOLDS_SHOWN && rows_next(&rows))
        (*holds)[(*count)++] =
            (struct hold_row){arena_copy(arena, rows_text(&rows, 0)), arena_copy(arena, rows_text(&rows, 1)),
                              arena_copy(arena, rows_text(&rows, 2)), rows_int(&rows, 3)};
    return rows_end(&rows);
}

static void hold_write(struct json *json, const struct hold_row *hold)
{
    json_object_begin(json);
    json_put_string(json, "kind", hold->kind);
    json_put_string(json, "name", hold->name);
    json_put_string(json, "why", hold->why);
    json_put_time(json, "since", hold->since);
    json_end(json);
}

void api_hold_list(struct api *api, struct http_request *request)
{
    struct fault why = {0};
    struct hold_row *holds;
    size_t count;
    SCOPED(buf) out = BUF(ANSWER_MAX);
    struct json json = {&out};
    if (!holds_read(api->db, &request->arena, &holds, &count, &why)) {
        answer_fault(request, &why, 400);
        return;
    }
    json_object_begin(&json);
    json_put_array(&json, "items");
    for (size_t i = 0; i < count; i++) {
        bool is_seen;
        if (!hold_is_seen(api->db, &api_caller(request)->key.rights, holds[i].kind, holds[i].name, &is_seen, &why)) {
            answer_fault(request, &why, 400);
            return;
        }
        if (is_seen)
            hold_write(&json, &holds[i]);
    }
    json_end(&json);
    json_put_null(&json, "next_cursor");
    json_end(&json);
    answer_json(request, &out);
}

/* An order like any other: by whom, when, why (queue/order.h). */
static bool hold_order(struct change *change, struct db *db, enum order_verb verb, struct queue_order *order,
                       struct fault *why)
{
    const struct hold_row *hold = change->data;
    *order = (struct queue_order){.verb = verb,
                                  .at = change->now,
                                  .accepted_until = change->now,
                                  .why = hold->why.len ? hold->why : SLICE("by the API")};
    if (slice_equal(hold->kind, SLICE("domain")))
        order->domain = hold->name;
    else if (!slice_to_u64(hold->name, &order->brand_id))
        return fault_set(why, FAULT_INPUT, "the name of a brand's hold is the brand's id");
    return change_who(change, db, &order->who, why);
}

static bool hold_set_run(struct change *change, struct db *db, struct fault *why)
{
    const struct hold_row *hold = change->data;
    bool is_seen, is_there = true;
    int64_t one;
    uint64_t id = 0;
    if (!hold_is_seen(db, &change->rights, hold->kind, hold->name, &is_seen, why))
        return false;
    if (is_seen && slice_equal(hold->kind, SLICE("brand")) && slice_to_u64(hold->name, &id) &&
        !db_query_ints(db, why, "SELECT 1 FROM brand WHERE id = $1", VALUES(V_INT((int64_t)id)), &one, 1, &is_there))
        return false;
    if (!is_seen || !is_there) /* a hold of nobody's mail would look like one */
        return change_refuse(change, 404, "name", "there is no such %.*s", SLICE_ARG(hold->kind));
    change->status = 201;
    hold_write(&change->json, hold);
    struct queue_order order;
    return hold_order(change, db, ORDER_HOLD, &order, why) && order_give(db, why, &order);
}

/* A campaign is paused and resumed by its own routes: its state has to follow. */
static bool hold_read_name(struct body *body, struct arena *arena, struct slice kind, struct slice *name)
{
    struct fault why = {0};
    uint64_t id = 0;
    if (slice_equal(kind, SLICE("domain"))) {
        if (domain_normalise(*name, arena, name, &why))
            return true;
        body_wrong(body, "name", "name: %s", why.text);
        return false;
    }
    if (slice_equal(kind, SLICE("brand"))) {
        if (!id_parse(*name, &id))
            body_wrong(body, "name", "the name of a brand's hold is the brand's id");
        *name = arena_printf(arena, "%llu", (unsigned long long)id); /* the engine looks for it so: "007" is 7 */
        return true;
    }
    body_wrong(body, "kind", "kind is brand or domain; a campaign is paused by POST /campaigns/{id}/pause");
    return false;
}

void api_hold_set(struct api *api, struct http_request *request)
{
    SCOPED(body) body = {0};
    if (!body_begin(&body, request))
        return;
    struct hold_row hold = {.kind = body_line_required(&body, "kind", 20),
                            .name = body_line_required(&body, "name", 300),
                            .why = body_line(&body, "why", HOLD_WHY_MAX),
                            .since = api_now(api)};
    if (!body.is_wrong)
        (void)hold_read_name(&body, &request->arena, hold.kind, &hold.name);
    if (!body_end(&body))
        return;
    struct change *change = change_new(api, request, struct hold_row, hold_set_run);
    *(struct hold_row *)change->data =
        (struct hold_row){arena_copy(&change->arena, hold.kind), arena_copy(&change->arena, hold.name),
                          arena_copy(&change->arena, hold.why.len ? hold.why : SLICE("held by the API")), hold.since};
    change->changes_holds = true;
    change_begin(change, request);
}

static bool hold_release_run(struct change *change, struct db *db, struct fault *why)
{
    const struct hold_row *hold = change->data;
    bool is_seen;
    int64_t removed = 0;
    if (!hold_is_seen(db, &change->rights, hold->kind, hold->name, &is_seen, why) ||
        (is_seen && !db_do(db, why, "DELETE FROM hold WHERE kind = $1 AND name = $2",
                           VALUES(V_TEXT(hold->kind), V_TEXT(hold->name)), &removed)))
        return false;
    if (!removed)
        return change_refuse(change, 404, "", "there is no such hold");
    db_mark(db, STORE_MARK_HOLDS | STORE_MARK_DELIVERIES);
    change->status = 204;
    struct queue_order order;
    return hold_order(change, db, ORDER_RELEASE, &order, why) && order_note(db, why, &order);
}

void api_hold_release(struct api *api, struct http_request *request)
{
    struct slice kind = http_param(request, "kind"), name = http_param(request, "name");
    if (slice_equal(kind, SLICE("campaign"))) {
        answer_problem(request, 409, "", "a campaign is resumed by POST /campaigns/{id}/resume");
        return;
    }
    if (!text_is_storable(kind) || !text_is_storable(name)) {
        answer_no_such(request, "hold");
        return;
    }
    struct change *change = change_new(api, request, struct hold_row, hold_release_run);
    *(struct hold_row *)change->data =
        (struct hold_row){.kind = arena_copy(&change->arena, kind), .name = arena_copy(&change->arena, name)};
    change->changes_holds = true;
    change_begin(change, request);
}
