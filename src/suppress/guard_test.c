/* R36: a site whose share of unknown users is abnormal is not believed; one that is normal is. */
#include "base/test.h"
#include "suppress/guard.h"

static const time_ms NOW = 1795000000000;
static const struct policy_guard LIMITS = {
    .share_percent = 50,
    .normal_percent = 10,
    .times = 5,
    .least = 20,
    .probes = 5,
    .window = HOURS_MS(2),
    .probe_after = MINUTES_MS(30),
    .believe_after = DAYS_MS(5),
    .sites = {{SLICE_INIT("docomo"), 20}},
    .site_count = 1,
};

/* Answers one by one, every `nth` an unknown user; how many unknown users were believed before it held (-1: all). */
static int believed(struct guard_site *row, int answers, int nth_of_10, time_ms *at)
{
    int unknowns = 0;
    for (int i = 0; i < answers; i++, *at += 1000) {
        bool is_unknown = i * 7 % 10 < nth_of_10;
        if (guard_count(row, &LIMITS, 1, is_unknown, *at))
            return unknowns;
        unknowns += is_unknown;
    }
    return -1;
}

static void abnormal_is_held(void **state)
{
    static const struct {
        const char *row, *site;
        int old_answers, old_percent, answers, of_10;
        bool is_held;
    } table[] = {
        {"docomo that refuses 9 of 10", "docomo", 0, 0, 200, 9, true},
        {"docomo as ever", "docomo", 10000, 3, 200, 0, false},
        {"docomo, 3 of 10: above its ceiling of 20 %", "docomo", 0, 0, 200, 3, true},
        {"docomo, 1 of 10", "docomo", 0, 0, 200, 1, false},
        {"another site, 3 of 10: an old list", "mx.example.jp", 0, 0, 200, 3, false},
        {"another site, 9 of 10", "mx.example.jp", 0, 0, 200, 9, true},
        {"three of ten where it was always 1 %", "mx.example.jp", 10000, 1, 200, 3, true},
        {"three of ten where it was always 8 %", "mx.example.jp", 10000, 8, 200, 3, false},
        {"one of ten where it was always 1 %: normal for anybody", "mx.example.jp", 10000, 1, 200, 1, false},
        {"all of a few: too few to say", "mx.example.jp", 0, 0, 15, 10, false},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct guard_site row = {.site = slice_str(table[i].site),
                                 .window = NOW,
                                 .tried_ever = table[i].old_answers,
                                 .unknown_ever = table[i].old_answers * table[i].old_percent / 100};
        time_ms at = NOW;
        int before = believed(&row, table[i].answers, table[i].of_10, &at);
        assert_int_row(table[i].row, before >= 0, table[i].is_held);
        assert_row(table[i].row, before <= LIMITS.least * 2);
    }
}

static void error_mails_of_days_ago_hold_nothing(void **state)
{
    struct guard_site row = {.site = SLICE("au"), .window = NOW, .tried_ever = 3000, .unknown_ever = 30};
    for (int i = 0; i < 100; i++)
        assert_false(guard_count(&row, &LIMITS, 0, 1, NOW + i));
}

static void old_windows_fade(void **state)
{
    struct guard_site row = {.site = SLICE("docomo"), .window = NOW};
    guard_count(&row, &LIMITS, 1000, 30, NOW + 1);
    assert_int_equal(guard_share(&row), 3);
    guard_count(&row, &LIMITS, 0, 0, NOW + HOURS_MS(1)); /* the half window passes */
    assert_int_equal(row.tried, 0);
    assert_int_equal(row.tried_before, 1000);
    guard_count(&row, &LIMITS, 0, 0, NOW + HOURS_MS(2));
    assert_int_equal(row.tried_before, 0);
    assert_int_equal(row.tried_ever, 1000);
    guard_count(&row, &LIMITS, 500, 20, NOW + HOURS_MS(2));
    guard_count(&row, &LIMITS, 0, 0, NOW + DAYS_MS(9)); /* long ago: both at once */
    assert_int_equal(row.tried_ever, 1000 * 98 / 100 + 500);
    assert_int_equal(row.unknown_ever, 30 * 98 / 100 + 20);
    assert_int_equal(guard_limit(&row, &LIMITS), 16); /* 5 x 3.3 %, below docomo's ceiling of 20 */
}

static void it_ends_when_answers_are_normal_again(void **state)
{
    struct guard_site row = {.site = SLICE("docomo"), .window = NOW, .is_holding = true, .since = NOW};
    guard_count(&row, &LIMITS, 4, 0, NOW);
    assert_false(guard_is_normal_again(&row, &LIMITS)); /* too few */
    guard_count(&row, &LIMITS, 1, 0, NOW);
    assert_true(guard_is_normal_again(&row, &LIMITS));
    row = (struct guard_site){.site = SLICE("docomo"), .window = NOW, .is_holding = true, .since = NOW};
    guard_count(&row, &LIMITS, 5, 4, NOW);
    assert_false(guard_is_normal_again(&row, &LIMITS));
    assert_int_equal(row.tried_ever + row.tried, 0); /* what was said in an abnormal hour is no history */
}

static void tries_become_rarer(void **state)
{
    time_ms last = 0;
    for (int rounds = 0; rounds < 12; rounds++) {
        time_ms wait = guard_probe_wait(&LIMITS, rounds);
        assert_true(wait >= last && wait <= HOURS_MS(12));
        last = wait;
    }
    assert_int_equal(guard_probe_wait(&LIMITS, 0), MINUTES_MS(30));
    assert_int_equal(last, HOURS_MS(12));
}

static void no_share_no_guard(void **state)
{
    struct guard_site row = {.site = SLICE("docomo"), .window = NOW};
    struct policy_guard none = {0};
    assert_false(guard_count(&row, &none, 1000, 1000, NOW));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(abnormal_is_held),   cmocka_unit_test(error_mails_of_days_ago_hold_nothing),
        cmocka_unit_test(old_windows_fade),   cmocka_unit_test(it_ends_when_answers_are_normal_again),
        cmocka_unit_test(tries_become_rarer), cmocka_unit_test(no_share_no_guard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
