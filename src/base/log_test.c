/* Issue 4.6: structured logs: what ends the sentence as key=value is a member of the JSON line */
#include "base/log.h"

#include "base/buf.h"
#include "base/test.h"

static const struct {
    const char *what, *format, *text, *json, *plain;
} rows[] = {
    {"no keys", "a sentence", "a sentence", "\"text\":\"a sentence\"}", "a sentence"},
    {"two keys, in their order", "it binds site=%.*s limit=%s", "it binds site=google limit=rule_rate",
     "\"text\":\"it binds\",\"site\":\"google\",\"limit\":\"rule_rate\"}", "it binds site=google limit=rule_rate"},
    {"a value with blanks", "in trouble source=%s trouble=%s",
     "in trouble source=192.0.2.1 trouble=listed by bl.example",
     "\"text\":\"in trouble\",\"source\":\"192.0.2.1\",\"trouble\":\"listed by bl.example\"}",
     "in trouble source=192.0.2.1 trouble=listed by bl.example"},
    {"a unit behind the value stays with it", "it waits for=%llds", "it waits for=30s",
     "\"text\":\"it waits\",\"for\":\"30s\"}", "it waits for=30s"},
    {"a stranger's text makes no members", "refused: %s", "refused: 550 no level=error at=1",
     "\"text\":\"refused: 550 no level=error at=1\"}", "refused: 550 no level=error at=1"},
    {"what only looks like a key in the format is text", "set x=1 for %s", "set x=1 for me",
     "\"text\":\"set x=1 for me\"}", "set x=1 for me"},
    {"an empty value", "it is site=%s", "it is site=", "\"text\":\"it is\",\"site\":\"\"}", "it is site="},
    {"control bytes", "said reply=%s", "said reply=a\x1b[1mb", "\"text\":\"said\",\"reply\":\"a\\u001b[1mb\"}",
     "said reply=a\\x1b[1mb"},
    {"what steers a terminal in UTF-8", "said reply=%s", "said reply=\xc2\x9b#m \xe2\x80\xae\xc3\xa9",
     "\"text\":\"said\",\"reply\":\"\xc2\x9b#m \xe2\x80\xae\xc3\xa9\"}", "said reply=\\u009b#m \\u202e\xc3\xa9"},
    {"a line that was cut before its last key", "long site=%s limit=%s", "long site=goog",
     "\"text\":\"long\",\"site\":\"goog\"}", "long site=goog"},
};

static void keys_are_members(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        SCOPED(buf) json = BUF(4096);
        SCOPED(buf) plain = BUF(4096);
        log_compose(&json, true, SLICE("T"), LOG_WARN, "deliver", rows[i].format, slice_str(rows[i].text));
        log_compose(&plain, false, SLICE("T"), LOG_WARN, "deliver", rows[i].format, slice_str(rows[i].text));
        SCOPED(buf) want = BUF(4096);
        buf_printf(&want, "{\"at\":\"T\",\"level\":\"warn\",\"from\":\"deliver\",%s", rows[i].json);
        assert_slice(rows[i].what, buf_slice(&json), buf_slice(&want));
        buf_reset(&want);
        buf_printf(&want, "T warn  deliver: %s", rows[i].plain);
        assert_slice(rows[i].what, buf_slice(&plain), buf_slice(&want));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(keys_are_members)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
