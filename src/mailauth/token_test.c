/* X6, X7: one changed character or bit is a forgery; keys and letter of one kind open nothing of another; keys change
 */
#include "base/base64.h"
#include "base/test.h"
#include "mailauth/testing.h"

static const time_ms now = 1795321800000;
static const struct token given = {0x123456789abcdef0, 517};

struct rings {
    struct token_ring ring, other;
};
#define RINGS(name)                                                                                                    \
    struct rings name = {0};                                                                                           \
    test_ring(&name.ring, 1);                                                                                          \
    test_ring(&name.other, 2)
static void rings_end(struct rings *rings)
{
    token_ring_release(&rings->ring);
    token_ring_release(&rings->other);
}

static uint64_t number_of(enum token_kind kind)
{
    return kind == TOKEN_RETURN_PATH ? 0 : kind == TOKEN_FILE ? 0xfedcba9876543210 : given.number;
}

static enum token_result check(const struct token_ring *ring, enum token_kind kind, const struct buf *text, time_ms at)
{
    struct token token = {0};
    enum token_result result = token_check(ring, kind, buf_slice(text), at, &token);
    if (result == TOKEN_GOOD || result == TOKEN_EXPIRED) {
        assert_true(token.id == given.id);
        assert_true(token.number == number_of(kind));
    }
    return result;
}

static void make(const struct token_ring *ring, enum token_kind kind, struct buf *text)
{
    struct token token = {given.id, number_of(kind)};
    token_make(ring, kind, &token, now + DAYS_MS(30), text);
}

static void each_kind_is_itself_alone(void **state)
{
    RINGS(rings);
    struct token_ring one_key = {0};
    struct token_keys same = {.count = 1, .keys[0].bytes = "one key for all"};
    for (int kind = 0; kind < TOKEN_KIND_COUNT; kind++)
        token_ring_set(&one_key, (enum token_kind)kind, &same);
    for (int kind = 0; kind < TOKEN_KIND_COUNT; kind++) {
        SCOPED(buf) text = BUF(128);
        SCOPED(buf) alike = BUF(128);
        make(&rings.ring, (enum token_kind)kind, &text);
        make(&one_key, (enum token_kind)kind, &alike);
        assert_int_equal(text.len, kind == TOKEN_RETURN_PATH ? TOKEN_V1_LEN
                                   : kind == TOKEN_FILE      ? TOKEN_FILE_LEN
                                                             : TOKEN_LEN);
        assert_int_equal(check(&rings.ring, (enum token_kind)kind, &text, now + DAYS_MS(32)), TOKEN_EXPIRED);
        assert_int_equal(check(&rings.other, (enum token_kind)kind, &text, now), TOKEN_FORGED);
        assert_int_equal(check(NULL, (enum token_kind)kind, &text, now), TOKEN_NONE);
        for (int as = 0; as < TOKEN_KIND_COUNT; as++) {
            enum token_result here = check(&rings.ring, (enum token_kind)as, &text, now),
                              there = check(&one_key, (enum token_kind)as, &alike, now);
            assert_int_row(token_kind_name((enum token_kind)kind), here == TOKEN_GOOD, as == kind);
            assert_int_row(token_kind_name((enum token_kind)kind), there == TOKEN_GOOD, as == kind);
        }
        for (size_t i = 0; i < text.len; i++)
            text.ptr[i] = ascii_upper(text.ptr[i]);
        assert_int_equal(check(&rings.ring, (enum token_kind)kind, &text, now), TOKEN_GOOD);
        buf_byte(&text, 'a');
        assert_int_not_equal(check(&rings.ring, (enum token_kind)kind, &text, now), TOKEN_GOOD);
    }
    token_ring_release(&one_key);
    rings_end(&rings);
}

static void every_changed_character_is_a_forgery(void **state)
{
    static const enum token_kind kinds[] = {TOKEN_CLICK, TOKEN_FILE};
    RINGS(rings);
    for (size_t k = 0; k < COUNT_OF(kinds); k++) {
        SCOPED(buf) text = BUF(128);
        make(&rings.ring, kinds[k], &text);
        for (size_t i = 0; i < text.len; i++) {
            char was = text.ptr[i];
            for (int c = 0; c < 256; c++) {
                text.ptr[i] = (char)c;
                if (ascii_lower((char)c) != ascii_lower(was))
                    assert_int_not_equal(check(&rings.ring, kinds[k], &text, now), TOKEN_GOOD);
            }
            text.ptr[i] = was;
        }
        assert_int_equal(check(&rings.ring, kinds[k], &text, now), TOKEN_GOOD);
    }
    rings_end(&rings);
}

