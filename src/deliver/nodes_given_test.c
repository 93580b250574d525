/* Two nodes, each with a source of the same pool: one whose day is used up hands its mail to the one that has something
 * left, and no day ever has more than its cap. S50, R28. */
#include "deliver/house_test.h"

#include "shape/allowance.h"
#include "shape/source.h"

struct new_source {
    uint8_t node; /* and the last part of its address */
    const char *caps;
};
static bool source_run(struct db *db, struct fault *why, void *context)
{
    const struct new_source *new = context;
    char name[32];
    snprintf(name, sizeof(name), "out%d.example", new->node);
    struct source source = {.ip = ip_v4(127, 88, 0, new->node),
                            .ehlo_name = slice_str(name),
                            .pool = SLICE("default"),
                            .weight = 1,
                            .node = new->node};
    return source_add(db, why, &source, 1795321800000) &&
           warm_up_begin(db, why, source.id, SLICE("*"), slice_str(new->caps), 1795321800000);
}

static int from(struct fixture *fixture, int last)
{
    return atomic_load(&fixture->receivers[0].taken_from[last]);
}

/* How often it changes who sends the other's mail, in so many seconds. */
static int changes_in(struct fixture *fixture, int seconds)
{
    int64_t before = -1;
    int changes = 0;
    double begun = seconds_now();
    while (seconds_now() - begun < seconds) {
        int64_t given = number(fixture, "SELECT COUNT(*) FROM handoff");
        changes += before >= 0 && given != before;
        before = given;
        receiver_pause(50);
    }
    return changes;
}

static void a_used_up_day_hands_on(void **state)
{
    enum { OWED = 300, CAP = 30, MORE = 200 };
    HOUSE(fixture, state, 1);
    struct neighbour neighbour = {.engine = NULL};
    receivers[0] = (struct receiver){.slow_ms = 2};
    open_house(fixture);
    engine_stop(fixture->engine, 0);
    test_write(fixture->store.store, source_run, &(struct new_source){1, "30,60"});
    test_write(fixture->store.store, source_run, &(struct new_source){2, "200,400"});
    fixture->options.store = store_of_node(fixture, 1);
    int64_t day = allowance_day(world_wall(&fixture->world));
    start(fixture);
    neighbour_start(fixture, &neighbour);
    for (int i = 0; i < 4000 && number(fixture, "SELECT COUNT(DISTINCT node) FROM lease") < 2; i++)
        receiver_pause(5);
    crowd(fixture, OWED, "r0.example");
    submit(fixture);
    wait_until_state(fixture, "both days are used up", DELIVERY_DELIVERED, CAP + MORE);
    assert_true(number(fixture, "SELECT COUNT(*) FROM delivery WHERE state = 0 AND bucket IN (SELECT bucket FROM lease "
                                "WHERE node = 1)") > 0);
    int changes = changes_in(fixture, 17);
    if (day == allowance_day(world_wall(&fixture->world))) {
        assert_int_equal(from(fixture, 1), CAP);
        assert_int_equal(from(fixture, 2), MORE);
        assert_int_equal(number(fixture, "SELECT COUNT(*) FROM daily_use WHERE reserved > 200"), 0);
        assert_true(changes <= 2); /* one of them was the first to see it, perhaps */
        assert_int_equal(number(fixture, "SELECT COUNT(*) FROM handoff"), 0);
    }
    test_write(
        fixture->store.store, do_run,
        (char[]){"UPDATE warm_up SET caps = '2000,3000' WHERE source_id = (SELECT id FROM source WHERE node = 2)"});
    wait_until_state(fixture, "by the one that may", DELIVERY_DELIVERED, OWED);
    if (day == allowance_day(world_wall(&fixture->world)))
        assert_int_equal(from(fixture, 1), CAP);
    assert_int_equal(events(fixture, EVENT_DEFERRED), 0);
    nobody_twice(fixture, "handed on");
    neighbour_stop(&neighbour);
    engine_stop(fixture->engine, 2000);
    store_close(fixture->options.store);
    fixture->engine = NULL;
    leave(fixture);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        {"a_used_up_day_hands_on (postgres)", a_used_up_day_hands_on, NULL, NULL, (void *)(uintptr_t) "postgres"},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
