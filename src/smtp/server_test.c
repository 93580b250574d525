/* R1, R3, R4, R5, R9, R12, M3, M4, M13, M14, M16, M20, M21, X2: the receiving side, conversation by conversation */
#include "smtp/test_server.h"

#define HELLO "S: 220 mx.test ESMTP\nC: EHLO me.test\nS: 250\n"
#define MAIL  HELLO "C: MAIL FROM:<a@b.test>\nS: 250 2.1.0\n"
#define RCPT  MAIL "C: RCPT TO:<c@d.test>\nS: 250 2.1.5\n"

struct row {
    const char *name;
    const char *script;
    struct smtp_server_settings settings;
    bool waits;
    bool is_whole; /* what is tested is input in one piece */
};

static void play_cut(const struct row *row, struct cut cut)
{
    struct test_server server;
    test_server_init(&server, row->settings);
    server.waits = row->waits;
    test_server_play(&server, row->name, row->script, cut);
    test_server_release(&server);
}

/* Whole, byte by byte, and in two at every offset. */
static void play(const struct row *row)
{
    play_cut(row, (struct cut){CUT_NONE, 0});
    if (row->is_whole)
        return;
    play_cut(row, (struct cut){CUT_BYTES, 0});
    for (size_t at = 1; at < 120; at++)
        play_cut(row, (struct cut){CUT_AT, at});
}

#define PLAY(rows)                                                                                                     \
    for (size_t i = 0; i < COUNT_OF(rows); i++)                                                                        \
    play(&(rows)[i])

static void a_message_arrives(void **state)
{
    static const struct row rows[] = {
        {"the story",
         HELLO "E: connect\nE: ehlo me.test\n"
               "C: MAIL FROM:<a@b.test> SIZE=10\nS: 250 2.1.0\nE: mail a@b.test\n"
               "C: RCPT TO:<c@d.test>\nS: 250 2.1.5\nE: rcpt c@d.test\n"
               "C: DATA\nS: 354\nE: data\nC: Subject: x\nC: \nC: ..hello\nC: .\nS: 250 2.0.0\nE: message 22\n"
               "C: QUIT\nS: 221 2.0.0\nE: close\n"},
        {"HELO has no extensions", "S: 220\nC: HELO me.test\nS: 250 mx.test\nC: MAIL FROM:<> SIZE=1\nS: 555 5.5.4\n"
                                   "C: MAIL FROM:<>\nS: 250\nC: QUIT\nS: 221\n"},
        {"R5: pipelined, one reply each, in order", HELLO
         "C: MAIL FROM:<>\nC: RCPT TO:<c@d.test>\nC: RCPT TO:<nobody@d.test>\nC: RCPT TO:<later@d.test>\nC: DATA\n"
         "S: 250 2.1.0\nS: 250 2.1.5\nS: 550 5.1.1\nS: 450 4.2.1\nS: 354\n"
         "C: hello\nC: .\nS: 250 2.0.0\n"},
        {"R5: nobody is left", HELLO "C: MAIL FROM:<>\nC: RCPT TO:<nobody@d.test>\nC: DATA\nC: RSET\n"
                                     "C: MAIL FROM:<x@y.test>\nC: RCPT TO:<c@d.test>\n"
                                     "S: 250\nS: 550 5.1.1\nS: 554 5.5.1\nS: 250 2.0.0\nS: 250 2.1.0\nS: 250 2.1.5\n"
                                     "E: connect\nE: ehlo me.test\nE: mail \nE: rcpt nobody@d.test\nE: reset 0\n"
                                     "E: mail x@y.test\nE: rcpt c@d.test\n"},
        {"empty message", RCPT "C: DATA\nS: 354\nC: .\nS: 250 2.0.0\n"},
        {"the next message and QUIT travel behind the dot",
         RCPT "C: DATA\nS: 354\nC: a\nC: .\nC: MAIL FROM:<>\nC: QUIT\nS: 250 2.0.0\nS: 250 2.1.0\nS: 221\n"},
        {"refused after the dot, later", RCPT "C: DATA\nS: 354\nC: a\nC: .\nS: 250\nC: NOOP\nS: 250 2.0.0\n"},
        {"postmaster alone, any case", MAIL "C: RCPT TO:<PostMaster>\nS: 250 2.1.5\n"},
        {"R12: quoted local parts",
         MAIL "C: RCPT TO:<\"a..b\"@d.test>\nS: 250\nC: RCPT TO:<\"a \\\\\"b\\\\\" @c\"@d.test>\nS: 250\n"},
        {"M20: a source route is ignored", MAIL "C: RCPT TO:<@x.test,@y.test:c@d.test>\nS: 250\n"
                                                "E: connect\nE: ehlo me.test\nE: mail a@b.test\nE: rcpt c@d.test\n"},
        {"DSN parameters",
         HELLO "C: MAIL FROM:<a@b.test> RET=HDRS ENVID=QQ314159 BODY=8BITMIME SMTPUTF8 SIZE=4\nS: 250\n"
               "C: RCPT TO:<c@d.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;c@d.test\nS: 250\n"},
        {"SMTPUTF8",
         HELLO "C: MAIL FROM:<\\xe6\\x97\\xa5@b.test> SMTPUTF8\nS: 250\nC: RCPT TO:<\\xe6\\x97\\xa5@b.test>\nS: 250\n"},
    };
    PLAY(rows);
}

