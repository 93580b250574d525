/* Complaints: RFC 5965 feedback reports, and the odd cousins that say the same without the form. */
#include "bounce/read_private.h"
#include "bounce/scan.h"

static void complaint_row(struct reading *r, struct slice recipient, struct slice type)
{
    bool is_not_spam = slice_equal_caseless(type, SLICE("not-spam"));
    struct bounce_row *row = row_add(r, is_not_spam ? KIND_REPORT : KIND_COMPLAINT);
    if (!row)
        return;
    row->recipient = recipient;
    row->feedback_type = type;
    rules_verdict_of_reason(r->rules, is_not_spam ? REASON_UNDEFINED : REASON_COMPLAINT, false, &row->verdict);
    if (slice_starts_caseless(type, SLICE("auth-failure"))) { /* a program's report about our authentication (RFC 6591):
                                                                 nobody complained */
        row->verdict.action = ACTION_FIX_AUTH;
        row->verdict.scope = SCOPE_SENDER;
        row->verdict.whose = WHOSE_SENDER;
    }
}

/* The fields of the report, which is read as a header block. */
static bool feedback_read(struct reading *r, struct slice body)
{
    struct mime_mail report;
    struct slice text = slice_trim(body);
    mime_read_head(text, r->arena, &report);
    struct slice type = mime_header(&report, 0, SLICE("Feedback-Type"));
    if (!type.ptr)
        return false;
    type = slice_trim(type);
    struct slice source = mime_header(&report, 0, SLICE("Reporting-MTA"));
    unsigned before = r->bounce->row_count;
    static const struct slice names[] = {SLICE_INIT("Original-Rcpt-To"), SLICE_INIT("Removal-Recipient"),
                                         SLICE_INIT("Final-Recipient")};
    for (size_t name = 0; name < COUNT_OF(names) && r->bounce->row_count == before; name++) {
        struct slice value;
        for (unsigned i = 0; (value = mime_header_nth(&report, 0, names[name], i)).ptr && i < MIME_HEADERS_MAX; i++) {
            struct slice address = scan_typed_address(value);
            if (memchr(address.ptr, '@', address.len))
                complaint_row(r, address, type);
        }
    }
    if (r->bounce->row_count == before)
        complaint_row(r, original_recipient(r), type);
    for (unsigned i = before; i < r->bounce->row_count && source.ptr; i++)
        r->bounce->rows[i].reporting_mta = scan_host(source);
    return true;
}

bool complaint_read(struct reading *r)
{
    const struct survey *s = &r->survey;
    if (s->feedback_part != PART_NONE &&
        feedback_read(r, mime_body_text(&r->mail->parts[s->feedback_part], 65536, r->arena)))
        return true;
    /* the fields in a plain part, as some agents write them */
    if (slice_equal_caseless(s->report_type, SLICE("feedback-report"))) {
        for (unsigned i = 0; i < r->mail->part_count; i++) {
            const struct mime_part *part = &r->mail->parts[i];
            ptrdiff_t at =
                part->is_message ? SLICE_NPOS : slice_find(slice_head(part->body, 16384), SLICE("Feedback-Type:"));
            if (at >= 0 && feedback_read(r, slice_from(slice_head(part->body, 65536), (size_t)at)))
                return true;
        }
        complaint_row(r, original_recipient(r), SLICE("abuse"));
        return true;
    }
    /* Outlook.com's junk mail reports: the mail itself, from staff@hotmail.com */
    if (s->message_part != PART_NONE &&
        (slice_starts_caseless(s->subject, SLICE("complaint about message from")) ||
         slice_starts_caseless(s->from_address, SLICE("staff@hotmail.com"))) &&
        mime_header(r->mail, (unsigned)s->message_part, SLICE("X-HmXmrOriginalRecipient")).ptr) {
        complaint_row(r, original_recipient(r), SLICE("abuse"));
        return true;
    }
    return false;
}
