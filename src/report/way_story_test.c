/* Issue 4.5: what can leave by no source says so, and why */
#include "report/way_story.h"

#include "store/testing.h"

enum { NOW = 1000000 };

static bool do_run(struct db *db, struct fault *why, void *sql)
{
    return db_do(db, why, sql, NO_VALUES, NULL);
}

static void put(struct test_store *test, const char *sql)
{
    test_write(test->store, do_run, (void *)(uintptr_t)sql);
}

static void what_a_lane_lacks(void **state)
{
    static const struct {
        const char *name, *change; /* added to what was before */
        enum way_lack lack;
        const char *words;
    } rows[] = {
        {"no source anywhere: the system chooses", NULL, WAY_IS_THERE, ""},
        {"its brand's pool has none", "UPDATE brand SET pool = 'news' WHERE id = 7", WAY_NO_SOURCE,
         "the pool news has no source"},
        {"a source that every node has",
         "INSERT INTO source (id, ip, ehlo_name, pool, node, since_ms, created_ms) VALUES (1, '127.0.0.1', 'a', "
         "'news', 0, 1, 1)",
         WAY_IS_THERE, ""},
        {"it drains", "UPDATE source SET state = 'draining'", WAY_NO_GOOD_SOURCE,
         "every source of the pool news is draining or in trouble (127.0.0.1: draining)"},
        {"it is in trouble", "UPDATE source SET state = 'active', trouble = 'listed'", WAY_NO_GOOD_SOURCE,
         "in trouble (127.0.0.1: listed)"},
        {"it is on a node that never was", "UPDATE source SET trouble = '', node = 3", WAY_NO_LIVING_NODE,
         "no living node has a source of the pool news"},
        {"that has stopped", "INSERT INTO node (node, life, until_ms) VALUES (3, 1, 0)", WAY_NO_LIVING_NODE,
         "no living node"},
        {"that has died", "UPDATE node SET until_ms = 999999", WAY_NO_LIVING_NODE, "no living node"},
        {"that lives", "UPDATE node SET until_ms = 1000001", WAY_IS_THERE, ""},
        {"its warm-up has something left",
         "INSERT INTO warm_up (source_id, grp, caps, created_ms) VALUES (1, '*', '2,100', 1)", WAY_IS_THERE, ""},
        {"its day is used up", "INSERT INTO daily_use (source_id, grp, day, reserved) VALUES (1, 'warm *', 0, 2)",
         WAY_USED_UP, "used up in the pool news (127.0.0.1: 2); the next day's begins at 1970-01-02 00:00 UTC"},
        {"a plan for this site alone has something left",
         "INSERT INTO warm_up (source_id, grp, caps, created_ms) VALUES (1, 'google', '5,100', 1)", WAY_IS_THERE, ""},
        {"that day is used up, too",
         "INSERT INTO daily_use (source_id, grp, day, reserved) VALUES (1, 'warm google', 0, 5)", WAY_USED_UP,
         "127.0.0.1: 5"},
        {"another source of the pool has no plan",
         "INSERT INTO source (id, ip, ehlo_name, pool, node, since_ms, created_ms) VALUES (2, '127.0.0.2', 'b', "
         "'news', 0, 1, 1)",
         WAY_IS_THERE, ""},
        {"the lane was moved to a pool without any", "UPDATE lane SET pool = 'reserve'", WAY_NO_SOURCE,
         "the pool reserve has no source"},
        {"a pool stands in that has none either",
         "INSERT INTO pool_stand_in (pool, stand_in, changed_ms) VALUES ('reserve', 'spare', 1)", WAY_NO_SOURCE,
         "the pool reserve has no source"},
        {"a pool stands in that has one", "UPDATE pool_stand_in SET stand_in = 'news'", WAY_IS_THERE, ""},
        {"its brand has a smart host", "INSERT INTO relay (brand_id, host, port, changed_ms) VALUES (7, 'h', 25, 1)",
         WAY_IS_THERE, ""},
    };
    TEST_STORE(test, state);
    put(&test,
        "INSERT INTO brand (id, name, from_name, from_address, return_path_domain, link_base, footer, created_ms) "
        "VALUES (7, 'b', 'n', 'a@b.example', 'r.example', 'https://b.example', 'f', 1)");
    put(&test, "INSERT INTO lane (id, priority, brand_id, campaign_id, domain) VALUES (5, 1, 7, 0, 'd.example')");
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        SCOPED(arena) arena = {0};
        struct way_story story;
        struct fault why;
        if (rows[i].change)
            put(&test, rows[i].change);
        if (!way_story_read(test.reader, &why, 5, SLICE("google"), NOW, &arena, &story))
            fail_msg("%s: %s", rows[i].name, why.text);
        assert_int_row(rows[i].name, story.lack, rows[i].lack);
        struct slice en = way_story_text(&story, LANG_EN, &arena), ja = way_story_text(&story, LANG_JA, &arena);
        assert_row(rows[i].name, slice_find(en, slice_str(rows[i].words)) >= 0 && !en.len == !ja.len);
        assert_row(rows[i].name, rows[i].lack || !en.len);
    }
    test_store_end(&test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {ON_BOTH(what_a_lane_lacks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
