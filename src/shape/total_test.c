/* R28: limits over all sources and nodes hold in any window and at any moment, whoever crashes, waits or begins */
#include "shape/total.h"

#include "base/random.h"
#include "store/testing.h"

#include <stdio.h>

static bool reserve_run(struct db *db, struct fault *why, void *context)
{
    return total_reserve(db, why, context);
}

struct fixture {
    struct test_store store;
    struct world world;
};
static struct total_ask ask(struct fixture *f, struct total_ask ask)
{
    ask.world = &f->world;
    test_write(f->store.store, reserve_run, &ask);
    return ask;
}

/* ── turns ── */

enum { SENDS = 4000 };

static int by_number(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

/* The most that any half-open window of the period has. */
static size_t fullest(int64_t *sends, size_t count, int64_t per_us)
{
    size_t most = 0;
    qsort(sends, count, sizeof(*sends), by_number);
    for (size_t first = 0, last = 0; last < count; last++) {
        while (sends[last] - sends[first] >= per_us)
            first++;
        if (last - first + 1 > most)
            most = last - first + 1;
    }
    return most;
}

/* Two nodes take blocks as they like, use their turns at any instant that is good, and crash now and then. */
static void no_window_has_more_than_its_count(void **state)
{
    static const struct {
        const char *row;
        struct site_rate rate;
    } rows[] = {
        {"many a second", {300, 1000}}, {"a few a second", {7, 1000}},     {"few a minute", {20, 60000}},
        {"one an hour", {1, 3600000}},  {"many an hour", {5000, 3600000}},
    };
    TEST_STORE(test, state);
    struct fixture f = {.store = test};
    struct random random;
    random_seed(&random, 3);
    world_init(&f.world, NETWORK_LOOPBACK);
    int64_t *sends = NEW_ARRAY(int64_t, SENDS);
    for (size_t r = 0; r < COUNT_OF(rows); r++) {
        size_t count = 0, used = 0, asked = 0;
        for (int i = 0; i < 40; i++) {
            struct total_ask got = ask(&f, (struct total_ask){.site = slice_str(rows[r].row),
                                                              .node = (unsigned)i % 2 + 1,
                                                              .rate = rows[r].rate,
                                                              .want_turns = total_turns_block(rows[r].rate)});
            asked += got.want_turns;
            if (random_below(&random, 8) == 0 || got.turns.usable_us < 0)
                continue; /* it crashed */
            for (; got.turns.count && count < SENDS; total_turns_use(&got.turns)) {
                int64_t late = (int64_t)random_below(&random, 3) * got.turns.usable_us / 2;
                sends[count++] = got.turns.first_us + late;
                used++;
            }
        }
        size_t most = fullest(sends, count, rows[r].rate.per * 1000);
        if (most > rows[r].rate.count)
            fail_msg("%s: %zu in a window of %u", rows[r].row, most, rows[r].rate.count);
        if (count > 2 * rows[r].rate.count) /* and it is not far from it */
            assert_row(rows[r].row, most * 10 >= rows[r].rate.count * 8u);
        assert_row(rows[r].row, used > 0 && asked >= used);
    }
    free(sends);
    test = f.store;
    test_store_end(&test);
}

/* What was used without turns until now had its last one a moment ago: the first turn is an interval away. */
static void who_was_alone_goes_on_an_interval_later(void **state)
{
    TEST_STORE(test, state);
    struct fixture f = {.store = test};
    struct total_ask one = {.site = SLICE("one"), .node = 1, .rate = {1, 3600000}, .want_turns = 1};
    world_init(&f.world, NETWORK_LOOPBACK);
    for (int goes_on = 0; goes_on < 2; goes_on++) {
        one.site = goes_on ? SLICE("goes on") : SLICE("begins");
        one.goes_on = goes_on;
        int64_t now_us = world_monotonic(&f.world) * 1000;
        struct total_ask got = ask(&f, one);
        assert_int_equal(got.turns.count, 1);
        assert_true((got.turns.first_us - now_us >= total_pace(one.rate).interval_us) == goes_on);
    }
    test = f.store;
    test_store_end(&test);
}

static void a_turn_that_is_over_is_lost(void **state)
{
    struct total_turns turns = {.first_us = 1000000, .interval_us = 100000, .usable_us = 50000, .count = 3};
    static const struct {
        const char *row;
        time_ms now, wait;
        bool use;
    } rows[] = {
        {"before the first", 900, 100, false},
        {"at the first", 1000, 0, false},
        {"still good", 1050, 0, true},
        {"the next one is not there yet", 1051, 49, false},
        {"over", 1151, 49, false},
        {"the last", 1200, 0, true},
        {"none is left", 1200, -1, false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        assert_int_row(rows[i].row, total_turns_wait(&turns, rows[i].now), rows[i].wait);
        if (rows[i].use)
            total_turns_use(&turns);
    }
}

static bool do_run(struct db *db, struct fault *why, void *sql)
{
    return db_do(db, why, sql, NO_VALUES, NULL);
}

/* F8: the database's clock was ahead for a while. */
static void a_clock_that_was_set_back_stops_nobody_for_long(void **state)
{
    TEST_STORE(test, state);
    struct fixture f = {.store = test};
    struct total_ask one = {.site = SLICE("one"), .node = 1, .rate = {10, 1000}, .want_turns = 1};
    char ahead[] = "UPDATE site_total SET next_us = next_us + 86400000000";
    world_init(&f.world, NETWORK_LOOPBACK);
    ask(&f, one);
    test_write(f.store.store, do_run, ahead);
    struct total_ask got = ask(&f, one);
    assert_true(got.turns.count == 1);
    assert_true(got.turns.first_us <= (world_monotonic(&f.world) + 1100) * 1000);
    test = f.store;
    test_store_end(&test);
}

/* ── permits ── */

enum { NODES = 3, POOLS = 2, LIMIT = 10 };

static bool life_run(struct db *db, struct fault *why, void *context)
{
    const int64_t *node = context; /* its number, its new life */
    return db_do(db, why,
                 "INSERT INTO node (node, life, until_ms) VALUES ($1, $2, 1) ON CONFLICT (node) DO UPDATE SET life = "
                 "excluded.life, until_ms = 1",
                 VALUES(V_INT(node[0]), V_INT(node[1])), NULL);
}

static void live(struct fixture *f, int64_t node, int64_t life)
{
    int64_t pair[2] = {node, life};
    test_write(f->store.store, life_run, pair);
}

static struct total_ask permits(struct fixture *f, unsigned node, int64_t life, const char *pool, unsigned limit,
                                unsigned has, unsigned want)
{
    return ask(f, (struct total_ask){.site = SLICE("big"),
                                     .holder = slice_str(pool),
                                     .node = node,
                                     .life = life,
                                     .connections = limit,
                                     .has = has,
                                     .want = want});
}

static void there_are_never_more_connections_than_the_limit(void **state)
{
    TEST_STORE(test, state);
    static const char *const pools[POOLS] = {"a", "b"};
    struct fixture f = {.store = test};
    struct random random;
    unsigned held[NODES][POOLS] = {{0}}, fullest_seen = 0;
    int64_t lives[NODES] = {1, 1, 1};
    random_seed(&random, 5);
    world_init(&f.world, NETWORK_LOOPBACK);
    for (int64_t n = 0; n < NODES; n++)
        live(&f, n + 1, 1);
    for (int i = 0; i < 600; i++) {
        unsigned n = (unsigned)random_below(&random, NODES), p = (unsigned)random_below(&random, POOLS), sum = 0;
        if (random_below(&random, 40) == 0) { /* it crashes: its connections end with its life */
            memset(held[n], 0, sizeof(held[n]));
            live(&f, n + 1, ++lives[n]);
            continue;
        }
        unsigned keep = (unsigned)random_below(&random, held[n][p] + 1);
        held[n][p] =
            permits(&f, n + 1, lives[n], pools[p], LIMIT, keep, keep + (unsigned)random_below(&random, 6)).permits;
        assert_true(held[n][p] >= keep);
        for (unsigned node = 0; node < NODES; node++)
            sum += held[node][0] + held[node][1];
        if (sum > LIMIT)
            fail_msg("%u connections at step %d", sum, i);
        fullest_seen = sum > fullest_seen ? sum : fullest_seen;
    }
    assert_int_equal(fullest_seen, LIMIT);
    test = f.store;
    test_store_end(&test);
}

static void who_waits_gets_his_part(void **state)
{
    TEST_STORE(test, state);
    struct fixture f = {.store = test};
    world_init(&f.world, NETWORK_LOOPBACK);
    live(&f, 1, 1);
    live(&f, 2, 1);
    struct total_ask first = permits(&f, 1, 1, "a", 5, 0, 9);
    assert_int_equal(first.permits, 5);
    assert_int_equal(first.most, 5);
    assert_int_equal(permits(&f, 2, 1, "a", 5, 0, 9).permits, 0); /* all are taken */
    first = permits(&f, 1, 1, "a", 5, 5, 9);
    assert_int_equal(first.permits, 5);                           /* what stands is not cut off, */
    assert_int_equal(first.most, 3);                              /* and lets go of what ends */
    assert_int_equal(permits(&f, 1, 1, "a", 5, 4, 9).permits, 4); /* what has ended is promised to the other */
    assert_int_equal(permits(&f, 2, 1, "a", 5, 0, 9).permits, 1);
    assert_int_equal(permits(&f, 1, 1, "a", 5, 3, 9).permits, 3);
    assert_int_equal(permits(&f, 2, 1, "a", 5, 1, 9).permits, 2);
    assert_int_equal(permits(&f, 1, 1, "a", 5, 3, 9).permits, 3);
    assert_int_equal(permits(&f, 2, 1, "a", 5, 0, 0).permits, 0); /* it rests */
    assert_int_equal(permits(&f, 1, 1, "a", 5, 3, 9).permits, 5);
    assert_int_equal(test_number(f.store.reader, "SELECT COUNT(*) FROM site_permit"), 1);
    test = f.store;
    test_store_end(&test);
}

/* One connection for two nodes, which both always want it. */
static void a_single_connection_goes_round(void **state)
{
    TEST_STORE(test, state);
    struct fixture f = {.store = test};
    int turns[2] = {0};
    unsigned held[2] = {0};
    world_init(&f.world, NETWORK_LOOPBACK);
    live(&f, 1, 1);
    live(&f, 2, 1);
    for (int i = 0; i < 60; i++) {
        for (unsigned n = 0; n < 2; n++) {
            for (int tries = 0; tries < (n ? 1 : 3); tries++) {        /* the first one asks more often */
                held[n] = permits(&f, n + 1, 1, "a", 1, 0, 4).permits; /* one that it had has ended */
                turns[n] += (int)held[n];
            }
        }
        assert_true(held[0] + held[1] <= 1);
    }
    assert_true(turns[0] >= 10 && turns[1] >= 10);
    test = f.store;
    test_store_end(&test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_turn_that_is_over_is_lost),
        ON_BOTH(no_window_has_more_than_its_count),
        ON_BOTH(a_clock_that_was_set_back_stops_nobody_for_long),
        ON_BOTH(who_was_alone_goes_on_an_interval_later),
        ON_BOTH(there_are_never_more_connections_than_the_limit),
        ON_BOTH(who_waits_gets_his_part),
        ON_BOTH(a_single_connection_goes_round),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
