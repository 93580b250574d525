/* suppressions.c - addresses we do not write to, and why */
#include "api/campaign_json.h"
#include "api/explained.h"
#include "api/inside.h"
#include "api/suppression_json.h"
#include "base/base64.h"
#include "suppress/suppress.h"
#include <stdio.h>

struct slice suppression_reason(const struct suppression *row)
{
    switch (row->why) {
    case SUPPRESS_ERROR: return reason_word(row->reason);
    case SUPPRESS_COMPLAINT: return SLICE("complaint");
    case SUPPRESS_UNSUBSCRIBED: return SLICE("unsubscribed");
    case SUPPRESS_BY_HAND: return SLICE("manual");
    case SUPPRESS_CLEANING: return SLICE("cleaned");
    case SUPPRESS_WHY_COUNT: break;
    }
    return SLICE("");
}

static struct text label_shown(const struct rules *rules, const struct suppression *row)
{
    switch (row->why) {
    case SUPPRESS_ERROR: return reason_label(rules, row->reason);
    case SUPPRESS_COMPLAINT: return reason_label(rules, REASON_COMPLAINT);
    case SUPPRESS_UNSUBSCRIBED: return TEXT("配信解除", "Unsubscribed");
    case SUPPRESS_BY_HAND: return TEXT("担当者が停止", "Excluded by hand");
    case SUPPRESS_CLEANING: return TEXT("名簿の点検", "List cleaning");
    case SUPPRESS_WHY_COUNT: break;
    }
    return TEXT("", "");
}

static bool row_write(struct api *api, struct json *json, const struct suppression *row, struct campaign_names *names,
                      struct arena *arena, struct fault *why)
{
    const struct rules *rules = api->options.rules;
    enum whose_fault whose = row->why == SUPPRESS_ERROR ? verdict_of_reason(rules, row->reason).whose : WHOSE_NONE;
    json_object_begin(json);
    json_put_string(json, "address", row->address);
    json_put_string(json, "scope", row->topic.len ? SLICE("topic") : row->brand_id ? SLICE("brand") : SLICE("all"));
    json_put_string(json, "reason", suppression_reason(row));
    json_put_both(json, "label", label_shown(rules, row));
    json_put_string(json, "fault", whose_word(whose));
    json_put_time(json, "since", row->since);
    if (!campaign_ref_write(api, json, names, row->campaign_id, arena, why))
        return false;
    json_put_int(json, "count", row->count);
    json_put_id(json, "error_id", row->event_id);
    json_end(json);
    return true;
}

/* ── cursors: base64url of "since brand address" of the last row ── */

static struct slice cursor_of(const struct suppression *row, struct arena *arena)
{
    SCOPED(buf) text = BUF(1024);
    struct slice plain = arena_printf(arena, "%lld %llu %.*s", (long long)row->since, (unsigned long long)row->brand_id,
                                      SLICE_ARG(row->address));
    base64url_encode(&text, plain);
    return arena_copy(arena, buf_slice(&text));
}

static bool cursor_read(struct slice cursor, struct arena *arena, struct suppress_filter *filter)
{
    SCOPED(buf) text = BUF(1024);
    struct slice since, brand, rest;
    if (!base64url_decode(&text, cursor) || !buf_ok(&text))
        return false;
    rest = arena_copy(arena, buf_slice(&text));
    int64_t at;
    if (!slice_split(&rest, ' ', &since) || !slice_split(&rest, ' ', &brand) || !slice_to_i64(since, &at) || at <= 0 ||
        !slice_to_u64(brand, &filter->before_brand) || !rest.ptr || memchr(rest.ptr, 0, rest.len))
        return false;
    filter->before = at;
    filter->before_address = rest;
    return true;
}

/* ── the list ── */

static bool list_write(struct api *api, struct json *json, const struct suppress_filter *filter, unsigned limit,
                       struct arena *arena, struct fault *why)
{
    struct suppress_page page;
    int64_t total = 0;
    struct campaign_names names = {.count = 0};
    if (!suppress_list(api->db, why, filter, limit, arena, &page))
        return false;
    total = (int64_t)page.count; /* the whole list is on this page */
    if ((filter->before || page.has_more) && !suppress_total(api->db, why, filter, arena, &total))
        return false;
    json_object_begin(json);
    json_put_array(json, "items");
    for (size_t i = 0; i < page.count; i++)
        if (!row_write(api, json, &page.rows[i], &names, arena, why))
            return false;
    json_end(json);
    json_key(json, "next_cursor");
    if (page.has_more)
        json_text(json, cursor_of(&page.rows[page.count - 1], arena));
    else
        json_nothing(json);
    json_put_int(json, "total", total);
    json_end(json);
    return true;
}

void api_suppression_list(struct api *api, struct http_request *request)
{
    unsigned limit;
    struct slice cursor;
    struct suppress_filter filter = {.brands = caller_brands(api_caller(request))};
    struct fault why = {0};
    if (!page_read(request, &limit, &cursor) || !query_text(request, "q", &filter.text))
        return;
    if (cursor.len && !cursor_read(cursor, &request->arena, &filter)) {
        answer_bad_cursor(request);
        return;
    }
    SCOPED(buf) out = BUF(ANSWER_MAX);
    struct json json = {&out};
    if (list_write(api, &json, &filter, limit, &request->arena, &why))
        answer_json(request, &out);
    else
        answer_fault(request, &why, 400);
}
