/* R28, S50, U12: caps of a day hold whatever crashes, on both stores; a warm-up goes on only while the receivers are
 * content
 */
#include "base/test.h"
#include "shape/allowance.h"
#include "shape/source.h"
#include "store/testing.h"

#include <stdio.h>

#define DAY_ONE ((time_ms)20000 * DAYS_MS(1) + HOURS_MS(9))

static bool reserve_run(struct db *db, struct fault *why, void *context)
{
    return allowance_reserve(db, why, context);
}

static struct allowance_ask ask(struct test_store *test, struct allowance_ask ask)
{
    test_write(test->store, reserve_run, &ask);
    return ask;
}

struct begin {
    uint64_t source_id;
    const char *group, *caps;
};
static bool begin_run(struct db *db, struct fault *why, void *context)
{
    const struct begin *begin = context;
    return warm_up_begin(db, why, begin->source_id, slice_str(begin->group), slice_str(begin->caps), DAY_ONE);
}

static void nothing_limits_without_a_rule_or_a_plan(void **state)
{
    TEST_STORE(test, state);
    struct allowance_ask got =
        ask(&test, (struct allowance_ask){.source_id = 7, .site = SLICE("google"), .want = 10, .now = DAY_ONE});
    assert_int_equal(got.bound, ALLOWANCE_NONE);
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM daily_use"), 0);
    test_store_end(&test);
}

/* Blocks are written down first: whoever forgets them (a crash) loses them, and the sum never exceeds the cap. */
static void blocks_never_exceed_the_cap(void **state)
{
    TEST_STORE(test, state);
    int sent = 0, lost = 0, last = 7;
    for (int i = 0; i < 400; i++) {
        struct allowance_ask got =
            ask(&test, (struct allowance_ask){.site = SLICE("one"), .daily = 500, .want = 7, .now = DAY_ONE + i});
        assert_int_equal(got.bound, ALLOWANCE_DAILY);
        assert_int_equal(got.cap, 500);
        assert_int_equal(got.day, 20000);
        assert_true((int)got.granted <=
                    last); /* the end is given out in ever smaller pieces, the last eight one by one */
        assert_int_equal(got.granted, sent + lost == 500 ? 0 : sent + lost >= 485 ? 1 : got.granted);
        last = (int)got.granted;
        *(i % 9 == 0 ? &lost : &sent) += (int)got.granted; /* nothing of it was used */
    }
    assert_true(sent + lost == 500 && sent > 400);
    assert_int_equal(test_number(test.reader, "SELECT reserved FROM daily_use"), 500);
    struct allowance_ask got =
        ask(&test, (struct allowance_ask){.site = SLICE("one"), .daily = 500, .want = 7, .now = DAY_ONE + DAYS_MS(1)});
    assert_int_equal(got.granted, 7); /* another day */
    got = ask(&test, (struct allowance_ask){.site = SLICE("one"),
                                            .daily = 500,
                                            .unused = 5,
                                            .unused_day = got.day,
                                            .unused_of = got.of,
                                            .now = DAY_ONE + DAYS_MS(1)});
    assert_int_equal(got.granted, 0);
    assert_int_equal(test_number(test.reader, "SELECT reserved FROM daily_use WHERE day = 20001"), 2);
    got = ask(&test, (struct allowance_ask){.site = SLICE("two"), .daily = 500, .want = 7, .now = DAY_ONE});
    assert_int_equal(got.granted, 7); /* another site */
    test_store_end(&test);
}

static void judged_by_the_day_before(void **state)
{
    static const struct {
        const char *name;
        int64_t cap, reserved, delivered, deferred, complaints;
        int step;
    } rows[] = {
        {"a good day", 100, 100, 98, 2, 0, 1},       {"half of it used", 100, 50, 50, 0, 0, 1},
        {"hardly used", 100, 49, 49, 0, 0, 0},       {"5 % deferred", 100, 100, 95, 5, 0, 0},
        {"4 % deferred", 100, 100, 96, 4, 0, 1},     {"one in five deferred", 100, 100, 79, 21, 0, -1},
        {"nothing taken", 100, 100, 0, 100, 0, -1},  {"one complaint of 1,000", 1000, 1000, 1000, 0, 1, 0},
        {"one of 2,000", 2000, 2000, 2000, 0, 1, 1}, {"nothing sent", 100, 0, 0, 0, 0, 0},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const char *why;
        int step =
            warm_up_judge(rows[i].cap, rows[i].reserved, rows[i].delivered, rows[i].deferred, rows[i].complaints, &why);
        assert_int_row(rows[i].name, step, rows[i].step);
        assert_int_row(rows[i].name, *why == '\0', step == 1);
    }
}

