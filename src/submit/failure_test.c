/* Failures told by mail: who wants to hear of them, and what he reads (M23, R13, RFC 3461-3464), on both stores. */
#include "mime/read.h"
#include "store/testing.h"
#include "submit/failure.h"

#include "mail/address.h"

#define NOW ((time_ms)1795321800000)
static const struct failure_options options = {
    .host_name = SLICE_INIT("mta.shop.example"), .now = NOW, .expires_after = 1000};

static struct message mail_of(const char *envelope, unsigned flags)
{
    return (struct message){
        .brand_id = 7,
        .mail_from = SLICE("app@shop.example"),
        .from_domain = SLICE("shop.example"),
        .message_id = SLICE("<x@shop.example>"),
        .subject = SLICE("Ihre Bestellung \xc3\xa4"),
        .envelope = slice_str(envelope),
        .flags = flags,
        .body = SLICE("From: app@shop.example\r\nSubject: x\r\n\r\nhello\r\n"),
        .now = NOW,
        .due = NOW,
        .expires = NOW + 1000,
    };
}

static void who_wants_to_hear(void **state)
{
    static const struct {
        const char *name, *envelope;
        unsigned flags;
        bool is_wanted;
    } rows[] = {
        {"nothing was said", "", MESSAGE_REPORTS, true},
        {"no reports are wanted", "", 0, false},
        {"R13: the null sender", "", MESSAGE_REPORTS | MESSAGE_NULL_SENDER, false},
        {"NOTIFY=NEVER", "{\"to\":{\"a@b.example\":{\"notify\":1}}}", MESSAGE_REPORTS, false},
        {"NOTIFY=SUCCESS", "{\"to\":{\"a@b.example\":{\"notify\":2}}}", MESSAGE_REPORTS, false},
        {"NOTIFY=FAILURE", "{\"to\":{\"a@b.example\":{\"notify\":4}}}", MESSAGE_REPORTS, true},
        {"another's NEVER", "{\"to\":{\"c@b.example\":{\"notify\":1}}}", MESSAGE_REPORTS, true},
        {"what is no JSON", "{", MESSAGE_REPORTS, true},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct message message = mail_of(rows[i].envelope, rows[i].flags);
        if (failure_is_wanted(&message, SLICE("a@b.example")) != rows[i].is_wanted)
            fail_msg("%s", rows[i].name);
    }
}

static void what_is_read(void **state)
{
    struct message message =
        mail_of("{\"envid\":\"A+3DB\",\"ret\":\"hdrs\",\"to\":{\"a@b.example\":{\"notify\":4,\"orcpt\":"
                "\"rfc822;A+40b.example\"}}}",
                MESSAGE_REPORTS);
    const struct failure notice = {.id = 99,
                                   .message = &message,
                                   .address = SLICE("a@b.example"),
                                   .status = SLICE("5.1.1"),
                                   .diagnostic = SLICE("550 5.1.1 no\r\nsuch \xc3\xa4 user"),
                                   .remote_mta = SLICE("mx.b.example[192.0.2.1]"),
                                   .failed_at = NOW,
                                   .from_domain = SLICE("bounce.shop.example")};
    struct fault why = {0};
    SCOPED(arena) arena = {0};
    SCOPED(buf) out = BUF(65536);
    struct mime_mail mail;
    assert_true(failure_write(&notice, &options, &out, &why));
    mime_read(buf_slice(&out), &arena, &mail);
    assert_int_equal(mail.part_count, 4);
    assert_true(mime_is(&mail.parts[0], "multipart", "report"));
    assert_true(slice_equal(mime_param(mime_header(&mail, 0, SLICE("Content-Type")), SLICE("report-type"), &arena),
                            SLICE("delivery-status")));
    assert_true(slice_equal(mime_header(&mail, 0, SLICE("Auto-Submitted")), SLICE("auto-replied")));
    assert_true(slice_equal(mime_header(&mail, 0, SLICE("In-Reply-To")), SLICE("<x@shop.example>")));
    assert_true(mime_is(&mail.parts[2], "message", "delivery-status"));
    assert_true(mime_is(&mail.parts[3], "text", "rfc822-headers"));
    static const char *const lines[] = {
        "Original-Envelope-Id: A=B\r\n",
        "Reporting-MTA: dns; mta.shop.example\r\n",
        "Original-Recipient: rfc822;A@b.exa",
        "Final-Recipient: rfc822; a@b.example\r\n",
        "Action: failed\r\n",
        "Status: 5.1.1\r\n",
        "Remote-MTA: dns; mx.b.example\r\n",
        "Diagnostic-Code: smtp; 550 5.1.1 no??such ?? user\r\n",
    };
    for (size_t i = 0; i < COUNT_OF(lines); i++)
        if (slice_find(mail.parts[2].body, slice_str(lines[i])) == SLICE_NPOS)
            fail_msg("%s not in\n%.*s", lines[i], SLICE_ARG(mail.parts[2].body));
    assert_true(slice_find(mail.parts[3].body, SLICE("hello")) == SLICE_NPOS);
}

