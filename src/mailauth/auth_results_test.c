/* M37: Authentication-Results with our own name that others wrote: CFWS, quotes and versions of RFC 8601 2.2 */
#include "base/test.h"
#include "mailauth/auth_results.h"
#include <stdlib.h>

static void whose_it_is(void **state)
{
    static const struct {
        const char *name, *value;
        bool is_ours;
    } rows[] = {
        {"ours", "mx.shop.example; spf=pass", true},
        {"in capitals", "MX.Shop.EXAMPLE; spf=pass", true},
        {"with a version", "mx.shop.example 1; spf=pass", true},
        {"nothing behind it", "mx.shop.example", true},
        {"no space at all", "mx.shop.example;spf=pass", true},
        {"folded", "\r\n\tmx.shop.example;\r\n\tspf=pass", true},
        {"a comment in front", "(by me) mx.shop.example; none", true},
        {"a comment that nests", " (a (b) c)\r\n (d)mx.shop.example; none", true},
        {"a comment with a backslash", "(a\\) other.example; ) mx.shop.example; none", true},
        {"a comment right behind", "mx.shop.example(comment) 1; none", true},
        {"quoted", "\"mx.shop.example\"; none", true},
        {"quoted letter by letter", "\"m\\x.shop\\.example\"; none", true},
        {"a dot behind", "mx.shop.example.; none", true},
        {"a comment without end", "(mx.shop.example; none", true},
        {"a quote without end", "\"mx.shop.example; none", true},
        {"no name", "; none", true},
        {"nothing", "", true},
        {"only a comment", " (x) ", true},
        {"another's", "mx.other.example; spf=pass", false},
        {"another's that names us", "mx.other.example (mx.shop.example); spf=pass smtp.helo=mx.shop.example", false},
        {"ours inside another", "amx.shop.example; none", false},
        {"another below ours", "mx.shop.example.evil.example; none", false},
        {"above ours", "shop.example; none", false},
        {"a quoted semicolon", "\"mx.shop.example;x\"; none", false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_int_row(rows[i].name, auth_results_claims(slice_str(rows[i].value), SLICE("mx.shop.example")),
                       rows[i].is_ours);
}

static void any_length(void **state)
{
    enum { LONG = 1 << 20 };
    char *text = malloc(LONG);
    static const char heads[] = "(\"a\\";
    for (size_t i = 0; i < sizeof(heads); i++) {
        memset(text, heads[i], LONG);
        bool is_name = heads[i] == 'a' || heads[i] == '\\';
        assert_int_equal(auth_results_claims(slice_of(text, LONG), SLICE("mx.shop.example")), !is_name);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(whose_it_is), cmocka_unit_test(any_length)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
