#include "app/playground/notice.h"
#include "app/playground/session.h"

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
                   session->site->host, checked->spf, SLICE_ARG(session_domain_of(session->mail_from)), checked->dkim,
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
        session_count(session, recipient->fate, 250, recipient->address);
    }
}

/* The last word about a message. */
static void decide(struct session *session)
{
    enum fate fault = fault_of_mail(session);
    if (fault == FATE_ACCEPT)
        fault = fault_of_sender(session);
    uint64_t pick = session->recipients[0].pick;
    const char *text = fault == FATE_ACCEPT ? NULL : session_text(session, fault, STAGE_DOT, pick);
    for (size_t i = 0; !text && i < session->recipient_count; i++) {
        fault = session->recipients[i].fate;
        /* these are refused for what they are, not for whom they are for: unless the address asks for it by name */
        bool is_checked = site_is(session->site, fault) &&
                          (fault == FATE_AUTH_FAILURE || fault == FATE_MESSAGE_TOO_BIG || fault == FATE_LINE_TOO_LONG);
        text = is_checked ? NULL : session_text(session, fault, STAGE_DOT, session->recipients[i].pick);
    }
    if (text) {
        session_refuse(session, text, fault, NULL);
        return;
    }
    uint64_t id = playground_id(session->playground);
    keep(session, id);
    session_answer(session, arena_printf(&session->arena, "250 2.0.0 Ok: queued as %010llX", (unsigned long long)id));
}

static void on_checked(void *owner, const struct auth_answer *checked)
{
    struct session *session = owner;
    session->auth = NULL;
    session->checked = *checked;
    decide(session);
    session_forget(session);
    conversation_go_on(session->conversation);
}

void session_on_message(struct session *session)
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
    session_forget(session);
}
