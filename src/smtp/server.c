/* server.c - questions, answers, lines; see server.h for the contract
 *
 *   (new) asks CONNECT --> COMMAND --DATA--> asks DATA --> DATA --CRLF.CRLF--> asks MESSAGE --> COMMAND
 *                            |  |  +-BDAT--> asks DATA --> CHUNK --octets read--> COMMAND, or asks MESSAGE
 *                            |  +-STARTTLS-> asks STARTTLS --> TLS --tls_done--> COMMAND, everything forgotten
 *                            +----AUTH-----> AUTH lines --> asks AUTH --> COMMAND
 *
 * Always true: at most one question is open; while it is, no input is taken. Every way out is server_finish(): state
 * CLOSED and one CLOSE event. */
#include "smtp/server_state.h"

#include <assert.h>

struct smtp_server *smtp_server_new(const struct smtp_server_settings *settings)
{
    struct smtp_server *server = NEW(struct smtp_server);
    server->is = *settings;
    server->is.host_name = slice_of(slice_dup(settings->host_name), settings->host_name.len);
    if (!server->is.size_max)
        server->is.size_max = 50u << 20;
    if (!server->is.recipients_max)
        server->is.recipients_max = 100;
    if (!server->is.errors_max)
        server->is.errors_max = 20;
    if (!server->is.command_timeout)
        server->is.command_timeout = SECONDS_MS(300);
    if (!server->is.block_timeout)
        server->is.block_timeout = SECONDS_MS(180);
    server->has_tls = settings->is_tls_already;
    buf_init(&server->line, SERVER_LINE_MAX);
    buf_init(&server->out, SERVER_OUT_MAX);
    buf_init(&server->chunk_refusal, 4096);
    buf_init(&server->user, SERVER_LINE_MAX);
    buf_init(&server->secret, SERVER_LINE_MAX);
    server_ask(server, SMTP_SERVER_CONNECT);
    return server;
}

void smtp_server_free(struct smtp_server *server)
{
    if (!server)
        return;
    server_auth_wipe(server);
    free((char *)(uintptr_t)server->is.host_name.ptr);
    buf_release(&server->line);
    buf_release(&server->out);
    buf_release(&server->chunk_refusal);
    buf_release(&server->user);
    buf_release(&server->secret);
    free(server);
}

void server_say(struct smtp_server *server, const char *reply)
{
    buf_str(&server->out, reply);
    buf_text(&server->out, "\r\n");
}

void server_finish(struct smtp_server *server)
{
    if (server->state == SERVER_CLOSED)
        return;
    server->state = SERVER_CLOSED;
    server->is_asking = server->owes_question = server->owes_tls = false;
    server->owes_close = true;
    server_auth_wipe(server);
}

void server_refuse(struct smtp_server *server, const char *reply)
{
    server_say(server, reply);
    if (++server->errors > server->is.errors_max) {
        server_say(server, "421 4.7.0 too many errors");
        server_finish(server);
    }
}

bool server_refuse_early(struct smtp_server *server, struct slice received)
{
    if (received.len == 0)
        return false;
    server_say(server, "554 5.5.0 you spoke before it was your turn");
    server_finish(server);
    return true;
}

void server_ask(struct smtp_server *server, enum smtp_server_what what)
{
    server->question = (struct smtp_server_event){.what = what, .is_question = true};
    server->is_asking = server->owes_question = true;
}

void server_reset(struct smtp_server *server, int code)
{
    if (server->has_mail) {
        server->owes_reset = true;
        server->reset_code = code;
    }
    server->has_mail = server->has_smtputf8 = server->is_chunking = false;
    server->recipients = 0;
    server->body_refusal = NULL;
}

/* The questions behind which the client must wait (RFC 2920 3.1); before the greeting he has no turn at all. */
static bool must_wait(const struct smtp_server *server)
{
    switch (server->question.what) {
    case SMTP_SERVER_CONNECT:
    case SMTP_SERVER_EHLO:
    case SMTP_SERVER_STARTTLS:
    case SMTP_SERVER_SCRAM:
    case SMTP_SERVER_AUTH: return true;
    case SMTP_SERVER_DATA: return !server->question.is_chunked;
    case SMTP_SERVER_MAIL:
    case SMTP_SERVER_RCPT:
    case SMTP_SERVER_MESSAGE:
    case SMTP_SERVER_TLS_BEGIN:
    case SMTP_SERVER_BODY:
    case SMTP_SERVER_RESET:
    case SMTP_SERVER_CLOSE: return false;
    }
    return false;
}

