/* mail_in.c - the policy of the return path: whose mail, for which recipients, and the wait for inbound_done
 *
 *   MAIL -> envelope begun -> RCPT (ours?) -> MESSAGE -> struct pending handed to inbound -> inbound_done (any thread)
 *        -> mailbox -> 250 or 452 -> freed
 *
 * A pending mail and its session point at each other until one of them is done: the session's end or an overdue answer
 * cuts the tie, and the mail's fate is then told to nobody (the sender tries again; the same mail twice is harmless).
 */
#include "receive/mail_in.h"

#include "base/arena.h"
#include "base/log.h"
#include "dns/null_mx.h"
#include "net/mailbox.h"

#include <assert.h>

enum { HOPS_MAX = 100, MAILBOXES_MAX = 32 };

struct mail_in {
    struct loop *loop;
    struct session_front *front; /* NULL: stopped */
    struct endpoint endpoint;
    struct inbound inbound;
    const struct token_ring *ring;
    struct arena arena; /* options' text */
    struct slice host_name, mailboxes[MAILBOXES_MAX];
    size_t mailbox_count;
    struct mailbox done;
    unsigned pending;
    struct null_mx *null_mx; /* NULL: nobody asks */
    struct mail_in_counts counts;
};

/* Figures are read from other threads. */
static void count(uint64_t *figure, uint64_t more)
{
    __atomic_fetch_add(figure, more, __ATOMIC_RELAXED);
}

struct pending {
    struct inbound_mail mail; /* first: inbound_done finds us by it */
    struct mail_item item;
    struct mail_in *in;
    struct session *session; /* NULL: nobody waits any more. The loop's thread only */
    bool is_kept;
    struct arena arena;
};

/* What a session has said of its present message. */
struct envelope {
    struct arena arena;
    struct slice mail_from;
    struct inbound_recipient *recipients;
    size_t count, room;
    struct pending *pending;
    struct null_mx_question *asked; /* about the domain of mail_from */
    struct session *session;
    struct mail_in *in;
};

/* ── recipients ── */

static bool is_mailbox(const struct mail_in *in, struct slice local)
{
    for (size_t i = 0; i < in->mailbox_count; i++)
        if (slice_equal_caseless(local, in->mailboxes[i]))
            return true;
    return false;
}

static bool is_ours(const struct mail_in *in, struct slice domain)
{
    char lower[256];
    if (domain.len == 0 || domain.len >= sizeof(lower))
        return false;
    for (size_t i = 0; i < domain.len; i++)
        lower[i] = ascii_lower(domain.ptr[i]);
    return in->inbound.is_ours(in->inbound.self, slice_of(lower, domain.len));
}

/* Whether we take mail for it, and what it is for. */
static bool recipient_judge(struct mail_in *in, const struct smtp_path *path, time_ms now,
                            struct inbound_recipient *recipient)
{
    *recipient = (struct inbound_recipient){.address = path->address, .use = INBOUND_MAILBOX, .token = TOKEN_NONE};
    if (path->domain.len == 0) /* <postmaster>: RFC 5321 4.5.1 */
        return true;
    if (path->is_literal || path->is_quoted || !is_ours(in, path->domain))
        return false;
    struct return_path return_path;
    recipient->token = return_path_check(in->ring, path->address, now, &return_path);
    recipient->delivery_id = return_path.delivery_id;
    if (recipient->token != TOKEN_NONE) {
        recipient->use = INBOUND_RETURN_PATH;
    } else if (slice_starts_caseless(path->local, SLICE("u-"))) {
        struct token token = {0};
        recipient->token = token_check(in->ring, TOKEN_UNSUBSCRIBE, slice_from(path->local, 2), now, &token);
        recipient->delivery_id = token.id;
        recipient->use = INBOUND_UNSUBSCRIBE;
        if (recipient->token == TOKEN_NONE)
            return false;
    } else {
        return is_mailbox(in, path->local);
    }
    count(&in->counts.tokens_forged, recipient->token == TOKEN_FORGED);
    count(&in->counts.tokens_expired, recipient->token == TOKEN_EXPIRED);
    if (recipient->token != TOKEN_GOOD && recipient->token != TOKEN_EXPIRED)
        recipient->delivery_id = 0;
    return true;
}

