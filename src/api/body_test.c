/* X3: which texts may stand in one line of a header. */
#include "api/body.h"
#include "base/test.h"
#include "base/utf8.h"

static void a_line_has_no_control_characters(void **state)
{
    static const struct {
        const char *row;
        struct slice text;
        bool want;
    } table[] = {
        {"nothing", SLICE_INIT(""), true},
        {"ASCII", SLICE_INIT("Hello, world"), true},
        {"Japanese", SLICE_INIT("冬の感謝祭"), true},
        {"a no-break space", SLICE_INIT("a\u00a0b"), true},
        {"emoji", SLICE_INIT("\U0001f4ee"), true},
        {"U+2027, before the line separators", SLICE_INIT("a\u2027b"), true},
        {"U+202A, behind them", SLICE_INIT("a\u202ab"), true},
        {"CR", SLICE_INIT("a\rb"), false},
        {"LF", SLICE_INIT("a\nb"), false},
        {"NUL", SLICE_INIT("a\0b"), false},
        {"TAB", SLICE_INIT("a\tb"), false},
        {"DEL", SLICE_INIT("a\177b"), false},
        {"NEL",
         SLICE_INIT("a\xc2\x85"
                    "b"),
         false},
        {"NEL at the end", SLICE_INIT("a\xc2\x85"), false},
        {"the last of C1", SLICE_INIT("\xc2\x9f"), false},
        {"line separator", SLICE_INIT("a\u2028b"), false},
        {"paragraph separator at the end", SLICE_INIT("a\u2029"), false},
        {"vertical tab", SLICE_INIT("a\vb"), false},
        {"a character cut off at the end", SLICE_INIT("a\xe2\x80"), true},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++)
        assert_row(table[i].row, utf8_is_line(table[i].text) == table[i].want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_line_has_no_control_characters)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
