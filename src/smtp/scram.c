#include "smtp/scram.h"

#include "base/base64.h"
#include <assert.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

static void hmac(const unsigned char key[SCRAM_KEY_BYTES], struct slice text, unsigned char out[SCRAM_KEY_BYTES])
{
    unsigned len = 0;
    unsigned char *done =
        HMAC(EVP_sha256(), key, SCRAM_KEY_BYTES, (const unsigned char *)text.ptr, text.len, out, &len);
    assert(done && len == SCRAM_KEY_BYTES);
}

void scram_keys_make(struct slice password, struct slice salt, unsigned iterations, struct scram_keys *keys)
{
    unsigned char salted[SCRAM_KEY_BYTES], client[SCRAM_KEY_BYTES];
    assert(salt.len && salt.len <= SCRAM_SALT_MAX && iterations);
    *keys = (struct scram_keys){.iterations = iterations, .salt_len = salt.len};
    memcpy(keys->salt, salt.ptr, salt.len);
    int done = PKCS5_PBKDF2_HMAC(password.ptr, (int)password.len, keys->salt, (int)salt.len, (int)iterations,
                                 EVP_sha256(), sizeof(salted), salted);
    assert(done == 1);
    hmac(salted, SLICE("Client Key"), client);
    SHA256(client, sizeof(client), keys->stored);
    hmac(salted, SLICE("Server Key"), keys->server);
    explicit_bzero(salted, sizeof(salted));
    explicit_bzero(client, sizeof(client));
}

void scram_init(struct scram *scram)
{
    *scram = (struct scram){0};
    buf_init(&scram->name, SCRAM_NAME_MAX);
    buf_init(&scram->identity, SCRAM_NAME_MAX);
    buf_init(&scram->gs2, 1024);
    buf_init(&scram->first_bare, 2048);
    buf_init(&scram->server_first, 4096);
}

void scram_release(struct scram *scram)
{
    struct buf *const bufs[] = {&scram->name, &scram->identity, &scram->gs2, &scram->first_bare, &scram->server_first};
    for (size_t i = 0; i < COUNT_OF(bufs); i++)
        buf_release(bufs[i]);
    explicit_bzero(scram, sizeof(*scram));
}

/* "=2C" and "=3D" stand for comma and equals sign (RFC 5802 5.1). */
static bool name_decode(struct slice text, struct buf *out)
{
    for (size_t i = 0; i < text.len; i++) {
        struct slice rest = slice_from(text, i);
        if (text.ptr[i] != '=') {
            buf_byte(out, text.ptr[i]);
            continue;
        }
        if (!slice_starts(rest, SLICE("=2C")) && !slice_starts(rest, SLICE("=3D")))
            return false;
        buf_byte(out, text.ptr[i + 2] == 'C' ? ',' : '=');
        i += 2;
    }
    return buf_ok(out);
}

static bool is_nonce(struct slice nonce)
{
    for (size_t i = 0; i < nonce.len; i++)
        if (nonce.ptr[i] < '!' || nonce.ptr[i] > '~' || nonce.ptr[i] == ',')
            return false;
    return nonce.len > 0;
}

/* The next "x=value" up to a comma. */
static bool attribute(struct slice *rest, char name, struct slice *value)
{
    struct slice piece;
    if (!rest->ptr || !slice_split(rest, ',', &piece) || piece.len < 2 || piece.ptr[0] != name || piece.ptr[1] != '=')
        return false;
    *value = slice_from(piece, 2);
    return true;
}

