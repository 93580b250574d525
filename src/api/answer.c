#include "api/answer.h"

#include "base/utf8.h"
#include <stdio.h>

void answer_json(struct http_request *request, const struct buf *body)
{
    if (buf_ok(body))
        http_respond(request, 200, "application/json", buf_slice(body));
    else
        answer_problem(request, 500, "", "the answer is too big; ask for less with limit");
}

void answer_nothing(struct http_request *request)
{
    http_respond(request, 204, NULL, SLICE(""));
}

void answer_problem(struct http_request *request, int status, const char *field, const char *format, ...)
{
    va_list args;
    SCOPED(buf) detail = BUF(2048);
    SCOPED(buf) body = BUF(16384);
    va_start(args, format);
    buf_vprintf(&detail, format, args);
    va_end(args);
    struct json json = {&body};
    json_object_begin(&json);
    json_put_string(&json, "type", SLICE("about:blank"));
    json_put_string(&json, "title", slice_str(http_status_text(status)));
    json_put_int(&json, "status", status);
    json_put_string(&json, "detail", buf_slice(&detail));
    if (*field)
        json_put_string(&json, "field", slice_str(field));
    json_end(&json);
    http_respond(request, status, "application/problem+json", buf_slice(&body));
}

void answer_fault(struct http_request *request, const struct fault *why, int input_status)
{
    int status = why->kind == FAULT_INPUT ? input_status : why->kind == FAULT_LIMIT ? 429 : 503;
    if (status == 503)
        http_set(request, "Retry-After", SLICE("5"));
    answer_problem(request, status, "", "%s", why->text);
}

void answer_no_such(struct http_request *request, const char *thing)
{
    answer_problem(request, 404, "", "there is no such %s", thing);
}

bool page_read(struct http_request *request, unsigned *limit, struct slice *cursor)
{
    struct slice text;
    uint64_t number;
    *limit = PAGE_DEFAULT;
    *cursor = SLICE("");
    if (http_query(request, "limit", &text)) {
        if (!slice_to_u64(text, &number) || number < 1 || number > PAGE_MAX) {
            answer_problem(request, 400, "limit", "limit is a whole number from 1 to %d", PAGE_MAX);
            return false;
        }
        *limit = (unsigned)number;
    }
    if (http_query(request, "cursor", &text))
        *cursor = text;
    return true;
}

void answer_bad_cursor(struct http_request *request)
{
    answer_problem(request, 400, "cursor",
                   "cursor is the next_cursor of the answer before; leave it out to begin anew");
}

bool query_text(struct http_request *request, const char *name, struct slice *text)
{
    if (!http_query(request, name, text)) {
        *text = SLICE("");
        return true;
    }
    size_t characters = 0;
    for (size_t i = 0; i < text->len; i++)
        characters += (text->ptr[i] & 0xc0) != 0x80;
    if (!utf8_is_valid(*text) || memchr(text->ptr, 0, text->len)) {
        answer_problem(request, 400, name, "%s is no UTF-8 text", name);
        return false;
    }
    if (characters > QUERY_TEXT_MAX) {
        answer_problem(request, 400, name, "%s is longer than %d characters", name, QUERY_TEXT_MAX);
        return false;
    }
    return true;
}

bool id_parse(struct slice text, uint64_t *id)
{
    return slice_to_u64(text, id) && *id > 0 && *id <= INT64_MAX;
}

void json_put_text_of(struct json *json, struct slice key, struct text text)
{
    json_put_words_of(json, key, text.ja, text.en);
}

void json_text_id(struct json *json, uint64_t id)
{
    char text[24];
    int len = snprintf(text, sizeof(text), "%llu", (unsigned long long)id);
    json_text(json, slice_of(text, (size_t)len));
}
