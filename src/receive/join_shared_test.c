/* Error mail by a return path that recipients share: R20, S12, M24, on both stores. */
#include "receive/join_test.h"

#include "submit/message.h"

struct party {
    uint64_t id;
    const char *addresses[4];
    size_t count;
};
static bool party_run(struct db *db, struct fault *why, void *context)
{
    struct party *party = context;
    SCOPED(arena) arena = {0};
    struct submit_row rows[4] = {0};
    struct submit_news *news;
    size_t news_count;
    party->id = id_make_anywhere(db_ids(db), NOW);
    for (size_t i = 0; i < party->count; i++)
        rows[i].address = rows[i].written = slice_str(party->addresses[i]);
    const struct message message = {.id = party->id,
                                    .brand_id = BRAND,
                                    .mail_from = SLICE("app@shop.example"),
                                    .from_domain = SLICE("shop.example"),
                                    .body = SLICE("Subject: x\r\n\r\nx\r\n"),
                                    .now = NOW,
                                    .due = NOW,
                                    .expires = NOW + DAYS_MS(5)};
    return message_submit(db, why, &message, rows, party->count, &arena, &news, &news_count) &&
           db_do(db, why,
                 "UPDATE delivery SET state = 5, date_ms = 1 WHERE message_id = $1 AND address <> 'not-yet@a.example'",
                 VALUES(V_INT((int64_t)party->id)), NULL);
}
static int64_t bounced(struct fixture *fixture)
{
    return number(fixture, "SELECT COUNT(*) FROM delivery WHERE state = 6");
}

/* R20, S12, M24: whom the report names, and nobody else; who was not in that mail, or is of another domain than those
 * who share the path, or has not gone yet, is nobody; what names nobody is unverified. */
static void a_shared_return_path_speaks_of_whom_it_names(void **state)
{
    static const struct {
        const char *what, *path_of, *names, *bounces; /* NULL: nobody */
    } rows[] = {
        {"a stranger to the mail", "a.example", "eve@a.example", NULL},
        {"somebody of another mail", "a.example", "other@a.example", NULL},
        {"another domain's", "a.example", "cyd@b.example", NULL},
        {"by the other domain's path", "b.example", "ann@a.example", NULL},
        {"one that has not gone", "a.example", "not-yet@a.example", NULL},
        {"nobody", "a.example", "", NULL},
        {"no address", "a.example", "<>", NULL},
        {"one of them", "a.example", "Ann@A.Example", "ann@a.example"},
        {"the same again", "a.example", "ann@a.example", "ann@a.example"},
        {"of the other domain", "b.example", "cyd@b.example", "cyd@b.example"},
    };
    FIXTURE(fixture, state);
    struct party party = {0, {"ann@a.example", "bob@a.example", "cyd@b.example", "not-yet@a.example"}, 4};
    struct party others = {0, {"other@a.example"}, 1};
    test_write(fixture.store.store, party_run, &party);
    test_write(fixture.store.store, party_run, &others);
    int64_t unverified = 0;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        receive(&fixture, shared_path(&fixture, party.id, rows[i].path_of), unknown_user(&fixture, rows[i].names, 0));
        unverified += rows[i].bounces == NULL;
        assert_int_row(rows[i].what, events(&fixture, EVENT_UNVERIFIED), unverified);
        if (!rows[i].bounces)
            assert_int_row(rows[i].what, bounced(&fixture) + exclusions(&fixture), 0);
        else
            assert_int_row(rows[i].what, state_of(&fixture, &(struct subject){rows[i].bounces, 0, 0}),
                           DELIVERY_BOUNCED);
    }
    assert_int_equal(bounced(&fixture), 2);
    assert_int_equal(exclusions(&fixture), 2);
    assert_int_equal(events(&fixture, EVENT_BOUNCED), 2);
    assert_int_equal(state_of(&fixture, &(struct subject){"bob@a.example", 0, 0}), DELIVERY_DELIVERED);
    end(&fixture);
}

/* One report of several recipients of the transaction (RFC 3464 2.1): each has his own fate, once. */
static void one_report_for_several_who_share(void **state)
{
    FIXTURE(fixture, state);
    struct party party = {0, {"ann@a.example", "bob@a.example", "cyd@a.example", "dan@a.example"}, 4};
    test_write(fixture.store.store, party_run, &party);
    static const char report[] =
        "From: MAILER-DAEMON@mx.a.example\r\nTo: b-x@" DOMAIN "\r\nSubject: Undelivered\r\nMIME-Version: 1.0\r\n"
        "Content-Type: multipart/report; report-type=delivery-status; boundary=\"B\"\r\n\r\n"
        "--B\r\nContent-Type: text/plain\r\n\r\nx\r\n--B\r\nContent-Type: message/delivery-status\r\n\r\n"
        "Reporting-MTA: dns; mx.a.example\r\n\r\n"
        "Final-Recipient: rfc822; ann@a.example\r\nAction: failed\r\nStatus: 5.1.1\r\n"
        "Diagnostic-Code: smtp; 550 5.1.1 User unknown\r\n\r\n"
        "Final-Recipient: rfc822; bob@a.example\r\nAction: delayed\r\nStatus: 4.2.2\r\n"
        "Diagnostic-Code: smtp; 452 4.2.2 Mailbox full\r\n\r\n"
        "Final-Recipient: rfc822; alias@a.example\r\nOriginal-Recipient: rfc822; cyd@a.example\r\nAction: failed\r\n"
        "Status: 5.1.1\r\nDiagnostic-Code: smtp; 550 5.1.1 User unknown\r\n\r\n"
        "Final-Recipient: rfc822; ann@a.example\r\nAction: failed\r\nStatus: 5.1.1\r\n"
        "Diagnostic-Code: smtp; 550 5.1.1 User unknown\r\n\r\n"
        "Final-Recipient: rfc822; eve@a.example\r\nAction: failed\r\nStatus: 5.1.1\r\n"
        "Diagnostic-Code: smtp; 550 5.1.1 User unknown\r\n\r\n--B--\r\n";
    receive(&fixture, shared_path(&fixture, party.id, "a.example"), slice_str(report));
    assert_int_equal(bounced(&fixture), 2);
    assert_int_equal(exclusions(&fixture), 2);
    assert_int_equal(events(&fixture, EVENT_BOUNCED), 2);
    assert_int_equal(events(&fixture, EVENT_DELAY_NOTICE), 1);
    assert_int_equal(events(&fixture, EVENT_UNVERIFIED), 0);
    assert_int_equal(state_of(&fixture, &(struct subject){"cyd@a.example", 0, 0}), DELIVERY_BOUNCED);
    assert_int_equal(state_of(&fixture, &(struct subject){"dan@a.example", 0, 0}), DELIVERY_DELIVERED);
    assert_int_equal(number(&fixture, "SELECT COUNT(*) FROM inbound WHERE state = 1"), 1);
    end(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(a_shared_return_path_speaks_of_whom_it_names),
        ON_BOTH(one_report_for_several_who_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
