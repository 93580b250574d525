#include "mailauth/dkim_key_private.h"

#include "base/base64.h"
#include <assert.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

enum { RSA_BITS = 2048, RSA_BITS_MIN = 1024, PEM_MAX = 64 * 1024 };

static struct dkim_key *key_of(EVP_PKEY *pkey, enum dkim_algorithm algorithm)
{
    struct dkim_key *key = NEW(struct dkim_key);
    key->pkey = pkey;
    key->algorithm = algorithm;
    return key;
}

struct dkim_key *dkim_key_generate(enum dkim_algorithm algorithm)
{
    EVP_PKEY *pkey = algorithm == DKIM_ED25519_SHA256 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")
                                                      : EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)RSA_BITS);
    assert(pkey && "OpenSSL can make keys");
    return key_of(pkey, algorithm);
}

bool dkim_key_read(struct slice pem, struct dkim_key **key, struct fault *why)
{
    if (!pem.len || pem.len > PEM_MAX)
        return fault_set(why, FAULT_INPUT, "not a private key in PEM");
    BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    static char no_password[] = "";
    EVP_PKEY *pkey = PEM_read_bio_PrivateKey(bio, NULL, NULL, no_password); /* never asks a terminal */
    BIO_free(bio);
    ERR_clear_error();
    if (!pkey)
        return fault_set(why, FAULT_INPUT, "not a private key in PEM");
    int bits = EVP_PKEY_get_bits(pkey);
    if (EVP_PKEY_is_a(pkey, "ED25519")) {
        *key = key_of(pkey, DKIM_ED25519_SHA256);
        return true;
    }
    if (EVP_PKEY_is_a(pkey, "RSA") && bits >= RSA_BITS_MIN) {
        *key = key_of(pkey, DKIM_RSA_SHA256);
        return true;
    }
    bool is_rsa = EVP_PKEY_is_a(pkey, "RSA");
    EVP_PKEY_free(pkey);
    return is_rsa ? fault_set(why, FAULT_INPUT, "an RSA key of %d bits is too short: 1024 at least, 2048 advised", bits)
                  : fault_set(why, FAULT_INPUT, "DKIM keys are RSA or Ed25519");
}

void dkim_key_free(struct dkim_key *key)
{
    if (!key)
        return;
    EVP_PKEY_free(key->pkey);
    free(key);
}

void dkim_key_write(const struct dkim_key *key, struct buf *pem)
{
    BIO *bio = BIO_new(BIO_s_secmem());
    bool is_written = PEM_write_bio_PKCS8PrivateKey(bio, key->pkey, NULL, NULL, 0, NULL, NULL);
    assert(is_written && "OpenSSL can write keys");
    char *bytes;
    long len = BIO_get_mem_data(bio, &bytes);
    buf_append(pem, slice_of(bytes, (size_t)len));
    BIO_free(bio);
}

void dkim_key_record(const struct dkim_key *key, struct buf *text)
{
    if (key->algorithm == DKIM_ED25519_SHA256) { /* the 32 octets alone (RFC 8463 4) */
        unsigned char public[32];
        size_t len = sizeof(public);
        bool is_read = EVP_PKEY_get_raw_public_key(key->pkey, public, &len);
        assert(is_read && len == sizeof(public));
        buf_text(text, "v=DKIM1; k=ed25519; p=");
        base64_encode(text, slice_of(public, len));
        return;
    }
    unsigned char *der = NULL; /* SubjectPublicKeyInfo, as everybody publishes it */
    int len = i2d_PUBKEY(key->pkey, &der);
    assert(len > 0);
    buf_text(text, "v=DKIM1; k=rsa; p=");
    base64_encode(text, slice_of(der, (size_t)len));
    OPENSSL_free(der);
}

void dkim_record_zone(struct buf *out, struct slice selector, struct slice domain, struct slice text)
{
    enum { PIECE = 255 };
    buf_append(out, selector);
    buf_text(out, "._domainkey.");
    buf_append(out, domain);
    buf_text(out, ". IN TXT (");
    for (; text.len; text = slice_from(text, PIECE)) {
        buf_text(out, " \"");
        buf_append(out, slice_head(text, PIECE));
        buf_byte(out, '"');
    }
    buf_text(out, " )\n");
}
