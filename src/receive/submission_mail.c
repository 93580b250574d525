/* submission_mail.c - a message that was read becomes stored mail, and its sender hears so
 *
 *   prepared -> struct pending, with the writer -> committed: the engine is told, on the writer's thread; then, through
 *   the mailbox, the session: 250 (or 452) -> freed
 *
 * A pending mail and its session point at each other until one of them is done. When the session waits no longer and
 * says 451, is_unwanted keeps the job from running; when the client has simply gone, the mail is kept. */
#include "receive/submission_parts.h"

#include "base/json.h"
#include "base/log.h"
#include "mail/address.h"
#include "queue/owed_notice.h"
#include "submit/prepare.h"
#include <stdatomic.h>
#include <stdio.h>

struct pending {
    struct write_job job;
    struct mail_item item;
    struct submission *submission;
    struct session *session; /* NULL: nobody waits any more. The loop's thread only */
    _Atomic bool is_unwanted;
    struct arena arena, work; /* work: of the last run */
    struct message message;
    struct submit_row *recipients;
    size_t count;
    struct submit_news *news;
    size_t news_count;
    struct fault why;
};
#define PENDING_OF(ptr, member) ((struct pending *)(void *)((char *)(ptr)-offsetof(struct pending, member)))

enum { SCHEDULE_DAYS = 366 };

/* ── what is told of where it came from ── */

static void trace_write(const struct submission *submission, const struct session *session, uint64_t id, time_ms now,
                        struct buf *out)
{
    session_trace_begin(session, submission->options.session.smtp.host_name, out);
    buf_printf(out, " id %llx;\r\n\t", (unsigned long long)id);
    time_rfc5322(out, now, submission->options.date_offset_minutes);
    buf_text(out, "\r\n");
}

/* RFC 3461: what was said about reports; nothing when nothing was said. */
static struct slice envelope_write(const struct client *client, struct arena *arena)
{
    bool any = client->envid.len || client->ret_full || client->ret_headers;
    for (size_t i = 0; i < client->count; i++)
        any |= client->recipients[i].notify || client->recipients[i].orcpt.len;
    if (!any)
        return SLICE("");
    SCOPED(buf) out = BUF(1024 + client->count * 2048);
    struct json json = {&out};
    json_object_begin(&json);
    json_put_string(&json, "envid", client->envid);
    json_put_string(&json, "ret", client->ret_full ? SLICE("full") : client->ret_headers ? SLICE("hdrs") : SLICE(""));
    json_put_object(&json, "to");
    for (size_t i = 0; i < client->count; i++) {
        const struct wanted *to = &client->recipients[i];
        if (!to->notify && !to->orcpt.len)
            continue;
        json_key_slice(&json, to->address.identity);
        json_object_begin(&json);
        json_put_int(&json, "notify", to->notify);
        json_put_string(&json, "orcpt", to->orcpt);
        json_end(&json);
    }
    json_end(&json);
    json_end(&json);
    return buf_ok(&out) ? arena_copy(arena, buf_slice(&out)) : SLICE("");
}

/* What must be looked out for besides failures. */
static unsigned wishes_of(const struct client *client)
{
    unsigned wishes = 0;
    for (size_t i = 0; i < client->count; i++)
        if (!(client->recipients[i].notify & SMTP_NOTIFY_NEVER))
            wishes |= client->recipients[i].notify & (NOTICE_RELAYED | NOTICE_DELAYED);
    return wishes;
}
_Static_assert((int)NOTICE_RELAYED == (int)SMTP_NOTIFY_SUCCESS && (int)NOTICE_DELAYED == (int)SMTP_NOTIFY_DELAY &&
                   (int)NOTICE_FAILED == (int)SMTP_NOTIFY_FAILURE,
               "the bits of NOTIFY");

/* Whom reports can go to: an address that could be one, as we would write it. */
static struct slice sender_of(const struct client *client, struct arena *arena)
{
    struct address address;
    struct fault ignored;
    if (client->is_null_sender || !address_parse(client->mail_from, arena, &address, &ignored))
        return SLICE("");
    return address.written;
}

/* ── the job ── */

