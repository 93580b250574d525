/* submission.c - who speaks, from whom and to whom
 *
 *   AUTH -> known (or the network is) -> MAIL -> RCPT, each reserved in the key's hour -> MESSAGE (submission_mail.c)
 *
 * Always true: client->reserved recipients of the key's hour (which all keys that it made share) belong to the envelope
 * under way; they stay there when the mail is kept and go back when it is not. */
#include "receive/submission_parts.h"

#include "base/log.h"
#include "mail/address.h"

enum {
    FAILURES_MOST = 10, /* wrong keys from one address ... */
    FAILURES_MS = 600000,
    FAILURES_ROOM = 20000, /* addresses remembered */
    MINUTES = 60,
};

struct failures {
    time_ms since;
    unsigned count;
};
struct hour {       /* recipients by the minute they were accepted in; a minute's place is used again after an hour */
    time_ms minute; /* of the newest */
    unsigned counts[MINUTES];
};

time_ms submission_now(const struct submission *submission)
{
    return world_wall(loop_world(submission->loop));
}

void submission_refuse(struct session *session, const char *reply, struct slice text)
{
    SCOPED(buf) line = BUF(480);
    buf_str(&line, reply);
    buf_byte(&line, ' ');
    text = slice_head(text, 400);
    for (size_t i = 0; i < text.len; i++)
        buf_byte(&line, text.ptr[i] >= ' ' && text.ptr[i] < 0x7f ? text.ptr[i] : '?');
    smtp_server_answer(session_machine(session), buf_slice(&line));
}

static void refuse_until(struct session *session, const char *reply, const char *text, time_ms until)
{
    SCOPED(buf) line = BUF(400);
    buf_str(&line, text);
    buf_text(&line, "; again from ");
    time_rfc3339(&line, until);
    submission_refuse(session, reply, buf_slice(&line));
}

/* ── how often ── */

static void hour_turn(struct hour *hour, time_ms minute)
{
    if (minute - hour->minute >= MINUTES || minute < hour->minute - MINUTES) {
        memset(hour->counts, 0, sizeof(hour->counts));
        hour->minute = minute;
    }
    while (hour->minute < minute)
        hour->counts[++hour->minute % MINUTES] = 0;
}

static struct hour *hour_of(struct submission *submission, uint64_t hour_id, time_ms minute)
{
    struct hour *hour = id_map_get(&submission->hours, hour_id);
    if (!hour) {
        hour = NEW(struct hour);
        hour->minute = minute;
        id_map_set(&submission->hours, hour_id, hour);
    }
    return hour;
}

void submission_used(struct submission *submission, uint64_t hour_id, time_ms at, size_t recipients)
{
    time_ms minute = at / 60000;
    struct hour *hour = hour_of(submission, hour_id, minute);
    if (minute > hour->minute)
        hour_turn(hour, minute);
    if (hour->minute - minute < MINUTES)
        hour->counts[minute % MINUTES] += (unsigned)recipients;
}

/* One recipient more in this key's hour. False: *until is when there is room again. */
static bool hour_reserve(struct submission *submission, const struct submitter *who, time_ms now, time_ms *until)
{
    if (!who->per_hour || !who->hour_id)
        return true;
    struct hour *hour = hour_of(submission, who->hour_id, now / 60000);
    hour_turn(hour, now / 60000);
    unsigned used = 0;
    for (int i = 0; i < MINUTES; i++)
        used += hour->counts[i];
    if (used < who->per_hour) {
        hour->counts[hour->minute % MINUTES]++;
        return true;
    }
    time_ms minute = hour->minute - MINUTES + 1;
    while (minute < hour->minute && !hour->counts[minute % MINUTES])
        minute++;
    *until = (minute + MINUTES) * 60000;
    return false;
}

static void hour_give_back(struct submission *submission, const struct submitter *who, size_t count)
{
    struct hour *hour = who->hour_id ? id_map_get(&submission->hours, who->hour_id) : NULL;
    for (int i = 0; hour && count && i < MINUTES; i++) { /* the newest first */
        unsigned *minute = &hour->counts[(hour->minute - i + MINUTES) % MINUTES];
        size_t back = *minute < count ? *minute : count;
        *minute -= (unsigned)back;
        count -= back;
    }
}

