/* Issue 4.5: explain site says which pool's mail leaves by another one, and why. */
#include "report/site_story.h"

#include "queue/testing.h"

#define NOW TEST_NOW

static bool do_run(struct db *db, struct fault *why, void *sql)
{
    return db_do(db, why, sql, NO_VALUES, NULL);
}

static void put(struct test_store *test, const char *sql)
{
    test_write(test->store, do_run, (void *)(uintptr_t)sql);
}

static void which_pool_stands_in(void **state)
{
    static const struct {
        const char *name, *change; /* added to what was before */
        const char *en, *ja;       /* NULL: no sentence */
    } rows[] = {
        {"nobody stands in", NULL, NULL, NULL},
        {"somebody would, and need not",
         "INSERT INTO pool_stand_in (pool, stand_in, changed_ms) VALUES ('news', 'warm', 1)", NULL, NULL},
        {"its source drains", "UPDATE source SET state = 'draining' WHERE pool = 'news'",
         "mail of the pool news leaves by the pool warm now: none of the sources of news may be used",
         "\xe3\x83\x97\xe3\x83\xbc\xe3\x83\xab news "},
        {"the stand-in drains, too", "UPDATE source SET state = 'draining'", NULL, NULL},
        {"the day is used up",
         "UPDATE source SET state = 'active'; INSERT INTO warm_up (source_id, grp, caps, step, day, created_ms) VALUES "
         "(1, '*', '2,100', 0, 20779, 1); INSERT INTO daily_use (source_id, grp, day, reserved) VALUES (1, 'warm *', "
         "20779, 2)",
         "what news may send today is used up", "\xe4\xbb\x8a\xe6\x97\xa5"},
        {"another brand's mail only is owed", "UPDATE brand SET pool = 'other' WHERE id = 77", NULL, NULL},
        {"its lanes were moved to that pool", "UPDATE lane SET pool = 'news'", "mail of the pool news", "news"},
        {"by a smart host no pool is used",
         "INSERT INTO relay (brand_id, host, port, changed_ms) VALUES (77, 'h', 25, 1)", NULL, NULL},
        {"... and without it, it is", "DELETE FROM relay", "mail of the pool news", "news"},
        {"nothing is owed any more", "UPDATE delivery SET state = 5", NULL, NULL},
    };
    TEST_STORE(test, state);
    struct test_delivery ann = {.address = "ann@d.example", .priority = 1, .due = NOW};
    put(&test,
        "INSERT INTO brand (id, name, from_name, from_address, return_path_domain, link_base, footer, "
        "created_ms, pool) VALUES (77, 'b', 'n', 'a@b.example', 'r.example', 'https://b.example', 'f', 1, 'news')");
    put(&test, "INSERT INTO source (id, ip, ehlo_name, pool, node, since_ms, created_ms) VALUES (1, '127.0.0.1', 'a', "
               "'news', 0, 1, 1), (2, '127.0.0.2', 'b', 'warm', 0, 1, 1)");
    test_delivery_add(&test, &ann);
    put(&test, "INSERT INTO lease (bucket, node, epoch, until_ms) SELECT bucket, 1, 1, 1 FROM delivery");
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        SCOPED(arena) arena = {0};
        struct site_story story;
        struct fault why;
        const struct board board = {0};
        struct slice rest = {0}, one;
        if (rows[i].change)
            rest = slice_str(rows[i].change);
        while (rest.ptr && slice_split(&rest, ';', &one))
            put(&test, arena_str(&arena, slice_trim(one)));
        if (!site_story_read(test.reader, &why, SLICE("d.example"), &board, NOW, &arena, &story))
            fail_msg("%s: %s", rows[i].name, why.text);
        assert_int_row(rows[i].name, story.stand_in_count, rows[i].en != NULL);
        if (!rows[i].en)
            continue;
        struct slice en = stand_in_text(&story.stand_ins[0], LANG_EN, &arena),
                     ja = stand_in_text(&story.stand_ins[0], LANG_JA, &arena);
        assert_row(rows[i].name, slice_find(en, slice_str(rows[i].en)) != SLICE_NPOS);
        assert_row(rows[i].name, slice_find(ja, slice_str(rows[i].ja)) != SLICE_NPOS);
        SCOPED(buf) out = BUF(100000);
        struct json json = {&out};
        site_story_json(&json, &story, &arena);
        assert_row(rows[i].name, slice_find(buf_slice(&out),
                                            SLICE("\"stand_ins\":[{\"pool\":\"news\",\"by\":\"warm\",")) != SLICE_NPOS);
    }
    test_store_end(&test);
}

