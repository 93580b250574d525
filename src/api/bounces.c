/* bounces.c - read a pasted reply or error mail, and change nothing */
#include "api/explained.h"
#include "api/inside.h"
#include "base/base64.h"
#include "bounce/said.h"
#include "bounce/scan.h"
#include "receive/join.h"
#include <jansson.h>

enum { PASTED_MAX = 1 << 20 /* bytes */, ROWS_SHOWN = 500 };

/* A header line: a name of printable characters, then a colon. */
static bool is_header_line(struct slice line)
{
    ptrdiff_t colon = slice_find_byte(line, ':');
    if (colon < 1)
        return false;
    for (ptrdiff_t i = 0; i < colon; i++)
        if (line.ptr[i] <= ' ' || line.ptr[i] > '~')
            return false;
    return !ascii_is_digit(line.ptr[0]); /* "550-5.1.1:" is a reply */
}

/* It is a mail when it opens with header lines: the first, and what follows it. */
static bool is_mail(struct slice text)
{
    struct slice line;
    while (text.len && (*text.ptr == '\r' || *text.ptr == '\n'))
        text = slice_from(text, 1);
    if (slice_starts(text, SLICE("From "))) /* a line of mbox */
        (void)slice_line(&text, &line);
    if (!slice_line(&text, &line) || !is_header_line(line))
        return false;
    if (!slice_line(&text, &line))
        return false;
    return !line.len || *line.ptr == ' ' || *line.ptr == '\t' || is_header_line(line);
}

/* One SMTP reply, with any words around it. */
static struct explained explain_reply(struct api *api, struct slice text, struct arena *arena)
{
    struct said said;
    struct explained explained = {.kind = KIND_BOUNCE, .authenticity = AUTHENTICITY_UNVERIFIED};
    explained.diagnostic = scan_squeeze(text, arena);
    said_parse(explained.diagnostic, arena, &said);
    struct refusal refusal = {.stage = scan_stage(explained.diagnostic), .code = said.code, .text = said.text};
    size_t from = 0;
    if (!scan_address(explained.diagnostic, &from, &explained.recipient))
        explained.recipient = SLICE("");
    ptrdiff_t at = slice_find_last_byte(explained.recipient, '@');
    if (at >= 0)
        refusal.receiver = slice_from(explained.recipient, (size_t)at + 1);
    refusal.remote_mta = explained.remote_mta = scan_speaker(explained.diagnostic);
    memcpy(refusal.status, said.status, sizeof(refusal.status));
    memcpy(explained.status, said.status, sizeof(explained.status));
    rules_judge(api->options.rules, api->scratch, &refusal, &explained.verdict);
    explained.code = said.code;
    explained.stage = refusal.stage;
    struct verdict *verdict = &explained.verdict;
    explained_mark(&explained, slice_of(said.text.ptr + verdict->mark_from, verdict->mark_to - verdict->mark_from));
    if (verdict->reason == REASON_DELIVERED || (said.code >= 200 && said.code < 300)) {
        explained.kind = KIND_DELIVERED;
        rules_verdict_of_reason(api->options.rules, REASON_DELIVERED, false, verdict);
    } else if ((said.code >= 400 && said.code < 500) || (!said.code && said.status[0] == 4)) {
        explained.kind = KIND_DELAY;
    } else if (!said.code && !said.status[0] && verdict->reason == REASON_UNDEFINED) {
        explained.kind = KIND_NONE;
    }
    return explained;
}

/* ── a mail: read in the jail, as one that arrives is (X13) ── */

static void bounce_write(struct api *api, struct json *json, const struct bounce *bounce)
{
    for (unsigned i = 0; i == 0 || (i < bounce->row_count && i < ROWS_SHOWN); i++) {
        struct explained explained = explained_of_row(bounce, bounce->row_count ? &bounce->rows[i] : NULL);
        json_object_begin(json);
        explained_write(json, api->options.rules, &explained);
        json_end(json);
    }
}

static void answer_bounce(struct api *api, struct http_request *request, const struct bounce *bounce)
{
    SCOPED(buf) out = BUF(ANSWER_MAX);
    struct json json = {&out};
    json_object_begin(&json);
    json_put_array(&json, "items");
    bounce_write(api, &json, bounce);
    json_end(&json);
    json_end(&json);
    answer_json(request, &out);
}

struct pasted_mail {
    struct join_question question;
    struct http_later later;
    struct api *api;
    struct arena arena;
};
#define PASTED_OF(ptr, member) ((struct pasted_mail *)(void *)((char *)(ptr)-offsetof(struct pasted_mail, member)))

