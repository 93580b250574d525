/* M10, M22: codes and statuses as peers really write them */
#include "base/buf.h"
#include "base/test.h"
#include "mail/reply.h"

static void taken_apart(void **state)
{
    static const struct {
        const char *said;
        int code;
        uint16_t status[3];
        const char *text;
    } rows[] = {
        {"550 5.1.1 User unknown", 550, {5, 1, 1}, "User unknown"},
        {"550-5.1.1 The account\r\n550 5.1.1 does not exist\r\n", 550, {5, 1, 1}, "The account does not exist"},
        {"550-5.7.26 a", 550, {5, 7, 26}, "a"},
        {"550 5.7.515 Access denied", 550, {5, 7, 515}, "Access denied"},
        {"421 Busy", 421, {0}, "Busy"},
        {"500 Line Too Long", 500, {0}, "Line Too Long"},
        {"250", 250, {0}, ""},
        {"550 192.0.2.1 is listed", 550, {0}, "192.0.2.1 is listed"},
        {"550 5.7.1.2 is no status", 550, {0}, "5.7.1.2 is no status"},
        {"no code at all", 0, {0}, "no code at all"},
        {"5500 no code", 0, {0}, "5500 no code"},
        {"", 0, {0}, ""},
        {"550-first\r\n551 second", 550, {0}, "first 551 second"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        SCOPED(buf) joined = BUF(512);
        struct reply reply;
        reply_parse(slice_str(rows[i].said), &joined, &reply);
        assert_int_row(rows[i].said, reply.code, rows[i].code);
        for (int part = 0; part < 3; part++)
            assert_int_row(rows[i].said, reply.status[part], rows[i].status[part]);
        assert_slice(rows[i].said, reply.text, slice_str(rows[i].text));
    }
}

static void an_endless_reply_is_cut(void **state)
{
    SCOPED(buf) said = BUF(1 << 20);
    for (int i = 0; i < 10000; i++)
        buf_text(&said, "250-more and more and more\r\n");
    SCOPED(buf) joined = BUF(512);
    struct reply reply;
    reply_parse(buf_slice(&said), &joined, &reply);
    assert_true(reply.code == 250 && reply.text.len <= 512 && reply.text.len > 400);
}

/* R25: said of a connection that mail has gone by. */
static void what_is_said_of_a_connection_and_of_nobody(void **state)
{
    static const struct {
        const char *said;
        bool is_it;
    } rows[] = {
        {"421 4.7.0 Too many messages in this session", true},
        {"421 too many messages in this connection", true},
        {"421 Max message per connection reached, closing transmission channel", true},
        {"421 4.4.5 Maximum transactions per session exceeded", true},
        {"452 4.5.3 Too many recipients", true},
        {"452 Too many recipients in this session", true},
        {"421 4.7.28 Our system has detected an unusual rate of unsolicited mail", false},
        {"421 too many messages from your IP", false},
        {"421 4.7.0 Too many errors in this session, mail refused", false},
        {"421 4.7.1 Messages from 192.0.2.1 temporarily deferred", false},
        {"452 4.2.2 User has too many messages on this mailbox", false},
        {"450 4.7.1 Too many messages in this session", true},
        {"450 Too many messages in this connection, reconnect", true},
        {"452 4.3.0 Please reconnect to send more mail", true},
        {"421 4.7.0 Too many messages", true},
        {"421 4.4.0 Maximum number of messages reached, please reconnect", true},
        {"421 Exceeded maximum number of messages per connection", true},
        {"421 4.7.0 mx.example.jp Error: too many mail transactions", true},
        {"421 4.4.2 mx.example.jp Error: timeout exceeded", true},
        {"421 mx.example.jp: SMTP command timeout - closing connection", true},
        {"421 4.4.1 Connection timed out", true},
        {"421 4.4.2 Idle for too long, closing channel", true},
        {"421 4.3.2 Service shutting down, closing transmission channel", true},
        {"421 4.3.2 Server shutdown", true},
        {"421 too many messages, try again later", false},
        {"421 4.7.0 Too many messages, slow down", false},
        {"421 4.7.1 Too many messages", false},
        {"421 4.7.28 Too many messages", false},
        {"421 Too many messages in the last hour", false},
        {"421 4.7.0 [192.0.2.1] Too many messages", false},
        {"450 4.7.1 Too many messages", false},
        {"452 Too many messages", false},
        {"421 4.7.0 too many connections", false},
        {"421 Too many concurrent connections, reconnect later", false},
        {"421 4.7.0 Rate limited, please reconnect to send more mail", false},
        {"421 4.7.0 mx.example.jp Error: too many errors", false},
        {"421 4.7.0 Error: too many errors in this session, no mail", false},
        {"421 4.3.2 Service not available, closing transmission channel", false},
        {"421 4.3.0 Temporary system problem", false},
        {"421 4.4.2 Timeout while connecting to the recipient's server", false},
        {"421 4.7.0 Policy service timed out", false},
        {"450 4.4.2 timed out", false},
        {"451 HL:MEP too many messages, 163", false},
        {"550 Too many messages in this session", false},
        {"550 5.5.3 Too many recipients", false},
        {"452 4.3.1 Insufficient system storage", false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        SCOPED(buf) joined = BUF(512);
        struct reply reply;
        reply_parse(slice_str(rows[i].said), &joined, &reply);
        assert_int_row(rows[i].said, reply_is_of_session(&reply), rows[i].is_it);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(taken_apart), cmocka_unit_test(an_endless_reply_is_cut),
                                       cmocka_unit_test(what_is_said_of_a_connection_and_of_nobody)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
