/* deliveries.c - one mail to one recipient: searched, shown with its timeline */
#include "api/message_json.h"
#include "api/page.h"
#include "mail/address.h"

enum { SQL_MAX = 8192 };

struct delivery_filter {
    uint64_t campaign_id, message_id;
    enum delivery_state state;
    struct address address; /* identity empty: any */
};

static bool id_filter(struct http_request *request, const char *name, uint64_t *id)
{
    struct slice text;
    *id = 0;
    if (!http_query(request, name, &text) || !text.len || id_parse(text, id))
        return true;
    answer_problem(request, 400, name, "%s is an id", name);
    return false;
}

static bool filter_read(struct http_request *request, struct delivery_filter *filter)
{
    struct slice text;
    struct fault why = {0};
    *filter = (struct delivery_filter){.state = DELIVERY_STATE_COUNT};
    if (!id_filter(request, "campaign", &filter->campaign_id) || !id_filter(request, "message", &filter->message_id))
        return false;
    if (http_query(request, "state", &text) && text.len && !delivery_of(text, &filter->state)) {
        answer_problem(request, 400, "state", "state is one of the ten states of a delivery");
        return false;
    }
    if (http_query(request, "email", &text) && text.len &&
        !address_parse(text, &request->arena, &filter->address, &why)) {
        answer_problem(request, 400, "email", "email: %s", why.text);
        return false;
    }
    if (filter->campaign_id || filter->message_id || filter->address.identity.len)
        return true;
    answer_problem(request, 400, "email", "say which deliveries: by email, campaign or message");
    return false;
}

static bool ids_find(struct api *api, struct http_request *request, const struct delivery_filter *filter,
                     uint64_t before, unsigned limit, struct page_ids *page, struct fault *why)
{
    struct brands brands = caller_brands(api_caller(request));
    struct value more[4];
    size_t count = 0;
    SCOPED(buf) sql = BUF(SQL_MAX);
    buf_text(&sql, "SELECT id FROM delivery WHERE bucket = $1 AND id < $2");
    brands_condition(&brands, "brand_id", &sql);
    if (filter->campaign_id) {
        more[count++] = V_INT((int64_t)filter->campaign_id);
        buf_printf(&sql, " AND campaign_id = $%zu", count + 3);
    }
    if (filter->message_id) {
        more[count++] = V_INT((int64_t)filter->message_id);
        buf_printf(&sql, " AND message_id = $%zu", count + 3);
    }
    if (filter->address.identity.len) {
        more[count++] = V_TEXT(filter->address.identity);
        buf_printf(&sql, " AND address = $%zu", count + 3);
    }
    if (filter->state != DELIVERY_STATE_COUNT) {
        more[count++] = V_INT(filter->state);
        buf_printf(&sql, " AND state = $%zu", count + 3);
    }
    buf_text(&sql, " ORDER BY id DESC LIMIT $3");
    if (!filter->address.identity.len)
        return page_ids(api->db, buf_cstr(&sql), more, count, before, limit, &request->arena, page, why);
    /* one bucket only */
    struct value values[8] = {V_INT(address_bucket(filter->address.identity)),
                              V_INT(before ? (int64_t)before : INT64_MAX), V_INT((int64_t)limit + 1)};
    SCOPED(rows) rows = {0};
    memcpy(values + 3, more, count * sizeof(*more));
    *page = (struct page_ids){.ids = ARENA_ARRAY(&request->arena, uint64_t, limit + 1)};
    if (!db_query(api->db, why, &rows, buf_cstr(&sql), values, 3 + count))
        return false;
    while (rows_next(&rows)) {
        if (page->count == limit) {
            page->has_more = true;
            break;
        }
        page->ids[page->count++] = (uint64_t)rows_int(&rows, 0);
    }
    return rows_end(&rows);
}

void api_delivery_list(struct api *api, struct http_request *request)
{
    unsigned limit;
    uint64_t before;
    struct delivery_filter filter;
    struct page_ids page;
    struct fault why = {0};
    if (!page_by_id(request, &limit, &before) || !filter_read(request, &filter))
        return;
    SCOPED(buf) out = BUF(ANSWER_MAX);
    struct json json = {&out};
    json_object_begin(&json);
    json_put_array(&json, "items");
    if (!ids_find(api, request, &filter, before, limit, &page, &why) ||
        !deliveries_write(api, &json, page.ids, page.count, &request->arena, &why)) {
        answer_fault(request, &why, 400);
        return;
    }
    json_end(&json);
    page_close(&json, page.count ? page.ids[page.count - 1] : 0, page.has_more);
    answer_json(request, &out);
}

void api_delivery_show(struct api *api, struct http_request *request)
{
    uint64_t id, brand_id = 0;
    struct fault why = {0};
    SCOPED(buf) out = BUF(ANSWER_MAX);
    SCOPED(buf) one = BUF(ANSWER_MAX);
    struct json json = {&out}, below = {&one};
    if (id_parse(http_param(request, "id"), &id) && !delivery_brand(api, id, &brand_id, &why)) {
        answer_fault(request, &why, 400);
    } else if (!brand_id || !key_may_brand(&api_caller(request)->key.rights, brand_id)) {
        answer_no_such(request, "delivery");
    } else {
        json_object_begin(&json);
        json_key(&json, "delivery");
        if (!deliveries_write(api, &below, &id, 1, &request->arena, &why)) {
            answer_fault(request, &why, 400);
            return;
        }
        json_raw(&json, one.len ? buf_slice(&one) : SLICE("null"));
        if (!delivery_timeline_write(api, &json, id, &request->arena, &why)) {
            answer_fault(request, &why, 400);
            return;
        }
        json_end(&json);
        answer_json(request, &out);
    }
}
