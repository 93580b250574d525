#include "mailauth/token.h"

#include "base/base64.h"
#include "base/memory.h"
#include "mailauth/token_mac.h"
#include <assert.h>
#include <openssl/crypto.h>

/* What stands in a token after the version: [letter] key id, day (2), id (8), [number], mac. */
struct layout {
    unsigned char version;
    bool has_letter;
    unsigned char number_len;
    size_t mac_len;
};
static const struct layout whole = {2, true, 2, 16};
static const struct layout of_file = {3, true, 8, 16};
static const struct layout return_path = {1, true, 0, 12}; /* and unsubscribe links, once */
static const struct layout counted = {1, false, 2, 16};    /* clicks and opens, once */

enum { HEAD_MAX = 21, MAC_MAX = 16 };
static const time_ms EPOCH_MS = 1704067200000; /* 2024-01-01 */

#define TOKEN_LETTER(NAME, letter, name) [TOKEN_##NAME] = letter,
static const unsigned char letters[] = {TOKEN_KINDS(TOKEN_LETTER)};
#define TOKEN_NAME(NAME, letter, name) [TOKEN_##NAME] = name,
static const char *const names[] = {TOKEN_KINDS(TOKEN_NAME)};

static size_t head_len(const struct layout *layout)
{
    return 12u + (layout->has_letter ? 1 : 0) + layout->number_len;
}

static size_t text_len(const struct layout *layout)
{
    return ((head_len(layout) + layout->mac_len) * 8 + 4) / 5;
}

/* The layout that a token of this kind and version has; NULL: none. */
static const struct layout *layout_of(enum token_kind kind, unsigned char version)
{
    if (version == whole.version)
        return kind == TOKEN_RETURN_PATH || kind == TOKEN_FILE ? NULL : &whole;
    if (version == of_file.version)
        return kind == TOKEN_FILE ? &of_file : NULL;
    if (version != 1)
        return NULL;
    if (kind == TOKEN_RETURN_PATH || kind == TOKEN_UNSUBSCRIBE)
        return &return_path;
    return kind == TOKEN_CLICK || kind == TOKEN_OPEN ? &counted : NULL;
}

/* ── keys ── */

struct token_keys_kept {
    struct token_keys_kept *next;
    struct token_keys keys;
};

void token_ring_set(struct token_ring *ring, enum token_kind kind, const struct token_keys *keys)
{
    const struct token_keys *old = atomic_load(&ring->of[kind]);
    assert(keys->count > 0 && keys->count <= TOKEN_KEYS_MAX && keys->signing < keys->count);
    if (old && old->count == keys->count && old->signing == keys->signing &&
        CRYPTO_memcmp(old->keys, keys->keys, sizeof(keys->keys[0]) * keys->count) == 0)
        return;
    struct token_keys_kept *kept = NEW(struct token_keys_kept);
    kept->keys = *keys;
    kept->next = ring->kept;
    ring->kept = kept;
    atomic_store(&ring->of[kind], &kept->keys);
}

void token_ring_release(struct token_ring *ring)
{
    for (struct token_keys_kept *kept = ring->kept, *next; kept; kept = next) {
        next = kept->next;
        explicit_bzero(kept, sizeof(*kept));
        free(kept);
    }
    *ring = (struct token_ring){.kept = NULL}; /* {0} is no atomic pointer to clang 14 */
}

bool token_ring_has(const struct token_ring *ring, enum token_kind kind)
{
    return ring && atomic_load(&ring->of[kind]) != NULL;
}

const char *token_kind_name(enum token_kind kind)
{
    return names[kind];
}

static void mac(const unsigned char *key, struct slice head, unsigned char out[MAC_MAX])
{
    unsigned char digest[TOKEN_MAC_BYTES];
    token_mac(key, head, digest);
    memcpy(out, digest, MAC_MAX);
}

/* ── making and checking ── */

static unsigned char *put(unsigned char *at, uint64_t value, int octets)
{
    for (int i = octets - 1; i >= 0; i--)
        *at++ = (unsigned char)(value >> 8 * i);
    return at;
}

static uint64_t take(const unsigned char **at, int octets)
{
    uint64_t value = 0;
    for (int i = 0; i < octets; i++)
        value = value << 8 | *(*at)++;
    return value;
}

void token_make(const struct token_ring *ring, enum token_kind kind, const struct token *token, time_ms expires,
                struct buf *out)
{
    const struct layout *layout = kind == TOKEN_RETURN_PATH ? &return_path : kind == TOKEN_FILE ? &of_file : &whole;
    const struct token_keys *keys = atomic_load(&ring->of[kind]);
    assert(keys && (layout->number_len == 8 || token->number <= (layout->number_len ? TOKEN_NUMBER_MAX : 0)));
    time_ms days = (expires - EPOCH_MS + DAYS_MS(1) - 1) / DAYS_MS(1);
    unsigned char bytes[HEAD_MAX + MAC_MAX], *at = bytes;
    *at++ = layout->version;
    *at++ = letters[kind];
    *at++ = keys->keys[keys->signing].id;
    at = put(at, days < 0 ? 0 : days > UINT16_MAX ? UINT16_MAX : (uint64_t)days, 2);
    at = put(at, token->id, 8);
    at = put(at, token->number, layout->number_len);
    size_t head = (size_t)(at - bytes);
    mac(keys->keys[keys->signing].bytes, slice_of(bytes, head), at);
    base32_encode(out, slice_of(bytes, head + layout->mac_len));
}

enum token_result token_check(const struct token_ring *ring, enum token_kind kind, struct slice text, time_ms now,
                              struct token *token)
{
    const struct token_keys *keys = ring ? atomic_load(&ring->of[kind]) : NULL;
    SCOPED(buf) decoded = BUF(64);
    if (!keys || text.len > TOKEN_FILE_LEN || !base32_decode(&decoded, text) || !decoded.len)
        return TOKEN_NONE;
    const unsigned char *bytes = (const unsigned char *)decoded.ptr, *at = bytes + 1;
    const struct layout *layout = layout_of(kind, bytes[0]);
    if (!layout) /* as long as one of ours, but no version that there ever was: somebody is trying */
        return text.len == TOKEN_LEN || text.len == TOKEN_V1_LEN || text.len == TOKEN_FILE_LEN ? TOKEN_FORGED
                                                                                               : TOKEN_NONE;
    if (text.len != text_len(layout) || decoded.len != head_len(layout) + layout->mac_len)
        return TOKEN_NONE;
    bool is_kind = !layout->has_letter || *at++ == letters[kind], is_known = false;
    unsigned char key_id = *at++, want[MAC_MAX];
    const unsigned char *key = keys->keys[0].bytes;
    for (unsigned i = 0; i < keys->count; i++) {
        if (keys->keys[i].id == key_id) {
            key = keys->keys[i].bytes;
            is_known = true;
        }
    }
    mac(key, slice_of(bytes, head_len(layout)), want);
    bool is_equal =
        slice_equal_constant_time(slice_of(want, layout->mac_len), slice_of(bytes + head_len(layout), layout->mac_len));
    if (!is_equal || !is_known || !is_kind)
        return TOKEN_FORGED;
    time_ms expires = EPOCH_MS + DAYS_MS((time_ms)take(&at, 2));
    token->id = take(&at, 8);
    token->number = take(&at, layout->number_len);
    return now > expires ? TOKEN_EXPIRED : TOKEN_GOOD;
}