static struct slice address_key(const struct session *session)
{
    const struct endpoint *peer = session_peer(session);
    return slice_of(peer->ip.bytes, peer->ip.family == 6 ? 8 : 4);
}

static bool may_try(struct submission *submission, struct session *session, time_ms now)
{
    struct failures *failures = map_get(&submission->failures, address_key(session));
    if (!failures || failures->count < FAILURES_MOST)
        return true;
    if (now >= failures->since + FAILURES_MS) {
        failures->count = 0;
        return true;
    }
    refuse_until(session, "454 4.7.0", "too many wrong keys from your address", failures->since + FAILURES_MS);
    return false;
}

static void failures_forget(struct submission *submission)
{
    size_t at = 0;
    for (struct map_entry *entry; (entry = map_walk(&submission->failures, &at));)
        free(entry->value);
    map_release(&submission->failures);
}

static void failed(struct submission *submission, struct session *session, time_ms now)
{
    char peer[ENDPOINT_TEXT_ROOM];
    submission->counts.auth_bad++;
    log_info("receive", "a wrong name or key from %s", endpoint_text(session_peer(session), peer));
    struct failures *failures = map_get(&submission->failures, address_key(session));
    if (!failures) {
        if (submission->failures.count >= FAILURES_ROOM)
            failures_forget(submission);
        failures = NEW(struct failures);
        map_set(&submission->failures, address_key(session), failures);
    }
    if (failures->count == 0 || now >= failures->since + FAILURES_MS)
        *failures = (struct failures){.since = now};
    failures->count++;
}

/* ── who ── */

static bool is_trusted(const struct submission *submission, const struct session *session)
{
    for (size_t i = 0; i < submission->options.trusted_count; i++)
        if (ip_in_prefix(&session_peer(session)->ip, &submission->options.trusted[i].ip,
                         submission->options.trusted[i].bits))
            return true;
    return false;
}

static struct client *client_of(struct submission *submission, struct session *session)
{
    struct client *client = session_data(session);
    if (!client) {
        client = NEW(struct client);
        session_set_data(session, client);
        submission->counts.sessions++;
    }
    return client;
}

static void auth_answer(struct submission *submission, struct session *session, struct client *client,
                        enum who_found found, const struct submitter *who)
{
    switch (found) {
    case WHO_FOUND:
        client->who = *who;
        client->is_known = true;
        submission->counts.auth_good++;
        smtp_server_accept(session_machine(session));
        break;
    case WHO_NOBODY:
        failed(submission, session, submission_now(submission));
        submission_refuse(session, "535 5.7.8", SLICE("name or key is wrong"));
        break;
    case WHO_LATER:
        submission_refuse(session, "454 4.7.0", SLICE("this cannot be checked now, try again later"));
        break;
    }
}

static void on_auth(struct submission *submission, struct session *session, struct client *client,
                    const struct smtp_server_event *event)
{
    const struct authenticator *authenticator = &submission->options.authenticator;
    if (slice_equal(event->name, SLICE("SCRAM-SHA-256"))) {
        enum who_found found = event->is_proven ? client->scram : WHO_NOBODY;
        auth_answer(submission, session, client, found, &client->scram_who);
        return;
    }
    if (!may_try(submission, session, submission_now(submission)))
        return;
    struct submitter who = {0};
    bool acts_for_another = event->identity.len && !slice_equal(event->identity, event->user);
    enum who_found found = authenticator->check(authenticator->self, event->user, event->password, &who);
    auth_answer(submission, session, client, acts_for_another && found == WHO_FOUND ? WHO_NOBODY : found, &who);
}

static void on_scram(struct submission *submission, struct session *session, struct client *client,
                     const struct smtp_server_event *event)
{
    const struct authenticator *authenticator = &submission->options.authenticator;
    struct scram_keys keys;
    if (!may_try(submission, session, submission_now(submission)))
        return;
    client->scram = authenticator->scram(authenticator->self, event->user, &keys, &client->scram_who);
    if (client->scram == WHO_LATER)
        submission_refuse(session, "454 4.7.0", SLICE("this cannot be checked now, try again later"));
    else
        smtp_server_scram(session_machine(session), &keys, client->scram == WHO_FOUND);
}

