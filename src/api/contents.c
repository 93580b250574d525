/* contents.c - contents, version by version: a version never changes, correcting makes a new one */
#include "api/body.h"
#include "api/change.h"
#include "api/page.h"
#include "campaign/brand.h"
#include <stdio.h>

static void content_write(struct json *json, const struct content_version *version, bool is_whole)
{
    json_object_begin(json);
    json_put_id(json, "id", version->id);
    json_put_id(json, "brand_id", version->brand_id);
    json_put_string(json, "name", version->name);
    json_put_string(json, "subject", version->subject);
    json_put_string(json, "preheader", version->preheader);
    if (is_whole) {
        json_put_string(json, "html", version->html);
        json_put_string(json, "text", version->text);
        json_put_bool(json, "count_clicks", version->counts_clicks);
        json_put_bool(json, "count_opens", version->counts_opens);
    }
    json_put_time(json, "created_at", version->created);
    json_end(json);
}

void api_content_list(struct api *api, struct http_request *request)
{
    unsigned limit;
    uint64_t before;
    struct slice name;
    struct fault why = {0};
    struct brands brands = caller_brands(api_caller(request));
    if (!page_by_id(request, &limit, &before) || !query_text(request, "name", &name))
        return;
    SCOPED(rows) rows = {0};
    SCOPED(buf) sql = BUF(4096);
    SCOPED(buf) out = BUF(ANSWER_MAX);
    struct json json = {&out};
    size_t count = 0;
    uint64_t last = 0;
    buf_text(&sql, "SELECT id, brand_id, name, subject, preheader, created_ms FROM content_version WHERE id < $1 AND "
                   "($3 = '' OR name = $3)");
    brands_condition(&brands, "brand_id", &sql);
    buf_text(&sql, " ORDER BY id DESC LIMIT $2");
    json_object_begin(&json);
    json_put_array(&json, "items");
    bool ok = db_query(api->db, &why, &rows, buf_cstr(&sql),
                       VALUES(V_INT(before ? (int64_t)before : INT64_MAX), V_INT((int64_t)limit + 1), V_TEXT(name)));
    for (; ok && rows_next(&rows); count++) {
        const struct content_version version = {.id = (uint64_t)rows_int(&rows, 0),
                                                .brand_id = (uint64_t)rows_int(&rows, 1),
                                                .name = rows_text(&rows, 2),
                                                .subject = rows_text(&rows, 3),
                                                .preheader = rows_text(&rows, 4),
                                                .created = rows_int(&rows, 5)};
        if (count >= limit)
            continue;
        last = version.id;
        content_write(&json, &version, false);
    }
    json_end(&json);
    page_close(&json, last, count > limit);
    if (ok && rows_end(&rows))
        answer_json(request, &out);
    else
        answer_fault(request, &why, 400);
}

void api_content_show(struct api *api, struct http_request *request)
{
    uint64_t id;
    struct content_version version;
    struct fault why = {0};
    SCOPED(buf) out = BUF(ANSWER_MAX);
    struct json json = {&out};
    if (id_parse(http_param(request, "id"), &id) &&
        content_version_find(api->db, &why, id, &request->arena, &version) &&
        key_may_brand(&api_caller(request)->key.rights, version.brand_id)) {
        content_write(&json, &version, true);
        answer_json(request, &out);
    } else if (why.kind != FAULT_NONE && why.kind != FAULT_INPUT) {
        answer_fault(request, &why, 400);
    } else {
        answer_no_such(request, "content");
    }
}

static bool content_make_run(struct change *change, struct db *db, struct fault *why)
{
    struct content_version *version = change->data;
    if (!content_version_create(db, why, version, change->now)) {
        if (why->kind != FAULT_INPUT)
            return false;
        struct slice text = slice_str(why->text), field; /* "html, line 3, column 5: ..." */
        char name[60];
        if (!slice_split(&text, ',', &field) || field.len >= sizeof(name) || !text.ptr)
            return false;
        snprintf(name, sizeof(name), "%.*s", SLICE_ARG(field));
        return change_refuse(change, 400, name, "%s", why->text);
    }
    change->status = 201;
    content_write(&change->json, version, true);
    return true;
}

void api_content_create(struct api *api, struct http_request *request)
{
    SCOPED(body) body = {0};
    struct fault why = {0};
    struct sender *sender;
    if (!body_begin(&body, request))
        return;
    struct content_version given = {.name = body_line_required(&body, "name", 200),
                                    .subject = body_line_required(&body, "subject", 2000),
                                    .preheader = body_line(&body, "preheader", 2000),
                                    .html = body_text(&body, "html", 2 << 20),
                                    .text = body_text(&body, "text", 2 << 20),
                                    .counts_clicks = body_bool(&body, "count_clicks", false),
                                    .counts_opens = body_bool(&body, "count_opens", false)};
    if (!given.html.len && !given.text.len)
        body_wrong(&body, "html", "a content has html, text or both");
    if (!body_brand(api, &body, &sender, &why)) {
        answer_fault(request, &why, 400);
        return;
    }
    if (!body_end(&body))
        return;
    struct change *change = change_new(api, request, struct content_version, content_make_run);
    struct content_version *version = change->data;
    *version = (struct content_version){.brand_id = sender->brand.id,
                                        .name = arena_copy(&change->arena, given.name),
                                        .subject = arena_copy(&change->arena, given.subject),
                                        .preheader = arena_copy(&change->arena, given.preheader),
                                        .html = arena_copy(&change->arena, given.html),
                                        .text = arena_copy(&change->arena, given.text),
                                        .counts_clicks = given.counts_clicks,
                                        .counts_opens = given.counts_opens};
    change_begin(change, request);
}