static void wrong_commands(void **state)
{
    static const struct row rows[] = {
        {"too early",
         "S: 220\nC: MAIL FROM:<>\nS: 503 5.5.1\nC: RCPT TO:<a@b.test>\nS: 503 5.5.1\nC: DATA\nS: 503 5.5.1\n"},
        {"unknown", HELLO "C: FOO bar\nS: 500 5.5.1\nC: \nS: 500 5.5.1\n"},
        {"M20: VRFY, EXPN",
         HELLO "C: VRFY a\nS: 252 2.0.0\nC: EXPN a\nS: 502 5.5.1\nC: HELP\nS: 214\nC: NOOP x\nS: 250\n"},
        {"MAIL twice", MAIL "C: MAIL FROM:<>\nS: 503 5.5.1\n"},
        {"syntax of MAIL", HELLO
         "C: MAIL FROM:a@b.test\nS: 501 5.1.7\nC: MAIL FROM: <a@b.test>\nS: 501 5.1.7\nC: MAIL <a@b.test>\nS: 501 "
         "5.5.4\n"
         "C: MAIL FROM:<a@b.test\nS: 501 5.1.7\nC: MAIL FROM:<a@b..test>\nS: 501 5.1.7\nC: MAIL FROM:<a b@c.test>\nS: "
         "501\n"
         "C: MAIL FROM:<a..b@c.test>\nS: 501\nC: MAIL FROM:<\"a@c.test>\nS: 501\nC: MAIL FROM:<a@[1.2.3>\nS: 501\n"
         "C: MAIL FROM:<a@b.test>SIZE=1\nS: 501\nC: MAIL FROM:<a@b.test> FOO=1\nS: 555 5.5.4\n"
         "C: MAIL FROM:<a@b.test> REQUIRETLS\nS: 555 5.5.4\n" /* R32: not offered, so nobody is promised it */

         "C: MAIL FROM:<a@b.test> SIZE=x\nS: 501 5.5.4\nC: MAIL FROM:<a@b.test> BODY=BINARYMIME\nS: 501 5.5.4\n"},
        {"a parameter twice (RFC 5321 4.1.1.11, RFC 3461 4)",
         HELLO "C: MAIL FROM:<a@b.test> SIZE=1 SIZE=2\nS: 501 5.5.4\nC: MAIL FROM:<a@b.test> RET=FULL ret=HDRS\nS: 501 "
               "5.5.4\nC: MAIL FROM:<a@b.test> SMTPUTF8 SIZE=1 SMTPUTF8\nS: 501 5.5.4\nC: MAIL FROM:<a@b.test> SIZE=1 "
               "RET=FULL\nS: 250\nC: RCPT TO:<c@d.test> ORCPT=rfc822;a@b ORCPT=rfc822;c@d\nS: 501 5.5.4\n"
               "C: RCPT TO:<c@d.test> NOTIFY=NEVER NOTIFY=NEVER\nS: 501 5.5.4\n"},
        {"control characters in ORCPT",
         MAIL "C: RCPT TO:<c@d.test> ORCPT=rfc822;a\tb@d.test\nS: 501 5.5.4\nC: RCPT TO:<c@d.test> "
              "ORCPT=utf-8;\xe6\x97\xa5@d.test\nS: 250\n"},
        {"null recipient", MAIL "C: RCPT TO:<>\nS: 501 5.1.3\n"},
        {"M4: long local part",
         MAIL "C: RCPT TO:<aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggggg@d.test>\nS: 553 5.1.3\n"
              "C: RCPT TO:<aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggg@d.test>\nS: 250\n"},
        {"non-ASCII needs SMTPUTF8", HELLO "C: MAIL FROM:<\\xe6\\x97\\xa5@b.test>\nS: 553 5.6.7\n"},
        {"R11: no UTF-8 with SMTPUTF8",
         HELLO "C: MAIL FROM:<\\xff@b.test> SMTPUTF8\nS: 501 5.1.7\nC: MAIL FROM:<a@b.test> SMTPUTF8\nS: 250\n"
               "C: RCPT TO:<a@\\xe6\\x97.test>\nS: 501 5.1.3\n"
               "C: RCPT TO:<a@b.test> ORCPT=utf-8;\\xff@b.test\nS: 501 5.5.4\n"
               "C: RCPT TO:<a@b.test> ORCPT=utf-8;\\xe6\\x97\\xa5@b.test\nS: 250\n"},
        {"LF alone does not end a command", HELLO "C: NOOP\\n\\\nS: 500 5.5.2\nC: NOOP\nS: 250\n"},
        {"NUL and CR in a command", HELLO "C: NO\\0OP\nS: 500 5.5.2\nC: NO\\rOP\nS: 500 5.5.2\n"},
        {"lenient: a space, no brackets, odd dots",
         HELLO "C: MAIL FROM: <a..@b.test>\nS: 250\nC: RCPT TO: c@d.test\nS: 250\nC: RCPT TO:< c@d.test>\nS: 501\n",
         {.is_lenient = true}},
        {"EHLO without a name", "S: 220\nC: EHLO\nS: 501 5.5.4\nC: EHLO a b\nS: 501\nC: EHLO [127.0.0.1]\nS: 250\n"},
        {"EHLO forgets the message",
         MAIL "C: EHLO me.test\nS: 250\nC: RCPT TO:<c@d.test>\nS: 503\n"
              "E: connect\nE: ehlo me.test\nE: mail a@b.test\nE: reset 0\nE: ehlo me.test\n"},
        {"too many errors",
         "S: 220\nC: A\nS: 500\nC: B\nS: 500\nC: C\nS: 500\nS: 421 4.7.0\nC: NOOP\nE: connect\nE: close\n",
         {.errors_max = 2}},
        {"refused recipients are errors too",
         MAIL "C: RCPT TO:<no1@d.test>\nC: RCPT TO:<no2@d.test>\nC: RCPT TO:<no3@d.test>\nS: 550\nS: 550\nS: 550\nS: "
              "421 4.7.0\n",
         {.errors_max = 2}},
        {"recipients per message",
         RCPT "C: RCPT TO:<e@d.test>\nS: 250\nC: RCPT TO:<f@d.test>\nS: 452 4.5.3\n",
         {.recipients_max = 2}},
        {"M14: SIZE",
         HELLO "C: MAIL FROM:<a@b.test> SIZE=101\nS: 552 5.3.4\nC: MAIL FROM:<a@b.test> SIZE=100\nS: 250\n",
         {.size_max = 100}},
        {"M14: larger than said",
         RCPT "C: DATA\nS: 354\nC: 0123456789\nC: .\nS: 552 5.3.4\nC: MAIL FROM:<>\nS: 250\n"
              "E: connect\nE: ehlo me.test\nE: mail a@b.test\nE: rcpt c@d.test\nE: data\nE: reset 552\nE: mail \n",
         {.size_max = 11}},
        {"R9: line too long", RCPT "C: DATA\nS: 354\nC: 0123456789a\nC: .\nS: 554 5.6.0\n", {.text_line_max = 10}},
        {"R9: line just so", RCPT "C: DATA\nS: 354\nC: 0123456789\nC: .\nS: 250\n", {.text_line_max = 10}},
        {"messages per session",
         RCPT "C: DATA\nS: 354\nC: .\nS: 250\nC: MAIL FROM:<>\nS: 421 4.7.0\n",
         {.messages_max = 1}},
        {"a browser", "S: 220\nC: POST / HTTP/1.1\nC: Host: x\nS: 421 4.7.0\nE: connect\nE: close\n"},
    };
    PLAY(rows);
}

