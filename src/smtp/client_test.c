/* R10, R11, R19-R26, M5, M10, M11, M12, M14, M15, M16, M17, X2: the sending side, conversation by conversation */
#include "smtp/test_client.h"

#define READY                                                                                                          \
    "S: 220 mx.test\nE: greeted\nC: EHLO me.test\n"                                                                    \
    "S: 250-mx.test\nS: 250-PIPELINING\nS: 250-8BITMIME\nS: 250-ENHANCEDSTATUSCODES\nS: 250 SIZE 1000\nE: ready\n"
#define SLOW "S: 220 mx.test\nE: greeted\nC: EHLO me.test\nS: 250 mx.test\nE: ready\n"
#define ONE  "M: a@b.test|c@d.test|hello\\r\\n\n"
#define ASK                                                                                                            \
    "C: MAIL FROM:<a@b.test> SIZE=7\nC: RCPT TO:<c@d.test>\nC: DATA\n"                                                 \
    "S: 250 2.1.0 ok\nS: 250 2.1.5 ok\nS: 354 go\n"
#define THREE "M: a@b.test|c@d.test,e@d.test,f@d.test|hi\nD:\n"
#define ASK_THREE                                                                                                      \
    "C: MAIL FROM:<a@b.test> SIZE=2\nC: RCPT TO:<c@d.test>\nC: RCPT TO:<e@d.test>\nC: RCPT TO:<f@d.test>\nC: DATA\n"
#define TAKE_ONE ONE "D:\n" ASK "C: hello\nC: .\nS: 250 2.0.0 ok\nE: a0 delivered dot 250 2.0.0\nE: message a\n"

struct row {
    const char *name;
    const char *script;
    struct smtp_client_settings settings;
    bool is_whole;
};

static void play_cut(const struct row *row, struct cut cut, size_t out_limit)
{
    struct test_client client;
    test_client_init(&client, row->settings);
    client.out_limit = out_limit;
    test_client_play(&client, row->name, row->script, cut);
    test_client_release(&client);
}

static void play(const struct row *row)
{
    play_cut(row, (struct cut){CUT_NONE, 0}, 0);
    play_cut(row, (struct cut){CUT_NONE, 0}, SMTP_CLIENT_OUT_MIN);
    if (row->is_whole)
        return;
    play_cut(row, (struct cut){CUT_BYTES, 0}, 0);
    for (size_t at = 1; at < 100; at++)
        play_cut(row, (struct cut){CUT_AT, at}, 0);
}

#define PLAY(rows)                                                                                                     \
    for (size_t i = 0; i < COUNT_OF(rows); i++)                                                                        \
    play(&(rows)[i])

