/* Folded counters say what they said before (issue 4.1: growth), whatever broke the folding off, whatever came late. */
#include "report/fold.h"

#include "base/random.h"
#include "report/engaged.h"
#include "report/report.h"
#include "report/testing.h"
#include <stdio.h>

enum { DOMAINS = 260, SHOWN = 50, OVER = 1, RUNNING = 2, ROWS = 12000 };
#define ENDED ((time_ms)1795000000000)

static void domain_of(int i, char text[32])
{
    snprintf(text, 32, "d%03d.example", i);
}

/* Random counters of two campaigns: large domains and small ones, in all buckets. */
static bool counters_make(struct db *db, struct fault *why, void *context)
{
    struct random *random = context;
    for (uint64_t id = OVER; id <= RUNNING; id++)
        if (!db_do(db, why,
                   "INSERT INTO campaign (id, brand_id, name, content_version_id, list_id, state, expires_after_ms, "
                   "created_ms, finished_ms) VALUES ($1, 1, 'c', 1, 1, 'finished', 1, 1, $2)",
                   VALUES(V_INT((int64_t)id), V_INT(id == OVER ? ENDED : 0)), NULL))
            return false;
    for (int i = 0; i < ROWS; i++) {
        char domain[32];
        domain_of((int)(random_below(random, DOMAINS) * random_below(random, DOMAINS) / DOMAINS), domain);
        const struct value state[] = {V_INT((int64_t)random_below(random, ID_BUCKETS)),
                                      V_INT(1 + (int64_t)random_below(random, 2)), V_STR(domain),
                                      V_INT(i % 50 ? 5 + (int64_t)random_below(random, 5) : REPORT_LEFT_OUT),
                                      V_INT((int64_t)random_below(random, 9))};
        const struct value reason[] = {state[0],
                                       state[1],
                                       state[2],
                                       V_INT(i % 2 ? DELIVERY_BOUNCED : DELIVERY_EXPIRED),
                                       state[4],
                                       V_INT((int64_t)random_below(random, REASON_COUNT)),
                                       V_INT((int64_t)random_below(random, WHOSE_COUNT))};
        const struct value engaged[] = {state[0], state[1], V_INT((int64_t)random_below(random, ENGAGED_COUNT)),
                                        state[4]};
        if (!db_do(db, why,
                   "INSERT INTO count_state (bucket, campaign_id, domain, state, n) VALUES ($1, $2, $3, $4, $5) ON "
                   "CONFLICT DO NOTHING",
                   state, 5, NULL) ||
            !db_do(
                db, why,
                "INSERT INTO count_reason (bucket, campaign_id, domain, state, n, reason, whose) VALUES ($1, $2, $3, "
                "$4, $5, $6, $7) ON CONFLICT DO NOTHING",
                reason, 7, NULL) ||
            !db_do(db, why,
                   "INSERT INTO count_engaged (bucket, campaign_id, what, n) VALUES ($1, $2, $3, $4) ON CONFLICT DO "
                   "NOTHING",
                   engaged, 4, NULL))
            return false;
    }
    return db_do(db, why,
                 "INSERT INTO count_total SELECT campaign_id, 0, state, -1, 0, CAST(SUM(n) AS BIGINT) FROM count_state "
                 "GROUP BY campaign_id, state",
                 NO_VALUES, NULL) &&
           db_do(db, why,
                 "INSERT INTO count_total SELECT campaign_id, 0, state, reason, whose, CAST(SUM(n) AS BIGINT) FROM "
                 "count_reason GROUP BY campaign_id, state, reason, whose",
                 NO_VALUES, NULL);
}

