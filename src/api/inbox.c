/* inbox.c - what the playground's receivers hold; error mail is shown as text only (S16) */
#include "api/inbox.h"
#include "api/inside.h"
#include "base/utf8.h"
#include "mime/read.h"

enum { TEXT_MOST = 1 << 20, HEADERS_SHOWN = 200 };

static void row_write(struct json *json, const struct api_inbox_row *row)
{
    json_put_id(json, "id", row->id);
    json_put_time(json, "at", row->at);
    json_put_string(json, "from", row->from);
    json_put_string(json, "to", row->to);
    json_put_string(json, "subject", row->subject);
    json_put_string(json, "kind", row->is_error ? SLICE("error") : SLICE("mail"));
    json_put_int(json, "size_bytes", (int64_t)row->size_bytes);
}

void api_inbox_list(struct api *api, struct http_request *request)
{
    unsigned limit;
    struct slice cursor, q;
    uint64_t before = 0, next = 0, total = 0;
    const struct api_inbox *inbox = &api->options.inbox;
    if (!api_sees_all(request))
        return;
    if (!inbox->list) {
        answer_no_such(request, "inbox: there is one in the playground only");
        return;
    }
    if (!page_read(request, &limit, &cursor) || !query_text(request, "q", &q))
        return;
    if (cursor.len && !id_parse(cursor, &before)) {
        answer_bad_cursor(request);
        return;
    }
    struct api_inbox_row *rows = NULL;
    size_t count = 0;
    inbox->list(inbox->owner, q, before, limit, &request->arena, &rows, &count, &next, &total);
    SCOPED(buf) out = BUF(ANSWER_MAX);
    struct json json = {&out};
    json_object_begin(&json);
    json_put_array(&json, "items");
    for (size_t i = 0; i < count; i++) {
        json_object_begin(&json);
        row_write(&json, &rows[i]);
        json_end(&json);
    }
    json_end(&json);
    json_put_id(&json, "next_cursor", next);
    json_put_int(&json, "total", (int64_t)total);
    json_end(&json);
    answer_json(request, &out);
}

/* ── one mail ── */

static bool is_container(const struct mime_part *part)
{
    return slice_equal_caseless(part->type, SLICE("multipart")) || mime_is(part, "message", "rfc822") ||
           mime_is(part, "message", "global");
}

static bool is_attached(const struct mime_mail *mail, unsigned at)
{
    return slice_starts_caseless(slice_trim(mime_header(mail, at, SLICE("Content-Disposition"))), SLICE("attachment"));
}

static bool is_inside_message(const struct mime_mail *mail, unsigned at)
{
    for (unsigned part = at; part; part = mail->parts[part].parent)
        if (mail->parts[part].is_message)
            return true;
    return false;
}

/* What a person can read of error mail: its text, the report, the head of what was returned. */
static bool is_readable(const struct mime_part *part)
{
    return slice_equal_caseless(part->type, SLICE("text")) || mime_is(part, "message", "delivery-status") ||
           mime_is(part, "message", "global-delivery-status") || mime_is(part, "message", "feedback-report");
}

enum shown { AS_TEXT, AS_HTML, AS_ATTACHMENT, NOT_AT_ALL };

static enum shown shown_as(const struct mime_mail *mail, unsigned at, bool is_error, bool has_text, bool has_html)
{
    const struct mime_part *part = &mail->parts[at];
    if (is_container(part))
        return NOT_AT_ALL;
    if (is_error)
        return is_readable(part) && !is_attached(mail, at) ? AS_TEXT : AS_ATTACHMENT;
    if (is_attached(mail, at) || is_inside_message(mail, at))
        return AS_ATTACHMENT;
    if (!has_text && mime_is(part, "text", "plain"))
        return AS_TEXT;
    if (!has_html && mime_is(part, "text", "html"))
        return AS_HTML;
    return AS_ATTACHMENT;
}

static void headers_write(struct json *json, const struct mime_mail *mail, struct arena *arena)
{
    json_put_array(json, "headers");
    for (unsigned i = 0; mail->part_count && i < mail->parts[0].header_count && i < HEADERS_SHOWN; i++) {
        const struct mime_header *header = &mail->headers[mail->parts[0].header_from + i];
        json_object_begin(json);
        json_put_string(json, "name", header->name);
        json_put_string(json, "value", mime_text(header->value, arena));
        json_end(json);
    }
    json_end(json);
}

static void attachment_write(struct json *json, const struct mime_mail *mail, unsigned at, struct arena *arena)
{
    const struct mime_part *part = &mail->parts[at];
    struct slice name = mime_param(mime_header(mail, at, SLICE("Content-Disposition")), SLICE("filename"), arena);
    if (!name.len)
        name = mime_param(mime_header(mail, at, SLICE("Content-Type")), SLICE("name"), arena);
    json_object_begin(json);
    json_put_string(json, "name", mime_text(name, arena));
    json_put_string(json, "type", arena_printf(arena, "%.*s/%.*s", SLICE_ARG(part->type), SLICE_ARG(part->subtype)));
    json_put_int(json, "size_bytes", (int64_t)mime_body(part, SIZE_MAX / 4, arena).len);
    json_end(json);
}

static void parts_write(struct json *json, const struct mime_mail *mail, bool is_error, struct arena *arena)
{
    SCOPED(buf) text = BUF(TEXT_MOST * 4);
    struct slice html = {0};
    bool has_text = false;
    enum shown *shown = ARENA_ARRAY(arena, enum shown, mail->part_count + 1);
    for (unsigned at = 0; at < mail->part_count; at++) {
        shown[at] = shown_as(mail, at, is_error, has_text, html.ptr != NULL);
        if (shown[at] == AS_TEXT) {
            if (has_text)
                buf_text(&text, "\n\n");
            buf_append(&text, utf8_head(mime_body_text(&mail->parts[at], TEXT_MOST, arena), TEXT_MOST));
            has_text = true;
        } else if (shown[at] == AS_HTML) {
            html = mime_body_text(&mail->parts[at], TEXT_MOST, arena);
        }
    }
    json_put_string(json, "text", buf_slice(&text));
    json_key(json, "html");
    if (html.ptr && !is_error)
        json_text(json, html);
    else
        json_nothing(json);
    json_put_array(json, "attachments");
    for (unsigned at = 0; at < mail->part_count; at++)
        if (shown[at] == AS_ATTACHMENT)
            attachment_write(json, mail, at, arena);
    json_end(json);
}

void inbox_mail_write(struct json *json, const struct api_inbox_row *row, struct slice bytes, struct arena *arena)
{
    struct mime_mail mail;
    mime_read(bytes, arena, &mail);
    json_object_begin(json);
    row_write(json, row);
    headers_write(json, &mail, arena);
    parts_write(json, &mail, row->is_error, arena);
    json_end(json);
}

void api_inbox_show(struct api *api, struct http_request *request)
{
    uint64_t id;
    struct api_inbox_row row;
    struct slice bytes;
    const struct api_inbox *inbox = &api->options.inbox;
    if (!api_sees_all(request))
        return;
    if (!inbox->get || !id_parse(http_param(request, "id"), &id) ||
        !inbox->get(inbox->owner, id, &request->arena, &row, &bytes)) {
        answer_no_such(request, "mail in the playground");
        return;
    }
    SCOPED(buf) out = BUF(ANSWER_MAX);
    struct json json = {&out};
    inbox_mail_write(&json, &row, bytes, &request->arena);
    answer_json(request, &out);
}