static void delivering(void **state)
{
    static const struct row rows[] = {
        {"one message, the gate, QUIT", READY ONE ASK
         "E: want dot a\nC: hello\nD:\nC: .\nS: 250 2.0.0 queued\nE: a0 delivered dot 250 2.0.0\nE: message a\n"
         "Q:\nC: QUIT\nE: over quit unknown 0\n"},
        {"the dot released before", READY TAKE_ONE},
        {"released, and withheld before 354",
         READY ONE "D:\nC: MAIL\nC: RCPT\nC: DATA\nW: yes\nS: 250\nS: 250\nS: 354\nE: want dot a\nC: hello\nW: no\n"
                   "D:\nC: .\nW: no\nS: 250\nE: a0 delivered\nE: message a\n"},
        {"a lonely dot is not withheld",
         READY ONE "D:\nC: MAIL\nC: RCPT\nC: DATA\nS: 250\nS: 550 5.1.1 no\nS: 354\nE: a0 refused rcpt 550\nC: .\nW: "
                   "no\nS: 250\nE: message a\n"},
        {"a body that waits for its dot",
         READY "H: a@b.test|c@d.test|hello\\r\\n\n" ASK "E: want dot a\nD:\nC: hello\nC: .\nS: 250 2.0.0 queued\n"
               "E: a0 delivered dot 250 2.0.0\nE: message a\n"},
        {"a body that waited in vain: nothing of it was said",
         READY "H: a@b.test|c@d.test|hello\\r\\n\n" ASK
               "E: want dot a\nX:\nE: a0 unsent data 0\nE: message a\nE: over closed data 0\n"},
        {"M12: lock step without PIPELINING", SLOW
         "M: a@b.test|c@d.test,e@d.test|hi\nD:\nC: MAIL FROM:<a@b.test>\nS: 250 ok\nC: RCPT TO:<c@d.test>\nS: 250 ok\n"
         "C: RCPT TO:<e@d.test>\nS: 250 ok\nC: DATA\nS: 354 go\nC: hi\nC: .\nS: 250 ok\n"
         "E: a0 delivered dot 250\nE: a1 delivered dot 250\nE: message a\n"},
        {"the next message at once",
         READY TAKE_ONE "M: |x@y.test|\nC: MAIL FROM:<> SIZE=0\nC: RCPT TO:<x@y.test>\nC: DATA\n"
                        "S: 250 ok\nS: 250 ok\nS: 354 go\nE: want dot b\nD:\nC: .\nS: 250 ok\nE: b0 delivered dot "
                        "250\nE: message b\n"},
        {"the next message behind the dot", READY ONE
         "D:\n" ASK "C: hello\nC: .\nM: |x@y.test|b\nD:\nC: MAIL FROM:<> SIZE=1\nC: RCPT TO:<x@y.test>\nC: DATA\n"
         "S: 250 2.0.0 first\nS: 250 2.1.0\nS: 250 2.1.5\nS: 354 go\nE: a0 delivered dot 250 2.0.0\nE: message a\n"
         "C: b\nC: .\nS: 250 ok\nE: b0 delivered dot 250\nE: message b\n"},
        {"R21: the next behind a dot that is refused", READY ONE
         "D:\n" ASK "C: hello\nC: .\nM: |x@y.test|b\nD:\nC: MAIL FROM:<> SIZE=1\nC: RCPT TO:<x@y.test>\nC: DATA\n"
         "S: 554 5.7.1 spam\nS: 250 2.1.0\nS: 250 2.1.5\nS: 354 go\nE: a0 refused dot 554 5.7.1\nE: message a\n"
         "C: b\nC: .\nS: 250 ok\nE: b0 delivered dot 250\nE: message b\n"},
        {"R19: dots", READY "M: a@b.test|c@d.test|.\\r\\n..a\\r\\nb.\\r\\n.\nD:\n"
                            "C: MAIL FROM:<a@b.test> SIZE=13\nC: RCPT TO:<c@d.test>\nC: DATA\nS: 250\nS: 250\nS: 354\n"
                            "C: ..\nC: ...a\nC: b.\nC: ..\nC: .\nS: 250\nE: a0 delivered dot 250\nE: message a\n"},
        {"HELO after 500", "S: 220 x\nE: greeted\nC: EHLO me.test\nS: 502 what\nC: HELO me.test\nS: 250 x\nE: ready\n"
                           "M: a@b.test|c@d.test|hi\nC: MAIL FROM:<a@b.test>\n"},
        {"8BITMIME", READY "M: a@b.test|c@d.test|\\xe6\\x97\\xa5\nC: MAIL FROM:<a@b.test> SIZE=3 BODY=8BITMIME\nC: "
                           "RCPT TO:<c@d.test>\nC: DATA\n"},
        {"quit waits for the message", READY ONE
         "D:\n" ASK "C: hello\nC: .\nQ:\nS: 250 2.0.0\nE: a0 delivered\nE: message a\nE: over quit\nC: QUIT\n"},
    };
    PLAY(rows);
}

