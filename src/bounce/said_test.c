/* S6: code, status and words of what a server said, however it is quoted */
#include "base/test.h"
#include "bounce/said.h"
#include "bounce/scan.h"

static void taken_apart(void **state)
{
    static const struct {
        const char *diagnostic;
        int code;
        uint16_t status[3];
        const char *text;
    } rows[] = {
        {"550 5.1.1 User unknown", 550, {5, 1, 1}, "User unknown"},
        {"smtp; 550 5.1.1 User unknown", 550, {5, 1, 1}, "User unknown"},
        {"smtp;550 5.7.515 Access denied", 550, {5, 7, 515}, "Access denied"},
        {"550-5.1.1 The account 550 5.1.1 does not exist", 550, {5, 1, 1}, "The account does not exist"},
        {"550-The account 550-does not 550 exist", 550, {0}, "The account does not 550 exist"},
        {"554 delivery error: dd This user doesn't have an account (#5.1.1)",
         554,
         {5, 1, 1},
         "delivery error: dd This user doesn't have an account (#5.1.1)"},
        {"5.1.1 550 User unknown", 550, {5, 1, 1}, "User unknown"},
        {"(#5.5.4) no", 0, {5, 5, 4}, "no"},
        {"550: 5.2.2 full", 550, {5, 2, 2}, "full"},
        {"connect to mx[192.0.2.1]:25: Connection timed out",
         0,
         {0},
         "connect to mx[192.0.2.1]:25: Connection timed out"},
        {"5500 things", 0, {0}, "5500 things"},
        {"", 0, {0}, ""},
        {"550", 550, {0}, ""},
        {"smtp;", 0, {0}, ""},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct arena arena = {0};
        struct said said;
        said_parse(slice_str(rows[i].diagnostic), &arena, &said);
        assert_int_row(rows[i].diagnostic, said.code, rows[i].code);
        for (int k = 0; k < 3; k++)
            assert_int_row(rows[i].diagnostic, said.status[k], rows[i].status[k]);
        assert_slice(rows[i].diagnostic, said.text, slice_str(rows[i].text));
        arena_release(&arena);
    }
}

static void found_in_a_text(void **state)
{
    static const struct {
        const char *text, *from; /* NULL: no reply in it */
    } rows[] = {
        {"host mx.example.com[192.0.2.1] said: 550 5.1.1 unknown", "550 5.1.1 unknown"},
        {"host mx.example.com[192.0.2.1] said: 550 unknown", "550 unknown"},
        {"<<< 554 no", "554 no"},
        {"it said\n    450 busy", "450 busy"},
        {"returned '550 5.1.10 RESOLVER.ADR", "550 5.1.10 RESOLVER.ADR"},
        {"#550 5.1.1 RESOLVER", "550 5.1.1 RESOLVER"},
        {"ERROR_CODE :550, ERROR_CODE :no", "550, ERROR_CODE :no"},
        {"you may send 500 messages a day", NULL},
        {"192.0.2.550 is nothing", NULL},
        {"in 421 days", NULL},
        {"reply: 250 ok", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct slice text = slice_str(rows[i].text);
        ptrdiff_t at = said_find(text);
        assert_slice(rows[i].text, at < 0 ? SLICE("-") : slice_from(text, (size_t)at),
                     rows[i].from ? slice_str(rows[i].from) : SLICE("-"));
    }
}

static void addresses_in_text(void **state)
{
    static const struct {
        const char *text, *address;
    } rows[] = {
        {"<a@b.example>: said", "a@b.example"},
        {"宛先taro@example.jp様", "taro@example.jp"},
        {"hello kijitora@example.jp您好，", "kijitora@example.jp"},
        {"\"a b\"@example.jp x", "\"a b\"@example.jp"},
        {"用户@例え.example。", "用户@例え.example"},
        {"mailto:a.b+c@d.example.", "a.b+c@d.example"},
        {"a@[192.0.2.1] x", "a@[192.0.2.1]"},
        {"a..b.@ezweb.ne.jp", "a..b.@ezweb.ne.jp"},
        {"@ @@ a@ @b", ""},
        {"", ""},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        size_t at = 0;
        struct slice address;
        if (!scan_address(slice_str(rows[i].text), &at, &address))
            address = SLICE("");
        assert_slice(rows[i].text, address, slice_str(rows[i].address));
    }
}

static void stages(void **state)
{
    static const struct {
        const char *text;
        enum stage stage;
    } rows[] = {
        {"(in reply to RCPT TO command)", STAGE_RCPT},
        {"(in reply to MAIL FROM command)", STAGE_MAIL},
        {"(in reply to end of DATA command)", STAGE_DOT},
        {"(in reply to DATA command)", STAGE_DATA},
        {"after initial connection:", STAGE_CONNECT},
        {"refused to talk to me: 421", STAGE_CONNECT},
        {"[RCPT_TO]", STAGE_RCPT},
        {"mail from 192.0.2.1 refused", STAGE_UNKNOWN},
        {"did not like our final DATA", STAGE_DOT},
        {"", STAGE_UNKNOWN},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_int_row(rows[i].text, scan_stage(slice_str(rows[i].text)), rows[i].stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(taken_apart), cmocka_unit_test(found_in_a_text),
                                       cmocka_unit_test(addresses_in_text), cmocka_unit_test(stages)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