static void caps_of_a_plan(void **state)
{
    static const char *const wrong[] = {"", "0", "50,", "50,40", "50,50", "fifty", "-5", "50;100"};
    struct fault why;
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        assert_false(warm_up_caps_check(slice_str(wrong[i]), &why));
    assert_true(warm_up_caps_check(SLICE("50,100,500"), &why));
    assert_int_equal(warm_up_cap(SLICE("50,100,500"), 0), 50);
    assert_int_equal(warm_up_cap(SLICE("50,100,500"), 2), 500);
    assert_int_equal(warm_up_cap(SLICE("50,100,500"), 3), -1);
}

/* Use a whole day of it, with so many deferred. */
static int64_t a_day(struct test_store *test, int day, const char *site, unsigned deferred_percent)
{
    int64_t sent = 0, deferred = 0;
    unsigned got_before = 0;
    for (int i = 0; i < 100; i++) {
        unsigned later = (unsigned)(sent * deferred_percent / 100 - deferred); /* of the last block */
        deferred += later;
        struct allowance_ask got = ask(test, (struct allowance_ask){.source_id = 9,
                                                                    .site = slice_str(site),
                                                                    .want = 10,
                                                                    .delivered = got_before - later,
                                                                    .deferred = later,
                                                                    .now = DAY_ONE + DAYS_MS(day) + i});
        if (got.bound == ALLOWANCE_NONE)
            return -1;
        assert_int_equal(got.bound, ALLOWANCE_WARM_UP);
        sent += got.granted;
        got_before = got.granted;
    }
    return sent;
}

static void a_plan_day_by_day(void **state)
{
    TEST_STORE(test, state);
    struct begin all = {9, "*", "50,100,500"}, google = {9, "google", "20,40"};
    test_write(test.store, begin_run, &all);
    test_write(test.store, begin_run, &google);
    assert_int_equal(a_day(&test, 0, "google", 0), 20); /* its own plan */
    assert_int_equal(a_day(&test, 0, "docomo", 0), 50);
    assert_int_equal(a_day(&test, 0, "au", 0), 0);        /* all others together */
    assert_int_equal(a_day(&test, 1, "docomo", 10), 100); /* a good day before; 10 % deferred now */
    assert_int_equal(a_day(&test, 2, "docomo", 30), 100); /* so it is repeated */
    assert_int_equal(a_day(&test, 3, "docomo", 0), 50);   /* and one step back */
    assert_int_equal(a_day(&test, 4, "docomo", 0), 100);
    assert_int_equal(a_day(&test, 5, "docomo", 0), 500);
    assert_int_equal(a_day(&test, 6, "docomo", 0), -1); /* done */
    assert_int_equal(a_day(&test, 6, "au", 0), -1);
    assert_int_equal(a_day(&test, 6, "google", 0), 40);
    struct arena arena = {0};
    struct warm_up *list;
    size_t count;
    struct fault why;
    assert_true(warm_up_list(test.reader, &why, 9, DAY_ONE + DAYS_MS(6), &arena, &list, &count));
    assert_int_equal(count, 2);
    assert_int_equal(list[0].cap, -1);
    assert_slice("group", list[1].group, SLICE("google"));
    assert_int_equal(list[1].cap, 40);
    assert_int_equal(list[1].reserved, 40);
    arena_release(&arena);
    test_store_end(&test);
}

/* R28: a plan begins in the middle of a day: what one site gives back was never taken of it. */
static void what_was_not_taken_of_a_plan_is_not_given_back_to_it(void **state)
{
    TEST_STORE(test, state);
    const struct allowance_ask of_one = {
        .source_id = 9, .site = SLICE("one"), .daily = 1000, .want = 10, .now = DAY_ONE};
    const struct allowance_ask of_two = {.source_id = 9, .site = SLICE("two"), .want = 10, .now = DAY_ONE};
    struct allowance_ask before = ask(&test, of_one), got, back = of_one;
    assert_int_equal(before.granted, 10);
    struct begin all = {9, "*", "20,40"};
    test_write(test.store, begin_run, &all);
    int64_t sent = 0;
    do {
        got = ask(&test, of_two);
        sent += got.granted;
    } while (got.granted);
    assert_int_equal(sent, 20);
    back.want = 0;
    back.unused = before.granted;
    back.unused_day = before.day;
    back.unused_of = before.of;
    assert_int_equal(ask(&test, back).granted, 0);
    assert_int_equal(ask(&test, of_two).granted, 0);
    assert_int_equal(test_number(test.reader, "SELECT reserved FROM daily_use WHERE grp = 'site one'"), 0);
    assert_int_equal(test_number(test.reader, "SELECT reserved FROM daily_use WHERE grp = 'warm *'"), 20);
    test_store_end(&test);
}