static void recipients(void **state)
{
    static const struct row rows[] = {
        {"R20: each for itself",
         READY THREE ASK_THREE "S: 250 ok\nS: 250 ok\nS: 550 5.1.1 no\nS: 450 4.2.1 later\nS: 354 go\n"
                               "E: a1 refused rcpt 550 5.1.1\nE: a2 refused rcpt 450 4.2.1\nC: hi\nC: .\nS: 250 ok\nE: "
                               "a0 delivered\nE: message a\n"},
        {"R20: too many",
         READY THREE ASK_THREE "S: 250\nS: 250\nS: 250\nS: 452 4.5.3 enough\nS: 354\nE: a2 again rcpt 452\nC: hi\nC: "
                               ".\nS: 250 ok\nE: a0 delivered\nE: a1 delivered\nE: message a\n"},
        {"452 to the first is a refusal", READY THREE ASK_THREE
         "S: 250\nS: 452 4.5.3 no\nS: 452 4.5.3 no\nS: 452 4.5.3 no\nS: 554 5.5.1\n"
         "E: a0 refused rcpt 452\nE: a1 refused rcpt 452\nE: a2 refused rcpt 452\nE: message a\n"},
        {"452 4.2.2 is a full mailbox",
         READY THREE ASK_THREE "S: 250\nS: 250\nS: 452 4.2.2 full\nS: 552 5.2.2 full\nS: 354\nE: a1 refused rcpt 452 "
                               "4.2.2\nE: a2 refused rcpt 552\n"
                               "C: hi\nC: .\nS: 250 ok\nE: a0 delivered\nE: message a\n"},
        {"R24: nobody, and 354 all the same",
         READY ONE "C: MAIL FROM:<a@b.test> SIZE=7\nC: RCPT TO:<c@d.test>\nC: DATA\n"
                   "S: 250\nS: 550 5.1.1 no\nS: 354 go\nE: a0 refused rcpt 550\nC: .\nS: 250 what\nE: message a\nM: "
                   "|x@y.test|b\nC: MAIL FROM:<> SIZE=1\nC: RCPT TO:<x@y.test>\nC: DATA\n"},
        {"nobody: RSET leads the next",
         READY ONE "C: MAIL FROM:<a@b.test> SIZE=7\nC: RCPT TO:<c@d.test>\nC: DATA\n"
                   "S: 250\nS: 550 5.1.1 no\nS: 503 no\nE: a0 refused rcpt 550\nE: message a\nM: |x@y.test|b\nD:\nC: "
                   "RSET\nC: MAIL FROM:<> SIZE=1\nC: RCPT TO:<x@y.test>\nC: DATA\n"
                   "S: 250\nS: 250\nS: 250\nS: 354\nC: b\nC: .\nS: 250\nE: b0 delivered\nE: message b\n"},
        {"nobody, in lock step", SLOW THREE "C: MAIL\nS: 250\nC: RCPT\nS: 550 a\nC: RCPT\nS: 551 b\nC: RCPT\nS: 552 c\n"
                                            "E: a0 refused rcpt 550\nE: a1 refused rcpt 551\nE: a2 refused rcpt "
                                            "552\nE: message a\nM: |x@y.test|b\nC: RSET\nS: 250\nC: MAIL FROM:<>\n"},
        {"MAIL refused",
         READY THREE ASK_THREE "S: 550 5.7.1 no\nS: 503\nS: 503\nS: 503\nS: 503\nE: a0 refused mail 550 5.7.1\nE: a1 "
                               "refused mail 550\nE: a2 refused mail 550\nE: message a\n"
                               "M: |x@y.test|b\nC: MAIL FROM:<> SIZE=1\nC: RCPT TO:<x@y.test>\nC: DATA\n"},
        {"MAIL refused, and 354 all the same", READY ONE "C: MAIL\nC: RCPT\nC: DATA\nS: 450 4.7.1 no\nS: 250\nS: "
                                                         "354\nE: a0 refused mail 450\nC: .\nS: 554 x\nE: message a\n"},
        {"MAIL refused in lock step",
         SLOW ONE "C: MAIL\nS: 451 4.7.1 no\nE: a0 refused mail 451\nE: message a\nM: |x@y.test|b\nC: MAIL FROM:<>\n"},
        {"DATA refused", READY THREE ASK_THREE "S: 250\nS: 250\nS: 250\nS: 550 no\nS: 451 4.3.0 x\nE: a2 refused rcpt "
                                               "550\nE: a0 refused data 451\nE: a1 refused data 451\nE: message a\n"
                                               "M: |x@y.test|b\nC: RSET\nC: MAIL FROM:<> SIZE=1\nC: RCPT\nC: DATA\n"},
        {"R21: the dot refused for all",
         READY THREE ASK_THREE "S: 250\nS: 250\nS: 250\nS: 250\nS: 354\nC: hi\nC: .\nS: 552 5.2.3 x\nE: a0 refused dot "
                               "552 5.2.3\nE: a1 refused dot\nE: a2 refused dot\nE: message a\n"
                               "M: |x@y.test|b\nC: RSET\nC: MAIL FROM:<> SIZE=1\nC: RCPT\nC: DATA\nS: 554 x\nE: b0 "
                               "unsent unknown 554\nE: message b\nE: over reply unknown 554\n"},
        {"RCPTMAX",
         "S: 220 x\nE: greeted\nC: EHLO me.test\nS: 250-x\nS: 250-PIPELINING\nS: 250 LIMITS RCPTMAX=1 MAILMAX=9\nE: "
         "ready\n" THREE "C: MAIL\nC: RCPT TO:<c@d.test>\nC: DATA\nS: 250\nS: 250\nS: 354\nC: hi\nC: .\nS: 250\nE: a0 "
         "delivered dot 250\nE: a1 again rcpt 0\nE: a2 again rcpt 0\nE: message a\n"},
    };
    PLAY(rows);
}

