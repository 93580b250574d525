/* Amazon SES notifications as JSON, as SNS mails them: bounces, complaints, deliveries. */
#include "bounce/read_private.h"
#include "bounce/said.h"
#include "bounce/scan.h"
#include <jansson.h>

static struct slice text_of(struct reading *r, const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_string(value) ? arena_copy(r->arena, slice_of(json_string_value(value), json_string_length(value)))
                                 : SLICE("");
}

static void bounced(struct reading *r, const json_t *bounce)
{
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(bounce, "bouncedRecipients"), i, one)
    {
        struct slice type = text_of(r, bounce, "bounceType");
        struct bounce_row *row =
            row_add(r, slice_equal(type, SLICE("Transient")) && slice_equal(text_of(r, one, "action"), SLICE("delayed"))
                           ? KIND_DELAY
                           : KIND_BOUNCE);
        if (!row)
            return;
        row->recipient = text_of(r, one, "emailAddress");
        row->action = text_of(r, one, "action");
        row->reporting_mta = scan_host(text_of(r, bounce, "reportingMTA"));
        row->diagnostic = scan_squeeze(text_of(r, one, "diagnosticCode"), r->arena);
        if (slice_starts_caseless(row->diagnostic, SLICE("smtp;")))
            row->diagnostic = slice_trim(slice_from(row->diagnostic, 5));
        struct slice subtype = text_of(r, bounce, "bounceSubType");
        struct said said;
        said_parse(row->diagnostic, r->arena, &said);
        uint16_t status[3] = {0};
        if (!said.status[0] && said_find_status(text_of(r, one, "status"), status))
            memcpy(said.status, status, sizeof(status));
        row->code = said.code;
        memcpy(row->status, said.status, sizeof(row->status));
        struct refusal refusal = {.code = said.code, .text = said.text, .reporting_mta = SLICE("amazonses.com")};
        memcpy(refusal.status, said.status, sizeof(refusal.status));
        ptrdiff_t at = slice_find_last_byte(row->recipient, '@');
        refusal.receiver = at >= 0 ? slice_from(row->recipient, (size_t)at + 1) : SLICE("");
        rules_judge(r->rules, r->scratch, &refusal, &row->verdict);
        row->mark = slice_of(said.text.ptr + row->verdict.mark_from, row->verdict.mark_to - row->verdict.mark_from);
        if (row->verdict.reason != REASON_UNDEFINED && row->verdict.reason != REASON_FILTERED)
            continue;
        static const struct {
            struct slice word;
            enum reason reason;
        } subtypes[] = {
            {SLICE_INIT("NoEmail"), REASON_USER_UNKNOWN},
            {SLICE_INIT("Suppressed"), REASON_SUPPRESSED},
            {SLICE_INIT("OnAccountSuppressionList"), REASON_SUPPRESSED},
            {SLICE_INIT("MailboxFull"), REASON_MAILBOX_FULL},
            {SLICE_INIT("MessageTooLarge"), REASON_MESSAGE_TOO_BIG},
            {SLICE_INIT("ContentRejected"), REASON_CONTENT_ERROR},
            {SLICE_INIT("AttachmentRejected"), REASON_SECURITY_ERROR},
        };
        for (size_t k = 0; k < COUNT_OF(subtypes); k++)
            if (slice_equal(subtype, subtypes[k].word))
                rules_verdict_of_reason(r->rules, subtypes[k].reason, true, &row->verdict);
    }
}

static void complained(struct reading *r, const json_t *complaint)
{
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(complaint, "complainedRecipients"), i, one)
    {
        struct bounce_row *row = row_add(r, KIND_COMPLAINT);
        if (!row)
            return;
        row->recipient = text_of(r, one, "emailAddress");
        row->feedback_type = text_of(r, complaint, "complaintFeedbackType");
        if (!row->feedback_type.len)
            row->feedback_type = SLICE("abuse");
        rules_verdict_of_reason(r->rules, REASON_COMPLAINT, false, &row->verdict);
    }
}

static void delivered(struct reading *r, const json_t *delivery)
{
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(delivery, "recipients"), i, one)
    {
        struct bounce_row *row = row_add(r, KIND_DELIVERED);
        if (!row)
            return;
        row->recipient = arena_copy(r->arena, slice_of(json_string_value(one), json_string_length(one)));
        row->reporting_mta = scan_host(text_of(r, delivery, "reportingMTA"));
        row->diagnostic = scan_squeeze(text_of(r, delivery, "smtpResponse"), r->arena);
        struct said said;
        said_parse(row->diagnostic, r->arena, &said);
        row->code = said.code;
        memcpy(row->status, said.status, sizeof(row->status));
        rules_verdict_of_reason(r->rules, REASON_DELIVERED, false, &row->verdict);
    }
}

/* Mail breaks long lines of JSON; a newline inside a string is not JSON. */
static struct slice json_cut(struct slice text, struct arena *arena)
{
    char *to = arena_alloc(arena, text.len + 1);
    size_t len = 0;
    int depth = 0;
    bool is_string = false, is_escaped = false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '\r' || c == '\n') {
            if (is_string && c == '\n' && i + 1 < text.len && text.ptr[i + 1] == ' ')
                i++; /* a fold of "! " kind */
            continue;
        }
        if (c == '"' && !is_escaped)
            is_string = !is_string;
        is_escaped = c == '\\' && !is_escaped;
        to[len++] = c;
        if (!is_string && c == '{')
            depth++;
        if (!is_string && c == '}' && --depth == 0)
            break;
    }
    return slice_of(to, len);
}

bool notify_read(struct reading *r, struct slice text)
{
    enum { DEPTH_LIMIT = 1 << 20 };
    text = slice_trim(slice_head(text, DEPTH_LIMIT));
    if (!text.len || text.ptr[0] != '{' ||
        (slice_find(text, SLICE("notificationType")) < 0 && slice_find(text, SLICE("eventType")) < 0))
        return false;
    struct slice cut = json_cut(text, r->arena);
    json_t *root = json_loadb(cut.ptr, cut.len, 0, NULL);
    if (!root)
        return false;
    json_t *inner = NULL; /* SNS wraps the notification as a string in "Message" */
    struct slice message = text_of(r, root, "Message");
    if (message.len && (inner = json_loadb(message.ptr, message.len, 0, NULL))) {
        json_decref(root);
        root = inner;
    }
    bounced(r, json_object_get(root, "bounce"));
    complained(r, json_object_get(root, "complaint"));
    if (!r->bounce->row_count)
        delivered(r, json_object_get(root, "delivery"));
    const json_t *mail = json_object_get(root, "mail");
    struct slice id = text_of(r, json_object_get(mail, "commonHeaders"), "messageId");
    r->bounce->message_id = id.len ? mime_angle(id) : text_of(r, mail, "messageId");
    json_decref(root);
    return r->bounce->row_count > 0;
}
