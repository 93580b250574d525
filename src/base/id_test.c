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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(ids_grow_whatever_the_clock_does)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