static void out_of_turn(void **state)
{
    static const struct row rows[] = {
        {"R4: before the greeting", "C: EHLO me.test\nS: 554 5.5.0\nE: connect\nE: close\n", .waits = true},
        {"R4: behind DATA", RCPT "C: DATA\nC: x\nC: .\nC: MAIL FROM:<>\nS: 554 5.5.0\n", .is_whole = true},
        {"M13: behind EHLO", "S: 220\nC: EHLO me.test\nC: MAIL FROM:<>\nS: 554 5.5.0\n", .is_whole = true},
        {"X2: behind STARTTLS",
         HELLO "C: STARTTLS\nC: MAIL FROM:<>\nS: 554 5.5.0\nC: NOOP\n",
         {.has_tls = true},
         .is_whole = true},
        {"behind AUTH",
         HELLO "C: AUTH PLAIN AHUAcA==\nC: MAIL FROM:<>\nS: 554 5.5.0\n",
         {.has_auth = true, .may_auth_clear = true},
         .is_whole = true},
    };
    PLAY(rows);
}

static void answers_come_later(void **state)
{
    static const struct row rows[] = {
        {"every question waits",
         "E: connect\nA: 220 hi\nS: 220 hi\nC: EHLO me.test\nE: ehlo me.test\nA: 250-me\\r\\n250 PIPELINING\nS: "
         "250-me\nS: 250 PIPE\n"
         "C: MAIL FROM:<>\nC: RCPT TO:<c@d.test>\nC: RCPT TO:<e@d.test>\nC: DATA\n"
         "E: mail \nA: 250 2.1.0 x\nE: rcpt c@d.test\nA: 451 4.3.0 y\nE: rcpt e@d.test\nA: 250 2.1.5 z\nE: data\nA: "
         "354 go\n"
         "S: 250 2.1.0 x\nS: 451 4.3.0 y\nS: 250 2.1.5 z\nS: 354 go\n"
         "C: a\nC: .\nE: message 3\nA: 451 4.3.0 the disk is full\nS: 451 4.3.0\n"
         "C: MAIL FROM:<>\nE: mail \nA: 421 4.3.2 going down\nS: 421 4.3.2\nE: close\n",
         .waits = true},
        {"refused at the door", "E: connect\nA: 554 5.7.1 not you\nS: 554 5.7.1\nE: close\n", .waits = true},
        {"DATA refused",
         "E: connect\nA: 220 x\nS: 220\nC: EHLO m\nE: ehlo m\nA: 250 x\nS: 250\n"
         "C: MAIL FROM:<>\nC: RCPT TO:<c@d.test>\nC: DATA\nE: mail \nA: 250 x\nE: rcpt c@d.test\nA: 250 x\n"
         "E: data\nA: 451 4.3.2 not now\nS: 250\nS: 250\nS: 451\nE: reset 554\nC: MAIL FROM:<>\nE: mail \nA: 250 "
         "ok\nS: 250\n",
         .waits = true},
    };
    PLAY(rows);
}