static bool complaint_run(struct db *db, struct fault *why, void *context)
{
    time_ms at = *(time_ms *)context;
    return db_do(
        db, why,
        "INSERT INTO event (bucket, seq, id, at_ms, kind, delivery_id, site) VALUES (1, $1, $2, $1, 13, 7, 'x')",
        VALUES(V_INT(at), V_INT((int64_t)id_first_of(at) + 1)), NULL);
}

/* D08, S51: what was sent on Friday is complained of on Saturday, and the source's next mail is on Monday. */
static void complaints_behind_a_pause_are_heard(void **state)
{
    TEST_STORE(test, state);
    struct begin all = {9, "*", "50,100,500"};
    time_ms late = DAY_ONE + DAYS_MS(1) + HOURS_MS(2), too_late = DAY_ONE + DAYS_MS(6) + HOURS_MS(2);
    test_write(test.store, begin_run, &all);
    assert_int_equal(a_day(&test, 0, "docomo", 0), 50);
    test_write(test.store, complaint_run, &late);
    assert_int_equal(a_day(&test, 3, "docomo", 0), 50);
    test_write(test.store, complaint_run, &too_late); /* of others: nothing of ours was sent for days */
    assert_int_equal(a_day(&test, 7, "docomo", 0), 100);
    test_store_end(&test);
}

static bool end_run(struct db *db, struct fault *why, void *context)
{
    const struct begin *begin = context;
    return warm_up_end(db, why, begin->source_id, slice_str(begin->group));
}

static void a_plan_that_is_none_is_not_ended(void **state)
{
    TEST_STORE(test, state);
    struct begin google = {9, "google", "20,40"}, all = {9, "*", ""};
    struct fault why = {0};
    test_write(test.store, begin_run, &google);
    assert_false(test_write_try(test.store, end_run, &all, &why));
    assert_int_equal(why.kind, FAULT_INPUT);
    test_write(test.store, end_run, &google);
    assert_false(test_write_try(test.store, end_run, &google, &why));
    test_store_end(&test);
}

static bool add_run(struct db *db, struct fault *why, void *context)
{
    return source_add(db, why, context, DAY_ONE);
}

static void sources_are_kept(void **state)
{
    TEST_STORE(test, state);
    struct source one = {
        .ip = ip_v4(192, 0, 2, 1), .ehlo_name = SLICE("out1.example.jp"), .pool = SLICE("news"), .weight = 3};
    struct fault why;
    test_write(test.store, add_run, &one);
    assert_false(test_write_try(test.store, add_run, &one, &why)); /* there already */
    struct source wrong[] = {one, one, one};
    wrong[0].ehlo_name = SLICE("localhost");
    wrong[1].pool = SLICE("two words");
    wrong[2].weight = 0;
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        wrong[i].ip = ip_v4(192, 0, 2, 9);
        assert_false(test_write_try(test.store, add_run, &wrong[i], &why));
        assert_int_equal(why.kind, FAULT_INPUT);
    }
    struct arena arena = {0};
    struct source *list, found;
    size_t count;
    assert_true(source_list(test.reader, &why, &arena, &list, &count));
    assert_int_equal(count, 1);
    assert_true(source_is_usable(&list[0]));
    assert_slice("ehlo", list[0].ehlo_name, SLICE("out1.example.jp"));
    assert_int_equal(list[0].weight, 3);
    assert_true(source_find(test.reader, &why, &one.ip, &arena, &found));
    assert_int_equal(found.id, one.id);
    assert_false(source_find(test.reader, &why, &wrong[0].ip, &arena, &found));
    arena_release(&arena);
    test_store_end(&test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(nothing_limits_without_a_rule_or_a_plan),
        ON_BOTH(blocks_never_exceed_the_cap),
        cmocka_unit_test(judged_by_the_day_before),
        cmocka_unit_test(caps_of_a_plan),
        ON_BOTH(a_plan_day_by_day),
        ON_BOTH(what_was_not_taken_of_a_plan_is_not_given_back_to_it),
        ON_BOTH(complaints_behind_a_pause_are_heard),
        ON_BOTH(a_plan_that_is_none_is_not_ended),
        ON_BOTH(sources_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