/* ── what it waits for, and when it will be done ── */

#define TODAY (NOW / DAYS_MS(1) * DAYS_MS(1))
#define SLOW_WAY                                                                                                       \
    {                                                                                                                  \
        .binding = SLICE_INIT("nothing"), .rate_allowed = 2, .rate_rule = 2, .is_usable = 1                            \
    }

/* What a server told before it was killed is no longer so: its lease may go on for half a minute. */
static void what_was_told_long_ago_binds_nothing(void **state)
{
    TEST_STORE(test, state);
    SCOPED(arena) arena = {0};
    struct fault why = {0};
    for (int i = 0; i < 3; i++) {
        const char *const addresses[] = {"ann@d.example", "bob@d.example", "eve@d.example"};
        struct test_delivery one = {.address = addresses[i], .priority = 0, .due = NOW};
        test_delivery_add(&test, &one);
    }
    put(&test, "INSERT INTO lease (bucket, node, epoch, until_ms) SELECT DISTINCT bucket, 1, 1, 1 FROM delivery");
    for (int is_dead = 0; is_dead < 2; is_dead++) {
        struct board_way way = {.site = SLICE("mx.d.example"), .binding = SLICE("rule_rate"), .is_usable = 1};
        struct board_route route = {
            .domain = SLICE("d.example"), .site = SLICE("mx.d.example"), .status = SLICE("found")};
        struct board_node node = {.node = 1, .at = NOW - is_dead * (BOARD_WISH_MS + 1000)};
        const struct board board = {&node, 1, .ways = &way, .way_count = 1, .routes = &route, .route_count = 1};
        struct site_story story;
        if (!site_story_read(test.reader, &why, SLICE("d.example"), &board, NOW, &arena, &story))
            fail_msg("%s", why.text);
        struct lane_wait lane = story.lanes[0];
        if (!lane_wait_at(test.reader, &why, &board, NOW, &arena, &lane))
            fail_msg("%s", why.text);
        assert_int_equal(story.is_live, !is_dead);
        const struct slice said[] = {site_story_waits_text(&story, LANG_EN, &arena),
                                     lane_wait_text(&lane, NOW, LANG_EN, &arena),
                                     lane_wait_text(&lane, NOW, LANG_JA, &arena)};
        for (size_t i = 0; i < COUNT_OF(said); i++)
            assert_int_equal(slice_find(said[i], SLICE("todoke serve")) != SLICE_NPOS, is_dead);
        assert_int_equal(board_node_is_live(&board, 1, NOW), !is_dead);
        assert_false(board_node_is_live(&board, 2, NOW));
    }
    test_store_end(&test);
}