static void envelope_begin(struct envelope *envelope, struct slice mail_from)
{
    arena_reset(&envelope->arena);
    envelope->recipients = NULL;
    envelope->count = envelope->room = 0;
    envelope->mail_from = arena_copy(&envelope->arena, mail_from);
}

static void envelope_add(struct envelope *envelope, const struct inbound_recipient *recipient)
{
    if (envelope->count == envelope->room) {
        envelope->room = envelope->room ? envelope->room * 2 : 4;
        struct inbound_recipient *more = ARENA_ARRAY(&envelope->arena, struct inbound_recipient, envelope->room);
        if (envelope->count)
            memcpy(more, envelope->recipients, envelope->count * sizeof(*more));
        envelope->recipients = more;
    }
    envelope->recipients[envelope->count] = *recipient;
    envelope->recipients[envelope->count++].address = arena_copy(&envelope->arena, recipient->address);
}

/* ── the message ── */

/* M19: how many hosts have had it already. */
static unsigned hops_count(struct slice mail)
{
    unsigned hops = 0;
    struct slice line;
    while (slice_line(&mail, &line) && line.len)
        hops += slice_starts_caseless(line, SLICE("Received:"));
    return hops;
}

static void trace_write(struct mail_in *in, struct session *session, const struct inbound_mail *mail, struct buf *out)
{
    buf_printf(out, "Return-Path: <%.*s>\r\n", SLICE_ARG(mail->mail_from));
    session_trace_begin(session, in->host_name, out);
    if (mail->recipient_count == 1)
        buf_printf(out, "\r\n\tfor <%.*s>", SLICE_ARG(mail->recipients[0].address));
    buf_text(out, "; ");
    time_rfc5322(out, mail->at, 0);
    buf_text(out, "\r\n");
}

static void message_hand_over(struct mail_in *in, struct session *session, struct envelope *envelope)
{
    struct slice body = session_body(session);
    if (hops_count(body) > HOPS_MAX) {
        smtp_server_answer(session_machine(session), SLICE("554 5.4.6 this mail goes round in a circle"));
        return;
    }
    struct pending *pending = NEW(struct pending);
    struct inbound_mail *mail = &pending->mail;
    pending->in = in;
    pending->session = session;
    mail->mail_from = arena_copy(&pending->arena, envelope->mail_from);
    mail->helo = arena_copy(&pending->arena, session_helo(session));
    mail->peer = *session_peer(session);
    mail->is_tls = smtp_server_has_tls(session_machine(session));
    mail->at = world_wall(loop_world(in->loop));
    mail->recipient_count = envelope->count;
    struct inbound_recipient *recipients = ARENA_ARRAY(&pending->arena, struct inbound_recipient, envelope->count);
    for (size_t i = 0; i < envelope->count; i++) {
        recipients[i] = envelope->recipients[i];
        recipients[i].address = arena_copy(&pending->arena, envelope->recipients[i].address);
    }
    mail->recipients = recipients;
    SCOPED(buf) trace = BUF(4096);
    trace_write(in, session, mail, &trace);
    char *bytes = arena_alloc(&pending->arena, trace.len + body.len);
    memcpy(bytes, trace.ptr, trace.len);
    if (body.len)
        memcpy(bytes + trace.len, body.ptr, body.len);
    mail->bytes = slice_of(bytes, trace.len + body.len);
    mail->trace_len = trace.len;
    envelope->pending = pending;
    in->pending++;
    count(&in->counts.mails, 1);
    count(&in->counts.octets, body.len);
    in->inbound.accept(in->inbound.self, mail);
}

