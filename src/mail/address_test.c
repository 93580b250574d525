/* M4, M17 (A-labels), U27 and D17 (addresses that break the RFC but exist) */
#include "base/test.h"
#include "mail/address.h"

static void parsed(void **state)
{
    static const struct {
        const char *text, *written, *identity;
        bool has_rfc_violation, needs_smtputf8;
    } rows[] = {
        {"Taro.Yamada@Example.JP", "Taro.Yamada@example.jp", "taro.yamada@example.jp", false, false},
        {"  a@example.jp. ", "a@example.jp", "a@example.jp", false, false},
        {"a..b@docomo.ne.jp", "\"a..b\"@docomo.ne.jp", "a..b@docomo.ne.jp", true, false},
        {".a@docomo.ne.jp", "\".a\"@docomo.ne.jp", ".a@docomo.ne.jp", true, false},
        {"a.@ezweb.ne.jp", "\"a.\"@ezweb.ne.jp", "a.@ezweb.ne.jp", true, false},
        {"\"a..b\"@docomo.ne.jp", "\"a..b\"@docomo.ne.jp", "a..b@docomo.ne.jp", true, false},
        {"\"a b\"@example.jp", "\"a b\"@example.jp", "a b@example.jp", false, false},
        {"\"a\\\"b@c\"@example.jp", "\"a\\\"b@c\"@example.jp", "a\"b@c@example.jp", false, false},
        {"a@例え.jp", "a@xn--r8jz45g.jp", "a@xn--r8jz45g.jp", false, false},
        {"山田@example.jp", "山田@example.jp", "山田@example.jp", false, true},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        SCOPED(arena) arena = {0};
        struct address address;
        struct fault why = {0};
        if (!address_parse(slice_str(rows[i].text), &arena, &address, &why))
            fail_msg("%s: %s", rows[i].text, why.text);
        assert_slice(rows[i].text, address.written, slice_str(rows[i].written));
        assert_slice(rows[i].text, address.identity, slice_str(rows[i].identity));
        assert_int_row(rows[i].text, address.has_rfc_violation, rows[i].has_rfc_violation);
        assert_int_row(rows[i].text, address.needs_smtputf8, rows[i].needs_smtputf8);
    }
}

static void refused(void **state)
{
    static const char *const rows[] = {
        "",
        "a",
        "@example.jp",
        "a@",
        "a@localhost",
        "a b@example.jp",
        "a@exa mple.jp",
        "a@-x.jp",
        "a@x-.jp",
        "a@x..jp",
        "a@b@",
        "a\r\nRCPT TO:<b>@example.jp",
        "<a@example.jp>",
        "\"a\"b\"@example.jp",
        "a@[192.0.2.1]",
        "\x80@example.jp",
        "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff12345@example.jp",
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        SCOPED(arena) arena = {0};
        struct address address;
        struct fault why = {0};
        assert_row(rows[i], !address_parse(slice_str(rows[i]), &arena, &address, &why));
        assert_row(rows[i], why.kind == FAULT_INPUT && why.text[0]);
    }
}

/* D17: on lists only where such addresses were given out; elsewhere they are slips of the pen */
static void of_people(void **state)
{
    static const struct {
        const char *text;
        bool is_taken, has_rfc_violation;
    } rows[] = {
        {"a..b@docomo.ne.jp", true, true},
        {".a@docomo.ne.jp", true, true},
        {"a.@ezweb.ne.jp", true, true},
        {"a.-.b.@EZWEB.ne.jp", true, true},
        {"a.@t7.ezweb.ne.jp", true, true},
        {"a..b@au.com", true, true},
        {"a.b@softbank.ne.jp", true, false},
        {"a..b@softbank.ne.jp", false, false},
        {"a.@i.softbank.jp", false, false},
        {"taro.@gmail.com", false, false},
        {"a..b@notdocomo.ne.jp", false, false},
        {"a..b@docomo.ne.jp.example", false, false},
        {" .a@example.jp", false, false},
        {"\"a..b\"@example.jp", true, true}, /* the RFC has nothing against it */
        {"a", false, false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        SCOPED(arena) arena = {0};
        struct address address;
        struct fault why = {0};
        bool is_taken = address_of_person(slice_str(rows[i].text), &arena, &address, &why);
        assert_int_row(rows[i].text, is_taken, rows[i].is_taken);
        assert_row(rows[i].text, is_taken ? address.has_rfc_violation == rows[i].has_rfc_violation : why.text[0] != 0);
    }
}

static void found_in_text(void **state)
{
    static const struct {
        const char *text, *address;
    } rows[] = {
        {"Taro <a@example.jp>", "a@example.jp"},
        {"<a@example.jp>", "a@example.jp"},
        {"a@example.jp (Taro)", "a@example.jp"},
        {"rfc822; a@example.jp", "a@example.jp"},
        {"to a@example.jp.", "a@example.jp"},
        {"\"a b\"@example.jp", "\"a b\"@example.jp"},
        {"nobody", ""},
        {"<>", ""},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_slice(rows[i].text, address_find(slice_str(rows[i].text)), slice_str(rows[i].address));
}

static void buckets_never_change(void **state)
{
    /* stores on disk depend on these figures */
    assert_int_equal(address_bucket(SLICE("taro@example.jp")), 0x46);
    unsigned counts[BUCKETS] = {0};
    for (int i = 0; i < 25600; i++) {
        char text[32];
        snprintf(text, sizeof(text), "user%d@example.jp", i);
        counts[address_bucket(slice_str(text))]++;
    }
    for (int i = 0; i < BUCKETS; i++)
        assert_true(counts[i] > 50 && counts[i] < 160);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parsed),
        cmocka_unit_test(refused),
        cmocka_unit_test(of_people),
        cmocka_unit_test(found_in_text),
        cmocka_unit_test(buckets_never_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
