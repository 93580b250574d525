#include "base/memory.h"
#include "base/test.h"

static void lines_end_in_any_newline(void **state)
{
    struct slice rest = SLICE("a\r\nb\nc\rd"), line;
    const char *want[] = {"a", "b", "c", "d"};
    for (size_t i = 0; i < 4; i++) {
        assert_true(slice_line(&rest, &line));
        assert_slice("line", line, slice_str(want[i]));
    }
    assert_false(slice_line(&rest, &line));
}

static void split_gives_empty_pieces_too(void **state)
{
    struct slice rest = SLICE(",a,,b,"), piece;
    const char *want[] = {"", "a", "", "b", ""};
    size_t count = 0;
    for (; slice_split(&rest, ',', &piece); count++)
        assert_slice("piece", piece, slice_str(want[count]));
    assert_int_equal(count, 5);
}

static void numbers(void **state)
{
    static const struct {
        const char *text;
        bool is_good;
        int64_t value;
    } rows[] = {
        {"0", true, 0},
        {"-12", true, -12},
        {"9223372036854775807", true, INT64_MAX},
        {"9223372036854775808", false, 0},
        {"18446744073709551616", false, 0},
        {"", false, 0},
        {"-", false, 0},
        {"1a", false, 0},
        {" 1", false, 0},
        {"+1", false, 0},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int64_t value = 0;
        assert_int_row(rows[i].text, slice_to_i64(slice_str(rows[i].text), &value), rows[i].is_good);
        assert_int_row(rows[i].text, value, rows[i].value);
    }
}

static void finding(void **state)
{
    struct slice s = SLICE("Hello, Mail World");
    assert_int_equal(slice_find(s, SLICE("Mail")), 7);
    assert_int_equal(slice_find(s, SLICE("mail")), SLICE_NPOS);
    assert_int_equal(slice_find_caseless(s, SLICE("mail w")), 7);
    assert_int_equal(slice_find_caseless(s, SLICE("worlds")), SLICE_NPOS);
    assert_true(slice_starts_caseless(s, SLICE("HELLO")));
    assert_true(slice_ends_caseless(s, SLICE("world")));
    assert_slice("trim", slice_trim(SLICE(" \t a b \r\n")), SLICE("a b"));
    assert_true(slice_equal_constant_time(SLICE("abc"), SLICE("abc")));
    assert_false(slice_equal_constant_time(SLICE("abc"), SLICE("abd")));
}

/* Eight bytes at a time must say what one at a time says: every pair of bytes, at every place of every short length. */
/* At every place of a text longer than what is looked at in one go; a line's beginning alone, or its end, is none. */
static void finding_pairs(void **state)
{
    char text[70];
    for (size_t at = 0; at + 1 < sizeof(text); at++) {
        memset(text, '\n', sizeof(text));
        text[at + 1] = 'F';
        assert_int_equal(slice_find_pair(slice_of(text, sizeof(text)), "\nF"), (ptrdiff_t)at);
        assert_int_equal(slice_find_pair(slice_of(text, at + 1), "\nF"), SLICE_NPOS);
    }
    assert_int_equal(slice_find_pair(SLICE(""), "\nF"), SLICE_NPOS);
    assert_int_equal(slice_find_pair(SLICE("F"), "\nF"), SLICE_NPOS);
}

/* Line ends beyond the first sixteen bytes, each kind. */
static void long_lines(void **state)
{
    char text[64];
    for (size_t at = 0; at < sizeof(text); at++)
        for (int kind = 0; kind < 2; kind++) {
            memset(text, 'x', sizeof(text));
            text[at] = kind ? '\r' : '\n';
            struct slice rest = slice_of(text, sizeof(text)), line;
            assert_true(slice_line(&rest, &line));
            assert_int_equal(line.len, at);
            assert_int_equal(rest.len, sizeof(text) - at - 1);
        }
}

static void caseless_is_exact(void **state)
{
    char a[24], b[24];
    for (size_t len = 1; len <= 19; len++)
        for (size_t at = 0; at < len; at++)
            for (int x = 0; x < 256; x++)
                for (int y = x & 0x5f; y < 256;
                     y += 0x20) { /* those that differ in the case bits, and all in the first row */
                    memset(a, 'q', sizeof(a));
                    memset(b, 'Q', sizeof(b));
                    a[at] = (char)x;
                    b[at] = (char)y;
                    bool want = ascii_lower((char)x) == ascii_lower((char)y);
                    if (slice_equal_caseless(slice_of(a, len), slice_of(b, len)) != want)
                        fail_msg("length %zu, at %zu: %02x and %02x", len, at, x, y);
                    if (slice_starts_caseless(slice_of(a, sizeof(a)), slice_of(b, len)) != want)
                        fail_msg("starts: length %zu, at %zu: %02x and %02x", len, at, x, y);
                }
    for (int x = 0; x < 256; x++)
        for (int y = 0; y < 256; y++) {
            memset(a, '[', sizeof(a)); /* next to the letters */
            memset(b, '[', sizeof(b));
            a[9] = (char)x;
            b[9] = (char)y;
            if (slice_equal_caseless(slice_of(a, 16), slice_of(b, 16)) !=
                (ascii_lower((char)x) == ascii_lower((char)y)))
                fail_msg("%02x and %02x", x, y);
        }
}

static void how_far_words_are(void **state)
{
    static const struct {
        const char *a, *b;
        size_t want;
    } rows[] = {
        {"", "", 0},    {"google", "google", 0},    {"gogle", "google", 1}, {"", "abc", 3}, {"kitten", "sitting", 3},
        {"abc", "", 3}, {"yahoo-jp", "yahoojp", 1},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_int_row(rows[i].a, slice_distance(slice_str(rows[i].a), slice_str(rows[i].b)), rows[i].want);
    char much[65];
    memset(much, 'x', sizeof(much));
    assert_int_equal(slice_distance(slice_of(much, sizeof(much)), SLICE("x")), 64);
    assert_int_equal(slice_distance(slice_of(much, 64), slice_of(much, 60)), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(how_far_words_are),
        cmocka_unit_test(caseless_is_exact),
        cmocka_unit_test(lines_end_in_any_newline),
        cmocka_unit_test(split_gives_empty_pieces_too),
        cmocka_unit_test(numbers),
        cmocka_unit_test(finding),
        cmocka_unit_test(finding_pairs),
        cmocka_unit_test(long_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
