/* session.c - one connection to a simulated receiver: what is answered, when, by the fate of each recipient
 *
 *     CONNECT  refused (no listener), reset, silent, busy, or 220
 *     MAIL     our IP blocked, sender's domain does not resolve, or 250
 *     RCPT     the fate's answer when it stands at this stage, throttled, "not here" for other domains, or 250
 *     MESSAGE  size, lines, virus, authentication really looked at; then the fate's answer for this stage; or 250,
 * kept, and maybe a notice later
 *
 * One message at a time: the transaction is begun by MAIL and ended by its last answer or RESET. Every recipient's last
 * answer is counted and written to the ledger, once for each attempt. */
#include "app/playground/session.h"

#include "base/memory.h"

static void on_connect(struct session *session)
{
    struct playground *playground = session->playground;
    struct site_state *state = session->state;
    time_ms now = loop_now(playground->loop);
    tally_add(&playground->tally.connections);
    state->connections++;
    session->will_reset = (session->site->traits & SITE_RESETS) && state->connections % RESET_EVERY == 0;
    if (site_is(session->site, FATE_RESET)) {
        conversation_reset(session->conversation);
    } else if (site_is(session->site, FATE_SILENT)) {
        conversation_freeze(session->conversation);
    } else if (site_is(session->site, FATE_BUSY)) {
        if (!state->busy_until)
            state->busy_until = now + playground->options.busy_ms;
        const char *text = session_text(session, FATE_BUSY, STAGE_CONNECT, 0);
        if (now < state->busy_until && text)
            session_refuse(session, text, FATE_BUSY, NULL);
        else
            session_accept(session);
    } else {
        session_accept(session);
    }
}

/* Above the site's rate? A bucket of one second's tokens. */
static bool is_too_fast(struct session *session)
{
    struct site_state *state = session->state;
    double rate = session->site->rate_per_s;
    time_ms now = loop_now(session->playground->loop);
    if (rate <= 0)
        return false;
    state->tokens += rate * (double)(now - state->tokens_at) / 1000.0;
    if (state->tokens > rate)
        state->tokens = rate;
    state->tokens_at = now;
    if (state->tokens < 1.0)
        return true;
    state->tokens -= 1.0;
    return false;
}

static void on_sender_dns(void *owner, const struct dns_answer *found)
{
    struct session *session = owner;
    session->query = NULL;
    if (found->status == DNS_NO_NAME)
        session_refuse(session, "553 {from} does not exist", FATE_AUTH_FAILURE, NULL);
    else
        session_accept(session);
    conversation_go_on(session->conversation);
}

static void on_mail(struct session *session, const struct smtp_path *path)
{
    const char *text;
    session_forget(session);
    session->mail_from = arena_copy(&session->arena, path->address);
    if (session->will_reset) {
        conversation_reset(session->conversation);
    } else if (site_is(session->site, FATE_BLOCKED) && (text = session_text(session, FATE_BLOCKED, STAGE_MAIL, 0))) {
        session_refuse(session, text, FATE_BLOCKED, NULL);
    } else if ((session->site->traits & SITE_SENDER_DNS) && !slice_is_empty(path->domain) && !path->is_literal) {
        session->query =
            dns_ask(session->playground->dns, session_domain_of(session->mail_from), DNS_MX, on_sender_dns, session);
    } else {
        session_accept(session);
    }
}

/* Fates that pass with time: refused until `wait` after the first try of this address. */
static bool is_still_refused(struct session *session, enum fate fate, struct slice address)
{
    struct playground *playground = session->playground;
    time_ms now = loop_now(playground->loop);
    struct slice key = arena_printf(&session->arena, "%d %.*s", (int)fate, SLICE_ARG(address));
    time_ms *first = map_get(&playground->first_seen, key);
    if (!first) {
        if (playground->first_seen.count >= REMEMBERED_MOST)
            return false;
        first = ARENA_NEW(&playground->seen_memory, time_ms);
        *first = now;
        map_set(&playground->first_seen, key, first);
    }
    time_ms wait = fate == FATE_GREYLIST ? playground->options.greylist_ms : playground->options.busy_ms;
    return now - *first < wait;
}

