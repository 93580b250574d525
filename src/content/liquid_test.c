/* Liquid: what a template prints, and what it says when it is wrong */
#include "base/test.h"
#include "content/liquid.h"
#include <jansson.h>

static const char data_text[] =
    "{\"contact\": {\"name\": \"山田\", \"empty\": \"\", \"points\": \"120\", \"vip\": true, \"姓\": \"山\", \"html\": "
    "\"<b>&'\\\"\"},"
    " \"items\": [\"a\", \"b\", \"c\"], \"none\": [], \"n\": 7, \"r\": 2.5, \"products\": [{\"name\": \"pen\", "
    "\"price\": 1200},"
    " {\"name\": \"ink\", \"price\": 300}], \"text\": \"one two  three\", \"lines\": \"a\\nb<c\"}";

struct row {
    const char *source, *want;
};

static void check(const struct row *row, bool is_html)
{
    json_t *json = json_loads(data_text, 0, NULL);
    assert_non_null(json);
    struct liquid *liquid;
    struct fault why = {0};
    SCOPED(arena) arena = {0};
    SCOPED(buf) out = BUF(1 << 20);
    if (!liquid_compile(slice_str(row->source), is_html, &liquid, NULL, &why))
        fail_msg("%s: %s", row->source, why.text);
    struct liquid_context context = {liquid_json(json), SECONDS_MS(1700000000), 540, &arena};
    if (!liquid_render(liquid, &context, &out, &why))
        fail_msg("%s: %s", row->source, why.text);
    assert_slice(row->source, buf_slice(&out), slice_str(row->want));
    liquid_free(liquid);
    json_decref(json);
}

