#include "base/percent.h"
#include "base/test.h"

static const struct {
    const char *name;
    struct slice text;
    const char *strict, *form; /* NULL: refused */
    struct slice loose;
} rows[] = {
    {"plain", SLICE_INIT("abc"), "abc", "abc", SLICE_INIT("abc")},
    {"nothing", SLICE_INIT(""), "", "", SLICE_INIT("")},
    {"a space", SLICE_INIT("a%20b"), "a b", "a b", SLICE_INIT("a b")},
    {"a plus is a space in forms only", SLICE_INIT("b+c"), "b+c", "b c", SLICE_INIT("b+c")},
    {"a plus that is meant", SLICE_INIT("%2b%2B"), "++", "++", SLICE_INIT("++")},
    {"UTF-8", SLICE_INIT("%E3%81%82"), "\xe3\x81\x82", "\xe3\x81\x82", SLICE_INIT("\xe3\x81\x82")},
    {"either case", SLICE_INIT("%2f%2F"), "//", "//", SLICE_INIT("//")},
    {"decoded once", SLICE_INIT("%2525"), "%25", "%25", SLICE_INIT("%25")},
    {"a lone mark", SLICE_INIT("%"), NULL, NULL, SLICE_INIT("%")},
    {"one digit", SLICE_INIT("%2"), NULL, NULL, SLICE_INIT("%2")},
    {"no digits", SLICE_INIT("%zz"), NULL, NULL, SLICE_INIT("%zz")},
    {"one of two", SLICE_INIT("%2z%41"), NULL, NULL, SLICE_INIT("%2zA")},
    {"a mark in front of an escape", SLICE_INIT("%%41"), NULL, NULL, SLICE_INIT("%A")},
    {"NUL", SLICE_INIT("a%00b"), NULL, NULL, SLICE_INIT("a\0b")},
    {"NUL as it is", SLICE_INIT("a\0b"), NULL, NULL, SLICE_INIT("a\0b")},
};

static void escapes_are_undone(void **state)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char to[40];
        size_t len;
        for (int is_form = 0; is_form < 2; is_form++) {
            const char *want = is_form ? rows[i].form : rows[i].strict;
            bool ok = percent_decode(rows[i].text, is_form, to, &len);
            assert_int_row(rows[i].name, ok, want != NULL);
            if (ok)
                assert_slice(rows[i].name, slice_of(to, len), slice_str(want));
        }
        len = percent_decode_loose(rows[i].text, to);
        assert_slice(rows[i].name, slice_of(to, len), rows[i].loose);
    }
}

static void two_digits(void **state)
{
    assert_int_equal(percent_digits(SLICE("=3D"), 1), 0x3d);
    assert_int_equal(percent_digits(SLICE("fF"), 0), 0xff);
    assert_int_equal(percent_digits(SLICE("=3"), 1), -1);
    assert_int_equal(percent_digits(SLICE("=3D"), 2), -1);
    assert_int_equal(percent_digits(SLICE("=3D"), 3), -1);
    assert_int_equal(percent_digits(SLICE("=3D"), SIZE_MAX), -1);
    assert_int_equal(percent_digits(SLICE(""), 0), -1);
}

static void what_is_written_is_read(void **state)
{
    char all[256], back[256];
    size_t len;
    SCOPED(buf) out = BUF(1024);
    for (size_t i = 0; i < sizeof(all); i++)
        all[i] = (char)(i + 1); /* NUL last */
    percent_encode(&out, slice_of(all, sizeof(all)));
    assert_int_equal(out.len, 66 + (256 - 66) * 3); /* unreserved: RFC 3986 2.3 */
    assert_int_equal(percent_decode_loose(buf_slice(&out), back), sizeof(all));
    assert_memory_equal(all, back, sizeof(all));
    assert_false(percent_decode(buf_slice(&out), false, back, &len));
    buf_reset(&out);
    percent_byte(&out, '\xaf');
    assert_slice("capitals", buf_slice(&out), SLICE("%AF"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(escapes_are_undone), cmocka_unit_test(two_digits),
                                       cmocka_unit_test(what_is_written_is_read)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
