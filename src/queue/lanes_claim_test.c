/* Which deliveries are claimed, and in whose turn (ARCHITECTURE.md "The main way" 2; R34, U1): on both stores. */
#include "queue/lanes_test.h"

static void transactional_mail_goes_first_and_lanes_take_turns(void **state)
{
    FIXTURE(fixture, state);
    char addresses[3 * 60][32];
    for (int i = 0; i < 60; i++) {
        static const char *const domains[] = {"big.example", "small.example", "big.example"};
        for (int d = 0; d < 3; d++) {
            snprintf(addresses[i * 3 + d], 32, "p%d@%s", i, domains[d]);
            if (d == 0 || i < 40)
                add(&fixture, addresses[i * 3 + d], d == 2 ? 9 : 5, d != 2, NOW);
        }
    }
    route(&fixture, "big.example", 0);
    route(&fixture, "small.example", 0);
    lanes_wake(fixture.lanes, NOW);
    assert_int_equal(claim(&fixture, 0, NOW, 40 + 2 * LANE_TURN), 40 + 2 * LANE_TURN);
    size_t of[3] = {0}, at = 0;
    for (struct recipient *one = fixture.list; one; one = one->next, at++) {
        int which = one->campaign_id == 9 ? 2 : slice_equal(one->domain, SLICE("small.example"));
        of[which]++;
        assert_true((which == 2) == (at < 40)); /* priority 0 first */
    }
    assert_true(of[0] >= LANE_TURN - LANE_TURN / 4 && of[1] >= LANE_TURN - LANE_TURN / 4);
    end(&fixture);
}

struct many {
    int count;
    struct test_delivery *rows;
};
static bool many_run(struct db *db, struct fault *why, void *context)
{
    struct many *many = context;
    for (int i = 0; i < many->count; i++)
        if (!test_delivery_run(db, why, &many->rows[i]))
            return false;
    return true;
}

/* A full site costs nothing: its rows are not read, and a claim reads about as many rows as it gives. */
static void claiming_reads_what_it_gives(void **state)
{
    enum { ROWS = 2000 };
    FIXTURE(fixture, state);
    struct many many = {ROWS + 1, NEW_ARRAY(struct test_delivery, ROWS + 1)};
    char(*names)[32] = memory_zero(ROWS + 1, sizeof(*names));
    for (int i = 0; i <= ROWS; i++) {
        snprintf(names[i], 32, i == ROWS ? "one@other.example" : "p%d@full.example", i);
        many.rows[i] = (struct test_delivery){.address = names[i], .campaign_id = 5, .priority = 1, .due = NOW};
    }
    test_write(fixture.store.store, many_run, &many);
    for (int i = 0; i <= ROWS; i++)
        lanes_added(fixture.lanes, &many.rows[i].lane, id_bucket(many.rows[i].id), NOW);
    route(&fixture, "full.example", 0);
    route(&fixture, "other.example", 1);
    lanes_wake(fixture.lanes, NOW);
    assert_int_equal(claim(&fixture, 1, NOW, 100), 1);
    assert_int_equal(lanes_figures(fixture.lanes).rows_read, 1);
    assert_int_equal(lanes_figures(fixture.lanes).queries, 1);
    size_t got = 0;
    while (got < ROWS) { /* all stay in memory: nothing in front is read again */
        assert_int_equal(claim(&fixture, 0, NOW, 100), 100);
        got += 100;
    }
    assert_int_equal(lanes_figures(fixture.lanes).rows_read, ROWS + 1);
    assert_true(lanes_figures(fixture.lanes).queries < ROWS / 2);
    free(names);
    free(many.rows);
    end(&fixture);
}

/* Two brands on one full site, however different: one campaign to one domain beside many to many. Counts, not clocks.
 */