/* ── from, to ── */

void envelope_forget(struct submission *submission, struct client *client)
{
    hour_give_back(submission, &client->who, client->reserved);
    client->reserved = client->count = client->room = 0;
    client->recipients = NULL;
    map_release(&client->seen);
    client->seen = (struct map){0};
    arena_release(&client->arena);
    client->arena = (struct arena){0};
}

static bool store_is_lost(const struct submission *submission)
{
    struct store_figures figures;
    store_figures(submission->options.store, &figures);
    return figures.is_lost;
}

void sender_forget(struct client *client)
{
    null_mx_cancel(client->asked.question);
    pending_free(client->asked.unsent);
    client->asked = (struct sender_asked){0};
}

/* M9: nothing could come back to such a sender. */
static void sender_told(void *owner, bool is_published)
{
    struct client *client = owner;
    struct session *session = client->asked.session;
    client->asked = (struct sender_asked){0};
    if (is_published)
        submission_refuse(session, SUBMISSION_NULL_MX,
                          SLICE("the domain of your sender address takes no mail (null MX)"));
    else
        smtp_server_accept(session_machine(session));
    session_go_on(session);
}

static void sender_accept(struct submission *submission, struct session *session, struct client *client,
                          struct slice domain)
{
    switch (submission->null_mx ? null_mx_known(submission->null_mx, domain) : NULL_MX_TAKES_MAIL) {
    case NULL_MX_TAKES_MAIL: smtp_server_accept(session_machine(session)); break;
    case NULL_MX_PUBLISHED:
        submission_refuse(session, SUBMISSION_NULL_MX,
                          SLICE("the domain of your sender address takes no mail (null MX)"));
        break;
    case NULL_MX_NOT_KNOWN:
        client->asked = (struct sender_asked){.submission = submission, .session = session};
        client->asked.question = null_mx_ask(submission->null_mx, domain, sender_told, client);
        break;
    }
}

static void on_mail(struct submission *submission, struct session *session, struct client *client,
                    const struct smtp_server_event *event)
{
    struct smtp_server *machine = session_machine(session);
    if (!client->is_known && !is_trusted(submission, session)) {
        submission_refuse(session, "530 5.7.0",
                          smtp_server_has_tls(machine) ? SLICE("sign in first")
                                                       : SLICE("say STARTTLS first, then sign in"));
        return;
    }
    if (store_is_lost(submission)) {
        submission_refuse(session, "452 4.3.1", SLICE("nothing can be kept now, try again later"));
        return;
    }
    envelope_forget(submission, client);
    client->mail_from = arena_copy(&client->arena, event->path->address);
    client->is_null_sender = event->path->address.len == 0;
    client->envid = arena_copy(&client->arena, event->params->envid);
    client->ret_full = event->params->ret_full;
    client->ret_headers = event->params->ret_headers;
    sender_accept(submission, session, client, event->path->domain);
}

static void recipient_add(struct client *client, const struct address *address, const struct smtp_params *params)
{
    if (client->count == client->room) {
        client->room = client->room ? client->room * 2 : 4;
        struct wanted *more = ARENA_ARRAY(&client->arena, struct wanted, client->room);
        if (client->count)
            memcpy(more, client->recipients, client->count * sizeof(*more));
        client->recipients = more;
    }
    client->recipients[client->count++] = (struct wanted){
        .address = {address->identity, address->written},
        .notify = params->notify,
        .orcpt = arena_copy(&client->arena, params->orcpt),
    };
    map_set(&client->seen, address->identity, client);
}

static void on_recipient(struct submission *submission, struct session *session, struct client *client,
                         const struct smtp_server_event *event)
{
    struct address address;
    struct fault why = {0};
    time_ms until;
    if (event->path->domain.len == 0 || event->path->is_literal) {
        submission_refuse(session, "550 5.1.2", SLICE("mail goes to domains"));
    } else if (!address_parse(event->path->address, &client->arena, &address, &why)) {
        submission_refuse(session, "553 5.1.3", slice_str(why.text));
    } else if (map_get(&client->seen, address.identity)) { /* once is enough */
        smtp_server_accept(session_machine(session));
    } else if (!hour_reserve(submission, &client->who, submission_now(submission), &until)) {
        refuse_until(session, "451 4.7.1", "this key, with those it made, has had all its recipients of an hour",
                     until);
    } else {
        client->reserved++;
        recipient_add(client, &address, event->params);
        smtp_server_accept(session_machine(session));
        return;
    }
    if (smtp_server_is_asking(session_machine(session)))
        submission->counts.refused++;
}

