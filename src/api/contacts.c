/* contacts.c - people: searched, shown, made, changed, deleted */
#include "api/body.h"
#include "api/change.h"
#include "api/page.h"
#include "api/people.h"
#include "api/suppression_json.h"
#include "mail/address.h"

enum { LISTS_GIVEN_MAX = 100, SQL_MAX = 65536 };

static bool answer_contact(struct json *json, struct db *db, const struct contact *contact, struct brands brands,
                           time_ms now, struct arena *arena, struct fault *why)
{
    SCOPED(rows) rows = {0};
    SCOPED(buf) sql = BUF(4096);
    struct suppression found;
    bool is_suppressed;
    json_object_begin(json);
    contact_write(json, contact, &brands);
    json_put_array(json, "lists");
    buf_text(&sql, "SELECT l.id, l.name FROM list_member m JOIN list l ON l.id = m.list_id WHERE m.bucket = $1 AND "
                   "m.contact_id = $2");
    brands_condition(&brands, "l.brand_id", &sql);
    buf_text(&sql, " ORDER BY l.id LIMIT 1000");
    if (!db_query(db, why, &rows, buf_cstr(&sql), VALUES(V_INT(id_bucket(contact->id)), V_INT((int64_t)contact->id))))
        return false;
    while (rows_next(&rows)) {
        json_object_begin(json);
        json_put_id(json, "id", (uint64_t)rows_int(&rows, 0));
        json_put_string(json, "name", rows_text(&rows, 1));
        json_end(json);
    }
    json_end(json);
    if (!rows_end(&rows) || !suppress_check(db, why, contact->address, brands.count == 1 ? brands.ids[0] : 0, SLICE(""),
                                            now, &is_suppressed, arena, &found))
        return false;
    json_put_string(json, "suppressed", is_suppressed ? suppression_reason(&found) : SLICE(""));
    json_end(json);
    return true;
}

/* ── looking ── */

struct contact_rows {
    struct json *json;
    struct brands brands;
};
static bool contact_take(void *context, size_t index, const struct rows *row, struct fault *why)
{
    struct contact_rows *rows = context;
    const struct contact contact = {
        .id = (uint64_t)rows_int(row, 0),
        .written = rows_text(row, 1),
        .name = rows_text(row, 2),
        .fields = rows_text(row, 3),
        .consent = rows_text(row, 4),
        .created = rows_int(row, 5),
        .updated = rows_int(row, 6),
        .is_unconfirmed = rows_int(row, 7) != 0,
        .brand_id = (uint64_t)rows_int(row, 8),
    };
    json_object_begin(rows->json);
    contact_write(rows->json, &contact, &rows->brands);
    json_end(rows->json);
    return true;
}

static bool list_filter(struct api *api, struct http_request *request, uint64_t *list_id)
{
    struct slice text;
    struct list list;
    struct fault why = {0};
    bool found = false;
    *list_id = 0;
    if (!http_query(request, "list", &text) || !text.len)
        return true;
    if (id_parse(text, list_id) &&
        !list_is_seen(api->db, caller_brands(api_caller(request)), *list_id, &request->arena, &list, &found, &why)) {
        answer_fault(request, &why, 400);
        return false;
    }
    if (!found)
        answer_problem(request, 400, "list", "there is no such list");
    return found;
}

