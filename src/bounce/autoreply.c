/* Automatic answers: RFC 3834 says how to know one; many do not say. Never a bounce (S9). */
#include "bounce/phrase.h"
#include "bounce/read_private.h"
#include "bounce/scan.h"

static bool asks_for_proof(struct slice text)
{
    static const struct phrase rows[] = {
        {SLICE_INIT("confirm that you are a person"), 1},
        {SLICE_INIT("verify that you are"), 1},
        {SLICE_INIT("prove you are human"), 1},
        {SLICE_INIT("challenge"), 1},
        {SLICE_INIT("to have your message delivered"), 1},
        {SLICE_INIT("sender verification"), 1},
        {SLICE_INIT("approve your message by"), 1},
        {SLICE_INIT("added to my list of approved senders"), 1},
        {SLICE_INIT("complete the verification"), 1},
        {SLICE_INIT("add you to my whitelist"), 1},
        {SLICE_INIT("confirm your message"), 1},
        {SLICE_INIT("confirms new senders"), 1},
        {SLICE_INIT("release your message"), 1},
        {SLICE_INIT("to release it"), 1},
        {SLICE_INIT("held until you"), 1},
        {SLICE_INIT("has not been delivered yet because"), 1},
        {SLICE_INIT("送信者の確認"), 1},
        {SLICE_INIT("承認されるまで"), 1},
        {SLICE_INIT("boxbe"), 1},
        {SLICE_INIT("spamarrest"), 1},
    };
    static struct phrases set = PHRASES(rows);
    return scan_any(text, &set);
}

/* The mailbox is given up, says its own answer. */
static bool tells_end(struct slice text)
{
    static const struct phrase rows[] = {
        {SLICE_INIT("is no longer in use"), 1},     {SLICE_INIT("no longer in use"), 1},
        {SLICE_INIT("is no longer monitored"), 1},  {SLICE_INIT("address is no longer valid"), 1},
        {SLICE_INIT("mailbox has been closed"), 1}, {SLICE_INIT("account has been closed"), 1},
        {SLICE_INIT("現在使われておりません"), 1},  {SLICE_INIT("現在使用しておりません"), 1},
        {SLICE_INIT("使用を終了しました"), 1},
    };
    static struct phrases set = PHRASES(rows);
    return scan_any(text, &set);
}

bool autoreply_read(struct reading *r, struct slice text)
{
    const struct survey *s = &r->survey;
    struct slice submitted = mime_header(r->mail, 0, SLICE("Auto-Submitted"));
    struct slice suppress = mime_header(r->mail, 0, SLICE("X-Auto-Response-Suppress"));
    struct slice precedence = mime_header(r->mail, 0, SLICE("Precedence"));
    struct slice head = slice_head(text, 1500);
    bool has_list =
        mime_header(r->mail, 0, SLICE("List-Id")).ptr || mime_header(r->mail, 0, SLICE("List-Unsubscribe")).ptr;
    bool is_replied =
        slice_starts_caseless(submitted, SLICE("auto-replied")) || mime_header(r->mail, 0, SLICE("X-Autoreply")).ptr ||
        mime_header(r->mail, 0, SLICE("X-Autorespond")).ptr || slice_equal_caseless(precedence, SLICE("auto_reply"));
    bool is_vacation = submitted.ptr && slice_find_caseless(submitted, SLICE("vacation")) >= 0;
    bool is_titled = !has_list && (s->is_auto_title_sure || (s->is_auto_title && survey_tells_absence(head)));
    bool is_auto = is_replied || is_vacation || is_titled ||
                   ((s->has_null_path || suppress.ptr) && s->is_answer && survey_tells_absence(head));
    if (!is_auto || slice_starts_caseless(submitted, SLICE("auto-notified")))
        return false;
    /* Apple Mail's own unsubscribe mail wears the same header */
    if (is_replied && slice_equal_caseless(slice_trim(s->subject), SLICE("unsubscribe"))) {
        struct bounce_row *row = row_add(r, KIND_COMPLAINT);
        if (!row)
            return false;
        row->recipient = s->from_address;
        row->feedback_type = SLICE("opt-out");
        rules_verdict_of_reason(r->rules, REASON_COMPLAINT, false, &row->verdict);
        return true;
    }
    struct bounce_row *row = row_add(r, KIND_AUTOREPLY);
    if (!row)
        return false;
    row->recipient = s->from_address;
    row->diagnostic = scan_squeeze(slice_head(head, 400), r->arena);
    bool is_abandoned = tells_end(head);
    enum reason reason = is_abandoned                                          ? REASON_SUSPENDED
                         : asks_for_proof(head) && !survey_tells_absence(head) ? REASON_CHALLENGE
                                                                               : REASON_VACATION;
    rules_verdict_of_reason(r->rules, reason, false, &row->verdict);
    if (is_abandoned) /* a person's words, no server's: somebody should look */
        row->verdict.action = ACTION_CONTACT_RECIPIENT;
    r->bounce->message_id = mime_angle(mime_header(r->mail, 0, SLICE("In-Reply-To")));
    return true;
}