static void endings(void **state)
{
    static const struct row rows[] = {
        {"refused at the door", "S: 554-go\nS: 554 5.7.1 away\nE: over reply connect 554\n"},
        {"busy at the door", "S: 421 busy\nE: over reply connect 421\n"},
        {"EHLO later", "S: 220 x\nE: greeted\nC: EHLO me.test\nS: 451 x\nE: over reply ehlo 451\nC: QUIT\n"},
        {"HELO refused",
         "S: 220 x\nE: greeted\nC: EHLO\nS: 550 x\nC: HELO\nS: 550 no\nE: over reply ehlo 550\nC: QUIT\n"},
        {"EHLO refused, and gone at HELO: that is what was said",
         "S: 220 x\nE: greeted\nC: EHLO\nS: 554 5.7.1 blocked using zen.spamhaus.org\nC: HELO\nX:\nE: over closed "
         "ehlo 554 blocked using zen.spamhaus.org\n"},
        {"EHLO refused, and nonsense to HELO",
         "S: 220 x\nE: greeted\nC: EHLO\nS: 550 no\nC: HELO\nS: <html>\nE: over protocol ehlo 550 no\n"},
        {"EHLO not understood, and gone at HELO: no refusal, and the words are kept",
         "S: 220 x\nE: greeted\nC: EHLO\nS: 502 what\nC: HELO\nX:\nE: over closed ehlo 0 EHLO: 502 what; HELO: reset "
         "by peer\n"},
        {"HELO is busy: its own words",
         "S: 220 x\nE: greeted\nC: EHLO\nS: 554 no\nC: HELO\nS: 421 busy\nE: over reply ehlo 421 busy\n"},
        {"EHLO refused, HELO not, and gone later: that is another matter",
         "S: 220 x\nE: greeted\nC: EHLO\nS: 550 x\nC: HELO\nS: 250 x\nE: ready\n" ONE
         "C: MAIL\nX:\nE: a0 unsent mail 0\nE: message a\nE: over closed mail 0\n"},
        {"R22, M11: lost after the dot",
         READY ONE "D:\n" ASK "C: hello\nC: .\nX:\nE: a0 in_doubt dot 0\nE: message a\nE: over closed dot 0\n"},
        {"lost before the dot",
         READY ONE ASK "E: want dot a\nC: hello\nX:\nE: a0 unsent data 0\nE: message a\nE: over closed data 0\n"},
        {"lost with two under way",
         READY ONE "D:\n" ASK "C: hello\nC: .\nM: |x@y.test|b\nC: MAIL\nC: RCPT\nC: DATA\nX:\n"
                   "E: a0 in_doubt dot 0\nE: message a\nE: b0 unsent dot 0\nE: message b\nE: over closed dot 0\n"},
        {"lost while idle", READY "X:\nE: over closed unknown 0\n"},
        {"R25: 421 while idle", READY "S: 421 4.4.2 idle\nE: over reply unknown 421\n"},
        {"421 to MAIL", READY ONE "C: MAIL\nC: RCPT\nC: DATA\nS: 421 4.7.0 slow\nE: a0 refused mail 421 4.7.0\nE: "
                                  "message a\nE: over reply mail 421\n"},
        {"421 to the second RCPT",
         READY THREE ASK_THREE "S: 250\nS: 250\nS: 421 4.7.0 x\nE: a1 refused rcpt 421\nE: a0 unsent rcpt 421\nE: a2 "
                               "unsent rcpt 421\nE: message a\nE: over reply rcpt 421\n"},
        {"421 to the dot", READY ONE
         "D:\n" ASK "C: hello\nC: .\nS: 421 4.7.0 x\nE: a0 refused dot 421\nE: message a\nE: over reply dot 421\n"},
        {"R22: 221 to the dot is doubt",
         READY ONE "D:\n" ASK "C: hello\nC: .\nS: 221 2.0.0 timeout, bye\nE: a0 in_doubt "
                   "dot 221\nE: message a\nE: over reply dot 221\n"},
        {"221 to RCPT takes nobody", READY ONE "C: MAIL\nC: RCPT\nC: DATA\nS: 250\nS: 221 bye\nE: a0 unsent rcpt "
                                               "221\nE: message a\nE: over reply rcpt 221\n"},
        {"221 inside the body", READY ONE ASK
         "E: want dot a\nC: hello\nS: 221 bye\nE: a0 unsent data 221\nE: message a\nE: over reply data 221\n"},
        {"421 inside the body", READY ONE ASK
         "E: want dot a\nC: hello\nS: 421 4.4.2 x\nE: a0 refused data 421\nE: message a\nE: over reply data 421\n"},
        {"552 inside the body", READY ONE ASK
         "E: want dot a\nC: hello\nS: 552 5.3.4 x\nE: a0 refused data 552\nE: message a\nE: over reply data 552\n"},
        {"250 inside the body", READY ONE ASK
         "E: want dot a\nC: hello\nS: 250 x\nE: a0 unsent data 0\nE: message a\nE: over protocol data 0\n"},
        {"R26: garbage to the dot is doubt", READY ONE
         "D:\n" ASK "C: hello\nC: .\nS: <html>\nE: a0 in_doubt dot 0\nE: message a\nE: over protocol dot 0\n"},
        {"354 to the dot is doubt",
         READY ONE "D:\n" ASK "C: hello\nC: .\nS: 354 2.0.0 go on\nE: a0 in_doubt dot 0\nE: message a\nE: over "
                   "protocol dot 0 the reply to the dot makes no sense: 354 go on\n"},
        {"R26: garbage at the door", "S: SSH-2.0-x\nE: over protocol connect 0\n"},
        {"R26: NUL in a code", "S: 2\\020 x\nE: over protocol connect 0\n"},
        {"R26: NUL in a text", "S: 220 a\\0b\nE: greeted\nC: EHLO me.test\n"},
        {"a reply nobody asked for", READY "S: 250 hm\nE: over protocol unknown 0\n"},
        {"M10: mixed codes, the last counts",
         READY ONE "D:\nC: MAIL\nC: RCPT\nC: DATA\nS: 250-a\nS: 550-5.1.1 b\nS: 450 4.7.1 c\nS: 503\nS: 503\nE: a0 "
                   "refused mail 450 4.7.1\nE: message a\n"},
        {"LF alone ends a reply line", "S: 220 a\\n\\\nE: greeted\nC: EHLO me.test\n"},
        {"quit before ready", "S: 220 x\nE: greeted\nC: EHLO me.test\nQ:\nC: QUIT\nE: over quit\n"},
    };
    PLAY(rows);
}

