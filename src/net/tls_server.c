#include "net/ip.h"
#include "net/tls_inside.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>

struct tls_server {
    SSL_CTX *ctx;
};

static struct tls_server *server_new(void)
{
    struct tls_server *server = NEW(struct tls_server);
    server->ctx = SSL_CTX_new(TLS_server_method());
    if (!server->ctx)
        abort(); /* out of memory */
    tls_context_setup(server->ctx);
    /* Resumption by tickets alone: nothing kept for strangers. */
    SSL_CTX_set_session_cache_mode(server->ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(server->ctx, 1);
    SSL_CTX_set_options(server->ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    return server;
}

void tls_server_free(struct tls_server *server)
{
    if (!server)
        return;
    SSL_CTX_free(server->ctx);
    free(server);
}

struct tls_server *tls_server_from_files(const char *chain_path, const char *key_path, struct fault *why)
{
    struct tls_server *server = server_new();
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(server->ctx, chain_path) != 1)
        tls_error_text(why, chain_path);
    else if (SSL_CTX_use_PrivateKey_file(server->ctx, key_path, SSL_FILETYPE_PEM) != 1)
        tls_error_text(why, key_path);
    else if (SSL_CTX_check_private_key(server->ctx) != 1)
        fault_set(why, FAULT_INPUT, "%s: not the key of the certificate in %s", key_path, chain_path);
    else
        return server;
    why->kind = FAULT_INPUT;
    ERR_clear_error();
    tls_server_free(server);
    return NULL;
}

static bool add_names(X509 *certificate, const char *const *names, size_t count)
{
    STACK_OF(GENERAL_NAME) *list = sk_GENERAL_NAME_new_null();
    bool ok = list != NULL;
    for (size_t i = 0; ok && i < count; i++) {
        struct ip ip;
        bool is_ip = ip_parse(slice_str(names[i]), &ip);
        GENERAL_NAME *name = a2i_GENERAL_NAME(NULL, NULL, NULL, is_ip ? GEN_IPADD : GEN_DNS, names[i], 0);
        ok = name && sk_GENERAL_NAME_push(list, name) > 0;
    }
    ok = ok && X509_add1_ext_i2d(certificate, NID_subject_alt_name, list, 0, X509V3_ADD_DEFAULT) == 1;
    sk_GENERAL_NAME_pop_free(list, GENERAL_NAME_free);
    return ok;
}

/* Its own authority, so that trusting it as a root verifies it. */
static X509 *certificate_new(EVP_PKEY *key, const char *const *names, size_t count)
{
    X509 *certificate = X509_new();
    X509_NAME *subject = X509_NAME_new();
    ASN1_INTEGER *serial = ASN1_INTEGER_new();
    BIGNUM *number = BN_new();
    enum { YEARS_10 = 3650 * 86400L, DAY = 86400L };
    bool ok = certificate && subject && serial && number && BN_rand(number, 127, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) &&
              BN_to_ASN1_INTEGER(number, serial) && X509_set_version(certificate, X509_VERSION_3) &&
              X509_set_serialNumber(certificate, serial) && X509_gmtime_adj(X509_getm_notBefore(certificate), -DAY) &&
              X509_gmtime_adj(X509_getm_notAfter(certificate), YEARS_10) &&
              X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)names[0], -1, -1, 0) &&
              X509_set_subject_name(certificate, subject) && X509_set_issuer_name(certificate, subject) &&
              X509_set_pubkey(certificate, key) && add_names(certificate, names, count) &&
              X509_sign(certificate, key, EVP_sha256()) > 0;
    BN_free(number);
    ASN1_INTEGER_free(serial);
    X509_NAME_free(subject);
    if (ok)
        return certificate;
    X509_free(certificate);
    return NULL;
}

struct tls_server *tls_server_self_signed(const char *const *names, size_t count, struct fault *why)
{
    struct tls_server *server = server_new();
    ERR_clear_error();
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = key && count ? certificate_new(key, names, count) : NULL;
    bool ok = certificate && SSL_CTX_use_certificate(server->ctx, certificate) == 1 &&
              SSL_CTX_use_PrivateKey(server->ctx, key) == 1;
    X509_free(certificate);
    EVP_PKEY_free(key);
    if (ok)
        return server;
    tls_error_text(why, "cannot make a self-signed certificate");
    tls_server_free(server);
    return NULL;
}

void tls_server_certificate(const struct tls_server *server, struct buf *pem)
{
    BIO *memory = BIO_new(BIO_s_mem());
    char *bytes;
    if (memory && PEM_write_bio_X509(memory, SSL_CTX_get0_certificate(server->ctx)) == 1) {
        long len = BIO_get_mem_data(memory, &bytes);
        buf_append(pem, slice_of(bytes, (size_t)len));
    }
    BIO_free(memory);
}

struct ssl_st *tls_server_session(struct tls_server *server, int fd, struct fault *why)
{
    ERR_clear_error();
    SSL *ssl = SSL_new(server->ctx);
    if (ssl && SSL_set_fd(ssl, fd) == 1) {
        SSL_set_accept_state(ssl);
        return ssl;
    }
    tls_error_text(why, "TLS");
    SSL_free(ssl);
    return NULL;
}
