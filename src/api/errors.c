/* errors.c - what came back: refusals and error mail, with what they mean */
#include "api/campaign_json.h"
#include "api/explained.h"
#include "api/people.h"
#include "base/utf8.h"
#include "event/event.h"
#include <jansson.h>

enum { RAW_MAX = 1 << 20 /* bytes of a mail that are shown; the query says so too */, TIMELINE_MAX = 200 };

/* ── the `error` object ── */

/* The column that looks like a telephone number's, under the names that lists use. */
static struct slice phone_of(struct slice fields, struct arena *arena)
{
    static const char *const keys[] = {"電話番号", "電話", "携帯電話", "携帯", "phone", "Phone", "tel", "TEL", "Tel"};
    json_t *object = json_loadb(fields.ptr, fields.len, 0, NULL);
    struct slice phone = {0};
    for (size_t i = 0; i < COUNT_OF(keys) && !phone.len; i++) {
        json_t *value = json_object_get(object, keys[i]);
        if (json_is_string(value))
            phone = arena_copy(arena, slice_of(json_string_value(value), json_string_length(value)));
    }
    json_decref(object);
    return phone;
}

/* The person, as far as these brands know him (X17): whom a message went to may be a contact of others only. */
static bool contact_of_event(struct api *api, struct brands brands, const struct event *event, struct arena *arena,
                             struct contact *contact, bool *is_found, struct fault *why)
{
    *is_found = false;
    if (event->contact_id && (!contact_by_id(api->db, why, event->contact_id, arena, contact, is_found) ||
                              (*is_found && !contact_is_seen(api->db, brands, contact, is_found, why))))
        return false;
    if (!*is_found && event->address.len &&
        !contact_of_brand(api->db, why, event->brand_id, event->address, arena, contact, is_found))
        return false;
    return *is_found || !event->address.len || brands.count ||
           contact_by_address(api->db, why, event->address, arena, contact, is_found);
}

static bool person_write(struct api *api, struct brands brands, struct json *json, const struct event *event,
                         struct arena *arena, struct fault *why)
{
    struct contact contact = {0};
    bool is_found;
    if (!contact_of_event(api, brands, event, arena, &contact, &is_found, why))
        return false;
    json_key(json, "contact");
    if (!is_found) {
        json_nothing(json);
        return true;
    }
    json_object_begin(json);
    json_put_string(json, "name", contact.name);
    json_put_string(json, "phone", phone_of(contact.fields, arena));
    json_end(json);
    return true;
}

/* The members of an `error`, into an object that is open. */
static bool error_write(struct api *api, struct brands brands, struct json *json, const struct event *event,
                        struct campaign_names *names, struct arena *arena, struct fault *why)
{
    struct explained explained = explained_of_event(api->options.rules, event);
    explained_write(json, api->options.rules, &explained);
    json_put_id(json, "id", event->id);
    json_put_time(json, "at", event->at);
    json_put_int(json, "attempts", event->attempt);
    json_put_time(json, "next_attempt_at", event->kind == EVENT_DEFERRED ? event->next_attempt_at : 0);
    json_put_id(json, "mail_id", event->mail_id);
    return person_write(api, brands, json, event, arena, why) &&
           campaign_ref_write(api, json, names, event->campaign_id, arena, why);
}

/* ── the list ── */

static bool filter_read(struct http_request *request, struct event_filter *filter)
{
    struct slice text;
    *filter = (struct event_filter){.brands = caller_brands(api_caller(request))};
    if (http_query(request, "campaign", &text) && text.len && !id_parse(text, &filter->campaign_id)) {
        answer_problem(request, 400, "campaign", "campaign is a campaign's id");
        return false;
    }
    if (http_query(request, "fault", &text) && text.len) {
        filter->by_whose = whose_of(text, &filter->whose);
        if (!filter->by_whose) {
            answer_problem(request, 400, "fault", "fault is one of address, message, sender, receiver, none");
            return false;
        }
    }
    if (http_query(request, "reason", &text) && text.len) {
        filter->by_reason = reason_of(text, &filter->reason);
        if (!filter->by_reason) {
            answer_problem(request, 400, "reason", "reason is none of those that `todoke bounce explain` names");
            return false;
        }
    }
    return query_text(request, "q", &filter->text);
}