static void what_it_waits_for(void **state)
{
    static const struct {
        const char *name, *change; /* added to what was before */
        struct board_way way;
        const char *waits, *done; /* part of it */
        time_ms done_at, near;    /* near: so exactly */
    } rows[] = {
        {"three are due, and nothing but the rate is in the way: 1.5 s", NULL, SLOW_WAY, "3 are due: nothing limits",
         "3 left, allowed 2.0/s)", NOW + 1500, 2},
        {"the rule's rate binds",
         NULL,
         {.binding = SLICE_INIT("rule_rate"),
          .binding_value = 2,
          .file = SLICE_INIT("data/sites/x.yaml"),
          .line = 6,
          .rate_now = 1,
          .rate_allowed = 2,
          .is_usable = 1},
         "rate: 2.0/s, the rule's ceiling (data/sites/x.yaml line 6)",
         "3 left, going at 1.0/s)",
         NOW + 3000,
         2},
        {"its breaker is open for a minute: then it goes on at the rule's rate, not at the trickle of now",
         NULL,
         {.binding = SLICE_INIT("breaker"),
          .binding_until = NOW + 60000,
          .breaker = SLICE_INIT("open"),
          .breaker_until = NOW + 60000,
          .rate_allowed = 1 / 60.0,
          .rate_rule = 2,
          .is_usable = 1},
         "breaker: it cannot be reached or takes nothing",
         "3 left, allowed 2.0/s)",
         NOW + 61500,
         2},
        {"the day is used up: two tomorrow, one on the day after",
         NULL,
         {.binding = SLICE_INIT("daily"),
          .binding_value = 2,
          .cap_by = SLICE_INIT("daily"),
          .cap = 2,
          .is_used_up = 1,
          .rate_allowed = 0,
          .is_usable = 1},
         "the rule's cap of 2 a day is used up",
         "3 left, of which 0 may still go today and 2 tomorrow)",
         TODAY + DAYS_MS(2),
         2},
        {"one is tried again in ten minutes",
         "UPDATE delivery SET state = 1, due_ms = due_ms + 600000 WHERE address LIKE 'a%'", SLOW_WAY,
         "2 are due: nothing limits; 1 wait for their time", "if they are taken then", NOW + 600000, 0},
        {"all are; the last one in twenty minutes",
         "UPDATE delivery SET state = 1, due_ms = due_ms + 1200000 WHERE state = 0", SLOW_WAY,
         "3 wait for their time (the next at", "if they are taken then", NOW + 1200000, 0},
        {"why: most of them for this",
         "INSERT INTO count_reason (bucket, campaign_id, domain, reason, whose, state, n) SELECT "
         "bucket, 0, 'd.example', 4, 0, 1, 1 FROM delivery WHERE address LIKE 'a%'",
         SLOW_WAY, ", mostly for ", "3 left", NOW + 1200000, 0},
        {"a person holds the brand",
         "INSERT INTO hold (kind, name, why, since_ms) VALUES ('brand', '77', 'legal asks', 1)", SLOW_WAY,
         "the brand Shop is on hold: legal asks, since 1970-01-01 00:00 UTC",
         "3 are on hold and wait until they are released", 0, 0},
        {"its pool's source is listed",
         "DELETE FROM hold; UPDATE brand SET pool = 'news'; INSERT INTO source (id, ip, ehlo_name, pool, node, "
         "trouble, since_ms, "
         "created_ms) VALUES (1, '127.0.0.1', 'a', 'news', 0, 'listed by bl.example', 1, 1)",
         SLOW_WAY, "every source of the pool news is draining or in trouble (127.0.0.1: listed by bl.example)",
         "3 have no source that may be used", 0, 0},
    };
    TEST_STORE(test, state);
    put(&test, "INSERT INTO brand (id, name, from_name, from_address, return_path_domain, link_base, footer, "
               "created_ms) VALUES (77, 'Shop', 'n', 'a@b.example', 'r.example', 'https://b.example', 'f', 1)");
    for (int i = 0; i < 3; i++) {
        const char *const addresses[] = {"ann@d.example", "bob@d.example", "eve@d.example"};
        struct test_delivery one = {.address = addresses[i], .priority = 0, .due = NOW};
        test_delivery_add(&test, &one);
    }
    put(&test, "INSERT INTO lease (bucket, node, epoch, until_ms) SELECT DISTINCT bucket, 1, 1, 1 FROM delivery");
    put(&test, "INSERT INTO count_state (bucket, campaign_id, domain, state, n) SELECT MIN(bucket), 0, "
               "'d.example', 0, 3 FROM delivery");
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        SCOPED(arena) arena = {0};
        struct site_story story;
        struct fault why;
        struct board_way way = rows[i].way;
        struct board_route route = {
            .domain = SLICE("d.example"), .site = SLICE("mx.d.example"), .status = SLICE("found")};
        struct board_node node = {.node = 1, .at = NOW};
        struct slice rest = {0}, one;
        way.site = SLICE("mx.d.example");
        const struct board board = {&node, 1, .ways = &way, .way_count = 1, .routes = &route, .route_count = 1};
        if (rows[i].change)
            rest = slice_str(rows[i].change);
        while (rest.ptr && slice_split(&rest, ';', &one))
            put(&test, arena_str(&arena, slice_trim(one)));
        if (!site_story_read(test.reader, &why, SLICE("d.example"), &board, NOW, &arena, &story))
            fail_msg("%s: %s", rows[i].name, why.text);
        struct slice waits = site_story_waits_text(&story, LANG_EN, &arena),
                     done = site_story_done_text(&story, LANG_EN, &arena);
        if (slice_find(waits, slice_str(rows[i].waits)) == SLICE_NPOS)
            fail_msg("%s: waits \"%.*s\"", rows[i].name, SLICE_ARG(waits));
        if (slice_find(done, slice_str(rows[i].done)) == SLICE_NPOS)
            fail_msg("%s: done \"%.*s\"", rows[i].name, SLICE_ARG(done));
        if (story.done_at < rows[i].done_at - rows[i].near || story.done_at > rows[i].done_at + rows[i].near)
            fail_msg("%s: done %lld ms from now", rows[i].name, (long long)(story.done_at - NOW));
        assert_row(rows[i].name, site_story_waits_text(&story, LANG_JA, &arena).len);
        assert_row(rows[i].name, site_story_done_text(&story, LANG_JA, &arena).len);
    }
    test_store_end(&test);
}

