/* S68, S77: who stands in, and when: a pool without a usable source, or whose day is used up; on both stores */
#include "shape/stand_in.h"

#include "store/testing.h"

#define TODAY 20000
#define NOW   ((time_ms)TODAY * DAYS_MS(1) + HOURS_MS(9))

static bool do_run(struct db *db, struct fault *why, void *sql)
{
    return db_do(db, why, sql, NO_VALUES, NULL);
}
struct set {
    const char *pool, *by;
};
static bool set_run(struct db *db, struct fault *why, void *context)
{
    const struct set *set = context;
    return stand_in_set(db, why, slice_str(set->pool), slice_str(set->by), NOW);
}

static void it_stands_in_while_there_is_no_way(void **state)
{
    enum { NOBODY, STANDS_IN, CAPPED };
    static const struct {
        const char *row, *sql;
        int want; /* for the pool "news" */
    } steps[] = {
        {"no source at all, and the other has none", NULL, NOBODY},
        {"the other has one",
         "INSERT INTO source (id, ip, ehlo_name, pool, since_ms, created_ms) VALUES (9, '127.88.0.9', 'w.example', "
         "'warm', 1, 1)",
         STANDS_IN},
        {"it has one of its own",
         "INSERT INTO source (id, ip, ehlo_name, pool, since_ms, created_ms) VALUES (1, '127.88.0.1', 'n.example', "
         "'news', 1, 1)",
         NOBODY},
        {"which drains", "UPDATE source SET state = 'draining' WHERE id = 1", STANDS_IN},
        {"and comes back", "UPDATE source SET state = 'active' WHERE id = 1", NOBODY},
        {"it is listed", "UPDATE source SET trouble = 'listed by bl.example' WHERE id = 1", STANDS_IN},
        {"it is well again", "UPDATE source SET trouble = '' WHERE id = 1", NOBODY},
        {"its node does not live", "UPDATE source SET node = 2 WHERE id = 1", STANDS_IN},
        {"its node lives", "INSERT INTO node (node, life, until_ms) VALUES (2, 1, 99)", NOBODY},
        {"a plan, not begun today",
         "INSERT INTO warm_up (source_id, grp, caps, step, day, created_ms) VALUES (1, '*', '50,100', 1, 19999, 1)",
         NOBODY},
        {"begun, with something left",
         "INSERT INTO daily_use (source_id, grp, day, reserved, delivered, deferred) VALUES (1, 'warm *', 20000, 99, "
         "9, "
         "0)",
         NOBODY},
        {"of today", "UPDATE warm_up SET day = 20000", NOBODY},
        {"used up", "UPDATE daily_use SET reserved = 100", CAPPED},
        {"another source of it has no plan",
         "INSERT INTO source (id, ip, ehlo_name, pool, since_ms, created_ms) VALUES (2, '127.88.0.2', 'o.example', "
         "'news', 1, 1)",
         NOBODY},
        {"which is taken away", "DELETE FROM source WHERE id = 2", CAPPED},
        {"the plan is done", "UPDATE warm_up SET step = 2", NOBODY},
        {"it drains, and so does the other", "UPDATE source SET state = 'draining'", NOBODY},
    };
    TEST_STORE(test, state);
    struct set news = {"news", "warm"};
    test_write(test.store, set_run, &news);
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        SCOPED(arena) arena = {0};
        struct stand_in *list;
        struct fault why = {0};
        size_t count;
        if (steps[i].sql)
            test_write(test.store, do_run, (void *)(uintptr_t)steps[i].sql);
        if (!stand_in_list(test.reader, &why, NOW, &arena, &list, &count))
            fail_msg("%s", why.text);
        assert_int_row(steps[i].row, count, 1);
        assert_int_row(steps[i].row, stand_in_now(&list[0]) + (stand_in_now(&list[0]) && list[0].is_capped),
                       steps[i].want);
    }
    test_store_end(&test);
}

static void names_are_checked(void **state)
{
    static const struct {
        struct set set;
        bool ok;
    } rows[] = {
        {{"news", "news"}, false}, {{"news", "a b"}, false},  {{"", "warm"}, false},
        {{"news", "warm"}, true},  {{"news", "other"}, true}, {{"news", ""}, true},
    };
    TEST_STORE(test, state);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct set set = rows[i].set;
        struct fault why;
        assert_int_equal(test_write_try(test.store, set_run, &set, &why), rows[i].ok);
    }
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM pool_stand_in"), 0);
    test_store_end(&test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {ON_BOTH(it_stands_in_while_there_is_no_way), ON_BOTH(names_are_checked)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