static void brands_share_by_weight(void **state)
{
    enum { ROWS = 3000, BRAND_A = 41, BRAND_B = 42, CAMPAIGNS = 5 };
    static const struct {
        const char *name;
        size_t most;       /* rows a claim */
        unsigned weight_b; /* A's is 1 */
        size_t claims;
    } rows[] = {{"one by one", 1, 1, 400},   {"few at a time", 7, 1, 120}, {"as a site of ten connections", 160, 1, 12},
                {"three to one", 16, 3, 80}, {"ten to one", 1, 10, 660},   {"a weight out of range", 16, 1000, 80}};
    FIXTURE(fixture, state);
    struct many many = {2 * ROWS, NEW_ARRAY(struct test_delivery, 2 * ROWS)};
    char(*names)[48] = memory_zero(2 * ROWS, sizeof(*names));
    for (int i = 0; i < 2 * ROWS; i++) {
        bool is_b = i >= ROWS;
        snprintf(names[i], sizeof(names[i]), "p%d@d%d.example", i, is_b ? i % 3 : 0);
        many.rows[i] = (struct test_delivery){.address = names[i],
                                              .campaign_id = is_b ? 100 + (uint64_t)(i / 3 % CAMPAIGNS) : 5,
                                              .brand_id = is_b ? BRAND_B : BRAND_A,
                                              .priority = 1,
                                              .due = NOW};
    }
    test_write(fixture.store.store, many_run, &many);
    for (size_t r = 0; r < COUNT_OF(rows); r++) {
        lanes_free(fixture.lanes);
        start(&fixture);
        lanes_weigh(fixture.lanes, BRAND_B, rows[r].weight_b);
        for (int d = 0; d < 3; d++)
            route(&fixture, (char[][12]){"d0.example", "d1.example", "d2.example"}[d], 0);
        lanes_wake(fixture.lanes, NOW);
        size_t of_a = 0, of_b = 0, of_campaign[CAMPAIGNS] = {0};
        for (size_t c = 0; c < rows[r].claims; c++) {
            assert_int_row(rows[r].name, claim(&fixture, 0, NOW, rows[r].most), rows[r].most);
            while (fixture.list) {
                struct recipient *one = take(&fixture);
                if (one->brand_id == BRAND_A)
                    of_a++;
                else
                    of_campaign[one->campaign_id - 100]++, of_b++;
            }
        }
        unsigned weight = rows[r].weight_b > LANE_WEIGHT_MOST ? LANE_WEIGHT_MOST : rows[r].weight_b;
        double share = (double)of_a / (double)(of_a + of_b), want = 1.0 / (1.0 + weight);
        if (share < want - 0.05 || share > want + 0.05)
            fail_msg("%s: %zu and %zu, %.1f %% for A", rows[r].name, of_a, of_b, share * 100);
        for (int c = 0; c < CAMPAIGNS; c++) /* and campaigns of a brand alike */
            if (of_campaign[c] * CAMPAIGNS < of_b * 8 / 10 - LANE_TURN ||
                of_campaign[c] * CAMPAIGNS > of_b * 12 / 10 + LANE_TURN * CAMPAIGNS)
                fail_msg("%s: campaign %d has %zu of %zu", rows[r].name, c, of_campaign[c], of_b);
    }
    free(names);
    free(many.rows);
    end(&fixture);
}

/* A brand whose lanes are all held takes nobody's turn; transactional ones can be had alone. */
static void held_brands_and_urgent_ones(void **state)
{
    FIXTURE(fixture, state);
    char names[60][32];
    for (int i = 0; i < 60; i++) {
        snprintf(names[i], 32, "p%d@example.jp", i);
        struct test_delivery delivery = {.address = names[i],
                                         .campaign_id = i < 40   ? 1000 + (uint64_t)(i % 4)
                                                        : i < 55 ? 7
                                                                 : 0,
                                         .brand_id = i < 40 ? 1 : 2,
                                         .priority = i < 55,
                                         .due = NOW};
        test_delivery_add(&fixture.store, &delivery);
        lanes_added(fixture.lanes, &delivery.lane, id_bucket(delivery.id), NOW);
    }
    route(&fixture, "example.jp", 0);
    lanes_wake(fixture.lanes, NOW);
    assert_true(lane_group_has_urgent(&fixture.groups[0]));
    struct fault why;
    assert_true(lanes_claim_urgent(fixture.lanes, &fixture.groups[0], NOW, 50, &fixture.list, &fixture.count, &why));
    assert_int_equal(fixture.count, 5);
    for (struct recipient *one = fixture.list; one; one = one->next)
        assert_int_equal(one->priority, 0);
    assert_false(lane_group_has_urgent(&fixture.groups[0]));
    for (uint64_t held = 1000; held < 1004; held++) { /* one campaign of brand 1 after the other */
        fixture.held_campaign = held;
        lanes_hold(fixture.lanes, is_held, &fixture);
        assert_int_equal(claim(&fixture, 0, NOW, 3), 3);
    }
    fixture.held_campaign = 1;
    lanes_hold(fixture.lanes, is_held, &fixture);
    assert_int_equal(claim(&fixture, 0, NOW, 100), 60 - 5 - 12);
    end(&fixture);
}

