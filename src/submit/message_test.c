/* Stored mails: one body for many recipients, durable with its deliveries, gone when nobody needs it, on both
 * stores. */
#include "store/testing.h"
#include "submit/message.h"

#include "mail/address.h"

#define NOW ((time_ms)1795321800000)
enum { RECIPIENTS = 300 };

struct sending {
    struct message message;
    char addresses[RECIPIENTS][40];
    struct submit_row rows[RECIPIENTS];
    size_t count, news_of_it;
    struct arena arena;
    bool must_fail;
};

static struct sending *sending_of(struct test_store *test, size_t count)
{
    struct sending *sending = NEW(struct sending);
    sending->count = count;
    sending->message = (struct message){
        .id = id_make_anywhere(store_ids(test->store), NOW),
        .brand_id = 7,
        .key_id = 3,
        .mail_from = SLICE("app@shop.example"),
        .from_domain = SLICE("shop.example"),
        .message_id = SLICE("<x@shop.example>"),
        .subject = SLICE("Ihre Bestellung \xc3\xa4"),
        .tags = SLICE("order\nreceipt"),
        .label = SLICE("orders"),
        .flags = MESSAGE_NEEDS_8BIT,
        .body = SLICE("From: app@shop.example\r\n\r\nhello\r\n"),
        .now = NOW,
        .due = NOW,
        .expires = NOW + DAYS_MS(1),
        .keep_until = NOW + DAYS_MS(3),
    };
    for (size_t i = 0; i < count; i++)
        snprintf(sending->addresses[i], 40, "p%zu@domain%zu.example", i, i % 3);
    return sending;
}
static void sending_free(struct sending *sending)
{
    arena_release(&sending->arena);
    free(sending);
}

static bool sending_run(struct db *db, struct fault *why, void *context)
{
    struct sending *sending = context;
    struct submit_news *news;
    size_t news_count;
    for (size_t i = 0; i < sending->count; i++) {
        struct slice address = slice_str(sending->addresses[i]);
        sending->rows[i] = (struct submit_row){.address = address, .written = address};
    }
    sending->news_of_it = 0;
    if (!message_submit(db, why, &sending->message, sending->rows, sending->count, &sending->arena, &news, &news_count))
        return false;
    for (size_t i = 0; i < news_count; i++)
        sending->news_of_it += news[i].count;
    return !sending->must_fail || fault_set(why, FAULT_INPUT, "as the test wants it");
}

static void a_body_is_kept_once(void **state)
{
    TEST_STORE(test, state);
    struct sending *sending = sending_of(&test, RECIPIENTS);
    test_write(test.store, sending_run, sending);
    assert_int_equal(sending->news_of_it, RECIPIENTS);
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM message"), 1);
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM delivery WHERE campaign_id IS NULL AND state = 0"),
                     RECIPIENTS);
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM lane"), 3);
    assert_int_equal(test_number(test.reader, "SELECT CAST(SUM(n) AS BIGINT) FROM event WHERE kind = 1"), RECIPIENTS);

    struct message found;
    uint64_t *ids;
    size_t count;
    struct fault why = {0};
    SCOPED(arena) arena = {0};
    assert_true(message_find(test.reader, &why, sending->message.id, true, &arena, &found));
    assert_true(slice_equal(found.body, sending->message.body));
    assert_true(slice_equal(found.tags, sending->message.tags));
    assert_true(slice_equal(found.subject, sending->message.subject));
    assert_int_equal(found.flags, MESSAGE_NEEDS_8BIT);
    assert_int_equal(found.key_id, 3);
    assert_true(message_deliveries(test.reader, &why, found.id, &arena, &ids, &count));
    assert_int_equal(count, RECIPIENTS);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(ids[i], sending->rows[i].delivery_id);
    assert_false(message_find(test.reader, &why, found.id + 256, true, &arena, &found));
    assert_int_equal(why.kind, FAULT_INPUT);
    sending_free(sending);
    test_store_end(&test);
}

static bool older_run(struct db *db, struct fault *why, void *context)
{
    return db_do(db, why, "UPDATE message SET name_hash = 0 WHERE message_id = '<b@shop.example>'", NO_VALUES, NULL);
}

