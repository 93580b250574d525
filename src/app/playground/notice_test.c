/* What the playground sends back is read as what it stands for: error mail of three programs (S1-S4), late and delayed
 * (S7), complaints (U14), vacation replies (S9), forgeries (S12) */
#include "app/playground/notice.h"
#include "base/test.h"
#include "bounce/read.h"

static const struct site *site_of(const char *domain)
{
    struct site_domain row;
    assert_true(site_domain_find(slice_str(domain), &row));
    return row.site;
}

static const char original[] =
    "Return-Path: <b-token22token22@bounce.shop.example>\r\n"
    "Received: from mta.shop.example ([127.0.0.1])\r\n\tby mx.example with ESMTPS id 1\r\n"
    "From: Shop <news@shop.example>\r\nTo: taro@example.jp\r\nSubject: =?utf-8?B?44GK55+l44KJ44Gb?=\r\n"
    "Message-ID: <m1@shop.example>\r\nDate: Sun, 22 Nov 2026 22:30:00 +0900\r\n\r\nHello\r\n";

static void a_notice_is_read_as_what_it_stands_for(void **state)
{
    static const struct {
        const char *what, *domain;
        enum fate fate;
        bool is_second;
        enum kind kind;
        enum reason reason;
    } rows[] = {
        {"unknown, Postfix (MAILER-DAEMON)", "onsen-ryokan.example", FATE_USER_UNKNOWN_LATE, false, KIND_BOUNCE,
         REASON_USER_UNKNOWN},
        {"unknown, Sendmail (Mail Delivery Subsystem)", "u-midori.example", FATE_USER_UNKNOWN_LATE, false, KIND_BOUNCE,
         REASON_USER_UNKNOWN},
        {"unknown, Exchange (Postmaster)", "works-exchange.example", FATE_USER_UNKNOWN_LATE, false, KIND_BOUNCE,
         REASON_USER_UNKNOWN},
        {"unknown, qmail", "kaisha-mail.example", FATE_USER_UNKNOWN_LATE, false, KIND_BOUNCE, REASON_USER_UNKNOWN},
        {"full, Exchange", "works-exchange.example", FATE_MAILBOX_FULL_LATE, false, KIND_BOUNCE, REASON_MAILBOX_FULL},
        {"full, au", "au.example", FATE_MAILBOX_FULL_LATE, false, KIND_BOUNCE, REASON_MAILBOX_FULL},
        {"full, qmail", "kaisha-mail.example", FATE_MAILBOX_FULL_LATE, false, KIND_BOUNCE, REASON_MAILBOX_FULL},
        {"delayed", "delay-relay.example", FATE_DELAYED, false, KIND_DELAY, REASON_EXPIRED},
        {"given up", "delay-relay.example", FATE_DELAYED, true, KIND_BOUNCE, REASON_EXPIRED},
        {"vacation", "yamada-shoten.example", FATE_VACATION, false, KIND_AUTOREPLY, REASON_VACATION},
        {"complaint", "gmail.example", FATE_COMPLAINT, false, KIND_COMPLAINT, REASON_COMPLAINT},
        {"a forgery looks like any other", "kaisha-mail.example", FATE_FORGED, false, KIND_BOUNCE, REASON_USER_UNKNOWN},
    };
    struct rules *rules;
    struct fault why;
    if (!rules_open(&rules, &why))
        fail_msg("%s", why.text);
    struct rules_scratch *scratch = rules_scratch_new(rules);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct arena arena = {NULL};
        SCOPED(buf) out = BUF(1 << 20);
        struct slice mail_from, mail_to, to = SLICE("taro@example.jp");
        struct notice_input input = {
            .site = site_of(rows[i].domain),
            .fate = rows[i].fate,
            .is_first = !rows[i].is_second,
            .mail_from = SLICE("b-token22token22@bounce.shop.example"),
            .to = to,
            .mail = slice_str(original),
            .peer = ip_v4(127, 0, 0, 1),
            .feedback_address = "fbl@bounce.shop.example",
            .now = 1795354200000,
            .id = 77,
        };
        assert_row(rows[i].what, notice_count(rows[i].fate) == (rows[i].fate == FATE_DELAYED ? 2 : 1));
        assert_row(rows[i].what, notice_write(&input, &arena, &out, &mail_from, &mail_to));
        assert_row(rows[i].what, slice_is_empty(mail_from) == (rows[i].fate != FATE_COMPLAINT));
        assert_row(rows[i].what, slice_equal(mail_to, input.mail_from) ==
                                     (rows[i].fate != FATE_COMPLAINT && rows[i].fate != FATE_FORGED));
        struct mime_mail mail;
        struct bounce bounce;
        mime_read(buf_slice(&out), &arena, &mail);
        bounce_read(&mail, rules, scratch, &arena, &bounce);
        if (bounce.kind != rows[i].kind || bounce.row_count != 1 || bounce.rows[0].verdict.reason != rows[i].reason)
            fail_msg("%s: read as %.*s, %.*s by %.*s\n%.*s", rows[i].what, SLICE_ARG(kind_word(bounce.kind)),
                     SLICE_ARG(bounce.row_count ? reason_word(bounce.rows[0].verdict.reason) : SLICE("no row")),
                     SLICE_ARG(bounce.row_count ? bounce.rows[0].verdict.rule : SLICE("")), SLICE_ARG(buf_slice(&out)));
        if (rows[i].kind != KIND_AUTOREPLY) {
            assert_slice(rows[i].what, bounce.rows[0].recipient, to);
            assert_slice(rows[i].what, bounce.message_id, SLICE("m1@shop.example"));
        }
        arena_release(&arena);
    }
    rules_scratch_free(scratch);
    rules_free(rules);
}

static void nobody_answers_the_null_sender(void **state)
{
    static const enum fate fates[] = {FATE_USER_UNKNOWN_LATE, FATE_DELAYED, FATE_VACATION, FATE_FORGED};
    for (size_t i = 0; i < COUNT_OF(fates); i++) {
        struct arena arena = {NULL};
        SCOPED(buf) out = BUF(1 << 20);
        struct slice mail_from, mail_to;
        struct notice_input input = {.site = site_of("accept.example"), .fate = fates[i], .mail = slice_str(original)};
        input.to = SLICE("taro@example.jp");
        assert_row(fate_table[fates[i]].word.ptr, !notice_write(&input, &arena, &out, &mail_from, &mail_to));
        arena_release(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_notice_is_read_as_what_it_stands_for),
        cmocka_unit_test(nobody_answers_the_null_sender),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
