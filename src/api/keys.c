/* keys.c - access keys, and the brands they may be bound to */
#include "alarm/alarm.h"
#include "api/body.h"
#include "api/change.h"
#include "campaign/brand.h"

enum { BRANDS_SHOWN = 1000 };

static void key_write(struct json *json, const struct key *key)
{
    SCOPED(buf) scopes = BUF(KEY_SCOPES_TEXT_MAX);
    struct slice rest, word;
    json_put_id(json, "id", key->id);
    json_put_string(json, "name", key->name);
    json_put_array(json, "scopes");
    key_scopes_print(key->rights.scopes, &scopes);
    for (rest = buf_slice(&scopes); rest.len && slice_split(&rest, ',', &word);)
        json_text(json, word);
    json_end(json);
    json_put_array(json, "brand_ids");
    for (size_t i = 0; i < key->rights.brand_count; i++)
        json_text_id(json, key->rights.brands[i]);
    json_end(json);
    json_put_int(json, "rate", key->rights.rate);
    json_put_time(json, "created_at", key->created);
    json_put_time(json, "expires_at", key->expires);
    json_put_time(json, "last_used_at", key->last_used);
    json_put_time(json, "paused_at", key->paused);
    if (key->maker)
        json_put_id(json, "made_by", key->maker);
    else
        json_put_null(json, "made_by");
}

/* A key shows itself to those who could have made it, as far as brands go. */
static bool key_is_seen(const struct key_rights *rights, const struct key *key)
{
    struct key_rights asked = key->rights;
    asked.scopes = 0;
    asked.rate = rights->rate;
    return key_rights_within(&asked, rights);
}

void api_key_list(struct api *api, struct http_request *request)
{
    struct fault why = {0};
    struct key *keys;
    size_t count;
    if (!key_list(api->db, &why, &request->arena, &keys, &count)) {
        answer_fault(request, &why, 400);
        return;
    }
    SCOPED(buf) out = BUF(ANSWER_MAX);
    struct json json = {&out};
    json_object_begin(&json);
    json_put_array(&json, "items");
    for (size_t i = count; i-- > 0;) {
        if (!key_is_seen(&api_caller(request)->key.rights, &keys[i]))
            continue;
        json_object_begin(&json);
        key_write(&json, &keys[i]);
        json_end(&json);
    }
    json_end(&json);
    json_put_null(&json, "next_cursor");
    json_end(&json);
    answer_json(request, &out);
}

struct key_making {
    struct slice name;
    time_ms expires;
    struct key_rights rights;
};

static bool key_make_run(struct change *change, struct db *db, struct fault *why)
{
    struct key_making *making = change->data;
    SCOPED(buf) secret = BUF(KEY_SECRET_MAX);
    struct key key = {.name = making->name,
                      .created = change->now,
                      .expires = making->expires,
                      .rights = making->rights,
                      .maker = change->key_id};
    if (!key_create(db, why, key.name, change->now, key.expires, &key.rights, &secret, &key.id) ||
        !key_made_by(db, why, key.id, key.maker))
        return false;
    change->status = 201;
    json_object_begin(&change->json);
    key_write(&change->json, &key);
    json_put_string(&change->json, "secret", buf_slice(&secret));
    json_end(&change->json);
    explicit_bzero(secret.ptr, secret.len);
    return true;
}

static void scopes_read(struct body *body, struct key_rights *rights)
{
    json_t *scopes = body_member(body, "scopes");
    SCOPED(buf) words = BUF(4096);
    struct fault why = {0};
    rights->scopes = KEY_ALL;
    if (!scopes)
        return;
    if (!json_is_array(scopes) || json_array_size(scopes) == 0 || json_array_size(scopes) > 100) {
        body_wrong(body, "scopes", "scopes is an array of words like \"messages\" and \"contacts:read\"");
        return;
    }
    for (size_t i = 0; i < json_array_size(scopes); i++) {
        struct slice word;
        if (!body_line_of(body, "scopes", json_array_get(scopes, i), 60, &word))
            return;
        if (i)
            buf_byte(&words, ',');
        buf_append(&words, word);
    }
    if (!key_scopes_parse(buf_slice(&words), &rights->scopes, &why))
        body_wrong(body, "scopes", "%s", why.text);
}

static void brands_read(struct body *body, struct key_rights *rights)
{
    json_t *brands = body_member(body, "brand_ids");
    if (!brands)
        return;
    if (!json_is_array(brands) || json_array_size(brands) > KEY_BRANDS_MAX) {
        body_wrong(body, "brand_ids", "brand_ids is an array of at most %d ids", KEY_BRANDS_MAX);
        return;
    }
    for (size_t i = 0; i < json_array_size(brands); i++) {
        struct slice text;
        if (!body_line_of(body, "brand_ids", json_array_get(brands, i), 30, &text))
            return;
        if (!id_parse(text, &rights->brands[rights->brand_count++]))
            body_wrong(body, "brand_ids", "brand_ids holds something that is no id");
    }
}