static bool pending_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct pending *pending = PENDING_OF(job, job);
    arena_reset(&pending->work);
    pending->news_count = 0;
    if (atomic_load(&pending->is_unwanted))
        return fault_set(why, FAULT_INPUT, "its sender was told to try again");
    struct submit_row *rows = ARENA_ARRAY(&pending->work, struct submit_row, pending->count);
    memcpy(rows, pending->recipients, pending->count * sizeof(*rows));
    return message_submit(db, why, &pending->message, rows, pending->count, &pending->work, &pending->news,
                          &pending->news_count);
}

static void pending_done(struct write_job *job, const struct fault *why)
{
    struct pending *pending = PENDING_OF(job, job);
    const struct submission_options *options = &pending->submission->options;
    if (why)
        pending->why = *why;
    else if (options->submitted)
        options->submitted(options->owner, pending->news, pending->news_count);
    mailbox_post(&pending->submission->done, &pending->item);
}

static void pending_settle(struct submission *submission, struct pending *pending)
{
    struct session *session = pending->session;
    bool is_kept = pending->why.kind == FAULT_NONE;
    submission->pending--;
    if (is_kept) {
        submission->counts.mails++;
        submission->counts.recipients += pending->count;
    } else {
        log_warn("receive", "a mail could not be kept: %s", pending->why.text);
    }
    if (session) {
        struct client *client = session_data(session);
        client->pending = NULL;
        if (is_kept) {
            char reply[64];
            int len =
                snprintf(reply, sizeof(reply), "250 2.0.0 accepted as %llu", (unsigned long long)pending->message.id);
            client->reserved = 0;
            smtp_server_answer(session_machine(session), slice_of(reply, (size_t)len));
        } else {
            smtp_server_answer(session_machine(session), SLICE("452 4.3.1 it could not be kept now, try again later"));
        }
        envelope_forget(submission, client);
    }
    arena_release(&pending->arena);
    arena_release(&pending->work);
    free(pending);
    if (session)
        session_go_on(session);
}

void submission_done(struct mailbox *mailbox, struct mail_item *batch)
{
    struct submission *submission = mailbox->owner;
    while (batch) {
        struct mail_item *next = batch->next;
        pending_settle(submission, PENDING_OF(batch, item));
        batch = next;
    }
}

void pending_cut(struct client *client, bool is_unwanted)
{
    if (!client->pending)
        return;
    if (is_unwanted)
        atomic_store(&client->pending->is_unwanted, true);
    client->pending->session = NULL;
    client->pending = NULL;
}

/* ── the message ── */

static void pending_fill(struct submission *submission, const struct client *client, struct pending *pending,
                         const struct prepared *prepared, uint64_t brand_id, time_ms now)
{
    const struct submission_options *options = &submission->options;
    struct message *message = &pending->message;
    message->brand_id = brand_id;
    message->key_id = client->who.key_id;
    message->mail_from = sender_of(client, &pending->arena);
    message->from_domain = prepared->from_domain;
    message->message_id = prepared->message_id;
    message->subject = prepared->subject;
    message->tags = prepared->tags;
    message->label = prepared->label;
    message->envelope = envelope_write(client, &pending->arena);
    message->flags = prepared->flags;
    if (client->is_null_sender)
        message->flags |= MESSAGE_NULL_SENDER;
    else if (message->mail_from.len && !options->no_reports)
        message->flags |= MESSAGE_REPORTS;
    message->body = prepared->bytes;
    message->now = now;
    message->due = prepared->schedule > now ? prepared->schedule : now;
    message->delay_at = message->due + options->delay_after;
    message->wishes = message->flags & MESSAGE_REPORTS ? wishes_of(client) : 0;
    message->expires = message->due + options->expires_after;
    message->keep_until = message->due + options->keep_body;
    pending->count = message->recipients = client->count;
    pending->recipients = ARENA_ARRAY(&pending->arena, struct submit_row, client->count);
    for (size_t i = 0; i < client->count; i++) {
        pending->recipients[i].address = arena_copy(&pending->arena, client->recipients[i].address.identity);
        pending->recipients[i].written = arena_copy(&pending->arena, client->recipients[i].address.written);
    }
    pending->job.run = pending_run;
    pending->job.done = pending_done;
    pending->job.rows = (unsigned)(2 + 2 * client->count);
    pending->job.fails_fast = true;
}

