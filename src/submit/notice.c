#include "submit/notice.h"

#include "base/percent.h"
#include "mail/address.h"
#include "mime/write.h"
#include "queue/owed_notice.h"
#include <jansson.h>

_Static_assert((int)NOTICE_FLAG == (int)MESSAGE_REPORTS, "the same bit of message.flags");

enum { NOTIFY_NEVER = 1, RETURNED_MAX = 1 << 20, NOTICE_MAX = 4 << 20, LINE_KEPT = 500 };

/* ── what was said about reports (receive/submission_mail.c writes it) ── */

static json_t *envelope_of(const struct message *message)
{
    return message->envelope.len ? json_loadb(message->envelope.ptr, message->envelope.len, 0, NULL) : NULL;
}

static json_t *to_of(json_t *envelope, struct slice address)
{
    json_t *to = json_object_get(envelope, "to");
    return json_is_object(to) ? json_object_getn(to, address.ptr, address.len) : NULL;
}

bool notice_is_wanted(const struct message *message, struct slice address, enum notice_kind kind)
{
    if (!(message->flags & MESSAGE_REPORTS) || (message->flags & MESSAGE_NULL_SENDER) || !message->mail_from.len)
        return false;
    json_t *envelope = envelope_of(message);
    json_int_t notify = json_integer_value(json_object_get(to_of(envelope, address), "notify"));
    json_decref(envelope);
    if (notify == 0)
        return kind == NOTICE_FAILED;
    return !(notify & NOTIFY_NEVER) && (notify & (json_int_t)kind);
}

/* "+3D" is "=" (RFC 3461 4). */
static void xtext_write(struct buf *out, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        int byte = text.ptr[i] == '+' ? percent_digits(text, i + 1) : -1;
        char c = byte < 0 ? text.ptr[i] : (char)byte;
        buf_byte(out, c >= ' ' && c < 0x7f ? c : '?');
        i += byte < 0 ? 0 : 2;
    }
}

static void clean_write(struct buf *out, struct slice text)
{
    text = slice_head(text, LINE_KEPT);
    for (size_t i = 0; i < text.len; i++)
        buf_byte(out, text.ptr[i] >= ' ' && text.ptr[i] < 0x7f ? text.ptr[i] : '?');
}

static void field_write(struct buf *out, struct slice name, struct slice value)
{
    buf_append(out, name);
    clean_write(out, value);
    buf_text(out, "\r\n");
}

/* ── its parts ── */

static struct slice notice_action(enum notice_kind kind)
{
    switch (kind) {
    case NOTICE_RELAYED: return SLICE("relayed");
    case NOTICE_DELAYED: return SLICE("delayed");
    case NOTICE_FAILED: break;
    }
    return SLICE("failed");
}

/* As the other side said, when its class is that of the outcome (RFC 3464 2.3.4). */
static struct slice notice_status(const struct notice *notice)
{
    char class = notice->kind == NOTICE_RELAYED ? '2' : notice->kind == NOTICE_DELAYED ? '4' : '5';
    if (notice->status.len && (notice->kind == NOTICE_FAILED || notice->status.ptr[0] == class))
        return notice->status;
    return class == '2' ? SLICE("2.0.0") : class == '4' ? SLICE("4.0.0") : SLICE("5.0.0");
}

static void status_write(const struct notice *notice, const struct notice_options *options, struct buf *out)
{
    json_t *envelope = envelope_of(notice->message), *to = to_of(envelope, notice->address);
    const char *envid = json_string_value(json_object_get(envelope, "envid"));
    const char *orcpt = json_string_value(json_object_get(to, "orcpt"));
    if (envid && *envid) {
        buf_text(out, "Original-Envelope-Id: ");
        xtext_write(out, slice_str(envid));
        buf_text(out, "\r\n");
    }
    field_write(out, SLICE("Reporting-MTA: dns; "), options->host_name);
    buf_text(out, "Arrival-Date: ");
    time_rfc5322(out, notice->message->now, options->date_offset_minutes);
    buf_text(out, "\r\n\r\n");
    if (orcpt && *orcpt) {
        buf_text(out, "Original-Recipient: ");
        xtext_write(out, slice_str(orcpt));
        buf_text(out, "\r\n");
    }
    field_write(out, SLICE("Final-Recipient: rfc822; "), notice->address);
    field_write(out, SLICE("Action: "), notice_action(notice->kind));
    field_write(out, SLICE("Status: "), notice_status(notice));
    struct slice remote = notice->remote_mta;
    ptrdiff_t bracket = slice_find_byte(remote, '[');
    remote = bracket > 0 ? slice_head(remote, (size_t)bracket) : remote;
    if (remote.len)
        field_write(out, SLICE("Remote-MTA: dns; "), remote);
    if (notice->diagnostic.len)
        field_write(out, SLICE("Diagnostic-Code: smtp; "), notice->diagnostic);
    buf_text(out, "Last-Attempt-Date: ");
    time_rfc5322(out, notice->at, options->date_offset_minutes);
    buf_text(out, "\r\n");
    if (notice->kind == NOTICE_DELAYED) {
        buf_text(out, "Will-Retry-Until: ");
        time_rfc5322(out, notice->retry_until, options->date_offset_minutes);
        buf_text(out, "\r\n");
    }
    json_decref(envelope);
}

