/* What a receiver says does not steer the terminal of who reads it, and JSON stays what it was. */
#include "app/inert.h"

#include "base/test.h"
#include "base/utf8.h"

static void what_steers_a_terminal_is_written_out(void **state)
{
    static const struct {
        const char *name, *said, *printed;
    } rows[] = {
        {"letters of any language", "550 refus\xc3\xa9 \xe5\xb1\x8a\xe3\x81\x91 \xf0\x9f\x93\xae\n\t1\n",
         "550 refus\xc3\xa9 \xe5\xb1\x8a\xe3\x81\x91 \xf0\x9f\x93\xae\n\t1\n"},
        {"ESC and CSI", "a\x1b[31m \xc2\x9b\x33\x31m", "a\\u001b[31m \\u009b31m"},
        {"the other C1, DEL, a bare return", "\xc2\x80 \xc2\x9f \x7f \r", "\\u0080 \\u009f \\u007f \\u000d"},
        {"lines that are no lines",
         "a\xe2\x80\xa8"
         "b\xe2\x80\xa9",
         "a\\u2028b\\u2029"},
        {"the order of the letters", "\xe2\x80\xaa\xe2\x80\xae\xe2\x81\xa6\xe2\x81\xa9",
         "\\u202a\\u202e\\u2066\\u2069"},
        {"what right-to-left names have of their own", "\xe2\x80\x8f\xd7\xa9\xe2\x80\x8e",
         "\xe2\x80\x8f\xd7\xa9\xe2\x80\x8e"},
        {"bytes that are no text",
         "\x9b"
         "31m \xc3",
         "\xef\xbf\xbd"
         "31m "},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct slice said = slice_str(rows[i].said);
        for (size_t cut = 0; cut <= said.len; cut++) { /* however it comes in pieces */
            SCOPED(buf) out = BUF(1000);
            size_t taken = inert_take(&out, slice_head(said, cut));
            (void)inert_take(&out, slice_from(said, taken));
            assert_slice(rows[i].name, buf_slice(&out), slice_str(rows[i].printed));
        }
    }
    SCOPED(buf) inert = BUF(100);
    utf8_append_inert(&inert, SLICE("a\x1b[0m\xc2\x9b\xe2\x80\xae!"));
    assert_slice("in a line", buf_slice(&inert), SLICE("a [0m  !"));
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_steers_a_terminal_is_written_out)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