static bool error_page_write(struct api *api, struct json *json, const struct event_filter *filter, unsigned limit,
                             struct arena *arena, struct fault *why)
{
    struct event_page page;
    struct event_filter whatever_fault = *filter;
    uint64_t faults[WHOSE_COUNT];
    struct campaign_names names = {.count = 0};
    whatever_fault.by_whose = false;
    whatever_fault.before_id = 0;
    if (!event_problems(api->db, why, filter, limit, arena, &page) ||
        !event_problem_faults(api->db, why, &whatever_fault, faults))
        return false;
    json_object_begin(json);
    json_put_array(json, "items");
    for (size_t i = 0; i < page.count; i++) {
        json_object_begin(json);
        if (!error_write(api, filter->brands, json, &page.events[i], &names, arena, why))
            return false;
        json_end(json);
    }
    json_end(json);
    json_put_id(json, "next_cursor", page.has_more ? page.events[page.count - 1].id : 0);
    json_put_object(json, "faults");
    for (unsigned whose = 0; whose < WHOSE_COUNT; whose++) {
        json_key_slice(json, whose_word((enum whose_fault)whose));
        json_int(json, (int64_t)faults[whose]);
    }
    json_end(json);
    json_end(json);
    return true;
}

void api_error_list(struct api *api, struct http_request *request)
{
    unsigned limit;
    struct slice cursor;
    struct event_filter filter;
    struct fault why = {0};
    if (!page_read(request, &limit, &cursor) || !filter_read(request, &filter))
        return;
    if (cursor.len && !id_parse(cursor, &filter.before_id)) {
        answer_bad_cursor(request);
        return;
    }
    SCOPED(buf) out = BUF(ANSWER_MAX);
    struct json json = {&out};
    if (error_page_write(api, &json, &filter, limit, &request->arena, &why))
        answer_json(request, &out);
    else
        answer_fault(request, &why, 400);
}

/* ── one error ── */

static bool timeline_write(struct api *api, struct json *json, const struct event *event, struct arena *arena,
                           struct fault *why)
{
    struct event own = *event;
    struct event_page page = {.events = &own, .count = 1};
    if (event->delivery_id && !event_timeline(api->db, why, event->delivery_id, TIMELINE_MAX, arena, &page))
        return false;
    timeline_put(json, api->options.rules, &page, arena);
    return true;
}

void api_error_show(struct api *api, struct http_request *request)
{
    uint64_t id;
    struct event event;
    struct fault why = {0};
    if (!id_parse(http_param(request, "id"), &id) || !event_find(api->db, &why, id, &request->arena, &event) ||
        !(EVENT_BIT(event.kind) & EVENT_PROBLEMS) || !key_may_brand(&api_caller(request)->key.rights, event.brand_id)) {
        if (why.kind != FAULT_NONE)
            answer_fault(request, &why, 400);
        else
            answer_no_such(request, "error");
        return;
    }
    SCOPED(buf) out = BUF(ANSWER_MAX);
    struct json json = {&out};
    struct campaign_names names = {.count = 0};
    json_object_begin(&json);
    if (!error_write(api, caller_brands(api_caller(request)), &json, &event, &names, &request->arena, &why) ||
        !timeline_write(api, &json, &event, &request->arena, &why)) {
        answer_fault(request, &why, 400);
        return;
    }
    json_end(&json);
    answer_json(request, &out);
}

/* ── the mail as it arrived: strangers' bytes, shown as text only ── */

void api_mail_raw(struct api *api, struct http_request *request)
{
    uint64_t id;
    struct fault why = {0};
    if (!api_sees_all(request))
        return;
    if (!id_parse(http_param(request, "id"), &id)) {
        answer_no_such(request, "mail");
        return;
    }
    SCOPED(buf) text = BUF(RAW_MAX * 3 + 16);
    SCOPED(rows) rows = {0};
    bool is_there = false;
    bool ok =
        db_query(api->db, &why, &rows, "SELECT substr(raw, 1, 1048576) FROM inbound WHERE bucket = $1 AND id = $2",
                 VALUES(V_INT(id_bucket(id)), V_INT((int64_t)id)));
    if (ok && rows_next(&rows)) {
        is_there = true;
        utf8_repair(&text, rows_bytes(&rows, 0));
    }
    if (!ok || !rows_end(&rows))
        answer_fault(request, &why, 400);
    else if (!is_there)
        answer_no_such(request, "mail");
    else
        http_respond(request, 200, "text/plain; charset=utf-8", buf_slice(&text));
}
