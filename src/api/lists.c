/* lists.c - lists, and who is on them */
#include "api/body.h"
#include "api/change.h"
#include "api/people.h"
#include "audience/optin.h"

enum { MEMBERS_GIVEN_MAX = 10000, LIST_NAME_MAX = 200 };

static void list_write(struct json *json, const struct list *list)
{
    json_object_begin(json);
    json_put_id(json, "id", list->id);
    json_put_id(json, "brand_id", list->brand_id);
    json_put_string(json, "name", list->name);
    json_put_string(json, "title", list->title);
    json_put_string(json, "notice", list->notice);
    json_put_bool(json, "has_form", list->has_form);
    json_put_int(json, "members", list->members);
    json_put_time(json, "created_at", list->created);
    json_end(json);
}

void api_list_list(struct api *api, struct http_request *request)
{
    struct fault why = {0};
    struct list *lists;
    size_t count;
    struct brands brands = caller_brands(api_caller(request));
    SCOPED(buf) out = BUF(ANSWER_MAX);
    struct json json = {&out};
    if (!list_all(api->db, &why, &request->arena, &lists, &count)) {
        answer_fault(request, &why, 400);
        return;
    }
    json_object_begin(&json);
    json_put_array(&json, "items");
    for (size_t i = 0; i < count; i++)
        if (brands_have(&brands, lists[i].brand_id))
            list_write(&json, &lists[i]);
    json_end(&json);
    json_put_null(&json, "next_cursor");
    json_end(&json);
    answer_json(request, &out);
}

void api_list_show(struct api *api, struct http_request *request)
{
    uint64_t id;
    struct list list;
    struct fault why = {0};
    bool found = false;
    SCOPED(buf) out = BUF(65536);
    struct json json = {&out};
    if (id_parse(http_param(request, "id"), &id) &&
        !list_is_seen(api->db, caller_brands(api_caller(request)), id, &request->arena, &list, &found, &why)) {
        answer_fault(request, &why, 400);
    } else if (!found) {
        answer_no_such(request, "list");
    } else {
        list_write(&json, &list);
        answer_json(request, &out);
    }
}

struct list_making {
    uint64_t brand_id;
    struct slice name;
};

static bool list_make_run(struct change *change, struct db *db, struct fault *why)
{
    const struct list_making *making = change->data;
    struct list list;
    uint64_t id;
    bool is_new, found;
    if (!list_create(db, why, making->brand_id, making->name, change->now, &id, &is_new) ||
        !list_by_id(db, why, id, &change->work, &list, &found))
        return false;
    if (!is_new)
        return change_refuse(change, 409, "name", "there is a list of this name already: %llu", (unsigned long long)id);
    change->status = 201;
    list_write(&change->json, &list);
    return true;
}

void api_list_create(struct api *api, struct http_request *request)
{
    SCOPED(body) body = {0};
    struct fault why = {0};
    struct sender *sender;
    if (!body_begin(&body, request))
        return;
    struct slice name = body_line_required(&body, "name", LIST_NAME_MAX);
    if (!body_brand(api, &body, &sender, &why)) {
        answer_fault(request, &why, 400);
        return;
    }
    if (!body_end(&body))
        return;
    struct change *change = change_new(api, request, struct list_making, list_make_run);
    *(struct list_making *)change->data = (struct list_making){sender->brand.id, arena_copy(&change->arena, name)};
    change_begin(change, request);
}

struct list_edit {
    uint64_t id;
    struct slice title, notice;
    bool has_title, has_notice, has_form, form;
};

static bool list_change_run(struct change *change, struct db *db, struct fault *why)
{
    const struct list_edit *edit = change->data;
    struct list list;
    bool found;
    if (!list_is_seen(db, change_brands(change), edit->id, &change->work, &list, &found, why))
        return false;
    if (!found)
        return change_refuse(change, 404, "", "there is no such list");
    if (edit->has_title)
        list.title = edit->title;
    if (edit->has_notice)
        list.notice = edit->notice;
    if (edit->has_form)
        list.has_form = edit->form;
    list_write(&change->json, &list);
    return list_publish(db, why, &list);
}

