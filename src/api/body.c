#include "api/body.h"

#include "api/inside.h"
#include "base/utf8.h"
#include <stdarg.h>
#include <stdio.h>

bool text_is_storable(struct slice text)
{
    return utf8_is_valid(text) && !(text.len && memchr(text.ptr, 0, text.len));
}

void body_release(struct body *body)
{
    json_decref(body->root);
    body->root = NULL;
}

bool body_begin(struct body *body, struct http_request *request)
{
    json_error_t error;
    *body = (struct body){.request = request};
    body->root = slice_trim(request->body).len
                     ? json_loadb(request->body.ptr, request->body.len, JSON_REJECT_DUPLICATES, &error)
                     : json_object();
    if (json_is_object(body->root))
        return true;
    if (body->root)
        answer_problem(request, 400, "", "the body is not a JSON object");
    else
        answer_problem(request, 400, "", "the body is no JSON: line %d, column %d: %s", error.line, error.column,
                       error.text);
    return false;
}

void body_wrong(struct body *body, const char *field, const char *format, ...)
{
    if (body->is_wrong)
        return;
    body->is_wrong = true;
    va_list args;
    va_start(args, format);
    vsnprintf(body->text, sizeof(body->text), format, args);
    va_end(args);
    snprintf(body->field, sizeof(body->field), "%s", field);
}

static bool was_asked(const struct body *body, const char *key)
{
    for (unsigned i = 0; i < body->seen_count; i++)
        if (strcmp(body->seen[i], key) == 0)
            return true;
    return false;
}

bool body_end(struct body *body)
{
    const char *key;
    json_t *value;
    if (!body->is_wrong)
        json_object_foreach(body->root, key, value) if (!was_asked(body, key))
            body_wrong(body, key, "there is no such member here");
    if (!body->is_wrong)
        return true;
    SCOPED(buf) field = BUF(BODY_FIELD_MAX * 3);
    SCOPED(buf) text = BUF(sizeof(body->text) * 3);
    utf8_repair(&field, slice_str(body->field)); /* both may have been cut within a character */
    utf8_repair(&text, slice_str(body->text));
    answer_problem(body->request, 400, buf_cstr(&field), "%s", buf_cstr(&text));
    return false;
}

json_t *body_member(struct body *body, const char *key)
{
    if (body->seen_count < BODY_MEMBERS_MAX && !was_asked(body, key))
        body->seen[body->seen_count++] = key;
    json_t *value = json_object_get(body->root, key);
    return json_is_null(value) ? NULL : value;
}

bool body_has(struct body *body, const char *key)
{
    return body_member(body, key) != NULL;
}

static bool text_of(struct body *body, const char *field, const json_t *value, size_t most, struct slice *text)
{
    *text = SLICE("");
    if (!json_is_string(value)) {
        body_wrong(body, field, "%s is a string", field);
        return false;
    }
    struct slice found = slice_of(json_string_value(value), json_string_length(value));
    if (found.len > most) {
        body_wrong(body, field, "%s is longer than %zu bytes", field, most);
        return false;
    }
    if (found.len && memchr(found.ptr, 0, found.len)) {
        body_wrong(body, field, "%s holds a NUL", field);
        return false;
    }
    *text = arena_copy(&body->request->arena, found);
    return true;
}

bool body_line_of(struct body *body, const char *field, const json_t *value, size_t most, struct slice *line)
{
    if (!text_of(body, field, value, most, line))
        return false;
    if (utf8_is_line(*line))
        return true;
    body_wrong(body, field, "%s holds a line break or another control character", field);
    return false;
}

struct slice body_line(struct body *body, const char *key, size_t most)
{
    struct slice line = SLICE("");
    json_t *value = body_member(body, key);
    if (value && !body_line_of(body, key, value, most, &line))
        return SLICE("");
    return line;
}

struct slice body_line_required(struct body *body, const char *key, size_t most)
{
    struct slice line = body_line(body, key, most);
    if (!line.len)
        body_wrong(body, key, "%s is missing", key);
    return line;
}

struct slice body_text(struct body *body, const char *key, size_t most)
{
    struct slice text = SLICE("");
    json_t *value = body_member(body, key);
    if (value && !text_of(body, key, value, most, &text))
        return SLICE("");
    return text;
}

bool body_bool(struct body *body, const char *key, bool otherwise)
{
    json_t *value = body_member(body, key);
    if (value && !json_is_boolean(value))
        body_wrong(body, key, "%s is true or false", key);
    return value ? json_is_true(value) : otherwise;
}

int64_t body_int(struct body *body, const char *key, int64_t least, int64_t most, int64_t otherwise)
{
    json_t *value = body_member(body, key);
    if (!value)
        return otherwise;
    if (json_is_integer(value) && json_integer_value(value) >= least && json_integer_value(value) <= most)
        return json_integer_value(value);
    body_wrong(body, key, "%s is a whole number from %lld to %lld", key, (long long)least, (long long)most);
    return otherwise;
}

time_ms body_time(struct body *body, const char *key)
{
    time_ms at = 0;
    struct slice text = body_line(body, key, 60);
    if (text.len && (!time_parse_rfc3339(text, &at) || at <= 0)) {
        body_wrong(body, key, "%s is a time like 2026-11-22T13:30:00Z or with an offset like +09:00", key);
        return 0;
    }
    return at;
}

uint64_t body_id(struct body *body, const char *key)
{
    uint64_t id = 0;
    struct slice text = body_line(body, key, 30);
    if (text.len && !id_parse(text, &id)) {
        body_wrong(body, key, "%s is an id", key);
        return 0;
    }
    return id;
}

bool body_brand(struct api *api, struct body *body, struct sender **sender, struct fault *why)
{
    const char *missing;
    if (!sender_find(&api->senders, api->db, api_caller(body->request), body_line(body, "brand", 400),
                     world_monotonic(api->options.world), sender, &missing, why))
        return false;
    if (!*sender)
        body_wrong(body, "brand", "%s", missing);
    return true;
}

bool body_address(struct body *body, const char *field, struct slice text, struct arena *arena, struct address *address)
{
    struct fault why = {0};
    if (address_parse(text, arena, address, &why))
        return true;
    body_wrong(body, field, "%s: %s", field, why.text);
    return false;
}
