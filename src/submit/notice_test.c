/* Outcomes told by mail: who wants to hear of which, and what he reads (M23, R13, RFC 3461-3464), on both stores. */
#include "bounce/read.h"
#include "mime/read.h"
#include "store/testing.h"
#include "submit/notice.h"

#include "mail/address.h"

#define NOW ((time_ms)1795321800000)
static const struct notice_options options = {
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
        unsigned wanted; /* kinds */
    } rows[] = {
        {"nothing was said", "", MESSAGE_REPORTS, NOTICE_FAILED},
        {"no reports are wanted", "", 0, 0},
        {"R13: the null sender", "", MESSAGE_REPORTS | MESSAGE_NULL_SENDER, 0},
        {"R13: the null sender, whatever it asks", "{\"to\":{\"a@b.example\":{\"notify\":14}}}",
         MESSAGE_REPORTS | MESSAGE_NULL_SENDER, 0},
        {"NOTIFY=NEVER", "{\"to\":{\"a@b.example\":{\"notify\":1}}}", MESSAGE_REPORTS, 0},
        {"NOTIFY=NEVER beside others, which no client may say", "{\"to\":{\"a@b.example\":{\"notify\":15}}}",
         MESSAGE_REPORTS, 0},
        {"NOTIFY=SUCCESS", "{\"to\":{\"a@b.example\":{\"notify\":2}}}", MESSAGE_REPORTS, NOTICE_RELAYED},
        {"NOTIFY=FAILURE", "{\"to\":{\"a@b.example\":{\"notify\":4}}}", MESSAGE_REPORTS, NOTICE_FAILED},
        {"NOTIFY=DELAY", "{\"to\":{\"a@b.example\":{\"notify\":8}}}", MESSAGE_REPORTS, NOTICE_DELAYED},
        {"NOTIFY=SUCCESS,FAILURE,DELAY", "{\"to\":{\"a@b.example\":{\"notify\":14}}}", MESSAGE_REPORTS,
         NOTICE_RELAYED | NOTICE_FAILED | NOTICE_DELAYED},
        {"another's NEVER", "{\"to\":{\"c@b.example\":{\"notify\":1}}}", MESSAGE_REPORTS, NOTICE_FAILED},
        {"what is no JSON", "{", MESSAGE_REPORTS, NOTICE_FAILED},
    };
    static const enum notice_kind kinds[] = {NOTICE_RELAYED, NOTICE_FAILED, NOTICE_DELAYED};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct message message = mail_of(rows[i].envelope, rows[i].flags);
        for (size_t k = 0; k < COUNT_OF(kinds); k++)
            if (notice_is_wanted(&message, SLICE("a@b.example"), kinds[k]) != !!(rows[i].wanted & kinds[k]))
                fail_msg("%s: kind %d", rows[i].name, kinds[k]);
    }
}