void api_key_create(struct api *api, struct http_request *request)
{
    SCOPED(body) body = {0};
    if (!body_begin(&body, request))
        return;
    const struct key *maker = &api_caller(request)->key;
    const struct key_rights *own = &maker->rights;
    struct key_making making = {.name = body_line_required(&body, "name", KEY_NAME_MAX),
                                .expires = body_time(&body, "expires_at")};
    making.rights.rate = (unsigned)body_int(&body, "rate", 0, KEY_RATE_MAX, own->rate);
    if (!making.expires)
        making.expires = maker->expires;
    scopes_read(&body, &making.rights);
    brands_read(&body, &making.rights);
    if (making.expires && making.expires <= api_now(api))
        body_wrong(&body, "expires_at", "expires_at has passed");
    if (!body_end(&body))
        return;
    if (own->rate && (!making.rights.rate || making.rights.rate > own->rate)) {
        answer_problem(request, 403, "rate", "a key that may make %u requests a minute gives no more than that",
                       own->rate);
        return;
    }
    if (maker->expires && making.expires > maker->expires) {
        answer_problem(request, 403, "expires_at", "a key makes none that lasts longer than itself");
        return;
    }
    if (!key_rights_within(&making.rights, own)) {
        answer_problem(request, 403, "scopes", "a key gives no rights, and no brands, that it has not itself");
        return;
    }
    struct change *change = change_new(api, request, struct key_making, key_make_run);
    change->has_secret = true;
    making.name = arena_copy(&change->arena, making.name);
    *(struct key_making *)change->data = making;
    change_begin(change, request);
}

/* ── what is done to a key: its end, the end of its sessions, a pause and its end ── */

struct key_order {
    bool (*carry_out)(struct change *change, struct db *db, struct fault *why, const struct key *key);
};

static bool key_end(struct change *change, struct db *db, struct fault *why, const struct key *key)
{
    bool found;
    return key_revoke(db, why, key->id, change->now, &found);
}

static bool key_sign_out(struct change *change, struct db *db, struct fault *why, const struct key *key)
{
    bool found;
    return key_sessions_end(db, why, key->id, change->now, &found);
}

static bool key_halt(struct change *change, struct db *db, struct fault *why, const struct key *key)
{
    bool found;
    return key_pause(db, why, key->id, change->now, &found);
}

/* Who releases a key knows what it did: an alarm about it was seen. */
static bool key_let_go(struct change *change, struct db *db, struct fault *why, const struct key *key)
{
    bool found;
    struct slice about = arena_printf(&change->work, "%.*s (%llu)", SLICE_ARG(key->name), (unsigned long long)key->id);
    struct slice by = arena_printf(&change->work, "key %llu", (unsigned long long)change->key_id);
    return key_release(db, why, key->id, &found) && alarm_ack_matter(db, why, ALARM_CREDENTIAL, about, by, change->now);
}

static bool key_order_run(struct change *change, struct db *db, struct fault *why)
{
    const struct key_order *order = (const void *)change->data;
    struct key key;
    bool found;
    if (!key_by_id(db, why, change->forget_key, &change->work, &key, &found))
        return false;
    if (!found || key.revoked || !key_is_seen(&change->rights, &key))
        return change_refuse(change, 404, "", "there is no such key");
    change->status = 204;
    return order->carry_out(change, db, why, &key);
}

static void key_order(struct api *api, struct http_request *request, struct key_order order)
{
    uint64_t id;
    if (!id_parse(http_param(request, "id"), &id)) {
        answer_no_such(request, "key");
        return;
    }
    struct change *change = change_new(api, request, struct key_order, key_order_run);
    *(struct key_order *)change->data = order;
    change->forget_key = id;
    change_begin(change, request);
}

void api_key_revoke(struct api *api, struct http_request *request)
{
    key_order(api, request, (struct key_order){key_end});
}

void api_key_sign_out(struct api *api, struct http_request *request)
{
    key_order(api, request, (struct key_order){key_sign_out});
}

void api_key_pause(struct api *api, struct http_request *request)
{
    key_order(api, request, (struct key_order){key_halt});
}

void api_key_release(struct api *api, struct http_request *request)
{
    key_order(api, request, (struct key_order){key_let_go});
}

/* ── brands ── */

void api_brand_list(struct api *api, struct http_request *request)
{
    struct fault why = {0};
    struct brands brands = caller_brands(api_caller(request));
    SCOPED(rows) rows = {0};
    SCOPED(buf) sql = BUF(4096);
    SCOPED(buf) out = BUF(ANSWER_MAX);
    struct json json = {&out};
    buf_text(&sql, "SELECT id, name, from_name, from_address, reply_to, return_path_domain, link_base, created_ms FROM "
                   "brand WHERE id > 0");
    brands_condition(&brands, "id", &sql);
    buf_printf(&sql, " ORDER BY id DESC LIMIT %d", BRANDS_SHOWN);
    bool ok = db_query(api->db, &why, &rows, buf_cstr(&sql), NO_VALUES);
    json_object_begin(&json);
    json_put_array(&json, "items");
    while (ok && rows_next(&rows)) {
        json_object_begin(&json);
        json_put_id(&json, "id", (uint64_t)rows_int(&rows, 0));
        json_put_string(&json, "name", rows_text(&rows, 1));
        json_put_string(&json, "from_name", rows_text(&rows, 2));
        json_put_string(&json, "from_address", rows_text(&rows, 3));
        json_put_string(&json, "reply_to", rows_text(&rows, 4));
        json_put_string(&json, "return_path_domain", rows_text(&rows, 5));
        json_put_string(&json, "link_base", rows_text(&rows, 6));
        json_put_time(&json, "created_at", rows_int(&rows, 7));
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
