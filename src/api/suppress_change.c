/* suppress_change.c - exclude addresses, let them in again, ask about many (U13) */
#include "api/body.h"
#include "api/change.h"
#include "api/suppression_json.h"
#include "mail/address.h"

enum { CHECK_MAX = 1000 };

/* For which brand: 0 is all, which only a key of every brand may say. False: the store cannot tell. */
static bool scope_read(struct api *api, struct body *body, uint64_t *brand_id, struct fault *why)
{
    struct sender *sender;
    const struct key_rights *rights = &api_caller(body->request)->key.rights;
    *brand_id = 0;
    if (!body_has(body, "brand") && rights->brand_count == 0)
        return true;
    if (!body_brand(api, body, &sender, why))
        return false;
    if (sender)
        *brand_id = sender->brand.id;
    return true;
}

static bool reason_read(struct body *body, enum suppress_why *reason)
{
    static const struct {
        const char *word;
        enum suppress_why why;
    } words[] = {{"manual", SUPPRESS_BY_HAND},
                 {"unsubscribed", SUPPRESS_UNSUBSCRIBED},
                 {"complaint", SUPPRESS_COMPLAINT},
                 {"cleaned", SUPPRESS_CLEANING}};
    struct slice word = body_line(body, "reason", 30);
    *reason = SUPPRESS_BY_HAND;
    for (size_t i = 0; i < COUNT_OF(words) && word.len; i++) {
        if (slice_equal(word, slice_str(words[i].word))) {
            *reason = words[i].why;
            return true;
        }
    }
    if (word.len)
        body_wrong(body, "reason", "reason is manual, unsubscribed, complaint or cleaned");
    return !word.len;
}

static void row_write(struct json *json, const struct suppression *row)
{
    json_object_begin(json);
    json_put_string(json, "address", row->address);
    json_put_string(json, "scope", row->brand_id ? SLICE("brand") : SLICE("all"));
    json_put_id(json, "brand_id", row->brand_id);
    json_put_string(json, "reason", suppression_reason(row));
    json_put_time(json, "since", row->since);
    json_put_time(json, "expires_at", row->expires);
    json_end(json);
}

static bool add_run(struct change *change, struct db *db, struct fault *why)
{
    const struct suppression *row = change->data;
    bool is_new;
    if (!suppress_add(db, why, row, &is_new))
        return false;
    change->status = is_new ? 201 : 200;
    row_write(&change->json, row);
    return true;
}

void api_suppression_add(struct api *api, struct http_request *request)
{
    SCOPED(body) body = {0};
    struct fault why = {0};
    struct suppression row = {.since = api_now(api), .count = 1};
    struct address address = {0};
    if (!body_begin(&body, request))
        return;
    struct slice email = body_line_required(&body, "email", 1000);
    if (email.len)
        body_address(&body, "email", email, &request->arena, &address);
    (void)reason_read(&body, &row.why);
    row.expires = body_time(&body, "expires_at");
    if (row.expires && row.expires <= row.since)
        body_wrong(&body, "expires_at", "expires_at has passed");
    if (!scope_read(api, &body, &row.brand_id, &why)) {
        answer_fault(request, &why, 400);
        return;
    }
    if (!body_end(&body))
        return;
    struct change *change = change_new(api, request, struct suppression, add_run);
    row.address = arena_copy(&change->arena, address.identity);
    *(struct suppression *)change->data = row;
    change_begin(change, request);
}

static bool remove_run(struct change *change, struct db *db, struct fault *why)
{
    const struct suppression *row = change->data;
    bool was_there;
    if (!suppress_remove(db, why, row->address, row->brand_id, SLICE(""), &was_there))
        return false;
    change->status = 204;
    return was_there || change_refuse(change, 404, "", "this address is not excluded for that brand");
}

void api_suppression_remove(struct api *api, struct http_request *request)
{
    struct slice brand = {0}, email = http_param(request, "email");
    struct address address;
    struct sender *sender = NULL;
    const char *missing;
    struct fault why = {0};
    const struct caller *caller = api_caller(request);
    if (!query_text(request, "brand", &brand))
        return;
    if (!text_is_storable(email) || !address_parse(email, &request->arena, &address, &why)) {
        answer_no_such(request, "address");
        return;
    }
    why = (struct fault){0};
    bool is_all = !brand.len && caller->key.rights.brand_count == 0;
    if (!is_all && !sender_find(&api->senders, api->db, caller, brand, world_monotonic(api->options.world), &sender,
                                &missing, &why)) {
        answer_fault(request, &why, 400);
        return;
    }
    if (!is_all && !sender) {
        answer_problem(request, 400, "brand", "%s", missing);
        return;
    }
    struct change *change = change_new(api, request, struct suppression, remove_run);
    *(struct suppression *)change->data = (struct suppression){.address = arena_copy(&change->arena, address.identity),
                                                               .brand_id = sender ? sender->brand.id : 0};
    change_begin(change, request);
}

/* ── asking ── */

void api_suppression_check(struct api *api, struct http_request *request)
{
    SCOPED(body) body = {0};
    struct fault why = {0};
    uint64_t brand_id;
    if (!body_begin(&body, request))
        return;
    json_t *emails = body_member(&body, "emails");
    size_t count = json_array_size(emails);
    if (!json_is_array(emails) || count > CHECK_MAX)
        body_wrong(&body, "emails", "emails is an array of at most %d addresses", CHECK_MAX);
    struct address *addresses = ARENA_ARRAY(&request->arena, struct address, count + 1);
    for (size_t i = 0; !body.is_wrong && i < count; i++) {
        struct slice text;
        if (body_line_of(&body, "emails", json_array_get(emails, i), 1000, &text))
            body_address(&body, "emails", text, &request->arena, &addresses[i]);
    }
    if (!scope_read(api, &body, &brand_id, &why)) {
        answer_fault(request, &why, 400);
        return;
    }
    if (!body_end(&body))
        return;
    SCOPED(buf) out = BUF(ANSWER_MAX);
    struct json json = {&out};
    json_object_begin(&json);
    json_put_array(&json, "items");
    for (size_t i = 0; i < count; i++) {
        bool is_suppressed;
        struct suppression row;
        if (!suppress_check(api->db, &why, addresses[i].identity, brand_id, SLICE(""), api_now(api), &is_suppressed,
                            &request->arena, &row)) {
            answer_fault(request, &why, 400);
            return;
        }
        json_object_begin(&json);
        json_put_string(&json, "email", addresses[i].written);
        json_put_bool(&json, "suppressed", is_suppressed);
        json_put_string(&json, "reason", is_suppressed ? suppression_reason(&row) : SLICE(""));
        json_end(&json);
    }
    json_end(&json);
    json_end(&json);
    answer_json(request, &out);
}
