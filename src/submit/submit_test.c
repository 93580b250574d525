/* The door down: rows, lanes and the ACCEPTED events that count them (F14, R34), on both stores. */
#include "store/testing.h"
#include "submit/submit.h"

#include "mail/address.h"

#define NOW ((time_ms)1795321800000)
enum { PEOPLE_MOST = 400 };

struct submission {
    struct submit_order order;
    char addresses[PEOPLE_MOST][40];
    struct submit_row rows[PEOPLE_MOST]; /* sorted by bucket */
    size_t count;
    struct arena arena;
    int64_t made, news_of_it; /* deliveries; the news' counts */
    bool must_fail;
};

static struct submission *submission_of(uint64_t campaign, size_t count)
{
    struct submission *submission = NEW(struct submission);
    submission->order = (struct submit_order){
        .brand_id = 7, .campaign_id = campaign, .priority = 1, .now = NOW, .due = NOW + 5, .expires = NOW + 1000};
    submission->count = count;
    for (size_t i = 0; i < count; i++)
        snprintf(submission->addresses[i], 40, "p%zu@domain%zu.example", i, i % 3);
    return submission;
}
static void submission_free(struct submission *submission)
{
    arena_release(&submission->arena);
    free(submission);
}

static bool submission_run(struct db *db, struct fault *why, void *context)
{
    struct submission *submission = context;
    submission->made = submission->news_of_it = 0;
    for (unsigned bucket = 0; bucket < BUCKETS; bucket++) {
        struct submit_row *rows = submission->rows;
        size_t count = 0, news_count;
        for (size_t i = 0; i < submission->count; i++) {
            struct slice address = slice_str(submission->addresses[i]);
            if (address_bucket(address) == bucket)
                rows[count++] = (struct submit_row){.contact_id = i + 1, .address = address, .written = address};
        }
        struct submit_news *news;
        if (!submit_rows(db, why, &submission->order, rows, count, &submission->arena, &news, &news_count))
            return false;
        for (size_t i = 0; i < count; i++) {
            submission->made += rows[i].delivery_id != 0;
            assert_true(rows[i].delivery_id == 0 || id_bucket(rows[i].delivery_id) == bucket);
        }
        for (size_t i = 0; i < news_count; i++) {
            submission->news_of_it += (int64_t)news[i].count;
            assert_int_equal(news[i].bucket, bucket);
            assert_int_equal(news[i].due, NOW + 5);
            assert_true(news[i].lane.id != 0);
        }
    }
    return !submission->must_fail || fault_set(why, FAULT_INPUT, "as the test wants it");
}

static int64_t accepted(struct test_store *test)
{
    return test_number(test->reader, "SELECT CAST(COALESCE(SUM(n), 0) AS BIGINT) FROM event WHERE kind = 1 AND "
                                     "state_after = 0");
}

static void twice_adds_nobody(void **state)
{
    TEST_STORE(test, state);
    struct submission *first = submission_of(5, 300);
    test_write(test.store, submission_run, first);
    assert_int_equal(first->made, 300);
    assert_int_equal(first->news_of_it, 300);
    test_write(test.store, submission_run, first); /* F14: the second click */
    assert_int_equal(first->made, 0);
    assert_int_equal(first->news_of_it, 0);
    struct submission *more = submission_of(5, 310);
    test_write(test.store, submission_run, more); /* several lists, one mail (U8) */
    assert_int_equal(more->made, 10);
    struct submission *other = submission_of(6, 300);
    test_write(test.store, submission_run, other); /* another campaign writes to the same people */
    assert_int_equal(other->made, 300);
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM delivery"), 610);
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM delivery WHERE state = 0 AND due_ms > 0"), 610);
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM lane"), 6); /* campaign x domain */
    assert_int_equal(accepted(&test), 610);
    submission_free(first);
    submission_free(more);
    submission_free(other);
    test_store_end(&test);
}

static void a_fault_leaves_nothing(void **state)
{
    TEST_STORE(test, state);
    struct submission *submission = submission_of(5, 300);
    submission->must_fail = true;
    struct fault why;
    assert_false(test_write_try(test.store, submission_run, submission, &why));
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM delivery"), 0);
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM lane"), 0);
    assert_int_equal(accepted(&test), 0);
    submission->must_fail = false;
    test_write(test.store, submission_run, submission);
    assert_int_equal(submission->made, 300);
    submission_free(submission);
    test_store_end(&test);
}

static bool broken_run(struct db *db, struct fault *why, void *context)
{
    SCOPED(arena) arena = {0};
    struct submit_row row = {.address = SLICE("nobody"), .written = SLICE("nobody")};
    struct submit_order order = {.brand_id = 7, .campaign_id = 5, .now = NOW};
    struct submit_news *news;
    size_t count;
    return submit_rows(db, why, &order, &row, 1, &arena, &news, &count);
}
static void an_address_without_domain_is_refused(void **state)
{
    TEST_STORE(test, state);
    struct fault why;
    assert_false(test_write_try(test.store, broken_run, NULL, &why));
    assert_int_equal(why.kind, FAULT_INPUT);
    test_store_end(&test);
}

/* Transactional mail: the same person may get many. */
static void transactional_mail_is_not_made_unique(void **state)
{
    TEST_STORE(test, state);
    struct submission *submission = submission_of(0, 3);
    submission->order.priority = 0;
    submission->order.message_id = 44;
    test_write(test.store, submission_run, submission);
    submission->order.message_id = 45;
    test_write(test.store, submission_run, submission);
    assert_int_equal(submission->made, 3);
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM delivery WHERE campaign_id IS NULL"), 6);
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM lane"), 3);
    submission_free(submission);
    test_store_end(&test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(twice_adds_nobody),
        ON_BOTH(a_fault_leaves_nothing),
        ON_BOTH(an_address_without_domain_is_refused),
        ON_BOTH(transactional_mail_is_not_made_unique),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
