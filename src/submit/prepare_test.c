/* What programs hand us as mail: refused, completed, encoded (R2, R9-R11, M1, M3, M17, M19, M26, M37, D09, RFC 6409 8).
 */
#include "base/test.h"
#include "submit/message.h"
#include "submit/prepare.h"
#include <stdlib.h>

#define FROM "From: Shop <app@shop.example>\r\n"
#define DATE "Date: Sun, 22 Nov 2026 22:30:00 +0900\r\n"
#define ID   "Message-ID: <1@shop.example>\r\n"
#define HEAD FROM DATE ID

static const struct prepare_options plain = {
    .message_id = 0x1234, .now = 1795321800000, .takes_wishes = true, .host_name = SLICE_INIT("mx.shop.example")};

struct done {
    struct arena arena;
    struct prepared prepared;
    struct fault why;
    bool ok;
};
static struct done prepare(struct slice mail, const struct prepare_options *options)
{
    struct done done = {0};
    done.ok = message_prepare(mail, options, &done.arena, &done.prepared, &done.why);
    return done;
}

static void what_is_refused(void **state)
{
    static const struct {
        const char *name;
        struct slice mail;
        const char *reply;
    } rows[] = {
        {"R2: a bare LF", SLICE_INIT(HEAD "\r\na\nb\r\n"), "550 5.6.0"},
        {"R2: a bare CR", SLICE_INIT(HEAD "\r\na\rb\r\n"), "550 5.6.0"},
        {"R2: a CR at the end", SLICE_INIT(HEAD "\r\nab\r"), "550 5.6.0"},
        {"R2: a bare LF in the header", SLICE_INIT("Subject: a\n.\r\n" HEAD "\r\n"), "550 5.6.0"},
        {"a NUL", SLICE_INIT(HEAD "\r\na\0b\r\n"), "550 5.6.0"},
        {"M26: no From", SLICE_INIT(DATE ID "\r\nhello\r\n"), "554 5.6.0"},
        {"M26: two From", SLICE_INIT(HEAD FROM "\r\nhello\r\n"), "554 5.6.0"},
        {"M26: two subjects", SLICE_INIT(HEAD "Subject: a\r\nsubject : b\r\n\r\n"), "554 5.6.0"},
        {"L6: another's address beside one's own", SLICE_INIT("From: app@shop.example, ceo@bank.example\r\n\r\n"),
         "554 5.6.0"},
        {"L6: another's address in front of one's own",
         SLICE_INIT("From: <ceo@bank.example> <app@shop.example>\r\n\r\n"), "554 5.6.0"},
        {"L6: another's address in a group", SLICE_INIT("From: us: app@shop.example, ceo@bank.example;\r\n\r\n"),
         "554 5.6.0"},
        {"a From that is no address", SLICE_INIT("From: Shop\r\n\r\n"), "554 5.6.0"},
        {"a line that is no field", SLICE_INIT(HEAD "what is this\r\n\r\nhello\r\n"), "554 5.6.0"},
        {"a header that begins folded", SLICE_INIT(" x: y\r\n" HEAD "\r\nhello\r\n"), "554 5.6.0"},
        {"a name in UTF-8", SLICE_INIT("X-\xc3\xa4: y\r\n" HEAD "\r\nhello\r\n"), "554 5.6.0"},
        {"nothing at all", SLICE_INIT(""), "554 5.6.0"},
        {"only an empty line", SLICE_INIT("\r\n"), "554 5.6.0"},
        {"a wish that is no date", SLICE_INIT(HEAD "X-Todoke-Schedule: tomorrow\r\n\r\n"), "550 5.6.0"},
        {"a wish nobody knows", SLICE_INIT(HEAD "X-Todoke-Colour: red\r\n\r\n"), "550 5.6.0"},
        {"an empty tag", SLICE_INIT(HEAD "X-Todoke-Tag: a,,b\r\n\r\n"), "550 5.6.0"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct done done = prepare(rows[i].mail, &plain);
        if (done.ok || strcmp(done.prepared.reply, rows[i].reply) != 0 || done.why.kind != FAULT_INPUT)
            fail_msg("%s: %s %s", rows[i].name, done.ok ? "was taken" : done.prepared.reply, done.why.text);
        arena_release(&done.arena);
    }
}

static void what_becomes_of_it(void **state)
{
    static const struct {
        const char *name;
        struct slice mail, becomes;
        unsigned flags;
    } rows[] = {
        {"whole already", SLICE_INIT(HEAD "\r\nhello\r\n"), SLICE_INIT(HEAD "\r\nhello\r\n"), 0},
        {"no body", SLICE_INIT(HEAD), SLICE_INIT(HEAD "\r\n"), 0},
        {"an empty body", SLICE_INIT(HEAD "\r\n"), SLICE_INIT(HEAD "\r\n"), 0},
        {"no line end behind the last field", SLICE_INIT(DATE ID "From: a@b.example"),
         SLICE_INIT(DATE ID "From: a@b.example\r\n\r\n"), 0},
        {"Date and Message-ID are added", SLICE_INIT(FROM "\r\nhello\r\n"),
         SLICE_INIT(FROM
                    "Message-ID: <todoke.0000000000001234@shop.example>\r\nDate: Sun, 22 Nov 2026 04:30:00 +0000\r\n"
                    "\r\nhello\r\n"),
         0},
        {"Bcc, Return-Path and wishes go",
         SLICE_INIT("Return-Path: <x@y>\r\nBCC: a@b,\r\n c@d\r\nx-todoke-tag: a, b\r\n" HEAD "\r\nhello\r\n"),
         SLICE_INIT(HEAD "\r\nhello\r\n"), 0},
        {"M37: verdicts in our name go, those of others stay",
         SLICE_INIT("Authentication-Results: (x) MX.shop.example 1;\r\n spf=pass\r\nauthentication-results : \"mx."
                    "shop.example\"\r\nAuthentication-Results: mx.other.example; none\r\n" HEAD "\r\nhello\r\n"),
         SLICE_INIT("Authentication-Results: mx.other.example; none\r\n" HEAD "\r\nhello\r\n"), 0},
        {"R11: a raw subject", SLICE_INIT(HEAD "Subject: \xc3\xa4\r\n\r\nhello\r\n"),
         SLICE_INIT(HEAD "Subject: =?UTF-8?B?w6Q=?=\r\n\r\nhello\r\n"), 0},
        {"R11: a raw name stays", SLICE_INIT(HEAD "To: \xc3\xa4 <a@b.example>\r\n\r\nhello\r\n"),
         SLICE_INIT(HEAD "To: \xc3\xa4 <a@b.example>\r\n\r\nhello\r\n"), MESSAGE_NEEDS_8BIT | MESSAGE_NEEDS_SMTPUTF8},
        {"M17: an 8-bit body",
         SLICE_INIT(HEAD "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: "
                         "8bit\r\n\r\nGr\xc3\xbc\xc3\x9f"
                         "e\r\n"),
         SLICE_INIT(HEAD "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: "
                         "base64\r\nMIME-Version: 1.0\r\n\r\nR3LDvMOfZQ0K\r\n"),
         0},
        {"M17: mostly ASCII", SLICE_INIT(HEAD "\r\nabcdefghijklmnopqrstuvwxyz \xc3\xbc\r\n"),
         SLICE_INIT(HEAD "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
                         "Content-Transfer-Encoding: quoted-printable\r\n\r\nabcdefghijklmnopqrstuvwxyz =C3=BC\r\n"),
         0},
        {"M17: MIME already", SLICE_INIT(HEAD "MIME-Version: 1.0\r\n\r\nabcdefghijklmnopqrstuvwxyz \xc3\xbc\r\n"),
         SLICE_INIT(
             HEAD "MIME-Version: 1.0\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nabcdefghijklmnopqrstuvwxyz "
                  "=C3=BC\r\n"),
         0},
        {"M17: signed already", SLICE_INIT(HEAD "DKIM-Signature: v=1\r\n\r\n\xc3\xbc\r\n"),
         SLICE_INIT(HEAD "DKIM-Signature: v=1\r\n\r\n\xc3\xbc\r\n"), MESSAGE_NEEDS_8BIT},
        {"an unsubscribe header is wanted", SLICE_INIT("X-Todoke-Unsubscribe: yes\r\n" HEAD "\r\n"),
         SLICE_INIT(HEAD "\r\n"), MESSAGE_UNSUBSCRIBE},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct done done = prepare(rows[i].mail, &plain);
        if (!done.ok || !slice_equal(done.prepared.bytes, rows[i].becomes) || done.prepared.flags != rows[i].flags)
            fail_msg("%s: %s flags %u\n%.*s", rows[i].name, done.ok ? "" : done.why.text, done.prepared.flags,
                     SLICE_ARG(done.prepared.bytes));
        arena_release(&done.arena);
    }
}

/* RFC 8689 3: one field that says No, in whatever case; it stays in the mail */
static void policies_are_waived_by_one_plain_no(void **state)
{
    static const struct {
        const char *name;
        struct slice fields;
        bool is_waived;
    } rows[] = {
        {"no field", SLICE_INIT(""), false},
        {"No", SLICE_INIT("TLS-Required: No\r\n"), true},
        {"in whatever case", SLICE_INIT("tls-REQUIRED:nO\r\n"), true},
        {"folded, with spaces", SLICE_INIT("TLS-Required :\r\n\t No \r\n"), true},
        {"Yes is no value", SLICE_INIT("TLS-Required: Yes\r\n"), false},
        {"nothing", SLICE_INIT("TLS-Required:\r\n"), false},
        {"more than the word", SLICE_INIT("TLS-Required: No, thanks\r\n"), false},
        {"a comment is not in the grammar", SLICE_INIT("TLS-Required: No (really)\r\n"), false},
        {"two of them are none", SLICE_INIT("TLS-Required: No\r\nTLS-Required: No\r\n"), false},
        {"a false one in front", SLICE_INIT("TLS-Required: maybe\r\nTLS-Required: No\r\n"), false},
        {"a false one behind", SLICE_INIT("TLS-Required: No\r\nTLS-Required: maybe\r\n"), false},
        {"another header", SLICE_INIT("X-TLS-Required: No\r\n"), false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        SCOPED(buf) mail = BUF(4096);
        buf_text(&mail, HEAD);
        buf_append(&mail, rows[i].fields);
        buf_text(&mail, "\r\nTLS-Required: No\r\n"); /* that is text */
        struct done done = prepare(buf_slice(&mail), &plain);
        assert_row(rows[i].name, done.ok);
        assert_int_row(rows[i].name, done.prepared.flags, rows[i].is_waived ? MESSAGE_WAIVES_TLS : 0);
        assert_slice(rows[i].name, done.prepared.bytes, buf_slice(&mail));
        arena_release(&done.arena);
    }
}

static void wishes_are_read(void **state)
{
    struct done done =
        prepare(SLICE(HEAD "X-Todoke-Tag: order, =?UTF-8?Q?K=C3=A4ufe?=\r\nX-Todoke-Campaign: spring\r\n"
                           "X-Todoke-Schedule: 2026-12-01T09:00:00+09:00\r\nSubject: =?utf-8?Q?=00a?=\r\n\r\n"),
                &plain);
    assert_true(done.ok);
    assert_true(slice_equal(done.prepared.tags, SLICE("order\nK\xc3\xa4ufe")));
    assert_true(slice_equal(done.prepared.label, SLICE("spring")));
    assert_int_equal(done.prepared.schedule, INT64_C(1796083200000));
    assert_true(slice_equal(done.prepared.from_domain, SLICE("shop.example")));
    assert_true(slice_equal(done.prepared.from_address, SLICE("app@shop.example")));
    assert_true(slice_equal(done.prepared.message_id, SLICE("<1@shop.example>")));
    assert_null(memchr(done.prepared.subject.ptr, 0, done.prepared.subject.len));
    arena_release(&done.arena);
    struct prepare_options deaf = plain;
    deaf.takes_wishes = false;
    deaf.trace = SLICE("Received: by us\r\n");
    done = prepare(SLICE("X-Todoke-Tag: order\r\n" HEAD "\r\n"), &deaf);
    assert_true(done.ok);
    assert_true(slice_equal(done.prepared.bytes, SLICE("Received: by us\r\n" HEAD "\r\n")));
    assert_int_equal(done.prepared.tags.len, 0);
    arena_release(&done.arena);
}

static void long_lines_are_refused_or_encoded(void **state) /* R9, M3 */
{
    char mail[4096];
    for (int len = 998; len <= 999; len++) {
        int head = snprintf(mail, sizeof(mail), HEAD "\r\n");
        memset(mail + head, 'x', (size_t)len);
        memcpy(mail + head + len, "\r\n", 2);
        struct slice bytes = slice_of(mail, (size_t)(head + len) + 2);
        struct done done = prepare(bytes, &plain);
        assert_int_equal(done.ok, len == 998);
        arena_release(&done.arena);
        struct prepare_options encoding = plain;
        encoding.encodes_long_lines = true;
        done = prepare(bytes, &encoding);
        assert_true(done.ok);
        assert_int_equal(slice_find(done.prepared.bytes, SLICE("quoted-printable")) != SLICE_NPOS, len == 999);
        arena_release(&done.arena);
    }
}

static void circles_end(void **state) /* R9, M19 */
{
    for (int hops = 49; hops <= 50; hops++) {
        SCOPED(buf) mail = BUF(65536);
        for (int i = 0; i < hops; i++)
            buf_text(&mail, "Received: from a by b;\r\n\tSun, 22 Nov 2026 22:30:00 +0900\r\n");
        buf_text(&mail, HEAD "\r\nhello\r\n");
        struct done done = prepare(buf_slice(&mail), &plain);
        assert_int_equal(done.ok, hops == 49);
        if (!done.ok)
            assert_string_equal(done.prepared.reply, "554 5.4.6");
        arena_release(&done.arena);
    }
}

/* Any cut of a mail, and any octet in the place of any other: no crash, and what is taken has a From. */
static void any_bytes(void **state)
{
    static const char mail[] =
        FROM "Subject: \xc3\xa4\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n\xc3\xbc"
             "\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nA: b\r\n\r\n\xc3\xbc\r\n--b--\r\n";
    for (size_t cut = 0; cut < sizeof(mail); cut++) {
        for (int octet = -1; octet < 256; octet += 17) {
            char *copy = slice_dup(slice_of(mail, cut));
            if (octet >= 0 && cut)
                copy[cut / 2] = (char)octet;
            struct done done = prepare(slice_of(copy, cut), &plain);
            if (done.ok)
                assert_true(done.prepared.from_domain.len > 0);
            arena_release(&done.arena);
            free(copy);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(what_becomes_of_it),
        cmocka_unit_test(wishes_are_read),
        cmocka_unit_test(long_lines_are_refused_or_encoded),
        cmocka_unit_test(circles_end),
        cmocka_unit_test(any_bytes),
        cmocka_unit_test(policies_are_waived_by_one_plain_no),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
