/* The pace of what somebody looks at, from counts seen some seconds ago. */
#include "api/live.h"
#include "base/test.h"

static void the_pace_follows_the_counts(void **state)
{
    struct pace_seen seen = {0};
    time_ms now = 100000;
    assert_true(pace_seen_rate(&seen, 0, now) < 0);        /* nothing seen before */
    assert_true(pace_seen_rate(&seen, 50, now + 500) < 0); /* too soon to tell */
    assert_true(pace_seen_rate(&seen, 100, now + 1000) == 100.0);
    for (int i = 3; i <= 60; i++) { /* half a second apart, 100 a second */
        double rate = pace_seen_rate(&seen, i * 50, now + i * 500);
        assert_true(rate > 99.9 && rate < 100.1);
    }
    double rate = -1;
    for (int i = 61; i <= 80; i++) /* it stops: within the window the pace is 0 */
        rate = pace_seen_rate(&seen, 3000, now + i * 500);
    assert_true(rate == 0);
}

static void nothing_is_told_from_long_ago(void **state)
{
    struct pace_seen seen = {0};
    (void)pace_seen_rate(&seen, 0, 1000);
    assert_true(pace_seen_rate(&seen, 9000, 1000 + 3 * LIVE_WINDOW_MS) < 0);
    assert_true(pace_seen_rate(&seen, 8000, 2000 + 3 * LIVE_WINDOW_MS) < 0); /* fewer than before: counted anew */
    assert_true(pace_seen_rate(&seen, 8100, 3000 + 3 * LIVE_WINDOW_MS) == 100.0);
}

static void the_campaign_looked_at_longest_ago_gives_way(void **state)
{
    struct live *live = NEW(struct live);
    for (uint64_t id = 1; id <= LIVE_CAMPAIGNS; id++)
        live_of(live, id, (time_ms)id)->members = (int64_t)id;
    assert_int_equal(live_of(live, 1, 100)->members, 1);
    live_of(live, 77, 101)->members = 77; /* takes the place of 2 */
    assert_int_equal(live_of(live, 1, 102)->members, 1);
    assert_int_equal(live_of(live, 2, 103)->members, 0);
    assert_int_equal(live_of(live, 77, 104)->members, 77);
    struct live_campaign *campaign = live_of(live, 77, 105);
    struct pace_seen *one = live_receiver(campaign, SLICE("a.example"));
    assert_non_null(one);
    assert_ptr_equal(live_receiver(campaign, SLICE("a.example")), one);
    for (int i = 1; i < LIVE_RECEIVERS; i++) {
        char name[16];
        snprintf(name, sizeof(name), "%d.example", i);
        assert_non_null(live_receiver(campaign, slice_str(name)));
    }
    assert_null(live_receiver(campaign, SLICE("one too many")));
    free(live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_pace_follows_the_counts),
        cmocka_unit_test(nothing_is_told_from_long_ago),
        cmocka_unit_test(the_campaign_looked_at_longest_ago_gives_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
