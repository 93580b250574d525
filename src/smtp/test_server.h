/* test_server.h - a server machine with an owner of simple habits, for the tests
 *
 * Habits: recipients that begin with "no" are 550, with "later" 450; MAIL FROM:<refused@...> is 550; AUTH takes user
 * "u" with password "p"; everything else is accepted. Messages are kept. */
#ifndef TODOKE_SMTP_TEST_SERVER_H
#define TODOKE_SMTP_TEST_SERVER_H

#include "smtp/server.h"
#include "smtp/test_script.h"

struct test_server {
    struct smtp_server *machine;
    struct buf held;   /* given but not taken */
    struct buf out;    /* said since the last look */
    struct buf events; /* one line each */
    struct buf body, last_body;
    unsigned messages, resets;
    bool is_closed;
    bool waits; /* answers come by script */
};

static inline void test_server_init(struct test_server *server, struct smtp_server_settings settings)
{
    if (!settings.host_name.len)
        settings.host_name = SLICE("mx.test");
    *server = (struct test_server){.machine = smtp_server_new(&settings),
                                   .held = BUF(64 << 20),
                                   .out = BUF(64 << 20),
                                   .events = BUF(1 << 20),
                                   .body = BUF(64 << 20),
                                   .last_body = BUF(64 << 20)};
}

static inline void test_server_release(struct test_server *server)
{
    smtp_server_free(server->machine);
    buf_release(&server->held);
    buf_release(&server->out);
    buf_release(&server->events);
    buf_release(&server->body);
    buf_release(&server->last_body);
}

static inline void test_server_scram(struct test_server *server, struct slice user)
{
    struct scram_keys keys;
    scram_keys_make(SLICE("pencil"), SLICE("salt"), SCRAM_ITERATIONS, &keys);
    smtp_server_scram(server->machine, &keys, slice_equal(user, SLICE("user")));
}

static inline void test_server_answer(struct test_server *server, const struct smtp_server_event *event)
{
    struct slice local = event->path ? event->path->local : SLICE("");
    if (server->waits)
        return;
    if (event->what == SMTP_SERVER_MAIL && slice_equal(local, SLICE("refused")))
        smtp_server_answer(server->machine, SLICE("550 5.7.1 not you"));
    else if (event->what == SMTP_SERVER_RCPT && slice_starts(local, SLICE("no")))
        smtp_server_answer(server->machine, SLICE("550 5.1.1 no such user"));
    else if (event->what == SMTP_SERVER_RCPT && slice_starts(local, SLICE("later")))
        smtp_server_answer(server->machine, SLICE("450 4.2.1 later"));
    else if (event->what == SMTP_SERVER_SCRAM)
        test_server_scram(server, event->user);
    else if (event->what == SMTP_SERVER_AUTH && slice_equal(event->name, SLICE("SCRAM-SHA-256")))
        smtp_server_accept(server->machine); /* proven or not: the machine knows */
    else if (event->what == SMTP_SERVER_AUTH &&
             !(slice_equal(event->user, SLICE("u")) && slice_equal(event->password, SLICE("p"))))
        smtp_server_answer(server->machine, SLICE("535 5.7.8 no"));
    else
        smtp_server_accept(server->machine);
}

