/* session.c - one connection to a simulated receiver: what is answered, when, by the fate of each recipient
 *
 *     CONNECT  refused (no listener), reset, silent, busy, or 220
 *     MAIL     throttled, our IP blocked, sender's domain does not resolve, or 250
 *     RCPT     the fate's answer when it stands at this stage, "not here" for other domains, or 250
 *     MESSAGE  size, lines, virus, authentication really looked at; then the fate's answer for this stage; or 250,
 * kept, and maybe a notice later
 *
 * One message at a time: the transaction is begun by MAIL and ended by its last answer or RESET. Every recipient's last
 * answer is counted and written to the ledger, once for each attempt. */
#include "app/playground/conversation.h"
#include "app/playground/inside.h"
#include "app/playground/notice.h"

#include "base/memory.h"
#include "mime/read.h"

enum { RECIPIENTS_MOST = 100, BODY_MOST = 30 << 20, SIZE_DEFAULT = 25 << 20, RESET_EVERY = 30 };

struct recipient {
    struct slice address, domain;
    enum fate fate;
    uint64_t pick;
};

struct session {
    struct playground *playground;
    struct site_state *state;
    const struct site *site;
    struct conversation *conversation;
    struct session *next, **at; /* in playground->sessions */
    struct ip peer;
    char helo[256];
    bool will_reset; /* one of those that are reset in the middle */

    struct arena arena; /* of the transaction */
    struct slice mail_from;
    struct recipient recipients[RECIPIENTS_MOST];
    size_t recipient_count;
    struct buf body;
    struct auth_check *auth;
    struct dns_query *query;
    struct auth_answer checked; /* words are NULL while nothing was checked */
};

/* ------------------------------------------------------------------ words */

static struct slice domain_of(struct slice address)
{
    ptrdiff_t at = slice_find_last_byte(address, '@');
    return at < 0 ? SLICE("") : slice_from(address, (size_t)at + 1);
}

/* Fill the braces of a reply. */
static struct slice say(struct session *session, const char *text, const struct recipient *recipient)
{
    char ip[IP_TEXT_ROOM];
    const struct auth_answer *checked = &session->checked;
    unsigned long long id = playground_id(session->playground) * 0x9e3779b97f4a7c15ull;
    const struct {
        struct slice name, value;
    } words[] = {
        {SLICE("{to}"), recipient ? recipient->address : SLICE("")},
        {SLICE("{domain}"), recipient ? recipient->domain : SLICE("")},
        {SLICE("{ip}"), slice_str(ip_text(&session->peer, ip))},
        {SLICE("{from}"), domain_of(session->mail_from)},
        {SLICE("{author}"), slice_str(checked->author_domain)},
        {SLICE("{host}"), slice_str(session->site->host)},
        {SLICE("{spf}"), slice_str(checked->spf ? checked->spf : "none")},
        {SLICE("{dkim}"), slice_str(checked->dkim ? checked->dkim : "none")},
        {SLICE("{dmarc}"), slice_str(checked->dmarc ? checked->dmarc : "none")},
        {SLICE("{id}"), arena_printf(&session->arena, "%012llx", id >> 16)},
    };
    SCOPED(buf) out = BUF(4096);
    struct slice rest = slice_str(text);
    while (rest.len) {
        bool is_word = false;
        for (size_t i = 0; *rest.ptr == '{' && !is_word && i < COUNT_OF(words); i++) {
            if (slice_starts(rest, words[i].name)) {
                buf_append(&out, words[i].value);
                rest = slice_from(rest, words[i].name.len);
                is_word = true;
            }
        }
        if (!is_word) {
            buf_byte(&out, *rest.ptr);
            rest = slice_from(rest, 1);
        }
    }
    return arena_copy(&session->arena, buf_slice(&out));
}

/* ------------------------------------------------------------------ counting */

static struct slice message_id_of(const struct session *session)
{
    struct arena arena = {NULL};
    struct mime_mail read;
    if (session->body.len == 0)
        return SLICE("");
    mime_read_head(buf_slice(&session->body), &arena, &read);
    struct slice id = mime_header(&read, 0, SLICE("Message-ID")); /* a slice of the body */
    arena_release(&arena);
    return id;
}

