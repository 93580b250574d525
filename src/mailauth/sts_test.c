/* M43, R33: MTA-STS records and policies, exactly as RFC 8461 has them; TLS-RPT records (RFC 8460 3) */
#include "base/buf.h"
#include "base/test.h"
#include "mailauth/sts.h"

static void records(void **state)
{
    static const struct {
        const char *thought, *texts[3], *id;
    } rows[] = {
        {"plain", {"v=STSv1; id=20160831085700Z;"}, "20160831085700Z"},
        {"no last semicolon", {"v=STSv1; id=1"}, "1"},
        {"blanks", {"v=STSv1 ;  id=abc ; "}, "abc"},
        {"an extension", {"v=STSv1; id=a; ext.x-1=y:z"}, "a"},
        {"among others", {"v=spf1 -all", "v=STSv1; id=7"}, "7"},
        {"another version beside it", {"v=STSv10; id=1", "v=STSv1; id=2"}, "2"},
        {"two records", {"v=STSv1; id=1", "v=STSv1; id=1"}, NULL},
        {"none", {"v=spf1 -all"}, NULL},
        {"no id", {"v=STSv1;"}, NULL},
        {"no id but more", {"v=STSv1; x=y"}, NULL},
        {"an empty id", {"v=STSv1; id=;"}, NULL},
        {"two ids", {"v=STSv1; id=1; id=2"}, NULL},
        {"an id with a hyphen", {"v=STSv1; id=1-2"}, NULL},
        {"a long id", {"v=STSv1; id=123456789012345678901234567890123"}, NULL},
        {"the longest id", {"v=STSv1; id=12345678901234567890123456789012"}, "12345678901234567890123456789012"},
        {"another case", {"v=stsv1; id=1"}, NULL},
        {"space around =", {"v=STSv1; id = 1"}, NULL},
        {"version not first", {"id=1; v=STSv1"}, NULL},
        {"nonsense behind", {"v=STSv1; id=1; nonsense"}, NULL},
        {"an empty field in the middle", {"v=STSv1;; id=1"}, NULL},
        {"nothing", {""}, NULL},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct slice texts[3], id = {0};
        size_t count = 0;
        for (; count < 3 && rows[i].texts[count]; count++)
            texts[count] = slice_str(rows[i].texts[count]);
        assert_int_row(rows[i].thought, sts_record_id(texts, count, &id), rows[i].id != NULL);
        if (rows[i].id)
            assert_slice(rows[i].thought, id, slice_str(rows[i].id));
    }
}