/* Counters by the key of each campaign that may owe it: of every bucket, of this domain alone; lanes by their index,
 * with those that are due, the next and the last. */
static void what_is_owed_is_added_up(void **state)
{
    enum { PEOPLE = 40 };
    TEST_STORE(test, state);
    put(&test,
        "INSERT INTO lease (bucket, node, epoch, until_ms) WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 "
        "FROM n WHERE i < 255) SELECT i, 1, 1, 1 FROM n");
    for (int i = 0; i < PEOPLE; i++) {
        char address[60];
        snprintf(address, sizeof(address), "p%d@%s", i, i % 4 == 3 ? "other.example" : "d.example");
        struct test_delivery one = {.address = address,
                                    .priority = i % 2,
                                    .campaign_id = i % 2 ? 5 : 6,
                                    .due = NOW + (i % 3 ? SECONDS_MS(i + 1) : -i)};
        test_delivery_add(&test, &one);
    }
    put(&test,
        "INSERT INTO count_state (bucket, campaign_id, domain, state, n) SELECT d.bucket, d.campaign_id, l.domain, "
        "0, COUNT(*) FROM delivery d JOIN lane l ON l.id = d.lane_id GROUP BY d.bucket, d.campaign_id, l.domain");
    put(&test,
        "INSERT INTO count_state (bucket, campaign_id, domain, state, n) VALUES (3, 5, 'd.example', 2, 7), (9, 6, "
        "'d.example', 4, 2), (9, 6, 'd.example', 5, 100), (9, 8, 'd.example', 1, 50), (9, 6, 'x.example', 1, 50)");
    put(&test,
        "INSERT INTO count_reason (bucket, campaign_id, domain, reason, whose, state, n) VALUES (3, 5, 'd.example', "
        "4, 0, 1, 11), (200, 6, 'd.example', 4, 1, 1, 2), (200, 6, 'd.example', 4, 1, 6, 90)");
    SCOPED(arena) arena = {0};
    struct site_story story;
    struct fault why;
    const struct board board = {0};
    if (!site_story_read(test.reader, &why, SLICE("d.example"), &board, NOW, &arena, &story))
        fail_msg("%s", why.text);
    assert_int_equal(story.owed[DELIVERY_WAITING], 30); /* campaign 8 has no lane: it owes nothing */
    assert_int_equal(story.owed[DELIVERY_DEFERRED], 0);
    assert_int_equal(story.owed[DELIVERY_HELD], 7);
    assert_int_equal(story.owed[DELIVERY_IN_DOUBT], 2);
    assert_true(story.retry_count == 1 && story.retries[0].n == 13);
    assert_int_equal(story.lane_count, 2);
    assert_int_equal(story.lanes[0].owed + story.lanes[1].owed, 30);
    assert_true(story.lanes[0].owed >= story.lanes[1].owed && story.lanes[0].owed == 20);
    int64_t due[2] = {0}, next = INT64_MAX, last = 0;
    for (int i = 0; i < PEOPLE; i++)
        if (i % 4 != 3)
            due[i % 2 ? 1 : 0] += i % 3 == 0;
    assert_int_equal(story.lanes[0].campaign_id, 6);
    assert_int_equal(story.lanes[0].due_now, due[0]);
    assert_int_equal(story.lanes[1].due_now, due[1]);
    for (int i = 0; i < PEOPLE; i += 2)
        if (i % 3) {
            next = NOW + SECONDS_MS(i + 1) < next ? NOW + SECONDS_MS(i + 1) : next;
            last = NOW + SECONDS_MS(i + 1);
        }
    assert_int_equal(story.lanes[0].next, next);
    assert_int_equal(story.lanes[0].last, last);
    test_store_end(&test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {ON_BOTH(which_pool_stands_in), ON_BOTH(what_it_waits_for),
                                       ON_BOTH(what_was_told_long_ago_binds_nothing),
                                       ON_BOTH(what_is_owed_is_added_up)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