static void tls_and_auth(void **state)
{
    const struct smtp_server_settings both = {.has_tls = true, .has_auth = true, .needs_auth = true, .needs_tls = true};
    const struct row rows[] = {
        {"M15, M16: everything again after TLS",
         "S: 220\nC: EHLO me.test\nS: 250-mx.test\nS: 250-STARTTLS\nS: 250 \nC: MAIL FROM:<>\nS: 530 5.7.0\nC: AUTH "
         "PLAIN AHUAcA==\nS: 538 5.7.11\n"
         "C: STARTTLS\nS: 220 2.0.0\nT:\nC: MAIL FROM:<>\nS: 503 5.5.1\nC: EHLO me.test\nS: 250-AUTH PLAIN LOGIN\nS: "
         "250 \nC: STARTTLS\nS: 503\n"
         "C: MAIL FROM:<>\nS: 530 5.7.0\nC: AUTH PLAIN AHUAcA==\nS: 235 2.7.0\nC: AUTH PLAIN AHUAcA==\nS: 503\nC: MAIL "
         "FROM:<>\nS: 250\n"
         "E: connect\nE: ehlo me.test\nE: starttls\nE: tls\nE: ehlo me.test\nE: auth PLAIN u p\nE: mail \n",
         both},
        {"AUTH in its forms",
         HELLO "C: AUTH PLAIN\nS: 334 \nC: AHUAcA==\nS: 235\n"
               "C: EHLO me.test\nS: 250\n",
         {.has_auth = true, .may_auth_clear = true}},
        {"AUTH LOGIN",
         HELLO "C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: dQ==\nS: 334 UGFzc3dvcmQ6\nC: cA==\nS: 235\n",
         {.has_auth = true, .may_auth_clear = true}},
        {"AUTH LOGIN with the name",
         HELLO "C: AUTH LOGIN dQ==\nS: 334 UGFzc3dvcmQ6\nC: cQ==\nS: 535 5.7.8\nC: MAIL FROM:<>\nS: 250\n",
         {.has_auth = true, .may_auth_clear = true}},
        {"AUTH gone wrong",
         HELLO "C: AUTH PLAIN\nS: 334\nC: *\nS: 501 5.7.0\nC: AUTH PLAIN !!\nS: 501 5.5.2\nC: AUTH PLAIN dQ==\nS: 501\n"
               "C: AUTH CRAM-MD5\nS: 504 5.5.4\nC: AUTH LOGIN =\nS: 334\nC: cA==\nS: 501\nC: NOOP\nS: 250\n",
         {.has_auth = true, .may_auth_clear = true}},
        {"SCRAM gone wrong",
         HELLO "C: AUTH SCRAM-SHA-256\nS: 334 \nC: biwsbj11c2VyLHI9YWJj\nS: 334 \nC: Yz1iaXdzLHI9YWJj\nS: 501 5.5.2\n"
               "C: AUTH SCRAM-SHA-256 biwsbj11c2VyLHI9YWJj\nS: 334 \nC: *\nS: 501 5.7.0\n"
               "C: AUTH SCRAM-SHA-256 cD10bHMtdW5pcXVlLCxuPXVzZXIscj1hYmM=\nS: 501 5.5.2\nC: NOOP\nS: 250\nC: MAIL "
               "FROM:<>\nS: 530 5.7.0\n",
         {.has_auth = true, .has_scram = true, .may_auth_clear = true, .needs_auth = true}},
        {"SCRAM broken off by a line that is none",
         HELLO "C: AUTH SCRAM-SHA-256 biwsbj11c2VyLHI9YWJj\nS: 334 \nC: a\\rb\nS: 500 5.5.2\n"
               "C: AUTH SCRAM-SHA-256 biwsbj11c2VyLHI9YWJj\nS: 334 \nC: a\\rb\nS: 500 5.5.2\n"
               "C: AUTH PLAIN AHUAcA==\nS: 235 2.7.0\n",
         {.has_auth = true, .has_scram = true, .may_auth_clear = true}},
        {"SCRAM is not offered",
         HELLO "C: AUTH SCRAM-SHA-256\nS: 504 5.5.4\n",
         {.has_auth = true, .may_auth_clear = true}},
        {"AUTH and STARTTLS not offered", HELLO "C: AUTH PLAIN AHUAcA==\nS: 502\nC: STARTTLS\nS: 502 5.5.1\n"},
    };
    PLAY(rows);
}

