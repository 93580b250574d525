/* server_command.c - one command line at a time: what is allowed now, what it means, what to ask the owner */
#include "smtp/command.h"
#include "smtp/server_state.h"

typedef void (*command_run)(struct smtp_server *server, struct slice args);

static void helo_run(struct smtp_server *server, struct slice args, bool is_esmtp)
{
    if (is_esmtp && server->is.no_ehlo) {
        server_refuse(server, "502 5.5.1 EHLO is not known here");
        return;
    }
    if (!smtp_helo_is_valid(args, server->is.is_lenient)) {
        server_refuse(server, "501 5.5.4 say who you are: a domain name or an address literal");
        return;
    }
    server_reset(server, 0);
    server_ask(server, SMTP_SERVER_EHLO);
    server->question.name = args;
    server->question.is_esmtp = is_esmtp;
}

static void ehlo(struct smtp_server *server, struct slice args)
{
    helo_run(server, args, true);
}

static void helo(struct smtp_server *server, struct slice args)
{
    helo_run(server, args, false);
}

static void starttls(struct smtp_server *server, struct slice args)
{
    if (!server->is.has_tls)
        server_refuse(server, "502 5.5.1 STARTTLS is not offered");
    else if (args.len)
        server_refuse(server, "501 5.5.4 STARTTLS takes no parameters");
    else if (server->has_tls)
        server_refuse(server, "503 5.5.1 TLS is already there");
    else
        server_ask(server, SMTP_SERVER_STARTTLS);
}

static void mail(struct smtp_server *server, struct slice args)
{
    const char *refusal = NULL;
    if (!server->has_helo)
        refusal = "503 5.5.1 say EHLO first";
    else if (server->is.needs_tls && !server->has_tls)
        refusal = "530 5.7.0 say STARTTLS first";
    else if (server->is.needs_auth && !server->is_authenticated)
        refusal = "530 5.7.0 sign in first";
    else if (server->has_mail)
        refusal = "503 5.5.1 a message is already begun";
    if (!refusal && server->is.messages_max && server->messages >= server->is.messages_max) {
        server_say(server, "421 4.7.0 enough messages for one connection");
        server_finish(server);
        return;
    }
    if (!refusal)
        refusal = smtp_mail_read(args, &server->is, server->is_esmtp, &server->path, &server->params);
    if (!refusal && server->params.size > server->is.size_max)
        refusal = "552 5.3.4 the message is larger than SIZE allows";
    if (refusal) {
        server_refuse(server, refusal);
        return;
    }
    server_ask(server, SMTP_SERVER_MAIL);
    server->question.path = &server->path;
    server->question.params = &server->params;
}

static void rcpt(struct smtp_server *server, struct slice args)
{
    const char *refusal = NULL;
    if (!server->has_mail)
        refusal = "503 5.5.1 say MAIL first";
    else if (server->is_chunking)
        refusal = "503 5.5.1 the message is already under way";
    if (!refusal && server->recipients >= server->is.recipients_max) {
        server_say(server, "452 4.5.3 too many recipients");
        return;
    }
    if (!refusal)
        refusal =
            smtp_rcpt_read(args, &server->is, server->is_esmtp, server->has_smtputf8, &server->path, &server->params);
    if (refusal) {
        server_refuse(server, refusal);
        return;
    }
    server_ask(server, SMTP_SERVER_RCPT);
    server->question.path = &server->path;
    server->question.params = &server->params;
}

static void data(struct smtp_server *server, struct slice args)
{
    if (args.len)
        server_refuse(server, "501 5.5.4 DATA takes no parameters");
    else if (!server->has_mail)
        server_refuse(server, "503 5.5.1 say MAIL first");
    else if (server->is_chunking)
        server_refuse(server, "503 5.5.1 BDAT and DATA do not mix");
    else if (server->recipients == 0)
        server_refuse(server, "554 5.5.1 no valid recipients");
    else
        server_ask(server, SMTP_SERVER_DATA);
}