static void tls_and_auth(void **state)
{
    const struct smtp_client_settings may = {.tls = SMTP_TLS_MAY}, must = {.tls = SMTP_TLS_MUST};
    const struct smtp_client_settings scram = {.tls = SMTP_TLS_MUST,
                                               .user = SLICE("user"),
                                               .password = SLICE("pencil"),
                                               .scram_nonce = SLICE("rOprNGfwEbeRWgbNEkqO")};
    const struct smtp_client_settings relay = {.tls = SMTP_TLS_MUST, .user = SLICE("u"), .password = SLICE("p")};
#define OFFER                                                                                                          \
    "S: 220 x\nE: greeted\nC: EHLO me.test\nS: 250-x\nS: 250-AUTH PLAIN\nS: 250-SIZE 3\nS: 250 STARTTLS\nC: "          \
    "STARTTLS\n"
    const struct row rows[] = {
        {"M15: EHLO again, the old list forgotten",
         OFFER "S: 220 go\nE: want tls\nT:\nC: EHLO me.test\nS: 250 x\nE: ready\nM: |c@d.test|hello\nC: MAIL FROM:<>\n",
         may},
        {"X2: bytes behind the 220", OFFER "S: 220 go\nS: 250 injected\nE: want tls\nE: over tls starttls 0\n", may,
         .is_whole = true},
        {"X2: bytes before the handshake", OFFER "S: 220 go\nE: want tls\nS: 250-injected\nE: over tls starttls 0\n",
         may},
        {"STARTTLS refused: go on in clear", OFFER "S: 454 4.7.0 no\nE: ready\n", may},
        {"STARTTLS refused, and gone at MAIL: that is what was said",
         OFFER "S: 454 4.7.0 no\nE: ready\nM: |c@d.test|x\nC: MAIL FROM:<> SIZE=1\nX:\nE: a0 unsent starttls 454 "
               "4.7.0\nE: message a\nE: over closed starttls 454 no\n",
         may},
        {"STARTTLS refused, and gone before MAIL",
         OFFER "S: 554 5.7.3 no\nE: ready\nX:\nE: over closed starttls 554 no\n", may},
        {"STARTTLS refused, and our own goodbye", OFFER "S: 454 no\nE: ready\nQ:\nC: QUIT\nE: over quit unknown 0\n",
         may},
        {"STARTTLS refused, MAIL taken: what comes then is another matter",
         OFFER
         "S: 454 4.7.0 no\nE: ready\nM: |c@d.test|x\nC: MAIL FROM:<> SIZE=1\nS: 250\nC: RCPT\nX:\nE: a0 unsent rcpt 0"
         "\nE: message a\nE: over closed rcpt 0 reset by peer\n",
         may},
        {"STARTTLS refused: not in clear", OFFER "S: 454 4.7.0 no\nE: over tls starttls 454\nC: QUIT\n", must},
        {"STARTTLS not offered", "S: 220 x\nE: greeted\nC: EHLO me.test\nS: 250 x\nE: over tls starttls 0\nC: QUIT\n",
         must},
        {"the handshake fails", OFFER "S: 220 go\nE: want tls\nF:\nE: over tls starttls 0\n", may},
        {"never", "S: 220 x\nE: greeted\nC: EHLO me.test\nS: 250-x\nS: 250 STARTTLS\nE: ready\n"},
        {"M16: PLAIN",
         OFFER "S: 220 go\nE: want tls\nT:\nC: EHLO me.test\nS: 250-x\nS: 250 AUTH LOGIN PLAIN\nC: AUTH PLAIN "
               "AHUAcA==\nS: 235 ok\nE: ready\n",
         relay},
        {"PLAIN in two steps",
         OFFER "S: 220 go\nE: want tls\nT:\nC: EHLO me.test\nS: 250-x\nS: 250 AUTH=PLAIN\nC: AUTH PLAIN AHUAcA==\nS: "
               "334 \nC: AHUAcA==\nS: 235 ok\nE: ready\n",
         relay},
        {"LOGIN",
         OFFER "S: 220 go\nE: want tls\nT:\nC: EHLO me.test\nS: 250-x\nS: 250 AUTH LOGIN\nC: AUTH LOGIN\nS: 334 "
               "VXNlcm5hbWU6\nC: dQ==\nS: 334 UGFzc3dvcmQ6\nC: cA==\nS: 235 ok\nE: ready\n",
         relay},
        {"wrong password",
         OFFER "S: 220 go\nE: want tls\nT:\nC: EHLO me.test\nS: 250-x\nS: 250 AUTH PLAIN\nC: AUTH\nS: 535 5.7.8 no\nE: "
               "over reply auth 535\nC: QUIT\n",
         relay},
        {"SCRAM before PLAIN",
         OFFER "S: 220 go\nE: want tls\nT:\nC: EHLO me.test\nS: 250-x\nS: 250 AUTH PLAIN SCRAM-SHA-256\nC: AUTH "
               "SCRAM-SHA-256 biwsbj11c2VyLHI9ck9wck5HZndFYmVSV2diTkVrcU8=\nS: 334 "
               "cj1yT3ByTkdmd0ViZVJXZ2JORWtxTyVodllEcFdVYTJSYVRDQWZ1eEZJbGopaE5sRiRrMCxzPVcyMlphSjBTTlk3c29Fc1VFamI2Z1E"
               "9PSxpPTQwOTY=\nC: "
               "Yz1iaXdzLHI9ck9wck5HZndFYmVSV2diTkVrcU8laHZZRHBXVWEyUmFUQ0FmdXhGSWxqKWhObEYkazAscD1kSHpiWmFwV0lrNGpVaE4"
               "rVXRlOXl0YWc5empmTUhnc3FtbWl6N0FuZFZRPQ==\nS: 334 "
               "dj02cnJpVFJCaTIzV3BSUi93dHVwK21NaFVaVW4vZEI1bkxUSlJzamw5NUc0PQ==\nC: \nS: 235 ok\nE: ready\n",
         scram},
        {"SCRAM: the server does not know the password",
         OFFER "S: 220 go\nE: want tls\nT:\nC: EHLO me.test\nS: 250-x\nS: 250 AUTH PLAIN SCRAM-SHA-256\nC: AUTH "
               "SCRAM-SHA-256 biwsbj11c2VyLHI9ck9wck5HZndFYmVSV2diTkVrcU8=\nS: 334 "
               "cj1yT3ByTkdmd0ViZVJXZ2JORWtxTyVodllEcFdVYTJSYVRDQWZ1eEZJbGopaE5sRiRrMCxzPVcyMlphSjBTTlk3c29Fc1VFamI2Z1E"
               "9PSxpPTQwOTY=\nC: "
               "Yz1iaXdzLHI9ck9wck5HZndFYmVSV2diTkVrcU8laHZZRHBXVWEyUmFUQ0FmdXhGSWxqKWhObEYkazAscD1kSHpiWmFwV0lrNGpVaE4"
               "rVXRlOXl0YWc5empmTUhnc3FtbWl6N0FuZFZRPQ==\nS: 334 "
               "dj03cnJpVFJCaTIzV3BSUi93dHVwK21NaFVaVW4vZEI1bkxUSlJzamw5NUc0PQ==\nE: over protocol auth 0\n",
         scram},
        {"SCRAM: the server says yes at once",
         OFFER "S: 220 go\nE: want tls\nT:\nC: EHLO me.test\nS: 250-x\nS: 250 AUTH PLAIN SCRAM-SHA-256\nC: AUTH "
               "SCRAM-SHA-256 biwsbj11c2VyLHI9ck9wck5HZndFYmVSV2diTkVrcU8=\nS: 235 ok\nE: over protocol auth 0\n",
         scram},
        {"SCRAM: nonsense",
         OFFER
         "S: 220 go\nE: want tls\nT:\nC: EHLO me.test\nS: 250-x\nS: 250 AUTH PLAIN SCRAM-SHA-256\nC: AUTH "
         "SCRAM-SHA-256 biwsbj11c2VyLHI9ck9wck5HZndFYmVSV2diTkVrcU8=\nS: 334 bm9uc2Vuc2U=\nE: over protocol auth 0\n",
         scram},
        {"R31: never in clear",
         "S: 220 x\nE: greeted\nC: EHLO me.test\nS: 250-x\nS: 250 AUTH PLAIN\nE: over tls auth 0\nC: QUIT\n",
         {.user = SLICE("u"), .password = SLICE("p")}},
        {"no AUTH offered",
         "S: 220 x\nE: greeted\nC: EHLO me.test\nS: 250 x\nE: over protocol auth 0\n",
         {.is_tls_already = true, .is_tls_verified = true, .user = SLICE("u"), .password = SLICE("p")}},
    };
    PLAY(rows);
}