static void bdat(void **state)
{
    static const struct row rows[] = {
        {"R3: two chunks",
         RCPT "C: BDAT 5\nC: abc\nS: 250 2.0.0 5 octets\nC: BDAT 3 LAST\nC: .\nS: 250 2.0.0\n"
              "E: connect\nE: ehlo me.test\nE: mail a@b.test\nE: rcpt c@d.test\nE: bdat\nE: message 8\n"},
        {"R3: LAST of nothing", RCPT "C: BDAT 4\nC: ..\nS: 250\nC: BDAT 0 LAST\nS: 250 2.0.0\n"},
        {"R3: nothing at all", RCPT "C: BDAT 0 LAST\nS: 250 2.0.0\n"},
        {"R3: everything in one piece", HELLO "C: MAIL FROM:<>\nC: RCPT TO:<c@d.test>\nC: BDAT 2\nC: \nC: BDAT 2 "
                                              "LAST\nC: \nC: QUIT\nS: 250\nS: 250\nS: 250\nS: 250\nS: 221\n"},
        {"R3: CR and LF in two chunks", RCPT "C: BDAT 2\nC: a\\r\\\nS: 250\nC: BDAT 2 LAST\nC: \\nb\\\nS: 250 2.0.0\n"},
        {"R2: the last octet is a CR", RCPT "C: BDAT 2 LAST\nC: a\\r\\\nS: 550 5.6.0\n"},
        {"R2: a bare LF", RCPT "C: BDAT 3\nC: a\\nb\\\nS: 550 5.6.0\nC: BDAT 1 LAST\nC: c\\\nS: 503 5.5.1\n"},
        {"R3: without MAIL the chunk is read all the same",
         HELLO "C: BDAT 6 LAST\nC: QUIT\nS: 503 5.5.1\nC: NOOP\nS: 250\n"},
        {"R3: without recipients", MAIL "C: BDAT 6 LAST\nC: QUIT\nS: 554 5.5.1\nC: NOOP\nS: 250\n"},
        {"R3: BDAT and DATA", RCPT "C: BDAT 2\nC: \nS: 250\nC: DATA\nS: 503 5.5.1\nC: RCPT TO:<x@d.test>\nS: 503\nC: "
                                   "RSET\nS: 250\nC: DATA\nS: 503\n"},
        {"R3: size over all chunks",
         RCPT "C: BDAT 6\nC: abcd\nS: 250\nC: BDAT 6\nC: abcd\nS: 552 5.3.4\nC: MAIL FROM:<>\nS: 250\n",
         {.size_max = 10}},
        {"R3: nonsense",
         RCPT "C: BDAT x\nS: 501 5.5.4\nE: connect\nE: ehlo me.test\nE: mail a@b.test\nE: rcpt c@d.test\nE: close\n"},
        {"not offered", RCPT "C: BDAT 2\nS: 502\n", {.no_chunking = true}},
        {"R3: refused by the owner",
         "E: connect\nA: 220 x\nS: 220\nC: EHLO m\nE: ehlo m\nA: 250 x\nS: 250\n"
         "C: MAIL FROM:<>\nC: RCPT TO:<c@d.test>\nC: BDAT 6 LAST\nC: abcd\nC: NOOP\nE: mail \nA: 250 x\nE: rcpt "
         "c@d.test\nA: 250 x\n"
         "E: bdat\nA: 451 4.3.2 not now\nE: reset 550\nS: 250\nS: 250\nS: 451\nS: 250\n",
         .waits = true},
    };
    PLAY(rows);
}