static const char *outcome_of(const struct notice *notice)
{
    switch (notice->kind) {
    case NOTICE_RELAYED:
        return "was taken by the other side. You asked to hear of it; nothing more is told of this mail unless it "
               "comes\r\n"
               "back after all.";
    case NOTICE_DELAYED:
        return "is not delivered yet. It is tried again, you need not do anything; you hear of it when it fails for "
               "good.";
    case NOTICE_FAILED: break;
    }
    return notice->is_expired
               ? "could not be delivered, although it was tried for a long time; it is not tried any more."
               : "could not be delivered.";
}

static void words_write(const struct notice *notice, const struct notice_options *options, struct buf *out)
{
    buf_printf(out, "This is %.*s.\r\n\r\nYour mail to\r\n\r\n    %.*s\r\n\r\n%s", SLICE_ARG(options->host_name),
               SLICE_ARG(notice->address), outcome_of(notice));
    if (notice->diagnostic.len) {
        buf_str(out, notice->remote_mta.len ? " The other side said:\r\n\r\n    " : " Why:\r\n\r\n    ");
        clean_write(out, notice->diagnostic);
    }
    buf_text(out, "\r\n");
}

/* What is given back: the header, or of a failure with RET=FULL all of it; what cannot stand in 7 bits is left out. */
static struct part returned_part(const struct notice *notice)
{
    json_t *envelope = envelope_of(notice->message);
    const char *ret = json_string_value(json_object_get(envelope, "ret"));
    struct slice mail = notice->message->body;
    bool is_full = ret && notice->kind == NOTICE_FAILED && strcmp(ret, "full") == 0 && mail.len <= RETURNED_MAX &&
                   !(notice->message->flags & (MESSAGE_NEEDS_8BIT | MESSAGE_NEEDS_SMTPUTF8));
    json_decref(envelope);
    ptrdiff_t end = slice_find(mail, SLICE("\r\n\r\n"));
    struct slice head = end == SLICE_NPOS ? mail : slice_head(mail, (size_t)end + 2);
    return (struct part){.kind = PART_MESSAGE,
                         .type = is_full ? SLICE("message/rfc822") : SLICE("text/rfc822-headers"),
                         .content = is_full ? mail : head};
}

bool notice_compose(const struct notice *notice, const struct notice_options *options, struct buf *out,
                    struct fault *why)
{
    SCOPED(buf) words = BUF(8192);
    SCOPED(buf) status = BUF(16384);
    SCOPED(buf) subject = BUF(4096);
    SCOPED(buf) from = BUF(512);
    words_write(notice, options, &words);
    status_write(notice, options, &status);
    buf_str(&subject, notice->kind == NOTICE_RELAYED   ? "Handed over: "
                      : notice->kind == NOTICE_DELAYED ? "Not delivered yet: "
                                                       : "Not delivered: ");
    buf_append(&subject, notice->message->subject);
    buf_printf(&from, "mailer-daemon@%.*s", SLICE_ARG(notice->from_domain));
    struct part parts[] = {
        {.kind = PART_TEXT, .type = SLICE("text/plain"), .content = buf_slice(&words)},
        {.kind = PART_MESSAGE, .type = SLICE("message/delivery-status"), .content = buf_slice(&status)},
        returned_part(notice),
    };
    const struct part report = {
        .kind = PART_MULTIPART,
        .type = SLICE("multipart/report"),
        .parameters = SLICE("report-type=delivery-status"),
        .children = parts,
        .child_count = notice->message->flags & MESSAGE_LETTER || !parts[2].content.len ? 2 : 3,
    };
    struct mail_draft draft = {
        .from_name = SLICE("Mail delivery"),
        .from_address = buf_slice(&from),
        .to_address = notice->message->mail_from,
        .subject = buf_slice(&subject),
        .message_domain = notice->from_domain,
        .in_reply_to = notice->message->message_id,
        .auto_submitted = SLICE("auto-replied"),
        .date = options->now,
        .date_offset_minutes = options->date_offset_minutes,
        .id = notice->id,
        .body = &report,
    };
    size_t before = out->len;
    if (mail_write(out, &draft, why))
        return buf_ok(out) || fault_set(why, FAULT_INPUT, "the notice is too long");
    out->len = before; /* what was to be given back, or its Message-ID, cannot be: without them, then */
    struct part shorter = report;
    shorter.child_count = 2;
    draft.body = &shorter;
    draft.in_reply_to = SLICE("");
    return mail_write(out, &draft, why);
}

