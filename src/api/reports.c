/* reports.c - what receivers report of our mail: DMARC and TLS reports that came in */
#include "api/inside.h"
#include "receive/kept_report.h"

enum { SOURCES_SHOWN_MAX = 1000 };

struct list {
    struct json *json;
    unsigned count, limit;
    uint64_t last;
    bool has_more;
};

static void report_members(struct json *json, const struct kept_report *report)
{
    json_put_id(json, "id", report->id);
    json_put_string(json, "kind", feedback_kind_word(report->kind));
    json_put_string(json, "org", report->org);
    json_put_string(json, "report_id", report->report_id);
    json_put_string(json, "domain", report->domain);
    json_put_string(json, "policy", report->policy);
    json_put_time(json, "begin", report->begin);
    json_put_time(json, "end", report->end);
    json_put_time(json, "received", report->received);
    json_put_int(json, "good", (int64_t)report->good);
    json_put_int(json, "bad", (int64_t)report->bad);
    json_put_id(json, "mail_id", report->mail_id);
    json_put_object(json, "sender");
    json_put_string(json, "domain", report->sender);
    json_put_string(json, "dkim", report->dkim);
    json_put_string(json, "dmarc", report->dmarc);
    json_end(json);
    json_put_bool(json, "is_cut", report->is_cut);
}

static bool report_write(void *context, const struct kept_report *report)
{
    struct list *list = context;
    if (list->count == list->limit) {
        list->has_more = true;
        return false;
    }
    list->count++;
    list->last = report->id;
    json_object_begin(list->json);
    report_members(list->json, report);
    json_end(list->json);
    return true;
}

static bool source_write(void *context, const struct report_source *source)
{
    struct json *json = context;
    json_object_begin(json);
    json_put_string(json, "source", source->ip);
    json_put_string(json, "domain", source->domain);
    json_put_string(json, "outcome", source->outcome);
    json_put_string(json, "dkim", source->dkim);
    json_put_string(json, "spf", source->spf);
    json_put_string(json, "detail", source->detail);
    json_put_int(json, "count", (int64_t)source->count);
    json_put_bool(json, "is_good", source->is_good);
    json_end(json);
    return true;
}

/* kind and domain of a query. False: answered with 400. */
static bool query_read(struct http_request *request, enum feedback_kind *kind, struct slice *domain)
{
    static const enum feedback_kind kinds[] = {FEEDBACK_DMARC, FEEDBACK_FAILURE, FEEDBACK_TLS};
    struct slice text;
    *kind = FEEDBACK_NONE;
    if (http_query(request, "kind", &text) && text.len) {
        for (size_t i = 0; i < COUNT_OF(kinds); i++)
            if (slice_equal(text, feedback_kind_word(kinds[i])))
                *kind = kinds[i];
        if (*kind == FEEDBACK_NONE) {
            answer_problem(request, 400, "kind", "kind is dmarc_aggregate, dmarc_failure or tls");
            return false;
        }
    }
    return query_text(request, "domain", domain);
}

void api_report_list(struct api *api, struct http_request *request)
{
    unsigned limit;
    struct slice cursor;
    struct report_filter filter = {.limit = 1};
    struct fault why = {0};
    if (!api_sees_all(request) || !page_read(request, &limit, &cursor) ||
        !query_read(request, &filter.kind, &filter.domain))
        return;
    if (cursor.len && !id_parse(cursor, &filter.before_id)) {
        answer_bad_cursor(request);
        return;
    }
    SCOPED(buf) out = BUF(ANSWER_MAX);
    struct json json = {&out};
    struct list list = {.json = &json, .limit = limit};
    filter.limit = limit + 1;
    json_object_begin(&json);
    json_put_array(&json, "items");
    if (!kept_report_list(api->db, &why, &filter, report_write, &list)) {
        answer_fault(request, &why, 400);
        return;
    }
    json_end(&json);
    json_put_id(&json, "next_cursor", list.has_more ? list.last : 0);
    json_end(&json);
    answer_json(request, &out);
}

void api_report_show(struct api *api, struct http_request *request)
{
    struct source_filter filter = {.limit = SOURCES_SHOWN_MAX};
    struct kept_report report;
    struct fault why = {0};
    bool found = false;
    if (!api_sees_all(request))
        return;
    bool is_id = id_parse(http_param(request, "id"), &filter.report);
    if (is_id && !kept_report_find(api->db, &why, filter.report, &request->arena, &report, &found)) {
        answer_fault(request, &why, 400);
        return;
    }
    if (!found) {
        answer_no_such(request, "report");
        return;
    }
    SCOPED(buf) out = BUF(ANSWER_MAX);
    struct json json = {&out};
    json_object_begin(&json);
    report_members(&json, &report);
    json_put_array(&json, "sources");
    if (!kept_report_sources(api->db, &why, &filter, source_write, &json)) {
        answer_fault(request, &why, 400);
        return;
    }
    json_end(&json);
    json_end(&json);
    answer_json(request, &out);
}

void api_report_sources(struct api *api, struct http_request *request)
{
    struct source_filter filter = {.limit = SOURCES_SHOWN_MAX};
    struct slice text;
    struct fault why = {0};
    int64_t days = 30;
    if (!api_sees_all(request) || !query_read(request, &filter.kind, &filter.domain))
        return;
    if (http_query(request, "days", &text) && text.len && (!slice_to_i64(text, &days) || days < 1 || days > 4000)) {
        answer_problem(request, 400, "days", "days is a number from 1 to 4000");
        return;
    }
    filter.kind = filter.kind ? filter.kind : FEEDBACK_DMARC;
    filter.since = api_now(api) - DAYS_MS(days);
    SCOPED(buf) out = BUF(ANSWER_MAX);
    struct json json = {&out};
    json_object_begin(&json);
    json_put_array(&json, "items");
    if (!kept_report_sources(api->db, &why, &filter, source_write, &json)) {
        answer_fault(request, &why, 400);
        return;
    }
    json_end(&json);
    json_end(&json);
    answer_json(request, &out);
}
