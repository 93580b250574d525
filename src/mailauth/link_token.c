#include "mailauth/link_token.h"

#include "base/base64.h"
#include <assert.h>
#include <openssl/hmac.h>

enum { VERSION = 1, HEAD_LEN = 14, MAC_LEN = 16, BYTES_LEN = HEAD_LEN + MAC_LEN };
static const time_ms EPOCH_MS = 1704067200000; /* 2024-01-01 */

static void mac(const unsigned char *key, const unsigned char *head, unsigned char *out)
{
    unsigned char whole[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    const unsigned char *done = HMAC(EVP_sha256(), key, TOKEN_KEY_BYTES, head, HEAD_LEN, whole, &len);
    assert(done && len >= MAC_LEN);
    (void)done;
    memcpy(out, whole, MAC_LEN);
}

void link_token_make(const struct token_keys *keys, uint64_t delivery_id, unsigned number, time_ms expires,
                     struct buf *out)
{
    assert(keys->count > 0 && number <= UINT16_MAX);
    time_ms days = (expires - EPOCH_MS + DAYS_MS(1) - 1) / DAYS_MS(1);
    uint64_t day = days < 0 ? 0 : days > UINT16_MAX ? UINT16_MAX : (uint64_t)days;
    unsigned char bytes[BYTES_LEN] = {VERSION, keys->keys[0].id, (unsigned char)(day >> 8), (unsigned char)day};
    for (int i = 0; i < 8; i++)
        bytes[4 + i] = (unsigned char)(delivery_id >> (56 - 8 * i));
    bytes[12] = (unsigned char)(number >> 8);
    bytes[13] = (unsigned char)number;
    mac(keys->keys[0].bytes, bytes, bytes + HEAD_LEN);
    base32_encode(out, slice_of(bytes, sizeof(bytes)));
}

enum token_result link_token_check(const struct token_keys *keys, struct slice text, time_ms now, uint64_t *delivery_id,
                                   unsigned *number)
{
    SCOPED(buf) bytes = BUF(64);
    if (text.len != LINK_TOKEN_LEN || !base32_decode(&bytes, text) || bytes.len != BYTES_LEN)
        return TOKEN_NONE;
    const unsigned char *token = (const unsigned char *)bytes.ptr;
    const unsigned char *key = keys->keys[0].bytes;
    bool is_known = false;
    for (unsigned i = 0; i < keys->count; i++) {
        if (keys->keys[i].id == token[1]) {
            key = keys->keys[i].bytes;
            is_known = true;
        }
    }
    unsigned char want[MAC_LEN];
    mac(key, token, want);
    bool is_equal = slice_equal_constant_time(slice_of(want, MAC_LEN), slice_of(token + HEAD_LEN, MAC_LEN));
    if (!is_equal || !is_known || token[0] != VERSION)
        return TOKEN_FORGED;
    *delivery_id = 0;
    for (int i = 0; i < 8; i++)
        *delivery_id = *delivery_id << 8 | token[4 + i];
    *number = (unsigned)token[12] << 8 | token[13];
    time_ms expires = EPOCH_MS + DAYS_MS((time_ms)token[2] << 8 | token[3]);
    return now > expires ? TOKEN_EXPIRED : TOKEN_GOOD;
}
