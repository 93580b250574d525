/* explain.c - GET /explain/message/{id} and /explain/queue: where a mail is, what the queue waits for */
#include "api/aside.h"
#include "api/body.h"
#include "api/inside.h"
#include "api/mail_story.h"
#include "api/queue_story.h"
#include "api/sites.h"

/* ── the queue: what the store knows, on the reading thread; then what the nodes say of the receivers; and both are
 * told ── */

static aside_then queue_ask;

static void queue_answer(struct api *api, struct http_request *request, const struct board *board)
{
    struct fault why = {0};
    struct brands brands = caller_brands(api_caller(request));
    struct queue_story story;
    SCOPED(buf) out = BUF(ANSWER_MAX);
    SCOPED(buf) names = BUF(QUEUE_LANES_SHOWN * (BOARD_NAME_MAX + 1));
    struct json json = {&out};
    bool ok = queue_story_read(api->db, &why, &brands, api_now(api), &request->arena, &story);
    for (size_t i = 0; ok && i < story.lane_count; i++) {
        const struct lane_wait *lane = &story.lanes[i];
        if (lane->due_now && !lane->hold.kind.len)
            buf_printf(&names, "%s%.*s", names.len ? " " : "", SLICE_ARG(lane->domain));
        if (board)
            ok = lane_wait_at(api->db, &why, board, api_now(api), &request->arena, &story.lanes[i]);
    }
    if (!ok) {
        answer_fault(request, &why, 400);
    } else if (!board && names.len) {
        aside_go_on(request, queue_ask, buf_slice(&names));
    } else {
        queue_story_json(&json, &story, &request->arena);
        answer_json(request, &out);
    }
}

static void queue_tell(struct api *api, struct http_request *request)
{
    struct fault why = {0};
    struct board board;
    if (board_read(api->db, &why, api_now(api), &request->arena, &board))
        queue_answer(api, request, &board);
    else
        answer_fault(request, &why, 400);
}

static void queue_ask(struct api *api, struct http_request *request, struct slice names)
{
    site_ask_begin(api, request, names, queue_tell);
}

void api_explain_queue(struct api *api, struct http_request *request)
{
    queue_answer(api, request, NULL);
}

/* ── a mail ── */

static api_handler mails_tell;

/* Which mails the path names; false: answered that there are none. */
static bool mail_ids(struct api *api, struct http_request *request, uint64_t ids[MAIL_STORY_SHOWN_MOST], size_t *count)
{
    struct fault why = {0};
    struct slice name = http_param(request, "id");
    if (text_is_storable(name) && mail_story_ids(api->db, &why, name, ids, count))
        return true;
    if (why.kind == FAULT_NONE || why.kind == FAULT_INPUT)
        answer_no_such(request, "mail");
    else
        answer_fault(request, &why, 400);
    return false;
}

/* Those of the key's brands only: of others it is as if they were not there. What binds at the receiver of one that is
 * due is on the board. */
static void mails_answer(struct api *api, struct http_request *request, const struct board *board)
{
    struct fault why = {0};
    uint64_t ids[MAIL_STORY_SHOWN_MOST];
    size_t count, shown = 0;
    SCOPED(buf) due = BUF(MAIL_STORY_SHOWN_MOST * (BOARD_NAME_MAX + 1)); /* their domains */
    SCOPED(buf) out = BUF(ANSWER_MAX);
    struct json json = {&out};
    if (!mail_ids(api, request, ids, &count))
        return;
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
        if (mail_story_asks(&story)) {
            buf_printf(&due, "%s%.*s", due.len ? " " : "", SLICE_ARG(story.domain));
            if (board && !mail_story_at(api->db, &why, board, &request->arena, &story)) {
                answer_fault(request, &why, 400);
                return;
            }
        }
        mail_story_json(&json, api->options.rules, &story, &request->arena);
        shown++;
    }
    json_end(&json);
    json_end(&json);
    if (!shown)
        answer_no_such(request, "mail");
    else if (due.len && !board)
        site_ask_begin(api, request, buf_slice(&due), mails_tell);
    else
        answer_json(request, &out);
}

static void mails_tell(struct api *api, struct http_request *request)
{
    struct fault why = {0};
    struct board board;
    if (board_read(api->db, &why, api_now(api), &request->arena, &board))
        mails_answer(api, request, &board);
    else
        answer_fault(request, &why, 400);
}

void api_explain_message(struct api *api, struct http_request *request)
{
    mails_answer(api, request, NULL);
}
