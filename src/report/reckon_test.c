/* Issue 4.5: "when it will be done at this pace", reckoned by hand */
#include "report/reckon.h"

#include "base/test.h"

#define NOON     (20000 * DAYS_MS(1) + 12 * 3600000LL)
#define MIDNIGHT (20001 * DAYS_MS(1))
#define SLOW(r)                                                                                                        \
    {                                                                                                                  \
        .rate = (r)                                                                                                    \
    }

static const struct {
    const char *what;
    struct reckon_source sources[3];
    size_t count;
    int64_t owed;
    time_ms done, near; /* near: so exactly, ms */
} rows[] = {
    {"no source", {{0}}, 0, 10, 0, 0},
    {"100 at 2/s: 50 s", {SLOW(2)}, 1, 100, NOON + 50000, 2},
    {"two sources share it: 100 at 2/s and 3/s: 20 s", {SLOW(2), SLOW(3)}, 2, 100, NOON + 20000, 2},
    {"no rate limits it: at once", {SLOW(0)}, 1, 100, NOON, 2},
    {"suspended for an hour, then 100 at 2/s",
     {{.rate = 2, .opens = NOON + 3600000}},
     1,
     100,
     NOON + 3600000 + 50000,
     2},
    {"one is suspended for 10 s, the other is not: 100 at 5/s and 5/s, the second from 10 s on: 15 s",
     {SLOW(5), {.rate = 5, .opens = NOON + 10000}},
     2,
     100,
     NOON + 15000,
     2},
    {"a daily cap of 20, used up: 20 left go at midnight, at 2/s in 10 s",
     {{.rate = 2, .is_capped = true, .left_today = 0, .a_day = 20}},
     1,
     20,
     MIDNIGHT + 10000,
     2},
    {"a daily cap of 20 with 5 left: 65 are 5 today, 20, 20, and 20 on the third day",
     {{.rate = 0, .is_capped = true, .left_today = 5, .a_day = 20}},
     1,
     65,
     MIDNIGHT + 2 * DAYS_MS(1),
     2},
    {"a warm-up 10,20,50 on its first day, used up: 90 are 20, 50 and 20 of a day without limit",
     {{.rate = 0, .is_capped = true, .caps = SLICE_INIT("10,20,50"), .step = 0}},
     1,
     90,
     MIDNIGHT + 2 * DAYS_MS(1),
     2},
    {"a warm-up's source, and one without a plan that does the rest at 1/s",
     {{.rate = 0, .is_capped = true, .left_today = 10, .caps = SLICE_INIT("10,20"), .step = 0}, SLOW(1)},
     2,
     70,
     NOON + 60000,
     2},
    {"the rate fills more than a day: 86,400 at 1/s from noon end at noon", {SLOW(1)}, 1, 86400, NOON + DAYS_MS(1), 2},
    {"never", {{.rate = 0, .is_capped = true, .left_today = 0, .a_day = 1}}, 1, 1000000, 0, 0},
};

static void when_it_is_done(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        time_ms done = reckon_done(rows[i].sources, rows[i].count, rows[i].owed, NOON);
        if (done < rows[i].done - rows[i].near || done > rows[i].done + rows[i].near)
            fail_msg("%s: got %lld s after noon, want %lld", rows[i].what, (long long)(done - NOON) / 1000,
                     (long long)(rows[i].done - NOON) / 1000);
    }
}

static void what_a_day_allows(void **unused)
{
    (void)unused;
    const struct reckon_source capped[] = {{.is_capped = true, .left_today = 3, .caps = SLICE_INIT("10,20"), .step = 0},
                                           {.is_capped = true, .left_today = 0, .a_day = 7}};
    assert_int_equal(reckon_cap(capped, 2, 0), 3);
    assert_int_equal(reckon_cap(capped, 2, 1), 27);
    assert_int_equal(reckon_cap(capped, 2, 2), -1); /* the plan is over */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(when_it_is_done), cmocka_unit_test(what_a_day_allows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
