/* body.h - a request's JSON body, read member by member
 *
 * What is wrong first is remembered with its member's name; body_end answers it with a 400. Members nobody asked for
 * are wrong too: a misspelt option must not be silently without effect. Texts live in the request's arena.
 *
 *     SCOPED(body) body = {0};
 *     if (!body_begin(&body, request))
 *         return;
 *     struct slice name = body_line(&body, "name", 200);
 *     if (!body_end(&body))
 *         return;
 */
#ifndef TODOKE_API_BODY_H
#define TODOKE_API_BODY_H

#include "api/answer.h"
#include "mail/address.h"
#include <jansson.h>

enum { BODY_MEMBERS_MAX = 48, BODY_FIELD_MAX = 120 };

struct body {
    struct http_request *request;
    json_t *root;
    const char *seen[BODY_MEMBERS_MAX];
    unsigned seen_count;
    bool is_wrong;
    char field[BODY_FIELD_MAX];
    char text[300];
};

/* False: it is no JSON object; answered. An empty body is {}. */
NODISCARD bool body_begin(struct body *body, struct http_request *request);
/* False: something was wrong; answered. */
NODISCARD bool body_end(struct body *body);
void body_release(struct body *body);

/* The first of them counts. */
void body_wrong(struct body *body, const char *field, const char *format, ...) PRINTF_LIKE(3, 4);
/* A text of it that must be an address. False: the body is wrong there. */
bool body_address(struct body *body, const char *field, struct slice text, struct arena *arena,
                  struct address *address);

/* NULL: absent, or null. */
json_t *body_member(struct body *body, const char *key);
bool body_has(struct body *body, const char *key);
/* One line of text without controls (C0, DEL, C1, U+2028, U+2029), at most `most` bytes; "" when absent. */
struct slice body_line(struct body *body, const char *key, size_t most);
/* The same, and it must be there and not be empty. */
struct slice body_line_required(struct body *body, const char *key, size_t most);
/* Text of several lines. */
struct slice body_text(struct body *body, const char *key, size_t most);
bool body_bool(struct body *body, const char *key, bool otherwise);
int64_t body_int(struct body *body, const char *key, int64_t least, int64_t most, int64_t otherwise);
time_ms body_time(struct body *body, const char *key); /* 0: absent */
uint64_t body_id(struct body *body, const char *key);  /* 0: absent */
/* The text of a JSON string as a line, under a name of its own ("to[3].name"). False: wrong, and told. */
bool body_line_of(struct body *body, const char *field, const json_t *value, size_t most, struct slice *line);

/* "brand": name or id, or the only one. False: the store cannot say. What is wrong is remembered (then *sender is
 * NULL). */
struct api;
struct sender;
NODISCARD bool body_brand(struct api *api, struct body *body, struct sender **sender, struct fault *why);

/* UTF-8 without NUL: what the store takes. For names out of a path or query. */
bool text_is_storable(struct slice text);

#endif