/* ---- lines ---- */

static size_t line_limit(const struct smtp_server *server, struct slice line)
{
    if (server->state == SERVER_AUTH || slice_starts_caseless(line, SLICE("AUTH ")))
        return 12288; /* RFC 4954 4.3 */
    bool has_params = slice_starts_caseless(line, SLICE("MAIL ")) || slice_starts_caseless(line, SLICE("RCPT "));
    return has_params ? 2048 : 512;
}

enum line_found { LINE_MORE, LINE_GOOD, LINE_BAD };

/* Cut a line off the front of *received. BAD: it was answered. */
static enum line_found line_read(struct smtp_server *server, struct slice *received, struct slice *line)
{
    const char *lf = received->len ? memchr(received->ptr, '\n', received->len) : NULL;
    struct slice piece = slice_head(*received, lf ? (size_t)(lf - received->ptr) + 1 : received->len);
    *received = slice_from(*received, piece.len);
    *line = piece;
    if (server->line_is_skipped) {
        server->skipped += piece.len;
        if (server->skipped > 65536) {
            server_say(server, "421 4.7.0 this line has no end");
            server_finish(server);
            return LINE_BAD;
        }
    } else if (server->line.len || !lf) {
        buf_append(&server->line, piece);
        *line = buf_slice(&server->line);
    }
    if (!server->line_is_skipped && (line->len > line_limit(server, *line) || !buf_ok(&server->line))) {
        server->line_is_skipped = true;
        server->skipped = piece.len;
    }
    if (!lf)
        return LINE_MORE;
    buf_reset(&server->line); /* its bytes stay until the next piece */
    const char *refusal = NULL;
    if (server->line_is_skipped)
        refusal = "500 5.5.2 the line is too long";
    else if (line->len < 2 || line->ptr[line->len - 2] != '\r')
        refusal = "500 5.5.2 lines end with CR and LF";
    else if (memchr(line->ptr, '\r', line->len - 2) || memchr(line->ptr, '\0', line->len))
        refusal = "500 5.5.2 a control character stands in the line";
    server->line_is_skipped = false;
    if (refusal) {
        if (server->state == SERVER_AUTH) {
            server->state = SERVER_COMMAND;
            server_auth_wipe(server);
        }
        server_refuse(server, refusal);
        return LINE_BAD;
    }
    line->len -= 2;
    return LINE_GOOD;
}

/* ---- events ---- */

static bool owed_event(struct smtp_server *server, struct smtp_server_event *event)
{
    if (server->owes_reset) {
        server->owes_reset = false;
        *event = (struct smtp_server_event){.what = SMTP_SERVER_RESET, .code = server->reset_code};
        return true;
    }
    if (server->owes_question) {
        server->owes_question = false;
        *event = server->question;
        return true;
    }
    if (server->owes_tls) {
        server->owes_tls = false;
        *event = (struct smtp_server_event){.what = SMTP_SERVER_TLS_BEGIN};
        return true;
    }
    if (server->owes_close) {
        server->owes_close = false;
        *event = (struct smtp_server_event){.what = SMTP_SERVER_CLOSE};
        return true;
    }
    return false;
}

bool smtp_server_next(struct smtp_server *server, struct slice *received, struct smtp_server_event *event)
{
    for (;;) {
        if (server->is_asking && must_wait(server))
            server_refuse_early(server, *received);
        if (owed_event(server, event))
            return true;
        if (server->state == SERVER_CLOSED) {
            *received = slice_of(NULL, 0);
            return false;
        }
        if (server->is_asking || server->state == SERVER_TLS || server->out.len > SERVER_OUT_FULL)
            return false;
        if (server->state == SERVER_DATA || server->state == SERVER_CHUNK) {
            if (server_body(server, received, event))
                return true;
            if (!server->is_asking && server->state != SERVER_COMMAND && server->state != SERVER_CLOSED)
                return false;
            continue;
        }
        if (received->len == 0)
            return false;
        struct slice line;
        switch (line_read(server, received, &line)) {
        case LINE_MORE: return false;
        case LINE_BAD: break;
        case LINE_GOOD:
            if (server->state == SERVER_AUTH)
                server_auth_line(server, line);
            else
                server_command(server, line);
            break;
        }
    }
}