static int code_of(struct slice reply)
{
    uint64_t code;
    return slice_to_u64(slice_head(reply, 3), &code) ? (int)code : 0;
}

static void count(struct session *session, enum fate fate, int code, struct slice address)
{
    struct playground_tally *tally = &session->playground->tally;
    tally_add(&tally->fate[fate]);
    tally_add(code < 400 ? &tally->accepted : code < 500 ? &tally->refused_for_now : &tally->refused_forever);
    playground_note(session->playground, code < 400 ? "taken" : "refused", fate, code, session->site->host, address,
                    session->playground->ledger ? message_id_of(session) : SLICE(""));
}

static void answer(struct session *session, struct slice reply)
{
    smtp_server_answer(conversation_server(session->conversation), reply);
}

static void accept_it(struct session *session)
{
    smtp_server_accept(conversation_server(session->conversation));
}

/* Refuse one recipient, or at later stages all of them, in the words of this fate. */
static void refuse(struct session *session, const char *text, enum fate fate, const struct recipient *only)
{
    const struct recipient *who = only ? only : session->recipient_count ? &session->recipients[0] : NULL;
    struct slice reply = say(session, text, who);
    if (only || session->recipient_count == 0)
        count(session, fate, code_of(reply), who ? who->address : SLICE(""));
    else
        for (size_t i = 0; i < session->recipient_count; i++)
            count(session, fate, code_of(reply), session->recipients[i].address);
    answer(session, reply);
}

static void forget_transaction(struct session *session)
{
    auth_cancel(session->auth);
    if (session->query)
        dns_cancel(session->query);
    session->auth = NULL;
    session->query = NULL;
    session->recipient_count = 0;
    session->mail_from = SLICE("");
    session->checked = (struct auth_answer){NULL};
    buf_reset(&session->body);
    arena_reset(&session->arena);
}

/* ------------------------------------------------------------------ stages */

static bool site_is(const struct site *site, enum fate fate)
{
    return site->mix[0].fate == fate && site->mix[0].per_10000 == 10000;
}

static const char *text_at(const struct session *session, enum fate fate, enum stage stage, uint64_t pick)
{
    const struct site_reply *row = site_reply_find(session->site->voice, fate, pick);
    return row && row->stage == stage ? row->text : NULL;
}

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
        const char *text = text_at(session, FATE_BUSY, STAGE_CONNECT, 0);
        if (now < state->busy_until && text)
            refuse(session, text, FATE_BUSY, NULL);
        else
            accept_it(session);
    } else {
        accept_it(session);
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
        refuse(session, "553 {from} does not exist", FATE_AUTH_FAILURE, NULL);
    else
        accept_it(session);
    conversation_go_on(session->conversation);
}