void api_list_change(struct api *api, struct http_request *request)
{
    SCOPED(body) body = {0};
    struct list_edit edit = {0};
    if (!body_begin(&body, request))
        return;
    edit.has_title = body_has(&body, "title");
    edit.title = body_line(&body, "title", OPTIN_TITLE_MAX);
    edit.has_notice = body_has(&body, "notice");
    edit.notice = body_text(&body, "notice", OPTIN_NOTICE_MAX);
    edit.has_form = body_has(&body, "has_form");
    edit.form = body_bool(&body, "has_form", false);
    if (!body_end(&body))
        return;
    if (!id_parse(http_param(request, "id"), &edit.id)) {
        answer_no_such(request, "list");
        return;
    }
    struct change *change = change_new(api, request, struct list_edit, list_change_run);
    struct list_edit *own = change->data;
    *own = edit;
    own->title = arena_copy(&change->arena, edit.title);
    own->notice = arena_copy(&change->arena, edit.notice);
    change_begin(change, request);
}

/* ── members ── */

struct members {
    uint64_t list_id;
    uint64_t *ids;
    size_t count;
};

static bool members_add_run(struct change *change, struct db *db, struct fault *why)
{
    const struct members *members = change->data;
    struct brands brands = change_brands(change);
    struct list list;
    struct contact contact;
    bool found;
    if (!list_is_seen(db, brands, members->list_id, &change->work, &list, &found, why))
        return false;
    if (!found)
        return change_refuse(change, 404, "", "there is no such list");
    for (size_t i = 0; i < members->count; i++) {
        bool is_seen = false;
        if (!contact_by_id(db, why, members->ids[i], &change->work, &contact, &found) ||
            (found && !contact_is_seen(db, brands, &contact, &is_seen, why)))
            return false;
        if (!found || !is_seen)
            return change_refuse(change, 400, "contact_ids", "there is no contact %llu",
                                 (unsigned long long)members->ids[i]);
        if (contact.brand_id && contact.brand_id != list.brand_id)
            return change_refuse(change, 400, "contact_ids", "contact %llu belongs to another brand than the list",
                                 (unsigned long long)members->ids[i]);
    }
    change->status = 204;
    return list_add(db, why, members->list_id, members->ids, members->count, change->now);
}

void api_list_members_add(struct api *api, struct http_request *request)
{
    SCOPED(body) body = {0};
    if (!body_begin(&body, request))
        return;
    json_t *ids = body_member(&body, "contact_ids");
    size_t count = json_array_size(ids);
    if (!json_is_array(ids) || !count || count > MEMBERS_GIVEN_MAX)
        body_wrong(&body, "contact_ids", "contact_ids is an array of 1 to %d ids", MEMBERS_GIVEN_MAX);
    struct members members = {.ids = ARENA_ARRAY(&request->arena, uint64_t, count + 1)};
    for (size_t i = 0; !body.is_wrong && i < count; i++) {
        struct slice text;
        if (body_line_of(&body, "contact_ids", json_array_get(ids, i), 30, &text) && !id_parse(text, &members.ids[i]))
            body_wrong(&body, "contact_ids", "contact_ids holds something that is no id");
    }
    if (!body_end(&body))
        return;
    if (!id_parse(http_param(request, "id"), &members.list_id)) {
        answer_no_such(request, "list");
        return;
    }
    struct change *change = change_new(api, request, struct members, members_add_run);
    uint64_t *own = ARENA_ARRAY(&change->arena, uint64_t, count);
    memcpy(own, members.ids, count * sizeof(*own));
    change->job.rows = (unsigned)count;
    *(struct members *)change->data = (struct members){members.list_id, own, count};
    change_begin(change, request);
}

static bool member_remove_run(struct change *change, struct db *db, struct fault *why)
{
    const struct members *members = change->data;
    struct list list;
    bool found;
    if (!list_is_seen(db, change_brands(change), members->list_id, &change->work, &list, &found, why) ||
        (found && !list_remove(db, why, members->list_id, members->ids[0], &found)))
        return false;
    change->status = 204;
    return found || change_refuse(change, 404, "", "there is no such member of such a list");
}

void api_list_member_remove(struct api *api, struct http_request *request)
{
    uint64_t list_id, contact_id;
    if (!id_parse(http_param(request, "id"), &list_id) || !id_parse(http_param(request, "contact_id"), &contact_id)) {
        answer_no_such(request, "member");
        return;
    }
    struct change *change = change_new(api, request, struct members, member_remove_run);
    uint64_t *own = ARENA_ARRAY(&change->arena, uint64_t, 1);
    *own = contact_id;
    *(struct members *)change->data = (struct members){list_id, own, 1};
    change_begin(change, request);
}
