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

int main(void)
{
    const struct CMUnitTest tests[] = {ON_BOTH(which_pool_stands_in)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
