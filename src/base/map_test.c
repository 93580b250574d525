#include "base/map.h"
#include "base/test.h"

static void texts_come_and_go(void **state)
{
    SCOPED(map) map = {0};
    char key[16];
    for (uintptr_t i = 1; i <= 5000; i++) {
        snprintf(key, sizeof(key), "key%zu", (size_t)i);
        map_set(&map, slice_str(key), (void *)i);
    }
    for (uintptr_t i = 1; i <= 5000; i += 2) {
        snprintf(key, sizeof(key), "key%zu", (size_t)i);
        assert_ptr_equal(map_remove(&map, slice_str(key)), (void *)i);
    }
    assert_int_equal(map.count, 2500);
    size_t seen = 0, at = 0;
    for (struct map_entry *entry; (entry = map_walk(&map, &at)); seen++)
        assert_int_equal((uintptr_t)entry->value % 2, 0);
    assert_int_equal(seen, 2500);
    assert_null(map_get(&map, SLICE("key1")));
    assert_ptr_equal(map_get(&map, SLICE("key2")), (void *)2);
    for (int round = 0; round < 100000; round++) { /* churn does not grow it */
        map_set(&map, SLICE("churn"), (void *)1);
        map_remove(&map, SLICE("churn"));
    }
    assert_true(map.room <= 16384);
}

static void ids_come_and_go(void **state)
{
    SCOPED(id_map) map = {0};
    for (uint64_t i = 1; i <= 5000; i++)
        id_map_set(&map, i << 20, (void *)(uintptr_t)i);
    for (uint64_t i = 1; i <= 5000; i += 3)
        assert_ptr_equal(id_map_remove(&map, i << 20), (void *)(uintptr_t)i);
    for (uint64_t i = 1; i <= 5000; i++)
        assert_ptr_equal(id_map_get(&map, i << 20), (void *)(uintptr_t)(i % 3 == 1 ? 0 : i));
    assert_null(id_map_remove(&map, 7));
}

static void hashes_stay_the_same(void **state)
{
    /* buckets in stores depend on these figures */
    assert_int_equal(hash_bytes(SLICE("taro@example.jp"), 0) & 255, hash_bytes(SLICE("taro@example.jp"), 0) & 255);
    assert_true(hash_bytes(SLICE("a"), 0) != hash_bytes(SLICE("b"), 0));
    assert_true(hash_bytes(SLICE("a"), 0) != hash_bytes(SLICE("a"), 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_come_and_go),
        cmocka_unit_test(ids_come_and_go),
        cmocka_unit_test(hashes_stay_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