void api_contact_list(struct api *api, struct http_request *request)
{
    unsigned limit;
    uint64_t before, list_id;
    struct slice q;
    struct fault why = {0};
    struct page_ids page;
    SCOPED(buf) sql = BUF(SQL_MAX);
    if (!page_by_id(request, &limit, &before) || !query_text(request, "q", &q) || !list_filter(api, request, &list_id))
        return;
    buf_text(&sql, "SELECT id FROM contact WHERE bucket = $1 AND id < $2 AND moved_to = 0");
    if (q.len)
        buf_str(&sql, db_pick(api->db, " AND (address LIKE $4 ESCAPE '\\' OR name LIKE $4 ESCAPE '\\')",
                              " AND (address ILIKE $4 ESCAPE '\\' OR name ILIKE $4 ESCAPE '\\')"));
    bool ok = seen_condition(api->db, caller_brands(api_caller(request)), list_id, &sql, &why);
    buf_text(&sql, " ORDER BY id DESC LIMIT $3");
    const struct value more[] = {V_TEXT(q.len ? db_like(q, &request->arena) : SLICE(""))};
    ok = ok && page_ids(api->db, buf_cstr(&sql), more, q.len ? 1 : 0, before, limit, &request->arena, &page, &why);
    SCOPED(buf) out = BUF(ANSWER_MAX);
    struct json json = {&out};
    struct contact_rows rows = {&json, caller_brands(api_caller(request))};
    json_object_begin(&json);
    json_put_array(&json, "items");
    ok = ok &&
         page_rows(
             api->db, &page,
             "SELECT id, written, name, fields, consent, created_ms, updated_ms, unconfirmed, brand_id FROM contact "
             "WHERE bucket = $1 AND id = $2",
             contact_take, &rows, &request->arena, &why);
    if (!ok) {
        answer_fault(request, &why, 400);
        return;
    }
    json_end(&json);
    page_close(&json, page.count ? page.ids[page.count - 1] : 0, page.has_more);
    answer_json(request, &out);
}

/* By id, of those that these brands see. */
static bool contact_seen(struct db *db, struct brands brands, uint64_t id, struct arena *arena, struct contact *contact,
                         bool *found, struct fault *why)
{
    bool is_seen = false;
    if (!contact_by_id(db, why, id, arena, contact, found) ||
        (*found && !contact_is_seen(db, brands, contact, &is_seen, why)))
        return false;
    *found = *found && is_seen && !contact->moved_to;
    return true;
}

void api_contact_show(struct api *api, struct http_request *request)
{
    uint64_t id;
    struct contact contact;
    struct fault why = {0};
    bool found = false;
    struct brands brands = caller_brands(api_caller(request));
    SCOPED(buf) out = BUF(ANSWER_MAX);
    struct json json = {&out};
    if (id_parse(http_param(request, "id"), &id) &&
        !contact_seen(api->db, brands, id, &request->arena, &contact, &found, &why))
        answer_fault(request, &why, 400);
    else if (!found)
        answer_no_such(request, "contact");
    else if (!answer_contact(&json, api->db, &contact, brands, api_now(api), &request->arena, &why))
        answer_fault(request, &why, 400);
    else
        answer_json(request, &out);
}

/* ── changing ── */

struct contact_edit {
    uint64_t id; /* 0: by the address */
    struct address address;
    struct slice name, consent;
    json_t *fields; /* NULL: as they are */
    bool has_name, has_consent;
    uint64_t lists[LISTS_GIVEN_MAX], list_brands[LISTS_GIVEN_MAX];
    size_t list_count;
};

static void edit_read(struct body *body, struct contact_edit *edit)
{
    edit->has_name = body_has(body, "name");
    edit->name = body_line(body, "name", CONTACT_NAME_MAX);
    edit->has_consent = body_has(body, "consent");
    edit->consent = body_line(body, "consent", CONTACT_CONSENT_MAX);
    edit->fields = body_member(body, "fields");
    if (edit->fields && !json_is_object(edit->fields))
        body_wrong(body, "fields", "fields is an object");
    const char *key;
    json_t *value;
    json_object_foreach(edit->fields, key, value) if (!json_is_string(value) && !json_is_null(value))
        body_wrong(body, "fields", "a field's value is a string, or null to take it away");
    json_t *lists = body_member(body, "list_ids");
    if (lists && (!json_is_array(lists) || json_array_size(lists) > LISTS_GIVEN_MAX)) {
        body_wrong(body, "list_ids", "list_ids is an array of at most %d ids", LISTS_GIVEN_MAX);
        return;
    }
    for (size_t i = 0; i < json_array_size(lists); i++) {
        struct slice text;
        if (!body_line_of(body, "list_ids", json_array_get(lists, i), 30, &text))
            return;
        if (!id_parse(text, &edit->lists[edit->list_count++]))
            body_wrong(body, "list_ids", "list_ids holds something that is no id");
    }
}

