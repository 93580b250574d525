/* What is owed is found again at start, a piece at a time (issue 4: first delivery with a million owed): on both
 * stores. */
#include "queue/lanes_test.h"

static void a_restart_finds_everything_again(void **state)
{
    FIXTURE(fixture, state);
    add(&fixture, "ann@example.jp", 5, 1, NOW);
    add(&fixture, "bob@example.jp", 6, 0, NOW + 10);
    add(&fixture, "cat@example.net", 5, 1, NOW + 20);
    lanes_free(fixture.lanes);
    start(&fixture);
    assert_int_equal(lanes_figures(fixture.lanes).lanes, 3);
    route(&fixture, "example.jp", 0);
    route(&fixture, "example.net", 1);
    lanes_wake(fixture.lanes, NOW + 20);
    assert_int_equal(claim(&fixture, 0, NOW + 20, 10), 2);
    assert_slice("transactional first", fixture.list->address, SLICE("bob@example.jp"));
    assert_int_equal(claim(&fixture, 1, NOW + 20, 10), 1);
    end(&fixture);
}

/* Rows of one domain in every part of the buckets; then as after a restart, with nothing read yet. */
enum { SPREAD = 300 };
static void begin_with_many(struct fixture *fixture, uint64_t campaign)
{
    for (int i = 0; i < SPREAD; i++) {
        char address[32];
        snprintf(address, sizeof(address), "p%d@example.jp", i);
        add(fixture, address, campaign, 1, NOW + i % 3);
    }
    lanes_free(fixture->lanes);
    memset(fixture->groups, 0, sizeof(fixture->groups));
    fixture->lanes = lanes_new(fixture->store.reader, want_route, woken, fixture);
    lanes_rank(fixture->lanes, 5, NOW + 2);
    lanes_load_begin(fixture->lanes);
}
static bool load_more(struct fixture *fixture)
{
    bool is_done;
    struct fault why;
    if (!lanes_load_more(fixture->lanes, &is_done, &why))
        fail_msg("%s", why.text);
    return is_done;
}

static void what_is_found_first_goes_first(void **state)
{
    FIXTURE(fixture, state);
    begin_with_many(&fixture, 6);
    assert_false(load_more(&fixture));
    route(&fixture, "example.jp", 0);
    lanes_wake(fixture.lanes, NOW + 9);
    size_t found = claim(&fixture, 0, NOW + 9, SPREAD);
    assert_true(found > 0 && found < SPREAD / 2);
    for (bool is_done = false; !is_done;) {
        is_done = load_more(&fixture);
        lanes_wake(fixture.lanes, NOW + 9);
        found += claim(&fixture, 0, NOW + 9, SPREAD);
    }
    assert_int_equal(found, SPREAD);
    end(&fixture);
}

/* S50: in the buckets that are not read yet there may be an earlier rank. */
static void ranks_wait_until_all_is_read(void **state)
{
    FIXTURE(fixture, state);
    begin_with_many(&fixture, 5);
    route(&fixture, "example.jp", 0);
    while (!load_more(&fixture)) {
        lanes_wake(fixture.lanes, NOW + 9);
        assert_int_equal(fixture.groups[0].active_count, 0);
    }
    size_t found = 0, before = 0;
    time_ms last = 0;
    do {
        before = found;
        lanes_wake(fixture.lanes, NOW + 9);
        for (found += claim(&fixture, 0, NOW + 9, 7); fixture.list;) {
            struct recipient *recipient = take(&fixture);
            assert_true(recipient->due >= last);
            last = recipient->due;
        }
    } while (found > before);
    assert_int_equal(found, SPREAD);
    end(&fixture);
}

/* What is served may change in the middle of it. */
static void begun_again_it_goes_round_once_more(void **state)
{
    FIXTURE(fixture, state);
    begin_with_many(&fixture, 6);
    int pieces = 0, again = 0;
    while (!load_more(&fixture))
        pieces++;
    lanes_load_begin(fixture.lanes);
    load_more(&fixture);
    lanes_load_begin(fixture.lanes);
    lanes_load_begin(fixture.lanes);
    while (!load_more(&fixture))
        again++;
    assert_true(pieces > 4);
    assert_true(again > pieces && again <= 2 * pieces + 2);
    end(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(a_restart_finds_everything_again),
        ON_BOTH(what_is_found_first_goes_first),
        ON_BOTH(ranks_wait_until_all_is_read),
        ON_BOTH(begun_again_it_goes_round_once_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
