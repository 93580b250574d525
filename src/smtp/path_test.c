/* M4, M20, R12: the path of MAIL and RCPT; limits, quotes, routes, literals */
#include "base/buf.h"
#include "base/test.h"
#include "smtp/path.h"

static const char a64[] = "0123456789012345678901234567890123456789012345678901234567890123";

static void paths(void **state)
{
    static const struct {
        const char *text;
        enum smtp_path_fault fault;
        const char *local, *domain, *rest;
        unsigned rules;
    } rows[] = {
        {"<a@b.test>", SMTP_PATH_OK, "a", "b.test", ""},
        {"<a@b.test> SIZE=1", SMTP_PATH_OK, "a", "b.test", " SIZE=1"},
        {"<>", SMTP_PATH_OK, "", "", ""},
        {"<Postmaster>", SMTP_PATH_OK, "Postmaster", "", ""},
        {"<a.b+c/d=e@b-c.d_e.test>", SMTP_PATH_OK, "a.b+c/d=e", "b-c.d_e.test", ""},
        {"<\"a b\"@b.test>", SMTP_PATH_OK, "\"a b\"", "b.test", ""},
        {"<\"a>b\\\"<@\"@b.test>", SMTP_PATH_OK, "\"a>b\\\"<@\"", "b.test", ""},
        {"<\"a..b\"@docomo.test>", SMTP_PATH_OK, "\"a..b\"", "docomo.test", ""},
        {"<a@[192.0.2.1]>", SMTP_PATH_OK, "a", "[192.0.2.1]", ""},
        {"<a@[IPv6:2001:db8::1]>", SMTP_PATH_OK, "a", "[IPv6:2001:db8::1]", ""},
        {"<@x.test:a@b.test>", SMTP_PATH_OK, "a", "b.test", ""},
        {"<@x.test,@y.test:a@b.test>", SMTP_PATH_OK, "a", "b.test", ""},
        {"<@x.test:a@b.test>", SMTP_PATH_ROUTE, .rules = SMTP_PATH_NO_ROUTE},
        {"<\xe6\x97\xa5@\xe6\x97\xa5.test>", SMTP_PATH_OK, "\xe6\x97\xa5", "\xe6\x97\xa5.test", ""},
        {"a@b.test", SMTP_PATH_OK, "a", "b.test", "", SMTP_PATH_NO_BRACKETS},
        {"a..b.@b.test", SMTP_PATH_OK, "a..b.", "b.test", "", SMTP_PATH_NO_BRACKETS | SMTP_PATH_LENIENT_DOTS},
        {"a@b.test", SMTP_PATH_SYNTAX},
        {"", SMTP_PATH_SYNTAX},
        {"<", SMTP_PATH_SYNTAX},
        {"<a@b.test", SMTP_PATH_SYNTAX},
        {"<a@b.test>x", SMTP_PATH_SYNTAX},
        {"<a>", SMTP_PATH_SYNTAX},
        {"<@>", SMTP_PATH_SYNTAX},
        {"<a@>", SMTP_PATH_SYNTAX},
        {"<@b.test>", SMTP_PATH_SYNTAX},
        {"<a..b@b.test>", SMTP_PATH_SYNTAX},
        {"<.a@b.test>", SMTP_PATH_SYNTAX},
        {"<a.@b.test>", SMTP_PATH_SYNTAX},
        {"<a b@b.test>", SMTP_PATH_SYNTAX},
        {"<a@b@c.test>", SMTP_PATH_SYNTAX},
        {"<\"a@b.test>", SMTP_PATH_SYNTAX},
        {"<\"a\"b@b.test>", SMTP_PATH_SYNTAX},
        {"<\"a\rb\"@b.test>", SMTP_PATH_SYNTAX},
        {"<a@-b.test>", SMTP_PATH_SYNTAX},
        {"<a@b-.test>", SMTP_PATH_SYNTAX},
        {"<a@b.test.>", SMTP_PATH_SYNTAX},
        {"<a@b!c.test>", SMTP_PATH_SYNTAX},
        {"<a@[192.0.2.1>", SMTP_PATH_SYNTAX},
        {"<a@[]>", SMTP_PATH_SYNTAX},
        {"<@x.test,y.test:a@b.test>", SMTP_PATH_SYNTAX},
        {"<@x.test a@b.test>", SMTP_PATH_SYNTAX},
        {"<\xff@b.test>", SMTP_PATH_SYNTAX}, /* RFC 6531 3.3: UTF-8, or nothing */
        {"<a@\xe6\x97.test>", SMTP_PATH_SYNTAX},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct slice rest = slice_str(rows[i].text);
        struct smtp_path path;
        assert_int_row(rows[i].text, smtp_path_read(&rest, rows[i].rules, &path), rows[i].fault);
        if (rows[i].fault != SMTP_PATH_OK)
            continue;
        assert_slice(rows[i].text, path.local, slice_str(rows[i].local));
        assert_slice(rows[i].text, path.domain, slice_str(rows[i].domain));
        assert_slice(rows[i].text, rest, slice_str(rows[i].rest));
    }
}

static void limits(void **state)
{
    static const struct {
        size_t extra_local, labels;
        bool is_quoted;
        enum smtp_path_fault fault;
    } rows[] = {{0, 1, false, SMTP_PATH_OK},          {1, 1, false, SMTP_PATH_LOCAL_LONG},
                {0, 1, true, SMTP_PATH_OK},           {1, 1, true, SMTP_PATH_LOCAL_LONG},
                {0, 17, false, SMTP_PATH_OK},         {0, 18, false, SMTP_PATH_DOMAIN_LONG},
                {0, 30, false, SMTP_PATH_DOMAIN_LONG}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        SCOPED(buf) text = BUF(1000);
        buf_str(&text, rows[i].is_quoted ? "<\"" : "<");
        buf_str(&text, a64);
        for (size_t k = 0; k < rows[i].extra_local; k++)
            buf_byte(&text, 'x');
        buf_str(&text, rows[i].is_quoted ? "\"@" : "@");
        for (size_t k = 0; k < rows[i].labels; k++)
            buf_text(&text, "0123456789.");
        buf_text(&text, "a>");
        struct slice rest = buf_slice(&text);
        struct smtp_path path;
        assert_int_row(buf_cstr(&text), smtp_path_read(&rest, 0, &path), rows[i].fault);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(paths), cmocka_unit_test(limits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
