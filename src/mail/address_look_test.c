/* What an address looks like: valid or why not, misspelt (S22), of docomo's old kind (D17), a task, a mailbox for
 * minutes; IDN, quotes, lengths. */
#include "mail/address_look.h"

#include "base/test.h"

static struct address_book *book;

static int set_up(void **state)
{
    struct fault why = {0};
    (void)state;
    if (!address_book_open(NULL, &book, &why))
        fail_msg("%s", why.text);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    address_book_free(book);
    return 0;
}

static void what_is_meant(void **state)
{
    static const struct {
        const char *text, *suggestion;
    } rows[] = {
        {"a@gmail.com", ""},
        {"a@gmial.com", "a@gmail.com"},
        {"a@gmail.con", "a@gmail.com"},
        {"a@gmaul.con", "a@gmail.com"},
        {"A.b@GMAI.COM", "A.b@gmail.com"},
        {"a@gmail.co.jp", "a@gmail.com"},
        {"a@docmo.ne.jp", "a@docomo.ne.jp"},
        {"a..b@docmo.ne.jp", "a..b@docomo.ne.jp"},
        {"\"a b\"@gmial.com", "\"a b\"@gmail.com"},
        {"a..b@gmail.com", ""},
        {"a@docomo.ne.jo", "a@docomo.ne.jp"},
        {"a@docomo.co.jp", "a@docomo.ne.jp"},
        {"a@ezwb.ne.jp", "a@ezweb.ne.jp"},
        {"a@i.softbank.ne.jp", "a@i.softbank.jp"},
        {"a@i.sofbank.jp", "a@i.softbank.jp"},
        {"a@yaho.co.jp", "a@yahoo.co.jp"},
        {"a@yahoo.co.jpp", "a@yahoo.co.jp"},
        {"a@yahoocojp", ""},
        {"a@hotmial.com", "a@hotmail.com"},
        {"a@iclould.com", "a@icloud.com"},
        {"a@shop.con", "a@shop.com"},
        /* those that are what they are */
        {"a@yahoo.ne.jp", ""},
        {"a@hotmail.co.jp", ""},
        {"a@t.vodafone.ne.jp", ""},
        {"a@ymail.com", ""},
        {"a@mail.com", ""},
        {"a@hotmail.dk", ""},
        {"a@yahoo.gr", ""},
        {"a@me.com", ""},
        {"a@my.com", ""},
        {"a@shop.example", ""},
        /* what cannot be read as it is */
        {"a@gmail,com", "a@gmail.com"},
        {"ａ＠ｇｍａｉｌ．ｃｏｍ", "a@gmail.com"},
        {"taro＠docomo.ne.jp", "taro@docomo.ne.jp"},
        {"a@@gmail.com", "a@gmail.com"},
        {"a @gmail.com", "a@gmail.com"},
        {"mailto:a@gmail.com", "a@gmail.com"},
        {"<a@gmial.com>", "a@gmail.com"},
        {"a@gmail..com", "a@gmail.com"},
        {"a", ""},
        {"", ""},
        {"a@b", ""},
        {"a@b@c@d", ""},
        {"\xff\xfe@gmail.com", ""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        SCOPED(arena) arena = {0};
        struct address_look look;
        address_look_at(book, slice_str(rows[i].text), &arena, &look);
        assert_slice(rows[i].text, look.suggestion, slice_str(rows[i].suggestion));
    }
}

static void what_it_is(void **state)
{
    enum { VALID = 1, ODD = 2, MINUTES = 4, TASK = 8 };
    static char long_local[65 + 13] = "";
    memset(long_local, 'a', 65);
    memcpy(long_local + 65, "@shop.example", 12);
    const struct {
        const char *text;
        int is;
        const char *domain;
    } rows[] = {
        {"a@shop.example", VALID, "shop.example"},
        {"  a@Shop.Example.  ", VALID, "shop.example"},
        {"a..b@docomo.ne.jp", VALID | ODD, "docomo.ne.jp"},
        {".a@ezweb.ne.jp", VALID | ODD, "ezweb.ne.jp"},
        {"a.@shop.example", ODD, "shop.example"},
        {"a..b@softbank.ne.jp", ODD, "softbank.ne.jp"},
        {"\"a..b\"@shop.example", VALID, "shop.example"},
        {"\"a b\"@shop.example", VALID, "shop.example"},
        {"a@日本語.jp", VALID, "xn--wgv71a119e.jp"},
        {"山田@shop.example", VALID, "shop.example"},
        {"a@1.2.3.4", 0, "1.2.3.4"},
        {"a@[192.0.2.1]", 0, ""},
        {"a@localhost", 0, "localhost"},
        {long_local, 0, ""},
        {"a@mailinator.com", VALID | MINUTES, "mailinator.com"},
        {"a@x.mailinator.com", VALID | MINUTES, "x.mailinator.com"},
        {"a@notmailinator.com", VALID, "notmailinator.com"},
        {"info@shop.example", VALID | TASK, "shop.example"},
        {"Postmaster@shop.example", VALID | TASK, "shop.example"},
        {"no-reply+7@shop.example", VALID | TASK, "shop.example"},
        {"informatics@shop.example", VALID, "shop.example"},
        {"+info@shop.example", VALID, "shop.example"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        SCOPED(arena) arena = {0};
        struct address_look look;
        address_look_at(book, slice_str(rows[i].text), &arena, &look);
        int is = (look.is_valid ? VALID : 0) | (look.has_rfc_violation ? ODD : 0) | (look.is_disposable ? MINUTES : 0) |
                 (look.is_role ? TASK : 0);
        assert_int_row(rows[i].text, is, rows[i].is);
        assert_slice(rows[i].text, look.address.domain, slice_str(rows[i].domain));
        assert_row(rows[i].text, look.is_valid == !look.reason.len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_meant),
        cmocka_unit_test(what_it_is),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