static void bdat(struct smtp_server *server, struct slice args)
{
    uint64_t size;
    bool is_last;
    if (server->is.no_chunking) {
        server_refuse(server, "502 5.5.1 BDAT is not offered");
        return;
    }
    if (!smtp_bdat_read(args, &size, &is_last) || size > UINT64_C(1) << 40) {
        server_refuse(server, "501 5.5.4 say BDAT size [LAST]"); /* where the next command begins, nobody knows */
        server_finish(server);
        return;
    }
    server->chunk_left = server->chunk_size = size;
    server->chunk_is_last = is_last;
    if (!server->has_mail) {
        server_chunk_drop(server, SLICE("503 5.5.1 say MAIL first"));
    } else if (server->recipients == 0) {
        server_chunk_drop(server, SLICE("554 5.5.1 no valid recipients"));
    } else if (server->is_chunking) {
        server->state = SERVER_CHUNK;
    } else {
        server_ask(server, SMTP_SERVER_DATA);
        server->question.is_chunked = true;
    }
}

static void rset(struct smtp_server *server, struct slice args)
{
    if (args.len) {
        server_refuse(server, "501 5.5.4 RSET takes no parameters");
        return;
    }
    server_reset(server, 0);
    server_say(server, "250 2.0.0 forgotten");
}

static void noop(struct smtp_server *server, struct slice args)
{
    server_say(server, "250 2.0.0 ok");
}

static void quit(struct smtp_server *server, struct slice args)
{
    if (args.len) {
        server_refuse(server, "501 5.5.4 QUIT takes no parameters");
        return;
    }
    server_reset(server, 0);
    server_say(server, "221 2.0.0 good bye");
    server_finish(server);
}

static void vrfy(struct smtp_server *server, struct slice args)
{
    if (args.len)
        server_say(server, "252 2.0.0 send it, and you will see");
    else
        server_refuse(server, "501 5.5.4 say VRFY address");
}

static void expn(struct smtp_server *server, struct slice args)
{
    server_refuse(server, "502 5.5.1 EXPN is not for strangers");
}

static void help(struct smtp_server *server, struct slice args)
{
    server_say(server, "214 2.0.0 RFC 5321 tells it all");
}

static void web(struct smtp_server *server, struct slice args)
{
    server_say(server, "421 4.7.0 this is not the web"); /* a browser made to talk to us: its next lines are not SMTP */
    server_finish(server);
}

void server_command(struct smtp_server *server, struct slice line)
{
    static const struct {
        struct slice word;
        command_run run;
    } commands[] = {
        {SLICE_INIT("MAIL"), mail},        {SLICE_INIT("RCPT"), rcpt}, {SLICE_INIT("DATA"), data},
        {SLICE_INIT("RSET"), rset},        {SLICE_INIT("QUIT"), quit}, {SLICE_INIT("EHLO"), ehlo},
        {SLICE_INIT("HELO"), helo},        {SLICE_INIT("NOOP"), noop}, {SLICE_INIT("STARTTLS"), starttls},
        {SLICE_INIT("AUTH"), server_auth}, {SLICE_INIT("BDAT"), bdat}, {SLICE_INIT("VRFY"), vrfy},
        {SLICE_INIT("EXPN"), expn},        {SLICE_INIT("HELP"), help}, {SLICE_INIT("GET"), web},
        {SLICE_INIT("POST"), web},         {SLICE_INIT("PUT"), web},   {SLICE_INIT("CONNECT"), web},
        {SLICE_INIT("OPTIONS"), web},
    };
    ptrdiff_t space = slice_find_byte(line, ' ');
    struct slice word = space < 0 ? line : slice_head(line, (size_t)space), args = slice_from(line, word.len);
    args = slice_trim(args);
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        if (slice_equal_caseless(word, commands[i].word)) {
            commands[i].run(server, args);
            return;
        }
    server_refuse(server, "500 5.5.1 this command is not known");
}
