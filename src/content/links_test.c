/* S85, U10, X6: which links are counted, what becomes of them in the mail, and where they lead */
#include "base/test.h"
#include "content/links.h"

static void what_becomes_of_links(void **state)
{
    static const struct {
        const char *html, *rewritten, *target;
    } rows[] = {
        {"<a href=\"https://shop.example/a?x=1&amp;y=2\">買う</a>", "<a href=\"{{ click_url_0 }}\">買う</a>",
         "https://shop.example/a?x=1&y=2"},
        {"<A class=b HREF='HTTP://shop.example'>x</A>", "<A class=b HREF='{{ click_url_0 }}'>x</A>",
         "HTTP://shop.example"},
        {"<a href=https://shop.example/a>x</a>", "<a href=\"{{ click_url_0 }}\">x</a>", "https://shop.example/a"},
        {"<area href=\" https://shop.example/地図 \">", "<area href=\"{{ click_url_0 }}\">",
         "https://shop.example/%E5%9C%B0%E5%9B%B3"},
        {"<a href=\"https://shop.example/{{ contact.id }}\">x</a>", NULL, NULL},
        {"<a href=\"{{ unsubscribe_url }}\">x</a>", NULL, NULL},
        {"<a href=\"mailto:a@b.example\">x</a><a href=\"#top\">y</a><a href=\"tel:03\">z</a>", NULL, NULL},
        {"<a href=\"javascript:alert(1)\">x</a><a href=\"//shop.example/\">y</a><a href=\"https://\">z</a>", NULL,
         NULL},
        {"<a href=\"https:///path\">x</a><a href=\"https://a\r\nX: y\">x</a><a name=\"https://x.example\">x</a>", NULL,
         NULL},
        {"<a data-track=\"no\" href=\"https://shop.example/\">x</a>", NULL, NULL},
        {"<link href=\"https://shop.example/s.css\"><img src=\"https://shop.example/i.png\">", NULL, NULL},
        {"<!-- <a href=\"https://shop.example/\"> -->https://shop.example/", NULL, NULL},
        {"{% raw %}<a href=\"https://shop.example/\">x</a>{% endraw %}", NULL, NULL},
        {"{% if x %}<a href=\"https://shop.example/\">x</a>{% endif %}",
         "{% if x %}<a href=\"{{ click_url_0 }}\">x</a>{% endif %}", "https://shop.example/"},
        {"<a href=\"https://shop.example/", NULL, NULL},
        {"a < b, {{ c }} <a", NULL, NULL},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        SCOPED(buf) out = BUF(4096);
        SCOPED(arena) arena = {0};
        size_t want = rows[i].target ? 1 : 0, count;
        struct slice html = slice_str(rows[i].html), *targets = links_targets(html, &arena, &count);
        if (count != want)
            fail_msg("%s: %zu", rows[i].html, count);
        assert_int_equal(links_rewrite(&out, html), want);
        assert_slice(rows[i].html, buf_slice(&out), want ? slice_str(rows[i].rewritten) : html);
        if (want)
            assert_slice(rows[i].html, targets[0], slice_str(rows[i].target));
    }
}

static void numbers_are_the_order(void **state)
{
    SCOPED(buf) html = BUF(1 << 20);
    SCOPED(buf) out = BUF(1 << 20);
    SCOPED(arena) arena = {0};
    for (int i = 0; i < LINKS_MAX + 20; i++)
        buf_printf(&html, "<p><a href=\"https://shop.example/%d\">x</a>", i);
    size_t count;
    struct slice *targets = links_targets(buf_slice(&html), &arena, &count);
    assert_int_equal(count, LINKS_MAX);
    assert_int_equal(links_rewrite(&out, buf_slice(&html)), LINKS_MAX);
    assert_slice("the last counted", targets[LINKS_MAX - 1], SLICE("https://shop.example/999"));
    assert_true(slice_find(buf_slice(&out), SLICE("\"{{ click_url_999 }}\"")) != SLICE_NPOS);
    assert_true(slice_find(buf_slice(&out), SLICE("\"https://shop.example/1000\"")) != SLICE_NPOS);
}

static void variables(void **state)
{
    static const struct {
        const char *name;
        int number;
    } rows[] = {{"click_url_0", 0},      {"click_url_999", 999}, {"click_url_", -1},  {"click_url_1x", -1},
                {"click_url_12345", -1}, {"click", -1},          {"xclick_url_1", -1}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        unsigned number = 0;
        assert_int_equal(links_number_of(slice_str(rows[i].name), &number), rows[i].number >= 0);
        if (rows[i].number >= 0)
            assert_int_equal(number, rows[i].number);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_becomes_of_links), cmocka_unit_test(numbers_are_the_order),
                                       cmocka_unit_test(variables)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
