/* Where the deciding words stand, as JavaScript counts (the contract's marks). */
#include "api/marks.h"
#include "base/test.h"

static void offsets_are_utf16_code_units(void **state)
{
    static const struct {
        const char *row;
        struct slice text;
        size_t bytes, units;
    } table[] = {
        {"the beginning", SLICE_INIT("550 no"), 0, 0},
        {"ASCII: the same as bytes", SLICE_INIT("550 no such user"), 7, 7},
        {"the end", SLICE_INIT("550"), 3, 3},
        {"past the end", SLICE_INIT("550"), 9, 3},
        {"two bytes, one unit", SLICE_INIT("é!"), 2, 1},
        {"three bytes, one unit", SLICE_INIT("宛先不明"), 6, 2},
        {"four bytes, two units (a surrogate pair)", SLICE_INIT("\xf0\x9f\x93\xac x"), 4, 2},
        {"behind a surrogate pair", SLICE_INIT("\xf0\x9f\x93\xac x"), 6, 4},
        {"inside of a character counts it", SLICE_INIT("宛先"), 4, 2},
        {"each byte that is no UTF-8 is one", SLICE_INIT("\xff\xfe!"), 2, 2},
        {"nothing", SLICE_INIT(""), 0, 0},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++)
        assert_int_row(table[i].row, utf16_offset(table[i].text, table[i].bytes), table[i].units);
}

static void marks_as_json(void **state)
{
    static const struct {
        const char *row;
        struct slice text;
        size_t from, to;
        struct slice want;
    } table[] = {
        {"words", SLICE_INIT("550 no such user"), 4, 11, SLICE_INIT("{\"marks\":[[4,11]]}")},
        {"Japanese words", SLICE_INIT("550 宛先 不明"), 11, 17, SLICE_INIT("{\"marks\":[[7,9]]}")},
        {"nothing marked", SLICE_INIT("550"), 0, 0, SLICE_INIT("{\"marks\":[]}")},
        {"upside down", SLICE_INIT("550"), 2, 1, SLICE_INIT("{\"marks\":[]}")},
        {"longer than the text", SLICE_INIT("550"), 1, 4, SLICE_INIT("{\"marks\":[]}")},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        SCOPED(buf) out = BUF(200);
        struct json json = {&out};
        json_object_begin(&json);
        json_put_marks(&json, table[i].text, table[i].from, table[i].to);
        json_end(&json);
        assert_slice(table[i].row, buf_slice(&out), table[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(offsets_are_utf16_code_units),
        cmocka_unit_test(marks_as_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