static void what_is_read(void **state)
{
    struct message message =
        mail_of("{\"envid\":\"A+3DB\",\"ret\":\"hdrs\",\"to\":{\"a@b.example\":{\"notify\":4,\"orcpt\":"
                "\"rfc822;A+40b.example\"}}}",
                MESSAGE_REPORTS);
    const struct notice notice = {.id = 99,
                                  .kind = NOTICE_FAILED,
                                  .message = &message,
                                  .address = SLICE("a@b.example"),
                                  .status = SLICE("5.1.1"),
                                  .diagnostic = SLICE("550 5.1.1 no\r\nsuch \xc3\xa4 user"),
                                  .remote_mta = SLICE("mx.b.example[192.0.2.1]"),
                                  .at = NOW,
                                  .from_domain = SLICE("bounce.shop.example")};
    struct fault why = {0};
    SCOPED(arena) arena = {0};
    SCOPED(buf) out = BUF(65536);
    struct mime_mail mail;
    assert_true(notice_compose(&notice, &options, &out, &why));
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

/* What the three kinds say, and that our own reader takes each for what it is. */
static void what_was_asked_for_is_told(void **state)
{
    static const struct {
        enum notice_kind kind;
        const char *status, *lines[6], *not_there;
        enum kind read_as;
    } rows[] = {
        {NOTICE_RELAYED,
         "2.6.0",
         {"Action: relayed\r\n", "Status: 2.6.0\r\n", "Original-Envelope-Id: e\r\n"},
         "Will-Retry-Until",
         KIND_DELIVERED},
        {NOTICE_RELAYED, "", {"Status: 2.0.0\r\n"}, "5.0.0", KIND_DELIVERED},
        {NOTICE_RELAYED, "5.1.1", {"Status: 2.0.0\r\n"}, "Status: 5", KIND_DELIVERED},
        {NOTICE_DELAYED,
         "4.2.2",
         {"Action: delayed\r\n", "Status: 4.2.2\r\n", "Will-Retry-Until: "},
         "failed",
         KIND_DELAY},
        {NOTICE_DELAYED, "", {"Status: 4.0.0\r\n"}, "5.0.0", KIND_DELAY},
        {NOTICE_FAILED, "", {"Action: failed\r\n", "Status: 5.0.0\r\n"}, "Will-Retry-Until", KIND_BOUNCE},
        {NOTICE_FAILED, "4.4.7", {"Action: failed\r\n", "Status: 4.4.7\r\n"}, "Will-Retry-Until", KIND_BOUNCE},
    };
    struct rules *rules = NULL;
    struct fault why = {0};
    assert_true(rules_open(&rules, &why));
    struct rules_scratch *scratch = rules_scratch_new(rules);
    struct message message =
        mail_of("{\"envid\":\"e\",\"ret\":\"full\",\"to\":{\"a@b.example\":{\"notify\":14}}}", MESSAGE_REPORTS);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct notice notice = {.id = 99,
                                      .kind = rows[i].kind,
                                      .message = &message,
                                      .address = SLICE("a@b.example"),
                                      .status = slice_str(rows[i].status),
                                      .remote_mta = SLICE("mx.b.example[192.0.2.1]"),
                                      .at = NOW,
                                      .retry_until = NOW + DAYS_MS(5),
                                      .from_domain = SLICE("bounce.shop.example")};
        SCOPED(arena) arena = {0};
        SCOPED(buf) out = BUF(65536);
        struct mime_mail mail;
        struct bounce bounce;
        assert_true(notice_compose(&notice, &options, &out, &why));
        mime_read(buf_slice(&out), &arena, &mail);
        bounce_read(&mail, rules, scratch, &arena, &bounce);
        assert_int_row(rows[i].lines[0], bounce.row_count, 1);
        assert_int_row(rows[i].lines[0], bounce.rows[0].kind, rows[i].read_as);
        assert_slice(rows[i].lines[0], bounce.rows[0].recipient, SLICE("a@b.example"));
        for (size_t k = 0; k < COUNT_OF(rows[i].lines) && rows[i].lines[k]; k++)
            if (slice_find(mail.parts[2].body, slice_str(rows[i].lines[k])) == SLICE_NPOS)
                fail_msg("%zu: %s not in\n%.*s", i, rows[i].lines[k], SLICE_ARG(mail.parts[2].body));
        assert_true(slice_find(mail.parts[2].body, slice_str(rows[i].not_there)) == SLICE_NPOS);
        /* RFC 3461 4.3: RET=FULL is for failures */
        assert_int_row(rows[i].lines[0], slice_find(buf_slice(&out), SLICE("hello")) != SLICE_NPOS,
                       rows[i].kind == NOTICE_FAILED);
    }
    rules_scratch_free(scratch);
    rules_free(rules);
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
    return db_do(
        db, why,
        "INSERT INTO notice_owed (kind, delivery_id, message_id, address, at_ms, is_expired, status, diagnostic, "
        "remote_mta) VALUES (4, $1, $2, 'a@b.example', 1, 0, '5.1.1', '550 no', 'mx[1.2.3.4]')",
        VALUES(V_INT((int64_t)row.delivery_id), V_INT((int64_t)failing->message.id)), NULL);
}