/* ── the policy ── */

static void on_event(void *owner, struct session *session, const struct smtp_server_event *event)
{
    struct submission *submission = owner;
    struct client *client = client_of(submission, session);
    switch (event->what) {
    case SMTP_SERVER_MAIL: on_mail(submission, session, client, event); return;
    case SMTP_SERVER_RCPT: on_recipient(submission, session, client, event); return;
    case SMTP_SERVER_MESSAGE: submission_message(submission, session, client); return;
    case SMTP_SERVER_AUTH: on_auth(submission, session, client, event); return;
    case SMTP_SERVER_SCRAM: on_scram(submission, session, client, event); return;
    case SMTP_SERVER_RESET: envelope_forget(submission, client); return;
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

static void on_overdue(void *owner, struct session *session)
{
    struct client *client = session_data(session);
    log_warn("receive", "a mail was not kept in time; its sender is asked to try again");
    if (!client)
        return;
    sender_forget(client);
    pending_cut(client, true);
}

static void on_end(void *owner, struct session *session)
{
    struct client *client = session_data(session);
    if (!client)
        return;
    sender_forget(client);
    if (client->pending)
        client->reserved = 0; /* it will be kept */
    pending_cut(client, false);
    envelope_forget(owner, client);
    free(client);
}

static const struct session_policy policy = {.on_event = on_event, .on_overdue = on_overdue, .on_end = on_end};

/* ── life ── */

static bool front_open(struct submission *submission, int which, struct fault *why)
{
    struct session_options session = submission->options.session;
    if (which == 1) {
        session.listener.at = submission->options.tls_at;
        session.listener.cure_setting = "submission.tls_listen";
        session.is_tls_first = true;
    }
    if (!session.listener.at.ip.family)
        return true;
    session.smtp.is_lenient = true; /* programs' EHLO names and old addresses (R12) */
    session.smtp.has_auth = session.smtp.has_scram = true;
    session.smtp.recipients_max = session.smtp.recipients_max ? session.smtp.recipients_max : 1000;
    submission->fronts[which] = session_front_new(submission->loop, &session, &policy, submission, why);
    return submission->fronts[which] != NULL;
}

struct submission *submission_new(struct loop *loop, const struct submission_options *options, struct fault *why)
{
    struct submission *submission = NEW(struct submission);
    submission->loop = loop;
    submission->options = *options;
    submission->options.session.smtp.host_name = arena_copy(&submission->arena, options->session.smtp.host_name);
    mailbox_init(&submission->done, loop, submission_done, submission);
    if (!options->takes_null_mx)
        submission->null_mx = null_mx_new(loop);
    if (front_open(submission, 0, why) && front_open(submission, 1, why))
        return submission;
    submission_free(submission);
    return NULL;
}

bool submission_stop(struct submission *submission)
{
    bool has_sessions = session_front_stop(submission->fronts[0]);
    return session_front_stop(submission->fronts[1]) || has_sessions;
}

unsigned submission_pending(const struct submission *submission)
{
    return submission->pending;
}

void submission_free(struct submission *submission)
{
    if (!submission)
        return;
    submission_done(&submission->done, mailbox_take(&submission->done));
    for (int i = 0; i < 2; i++)
        session_front_free(submission->fronts[i]);
    null_mx_free(submission->null_mx);
    mailbox_release(&submission->done);
    failures_forget(submission);
    size_t at = 0;
    for (struct id_map_entry *entry; (entry = id_map_walk(&submission->hours, &at));)
        free(entry->value);
    id_map_release(&submission->hours);
    arena_release(&submission->arena);
    free(submission);
}

struct submission_counts submission_counts(const struct submission *submission)
{
    return submission->counts;
}
