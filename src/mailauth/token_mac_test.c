#include "base/random.h"
#include "base/test.h"
#include "mailauth/token_mac.h"
#include <openssl/hmac.h>

/* OpenSSL's own HMAC is the oracle, for every length that a token may have and more. */
static void it_is_hmac_sha256(void **state)
{
    unsigned char key[TOKEN_KEY_BYTES], bytes[200], mine[TOKEN_MAC_BYTES], theirs[EVP_MAX_MD_SIZE];
    for (size_t len = 0; len <= sizeof(bytes); len++) {
        unsigned theirs_len = 0;
        random_bytes(key, sizeof(key));
        random_bytes(bytes, sizeof(bytes));
        token_mac(key, slice_of(bytes, len), mine);
        assert_non_null(HMAC(EVP_sha256(), key, sizeof(key), bytes, len, theirs, &theirs_len));
        assert_int_equal(theirs_len, sizeof(mine));
        assert_memory_equal(mine, theirs, sizeof(mine));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(it_is_hmac_sha256)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
