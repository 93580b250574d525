/* R28, S50, D19: a source's cap of a day is used to its last mail while mail waits, however many sites have asked for a
 * part of it; and is never exceeded. */
#include "deliver/house_test.h"

#include "shape/allowance.h"
#include "shape/source.h"

enum { SITES = 8, CAP = 300 };

static bool source_run(struct db *db, struct fault *why, void *context)
{
    struct source source = {
        .ip = ip_v4(127, 88, 0, 1), .ehlo_name = SLICE("out1.example"), .pool = SLICE("default"), .weight = 1};
    return source_add(db, why, &source, 1795321800000) &&
           warm_up_begin(db, why, source.id, SLICE("*"), slice_str(context), 1795321800000);
}

static int taken(struct fixture *fixture)
{
    int sum = 0;
    for (size_t i = 0; i < fixture->receiver_count; i++)
        sum += atomic_load(&fixture->receivers[i].accepted);
    return sum;
}

/* One mail to each of seven sites; then many to the eighth, and a few to all. */
static void the_whole_cap_is_used(void **state)
{
    HOUSE(fixture, state, SITES);
    open_house(fixture);
    engine_stop(fixture->engine, 0);
    test_write(fixture->store.store, source_run, (char[]){"300,600"});
    start(fixture);
    int64_t day = allowance_day(world_wall(&fixture->world));
    char domain[32];
    for (int i = 1; i < SITES; i++) {
        snprintf(domain, sizeof(domain), "r%d.example", i);
        person(fixture, "first", domain);
    }
    submit_as(fixture, 7, 0);
    wait_until_state(fixture, "first", DELIVERY_DELIVERED, SITES - 1);
    for (int i = 0; i < 2000 && number(fixture, "SELECT reserved FROM daily_use") != SITES - 1; i++)
        receiver_pause(5);
    if (day == allowance_day(world_wall(&fixture->world))) /* nobody keeps what nobody waits for */
        assert_int_equal(number(fixture, "SELECT reserved FROM daily_use"), SITES - 1);
    crowd(fixture, CAP * 2, "r0.example");
    for (int i = 1; i < SITES; i++) {
        snprintf(domain, sizeof(domain), "r%d.example", i);
        crowd(fixture, 5, domain);
    }
    submit(fixture);
    for (int i = 0; i < 6000 && number(fixture, "SELECT reserved FROM daily_use") < CAP; i++)
        receiver_pause(5);
    for (int i = 0; i < 8000 && taken(fixture) < CAP; i++) /* who finds it used up asks again after 15 s, not before */
        receiver_pause(1);
    receiver_pause(300);
    int64_t reserved = number(fixture, "SELECT reserved FROM daily_use");
    if (day == allowance_day(world_wall(&fixture->world))) {
        assert_int_equal(taken(fixture), CAP);
        assert_int_equal(reserved, CAP);
    }
    leave(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {ON_BOTH(the_whole_cap_is_used)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
