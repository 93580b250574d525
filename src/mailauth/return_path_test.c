/* M24, S12, X7: signed return paths, whatever case comes back, by keys that are replaced */
#include "base/test.h"
#include "mailauth/return_path.h"

static const struct token_keys both = {.count = 2, .keys = {{.id = 2, .bytes = "new"}, {.id = 1, .bytes = "old"}}};
static struct token_ring ring;
static const time_ms now = 1795321800000;

static void made_and_checked(void **state)
{
    SCOPED(buf) address = BUF(128);
    uint64_t id = 0;
    return_path_make(&ring, 0x123456789abcdef0, now + DAYS_MS(30), SLICE("bounce.example.jp"), &address);
    assert_int_equal(slice_find_byte(buf_slice(&address), '@'), 2 + TOKEN_V1_LEN);
    assert_int_equal(return_path_check(&ring, buf_slice(&address), now, &id), TOKEN_GOOD);
    assert_true(id == 0x123456789abcdef0);
    for (size_t i = 0; i < address.len; i++) /* receivers change the case of local parts */
        address.ptr[i] = ascii_upper(address.ptr[i]);
    assert_int_equal(return_path_check(&ring, buf_slice(&address), now, &id), TOKEN_GOOD);
    assert_int_equal(return_path_check(&ring, buf_slice(&address), now + DAYS_MS(29), &id), TOKEN_GOOD);
    assert_int_equal(return_path_check(&ring, buf_slice(&address), now + DAYS_MS(32), &id), TOKEN_EXPIRED);
}

static void an_old_key_still_verifies_a_lost_one_does_not(void **state)
{
    static const struct token_keys old = {.count = 1, .keys = {{.id = 1, .bytes = "old"}}};
    static const struct token_keys lost = {.count = 1, .keys = {{.id = 3, .bytes = "new"}}};
    struct token_ring before = {0}, other = {0};
    token_ring_set(&before, TOKEN_RETURN_PATH, &old);
    token_ring_set(&other, TOKEN_RETURN_PATH, &lost);
    SCOPED(buf) address = BUF(128);
    uint64_t id;
    return_path_make(&before, 77, now + DAYS_MS(1), SLICE("b.example"), &address);
    assert_int_equal(return_path_check(&ring, buf_slice(&address), now, &id), TOKEN_GOOD);
    assert_int_equal(return_path_check(&other, buf_slice(&address), now, &id), TOKEN_FORGED);
    token_ring_release(&before);
    token_ring_release(&other);
}

static void other_addresses(void **state)
{
    static const struct {
        const char *address;
        enum token_result want;
    } rows[] = {
        {"postmaster@bounce.example.jp", TOKEN_NONE},
        {"b-@bounce.example.jp", TOKEN_FORGED},
        {"b-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@bounce.example.jp", TOKEN_FORGED},
        {"", TOKEN_NONE},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint64_t id;
        assert_int_row(rows[i].address, return_path_check(&ring, slice_str(rows[i].address), now, &id), rows[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(made_and_checked),
        cmocka_unit_test(an_old_key_still_verifies_a_lost_one_does_not),
        cmocka_unit_test(other_addresses),
    };
    token_ring_set(&ring, TOKEN_RETURN_PATH, &both);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    token_ring_release(&ring);
    return failed;
}