static void pasted_done(struct join_question *question)
{
    http_resume(&PASTED_OF(question, question)->later);
}

static void pasted_resumed(struct http_later *later, struct http_request *request)
{
    struct pasted_mail *pasted = PASTED_OF(later, later);
    struct join_question *question = &pasted->question;
    pasted->api->writes--;
    if (request && question->is_read)
        answer_bounce(pasted->api, request, &question->record.bounce);
    else if (request)
        answer_fault(request, &question->why, 422);
    arena_release(&question->arena);
    arena_release(&pasted->arena);
    free(pasted);
}

static void explain_mail(struct api *api, struct http_request *request, struct slice mail)
{
    if (!api->options.reader) {
        struct mime_mail parts;
        struct bounce bounce;
        mime_read(mail, &request->arena, &parts);
        bounce_read(&parts, api->options.rules, api->scratch, &request->arena, &bounce);
        answer_bounce(api, request, &bounce);
        return;
    }
    struct pasted_mail *pasted = NEW(struct pasted_mail);
    pasted->api = api;
    pasted->question.mail = arena_copy(&pasted->arena, mail);
    pasted->question.done = pasted_done;
    api->writes++;
    http_suspend(request, &pasted->later, pasted_resumed);
    join_reader_ask(api->options.reader, &pasted->question);
}

static void explain(struct api *api, struct http_request *request, struct slice pasted, bool is_whole_mail)
{
    if (is_whole_mail || is_mail(pasted)) {
        explain_mail(api, request, pasted);
        return;
    }
    SCOPED(buf) out = BUF(ANSWER_MAX);
    struct json json = {&out};
    struct explained explained = explain_reply(api, pasted, &request->arena);
    json_object_begin(&json);
    json_put_array(&json, "items");
    json_object_begin(&json);
    explained_write(&json, api->options.rules, &explained);
    json_end(&json);
    json_end(&json);
    json_end(&json);
    answer_json(request, &out);
}

/* The one member that is given. False: answered. */
static bool pasted_read(struct http_request *request, const json_t *body, struct slice *pasted, bool *is_whole_mail)
{
    const json_t *text = json_object_get(body, "text"), *coded = json_object_get(body, "message_b64");
    if (!json_is_object(body) || (text && !json_is_string(text)) || (coded && !json_is_string(coded)) ||
        !text == !coded) {
        answer_problem(request, 400, text && coded ? "message_b64" : "text",
                       "the body is a JSON object with exactly one of text and message_b64");
        return false;
    }
    const json_t *given = text ? text : coded;
    struct slice value = slice_of(json_string_value(given), json_string_length(given));
    *is_whole_mail = coded != NULL;
    SCOPED(buf) bytes = BUF(PASTED_MAX);
    bool is_clean = true;
    if (coded)
        is_clean = base64_decode(&bytes, value) || !buf_ok(&bytes);
    else
        buf_append(&bytes, value);
    if (!is_clean) {
        answer_problem(request, 400, "message_b64", "message_b64 is no base64");
        return false;
    }
    if (!buf_ok(&bytes)) {
        answer_problem(request, 413, text ? "text" : "message_b64", "it is longer than 1 MiB; cut what is attached");
        return false;
    }
    if (!slice_trim(buf_slice(&bytes)).len) {
        answer_problem(request, 400, text ? "text" : "message_b64", "it is empty");
        return false;
    }
    *pasted = arena_copy(&request->arena, buf_slice(&bytes));
    return true;
}

void api_bounce_explain(struct api *api, struct http_request *request)
{
    json_error_t wrong;
    struct slice pasted;
    bool is_whole_mail;
    if (slice_starts_caseless(http_header(request, "Content-Type"), SLICE("message/rfc822"))) {
        if (request->body.len > PASTED_MAX)
            answer_problem(request, 413, "", "it is longer than 1 MiB; cut what is attached");
        else if (!slice_trim(request->body).len)
            answer_problem(request, 400, "", "the mail is empty");
        else
            explain(api, request, request->body, true);
        return;
    }
    json_t *body =
        json_loadb(request->body.ptr ? request->body.ptr : "", request->body.len, JSON_REJECT_DUPLICATES, &wrong);
    if (!body) {
        answer_problem(request, 400, "", "the body is no JSON: line %d, column %d: %s", wrong.line, wrong.column,
                       wrong.text);
        return;
    }
    bool is_given = pasted_read(request, body, &pasted, &is_whole_mail);
    json_decref(body);
    if (is_given)
        explain(api, request, pasted, is_whole_mail);
}
