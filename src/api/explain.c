/* explain.c - GET /explain/message/{id} and /explain/queue: where a mail is, what the queue waits for */
#include "api/body.h"
#include "api/inside.h"
#include "api/mail_story.h"
#include "api/queue_story.h"

void api_explain_queue(struct api *api, struct http_request *request)
{
    struct fault why = {0};
    struct brands brands = caller_brands(api_caller(request));
    struct queue_story story;
    SCOPED(buf) out = BUF(ANSWER_MAX);
    struct json json = {&out};
    if (!queue_story_read(api->db, &why, &brands, api_now(api), &request->arena, &story)) {
        answer_fault(request, &why, 400);
        return;
    }
    queue_story_json(&json, &story, &request->arena);
    answer_json(request, &out);
}

/* Those of the key's brands only: of others it is as if they were not there. */
void api_explain_message(struct api *api, struct http_request *request)
{
    struct fault why = {0};
    struct slice name = http_param(request, "id");
    uint64_t ids[MAIL_STORY_SHOWN_MOST];
    size_t count, shown = 0;
    SCOPED(buf) out = BUF(ANSWER_MAX);
    struct json json = {&out};
    if (!text_is_storable(name)) {
        answer_no_such(request, "mail");
        return;
    }
    if (!mail_story_ids(api->db, &why, name, ids, &count)) {
        if (why.kind == FAULT_INPUT)
            answer_no_such(request, "mail");
        else
            answer_fault(request, &why, 400);
        return;
    }
    json_object_begin(&json);
    json_put_array(&json, "items");
    for (size_t i = 0; i < count; i++) {
        struct mail_story story;
        bool found;
        if (!mail_story_read(api->db, &why, ids[i], api_now(api), &request->arena, &story, &found)) {
            answer_fault(request, &why, 400);
            return;
        }
        if (!found || !key_may_brand(&api_caller(request)->key.rights, story.brand_id))
            continue;
        mail_story_json(&json, api->options.rules, &story, &request->arena);
        shown++;
    }
    json_end(&json);
    json_end(&json);
    if (shown)
        answer_json(request, &out);
    else
        answer_no_such(request, "mail");
}
