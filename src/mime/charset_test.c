/* Texts in any charset, labelled well, badly or not at all */
#include "base/test.h"
#include "base/utf8.h"
#include "mime/charset.h"

static void converted(void **state)
{
    static const struct {
        const char *thought, *label, *text, *want;
    } rows[] = {
        {"ascii is left alone", "us-ascii", "plain", "plain"},
        {"utf-8 is left alone", "utf-8", "日本", "日本"},
        {"utf-8 called latin-1", "iso-8859-1", "日本", "日本"},
        {"latin-1", "iso-8859-1", "gr\xfc\xdf", "grüß"},
        {"windows quotes called latin-1", "iso-8859-1", "wasn\x92t", "wasn’t"},
        {"iso-2022-jp", "iso-2022-jp", "\x1b$B$\"\x1b(B!", "あ!"},
        {"iso-2022-jp called ascii", "us-ascii", "\x1b$B$\"\x1b(B!", "あ!"},
        {"iso-2022-jp without a label", "", "\x1b$B$\"\x1b(B!", "あ!"},
        {"shift_jis", "shift_jis", "\x82\xa0\x82\xa2", "あい"},
        {"shift_jis without a label", "", "\x83\x81\x81[\x83\x8b\x82\xf0", "メールを"},
        {"euc-jp", "euc-jp", "\xa4\xa2\xa4\xa4", "あい"},
        {"euc-jp without a label", "", "\xa4\xa2\xa4\xa4\xa4\xf2", "あいを"},
        {"euc-jp called iso-2022-jp", "iso-2022-jp", "\xa4\xa2\xa4\xa4\xa4\xf2", "あいを"},
        {"circled digits of NEC in CP932", "shift_jis", "\x87\x40", "①"},
        {"gb2312", "gb2312", "\xd3\xca\xcf\xe4", "邮箱"},
        {"big5", "big5", "\xb6\x6c\xbd\x63", "郵箱"},
        {"koi8-r", "koi8-r", "\xf0\xcf\xde\xd4\xc1", "Почта"},
        {"windows-1251", "windows-1251", "\xcf\xee\xf7\xf2\xe0", "Почта"},
        {"euc-kr", "euc-kr", "\xb8\xde\xc0\xcf", "메일"},
        {"utf-7", "utf-7", "+MEI-!", "あ!"},
        {"an unknown label", "x-nobody", "gr\xfc\xdf", "grüß"},
        {"a label that would be options", "utf-8//IGNORE", "gr\xfc\xdf", "grüß"},
        {"a quoted label", "\"shift_jis\"", "\x82\xa0", "あ"},
        {"nothing", "utf-8", "", ""},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct arena arena = {0};
        struct slice got = charset_to_utf8(slice_str(rows[i].text), slice_str(rows[i].label), &arena);
        assert_slice(rows[i].thought, got, slice_str(rows[i].want));
        arena_release(&arena);
    }
}

/* Whatever bytes and label: the result is UTF-8. */
static void always_utf8(void **state)
{
    static const char *const labels[] = {"",      "utf-8",  "iso-2022-jp", "shift_jis", "euc-jp",
                                         "utf-7", "utf-16", "gb18030",     "big5"};
    unsigned seed = 1;
    for (int round = 0; round < 2000; round++) {
        char bytes[64];
        size_t len = (size_t)(round % 64);
        for (size_t i = 0; i < len; i++)
            bytes[i] = (char)((seed = seed * 1103515245 + 12345) >> 16);
        if (len > 8 && round % 3 == 0)
            memcpy(bytes, "\x1b$B", 3);
        struct arena arena = {0};
        struct slice got = charset_to_utf8(slice_of(bytes, len), slice_str(labels[round % COUNT_OF(labels)]), &arena);
        assert_true(utf8_is_valid(got));
        arena_release(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(converted), cmocka_unit_test(always_utf8)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