bool scram_client_first(struct scram *scram, struct slice message)
{
    struct slice rest = message, binding, identity, name, nonce;
    if (message.len > 1024 || !slice_split(&rest, ',', &binding) || !rest.ptr || !slice_split(&rest, ',', &identity) ||
        !rest.ptr)
        return false;
    if (!slice_equal(binding, SLICE("n")) && !slice_equal(binding, SLICE("y")))
        return false;
    if (identity.len &&
        (!slice_starts(identity, SLICE("a=")) || !name_decode(slice_from(identity, 2), &scram->identity)))
        return false;
    buf_append(&scram->gs2, slice_head(message, (size_t)(rest.ptr - message.ptr)));
    buf_append(&scram->first_bare, rest);
    return attribute(&rest, 'n', &name) && attribute(&rest, 'r', &nonce) && name.len && is_nonce(nonce) &&
           name_decode(name, &scram->name);
}

void scram_server_first(struct scram *scram, const struct scram_keys *keys, bool is_known, struct slice nonce,
                        struct buf *out)
{
    struct slice bare = buf_slice(&scram->first_bare), client_nonce;
    struct slice rest = slice_from(bare, (size_t)slice_find(bare, SLICE(",r=")) + 3);
    slice_split(&rest, ',', &client_nonce);
    scram->keys = *keys;
    scram->is_known = is_known;
    struct buf *text = &scram->server_first;
    buf_text(text, "r=");
    scram->nonce_at = text->len;
    buf_append(text, client_nonce);
    buf_append(text, nonce);
    scram->nonce_len = text->len - scram->nonce_at;
    buf_text(text, ",s=");
    base64_encode(text, slice_of(keys->salt, keys->salt_len));
    buf_printf(text, ",i=%u", keys->iterations);
    assert(buf_ok(text));
    buf_append(out, buf_slice(text));
}

/* Is this proof one of somebody who has the client key? In constant time. */
static bool proof_check(struct scram *scram, struct slice auth_message, struct slice proof)
{
    unsigned char signature[SCRAM_KEY_BYTES], client[SCRAM_KEY_BYTES], stored[SCRAM_KEY_BYTES];
    hmac(scram->keys.stored, auth_message, signature);
    for (size_t i = 0; i < SCRAM_KEY_BYTES; i++)
        client[i] = (unsigned char)(signature[i] ^ (unsigned char)proof.ptr[i]);
    SHA256(client, sizeof(client), stored);
    hmac(scram->keys.server, auth_message, scram->signature);
    bool is_equal =
        slice_equal_constant_time(slice_of(stored, SCRAM_KEY_BYTES), slice_of(scram->keys.stored, SCRAM_KEY_BYTES));
    explicit_bzero(client, sizeof(client));
    return is_equal && scram->is_known;
}

bool scram_client_final(struct scram *scram, struct slice message, bool *is_proven)
{
    struct slice rest = message, binding, nonce, proof;
    *is_proven = false;
    ptrdiff_t proof_at = slice_find(message, SLICE(",p="));
    if (message.len > 4096 || proof_at == SLICE_NPOS || !attribute(&rest, 'c', &binding) ||
        !attribute(&rest, 'r', &nonce))
        return false;
    proof = slice_from(message, (size_t)proof_at + 3);
    SCOPED(buf) gs2 = BUF(1024);
    SCOPED(buf) given = BUF(64);
    SCOPED(buf) whole = BUF(16384);
    if (!base64_decode(&gs2, binding) || !base64_decode(&given, proof) || given.len != SCRAM_KEY_BYTES)
        return false;
    bool is_ours = slice_equal(buf_slice(&gs2), buf_slice(&scram->gs2)) &&
                   slice_equal(nonce, slice_of(scram->server_first.ptr + scram->nonce_at, scram->nonce_len));
    buf_append(&whole, buf_slice(&scram->first_bare));
    buf_byte(&whole, ',');
    buf_append(&whole, buf_slice(&scram->server_first));
    buf_byte(&whole, ',');
    buf_append(&whole, slice_head(message, (size_t)proof_at));
    *is_proven = proof_check(scram, buf_slice(&whole), buf_slice(&given)) && is_ours;
    return true;
}

void scram_server_final(const struct scram *scram, struct buf *out)
{
    buf_text(out, "v=");
    base64_encode(out, slice_of(scram->signature, SCRAM_KEY_BYTES));
}
