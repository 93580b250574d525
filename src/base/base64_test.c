#include "base/base64.h"
#include "base/random.h"
#include "base/test.h"

static void known_values(void **state)
{
    static const struct {
        const char *bytes, *base64, *base32;
    } rows[] = {
        /* RFC 4648 10 */
        {"", "", ""},
        {"f", "Zg==", "my"},
        {"fo", "Zm8=", "mzxq"},
        {"foo", "Zm9v", "mzxw6"},
        {"foob", "Zm9vYg==", "mzxw6yq"},
        {"foobar", "Zm9vYmFy", "mzxw6ytboi"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        SCOPED(buf) out = BUF(64);
        base64_encode(&out, slice_str(rows[i].bytes));
        assert_slice(rows[i].bytes, buf_slice(&out), slice_str(rows[i].base64));
        buf_reset(&out);
        base32_encode(&out, slice_str(rows[i].bytes));
        assert_slice(rows[i].bytes, buf_slice(&out), slice_str(rows[i].base32));
    }
}

static void round_trips(void **state)
{
    struct random random;
    random_seed(&random, 7);
    for (size_t len = 0; len < 200; len++) {
        char bytes[200];
        for (size_t i = 0; i < len; i++)
            bytes[i] = (char)random_next(&random);
        struct slice want = slice_of(bytes, len);
        static void (*const encoders[])(struct buf *, struct slice) = {base64_encode, base64url_encode, base32_encode,
                                                                       hex_encode};
        static bool (*const decoders[])(struct buf *, struct slice) = {base64_decode, base64url_decode, base32_decode,
                                                                       hex_decode};
        for (size_t i = 0; i < COUNT_OF(encoders); i++) {
            SCOPED(buf) text = BUF(1024);
            SCOPED(buf) back = BUF(1024);
            encoders[i](&text, want);
            assert_true(decoders[i](&back, buf_slice(&text)));
            assert_slice("round trip", buf_slice(&back), want);
        }
        SCOPED(buf) lines = BUF(1024);
        SCOPED(buf) back = BUF(1024);
        base64_encode_lines(&lines, want);
        base64_decode_loose(&back, buf_slice(&lines));
        assert_slice("lines", buf_slice(&back), want);
    }
}

static void wrong_text(void **state)
{
    static const char *const rows[] = {"Zg", "Zg=", "Z===", "Zh==", "Zm9v\n", "Zm-v", "===="};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        SCOPED(buf) out = BUF(64);
        assert_row(rows[i], !base64_decode(&out, slice_str(rows[i])));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_values),
        cmocka_unit_test(round_trips),
        cmocka_unit_test(wrong_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