struct failing {
    struct message message;
    uint64_t delivery_id;
    struct arena arena;
    struct submit_news *news;
    size_t news_count, taken;
};

static bool failing_run(struct db *db, struct fault *why, void *context)
{
    struct failing *failing = context;
    struct submit_row row = {.address = SLICE("a@b.example"), .written = SLICE("a@b.example")};
    failing->message.id = id_make_anywhere(db_ids(db), NOW);
    if (!db_do(
            db, why,
            "INSERT INTO brand (id, name, from_name, from_address, return_path_domain, link_base, created_ms) VALUES "
            "(7, 'Shop', 'Shop', 'news@shop.example', 'bounce.shop.example', 'https://x.example', 1) ON CONFLICT DO "
            "NOTHING",
            NO_VALUES, NULL) ||
        !message_submit(db, why, &failing->message, &row, 1, &failing->arena, &failing->news, &failing->news_count))
        return false;
    return db_do(db, why,
                 "INSERT INTO notice_owed (delivery_id, message_id, address, at_ms, is_expired, status, diagnostic, "
                 "remote_mta) VALUES ($1, $2, 'a@b.example', 1, 0, '5.1.1', '550 no', 'mx[1.2.3.4]')",
                 VALUES(V_INT((int64_t)row.delivery_id), V_INT((int64_t)failing->message.id)), NULL);
}

static bool sending_run(struct db *db, struct fault *why, void *context)
{
    struct failing *failing = context;
    return failure_send(db, why, &options, 10, &failing->arena, &failing->news, &failing->news_count, &failing->taken);
}

static void told_once(void **state)
{
    TEST_STORE(test, state);
    struct failing failing = {.message = mail_of("", MESSAGE_REPORTS)};
    test_write(test.store, failing_run, &failing);
    test_write(test.store, sending_run, &failing);
    assert_int_equal(failing.taken, 1);
    assert_int_equal(failing.news_count, 1);
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM delivery WHERE address = 'app@shop.example'"), 1);
    assert_int_equal(test_number(test.reader, "SELECT flags FROM message WHERE from_domain = 'bounce.shop.example'"),
                     MESSAGE_NULL_SENDER);
    test_write(test.store, sending_run, &failing);
    assert_int_equal(failing.taken, 0);
    failing.message.mail_from = SLICE("b-x@bounce.shop.example"); /* it would come back to us */
    test_write(test.store, failing_run, &failing);
    test_write(test.store, sending_run, &failing);
    assert_int_equal(failing.taken, 1);
    assert_int_equal(failing.news_count, 0);
    arena_release(&failing.arena);
    test_store_end(&test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_wants_to_hear),
        cmocka_unit_test(what_is_read),
        ON_BOTH(told_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