/* Of the octets, so that each flip is a token by its looks: each bit of many tokens. */
static void every_flipped_bit_is_a_forgery(void **state)
{
    RINGS(rings);
    for (uint64_t id = 1; id <= 200; id++) {
        for (int kind = TOKEN_RETURN_PATH; kind < TOKEN_KIND_COUNT; kind++) {
            SCOPED(buf) text = BUF(128);
            SCOPED(buf) bytes = BUF(64);
            struct token token = {id * 0x9e3779b97f4a7c15u, 0};
            token_make(&rings.ring, (enum token_kind)kind, &token, now + DAYS_MS(30), &text);
            assert_true(base32_decode(&bytes, buf_slice(&text)));
            for (size_t bit = 0; bit < bytes.len * 8; bit++) {
                bytes.ptr[bit / 8] = (char)(bytes.ptr[bit / 8] ^ 1 << bit % 8);
                buf_reset(&text);
                base32_encode(&text, buf_slice(&bytes));
                enum token_result result =
                    token_check(&rings.ring, (enum token_kind)kind, buf_slice(&text), now, &token);
                assert_true(result == TOKEN_FORGED || result == TOKEN_NONE);
                bytes.ptr[bit / 8] = (char)(bytes.ptr[bit / 8] ^ 1 << bit % 8);
            }
        }
    }
    rings_end(&rings);
}

/* As they stand in mails that were sent before version 2: made by a few lines of Python from what version 1 said. */
static void links_of_version_1_still_open(void **state)
{
    static const struct {
        const char *name, *text;
        enum token_kind kind;
        enum token_result want;
    } rows[] = {
        {"unsubscribe", "af2qebb7ci2fm6e2xtppalbaeblbuwf4zmzdyvrp", TOKEN_UNSUBSCRIBE, TOKEN_GOOD},
        {"click", "aebaipysgrlhrgv433yaebn2rojyfndczx3ueil5zynpdcka", TOKEN_CLICK, TOKEN_GOOD},
        {"an unsubscribe link is no return path", "af2qebb7ci2fm6e2xtppalbaeblbuwf4zmzdyvrp", TOKEN_RETURN_PATH,
         TOKEN_FORGED},
        {"nor anything newer", "af2qebb7ci2fm6e2xtppalbaeblbuwf4zmzdyvrp", TOKEN_PREFERENCES, TOKEN_FORGED},
        {"a click is no file", "aebaipysgrlhrgv433yaebn2rojyfndczx3ueil5zynpdcka", TOKEN_FILE, TOKEN_NONE},
    };
    static const struct token_keys keys = {.count = 1, .keys = {{.id = 2, .bytes = "new"}}};
    struct token_ring ring = {0};
    for (int kind = 0; kind < TOKEN_KIND_COUNT; kind++)
        token_ring_set(&ring, (enum token_kind)kind, &keys);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct token token = {0};
        assert_int_row(rows[i].name, token_check(&ring, rows[i].kind, slice_str(rows[i].text), now, &token),
                       rows[i].want);
        if (rows[i].want == TOKEN_GOOD)
            assert_true(token.id == given.id && token.number == (rows[i].kind == TOKEN_CLICK ? given.number : 0));
    }
    token_ring_release(&ring);
}

/* A new key verifies at once and signs when it is told to; an old one verifies as long as it is there. */
static void keys_are_rotated(void **state)
{
    struct token_keys keys = {.count = 1, .keys = {{.id = 1, .bytes = "old"}}};
    const struct token_keys both = {.count = 2, .signing = 1, .keys = {{.id = 2, .bytes = "new"}, keys.keys[0]}};
    const struct token_keys lost = {.count = 1, .keys = {{.id = 3, .bytes = "new"}}};
    struct token_ring ring = {0}, other = {0};
    SCOPED(buf) old = BUF(128);
    SCOPED(buf) still = BUF(128);
    SCOPED(buf) fresh = BUF(128);
    token_ring_set(&ring, TOKEN_OPEN, &keys);
    token_ring_set(&other, TOKEN_OPEN, &lost);
    make(&ring, TOKEN_OPEN, &old);
    token_ring_set(&ring, TOKEN_OPEN, &both);
    make(&ring, TOKEN_OPEN, &still);
    assert_slice("the old key still signs", buf_slice(&still), buf_slice(&old));
    keys = both;
    keys.signing = 0;
    token_ring_set(&ring, TOKEN_OPEN, &keys);
    token_ring_set(&ring, TOKEN_OPEN, &keys);
    make(&ring, TOKEN_OPEN, &fresh);
    assert_int_equal(check(&ring, TOKEN_OPEN, &old, now), TOKEN_GOOD);
    assert_int_equal(check(&ring, TOKEN_OPEN, &fresh, now), TOKEN_GOOD);
    assert_int_equal(check(&other, TOKEN_OPEN, &fresh, now), TOKEN_FORGED); /* its id is not known there */
    token_ring_release(&ring);
    token_ring_release(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_is_itself_alone),
        cmocka_unit_test(every_changed_character_is_a_forgery),
        cmocka_unit_test(every_flipped_bit_is_a_forgery),
        cmocka_unit_test(links_of_version_1_still_open),
        cmocka_unit_test(keys_are_rotated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