static void what_does_not_fit(void **state)
{
    static const struct row rows[] = {
        {"M17, R10: 8-bit", SLOW "M: a@b.test|c@d.test|\\xff\nE: no 8bitmime\n" ONE "C: MAIL\n"},
        {"R11: UTF-8 address", READY "M: a@b.test|\\xe6\\x97\\xa5@d.test|x\nE: no smtputf8\n"},
        {"X3: a line break in an address", READY "M: a@b.test|c@d.test\\r\\nDATA|x\nE: bad address\n"},
        {"a bracket in an address", READY "M: a@b.test|c@d.test> NOTIFY=NEVER|x\nE: bad address\n"},
        {"a space is fine in quotes",
         READY "M: a@b.test|\"c <d>\"@d.test|x\nC: MAIL\nC: RCPT TO:<\"c <d>\"@d.test>\nC: DATA\n"},
        {"an open quote", READY "M: a@b.test|\"c@d.test|x\nE: bad address\n"},
        {"an empty recipient", READY "M: a@b.test|c@d.test,|x\nE: bad address\n"},
    };
    PLAY(rows);
    struct test_client client; /* M14 */
    test_client_init(&client, (struct smtp_client_settings){0});
    test_client_play(&client, "M14", READY, (struct cut){CUT_NONE, 0});
    struct slice to = SLICE("a@b.test");
    struct smtp_message message = {.recipients = &to, .recipient_count = 1, .size = 1001};
    assert_int_equal(smtp_client_fits(client.machine, &message), SMTP_FIT_TOO_BIG);
    message.size = 1000;
    assert_int_equal(smtp_client_fits(client.machine, &message), SMTP_FITS);
    assert_int_equal(smtp_fit_reply(SMTP_FIT_TOO_BIG).code, 552);
    test_client_release(&client);
}