static inline void test_server_event(struct test_server *server, const struct smtp_server_event *event)
{
    struct buf *log = &server->events;
    switch (event->what) {
    case SMTP_SERVER_CONNECT: buf_text(log, "connect\n"); break;
    case SMTP_SERVER_EHLO:
        buf_printf(log, "%s %.*s\n", event->is_esmtp ? "ehlo" : "helo", SLICE_ARG(event->name));
        break;
    case SMTP_SERVER_STARTTLS: buf_text(log, "starttls\n"); break;
    case SMTP_SERVER_TLS_BEGIN: buf_text(log, "tls\n"); break;
    case SMTP_SERVER_SCRAM: buf_printf(log, "scram %.*s\n", SLICE_ARG(event->user)); break;
    case SMTP_SERVER_AUTH:
        buf_printf(log, "auth %.*s %.*s %.*s\n", SLICE_ARG(event->name), SLICE_ARG(event->user),
                   SLICE_ARG(event->password));
        break;
    case SMTP_SERVER_MAIL: buf_printf(log, "mail %.*s\n", SLICE_ARG(event->path->address)); break;
    case SMTP_SERVER_RCPT: buf_printf(log, "rcpt %.*s\n", SLICE_ARG(event->path->address)); break;
    case SMTP_SERVER_DATA: buf_printf(log, "%s\n", event->is_chunked ? "bdat" : "data"); break;
    case SMTP_SERVER_BODY: buf_append(&server->body, event->bytes); break;
    case SMTP_SERVER_MESSAGE:
        assert_int_row("size", event->size, server->body.len);
        buf_printf(log, "message %llu\n", (unsigned long long)event->size);
        buf_reset(&server->last_body);
        buf_append(&server->last_body, buf_slice(&server->body));
        buf_reset(&server->body);
        server->messages++;
        break;
    case SMTP_SERVER_RESET:
        buf_printf(log, "reset %d\n", event->code);
        buf_reset(&server->body);
        server->resets++;
        break;
    case SMTP_SERVER_CLOSE:
        assert_false(server->is_closed);
        buf_text(log, "close\n");
        server->is_closed = true;
        break;
    }
    if (event->is_question)
        test_server_answer(server, event);
}

/* Give bytes (maybe none) and let it run until it stands. */
static inline void test_server_feed(struct test_server *server, struct slice bytes)
{
    struct smtp_server_event event;
    buf_append(&server->held, bytes);
    struct slice rest = buf_slice(&server->held);
    for (;;) {
        while (smtp_server_next(server->machine, &rest, &event))
            test_server_event(server, &event);
        if (!smtp_server_has_output(server->machine))
            break;
        smtp_server_write(server->machine, &server->out);
    }
    buf_consume(&server->held, server->held.len - rest.len);
}

/* The next event line against the script. */
static inline void test_events_expect(struct script *script, const char *row, struct buf *events)
{
    struct slice rest = buf_slice(events), line = {0};
    if (!slice_line(&rest, &line))
        fail_msg("%s: no event where \"%.*s\" is wanted", row, SLICE_ARG(buf_slice(&script->text)));
    assert_slice(row, line, buf_slice(&script->text));
    buf_consume(events, events->len - rest.len);
    script_next(script);
}

static inline void test_server_play(struct test_server *server, const char *row, const char *text, struct cut cut)
{
    struct script script = {.rest = text, .text = BUF(1 << 20)};
    SCOPED(buf) input = BUF(4 << 20);
    bool saw_event = false;
    test_server_feed(server, SLICE(""));
    script_next(&script);
    while (script.kind) {
        switch (script.kind) {
        case 'C': {
            script_gather(&script, 'C', &input);
            struct slice rest = buf_slice(&input);
            while (rest.len)
                test_server_feed(server, cut_take(&rest, cut, input.len - rest.len));
            break;
        }
        case 'S':
            script_expect(&script, row, 'S', buf_slice(&server->out));
            buf_reset(&server->out);
            break;
        case 'E':
            saw_event = true;
            test_events_expect(&script, row, &server->events);
            break;
        case 'A':
            smtp_server_answer(server->machine, buf_slice(&script.text));
            test_server_feed(server, SLICE(""));
            script_next(&script);
            break;
        case 'T':
            smtp_server_tls_done(server->machine, true);
            test_server_feed(server, SLICE(""));
            script_next(&script);
            break;
        default: fail_msg("%s: the script has a line of kind %c", row, script.kind);
        }
    }
    if (server->out.len)
        fail_msg("%s: said at the end: \"%.*s\"", row, SLICE_ARG(buf_slice(&server->out)));
    if (saw_event && server->events.len)
        fail_msg("%s: events at the end: \"%.*s\"", row, SLICE_ARG(buf_slice(&server->events)));
    buf_release(&script.text);
}

#endif