/* All that reports ask, as one text. */
static struct slice story(struct test_store *test, uint64_t campaign_id, struct arena *arena)
{
    struct fault why = {0};
    SCOPED(buf) text = BUF(1 << 20);
    struct report_totals totals;
    struct report_domain *domains = NULL;
    struct report_reason *reasons = NULL;
    int64_t engaged[ENGAGED_COUNT];
    assert_totals_agree(test);
    size_t domain_count = 0, reason_count = 0;
    assert_true(report_totals(test->reader, &why, campaign_id, &totals) &&
                report_by_domain(test->reader, &why, campaign_id, SHOWN, arena, &domains, &domain_count) &&
                report_by_reason(test->reader, &why, campaign_id, SLICE(""), arena, &reasons, &reason_count) &&
                engaged_read(test->reader, &why, campaign_id, engaged));
    buf_printf(&text, "%lld left %lld\n", (long long)totals.accepted, (long long)totals.left_out);
    for (size_t i = 0; i < domain_count; i++) {
        buf_printf(&text, "%.*s left %lld:", SLICE_ARG(domains[i].domain), (long long)domains[i].totals.left_out);
        for (int state = 0; state < DELIVERY_STATE_COUNT; state++)
            buf_printf(&text, " %lld", (long long)domains[i].totals.states[state]);
        buf_byte(&text, '\n');
    }
    for (size_t i = 0; i < reason_count; i++) {
        buf_printf(&text, "%d %d:", (int)reasons[i].reason, (int)reasons[i].whose);
        for (int state = 0; state < DELIVERY_STATE_COUNT; state++)
            buf_printf(&text, " %lld", (long long)reasons[i].states[state]);
        buf_byte(&text, '\n');
    }
    for (int i = 0; i < ENGAGED_COUNT; i++)
        buf_printf(&text, "%lld ", (long long)engaged[i]);
    assert_true(buf_ok(&text));
    return arena_copy(arena, buf_slice(&text));
}

struct turn {
    const struct fold *fold;
    unsigned bucket;
    int64_t gone;
    bool fails;
};
static bool turn_run(struct db *db, struct fault *why, void *context)
{
    struct turn *turn = context;
    return fold_slice(db, why, turn->fold, 100, &turn->bucket, &turn->gone) &&
           (!turn->fails || fault_set(why, FAULT_INPUT, "on purpose"));
}

/* Fold whatever is to be, at most so many slices. 0: nothing was left to do. */
static int64_t fold_all(struct test_store *test, time_ms over, time_ms for_good, int slices)
{
    struct fault why = {0};
    int64_t gone = 0;
    while (slices > 0) {
        SCOPED(fold) fold = {0};
        struct turn turn = {.fold = &fold};
        assert_true(fold_next(test->reader, &why, over, for_good, &fold));
        if (!fold.campaign_id)
            break;
        for (; turn.bucket < ID_BUCKETS && slices-- > 0; gone += turn.gone) {
            struct turn broken = turn;
            broken.fails = true; /* what is rolled back has not happened */
            if (slices % 7 == 0)
                assert_false(test_write_try(test->store, turn_run, &broken, &why));
            test_write(test->store, turn_run, &turn);
        }
    }
    return gone;
}

static int64_t rows_of(struct test_store *test, int campaign_id)
{
    char sql[256];
    snprintf(sql, sizeof(sql),
             "SELECT (SELECT COUNT(*) FROM count_state WHERE campaign_id = %d) + (SELECT COUNT(*) FROM count_reason "
             "WHERE campaign_id = %d) + (SELECT COUNT(*) FROM count_engaged WHERE campaign_id = %d)",
             campaign_id, campaign_id, campaign_id);
    return test_number(test->reader, sql);
}

/* An error mail, weeks after the end: of a domain that has been folded into the rest. */
static bool late_run(struct db *db, struct fault *why, void *context)
{
    const struct event event = {.bucket = 9,
                                .seq = 1,
                                .at = ENDED + 1,
                                .kind = EVENT_BOUNCED,
                                .delivery_id = 1 << 8 | 9,
                                .campaign_id = OVER,
                                .domain = SLICE("d259.example"),
                                .state_before = DELIVERY_DELIVERED,
                                .state_after = DELIVERY_BOUNCED,
                                .verdict = {.reason = REASON_USER_UNKNOWN, .whose = WHOSE_ADDRESS}};
    return report_take(NULL, db, why, &event, 1);
}