/* R26: nothing makes it remember more than it should. */
static void endless_replies(void **state)
{
    static const char *const pieces[] = {"220-more and more\r\n", "220 no end at all ", "\r\n", "\0\0\0\0"};
    for (size_t i = 0; i < COUNT_OF(pieces); i++) {
        struct test_client client;
        test_client_init(&client, (struct smtp_client_settings){0});
        struct slice piece = i == 3 ? slice_of(pieces[i], 4) : slice_str(pieces[i]);
        size_t fed = 0;
        while (!client.is_over && fed < 1 << 20) {
            test_client_feed(&client, piece);
            fed += piece.len;
        }
        assert_row(pieces[i], slice_starts(buf_slice(&client.events), SLICE("over protocol connect 0 ")));
        assert_row(pieces[i], fed <= SMTP_REPLY_MAX + 100);
        test_client_release(&client);
    }
}

/* M5: what applies when; the step moves only with whole replies and blocks. */
static void timeouts(void **state)
{
    struct test_client client;
    test_client_init(&client, (struct smtp_client_settings){0});
    struct smtp_client *machine = client.machine;
    assert_int_equal(smtp_client_timeout_ms(machine), 300000);
    unsigned step = smtp_client_step(machine);
    test_client_feed(&client, SLICE("220 slow"));
    assert_int_equal(smtp_client_step(machine), step);
    test_client_feed(&client, SLICE("\r\n"));
    assert_int_not_equal(smtp_client_step(machine), step);
    test_client_feed(&client, SLICE("250 x\r\n"));
    assert_int_equal(smtp_client_timeout_ms(machine), 0);
    buf_reset(&client.events);
    test_client_message(&client, SLICE("a@b.test|c@d.test|x"), false);
    test_client_feed(&client, SLICE(""));
    assert_int_equal(smtp_client_timeout_ms(machine), 300000);
    test_client_feed(&client, SLICE("250 x\r\n"));
    assert_int_equal(smtp_client_stage(machine), STAGE_RCPT);
    test_client_feed(&client, SLICE("250 x\r\n"));
    assert_int_equal(smtp_client_timeout_ms(machine), 120000);
    test_client_feed(&client, SLICE("354 x\r\n"));
    assert_int_equal(smtp_client_timeout_ms(machine), 0); /* the gate */
    smtp_client_release_dot(machine);
    test_client_feed(&client, SLICE(""));
    assert_int_equal(smtp_client_timeout_ms(machine), 600000);
    assert_false(smtp_client_has_room(machine));
    test_client_release(&client);
}

