#include "smtp/scram_client.h"

#include "base/base64.h"
#include "base/memory.h"
#include <openssl/evp.h>
#include <openssl/hmac.h>

enum { HASH = 32 };

void scram_client_release(struct scram_client *scram)
{
    buf_release(&scram->first_bare);
    explicit_bzero(scram->server_signature, sizeof(scram->server_signature));
}

void scram_client_begin(struct scram_client *scram, struct slice user, struct slice nonce, struct buf *out)
{
    if (!scram->first_bare.limit)
        buf_init(&scram->first_bare, SCRAM_CLIENT_TEXT_MAX);
    buf_reset(&scram->first_bare);
    buf_text(&scram->first_bare, "n=");
    for (size_t i = 0; i < user.len; i++) {
        if (user.ptr[i] == '=')
            buf_text(&scram->first_bare, "=3D");
        else if (user.ptr[i] == ',')
            buf_text(&scram->first_bare, "=2C");
        else
            buf_byte(&scram->first_bare, user.ptr[i]);
    }
    buf_text(&scram->first_bare, ",r=");
    buf_append(&scram->first_bare, nonce);
    buf_text(out, "n,,");
    buf_append(out, buf_slice(&scram->first_bare));
}

/* The attribute's value; false: the next one has another name. */
static bool attribute(struct slice *rest, char name, struct slice *value)
{
    struct slice piece;
    if (!rest->ptr || !slice_split(rest, ',', &piece) || piece.len < 2 || piece.ptr[0] != name || piece.ptr[1] != '=')
        return false;
    *value = slice_from(piece, 2);
    return true;
}

static void mac(const unsigned char key[HASH], struct slice text, unsigned char to[HASH])
{
    unsigned len = HASH;
    if (!HMAC(EVP_sha256(), key, HASH, (const unsigned char *)text.ptr, text.len, to, &len))
        memory_gone("OpenSSL");
}

/* Proof and expected signature from the salted password and everything said so far. */
static void sign(struct scram_client *scram, const unsigned char salted[HASH], struct slice said,
                 unsigned char proof[HASH])
{
    unsigned char client_key[HASH], stored_key[HASH], server_key[HASH], signature[HASH];
    mac(salted, SLICE("Client Key"), client_key);
    EVP_Digest(client_key, HASH, stored_key, NULL, EVP_sha256(), NULL);
    mac(stored_key, said, signature);
    for (int i = 0; i < HASH; i++)
        proof[i] = client_key[i] ^ signature[i];
    mac(salted, SLICE("Server Key"), server_key);
    mac(server_key, said, scram->server_signature);
    explicit_bzero(client_key, HASH);
    explicit_bzero(server_key, HASH);
}

bool scram_client_prove(struct scram_client *scram, struct slice nonce, struct slice password,
                        struct slice server_first, struct buf *out, struct fault *why)
{
    struct slice rest = server_first, both, salt_text, rounds_text;
    uint64_t rounds;
    SCOPED(buf) salt = BUF(1024);
    SCOPED(buf) said = BUF(4 * SCRAM_CLIENT_TEXT_MAX);
    if (server_first.len > SCRAM_CLIENT_TEXT_MAX || !attribute(&rest, 'r', &both) ||
        !attribute(&rest, 's', &salt_text) || !attribute(&rest, 'i', &rounds_text) || !slice_starts(both, nonce) ||
        both.len == nonce.len || !base64_decode(&salt, salt_text) || !salt.len || !slice_to_u64(rounds_text, &rounds) ||
        rounds < 1)
        return fault_set(why, FAULT_INPUT, "the server's SCRAM challenge makes no sense");
    if (rounds > SCRAM_CLIENT_ROUNDS_MOST)
        return fault_set(why, FAULT_INPUT, "the server wants %llu rounds of SCRAM, more than %d",
                         (unsigned long long)rounds, SCRAM_CLIENT_ROUNDS_MOST);
    unsigned char salted[HASH], proof[HASH];
    if (PKCS5_PBKDF2_HMAC(password.ptr, (int)password.len, (const unsigned char *)salt.ptr, (int)salt.len, (int)rounds,
                          EVP_sha256(), HASH, salted) != 1)
        memory_gone("OpenSSL");
    size_t from = out->len;
    buf_text(out, "c=biws,r=");
    buf_append(out, both);
    buf_append(&said, buf_slice(&scram->first_bare));
    buf_byte(&said, ',');
    buf_append(&said, server_first);
    buf_byte(&said, ',');
    buf_append(&said, slice_from(buf_slice(out), from));
    sign(scram, salted, buf_slice(&said), proof);
    buf_text(out, ",p=");
    base64_encode(out, slice_of(proof, HASH));
    explicit_bzero(salted, HASH);
    return true;
}

bool scram_client_check(const struct scram_client *scram, struct slice server_final, struct fault *why)
{
    struct slice rest = server_final, text;
    SCOPED(buf) signature = BUF(64);
    if (!attribute(&rest, 'v', &text) || !base64_decode(&signature, text) ||
        !slice_equal_constant_time(buf_slice(&signature), slice_of(scram->server_signature, HASH)))
        return fault_set(why, FAULT_INPUT, "the server does not prove that it knows the password");
    return true;
}