/* M3, F5: a line without end is answered and then cut off; memory stays small. */
static void endless_lines(void **state)
{
    struct test_server server;
    test_server_init(&server, (struct smtp_server_settings){0});
    test_server_feed(&server, SLICE(""));
    buf_reset(&server.out);
    SCOPED(buf) line = BUF(4096);
    for (int i = 0; i < 600; i++)
        buf_byte(&line, 'x');
    test_server_feed(&server, buf_slice(&line));
    test_server_feed(&server, SLICE("\r\n"));
    assert_true(slice_starts(buf_slice(&server.out), SLICE("500 5.5.2")));
    for (int i = 0; i < 200; i++)
        test_server_feed(&server, buf_slice(&line));
    assert_true(server.is_closed);
    assert_true(slice_find(buf_slice(&server.out), SLICE("421 4.7.0")) > 0);
    test_server_release(&server);
}

static void an_answer_is_given_once(void **state)
{
    struct test_server server;
    test_server_init(&server, (struct smtp_server_settings){0});
    server.waits = true;
    test_server_feed(&server, SLICE(""));
    assert_int_equal(smtp_server_timeout_ms(server.machine), 0);
    smtp_server_answer(server.machine, SLICE("220-one\r\n220 two"));
    test_server_feed(&server, SLICE("EHLO x\r\n"));
    assert_slice("greeting", buf_slice(&server.out), SLICE("220-one\r\n220 two\r\n"));
    buf_reset(&server.out);
    smtp_server_answer(server.machine, SLICE("250 x"));
    smtp_server_answer(server.machine, SLICE("550 nobody asked"));
    test_server_feed(&server, SLICE("MAIL FROM:<>\r\n"));
    assert_true(smtp_server_is_asking(server.machine));
    smtp_server_close(server.machine, SLICE("421 4.4.2 timeout"));
    test_server_feed(&server, SLICE("RCPT"));
    assert_true(server.is_closed);
    assert_slice("said", buf_slice(&server.out), SLICE("250 x\r\n421 4.4.2 timeout\r\n"));
    test_server_release(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_arrives), cmocka_unit_test(wrong_commands),
        cmocka_unit_test(out_of_turn),       cmocka_unit_test(answers_come_later),
        cmocka_unit_test(tls_and_auth),      cmocka_unit_test(bdat),
        cmocka_unit_test(endless_lines),     cmocka_unit_test(an_answer_is_given_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