/* R26: the time of all replies together: one span until READY, one for each message until its dot. */
static void spans(void **state)
{
    struct test_client client;
    test_client_init(&client, (struct smtp_client_settings){.timeout = {.message = SECONDS_MS(100)}});
    struct smtp_client *machine = client.machine;
    unsigned opening = smtp_client_span(machine);
    assert_int_equal(smtp_client_span_ms(machine), 600000);
    test_client_feed(&client, SLICE("220 x\r\n"));
    assert_int_equal(smtp_client_span(machine), opening);
    test_client_feed(&client, SLICE("250-x\r\n250 PIPELINING\r\n"));
    assert_int_equal(smtp_client_span_ms(machine), 0);
    buf_reset(&client.events);
    test_client_message(&client, SLICE("a@b.test|c@d.test,e@d.test|x"), false);
    unsigned first = smtp_client_span(machine);
    assert_int_not_equal(first, opening);
    assert_int_equal(smtp_client_span_ms(machine), 120000);
    test_client_feed(&client, SLICE(""));
    test_client_feed(&client, SLICE("250 x\r\n250 x\r\n250 x\r\n354 x\r\n"));
    assert_int_equal(smtp_client_span(machine), first);
    smtp_client_release_dot(machine);
    test_client_feed(&client, SLICE(""));
    assert_int_equal(smtp_client_span_ms(machine), 0); /* the dot has its own time */
    test_client_message(&client, SLICE("a@b.test|c@d.test|x"), false);
    test_client_feed(&client, SLICE(""));
    assert_int_equal(smtp_client_span_ms(machine), 0);
    unsigned dot = smtp_client_span(machine), step = smtp_client_step(machine);
    test_client_feed(&client, SLICE("250 x\r\n")); /* the next one, whose commands went with the dot, has its turn */
    assert_int_not_equal(smtp_client_span(machine), dot);
    assert_int_not_equal(smtp_client_step(machine), step);
    assert_int_equal(smtp_client_span_ms(machine), 110000);
    smtp_client_closed(machine, SLICE("enough"));
    assert_int_equal(smtp_client_span_ms(machine), 0);
    test_client_feed(&client, SLICE(""));
    test_client_release(&client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(delivering),        cmocka_unit_test(recipients),
        cmocka_unit_test(endings),           cmocka_unit_test(tls_and_auth),
        cmocka_unit_test(what_does_not_fit), cmocka_unit_test(endless_replies),
        cmocka_unit_test(timeouts),          cmocka_unit_test(spans),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
