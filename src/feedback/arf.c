/* arf.c - complaints and failure reports, one mail each (RFC 5965, 6591, 9991): fields as a header block, then the mail
 */
#include "base/utf8.h"
#include "feedback/private.h"

enum { FIELDS_BYTES_MAX = 65536 };

static struct slice text_of(struct slice value, struct arena *arena)
{
    return utf8_head(mime_text(value, arena), FEEDBACK_TEXT_MAX);
}

/* The headers of the mail that it is about: in a message/rfc822, or a text/rfc822-headers (or a mere text). */
static void original_take(const struct mime_mail *mail, unsigned after, struct arena *arena, struct feedback *feedback)
{
    const struct mime_mail *from = NULL;
    unsigned part = 0;
    for (unsigned i = 1; i < mail->part_count && !from; i++) {
        if (mail->parts[i].is_message) {
            from = mail;
            part = i;
        } else if (mime_is(&mail->parts[i], "text", "rfc822-headers") ||
                   (i > after && mime_is(&mail->parts[i], "text", "rfc822-header"))) {
            struct mime_mail *headers = ARENA_NEW(arena, struct mime_mail);
            mime_read_head(mime_body(&mail->parts[i], MIME_HEADER_BYTES_MAX, arena), arena, headers);
            from = headers;
        }
    }
    if (!from)
        return;
    feedback->original_from = text_of(mime_header(from, part, SLICE("From")), arena);
    feedback->original_to = text_of(mime_header(from, part, SLICE("To")), arena);
    feedback->original_subject = text_of(mime_header(from, part, SLICE("Subject")), arena);
    feedback->original_message_id = text_of(mime_angle(mime_header(from, part, SLICE("Message-ID"))), arena);
}

bool feedback_read_arf(const struct mime_mail *mail, unsigned part, struct arena *arena, struct feedback *feedback)
{
    struct slice body = slice_trim(mime_body_text(&mail->parts[part], FIELDS_BYTES_MAX, arena));
    ptrdiff_t at = slice_find_caseless(body, SLICE("Feedback-Type:"));
    if (at < 0)
        return false;
    if (!mime_is(&mail->parts[part], "message", "feedback-report"))
        body = slice_from(body, (size_t)at);
    struct mime_mail report;
    mime_read_head(body, arena, &report);
    struct slice type = slice_trim(mime_header(&report, 0, SLICE("Feedback-Type")));
    if (!type.len)
        return false;
    *feedback = (struct feedback){.type = feedback_lower(slice_head(type, 64), arena)};
    feedback->kind = slice_starts(feedback->type, SLICE("auth-failure")) ? FEEDBACK_FAILURE : FEEDBACK_ABUSE;
    feedback->version = text_of(mime_header(&report, 0, SLICE("Version")), arena);
    feedback->generator = text_of(mime_header(&report, 0, SLICE("User-Agent")), arena);
    feedback->org = text_of(mime_header(&report, 0, SLICE("Reporting-MTA")), arena);
    ptrdiff_t semicolon = slice_find_byte(feedback->org, ';'); /* "dns; mx.example.net" */
    feedback->org = slice_trim(slice_from(feedback->org, (size_t)(semicolon + 1)));
    struct slice sender[1];
    if (mime_addresses(mime_header(mail, 0, SLICE("From")), sender, 1))
        feedback->email = text_of(sender[0], arena);
    unsigned count = report.header_count < FEEDBACK_FIELDS_MAX ? report.header_count : FEEDBACK_FIELDS_MAX;
    feedback->is_cut = report.header_count > count;
    feedback->fields = ARENA_ARRAY(arena, struct feedback_field, count + 1);
    for (unsigned i = 0; i < count; i++)
        feedback->fields[feedback->field_count++] = (struct feedback_field){
            .name = slice_head(report.headers[i].name, 128), .value = text_of(report.headers[i].value, arena)};
    original_take(mail, part, arena, feedback);
    return true;
}