void inbound_done(struct inbound_mail *mail, bool is_kept)
{
    struct pending *pending = (struct pending *)mail;
    pending->is_kept = is_kept;
    mailbox_post(&pending->in->done, &pending->item);
}

static void pending_settle(struct pending *pending)
{
    struct session *session = pending->session;
    pending->in->pending--;
    if (session) {
        ((struct envelope *)session_data(session))->pending = NULL;
        if (pending->is_kept)
            smtp_server_accept(session_machine(session));
        else
            smtp_server_answer(session_machine(session), SLICE("452 4.3.1 it could not be kept, try again later"));
    }
    arena_release(&pending->arena);
    free(pending);
    if (session)
        session_go_on(session);
}

static void on_done(struct mailbox *mailbox, struct mail_item *batch)
{
    while (batch) {
        struct mail_item *next = batch->next;
        pending_settle((struct pending *)((char *)batch - offsetof(struct pending, item)));
        batch = next;
    }
}

/* ── the policy ── */

static struct envelope *envelope_of(struct mail_in *in, struct session *session)
{
    struct envelope *envelope = session_data(session);
    if (!envelope) {
        envelope = NEW(struct envelope);
        session_set_data(session, envelope);
        count(&in->counts.sessions, 1);
    }
    return envelope;
}

/* M9: who takes no mail wants no answer. */
static void sender_refuse(struct mail_in *in, struct session *session)
{
    count(&in->counts.senders_refused, 1);
    smtp_server_answer(session_machine(session), SLICE("550 5.7.27 the sender's domain takes no mail (null MX)"));
}

static void sender_told(void *owner, bool is_published)
{
    struct envelope *envelope = owner;
    struct session *session = envelope->session;
    envelope->asked = NULL;
    if (is_published)
        sender_refuse(envelope->in, session);
    else
        smtp_server_accept(session_machine(session));
    session_go_on(session);
}

static void sender_judge(struct mail_in *in, struct session *session, struct envelope *envelope, struct slice domain)
{
    switch (in->null_mx ? null_mx_known(in->null_mx, domain) : NULL_MX_TAKES_MAIL) {
    case NULL_MX_TAKES_MAIL: smtp_server_accept(session_machine(session)); break;
    case NULL_MX_PUBLISHED: sender_refuse(in, session); break;
    case NULL_MX_NOT_KNOWN:
        envelope->session = session;
        envelope->in = in;
        envelope->asked = null_mx_ask(in->null_mx, domain, sender_told, envelope);
        break;
    }
}

static void on_event(void *owner, struct session *session, const struct smtp_server_event *event)
{
    struct mail_in *in = owner;
    struct envelope *envelope = envelope_of(in, session);
    struct inbound_recipient recipient;
    switch (event->what) {
    case SMTP_SERVER_MAIL:
        envelope_begin(envelope, event->path->address);
        sender_judge(in, session, envelope, event->path->domain);
        return;
    case SMTP_SERVER_RCPT:
        if (!recipient_judge(in, event->path, world_wall(loop_world(in->loop)), &recipient)) {
            count(&in->counts.recipients_refused, 1);
            smtp_server_answer(session_machine(session), SLICE("550 5.1.1 there is no such mailbox here"));
            return;
        }
        envelope_add(envelope, &recipient);
        break;
    case SMTP_SERVER_MESSAGE: message_hand_over(in, session, envelope); return;
    case SMTP_SERVER_SCRAM:
    case SMTP_SERVER_AUTH:
        smtp_server_answer(session_machine(session), SLICE("535 5.7.8 nobody signs in here"));
        return;
    case SMTP_SERVER_RESET: return;
    case SMTP_SERVER_CONNECT:
    case SMTP_SERVER_EHLO:
    case SMTP_SERVER_STARTTLS:
    case SMTP_SERVER_TLS_BEGIN:
    case SMTP_SERVER_DATA:
    case SMTP_SERVER_BODY:
    case SMTP_SERVER_CLOSE: break;
    }
    smtp_server_accept(session_machine(session));
}

