/* token_mac.c - by OpenSSL's plain SHA-256 functions
 *
 * HMAC() of OpenSSL 3 fetches the MAC and the digest by name, with locks and a dozen allocations: 2.5 us where the hash
 * itself takes 0.3. The plain functions are called deprecated because no provider can replace them, which nobody needs
 * here; they have no state but what stands on the stack. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "mailauth/token_mac.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

enum { BLOCK = SHA256_CBLOCK };
_Static_assert((int)TOKEN_KEY_BYTES <= (int)BLOCK, "a longer key would be hashed first");
_Static_assert((int)TOKEN_MAC_BYTES == (int)SHA256_DIGEST_LENGTH, "the whole hash");

/* The hash of the key, mixed with one octet and filled up to a block, and of what follows. */
static void hash(const unsigned char *key, unsigned char mixed, struct slice bytes, unsigned char out[TOKEN_MAC_BYTES])
{
    unsigned char block[BLOCK];
    SHA256_CTX context;
    for (size_t i = 0; i < BLOCK; i++)
        block[i] = (unsigned char)((i < TOKEN_KEY_BYTES ? key[i] : 0) ^ mixed);
    SHA256_Init(&context);
    SHA256_Update(&context, block, BLOCK);
    SHA256_Update(&context, bytes.ptr, bytes.len);
    SHA256_Final(out, &context);
    OPENSSL_cleanse(block, sizeof(block));
    OPENSSL_cleanse(&context, sizeof(context));
}

void token_mac(const unsigned char *key, struct slice bytes, unsigned char out[TOKEN_MAC_BYTES])
{
    unsigned char inner[TOKEN_MAC_BYTES];
    hash(key, 0x36, bytes, inner);
    hash(key, 0x5c, slice_of(inner, sizeof(inner)), out);
}
