/* Unread words are grouped by likeness: what differs from mail to mail is a placeholder, what is said stays. */
#include "base/test.h"
#include "bounce/likeness.h"

static const char *like(const char *text, struct buf *out)
{
    buf_reset(out);
    likeness_write(slice_str(text), out);
    return buf_cstr(out);
}

static void what_differs_is_a_placeholder(void **state)
{
    static const struct {
        const char *row, *text, *want;
    } table[] = {
        {"nothing", "", ""},
        {"an address", "550 5.9.9 <taro@example.jp>: Strange Thing", "550 5.9.9 <<addr>>: strange thing"},
        {"a host and an address of one", "Host mx1.example.co.jp[192.0.2.17] said", "host <host>[<ip>] said"},
        {"a queue id", "queued as 4XyZ12abcd then lost", "queued as <id> then lost"},
        {"numbers", "try again in 3600 seconds, 17 left", "try again in <n> seconds, <n> left"},
        {"a url", "see https://example.com/why?id=12 for more.", "see <url> for more."},
        {"codes stay", "451 4.7.650 odd", "451 4.7.650 odd"},
        {"a short tag stays", "refused (TSS04) by policy", "refused (tss04) by policy"},
        {"white space", "  a \t b\r\n c  ", "a b c"},
        {"Japanese stays", "受信者 taro@example.jp は不明です", "受信者 <addr> は不明です"},
        {"the end of a sentence", "not at example.jp. Sorry.", "not at <host>. sorry."},
    };
    SCOPED(buf) out = BUF(4096);
    for (size_t i = 0; i < COUNT_OF(table); i++)
        if (strcmp(like(table[i].text, &out), table[i].want) != 0)
            fail_msg("%s: \"%s\" where \"%s\" is wanted", table[i].row, buf_cstr(&out), table[i].want);
}

static void alike_and_unlike(void **state)
{
    static const struct {
        const char *row, *one, *other;
        bool is_alike;
    } table[] = {
        {"two people", "550 blub <a@example.jp> 12ab34cd", "550 blub <hanako.s@other.example> 99zz88yy", true},
        {"two hosts, two days", "Sorry, mx3.a.example is out since 2026-11-22",
         "sorry, mx9.b.example is out since 2026-12-01", true},
        {"other words", "550 blub <a@example.jp>", "550 blob <a@example.jp>", false},
        {"another code", "550 blub", "450 blub", false},
    };
    SCOPED(buf) one = BUF(4096);
    SCOPED(buf) other = BUF(4096);
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        char prints[2][LIKENESS_FINGERPRINT];
        like(table[i].one, &one);
        like(table[i].other, &other);
        likeness_fingerprint(buf_slice(&one), prints[0]);
        likeness_fingerprint(buf_slice(&other), prints[1]);
        assert_int_row(table[i].row, strcmp(prints[0], prints[1]) == 0, table[i].is_alike);
    }
}

static void it_is_bounded_and_stable(void **state)
{
    SCOPED(buf) text = BUF(1 << 20);
    SCOPED(buf) out = BUF(8192);
    for (int i = 0; i < 100000; i++)
        buf_text(&text, "a=:/<");
    likeness_write(buf_slice(&text), &out);
    assert_true(buf_ok(&out) && out.len <= 2 * LIKENESS_TEXT_MAX);
    char print[LIKENESS_FINGERPRINT];
    likeness_fingerprint(SLICE("550 blub <addr>"), print);
    assert_string_equal(print, "31b17e4168b2003b");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_differs_is_a_placeholder),
        cmocka_unit_test(alike_and_unlike),
        cmocka_unit_test(it_is_bounded_and_stable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
