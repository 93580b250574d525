/* answer.h - what the api answers with: JSON, problems (RFC 9457), pages with cursors, text in both languages */
#ifndef TODOKE_API_ANSWER_H
#define TODOKE_API_ANSWER_H

#include "base/fault.h"
#include "base/json.h"
#include "base/time.h"
#include "http/server.h"

enum { ANSWER_MAX = 64 << 20 /* bytes */, PAGE_DEFAULT = 50, PAGE_MAX = 500, QUERY_TEXT_MAX = 200 };

/* The same thing said in both languages. */
struct text {
    struct slice ja, en;
};
#define TEXT(ja, en)                                                                                                   \
    (struct text)                                                                                                      \
    {                                                                                                                  \
        SLICE_INIT(ja), SLICE_INIT(en)                                                                                 \
    }

/* 200 with a complete JSON text; 500 when it went past its ceiling. */
void answer_json(struct http_request *request, const struct buf *body);
void answer_nothing(struct http_request *request); /* 204 */
/* field "": none. The detail names the place and the cure. */
void answer_problem(struct http_request *request, int status, const char *field, const char *format, ...)
    PRINTF_LIKE(4, 5);
/* WORLD 503, LIMIT 429, INPUT `input_status`. */
void answer_fault(struct http_request *request, const struct fault *why, int input_status);
void answer_no_such(struct http_request *request, const char *thing); /* 404 */

/* limit and cursor of a list. False: answered with 400. cursor: "" for the first page. */
NODISCARD bool page_read(struct http_request *request, unsigned *limit, struct slice *cursor);
void answer_bad_cursor(struct http_request *request);
/* A filter's text, at most QUERY_TEXT_MAX characters, "" when absent. False: answered with 400. */
NODISCARD bool query_text(struct http_request *request, const char *name, struct slice *text);
/* An id in decimal. False: it is none. */
NODISCARD bool id_parse(struct slice text, uint64_t *id);

void json_put_text_of(struct json *json, struct slice key, struct text text);
#define json_put_both(json, key, text) json_put_text_of((json), SLICE(key), (text))
void json_text_id(struct json *json, uint64_t id); /* an item */

#endif