/* What was there and what is given, as JSON text. */
static bool fields_merge(struct change *change, struct slice before, const json_t *given, struct slice *fields)
{
    json_t *object = json_loadb(before.ptr ? before.ptr : "{}", before.len ? before.len : 2, 0, NULL), *value;
    const char *key;
    if (!json_is_object(object)) {
        json_decref(object);
        object = json_object();
    }
    json_object_foreach((json_t *)(uintptr_t)given, key, value)
    {
        if (json_is_null(value))
            json_object_del(object, key);
        else
            json_object_set(object, key, value);
    }
    char *text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    size_t len = text ? strlen(text) : 0;
    bool ok = len && len <= CONTACT_FIELDS_MAX;
    if (ok)
        *fields = arena_copy(&change->work, slice_of(text, len));
    free(text);
    return ok || change_refuse(change, 400, "fields", "the fields are larger than %d bytes", CONTACT_FIELDS_MAX);
}

static bool lists_check(struct change *change, struct db *db, struct fault *why)
{
    struct contact_edit *edit = change->data;
    struct list list;
    for (size_t i = 0; i < edit->list_count; i++) {
        bool found;
        if (!list_is_seen(db, change_brands(change), edit->lists[i], &change->work, &list, &found, why))
            return false;
        if (!found)
            return change_refuse(change, 400, "list_ids", "there is no list %llu", (unsigned long long)edit->lists[i]);
        edit->list_brands[i] = list.brand_id;
    }
    return true;
}

static bool edit_write(struct change *change, struct db *db, struct contact *contact, struct fault *why)
{
    struct contact_edit *edit = change->data;
    for (size_t i = 0; i < edit->list_count; i++)
        if (contact->brand_id && contact->brand_id != edit->list_brands[i])
            return change_refuse(change, 400, "list_ids", "list %llu belongs to another brand than the contact",
                                 (unsigned long long)edit->lists[i]);
    if (edit->has_name)
        contact->name = edit->name;
    if (edit->has_consent)
        contact->consent = edit->consent;
    if (edit->fields && !fields_merge(change, contact->fields, edit->fields, &contact->fields))
        return false;
    if (!contact_change(db, why, contact, change->now))
        return false;
    contact->updated = change->now;
    for (size_t i = 0; i < edit->list_count; i++)
        if (!list_add(db, why, edit->lists[i], &contact->id, 1, change->now))
            return false;
    return answer_contact(&change->json, db, contact, change_brands(change), change->now, &change->work, why);
}

/* Whose contact a program means: the house's, or, bound to brands, the one its brand knows. What others know of the
 * address is not looked at, so that the answer cannot tell it (X17). */
static bool contact_meant(struct change *change, struct db *db, struct contact *contact, bool *found, struct fault *why)
{
    struct contact_edit *edit = change->data;
    if (!change_brands(change).count)
        return contact_by_address(db, why, edit->address.identity, &change->work, contact, found);
    uint64_t brand_id = edit->list_brands[0];
    for (size_t i = 1; i < edit->list_count; i++)
        if (edit->list_brands[i] != brand_id)
            return change_refuse(change, 400, "list_ids", "the lists are of several brands; one call for each brand");
    if (!contact_of_brand(db, why, brand_id, edit->address.identity, &change->work, contact, found))
        return false;
    if (!*found)
        contact->brand_id = brand_id;
    return *found || edit->consent.len ||
           change_refuse(change, 400, "consent", "consent says where the permission to write to a new contact is from");
}

