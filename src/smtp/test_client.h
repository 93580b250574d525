/* test_client.h - a client machine with an owner who does as the script says, for the tests */
#ifndef TODOKE_SMTP_TEST_CLIENT_H
#define TODOKE_SMTP_TEST_CLIENT_H

#include "smtp/client.h"
#include "smtp/test_script.h"

enum { TEST_MESSAGES = 8, TEST_RECIPIENTS = 8 };

struct test_message {
    struct smtp_message message;
    struct slice recipients[TEST_RECIPIENTS], body;
    char *text;
    char name; /* 'a', 'b', ... */
};

struct test_client {
    struct smtp_client *machine;
    struct buf out;    /* said since the last look */
    struct buf events; /* one line each */
    struct test_message messages[TEST_MESSAGES];
    unsigned count, told;
    bool is_over;
    size_t out_limit; /* ceiling of the buf for each write; 0: large */
};

static inline void test_client_init(struct test_client *client, struct smtp_client_settings settings)
{
    if (!settings.ehlo_name.len)
        settings.ehlo_name = SLICE("me.test");
    *client = (struct test_client){.machine = smtp_client_new(&settings), .out = BUF(64 << 20), .events = BUF(1 << 20)};
}

static inline void test_client_release(struct test_client *client)
{
    smtp_client_free(client->machine);
    buf_release(&client->out);
    buf_release(&client->events);
    for (unsigned i = 0; i < client->count; i++)
        free(client->messages[i].text);
}

static inline void test_client_event(struct test_client *client, const struct smtp_client_event *event)
{
    static const char *const outcomes[] = {"delivered", "refused", "again", "unsent", "in_doubt"};
    static const char *const overs[] = {"quit", "reply", "protocol", "tls", "closed"};
    struct buf *log = &client->events;
    char name = event->message ? ((struct test_message *)event->message->owner)->name : '-';
    assert_false(client->is_over);
    switch (event->what) {
    case SMTP_CLIENT_GREETED: buf_text(log, "greeted\n"); break;
    case SMTP_CLIENT_WANT_TLS: buf_text(log, "want tls\n"); break;
    case SMTP_CLIENT_READY: buf_text(log, "ready\n"); break;
    case SMTP_CLIENT_WANT_DOT: buf_printf(log, "want dot %c\n", name); break;
    case SMTP_CLIENT_RECIPIENT:
        buf_printf(log, "%c%zu %s %.*s %d %d.%d.%d\n", name, event->index, outcomes[event->outcome],
                   SLICE_ARG(stage_word(event->stage)), event->reply.code, event->reply.status[0],
                   event->reply.status[1], event->reply.status[2]);
        client->told++;
        break;
    case SMTP_CLIENT_MESSAGE: buf_printf(log, "message %c\n", name); break;
    case SMTP_CLIENT_OVER:
        buf_printf(log, "over %s %.*s %d %.*s\n", overs[event->how], SLICE_ARG(stage_word(event->stage)),
                   event->reply.code, SLICE_ARG(event->reply.text));
        client->is_over = true;
        break;
    }
}

static inline void test_client_write(struct test_client *client)
{
    SCOPED(buf) out = BUF(client->out_limit ? client->out_limit : 1 << 20);
    bool has_more;
    do {
        buf_reset(&out);
        has_more = smtp_client_write(client->machine, &out);
        assert_true(buf_ok(&out));
        buf_append(&client->out, buf_slice(&out));
    } while (has_more && out.len);
}

static inline void test_client_feed(struct test_client *client, struct slice bytes)
{
    struct smtp_client_event event;
    while (smtp_client_next(client->machine, &bytes, &event))
        test_client_event(client, &event);
    test_client_write(client);
    while (smtp_client_next(client->machine, &bytes, &event))
        test_client_event(client, &event);
    assert_int_equal(bytes.len, 0);
}

/* "from|to,to|body" */
static inline void test_client_message(struct test_client *client, struct slice text, bool is_held_whole)
{
    static const char *const fits[] = {"fits", "too big", "no 8bitmime", "no smtputf8", "bad address"};
    assert_true(client->count < TEST_MESSAGES);
    struct test_message *test = &client->messages[client->count];
    *test = (struct test_message){.text = slice_dup(text), .name = (char)('a' + client->count)};
    struct slice rest = slice_of(test->text, text.len), from, to, recipient;
    client->count++;
    assert_true(slice_split(&rest, '|', &from) && slice_split(&rest, '|', &to));
    test->body = rest;
    test->message = (struct smtp_message){.mail_from = from,
                                          .recipients = test->recipients,
                                          .body = &test->body,
                                          .body_count = 1,
                                          .is_held_whole = is_held_whole,
                                          .owner = test};
    while (slice_split(&to, ',', &recipient))
        test->recipients[test->message.recipient_count++] = recipient;
    for (size_t i = 0; i < rest.len; i++)
        if ((unsigned char)rest.ptr[i] >= 0x80)
            test->message.needs_8bit = true;
    enum smtp_fit fit = smtp_client_send(client->machine, &test->message);
    if (fit != SMTP_FITS)
        buf_printf(&client->events, "%s\n", fits[fit]);
}

static inline void test_client_play(struct test_client *client, const char *row, const char *text, struct cut cut)
{
    struct script script = {.rest = text, .text = BUF(1 << 20)};
    SCOPED(buf) input = BUF(4 << 20);
    script_next(&script);
    while (script.kind) {
        struct slice line = buf_slice(&script.text);
        switch (script.kind) {
        case 'S': {
            script_gather(&script, 'S', &input);
            struct slice rest = buf_slice(&input);
            while (rest.len)
                test_client_feed(client, cut_take(&rest, cut, input.len - rest.len));
            continue;
        }
        case 'C':
            test_client_write(client);
            script_expect(&script, row, 'C', buf_slice(&client->out));
            buf_reset(&client->out);
            continue;
        case 'E':
            if (client->events.len < line.len || !slice_starts(buf_slice(&client->events), line))
                fail_msg("%s: event \"%.*s\", want \"%.*s\"", row, SLICE_ARG(buf_slice(&client->events)),
                         SLICE_ARG(line));
            buf_consume(&client->events, (size_t)slice_find_byte(buf_slice(&client->events), '\n') + 1);
            break;
        case 'M': test_client_message(client, line, false); break;
        case 'H': test_client_message(client, line, true); break;
        case 'D': smtp_client_release_dot(client->machine); break;
        case 'Q': smtp_client_quit(client->machine); break;
        case 'T': smtp_client_tls_done(client->machine, true, true); break;
        case 'F': smtp_client_tls_done(client->machine, false, false); break;
        case 'W':
            assert_int_row(row, smtp_client_withhold_dot(client->machine),
                           slice_starts(buf_slice(&script.text), SLICE("yes")));
            break;
        case 'X': smtp_client_closed(client->machine, SLICE("reset by peer")); break;
        default: fail_msg("%s: the script has a line of kind %c", row, script.kind);
        }
        script_next(&script);
        if (script.kind != 'D' && script.kind != 'M' && script.kind != 'H')
            test_client_feed(client, SLICE(""));
    }
    if (client->out.len)
        fail_msg("%s: said at the end: \"%.*s\"", row, SLICE_ARG(buf_slice(&client->out)));
    if (client->events.len)
        fail_msg("%s: events at the end: \"%.*s\"", row, SLICE_ARG(buf_slice(&client->events)));
    buf_release(&script.text);
}

#endif