#define HEAD "version: STSv1\nmode: enforce\nmax_age: 86400\n"
static void policies(void **state)
{
    static const struct {
        const char *thought, *text, *fault; /* fault NULL: it is one */
        enum sts_mode mode;
        uint32_t max_age;
        size_t mx;
    } rows[] = {
        {"the RFC's",
         "version: STSv1\nmode: enforce\nmx: mail.example.com\nmx: *.example.net\nmx: backupmx.example.com\n"
         "max_age: 604800\n",
         NULL, STS_ENFORCE, 604800, 3},
        {"CRLF", "version: STSv1\r\nmode: testing\r\nmx: mail.example.com\r\nmax_age: 1\r\n", NULL, STS_TESTING, 1, 1},
        {"no line end at the end", HEAD "mx: a.example", NULL, STS_ENFORCE, 86400, 1},
        {"any order", "max_age: 5\nmx:a.example\nmode:testing\nversion:STSv1", NULL, STS_TESTING, 5, 1},
        {"blanks behind", HEAD "mx: a.example \t\n", NULL, STS_ENFORCE, 86400, 1},
        {"upper case in a host", HEAD "mx: A.Example\n", NULL, STS_ENFORCE, 86400, 1},
        {"none needs no mx", "version: STSv1\nmode: none\nmax_age: 10\n", NULL, STS_NONE, 10, 0},
        {"the first of two modes counts", HEAD "mode: none\nmx: a.example\n", NULL, STS_ENFORCE, 86400, 1},
        {"the first of two ages counts", HEAD "max_age: x\nmx: a.example\n", NULL, STS_ENFORCE, 86400, 1},
        {"an extension", HEAD "later.thing: \xe3\x81\x82\nmx: a.example\n", NULL, STS_ENFORCE, 86400, 1},
        {"an empty line", HEAD "\nmx: a.example\n", NULL, STS_ENFORCE, 86400, 1},
        {"a very long age", "version: STSv1\nmode: enforce\nmx: a.example\nmax_age: 9999999999\n", NULL, STS_ENFORCE,
         STS_MAX_AGE_MOST_S, 1},
        {"age 0", "version: STSv1\nmode: enforce\nmx: a.example\nmax_age: 0\n", NULL, STS_ENFORCE, 0, 1},
        {"eleven digits", "version: STSv1\nmode: enforce\nmx: a.example\nmax_age: 00000000001\n", "max_age", 0, 0, 0},
        {"no version", "mode: enforce\nmx: a.example\nmax_age: 1\n", "version is missing", 0, 0, 0},
        {"another version", "version: STSv2\nmode: enforce\nmx: a.example\nmax_age: 1\n", "line 1: version", 0, 0, 0},
        {"no mode", "version: STSv1\nmx: a.example\nmax_age: 1\n", "mode is missing", 0, 0, 0},
        {"another mode", "version: STSv1\nmode: Enforce\nmx: a.example\nmax_age: 1\n", "line 2: mode", 0, 0, 0},
        {"no age", "version: STSv1\nmode: enforce\nmx: a.example\n", "max_age is missing", 0, 0, 0},
        {"no mx", HEAD, "without any mx", 0, 0, 0},
        {"a bare star", HEAD "mx: *\n", "line 4: mx", 0, 0, 0},
        {"star dot", HEAD "mx: *.\n", "line 4: mx", 0, 0, 0},
        {"a star inside", HEAD "mx: mx*.example.com\n", "line 4: mx", 0, 0, 0},
        {"two stars", HEAD "mx: *.*.example.com\n", "line 4: mx", 0, 0, 0},
        {"an address", HEAD "mx: [192.0.2.1]\n", "line 4: mx", 0, 0, 0},
        {"an empty label", HEAD "mx: a..example\n", "line 4: mx", 0, 0, 0},
        {"HTML", "<html><body>Not found</body></html>", "line 1", 0, 0, 0},
        {"space before the colon", HEAD "mx : a.example\n", "line 4", 0, 0, 0},
        {"nothing", "", "version is missing", 0, 0, 0},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        SCOPED(arena) arena = {0};
        struct sts_policy policy;
        struct fault why = {0};
        bool ok = sts_policy_read(slice_str(rows[i].text), &arena, &policy, &why);
        assert_int_row(rows[i].thought, ok, rows[i].fault == NULL);
        if (!ok) {
            assert_row(rows[i].thought, strstr(why.text, rows[i].fault));
            continue;
        }
        assert_int_row(rows[i].thought, policy.mode, rows[i].mode);
        assert_int_row(rows[i].thought, policy.max_age_s, rows[i].max_age);
        assert_int_row(rows[i].thought, policy.mx_count, rows[i].mx);
    }
}

static void many_hosts(void **state)
{
    SCOPED(arena) arena = {0};
    SCOPED(buf) text = BUF(1 << 20);
    struct sts_policy policy;
    struct fault why = {0};
    buf_text(&text, HEAD);
    for (int i = 0; i < STS_MX_MAX; i++)
        buf_printf(&text, "mx: m%d.example\n", i);
    assert_true(sts_policy_read(buf_slice(&text), &arena, &policy, &why));
    assert_int_equal(policy.mx_count, STS_MX_MAX);
    assert_true(sts_allows(&policy, SLICE("m999.example")));
    buf_text(&text, "mx: onemore.example\n");
    assert_false(sts_policy_read(buf_slice(&text), &arena, &policy, &why));
    while (text.len <= STS_POLICY_MAX)
        buf_text(&text, "x: y\n");
    assert_false(sts_policy_read(buf_slice(&text), &arena, &policy, &why));
    assert_non_null(strstr(why.text, "larger"));
}

static void hosts(void **state)
{
    static const struct {
        const char *allowed, *mx;
        bool fits;
    } rows[] = {
        {"mail.example.com", "mail.example.com", true},   {"mail.example.com", "MAIL.example.com", true},
        {"mail.example.com", "mail2.example.com", false}, {"mail.example.com", "a.mail.example.com", false},
        {"*.example.com", "mail.example.com", true},      {"*.example.com", "example.com", false},
        {"*.example.com", "a.b.example.com", false},      {"*.example.com", "mailexample.com", false},
        {"*.example.com", ".example.com", false},         {"example.com", "mail.example.com", false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct slice mx = slice_str(rows[i].allowed);
        struct sts_policy policy = {.mx = &mx, .mx_count = 1};
        assert_int_row(rows[i].mx, sts_allows(&policy, slice_str(rows[i].mx)), rows[i].fits);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(records), cmocka_unit_test(policies),
                                       cmocka_unit_test(many_hosts), cmocka_unit_test(hosts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