static bool contact_put_run(struct change *change, struct db *db, struct fault *why)
{
    struct contact_edit *edit = change->data;
    struct contact contact = {0};
    bool found;
    if (!lists_check(change, db, why) || !contact_meant(change, db, &contact, &found, why))
        return false;
    if (!found) {
        contact = (struct contact){.address = edit->address.identity,
                                   .written = edit->address.written,
                                   .has_rfc_violation = edit->address.has_rfc_violation,
                                   .brand_id = contact.brand_id,
                                   .created = change->now};
        change->status = 201;
        if (!contact_save(db, why, &contact, 1, change->now, NULL))
            return false;
    }
    return edit_write(change, db, &contact, why);
}

static bool contact_patch_run(struct change *change, struct db *db, struct fault *why)
{
    struct contact_edit *edit = change->data;
    struct contact contact;
    bool found;
    if (!lists_check(change, db, why) ||
        !contact_seen(db, change_brands(change), edit->id, &change->work, &contact, &found, why))
        return false;
    return found ? edit_write(change, db, &contact, why) : change_refuse(change, 404, "", "there is no such contact");
}

/* The texts outlive the request. */
static void edit_begin(struct api *api, struct http_request *request, const struct contact_edit *edit,
                       bool (*run)(struct change *change, struct db *db, struct fault *why))
{
    struct change *change = change_new(api, request, struct contact_edit, run);
    struct contact_edit *own = change->data;
    *own = *edit;
    own->name = arena_copy(&change->arena, edit->name);
    own->consent = arena_copy(&change->arena, edit->consent);
    own->address.identity = arena_copy(&change->arena, edit->address.identity);
    own->address.written = arena_copy(&change->arena, edit->address.written);
    change->free_json = own->fields = json_incref(edit->fields);
    change_begin(change, request);
}

void api_contact_put(struct api *api, struct http_request *request)
{
    SCOPED(body) body = {0};
    struct contact_edit edit = {0};
    struct fault why = {0};
    if (!body_begin(&body, request))
        return;
    struct slice email = body_line_required(&body, "email", 1000);
    if (email.len && !address_of_person(email, &request->arena, &edit.address, &why))
        body_wrong(&body, "email", "email: %s", why.text);
    edit_read(&body, &edit);
    if (api_caller(request)->key.rights.brand_count && !edit.list_count)
        body_wrong(&body, "list_ids", "a key that is bound to brands puts a contact on a list of one of them");
    if (body_end(&body))
        edit_begin(api, request, &edit, contact_put_run);
}

void api_contact_change(struct api *api, struct http_request *request)
{
    SCOPED(body) body = {0};
    struct contact_edit edit = {0};
    if (!body_begin(&body, request))
        return;
    edit_read(&body, &edit);
    if (!body_end(&body))
        return;
    if (id_parse(http_param(request, "id"), &edit.id))
        edit_begin(api, request, &edit, contact_patch_run);
    else
        answer_no_such(request, "contact");
}

static bool contact_delete_run(struct change *change, struct db *db, struct fault *why)
{
    uint64_t id = *(uint64_t *)change->data;
    struct contact contact;
    struct brands brands = change_brands(change);
    bool found;
    if (!contact_seen(db, brands, id, &change->work, &contact, &found, why))
        return false;
    if (!found)
        return change_refuse(change, 404, "", "there is no such contact");
    change->status = 204;
    if (!brands.count || contact.brand_id)
        return contact_delete(db, why, id, &found);
    SCOPED(buf) sql = BUF(4096); /* a brand lets go of him; others may know him */
    buf_text(&sql, "DELETE FROM list_member WHERE bucket = $1 AND contact_id = $2 AND list_id IN (SELECT id FROM list "
                   "WHERE id > 0");
    brands_condition(&brands, "brand_id", &sql);
    buf_byte(&sql, ')');
    return db_do(db, why, buf_cstr(&sql), VALUES(V_INT(id_bucket(id)), V_INT((int64_t)id)), NULL);
}

void api_contact_delete(struct api *api, struct http_request *request)
{
    uint64_t id;
    if (!id_parse(http_param(request, "id"), &id)) {
        answer_no_such(request, "contact");
        return;
    }
    struct change *change = change_new(api, request, uint64_t, contact_delete_run);
    *(uint64_t *)change->data = id;
    change_begin(change, request);
}
