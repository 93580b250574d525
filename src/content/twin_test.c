/* S47 wrapping with 禁則, S59 the text twin */
#include "base/test.h"
#include "content/liquid.h"
#include "content/twin.h"

static void html_becomes_text(void **state)
{
    static const struct {
        const char *row, *html, *want;
    } rows[] = {
        {"empty", "", ""},
        {"a paragraph", "<p>Hello <b>world</b></p>", "Hello world\n"},
        {"paragraphs", "<p>a</p>\n\n<p>b<br>c</p>", "a\n\nb\nc\n"},
        {"head, style, script, comments",
         "<html><head><title>t</title><style>p{}</style></head><body><!-- x --><script>if(a<b)c()</script>y</body>",
         "y\n"},
        {"entities", "a&nbsp;&amp;&lt;b&gt; &#x3042;&#12356; &unknown; &", "a &<b> あい &unknown; &\n"},
        {"headings", "<h1>Title</h1><p>x</p><h4>small</h4>y", "■ Title\n\nx\n\nsmall\n\ny\n"},
        {"lists", "x<ul><li>a</li><li>b<ol><li>c</li><li>d</li></ol></li></ul>y",
         "x\n\n- a\n- b\n  1. c\n  2. d\n\ny\n"},
        {"links", "See <a href=\"https://example.jp/?a=1&amp;b=2\">our site</a>.",
         "See our site <https://example.jp/?a=1&b=2>.\n"},
        {"a link that is its URL", "<a href='https://example.jp/'>https://example.jp/</a>", "https://example.jp/\n"},
        {"mail and idle links", "<a href=mailto:a@example.jp>write</a> <a href=\"#top\">top</a>",
         "write <a@example.jp> top\n"},
        {"a linked image", "<a href=\"https://example.jp/\"><img src=x alt=\"Shop\"></a>",
         "Shop <https://example.jp/>\n"},
        {"an image without words", "<a href=\"https://example.jp/\"><img src=x></a>", "https://example.jp/\n"},
        {"rule", "a<hr>b", "a\n----------------------------------------\nb\n"},
        {"cells and rows", "<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc\n"},
        {"hidden preheader", "<div style=\"display : none; x\">secret<div>x</div></div>seen", "seen\n"},
        {"line ends between Japanese vanish", "<p>今日は\n  よい天気\nok\nthen</p>", "今日はよい天気 ok then\n"},
        {"pre", "<pre>a\n  b\n</pre>c", "a\n  b\n\nc\n"},
        {"Liquid goes through", "<p>{{ contact.name | default: \"<x>\" }}様</p>{% if a %}<p>b</p>{% endif %}",
         "{{ contact.name | default: \"<x>\" }}様{% if a %}\n\nb{% endif %}\n"},
        {"Liquid in a link", "<a href=\"{{ u | append: \"x\" }}\">go</a>", "go <{{ u | append: \"x\" }}>\n"},
        {"HTML filters go", "{{ a | newline_to_br }}{{ b | raw }}{{ c | escape | upcase }}",
         "{{ a }}{{ b | strip_html }}{{ c | upcase }}\n"},
        {"a lone less-than", "1 < 2 and <3", "1 < 2 and <3\n"},
        {"a tag never closed", "a<b", "a\n"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        SCOPED(buf) out = BUF(1 << 16);
        twin_from_html(&out, slice_str(rows[i].html));
        assert_slice(rows[i].row, buf_slice(&out), slice_str(rows[i].want));
    }
}

static void lines_are_wrapped(void **state)
{
    static const struct {
        const char *row;
        size_t columns;
        const char *text, *want;
    } rows[] = {
        {"short", 10, "abc\n\ndef", "abc\n\ndef"},
        {"at spaces", 10, "one two three four", "one two\nthree four"},
        {"spaces at a break go", 8, "one two    three", "one two\nthree"},
        {"a long word stays", 5, "a abcdefghij b", "a\nabcdefghij\nb"},
        {"Japanese breaks anywhere", 10, "いろはにほへとちりぬるを", "いろはにほ\nへとちりぬ\nるを"},
        {"no stop at the start", 10, "いろはにほ。へと", "いろはに\nほ。へと"},
        {"no closing bracket at the start", 10, "「いろはに」です", "「いろは\nに」です"},
        {"no opening bracket at the end", 10, "いろはに「ほへと", "いろはに\n「ほへと"},
        {"small kana and long sounds", 10, "アイウエカーキッキ", "アイウエ\nカーキッキ"},
        {"mixed", 10, "本日はsale中です", "本日はsale\n中です"},
        {"a URL is whole", 12, "詳細はhttps://example.jp/long/pathです", "詳細は\nhttps://example.jp/long/path\nです"},
        {"combining marks stay", 4, "ああ\xe3\x82\x99い", "ああ\xe3\x82\x99\nい"},
        {"CRLF", 10, "a\r\nb\r\n", "a\nb\n"},
        {"trailing spaces", 10, "a   \nb", "a\nb"},
        {"half-width kana", 6, "ｱｲｳｴｵｶｷｸｹｺ", "ｱｲｳｴｵｶ\nｷｸｹｺ"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        SCOPED(buf) out = BUF(1 << 16);
        text_wrap(&out, slice_str(rows[i].text), rows[i].columns);
        assert_slice(rows[i].row, buf_slice(&out), slice_str(rows[i].want));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(html_becomes_text),
        cmocka_unit_test(lines_are_wrapped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