/* ── from rows to mails ── */

struct owed {
    uint64_t message_id;
    struct notice notice;
};

static bool owed_take(struct db *db, struct fault *why, size_t most, struct arena *arena, struct owed **owed,
                      size_t *count)
{
    *owed = ARENA_ARRAY(arena, struct owed, most);
    *count = 0;
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows,
                  "DELETE FROM notice_owed WHERE (delivery_id, kind) IN (SELECT delivery_id, kind FROM notice_owed "
                  "ORDER BY delivery_id, kind LIMIT $1) RETURNING message_id, address, at_ms, is_expired, status, "
                  "diagnostic, remote_mta, kind, retry_until_ms",
                  VALUES(V_INT((int64_t)most))))
        return false;
    while (*count < most && rows_next(&rows))
        (*owed)[(*count)++] = (struct owed){
            .message_id = (uint64_t)rows_int(&rows, 0),
            .notice = {.address = arena_copy(arena, rows_text(&rows, 1)),
                       .at = rows_int(&rows, 2),
                       .is_expired = rows_int(&rows, 3) != 0,
                       .status = arena_copy(arena, rows_text(&rows, 4)),
                       .diagnostic = arena_copy(arena, rows_text(&rows, 5)),
                       .remote_mta = arena_copy(arena, rows_text(&rows, 6)),
                       .kind = (enum notice_kind)rows_int(&rows, 7),
                       .retry_until = rows_int(&rows, 8)},
        };
    return rows_end(&rows);
}

static bool domain_of_brand(struct db *db, struct fault *why, uint64_t brand_id, struct arena *arena,
                            struct slice *domain)
{
    SCOPED(rows) rows = {0};
    *domain = SLICE("");
    if (!db_query(db, why, &rows, "SELECT return_path_domain FROM brand WHERE id = $1",
                  VALUES(V_INT((int64_t)brand_id))))
        return false;
    if (rows_next(&rows))
        *domain = arena_copy(arena, rows_text(&rows, 0));
    return rows_end(&rows);
}

/* One notice as a stored mail. *to.identity empty: nobody can or will be told. */
static bool send_one(struct db *db, struct fault *why, const struct notice_options *options, struct owed *owed,
                     struct arena *arena, struct submit_news **news, size_t *news_count)
{
    struct message told;
    struct address to;
    struct fault ignored;
    struct notice *notice = &owed->notice;
    *news_count = 0;
    if (!message_find(db, why, owed->message_id, true, arena, &told))
        return why->kind == FAULT_INPUT; /* gone meanwhile */
    if (!notice_is_wanted(&told, notice->address, notice->kind) || !address_parse(told.mail_from, arena, &to, &ignored))
        return true;
    if (!domain_of_brand(db, why, told.brand_id, arena, &notice->from_domain))
        return false;
    if (!notice->from_domain.len || slice_equal(to.domain, notice->from_domain)) /* it would come back to us */
        return true;
    notice->id = id_make_anywhere(db_ids(db), options->now);
    notice->message = &told;
    SCOPED(buf) mail = BUF(NOTICE_MAX);
    if (!notice_compose(notice, options, &mail, &ignored))
        return true;
    const struct message message = {
        .id = notice->id,
        .brand_id = told.brand_id,
        .from_domain = notice->from_domain,
        .subject = SLICE("(notice to the sender)"),
        .flags = MESSAGE_NULL_SENDER | (to.needs_smtputf8 ? MESSAGE_NEEDS_SMTPUTF8 : 0),
        .body = buf_slice(&mail),
        .now = options->now,
        .due = options->now,
        .expires = options->now + options->expires_after,
        .keep_until = options->now + DAYS_MS(1),
    };
    struct submit_row row = {.address = to.identity, .written = to.written};
    return message_submit(db, why, &message, &row, 1, arena, news, news_count);
}

bool notice_send(struct db *db, struct fault *why, const struct notice_options *options, size_t most,
                 struct arena *arena, struct submit_news **news, size_t *news_count, size_t *taken)
{
    struct owed *owed;
    *news_count = 0;
    if (!notice_wishes_sweep(db, why, options->now) || !owed_take(db, why, most, arena, &owed, taken))
        return false;
    *news = ARENA_ARRAY(arena, struct submit_news, *taken + 1);
    for (size_t i = 0; i < *taken; i++) {
        struct submit_news *one;
        size_t count;
        if (!send_one(db, why, options, &owed[i], arena, &one, &count))
            return false;
        for (size_t n = 0; n < count; n++)
            (*news)[(*news_count)++] = one[n];
    }
    return true;
}
