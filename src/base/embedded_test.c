#include "base/embedded.h"
#include "base/test.h"

static void every_file_is_found_by_its_path(void **state)
{
    assert_true(embedded_count > 0);
    for (size_t i = 0; i < embedded_count; i++) {
        struct slice bytes;
        assert_true(embedded_find(embedded_table[i].path, &bytes));
        assert_ptr_equal(bytes.ptr, embedded_table[i].bytes);
        assert_int_equal(bytes.ptr[bytes.len], 0);
        if (i)
            assert_true(slice_compare(embedded_table[i - 1].path, embedded_table[i].path) < 0);
    }
}

static void a_text_is_what_the_file_says(void **state)
{
    struct slice bytes;
    assert_true(embedded_find(SLICE("data/api/openapi.yaml"), &bytes));
    assert_true(slice_find(bytes, SLICE("openapi:")) >= 0);
}

static void what_is_not_there_is_not_found(void **state)
{
    static const char *const absent[] = {"", "data", "data/", "data/api/openapi.yam", "data/api/openapi.yaml2", "zzz"};
    for (size_t i = 0; i < COUNT_OF(absent); i++) {
        struct slice bytes;
        assert_false(embedded_find(slice_str(absent[i]), &bytes));
    }
    assert_null(embedded_first(SLICE("data/nothing/")));
    assert_null(embedded_first(SLICE("zzz")));
    assert_non_null(embedded_first(SLICE("data/schema/")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_file_is_found_by_its_path),
        cmocka_unit_test(a_text_is_what_the_file_says),
        cmocka_unit_test(what_is_not_there_is_not_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
