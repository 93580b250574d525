/* X6, X7: tokens of public links; one changed character is a forgery; keys of one kind open nothing of another */
#include "base/test.h"
#include "mailauth/link_token.h"

static const struct token_keys clicks = {.count = 2, .keys = {{.id = 2, .bytes = "new"}, {.id = 1, .bytes = "old"}}};
static const struct token_keys opens = {.count = 1, .keys = {{.id = 2, .bytes = "other"}}};
static const time_ms now = 1795321800000;
static const uint64_t ID = 0x123456789abcdef0;

static enum token_result check(const struct token_keys *keys, const struct buf *token, time_ms at)
{
    uint64_t id = 0;
    unsigned number = 0;
    enum token_result result = link_token_check(keys, buf_slice(token), at, &id, &number);
    if (result == TOKEN_GOOD || result == TOKEN_EXPIRED)
        assert_true(id == ID && number == 517);
    return result;
}

static void made_and_checked(void **state)
{
    SCOPED(buf) token = BUF(128);
    link_token_make(&clicks, ID, 517, now + DAYS_MS(30), &token);
    assert_int_equal(token.len, LINK_TOKEN_LEN);
    assert_int_equal(check(&clicks, &token, now), TOKEN_GOOD);
    assert_int_equal(check(&opens, &token, now), TOKEN_FORGED);
    assert_int_equal(check(&clicks, &token, now + DAYS_MS(32)), TOKEN_EXPIRED);
    for (size_t i = 0; i < token.len; i++)
        token.ptr[i] = ascii_upper(token.ptr[i]);
    assert_int_equal(check(&clicks, &token, now), TOKEN_GOOD);
    buf_byte(&token, 'a');
    assert_int_equal(check(&clicks, &token, now), TOKEN_NONE);
}

static void every_changed_character_is_a_forgery(void **state)
{
    SCOPED(buf) token = BUF(128);
    link_token_make(&clicks, ID, 517, now + DAYS_MS(1), &token);
    for (size_t i = 0; i < token.len; i++) {
        char was = token.ptr[i];
        for (int c = 0; c < 256; c++) {
            token.ptr[i] = (char)c;
            if (ascii_lower((char)c) != ascii_lower(was))
                assert_int_not_equal(check(&clicks, &token, now), TOKEN_GOOD);
        }
        token.ptr[i] = was;
    }
    assert_int_equal(check(&clicks, &token, now), TOKEN_GOOD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(made_and_checked),
                                       cmocka_unit_test(every_changed_character_is_a_forgery)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