static bool prepare(struct submission *submission, struct session *session, struct client *client,
                    struct pending *pending, struct prepared *prepared, time_ms now)
{
    const struct submission_options *options = &submission->options;
    SCOPED(buf) trace = BUF(1024);
    trace_write(submission, session, pending->message.id, now, &trace);
    const struct prepare_options how = {
        .message_id = pending->message.id,
        .now = now,
        .date_offset_minutes = options->date_offset_minutes,
        .trace = buf_slice(&trace),
        .host_name = options->session.smtp.host_name,
        .encodes_long_lines = options->encodes_long_lines,
        .keeps_8bit = options->keeps_8bit,
        .takes_wishes = true,
    };
    struct fault why = {0};
    if (!message_prepare(session_body(session), &how, &pending->arena, prepared, &why)) {
        submission_refuse(session, prepared->reply, slice_str(why.text));
        return false;
    }
    if (prepared->schedule > now + DAYS_MS(SCHEDULE_DAYS)) {
        submission_refuse(session, "550 5.6.0", SLICE("X-Todoke-Schedule is more than a year away"));
        return false;
    }
    return true;
}

static bool brand_of(struct submission *submission, struct session *session, const struct client *client,
                     struct slice from_domain, uint64_t *brand_id)
{
    const struct authenticator *authenticator = &submission->options.authenticator;
    switch (authenticator->brand(authenticator->self, &client->who, from_domain, brand_id)) {
    case WHO_FOUND: return true;
    case WHO_LATER:
        submission_refuse(session, "451 4.3.0", SLICE("this cannot be checked now, try again later"));
        break;
    case WHO_NOBODY: submission_refuse(session, "550 5.7.1", SLICE("you may not send from the domain of From")); break;
    }
    return false;
}

void pending_free(struct pending *pending)
{
    if (!pending)
        return;
    arena_release(&pending->arena);
    free(pending);
}

static void pending_send(struct pending *pending, struct client *client)
{
    struct submission *submission = pending->submission;
    recent_mails_keep(submission->options.recent, &pending->message);
    client->pending = pending;
    submission->pending++;
    store_write(submission->options.store, &pending->job);
}

static void from_refuse(struct session *session, struct client *client, struct pending *pending)
{
    pending->submission->counts.refused++;
    submission_refuse(session, SUBMISSION_NULL_MX, SLICE("the domain of From takes no mail (null MX)"));
    pending_free(pending);
}

static void from_told(void *owner, bool is_published)
{
    struct client *client = owner;
    struct session *session = client->asked.session;
    struct pending *pending = client->asked.unsent;
    client->asked = (struct sender_asked){0};
    if (!is_published) /* the session hears of it when it is kept */
        return pending_send(pending, client);
    from_refuse(session, client, pending);
    session_go_on(session);
}

/* M9: the domain of From, which is often not that of the envelope. */
static void from_accept(struct submission *submission, struct session *session, struct client *client,
                        struct pending *pending)
{
    struct slice domain = pending->message.from_domain;
    switch (submission->null_mx ? null_mx_known(submission->null_mx, domain) : NULL_MX_TAKES_MAIL) {
    case NULL_MX_TAKES_MAIL: pending_send(pending, client); break;
    case NULL_MX_PUBLISHED: from_refuse(session, client, pending); break;
    case NULL_MX_NOT_KNOWN:
        client->asked = (struct sender_asked){.submission = submission, .session = session, .unsent = pending};
        client->asked.question = null_mx_ask(submission->null_mx, domain, from_told, client);
        break;
    }
}

void submission_message(struct submission *submission, struct session *session, struct client *client)
{
    time_ms now = submission_now(submission);
    struct prepared prepared;
    uint64_t brand_id;
    struct pending *pending = NEW(struct pending);
    pending->submission = submission;
    pending->session = session;
    pending->message.id = id_make_anywhere(store_ids(submission->options.store), now);
    if (!prepare(submission, session, client, pending, &prepared, now) ||
        !brand_of(submission, session, client, prepared.from_domain, &brand_id)) {
        submission->counts.refused++;
        pending_free(pending);
        return;
    }
    pending_fill(submission, client, pending, &prepared, brand_id, now);
    from_accept(submission, session, client, pending);
}