static void on_recipient(struct session *session, const struct smtp_path *path)
{
    struct site_domain row;
    struct recipient recipient = {
        .address = arena_copy(&session->arena, path->address),
        .fate = playground_fate(path->address),
        .pick = hash_bytes(path->local, 0x7465787473),
    };
    recipient.domain = session_domain_of(recipient.address);
    bool is_postmaster = slice_equal_caseless(path->local, SLICE("postmaster"));
    if (!is_postmaster && !(site_domain_find(path->domain, &row) && row.site == session->site)) {
        session_refuse(session, "554 5.7.1 <{to}>: Relay access denied", FATE_HOST_UNKNOWN, &recipient);
        return;
    }
    if (is_postmaster)
        recipient.fate = FATE_ACCEPT;
    const char *text = session_text(session, recipient.fate, STAGE_RCPT, recipient.pick);
    bool is_passing = recipient.fate == FATE_GREYLIST || recipient.fate == FATE_BUSY || recipient.fate == FATE_THROTTLE;
    /* the busy and the throttling site say so at CONNECT and MAIL, to all; elsewhere one address alone may ask for it
     */
    bool is_told_here = is_passing && !(recipient.fate == FATE_BUSY && site_is(session->site, FATE_BUSY)) &&
                        !(recipient.fate == FATE_THROTTLE && session->site->rate_per_s > 0);
    if (is_told_here && is_still_refused(session, recipient.fate, recipient.address)) {
        if (recipient.fate != FATE_GREYLIST)
            text = "450 4.3.2 <{to}>: Recipient address rejected: try again later";
        session_refuse(session, text, recipient.fate, &recipient);
    } else if (recipient.fate == FATE_THROTTLE && text && is_too_fast(session)) {
        session_refuse(session, text, FATE_THROTTLE, &recipient);
    } else if (text && !is_passing) {
        session_refuse(session, text, recipient.fate, &recipient);
    } else if (session->recipient_count == RECIPIENTS_MOST) {
        session_answer(session, SLICE("452 4.5.3 Error: too many recipients"));
    } else {
        session->recipients[session->recipient_count++] = recipient;
        session_accept(session);
    }
}

static void on_event(void *owner, struct conversation *conversation, const struct smtp_server_event *event)
{
    struct session *session = owner;
    session->conversation = conversation;
    switch (event->what) {
    case SMTP_SERVER_CONNECT: on_connect(session); break;
    case SMTP_SERVER_EHLO:
        snprintf(session->helo, sizeof(session->helo), "%.*s", SLICE_ARG(slice_head(event->name, 250)));
        if (smtp_server_has_tls(conversation_server(conversation)))
            tally_add(&session->playground->tally.in_tls);
        session_accept(session);
        break;
    case SMTP_SERVER_STARTTLS:
    case SMTP_SERVER_DATA: session_accept(session); break;
    case SMTP_SERVER_SCRAM:
    case SMTP_SERVER_AUTH: session_answer(session, SLICE("503 5.5.1 AUTH not available")); break;
    case SMTP_SERVER_MAIL: on_mail(session, event->path); break;
    case SMTP_SERVER_RCPT: on_recipient(session, event->path); break;
    case SMTP_SERVER_BODY: buf_append(&session->body, event->bytes); break;
    case SMTP_SERVER_MESSAGE: session_on_message(session); break;
    case SMTP_SERVER_RESET: session_forget(session); break;
    case SMTP_SERVER_TLS_BEGIN:
    case SMTP_SERVER_CLOSE: break;
    }
}

static void on_end(void *owner, struct conversation *conversation)
{
    struct session *session = owner;
    if (session->recipient_count > 0)
        tally_add(&session->playground->tally.lost);
    session_forget(session);
    arena_release(&session->arena);
    buf_release(&session->body);
    *session->at = session->next;
    if (session->next)
        session->next->at = session->at;
    free(session);
}

static const struct conversation_events events = {on_event, on_end};

void session_start(struct site_state *state, int fd, const struct endpoint *peer)
{
    struct playground *playground = state->playground;
    const struct site *site = state->site;
    struct session *session = NEW(struct session);
    session->playground = playground;
    session->state = state;
    session->site = site;
    session->peer = peer->ip;
    buf_init(&session->body, BODY_MOST);
    session->next = playground->sessions;
    session->at = &playground->sessions;
    if (session->next)
        session->next->at = &session->next;
    playground->sessions = session;
    struct smtp_server_settings settings = {
        .host_name = slice_str(site->host),
        .size_max = site->size_max && !(site->traits & SITE_HIDES_SIZE) ? site->size_max : SIZE_DEFAULT,
        .recipients_max = RECIPIENTS_MOST,
        .errors_max = 1000,
        .messages_max = site->traits & SITE_SHORT_SESSIONS ? 100 : 0,
        .has_tls = !(site->traits & SITE_NO_TLS),
        .no_pipelining = site->traits & SITE_NOT_PIPELINING,
        .is_lenient = true,
    };
    conversation_start(playground->loop, fd, peer, &settings, playground->tls, &events, session);
}

void sessions_end(struct playground *playground)
{
    while (playground->sessions)
        conversation_reset(playground->sessions->conversation);
}
