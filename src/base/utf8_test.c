#include "base/test.h"
#include "base/utf8.h"

static void good_and_bad(void **state)
{
    static const struct {
        const char *bytes;
        bool is_valid;
    } rows[] = {
        {"", true},
        {"abc 届け 😀", true},
        {"\xc0\xaf", false},         /* overlong */
        {"\xed\xa0\x80", false},     /* surrogate */
        {"\xf4\x90\x80\x80", false}, /* past the end of Unicode */
        {"\xe3\x81", false},         /* cut */
        {"\x80", false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_int_row(rows[i].bytes, utf8_is_valid(slice_str(rows[i].bytes)), rows[i].is_valid);
}

static void cut_and_measured(void **state)
{
    assert_slice("never half a character", utf8_head(SLICE("届け"), 5), SLICE("届"));
    assert_int_equal(utf8_columns(SLICE("届け abc")), 8);
    SCOPED(buf) out = BUF(64);
    utf8_repair(&out, SLICE("a\xff"
                            "b"));
    assert_slice("repair", buf_slice(&out),
                 SLICE("a\xef\xbf\xbd"
                       "b"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(good_and_bad), cmocka_unit_test(cut_and_measured)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