static void a_retry_need_not_wait_for_the_end_of_a_long_lane(void **state)
{
    enum { ROWS = 200 };
    FIXTURE(fixture, state);
    char names[ROWS][32];
    for (int i = 0; i < ROWS; i++) {
        snprintf(names[i], 32, "p%d@example.jp", i);
        add(&fixture, names[i], 5, 1, NOW);
    }
    route(&fixture, "example.jp", 0);
    lanes_wake(fixture.lanes, NOW);
    assert_int_equal(claim(&fixture, 0, NOW, 1), 1);
    struct recipient *first = take(&fixture);
    uint64_t id = first->id;
    ended(&fixture, first, DELIVERY_DEFERRED, NOW + 1000);
    size_t before = 0;
    for (bool found = false; !found; before++) {
        assert_true(before < ROWS);
        assert_int_equal(claim(&fixture, 0, NOW + 60000, 1), 1);
        found = take(&fixture)->id == id;
    }
    assert_true(before < ROWS);
    end(&fixture);
}

/* S50: no row of a later rank is claimed while one of an earlier rank is not, whatever the buckets, the bites and the
 * order in which they came; after a restart too. Without ranks buckets are in no order. */
static void ranks_go_one_after_another(void **state)
{
    enum { RANKED = 5, PLAIN = 6, EACH = 80 };
    FIXTURE(fixture, state);
    struct fault why = {0};
    struct random random;
    int claimed[2] = {0}, mixed[2] = {0}, takes = 0;
    time_ms last[2] = {0};
    random_seed(&random, 11);
    lanes_rank(fixture.lanes, RANKED, NOW + 3);
    for (int i = 0; i < EACH * 2; i++) {
        char address[40];
        snprintf(address, sizeof(address), "p%d@%s.example", i, i % 2 ? "plain" : "ranked");
        add(&fixture, address, i % 2 ? PLAIN : RANKED, 1, NOW + (time_ms)random_below(&random, 4));
        if (i != EACH)
            continue;
        lanes_free(fixture.lanes);
        start(&fixture);
        lanes_rank(fixture.lanes, RANKED, NOW + 3);
    }
    for (int group = 0; group < 2; group++) {
        lanes_wake(fixture.lanes, NOW + 10);
        route(&fixture, group ? "plain.example" : "ranked.example", group);
        for (int turns = 0; turns < 400 && claimed[group] < EACH; turns++) {
            lanes_wake(fixture.lanes, NOW + 10);
            claim(&fixture, group, NOW + 10, 1 + random_below(&random, 9));
            while (fixture.list) {
                struct recipient *recipient = take(&fixture);
                mixed[group] += recipient->due < last[group];
                last[group] = recipient->due;
                claimed[group]++;
                if (++takes % 11 ==
                    5) { /* it comes home untried, as from a cap that is used up, and goes first again */
                    claimed[group]--;
                    last[group] = 0;
                    not_tried(&fixture, recipient);
                }
            }
        }
        assert_int_equal(claimed[group], EACH);
    }
    assert_int_equal(mixed[0], 0);
    assert_true(mixed[1] > EACH / 10);
    assert_true(why.kind == FAULT_NONE);
    end(&fixture);
}

