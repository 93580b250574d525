/* alarms.c - what somebody should look at now; and refusals in words that no rule knows */
#include "alarm/alarm.h"

#include "api/inside.h"
#include <stdio.h>

enum { ALARMS_MOST = 200 };

static struct text text_of(struct slice ja, struct slice en)
{
    return (struct text){ja, en};
}

static void row_write(struct json *json, const struct alarm_row *row, struct arena *arena)
{
    struct alarm_words ja = alarm_words_ja(row, arena), en = alarm_words_en(row, arena);
    json_object_begin(json);
    json_put_id(json, "id", row->id);
    json_put_string(json, "kind", alarm_word(row->kind));
    json_put_string(json, "about", row->about);
    json_put_both(json, "title", text_of(ja.title, en.title));
    json_put_both(json, "text", text_of(ja.text, en.text));
    json_put_int(json, "n", row->n);
    json_put_int(json, "normal", row->normal);
    json_put_time(json, "since", row->since);
    json_put_time(json, "last", row->last);
    json_put_time(json, "ended", row->ended);
    json_put_time(json, "acked", row->acked);
    json_put_string(json, "acked_by", row->acked_by);
    json_key(json, "detail");
    json_raw(json, row->detail.len ? row->detail : SLICE("{}"));
    json_end(json);
}

void api_alarm_list(struct api *api, struct http_request *request)
{
    struct slice which;
    struct fault why = {0};
    if (!api_sees_all(request) || !query_text(request, "state", &which))
        return;
    bool is_open = slice_equal(which, SLICE("open"));
    if (which.len && !is_open && !slice_equal(which, SLICE("all"))) {
        answer_problem(request, 400, "state", "state is open or all");
        return;
    }
    SCOPED(buf) out = BUF(ANSWER_MAX);
    struct json json = {&out};
    struct alarm_row *rows;
    size_t count;
    if (!alarm_list(api->db, &why, is_open, api_now(api), ALARMS_MOST, &request->arena, &rows, &count)) {
        answer_fault(request, &why, 400);
        return;
    }
    json_object_begin(&json);
    json_put_array(&json, "items");
    for (size_t i = 0; i < count; i++)
        row_write(&json, &rows[i], &request->arena);
    json_end(&json);
    json_end(&json);
    answer_json(request, &out);
}

/* ── acknowledging: the request waits for the commit ── */

struct ack {
    struct write_job job;
    struct http_later later;
    struct api *api;
    uint64_t id;
    char by[32];
    bool found;
    struct fault why;
};
#define ACK_OF(member_ptr, member) ((struct ack *)(void *)((char *)(member_ptr)-offsetof(struct ack, member)))

static bool ack_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct ack *ack = ACK_OF(job, job);
    return alarm_ack(db, why, ack->id, slice_str(ack->by), api_now(ack->api), &ack->found);
}

static void ack_done(struct write_job *job, const struct fault *why)
{
    struct ack *ack = ACK_OF(job, job);
    if (why)
        ack->why = *why;
    http_resume(&ack->later);
}

static void ack_resumed(struct http_later *later, struct http_request *request)
{
    struct ack *ack = ACK_OF(later, later);
    ack->api->writes--;
    if (!request) { /* the client has gone */
    } else if (ack->why.kind != FAULT_NONE)
        answer_fault(request, &ack->why, 400);
    else if (!ack->found)
        answer_no_such(request, "alarm");
    else
        answer_nothing(request);
    free(ack);
}

void api_alarm_ack(struct api *api, struct http_request *request)
{
    uint64_t id;
    if (!api_sees_all(request))
        return;
    if (!id_parse(http_param(request, "id"), &id)) {
        answer_no_such(request, "alarm");
        return;
    }
    struct ack *ack = NEW(struct ack);
    *ack = (struct ack){.job = {.run = ack_run, .done = ack_done, .rows = 1, .fails_fast = true}, .api = api, .id = id};
    snprintf(ack->by, sizeof(ack->by), "key %llu", (unsigned long long)api_caller(request)->key.id);
    api->writes++;
    http_suspend(request, &ack->later, ack_resumed);
    store_write(api->options.store, &ack->job);
}

/* ── unread words ── */

void api_bounce_unread(struct api *api, struct http_request *request)
{
    unsigned limit;
    struct slice cursor;
    struct fault why = {0};
    if (!api_sees_all(request) || !page_read(request, &limit, &cursor))
        return;
    SCOPED(buf) out = BUF(ANSWER_MAX);
    struct json json = {&out};
    struct unread_row *rows;
    size_t count;
    if (!unread_list(api->db, &why, limit, &request->arena, &rows, &count)) {
        answer_fault(request, &why, 400);
        return;
    }
    json_object_begin(&json);
    json_put_array(&json, "items");
    for (size_t i = 0; i < count; i++) {
        json_object_begin(&json);
        json_put_string(&json, "fingerprint", rows[i].fingerprint);
        json_put_string(&json, "words", rows[i].words);
        json_put_string(&json, "sample", rows[i].sample);
        json_put_string(&json, "last_sample", rows[i].last_sample);
        json_put_string(&json, "receiver", rows[i].receiver);
        json_put_int(&json, "code", rows[i].code);
        json_put_string(&json, "status", rows[i].status);
        json_put_string(&json, "stage", rows[i].stage);
        json_put_int(&json, "n", rows[i].n);
        json_put_time(&json, "first", rows[i].first);
        json_put_time(&json, "last", rows[i].last);
        json_end(&json);
    }
    json_end(&json);
    json_end(&json);
    answer_json(request, &out);
}
