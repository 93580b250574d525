/* What nobody uses any more rests a while and goes; a fake clock, and a hundred thousand domains in turn. */
#include "deliver/idle.h"

#include "base/memory.h"
#include "base/test.h"

enum { HOUR = 3600000, MOST = 20000, DOMAINS = 100000 };

static struct idle_list hours(void)
{
    return (struct idle_list){.most = MOST, .after = HOUR};
}

static void it_rests_for_its_time_and_goes(void **state)
{
    struct idle_list list = hours();
    struct idle_link link = {0};
    bool is_pressed;
    (void)state;
    idle_rests(&list, &link, 1000);
    assert_null(idle_next(&list, 1000 + HOUR - 1, &is_pressed));
    assert_ptr_equal(idle_next(&list, 1000 + HOUR, &is_pressed), &link);
    assert_false(is_pressed);
    assert_null(idle_next(&list, 1000 + HOUR, &is_pressed)); /* one question at a time */
    assert_true(idle_answered(&list, &link, true, false, 0, 1000 + HOUR));
    assert_int_equal(list.count, 0);
}

/* What happens between the question and its answer, and what the answer may be. */
static void who_is_used_meanwhile_or_must_stay_stays(void **state)
{
    static const struct {
        const char *name;
        bool is_used, rests_again, may_go, is_gone, rests;
        time_ms stays_until;
    } rows[] = {
        {"it may go", false, false, true, true, false, 0},
        {"used meanwhile, and still", true, false, true, false, false, 0},
        {"used meanwhile, and rests again: its worker may know it anew", true, true, true, false, true, 0},
        {"a window is open", false, false, false, false, true, 2 * HOUR},
        {"used meanwhile, while a window is open", true, false, false, false, false, 2 * HOUR},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct idle_list list = hours();
        struct idle_link link = {0};
        bool is_pressed;
        idle_rests(&list, &link, 0);
        assert_ptr_equal(idle_next(&list, HOUR, &is_pressed), &link);
        if (rows[i].is_used)
            idle_used(&list, &link);
        if (rows[i].rests_again)
            idle_rests(&list, &link, HOUR);
        bool is_in_use = rows[i].is_used && !rows[i].rests_again;
        assert_int_row(rows[i].name, idle_answered(&list, &link, rows[i].may_go, is_in_use, rows[i].stays_until, HOUR),
                       rows[i].is_gone);
        assert_int_row(rows[i].name, link.state == IDLE_RESTS, rows[i].rests);
        assert_int_row(rows[i].name, list.count, rows[i].rests);
    }
}

static void use_takes_it_out_and_rest_begins_anew(void **state)
{
    struct idle_list list = hours();
    struct idle_link links[3] = {{0}};
    bool is_pressed;
    (void)state;
    for (int i = 0; i < 3; i++)
        idle_rests(&list, &links[i], i);
    idle_used(&list, &links[1]);
    idle_used(&list, &links[1]);
    assert_int_equal(list.count, 2);
    idle_rests(&list, &links[1], HOUR);
    assert_ptr_equal(idle_next(&list, HOUR + 100, &is_pressed), &links[0]);
    assert_ptr_equal(idle_next(&list, HOUR + 100, &is_pressed), &links[2]);
    assert_null(idle_next(&list, HOUR + 100, &is_pressed));
    assert_ptr_equal(idle_next(&list, 2 * HOUR, &is_pressed), &links[1]);
}

/* A hundred thousand are written to in turn, one a millisecond: never more than the ceiling stay, the oldest go first,
 * and nobody whose window is open goes. */
static void the_ceiling_holds(void **state)
{
    struct idle_list list = hours();
    struct idle_link *links = NEW_ARRAY(struct idle_link, DOMAINS);
    int gone = 0, asked_for_nothing = 0;
    (void)state;
    for (int i = 0; i < DOMAINS; i++) {
        bool is_pressed, has_window = i % 100 == 7;
        idle_rests(&list, &links[i], i);
        if (list.count <= list.most)
            continue;
        struct idle_link *link = idle_next(&list, i, &is_pressed);
        if (!link)
            continue;
        assert_true(is_pressed);
        int which = (int)(link - links);
        has_window = which % 100 == 7 && i < which + 60000; /* open for a minute */
        assert_true(idle_answered(&list, link, !has_window, false, has_window ? which + 60000 : 0, i) == !has_window);
        asked_for_nothing += has_window;
        gone += !has_window;
        if (!has_window)
            assert_true(which <= gone + DOMAINS / 100); /* about the oldest */
    }
    assert_true(list.count <= MOST + DOMAINS / 100);
    assert_int_equal(list.count + (size_t)gone, DOMAINS);
    assert_true(asked_for_nothing <= DOMAINS / 100); /* each once */
    free(links);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_rests_for_its_time_and_goes),
        cmocka_unit_test(who_is_used_meanwhile_or_must_stay_stays),
        cmocka_unit_test(use_takes_it_out_and_rest_begins_anew),
        cmocka_unit_test(the_ceiling_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