struct ends {
    const char *address;
    time_ms end, given;
};
static bool ends_run(struct db *db, struct fault *why, void *context)
{
    const struct ends *ends = context;
    return db_do(db, why, "UPDATE delivery SET expires_ms = $2, accepted_ms = $3 WHERE address = $1",
                 VALUES(V_STR(ends->address), V_INT(ends->end), V_INT(ends->end - ends->given)), NULL);
}
static bool is_first_group(void *context, const struct lane_group *group)
{
    return group == ((struct fixture *)context)->groups;
}

/* The walk once round; the addresses in alphabetical order, with a space behind each, and claimed. */
static void ended_of_round(struct fixture *fixture, struct buf *line)
{
    const struct lanes_ended ended = {is_first_group, fixture, NOW, HOURS_MS(1)};
    const char *found[16];
    size_t all = 0, calls = 0;
    for (bool is_round = false; !is_round; calls++) {
        struct recipient *list;
        size_t count;
        struct fault why;
        if (!lanes_claim_ended(fixture->lanes, &ended, &list, &count, &is_round, &why))
            fail_msg("%s", why.text);
        for (; list; list = list->next)
            found[all++] = list->address.ptr;
    }
    assert_true(calls < 40); /* buckets where nothing is owed are passed over */
    for (size_t done = 0; done < all; done++)
        for (size_t i = done + 1; i < all; i++)
            if (strcmp(found[i], found[done]) < 0) {
                const char *other = found[i];
                found[i] = found[done];
                found[done] = other;
            }
    buf_reset(line);
    for (size_t i = 0; i < all; i++)
        buf_printf(line, "%.4s ", found[i]);
}

/* M10: where nothing may go, whose end has come is claimed all the same, and nobody else. */
static void ends_are_seen_where_nothing_goes(void **state)
{
    static const struct {
        const char *address;
        uint64_t campaign;
        time_ms due, end, given;
    } rows[] = {{"over@shut.example", 0, NOW, NOW - 1, MINUTES_MS(10)},
                {"now1@shut.example", 0, NOW - 9, NOW, MINUTES_MS(10)},
                {"soon@shut.example", 0, NOW, NOW + 1, MINUTES_MS(10)},
                {"hous@shut.example", 0, NOW, NOW - 1, HOURS_MS(1)},
                {"camp@shut.example", 5, NOW, NOW - 1, MINUTES_MS(10)},
                {"late@shut.example", 5, NOW + 9, NOW - 1, MINUTES_MS(10)},
                {"held@shut.example", 6, NOW, NOW - 1, MINUTES_MS(10)},
                {"goes@open.example", 0, NOW, NOW - 1, MINUTES_MS(10)}};
    FIXTURE(fixture, state);
    SCOPED(buf) line = BUF(400);
    fixture.held_campaign = 6;
    lanes_hold(fixture.lanes, is_held, &fixture);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        add(&fixture, rows[i].address, rows[i].campaign, rows[i].campaign != 0, rows[i].due);
        test_write(fixture.store.store, ends_run, &(struct ends){rows[i].address, rows[i].end, rows[i].given});
    }
    ended_of_round(&fixture, &line);
    assert_slice("nothing is awake", buf_slice(&line), SLICE(""));
    route(&fixture, "shut.example", 0);
    route(&fixture, "open.example", 1);
    lanes_wake(fixture.lanes, NOW);
    ended_of_round(&fixture, &line);
    assert_slice("those whose end has come", buf_slice(&line), SLICE("camp now1 over "));
    ended_of_round(&fixture, &line);
    assert_slice("once", buf_slice(&line), SLICE(""));
    assert_int_equal(claim(&fixture, 0, NOW, 100), 2); /* a way is there: the others, and none of them twice */
    end(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(transactional_mail_goes_first_and_lanes_take_turns),
        ON_BOTH(claiming_reads_what_it_gives),
        ON_BOTH(brands_share_by_weight),
        ON_BOTH(held_brands_and_urgent_ones),
        ON_BOTH(a_retry_need_not_wait_for_the_end_of_a_long_lane),
        ON_BOTH(ranks_go_one_after_another),
        ON_BOTH(ends_are_seen_where_nothing_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