static void folded_counters_say_the_same(void **state)
{
    TEST_STORE(test, state);
    struct arena arena = {0};
    struct random random;
    struct fault why = {0};
    struct report_totals before, after;
    random_seed(&random, 7);
    test_write(test.store, counters_make, &random);
    struct slice all = story(&test, 0, &arena), over = story(&test, OVER, &arena),
                 running = story(&test, RUNNING, &arena);
    int64_t rows = rows_of(&test, OVER), others = rows_of(&test, RUNNING);

    assert_int_equal(fold_all(&test, ENDED, 0, 1000), 0); /* not over for long enough */
    assert_true(fold_all(&test, ENDED + 1, 0, 5) > 0);    /* the program stops in the middle of it */
    assert_true(rows_of(&test, OVER) < rows);
    assert_slice("in the middle", story(&test, OVER, &arena), over);
    assert_true(fold_all(&test, ENDED + 1, 0, 1000) > 0);
    assert_slice("everything", story(&test, 0, &arena), all);
    assert_slice("the one that is over", story(&test, OVER, &arena), over);
    assert_slice("the one that runs", story(&test, RUNNING, &arena), running);
    assert_int_equal(rows_of(&test, RUNNING), others);
    assert_int_equal(test_number(test.reader, "SELECT COUNT(DISTINCT domain) FROM count_state WHERE campaign_id = 1"),
                     FOLD_DOMAINS_KEPT + 1);
    assert_int_equal(
        test_number(test.reader, "SELECT COUNT(*) FROM count_reason WHERE campaign_id = 1 AND bucket < 256"), 0);
    print_message("# %s: %lld rows became %lld\n", (char *)*state, (long long)rows, (long long)rows_of(&test, OVER));
    assert_int_equal(fold_all(&test, ENDED + 1, 0, 1000), 0); /* once */

    assert_true(report_totals(test.reader, &why, OVER, &before));
    test_write(test.store, late_run, NULL);
    for (int folds = 0; folds < 2; folds++) { /* before the second fold, and after it */
        assert_true(report_totals(test.reader, &why, OVER, &after));
        assert_int_equal(after.accepted, before.accepted);
        assert_int_equal(after.states[DELIVERY_DELIVERED], before.states[DELIVERY_DELIVERED] - 1);
        assert_int_equal(after.states[DELIVERY_BOUNCED], before.states[DELIVERY_BOUNCED] + 1);
        assert_int_equal(fold_all(&test, ENDED + 1, ENDED + 1, 1000) > 0, folds == 0);
    }
    assert_int_equal(
        test_number(test.reader, "SELECT COUNT(*) FROM count_state WHERE campaign_id = 1 AND bucket < 256"), 0);
    arena_release(&arena);
    test_store_end(&test);
}

static bool owed_put(struct db *db, struct fault *why, void *context)
{
    return db_do(db, why,
                 "INSERT INTO count_state (bucket, campaign_id, domain, state, n) VALUES (77, 1, 'x', 1, 3), (78, 1, "
                 "'x', 1, 0)",
                 NO_VALUES, NULL);
}

/* What is owed by the counters stays where those look who ask whether a campaign owes anything. */
static void what_is_owed_stays_in_its_bucket(void **state)
{
    TEST_STORE(test, state);
    struct random random;
    struct fault why = {0};
    unsigned bucket = 0;
    bool owes;
    random_seed(&random, 8);
    test_write(test.store, counters_make, &random);
    test_write(test.store, owed_put, NULL);
    assert_true(fold_all(&test, ENDED + 1, 0, 1000) > 0);
    assert_true(report_owes(test.reader, &why, OVER, &bucket, &owes));
    assert_true(owes);
    assert_int_equal(bucket, 77);
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM count_state WHERE state = 1"), 1);
    test_store_end(&test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(folded_counters_say_the_same),
        ON_BOTH(what_is_owed_stays_in_its_bucket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
