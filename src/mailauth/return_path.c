#include "mailauth/return_path.h"

#include "base/base64.h"
#include <assert.h>
#include <openssl/hmac.h>

enum { VERSION = 1, HEAD_LEN = 13, MAC_LEN = 12, TOKEN_LEN = HEAD_LEN + MAC_LEN };
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

void token_make(const struct token_keys *keys, enum token_purpose purpose, uint64_t delivery_id, time_ms expires,
                struct buf *out)
{
    assert(keys->count > 0);
    unsigned char bytes[TOKEN_LEN];
    time_ms days = (expires - EPOCH_MS + DAYS_MS(1) - 1) / DAYS_MS(1);
    uint64_t day = days < 0 ? 0 : days > UINT16_MAX ? UINT16_MAX : (uint64_t)days;
    bytes[0] = VERSION;
    bytes[1] = (unsigned char)purpose;
    bytes[2] = keys->keys[0].id;
    bytes[3] = (unsigned char)(day >> 8);
    bytes[4] = (unsigned char)day;
    for (int i = 0; i < 8; i++)
        bytes[5 + i] = (unsigned char)(delivery_id >> (56 - 8 * i));
    mac(keys->keys[0].bytes, bytes, bytes + HEAD_LEN);
    base32_encode(out, slice_of(bytes, sizeof(bytes)));
}

enum token_result token_check(const struct token_keys *keys, enum token_purpose purpose, struct slice text, time_ms now,
                              uint64_t *delivery_id)
{
    SCOPED(buf) bytes = BUF(64);
    if (text.len != TOKEN_TEXT_LEN || !base32_decode(&bytes, text) || bytes.len != TOKEN_LEN)
        return TOKEN_NONE;
    const unsigned char *token = (const unsigned char *)bytes.ptr;
    const unsigned char *key = keys->keys[0].bytes;
    bool is_known = false;
    for (unsigned i = 0; i < keys->count; i++) {
        if (keys->keys[i].id == token[2]) {
            key = keys->keys[i].bytes;
            is_known = true;
        }
    }
    unsigned char want[MAC_LEN];
    mac(key, token, want);
    bool is_equal = slice_equal_constant_time(slice_of(want, MAC_LEN), slice_of(token + HEAD_LEN, MAC_LEN));
    if (!is_equal || !is_known || token[0] != VERSION || token[1] != (unsigned char)purpose)
        return TOKEN_FORGED;
    *delivery_id = 0;
    for (int i = 0; i < 8; i++)
        *delivery_id = *delivery_id << 8 | token[5 + i];
    time_ms expires = EPOCH_MS + DAYS_MS((time_ms)token[3] << 8 | token[4]);
    return now > expires ? TOKEN_EXPIRED : TOKEN_GOOD;
}

void return_path_make(const struct token_keys *keys, uint64_t delivery_id, time_ms expires, struct slice domain,
                      struct buf *out)
{
    buf_text(out, "b-");
    token_make(keys, TOKEN_RETURN_PATH, delivery_id, expires, out);
    buf_byte(out, '@');
    buf_append(out, domain);
}

enum token_result return_path_check(const struct token_keys *keys, struct slice address, time_ms now,
                                    uint64_t *delivery_id)
{
    ptrdiff_t at = slice_find_last_byte(address, '@');
    struct slice local = at == SLICE_NPOS ? address : slice_head(address, (size_t)at);
    if (!slice_starts_caseless(local, SLICE("b-")))
        return TOKEN_NONE;
    enum token_result result = token_check(keys, TOKEN_RETURN_PATH, slice_from(local, 2), now, delivery_id);
    return result == TOKEN_NONE ? TOKEN_FORGED : result; /* nobody but us has business with b- */
}