static void pending_cut(struct envelope *envelope)
{
    if (envelope->pending)
        envelope->pending->session = NULL;
    envelope->pending = NULL;
    null_mx_cancel(envelope->asked);
    envelope->asked = NULL;
}

static void on_overdue(void *owner, struct session *session)
{
    struct envelope *envelope = session_data(session);
    log_warn("receive", "a mail was not kept in time; its sender is asked to try again");
    if (envelope)
        pending_cut(envelope);
}

static void on_end(void *owner, struct session *session)
{
    struct envelope *envelope = session_data(session);
    if (!envelope)
        return;
    pending_cut(envelope);
    arena_release(&envelope->arena);
    free(envelope);
}

static const struct session_policy policy = {.on_event = on_event, .on_overdue = on_overdue, .on_end = on_end};

/* ── life ── */

struct mail_in *mail_in_new(struct loop *loop, const struct mail_in_options *options, const struct inbound *inbound,
                            struct fault *why)
{
    static const struct slice standard[] = {SLICE_INIT("postmaster"), SLICE_INIT("abuse"), SLICE_INIT("fbl")};
    struct mail_in *in = NEW(struct mail_in);
    struct session_options session = options->session;
    const struct slice *mailboxes = options->mailbox_count ? options->mailboxes : standard;
    in->mailbox_count = options->mailbox_count ? options->mailbox_count : COUNT_OF(standard);
    if (in->mailbox_count > MAILBOXES_MAX)
        in->mailbox_count = MAILBOXES_MAX;
    for (size_t i = 0; i < in->mailbox_count; i++)
        in->mailboxes[i] = arena_copy(&in->arena, mailboxes[i]);
    in->loop = loop;
    in->inbound = *inbound;
    in->ring = options->ring;
    in->host_name = session.smtp.host_name = arena_copy(&in->arena, session.smtp.host_name);
    session.smtp.is_lenient = true;              /* strangers' mail must arrive */
    session.smtp.bare_eol = SMTP_BARE_NORMALISE; /* error mail written by hand-made programs too */
    session.smtp.has_auth = false;
    in->front = session_front_new(loop, &session, &policy, in, why);
    if (!in->front) {
        arena_release(&in->arena);
        free(in);
        return NULL;
    }
    in->endpoint = session_front_endpoint(in->front);
    if (!options->takes_null_mx)
        in->null_mx = null_mx_new(loop);
    mailbox_init(&in->done, loop, on_done, in);
    return in;
}

bool mail_in_stop(struct mail_in *in)
{
    return session_front_stop(in->front);
}

unsigned mail_in_pending(const struct mail_in *in)
{
    return in->pending;
}

void mail_in_free(struct mail_in *in)
{
    if (!in)
        return;
    on_done(&in->done, mailbox_take(&in->done));
    session_front_free(in->front);
    assert(in->pending == 0);
    null_mx_free(in->null_mx);
    mailbox_release(&in->done);
    arena_release(&in->arena);
    free(in);
}

struct endpoint mail_in_endpoint(const struct mail_in *in)
{
    return in->endpoint;
}

struct mail_in_counts mail_in_counts(const struct mail_in *in)
{
    const struct mail_in_counts *counts = &in->counts;
    return (struct mail_in_counts){
        .sessions = __atomic_load_n(&counts->sessions, __ATOMIC_RELAXED),
        .mails = __atomic_load_n(&counts->mails, __ATOMIC_RELAXED),
        .senders_refused = __atomic_load_n(&counts->senders_refused, __ATOMIC_RELAXED),
        .recipients_refused = __atomic_load_n(&counts->recipients_refused, __ATOMIC_RELAXED),
        .tokens_forged = __atomic_load_n(&counts->tokens_forged, __ATOMIC_RELAXED),
        .tokens_expired = __atomic_load_n(&counts->tokens_expired, __ATOMIC_RELAXED),
        .octets = __atomic_load_n(&counts->octets, __ATOMIC_RELAXED),
    };
}