/* ---- answers ---- */

static void capabilities_say(struct smtp_server *server)
{
    const struct smtp_server_settings *is = &server->is;
    bool has_auth = is->has_auth && (server->has_tls || is->may_auth_clear) && !server->is_authenticated;
    const struct {
        bool is_offered;
        const char *line;
    } words[] = {
        {!is->no_pipelining, "PIPELINING"},
        {!is->no_8bitmime, "8BITMIME"},
        {!is->no_smtputf8 && !is->no_8bitmime, "SMTPUTF8"},
        {is->has_tls && !server->has_tls, "STARTTLS"},
        {has_auth, is->has_scram ? "AUTH PLAIN LOGIN SCRAM-SHA-256" : "AUTH PLAIN LOGIN"},
        {!is->no_chunking, "CHUNKING"},
        {!is->no_dsn, "DSN"},
        {!is->no_status_codes, "ENHANCEDSTATUSCODES"},
    };
    buf_printf(&server->out, "250-%.*s\r\n", SLICE_ARG(is->host_name));
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (words[i].is_offered)
            buf_printf(&server->out, "250-%s\r\n", words[i].line);
    if (!is->no_size)
        buf_printf(&server->out, "250-SIZE %llu\r\n", (unsigned long long)is->size_max);
    buf_printf(&server->out, "250 LIMITS RCPTMAX=%u\r\n", is->recipients_max);
}

static void accept_say(struct smtp_server *server)
{
    struct slice host = server->is.host_name;
    switch (server->question.what) {
    case SMTP_SERVER_CONNECT:
        buf_printf(&server->out, "220 %.*s %s\r\n", SLICE_ARG(host), server->is.no_ehlo ? "SMTP" : "ESMTP");
        break;
    case SMTP_SERVER_EHLO:
        if (server->question.is_esmtp)
            capabilities_say(server);
        else
            buf_printf(&server->out, "250 %.*s\r\n", SLICE_ARG(host));
        break;
    case SMTP_SERVER_STARTTLS: server_say(server, "220 2.0.0 begin TLS"); break;
    case SMTP_SERVER_SCRAM: server_say(server, "535 5.7.8 name or key is wrong"); break; /* not a yes-or-no question */
    case SMTP_SERVER_AUTH: server_say(server, "235 2.7.0 welcome"); break;
    case SMTP_SERVER_MAIL: server_say(server, "250 2.1.0 sender ok"); break;
    case SMTP_SERVER_RCPT: server_say(server, "250 2.1.5 recipient ok"); break;
    case SMTP_SERVER_DATA:
        if (!server->question.is_chunked)
            server_say(server, "354 end with <CR><LF>.<CR><LF>");
        break;
    case SMTP_SERVER_MESSAGE: server_say(server, "250 2.0.0 accepted"); break;
    case SMTP_SERVER_TLS_BEGIN:
    case SMTP_SERVER_BODY:
    case SMTP_SERVER_RESET:
    case SMTP_SERVER_CLOSE: break;
    }
}

/* The answer has been said: what it changes. */
static void answered(struct smtp_server *server, bool is_accepted)
{
    server->is_asking = server->owes_question = false;
    if (!is_accepted && server->question.what != SMTP_SERVER_MESSAGE)
        server->errors++;
    switch (server->question.what) {
    case SMTP_SERVER_CONNECT:
        if (!is_accepted)
            server_finish(server);
        break;
    case SMTP_SERVER_EHLO:
        server->has_helo = is_accepted;
        server->is_esmtp = server->question.is_esmtp;
        break;
    case SMTP_SERVER_STARTTLS:
        if (is_accepted) {
            server->state = SERVER_TLS;
            server->owes_tls = true;
        }
        break;
    case SMTP_SERVER_SCRAM: server_auth_wipe(server); break; /* refused; smtp_server_scram is the way on */
    case SMTP_SERVER_AUTH:
        server->is_authenticated = is_accepted;
        server_auth_wipe(server);
        break;
    case SMTP_SERVER_MAIL:
        server->has_mail = is_accepted;
        server->has_smtputf8 = is_accepted && server->params.smtputf8;
        break;
    case SMTP_SERVER_RCPT: server->recipients += is_accepted; break;
    case SMTP_SERVER_DATA: server_body_begin(server, is_accepted); break;
    case SMTP_SERVER_MESSAGE:
        if (is_accepted) {
            server->messages++;
            server->errors = 0;
        }
        server->has_mail = false; /* the owner knows that the transaction is over */
        server_reset(server, 0);
        break;
    case SMTP_SERVER_TLS_BEGIN:
    case SMTP_SERVER_BODY:
    case SMTP_SERVER_RESET:
    case SMTP_SERVER_CLOSE: break;
    }
    if (server->errors > server->is.errors_max && server->state != SERVER_CLOSED) {
        server_say(server, "421 4.7.0 too many errors");
        server_finish(server);
    }
}