static void a_mail_is_found_by_its_message_id(void **state)
{
    TEST_STORE(test, state);
    static const char *const names[] = {"<a@shop.example>", "<b@shop.example>", "<a@shop.example>", ""};
    struct fault why = {0};
    uint64_t ids[8], first[COUNT_OF(names)];
    size_t count;
    struct sending *sending = sending_of(&test, 2);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        sending->message.id = id_make_anywhere(store_ids(test.store), NOW);
        sending->message.message_id = slice_str(names[i]);
        test_write(test.store, sending_run, sending);
        first[i] = sending->rows[0].delivery_id;
    }
    assert_true(message_named(test.reader, &why, SLICE("<a@shop.example>"), ids, COUNT_OF(ids), &count));
    assert_int_equal(count, 4);
    assert_true(ids[0] == first[0] && ids[2] == first[2]); /* oldest mail first */
    assert_true(message_named(test.reader, &why, SLICE("<a@shop.example>"), ids, 3, &count));
    assert_int_equal(count, 3);
    assert_true(message_named(test.reader, &why, SLICE("<A@shop.example>"), ids, COUNT_OF(ids), &count));
    assert_int_equal(count, 0);
    /* one that came before the column did */
    test_write(test.store, older_run, NULL);
    assert_true(message_named(test.reader, &why, SLICE("<b@shop.example>"), ids, COUNT_OF(ids), &count));
    assert_int_equal(count, 2);
    assert_true(ids[0] == first[1]);
    sending_free(sending);
    test_store_end(&test);
}

/* RFC 8689: a mail that waives TLS policies has lanes of its own, and finds them again */
static void who_waives_tls_has_lanes_of_his_own(void **state)
{
    TEST_STORE(test, state);
    struct sending *sending = sending_of(&test, 6);
    for (int i = 0; i < 4; i++) {
        sending->message.id = id_make_anywhere(store_ids(test.store), NOW);
        sending->message.flags = i % 2 ? MESSAGE_WAIVES_TLS : 0;
        test_write(test.store, sending_run, sending);
    }
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM lane WHERE waives_tls = 0"), 3);
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM lane WHERE waives_tls = 1"), 3);
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM delivery d JOIN lane l ON l.id = d.lane_id JOIN "
                                              "message m ON m.id = d.message_id WHERE l.waives_tls = m.flags / 64"),
                     24);
    sending_free(sending);
    test_store_end(&test);
}

static void all_of_it_or_nothing(void **state) /* R6 */
{
    TEST_STORE(test, state);
    struct sending *sending = sending_of(&test, 20);
    struct fault why = {0};
    sending->must_fail = true;
    assert_false(test_write_try(test.store, sending_run, sending, &why));
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM message"), 0);
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM delivery"), 0);
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM event"), 0);
    sending->count = 0;
    assert_false(test_write_try(test.store, sending_run, sending, &why));
    assert_int_equal(why.kind, FAULT_INPUT);
    sending_free(sending);
    test_store_end(&test);
}

struct sweep {
    time_ms now;
    size_t most, looked;
};
static bool sweep_run(struct db *db, struct fault *why, void *context)
{
    struct sweep *sweep = context;
    return message_sweep(db, why, sweep->now, sweep->most, &sweep->looked);
}
static size_t swept(struct test_store *test, time_ms now, size_t most)
{
    struct sweep sweep = {now, most, 0};
    test_write(test->store, sweep_run, &sweep);
    return sweep.looked;
}
static bool data_add(struct db *db, struct fault *why, void *context)
{
    return db_do(db, why,
                 "INSERT INTO delivery_data (bucket, id, name, data) SELECT bucket, id, 'Hanako', '{}' FROM delivery",
                 NO_VALUES, NULL);
}
static bool end_all(struct db *db, struct fault *why, void *context)
{
    return db_do(db, why, "UPDATE delivery SET state = 5", NO_VALUES, NULL);
}
static int64_t bodies(struct test_store *test)
{
    return test_number(test->reader, "SELECT COUNT(*) FROM message WHERE length(body) > 0");
}

static void a_body_goes_when_nobody_needs_it(void **state)
{
    TEST_STORE(test, state);
    struct sending *sending = sending_of(&test, 5);
    for (int i = 0; i < 3; i++) {
        sending->message.id = id_make_anywhere(store_ids(test.store), NOW);
        test_write(test.store, sending_run, sending);
    }
    time_ms later = sending->message.keep_until;
    test_write(test.store, data_add, NULL);
    assert_int_equal(swept(&test, later - 1, 10), 0); /* not yet its time */
    assert_int_equal(swept(&test, later, 2), 2);      /* bounded; and still owed */
    assert_int_equal(bodies(&test), 3);
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM delivery_data"), 15);
    test_write(test.store, end_all, NULL);
    assert_int_equal(swept(&test, later, 10), 1);
    assert_int_equal(bodies(&test), 2);
    assert_int_equal(swept(&test, later + HOURS_MS(1), 10), 2); /* looked at again */
    assert_int_equal(swept(&test, later + DAYS_MS(9), 10), 0);
    assert_int_equal(bodies(&test), 0);
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM delivery_data"), 0);
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM message"), 3); /* what it was, stays */
    sending_free(sending);
    test_store_end(&test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(a_body_is_kept_once),
        ON_BOTH(a_mail_is_found_by_its_message_id),
        ON_BOTH(who_waives_tls_has_lanes_of_his_own),
        ON_BOTH(all_of_it_or_nothing),
        ON_BOTH(a_body_goes_when_nobody_needs_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
