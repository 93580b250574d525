#include "base/id.h"
#include "base/test.h"

static void ids_grow_whatever_the_clock_does(void **state)
{
    static struct id_maker maker = {.node = 5};
    const time_ms now = 1795321800123;
    uint64_t last = 0;
    for (int i = 0; i < 10000; i++) {
        uint64_t id = id_make(&maker, i == 9999 ? now - 5000 : now, 77); /* F8: the clock steps back */
        assert_true(id > last && id <= INT64_MAX && id_bucket(id) == 77);
        last = id;
    }
    assert_true(id_time(last) >= now && id_time(last) <= now + 10000 / 16 + 1);

    static struct id_maker restarted = {.node = 5};
    id_maker_floor(&restarted, last);
    assert_true(id_make(&restarted, now, 77) > last);
}

/* F8: a machine without a battery wakes up in 1970, another one in 2200. */
static void a_mad_clock_makes_ids_all_the_same(void **state)
{
    static const time_ms clocks[] = {0, -1, 1795321800123, 1000, 7258118400000, INT64_MAX / 4, 1795321800123};
    static struct id_maker maker = {.node = 1023};
    uint64_t last = 0;
    for (size_t i = 0; i < COUNT_OF(clocks) * 100; i++) {
        uint64_t id = id_make(&maker, clocks[i / 100], 255);
        if (id <= last || id > INT64_MAX || id_bucket(id) != 255)
            fail_msg("clock %lld: id %llu after %llu", (long long)clocks[i / 100], (unsigned long long)id,
                     (unsigned long long)last);
        last = id;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(ids_grow_whatever_the_clock_does),
                                       cmocka_unit_test(a_mad_clock_makes_ids_all_the_same)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