static void on_mail(struct session *session, const struct smtp_path *path)
{
    const char *text;
    forget_transaction(session);
    session->mail_from = arena_copy(&session->arena, path->address);
    if (session->will_reset) {
        conversation_reset(session->conversation);
    } else if (is_too_fast(session) && (text = text_at(session, FATE_THROTTLE, STAGE_MAIL, 0))) {
        refuse(session, text, FATE_THROTTLE, NULL);
    } else if (site_is(session->site, FATE_BLOCKED) && (text = text_at(session, FATE_BLOCKED, STAGE_MAIL, 0))) {
        refuse(session, text, FATE_BLOCKED, NULL);
    } else if ((session->site->traits & SITE_SENDER_DNS) && !slice_is_empty(path->domain) && !path->is_literal) {
        session->query =
            dns_ask(session->playground->dns, domain_of(session->mail_from), DNS_MX, on_sender_dns, session);
    } else {
        accept_it(session);
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
    recipient.domain = domain_of(recipient.address);
    bool is_postmaster = slice_equal_caseless(path->local, SLICE("postmaster"));
    if (!is_postmaster && !(site_domain_find(path->domain, &row) && row.site == session->site)) {
        refuse(session, "554 5.7.1 <{to}>: Relay access denied", FATE_HOST_UNKNOWN, &recipient);
        return;
    }
    if (is_postmaster)
        recipient.fate = FATE_ACCEPT;
    const char *text = text_at(session, recipient.fate, STAGE_RCPT, recipient.pick);
    bool is_passing = recipient.fate == FATE_GREYLIST || recipient.fate == FATE_BUSY || recipient.fate == FATE_THROTTLE;
    if (is_passing && !site_is(session->site, FATE_BUSY) &&
        is_still_refused(session, recipient.fate, recipient.address)) {
        if (recipient.fate != FATE_GREYLIST) /* said at an earlier stage elsewhere; here one address alone meets it */
            text = "450 4.3.2 <{to}>: Recipient address rejected: try again later";
        refuse(session, text, recipient.fate, &recipient);
    } else if (text && !is_passing) {
        refuse(session, text, recipient.fate, &recipient);
    } else if (session->recipient_count == RECIPIENTS_MOST) {
        answer(session, SLICE("452 4.5.3 Error: too many recipients"));
    } else {
        session->recipients[session->recipient_count++] = recipient;
        accept_it(session);
    }
}

static bool has_long_line(struct slice mail, size_t most)
{
    struct slice line;
    while (slice_line(&mail, &line))
        if (line.len > most)
            return true;
    return false;
}

/* What is wrong with the mail itself, whoever it is for. FATE_ACCEPT: nothing. */
static enum fate fault_of_mail(const struct session *session)
{
    static const char eicar[] = "X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-" /* in two pieces: this file is no virus */
                                "STANDARD-ANTIVIRUS-TEST-FILE!$H+H*";
    struct slice mail = buf_slice(&session->body);
    const struct site *site = session->site;
    if (!buf_ok(&session->body) || (site->size_max && mail.len > site->size_max))
        return FATE_MESSAGE_TOO_BIG;
    if (site->line_max && has_long_line(mail, site->line_max))
        return FATE_LINE_TOO_LONG;
    if (slice_find(mail, slice_str(eicar)) >= 0)
        return FATE_VIRUS;
    return FATE_ACCEPT;
}

static enum fate fault_of_sender(const struct session *session)
{
    const struct auth_answer *checked = &session->checked;
    if (!checked->spf)
        return FATE_ACCEPT;
    bool is_strict = session->site->traits & SITE_AUTH_STRICT;
    bool is_refused = (!checked->spf_passes && !checked->dkim_passes) || checked->dmarc_refuses ||
                      (is_strict && (!checked->is_spf_exact || !checked->is_dkim_exact));
    return is_refused ? FATE_AUTH_FAILURE : FATE_ACCEPT;
}

/* The mail with the lines that a receiver puts on top. */
static struct slice top_lines(struct session *session, const struct recipient *recipient, uint64_t id)
{
    char ip[IP_TEXT_ROOM];
    SCOPED(buf) out = BUF(4096);
    const struct auth_answer *checked = &session->checked;
    buf_printf(&out, "Return-Path: <%.*s>\r\n", SLICE_ARG(session->mail_from));
    if (checked->spf)
        buf_printf(&out,
                   "Authentication-Results: %s;\r\n\tspf=%s smtp.mailfrom=%.*s; dkim=%s; dmarc=%s header.from=%s\r\n",
                   session->site->host, checked->spf, SLICE_ARG(domain_of(session->mail_from)), checked->dkim,
                   checked->dmarc, checked->author_domain);
    buf_printf(&out, "Received: from %s ([%s])\r\n\tby %s with ESMTP%s id %010llX\r\n\tfor <%.*s>; ", session->helo,
               ip_text(&session->peer, ip), session->site->host,
               smtp_server_has_tls(conversation_server(session->conversation)) ? "S" : "", (unsigned long long)id,
               SLICE_ARG(recipient->address));
    time_rfc5322(&out, world_wall(session->playground->world), 9 * 60);
    buf_text(&out, "\r\n");
    return arena_copy(&session->arena, buf_slice(&out));
}

static void send_notices(struct session *session, const struct recipient *recipient, struct slice whole, uint64_t id)
{
    struct playground *playground = session->playground;
    unsigned times = notice_count(recipient->fate);
    for (unsigned nth = 0; nth < times; nth++) {
        SCOPED(buf) out = BUF(BODY_MOST * 2);
        struct slice mail_from, mail_to;
        struct notice_input input = {
            .site = session->site,
            .fate = recipient->fate,
            .is_first = nth == 0,
            .mail_from = session->mail_from,
            .to = recipient->address,
            .mail = whole,
            .peer = session->peer,
            .feedback_address = playground->options.sender->feedback_address,
            .now = world_wall(playground->world) + playground->options.late_ms,
            .id = id + nth,
        };
        if (notice_write(&input, &session->arena, &out, &mail_from, &mail_to))
            courier_send(playground->courier, session->site, recipient->fate, playground->options.late_ms * (nth + 1),
                         mail_from, mail_to, buf_slice(&out));
    }
}

static void keep(struct session *session, uint64_t id)
{
    struct playground *playground = session->playground;
    for (size_t i = 0; i < session->recipient_count; i++) {
        const struct recipient *recipient = &session->recipients[i];
        struct slice top = top_lines(session, recipient, id);
        inbox_add(&playground->inbox, &(struct inbox_mail){
                                          .at = world_wall(playground->world),
                                          .envelope_from = session->mail_from,
                                          .to = recipient->address,
                                          .top = top,
                                          .mail = buf_slice(&session->body),
                                          .label = slice_str(session->site->label),
                                      });
        if (notice_count(recipient->fate)) {
            SCOPED(buf) whole = BUF(BODY_MOST + 65536);
            buf_append(&whole, top);
            buf_append(&whole, buf_slice(&session->body));
            send_notices(session, recipient, buf_slice(&whole), id);
        }
        count(session, recipient->fate, 250, recipient->address);
    }
}

/* The last word about a message. */
static void decide(struct session *session)
{
    enum fate fault = fault_of_mail(session);
    if (fault == FATE_ACCEPT)
        fault = fault_of_sender(session);
    uint64_t pick = session->recipients[0].pick;
    const char *text = fault == FATE_ACCEPT ? NULL : text_at(session, fault, STAGE_DOT, pick);
    for (size_t i = 0; !text && i < session->recipient_count; i++) {
        fault = session->recipients[i].fate;
        /* these are refused for what they are, not for whom they are for: unless the address asks for it by name */
        bool is_checked = site_is(session->site, fault) &&
                          (fault == FATE_AUTH_FAILURE || fault == FATE_MESSAGE_TOO_BIG || fault == FATE_LINE_TOO_LONG);
        text = is_checked ? NULL : text_at(session, fault, STAGE_DOT, session->recipients[i].pick);
    }
    if (text) {
        refuse(session, text, fault, NULL);
        return;
    }
    uint64_t id = playground_id(session->playground);
    keep(session, id);
    answer(session, arena_printf(&session->arena, "250 2.0.0 Ok: queued as %010llX", (unsigned long long)id));
}

static void on_checked(void *owner, const struct auth_answer *checked)
{
    struct session *session = owner;
    session->auth = NULL;
    session->checked = *checked;
    decide(session);
    forget_transaction(session);
    conversation_go_on(session->conversation);
}

static void on_message(struct session *session)
{
    if ((session->site->traits & SITE_AUTH) && buf_ok(&session->body)) {
        struct auth_input input = {
            .peer = session->peer,
            .mail_from = session->mail_from,
            .helo = slice_str(session->helo),
            .mail = buf_slice(&session->body),
        };
        session->auth = auth_start(session->playground, &input, on_checked, session);
        return;
    }
    decide(session);
    forget_transaction(session);
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
        accept_it(session);
        break;
    case SMTP_SERVER_STARTTLS:
    case SMTP_SERVER_DATA: accept_it(session); break;
    case SMTP_SERVER_AUTH: answer(session, SLICE("503 5.5.1 AUTH not available")); break;
    case SMTP_SERVER_MAIL: on_mail(session, event->path); break;
    case SMTP_SERVER_RCPT: on_recipient(session, event->path); break;
    case SMTP_SERVER_BODY: buf_append(&session->body, event->bytes); break;
    case SMTP_SERVER_MESSAGE: on_message(session); break;
    case SMTP_SERVER_RESET: forget_transaction(session); break;
    case SMTP_SERVER_TLS_BEGIN:
    case SMTP_SERVER_CLOSE: break;
    }
}

static void on_end(void *owner, struct conversation *conversation)
{
    struct session *session = owner;
    if (session->recipient_count > 0)
        tally_add(&session->playground->tally.lost);
    forget_transaction(session);
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