static void what_text_templates_print(void **state)
{
    static const struct row rows[] = {
        {"", ""},
        {"plain { } % text", "plain { } % text"},
        {"{{ contact.name }}様", "山田様"},
        {"{{ contact.nobody | default: \"お客様\" }}", "お客様"},
        {"{{ contact.empty | default: 'お客様' }}", "お客様"},
        {"{{ contact.姓 }}", "山"},
        {"{{contact['name']}} {{ items[0] }}{{ items[-1] }}{{ items[9] }}", "山田 ac"},
        {"{{ items }} {{ items.size }} {{ items.first }} {{ n }} {{ r }} {{ true }} {{ nil }}", "abc 3 a 7 2.5 true "},
        {"{{ \"}}\" }}", "}}"},
        {"a {{- n -}} b", "a7b"},
        {"a {%- if true -%} b {%- endif -%} c", "abc"},
        {"{% if contact.vip and n == 7 %}yes{% else %}no{% endif %}", "yes"},
        {"{% if false and false or true %}right to left{% else %}no{% endif %}", "no"},
        {"{% if true or false and false %}yes{% endif %}", "yes"},
        {"{% if n > 10 %}a{% elsif n >= 7 %}b{% else %}c{% endif %}", "b"},
        {"{% if contact.points > 100 %}numbers in strings{% endif %}", "numbers in strings"},
        {"{% if contact.name contains '山' %}y{% endif %}{% if items contains 'b' %}y{% endif %}", "yy"},
        {"{% if contact.empty == empty %}e{% endif %}{% if contact.x == blank %}b{% endif %}{% if none == empty %}n{% "
         "endif %}",
         "ebn"},
        {"{% if contact.name < 3 %}never{% endif %}", ""},
        {"{% unless contact.vip %}no{% else %}vip{% endunless %}", "vip"},
        {"{% case n %}{% when 1, 2 %}low{% when 7 or 8 %}seven{% else %}other{% endcase %}", "seven"},
        {"{% case contact.name %} ignored {% when 'x' %}x{% else %}else{% endcase %}", "else"},
        {"{% for i in items %}{{ forloop.index }}{{ i }}{% unless forloop.last %},{% endunless %}{% endfor %}",
         "1a,2b,3c"},
        {"{% for i in items limit: 1 offset: 1 %}{{ i }}{% endfor %}", "b"},
        {"{% for i in items reversed %}{{ i }}{% endfor %}", "cba"},
        {"{% for i in none %}x{% else %}nothing{% endfor %}", "nothing"},
        {"{% for i in (1..n) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 5 %}{% break %}{% endif %}{{ i }}{% "
         "endfor %}",
         "134"},
        {"{% for p in products %}{{ p.name }}: {{ p.price | number }}円 {% endfor %}", "pen: 1,200円 ink: 300円 "},
        {"{% for a in (1..2) %}{% for b in (1..2) %}{{ a }}{{ b }} {% endfor %}{{ forloop.length }};{% endfor %}",
         "11 12 2;21 22 2;"},
        {"{% assign x = n | plus: 1 %}{{ x }}{% assign x = 'y' %}{{ x }}", "8y"},
        {"{% for i in items %}{% assign last = i %}{% endfor %}{{ last }}{{ i }}", "c"},
        {"{% capture c %}<{{ n }}>{% endcapture %}{{ c }}{{ c }}", "<7><7>"},
        {"{% comment %} {{ broken | {% if %} {% endcomment %}x", "x"},
        {"{% # don't mind %}x{% raw %}{{ n }}{% if %}{% endraw %}", "x{{ n }}{% if %}"},
        {"{% increment c %}{% increment c %}{% decrement d %}", "01-1"},
        {"{{ 'abc' | upcase }}{{ 'ÀÉя' | downcase }}{{ 'éa' | upcase }}{{ 'hello wOrld' | capitalize }}",
         "ABCàéяÉAHello world"},
        {"[{{ '  　a b 　' | strip }}][{{ ' a ' | lstrip }}][{{ ' a ' | rstrip }}]", "[a b][a ][ a]"},
        {"{{ 'これは長い文章です' | truncate: 6 }}|{{ 'short' | truncate: 6 }}|{{ 'abcdef' | truncate: 4, '…' }}",
         "これは...|short|abc…"},
        {"{{ text | truncatewords: 2 }}", "one two..."},
        {"{{ 'a-b-c' | replace: '-', '+' }}{{ 'a-b-c' | replace_first: '-', '' }}{{ 'a-b' | remove: '-' }}",
         "a+b+cab-cab"},
        {"{{ 'b' | append: 'c' | prepend: 'a' }}", "abc"},
        {"{{ '日本' | size }}{{ items | size }}{{ items | first }}{{ items | last }}{{ items | join: '/' }}",
         "23aca/b/c"},
        {"{{ 'c,a,b,' | split: ',' | sort | join: '' }}{{ 'abc' | split: '' | reverse | join: '-' }}", "abcc-b-a"},
        {"{{ 'a,a,b' | split: ',' | uniq | join }}{{ 'hello' | slice: 1, 3 }}{{ 'hello' | slice: -2, 2 }}", "a bell"
                                                                                                            "lo"},
        {"{{ n | minus: 10 }} {{ '3' | times: 1.5 }} {{ 7 | divided_by: 2 }} {{ -7 | divided_by: 2 }} {{ 7 | modulo: 3 "
         "}}",
         "-3 4.5 3 -4 1"},
        {"{{ 7 | divided_by: 2.0 }} {{ 2.567 | round: 2 }} {{ 2.5 | round }} {{ 2.1 | ceil }} {{ 2.9 | floor }} {{ -3 "
         "| abs }}",
         "3.5 2.57 3 3 2 3"},
        {"{{ 5 | at_least: 7 }}{{ 5 | at_most: 3 }}{{ 1234567 | number }}", "731,234,567"},
        {"{{ 'a b/あ&' | url_encode }}", "a%20b%2F%E3%81%82%26"},
        {"{{ lines | newline_to_br }}", "a<br>\nb<c"},
        {"{{ 'x<b>y</b><script>z</script>!' | strip_html }}", "xy!"},
        {"{{ contact.html }}", "<b>&'\""},
        {"{{ contact.html | escape }}", "&lt;b&gt;&amp;&#39;&quot;"},
        {"{{ 'now' | date: '%Y年%-m月%-d日(%Ea) %H:%M' }}", "2023年11月15日(水) 07:13"},
        {"{{ 1700000000 | date: '%F %T %z %a %b %j %p %e' }}", "2023-11-15 07:13:20 +0900 Wed Nov 319 AM 15"},
        {"{{ '2026-01-02' | date: '%Y/%m/%d %H %d %-d' }}", "2026/01/02 00 02 2"},
        {"{{ '2026-01-02T15:00:00Z' | date: '%d %R' }}", "03 00:00"},
        {"{{ 'someday' | date: '%Y' }}", "someday"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        check(&rows[i], false);
}

static void html_templates_escape(void **state)
{
    static const struct row rows[] = {
        {"<p>{{ contact.html }}</p>", "<p>&lt;b&gt;&amp;&#39;&quot;</p>"},
        {"{{ contact.html | raw }}", "<b>&'\""},
        {"{{ contact.html | escape }}", "&lt;b&gt;&amp;&#39;&quot;"},
        {"{{ contact.html | upcase }}", "&lt;B&gt;&amp;&#39;&quot;"},
        {"{{ lines | newline_to_br }}", "a<br>\nb&lt;c"},
        {"{% capture c %}<i>{{ contact.html }}</i>{% endcapture %}{{ c }}", "<i>&lt;b&gt;&amp;&#39;&quot;</i>"},
        {"{{ '&amp; <' | escape_once }}", "&amp; &lt;"},
        {"{{ contact.nobody | default: '<' }}", "&lt;"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        check(&rows[i], true);
}

static void what_is_wrong_is_said_with_its_place(void **state)
{
    static const struct row rows[] = {
        {"a\nb {{ x | defalt: 1 }}", "line 2, column 10: there is no filter \"defalt\""},
        {"あい{{ x", "line 1, column 3: {{ is not closed by }}"},
        {"{% if x", "line 1, column 1: {% is not closed by %}"},
        {"x\n{% if a %}b", "line 2, column 1: this tag is not closed: {% endif %} is missing"},
        {"{% for a in b %}x", "line 1, column 1: this tag is not closed: {% endfor %} is missing"},
        {"{% endif %}", "line 1, column 4: there is no tag \"endif\" here"},
        {"{% if a %}{% endfor %}", "line 1, column 14: there is no tag \"endfor\" here"},
        {"{% iff a %}", "line 1, column 4: there is no tag \"iff\" here"},
        {"{{ }}", "line 1, column 4: something is missing here"},
        {"{{ a b }}", "line 1, column 6: \"b\" is too much here"},
        {"{{ a | }}", "line 1, column 8: a filter's name must follow |"},
        {"{{ 'a }}", "line 1, column 4: the quote ' is not closed"},
        {"{{ a | append }}", "line 1, column 8: the filter \"append\" takes 1 to 1 arguments, not 0"},
        {"{{ a ｜ upcase }}", "line 1, column 6: a full-width mark: write | (half-width)"},
        {"{{ a | default: “x” }}", "line 1, column 17: a full-width mark: write \" (half-width)"},
        {"{% assign = 1 %}", "line 1, column 11: assign needs a name"},
        {"{% assign a 1 %}", "line 1, column 13: expected \"=\" after the name"},
        {"{% for a of b %}{% endfor %}", "line 1, column 10: expected \"in\" after the name"},
        {"{% for a in b by: 1 %}{% endfor %}", "line 1, column 15: for knows limit:, offset: and reversed, not \"by\""},
        {"{% if a %}{% else %}{% else %}{% endif %}", "line 1, column 24: nothing but endif may follow else"},
        {"{% raw %}x", "line 1, column 1: this tag is not closed by {% endraw %}"},
        {"{{ a & b }}", "line 1, column 6: \"& b \" means nothing here"},
        {"{{ a. }}", "line 1, column 7: a name must follow the dot"},
        {"{{ 99999999999999999999999999999999999999999999999999 }}",
         "line 1, column 4: \"99999999999999999999999999999999999999999999999999\" is no number"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct liquid *liquid;
        struct fault why;
        struct liquid_place place;
        assert_row(rows[i].source, !liquid_compile(slice_str(rows[i].source), true, &liquid, &place, &why));
        assert_slice(rows[i].source, slice_str(why.text), slice_str(rows[i].want));
        assert_row(rows[i].source, place.line >= 1 && place.column >= 1);
    }
}

static void renderings_are_bounded(void **state)
{
    static const struct row rows[] = {
        {"x\n{{ n | divided_by: 0 }}", "line 2, column 8: division by zero"},
        {"{% for a in (1..1000) %}{% for b in (1..1000) %}x{% endfor %}{% endfor %}",
         "line 1, column 25: more than 100000 rounds of loops"},
        {"{% for a in (1..9999999999) %}{% endfor %}", "line 1, column 1: more than 100000 rounds of loops"},
        {"{% assign x = 'aaaaaaaaaaaaaaaa' %}{% for a in (1..64) %}{% assign x = x | append: x %}{% endfor %}", NULL},
        {"{% assign x = 'aaaaaaaaaaaaaaaa' %}{% for a in (1..14) %}{% assign x = x | append: x %}{% endfor %}{% for a "
         "in (1..100) %}{{ x }}{% endfor %}",
         "line 1, column 123: the template makes more than 4 MB of output"},
        {"{% assign x = 'aaaaaaaaaaaaaaaa' %}{% for a in (1..17) %}{% assign x = x | append: x %}{% endfor %}{% for a "
         "in (1..1000) %}"
         "{% if x contains 'b' %}{% endif %}{% endfor %}",
         "line 1, column 124: more than 2000000 steps"},
        {"{% assign x = 'aaaaaaaaaaaaaaaa' %}{% for a in (1..17) %}{% assign x = x | append: x %}{% endfor %}{% for a "
         "in (1..1000) %}"
         "{% assign y = x | truncate: 9 %}{% endfor %}",
         "line 1, column 124: more than 2000000 steps"},
        {"{{ 9223372036854775807 | plus: 1 }}", "line 1, column 26: a number became too big"},
        {"{{ n | plus: 'x' }}", "line 1, column 8: this filter needs a number"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct liquid *liquid;
        struct fault why;
        SCOPED(arena) arena = {0};
        SCOPED(buf) out = BUF(8 << 20);
        assert_true(liquid_compile(slice_str(rows[i].source), false, &liquid, NULL, &why));
        struct liquid_context context = {.arena = &arena};
        assert_row(rows[i].source, !liquid_render(liquid, &context, &out, &why));
        if (rows[i].want)
            assert_slice(rows[i].source, slice_str(why.text), slice_str(rows[i].want));
        liquid_free(liquid);
    }
    SCOPED(buf) deep = BUF(1 << 20);
    for (int i = 0; i < 100; i++)
        buf_text(&deep, "{% if x %}");
    struct liquid *liquid;
    struct fault why;
    assert_false(liquid_compile(buf_slice(&deep), false, &liquid, NULL, &why));
    assert_non_null(strstr(why.text, "nested deeper than 64"));
    buf_reset(&deep);
    buf_text(&deep, "{{ a");
    for (int i = 0; i < 3000; i++)
        buf_text(&deep, "[a");
    buf_text(&deep, " }}");
    assert_false(liquid_compile(buf_slice(&deep), false, &liquid, NULL, &why));
}

/* S27: what a campaign asks before it is sent. */
static void files_that_are_named(void **state)
{
    static const struct {
        const char *template, *names;
    } rows[] = {
        {"no file", ""},
        {"{{ file[\"a b.pdf\"].url }}{{ file['カタログ.pdf'].size | upcase }}", "a b.pdf,カタログ.pdf,"},
        {"{% if contact.vip %}{{ file[\"a.pdf\"].url }}{% else %}{{ file[\"b.pdf\"].url }}{% endif %}", "a.pdf,b.pdf,"},
        {"{% if file[\"a.pdf\"] == x %}{% endif %}{{ x | default: file[\"c.pdf\"].url }}", "a.pdf,c.pdf,"},
        {"{{ file.catalog.url }}", "catalog,"},
        {"{{ file[contact.plan].url }}", ""},
        {"{{ file }}{{ files[\"a\"] }}{{ contact.file[\"a\"] }}", ""},
        {"{% for file in contact.files %}{{ file[\"a\"] }}{% endfor %}", ""},
        {"{% assign file = x %}{{ file.a }}", ""},
        {"{% raw %}{{ file[\"a\"].url }}{% endraw %}", ""},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct slice names[LIQUID_FILES_MAX];
        struct liquid *liquid;
        struct fault why = {0};
        SCOPED(buf) all = BUF(1000);
        assert_true(liquid_compile(slice_str(rows[i].template), true, &liquid, NULL, &why));
        size_t count = liquid_files(liquid, names);
        for (size_t n = 0; n < count; n++)
            buf_printf(&all, "%.*s,", SLICE_ARG(names[n]));
        assert_slice(rows[i].template, buf_slice(&all), slice_str(rows[i].names));
        liquid_free(liquid);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_text_templates_print),
        cmocka_unit_test(html_templates_escape),
        cmocka_unit_test(what_is_wrong_is_said_with_its_place),
        cmocka_unit_test(renderings_are_bounded),
        cmocka_unit_test(files_that_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
