#include "base/arena.h"
#include "base/buf.h"
#include "base/test.h"

static void past_the_ceiling_it_sticks(void **state)
{
    SCOPED(buf) buf = BUF(5);
    buf_text(&buf, "abc");
    buf_text(&buf, "def");
    buf_text(&buf, "g");
    assert_false(buf_ok(&buf));
    assert_slice("what fitted stays", buf_slice(&buf), SLICE("abc"));
    buf_reset(&buf);
    buf_text(&buf, "12345");
    assert_true(buf_ok(&buf));
    assert_string_equal(buf_cstr(&buf), "12345");
}

static void numbers_and_formats(void **state)
{
    SCOPED(buf) buf = BUF(4096);
    buf_i64(&buf, INT64_MIN);
    buf_byte(&buf, ' ');
    buf_u64(&buf, UINT64_MAX);
    assert_slice("numbers", buf_slice(&buf), SLICE("-9223372036854775808 18446744073709551615"));
    buf_reset(&buf);
    buf_printf(&buf, "%0600d", 7);
    assert_int_equal(buf.len, 600);
    buf_consume(&buf, 599);
    assert_slice("the end is left", buf_slice(&buf), SLICE("7"));
}

static void an_arena_keeps_small_and_big(void **state)
{
    SCOPED(arena) arena = {0};
    for (int round = 0; round < 3; round++) {
        struct slice first = arena_copy(&arena, SLICE("first"));
        char *big = arena_alloc(&arena, 100000);
        memset(big, 'x', 100000);
        struct slice second = arena_printf(&arena, "%s-%d", "second", round);
        for (int i = 0; i < 1000; i++)
            assert_true((uintptr_t)arena_zero(&arena, 24) % 16 == 0);
        assert_slice("first", first, SLICE("first"));
        assert_int_equal(second.len, 8);
        arena_reset(&arena);
        assert_int_equal(arena.used_bytes, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(past_the_ceiling_it_sticks),
        cmocka_unit_test(numbers_and_formats),
        cmocka_unit_test(an_arena_keeps_small_and_big),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
