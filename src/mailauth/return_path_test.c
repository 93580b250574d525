/* M24, S12, X7: signed return paths, whatever case comes back, by keys that are replaced */
#include "base/test.h"
#include "mailauth/return_path.h"

static const struct token_keys both = {.count = 2, .keys = {{.id = 2, .bytes = "new"}, {.id = 1, .bytes = "old"}}};
static struct token_ring ring;
static const time_ms now = 1795321800000;

static void made_and_checked(void **state)
{
    SCOPED(buf) address = BUF(128);
    struct return_path path;
    return_path_make(&ring, 0x123456789abcdef0, now + DAYS_MS(30), SLICE("bounce.example.jp"), &address);
    assert_int_equal(slice_find_byte(buf_slice(&address), '@'), 2 + TOKEN_V1_LEN);
    assert_int_equal(return_path_check(&ring, buf_slice(&address), now, &path), TOKEN_GOOD);
    assert_true(path.delivery_id == 0x123456789abcdef0 && !path.message_id);
    for (size_t i = 0; i < address.len; i++) /* receivers change the case of local parts */
        address.ptr[i] = ascii_upper(address.ptr[i]);
    assert_int_equal(return_path_check(&ring, buf_slice(&address), now, &path), TOKEN_GOOD);
    assert_int_equal(return_path_check(&ring, buf_slice(&address), now + DAYS_MS(29), &path), TOKEN_GOOD);
    assert_int_equal(return_path_check(&ring, buf_slice(&address), now + DAYS_MS(32), &path), TOKEN_EXPIRED);
}

/* R20: signed for a mail and a domain; in a local part of 64 octets; worth nothing as a delivery's own, nor the other
 * way round; for an address of another domain nothing either */
static void shared_by_recipients(void **state)
{
    SCOPED(buf) address = BUF(128);
    SCOPED(buf) own = BUF(128);
    struct return_path path;
    shared_path_make(&ring, 0x123456789abcdef0, SLICE("one.example"), now + DAYS_MS(30), SLICE("b.example"), &address);
    assert_in_range(slice_find_byte(buf_slice(&address), '@'), 1, 64);
    for (size_t i = 0; i < address.len; i++)
        address.ptr[i] = ascii_upper(address.ptr[i]);
    assert_int_equal(return_path_check(&ring, buf_slice(&address), now, &path), TOKEN_GOOD);
    assert_true(path.message_id == 0x123456789abcdef0 && !path.delivery_id);
    assert_true(return_path_is_of(&path, SLICE("one.example")));
    assert_false(return_path_is_of(&path, SLICE("two.example")));
    assert_int_equal(return_path_check(&ring, buf_slice(&address), now + DAYS_MS(32), &path), TOKEN_EXPIRED);
    for (size_t i = 2; i < 2 + TOKEN_LEN - 1; i++) {
        char was = address.ptr[i];
        address.ptr[i] = was == 'A' ? 'B' : 'A';
        assert_int_equal(return_path_check(&ring, buf_slice(&address), now, &path), TOKEN_FORGED);
        address.ptr[i] = was;
    }
    return_path_make(&ring, 77, now + DAYS_MS(30), SLICE("b.example"), &own);
    assert_int_equal(return_path_check(&ring, buf_slice(&own), now, &path), TOKEN_GOOD);
    assert_false(return_path_is_of(&path, SLICE("one.example")));
}

static void an_old_key_still_verifies_a_lost_one_does_not(void **state)
{
    static const struct token_keys old = {.count = 1, .keys = {{.id = 1, .bytes = "old"}}};
    static const struct token_keys lost = {.count = 1, .keys = {{.id = 3, .bytes = "new"}}};
    struct token_ring before = {0}, other = {0};
    token_ring_set(&before, TOKEN_RETURN_PATH, &old);
    token_ring_set(&other, TOKEN_RETURN_PATH, &lost);
    SCOPED(buf) address = BUF(128);
    struct return_path path;
    return_path_make(&before, 77, now + DAYS_MS(1), SLICE("b.example"), &address);
    assert_int_equal(return_path_check(&ring, buf_slice(&address), now, &path), TOKEN_GOOD);
    assert_int_equal(return_path_check(&other, buf_slice(&address), now, &path), TOKEN_FORGED);
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
        struct return_path path;
        assert_int_row(rows[i].address, return_path_check(&ring, slice_str(rows[i].address), now, &path), rows[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(made_and_checked),
        cmocka_unit_test(shared_by_recipients),
        cmocka_unit_test(an_old_key_still_verifies_a_lost_one_does_not),
        cmocka_unit_test(other_addresses),
    };
    token_ring_set(&ring, TOKEN_RETURN_PATH, &both);
    token_ring_set(&ring, TOKEN_SHARED_PATH, &both);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    token_ring_release(&ring);
    return failed;
}