static bool sending_run(struct db *db, struct fault *why, void *context)
{
    struct failing *failing = context;
    return notice_send(db, why, &options, 10, &failing->arena, &failing->news, &failing->news_count, &failing->taken);
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

/* ── what is owed, by the outcomes as they come ── */

struct coming {
    struct message message;
    struct submit_row row;
    struct event event;
    struct arena arena;
    struct submit_news *news;
    size_t news_count;
};

static bool coming_submit(struct db *db, struct fault *why, void *context)
{
    struct coming *coming = context;
    coming->row = (struct submit_row){.address = SLICE("a@b.example"), .written = SLICE("a@b.example")};
    coming->message.id = id_make_anywhere(db_ids(db), NOW);
    return message_submit(db, why, &coming->message, &coming->row, 1, &coming->arena, &coming->news,
                          &coming->news_count);
}

/* As the ledger does it: owed, then appended. */
static bool coming_happen(struct db *db, struct fault *why, void *context)
{
    struct event event = ((struct coming *)context)->event;
    return notice_owe(db, why, &event, 1) && event_append(db, why, &event, 1);
}

static void happen(struct test_store *test, struct coming *coming, enum event_kind kind, enum delivery_state after,
                   time_ms at)
{
    coming->event = (struct event){.bucket = id_bucket(coming->row.delivery_id),
                                   .kind = kind,
                                   .at = at,
                                   .delivery_id = coming->row.delivery_id,
                                   .address = SLICE("a@b.example"),
                                   .domain = SLICE("b.example"),
                                   .state_before = DELIVERY_WAITING,
                                   .state_after = after,
                                   .status = {kind == EVENT_DELIVERED ? 2 : 4, 0, 0},
                                   .diagnostic = SLICE("said")};
    test_write(test->store, coming_happen, coming);
}

static bool told_run(struct db *db, struct fault *why, void *context)
{
    return db_do(db, why, context, NO_VALUES, NULL);
}

static void only_wishes_are_owed_and_once(void **state)
{
    TEST_STORE(test, state);
    static const char owed[] = "SELECT COUNT(*) FROM notice_owed WHERE kind = 2",
                      late[] = "SELECT COUNT(*) FROM notice_owed WHERE kind = 8";
    struct coming wishes = {.message = mail_of("", MESSAGE_REPORTS)}, none = {.message = mail_of("", MESSAGE_REPORTS)};
    wishes.message.wishes = NOTICE_RELAYED | NOTICE_DELAYED;
    wishes.message.delay_at = NOW + 1000;
    wishes.message.expires = none.message.expires = NOW + DAYS_MS(5);
    test_write(test.store, coming_submit, &none);
    happen(&test, &none, EVENT_DELIVERED, DELIVERY_DELIVERED, NOW + 5000);
    assert_int_equal(test_number(test.reader, owed), 0);
    test_write(test.store, coming_submit, &wishes);
    happen(&test, &none, EVENT_DEFERRED, DELIVERY_DEFERRED, NOW + 5000);
    happen(&test, &wishes, EVENT_DEFERRED, DELIVERY_DEFERRED, NOW + 999); /* not late yet */
    assert_int_equal(test_number(test.reader, late), 0);
    happen(&test, &wishes, EVENT_DEFERRED, DELIVERY_DEFERRED, NOW + 1000);
    assert_int_equal(test_number(test.reader, late), 1);
    assert_int_equal(test_number(test.reader, "SELECT retry_until_ms FROM notice_owed"), NOW + DAYS_MS(5));
    test_write(test.store, told_run, (void *)(uintptr_t) "DELETE FROM notice_owed"); /* told */
    happen(&test, &wishes, EVENT_DEFERRED, DELIVERY_DEFERRED, NOW + 2000);
    assert_int_equal(test_number(test.reader, late), 0);
    happen(&test, &wishes, EVENT_DELIVERED, DELIVERY_DELIVERED, NOW + 3000);
    assert_int_equal(test_number(test.reader, owed), 1);
    happen(&test, &wishes, EVENT_BOUNCED, DELIVERY_BOUNCED,
           NOW + 4000); /* and came back after all, before that is told */
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM notice_owed"), 2);
    struct failing failing = {0};
    test_write(test.store, sending_run, &failing);
    assert_int_equal(failing.taken, 2);
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM notice_wish"), 1);
    test_write(test.store, told_run, (void *)(uintptr_t) "UPDATE notice_wish SET until_ms = 5");
    test_write(test.store, sending_run, &failing);
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM notice_wish"), 0);
    arena_release(&failing.arena);
    arena_release(&wishes.arena);
    arena_release(&none.arena);
    test_store_end(&test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_wants_to_hear),          cmocka_unit_test(what_is_read),
        cmocka_unit_test(what_was_asked_for_is_told), ON_BOTH(told_once),
        ON_BOTH(only_wishes_are_owed_and_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
