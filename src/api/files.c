/* files.c - files for download: listed, shown, removed (S27); file_add.c takes them */
#include "api/body.h"
#include "api/change.h"
#include "api/file_json.h"
#include "api/page.h"
#include <stdio.h>

void hosted_link(const struct token_ring *ring, struct slice link_base, uint64_t delivery_id,
                 const struct hosted_file *file, struct buf *out)
{
    if (!token_ring_has(ring, TOKEN_FILE) || !link_base.len)
        return;
    buf_append(out, link_base);
    buf_text(out, "/f/");
    token_make(ring, TOKEN_FILE, &(struct token){delivery_id, file->id}, file->expires, out);
}

void hosted_write(struct json *json, const struct hosted_file *file, struct slice link)
{
    SCOPED(buf) sha256 = BUF(HOSTED_ETAG_LEN);
    hosted_etag(&file->body, &sha256);
    json_object_begin(json);
    json_put_id(json, "id", file->id);
    json_put_id(json, "brand_id", file->brand_id);
    json_put_string(json, "name", file->name);
    json_put_string(json, "type", file->type);
    json_put_int(json, "size_bytes", (int64_t)file->body.size_bytes);
    json_put_string(json, "sha256", slice_of(sha256.ptr + 1, sha256.len - 2));
    json_put_string(json, "state", hosted_state_word(file->state));
    json_put_id(json, "message_id", file->message_id);
    json_put_time(json, "created_at", file->created);
    json_put_time(json, "expires_at", file->expires);
    json_put_time(json, "ended_at", file->ended);
    json_put_int(json, "downloads", (int64_t)file->downloads);
    json_put_string(json, "link", file->state == HOSTED_THERE ? link : SLICE(""));
    json_end(json);
}

/* Where links of the file's brand begin; "": nobody knows. */
static struct slice base_of(struct api *api, struct http_request *request, const struct hosted_file *file)
{
    char brand[24];
    const char *missing;
    struct sender *sender;
    struct fault why = {0};
    snprintf(brand, sizeof(brand), "%llu", (unsigned long long)file->brand_id);
    bool ok = sender_find(&api->senders, api->db, api_caller(request), slice_str(brand),
                          world_monotonic(api->options.world), &sender, &missing, &why);
    return ok && sender ? sender->brand.link_base : SLICE("");
}

/* Nobody's link. */
static struct slice link_of(struct api *api, struct http_request *request, const struct hosted_file *file)
{
    SCOPED(buf) link = BUF(2048);
    hosted_link(api->options.ring, base_of(api, request, file), 0, file, &link);
    return arena_copy(&request->arena, buf_slice(&link));
}

void api_file_list(struct api *api, struct http_request *request)
{
    unsigned limit;
    uint64_t before;
    size_t count;
    struct slice ended;
    struct hosted_file *files;
    struct fault why = {0};
    struct brands brands = caller_brands(api_caller(request));
    SCOPED(buf) out = BUF(ANSWER_MAX);
    struct json json = {&out};
    if (!page_by_id(request, &limit, &before) || !query_text(request, "ended", &ended))
        return;
    if (!hosted_list(api->db, &why, &brands, before, limit + 1, slice_equal(ended, SLICE("true")), api_now(api),
                     &request->arena, &files, &count)) {
        answer_fault(request, &why, 400);
        return;
    }
    bool has_more = count > limit;
    count = has_more ? limit : count;
    json_object_begin(&json);
    json_put_array(&json, "items");
    for (size_t i = 0; i < count; i++)
        hosted_write(&json, &files[i], link_of(api, request, &files[i]));
    json_end(&json);
    page_close(&json, count ? files[count - 1].id : 0, has_more);
    answer_json(request, &out);
}

/* False: it is not there, or another brand's. */
static bool file_seen(struct db *db, struct brands brands, struct slice id_text, time_ms now, struct arena *arena,
                      struct hosted_file *file, bool *found, struct fault *why)
{
    uint64_t id;
    *found = false;
    if (!id_parse(id_text, &id))
        return true;
    if (!hosted_find(db, why, id, now, arena, file, found))
        return false;
    *found = *found && brands_have(&brands, file->brand_id);
    return true;
}

void api_file_show(struct api *api, struct http_request *request)
{
    struct hosted_file file;
    struct fault why = {0};
    bool found;
    SCOPED(buf) out = BUF(65536);
    struct json json = {&out};
    if (!file_seen(api->db, caller_brands(api_caller(request)), http_param(request, "id"), api_now(api),
                   &request->arena, &file, &found, &why)) {
        answer_fault(request, &why, 400);
    } else if (!found) {
        answer_no_such(request, "file");
    } else {
        hosted_write(&json, &file, link_of(api, request, &file));
        answer_json(request, &out);
    }
}

struct extending {
    struct slice id, link_base;
    int64_t days;
};

static bool extend_run(struct change *change, struct db *db, struct fault *why)
{
    const struct extending *extending = change->data;
    struct hosted_file file;
    bool found, was_there;
    SCOPED(buf) link = BUF(2048);
    if (!file_seen(db, change_brands(change), extending->id, change->now, &change->work, &file, &found, why))
        return false;
    if (!found)
        return change_refuse(change, 404, "", "there is no such file");
    file.expires = change->now + DAYS_MS(extending->days);
    if (!hosted_extend(db, why, file.id, file.expires, change->now, &was_there))
        return false;
    if (!was_there)
        return change_refuse(change, 409, "", "the file was removed or has expired: add it again");
    hosted_link(change->api->options.ring, extending->link_base, 0, &file, &link);
    hosted_write(&change->json, &file, buf_slice(&link));
    return true;
}

void api_file_change(struct api *api, struct http_request *request)
{
    SCOPED(body) body = {0};
    struct hosted_file file;
    struct fault why = {0};
    bool found;
    if (!body_begin(&body, request))
        return;
    if (!body_has(&body, "days"))
        body_wrong(&body, "days", "so many days from now it can be downloaded: 1 to %d", HOSTED_DAYS_MOST);
    int64_t days = body_int(&body, "days", 1, HOSTED_DAYS_MOST, 1);
    if (!body_end(&body))
        return;
    struct slice id = http_param(request, "id");
    if (!file_seen(api->db, caller_brands(api_caller(request)), id, api_now(api), &request->arena, &file, &found,
                   &why)) {
        answer_fault(request, &why, 400);
    } else if (!found) {
        answer_no_such(request, "file");
    } else {
        struct change *change = change_new(api, request, struct extending, extend_run);
        *(struct extending *)change->data = (struct extending){
            arena_copy(&change->arena, id), arena_copy(&change->arena, base_of(api, request, &file)), days};
        change_begin(change, request);
    }
}

static bool remove_run(struct change *change, struct db *db, struct fault *why)
{
    struct hosted_file file;
    bool found, was_there;
    change->status = 204;
    if (!file_seen(db, change_brands(change), *(struct slice *)change->data, change->now, &change->work, &file, &found,
                   why))
        return false;
    if (!found)
        return change_refuse(change, 404, "", "there is no such file");
    return hosted_remove(db, why, file.id, change->now, &was_there);
}

void api_file_remove(struct api *api, struct http_request *request)
{
    struct change *change = change_new(api, request, struct slice, remove_run);
    *(struct slice *)change->data = arena_copy(&change->arena, http_param(request, "id"));
    change_begin(change, request);
}