void smtp_server_accept(struct smtp_server *server)
{
    if (!server->is_asking)
        return;
    if (server->question.what == SMTP_SERVER_AUTH && server->scram) {
        server->is_asking = server->owes_question = false;
        server_auth_accepted(server);
        return;
    }
    bool is_accepted = server->question.what != SMTP_SERVER_SCRAM;
    accept_say(server);
    answered(server, is_accepted);
}

void smtp_server_answer(struct smtp_server *server, struct slice reply)
{
    if (!server->is_asking)
        return;
    bool is_accepted = reply.len && (reply.ptr[0] == '2' || reply.ptr[0] == '3');
    if (is_accepted && server->scram) {
        smtp_server_accept(server); /* SCRAM says its own words */
        return;
    }
    bool is_late = !is_accepted && server->question.what == SMTP_SERVER_DATA && server->question.is_chunked;
    if (is_late) {
        buf_reset(&server->chunk_refusal); /* said when the chunk has been read */
        buf_append(&server->chunk_refusal, slice_head(reply, server->chunk_refusal.limit));
    } else if (!(is_accepted && server->question.what == SMTP_SERVER_DATA && server->question.is_chunked)) {
        buf_append(&server->out, reply);
        buf_text(&server->out, "\r\n");
    }
    answered(server, is_accepted);
    if (slice_starts(reply, SLICE("421")) && !is_late)
        server_finish(server);
}

bool smtp_server_is_asking(const struct smtp_server *server)
{
    return server->is_asking;
}

void smtp_server_tls_done(struct smtp_server *server, bool is_up)
{
    if (server->state != SERVER_TLS)
        return;
    if (!is_up) {
        server_finish(server);
        return;
    }
    server_reset(server, 0);
    server->state = SERVER_COMMAND;
    server->has_tls = true;
    server->has_helo = server->is_esmtp = server->is_authenticated = false;
}

void smtp_server_close(struct smtp_server *server, struct slice reply)
{
    if (server->state == SERVER_CLOSED)
        return;
    if (reply.len) {
        buf_append(&server->out, reply);
        buf_text(&server->out, "\r\n");
    }
    server_finish(server);
}

void smtp_server_write(struct smtp_server *server, struct buf *out)
{
    struct slice ready = slice_head(buf_slice(&server->out), out->limit > out->len ? out->limit - out->len : 0);
    buf_append(out, ready);
    buf_consume(&server->out, ready.len);
    if (server->out.len == 0 && server->out.room > 4096)
        buf_release(&server->out);
}

bool smtp_server_has_output(const struct smtp_server *server)
{
    return server->out.len > 0;
}

bool smtp_server_has_tls(const struct smtp_server *server)
{
    return server->has_tls;
}

bool smtp_server_is_esmtp(const struct smtp_server *server)
{
    return server->is_esmtp;
}

bool smtp_server_is_authenticated(const struct smtp_server *server)
{
    return server->is_authenticated;
}

bool smtp_server_has_mail(const struct smtp_server *server)
{
    return server->has_mail;
}

bool smtp_server_is_in_message(const struct smtp_server *server)
{
    return server->state == SERVER_DATA || server->state == SERVER_CHUNK;
}

time_ms smtp_server_timeout_ms(const struct smtp_server *server)
{
    if (server->is_asking || server->state == SERVER_TLS || server->state == SERVER_CLOSED)
        return 0;
    return smtp_server_is_in_message(server) ? server->is.block_timeout : server->is.command_timeout;
}
