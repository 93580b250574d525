#include "base/memory.h"
#include "net/ip.h"
#include "net/tls_inside.h"

#include <assert.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

/* The first pair's context, which owns the others (OTHERS): whoever still shakes hands on it keeps them all alive. The
 * lock is because new sessions are made on every listener's thread while another replaces the context. */
struct tls_server {
    pthread_mutex_t lock;
    SSL_CTX *ctx;
};

struct others {
    size_t count;
    SSL_CTX *of[];
};

static void others_free(void *parent, void *ptr, CRYPTO_EX_DATA *data, int index, long argl, void *argp)
{
    struct others *others = ptr;
    for (size_t i = 0; others && i < others->count; i++)
        SSL_CTX_free(others->of[i]);
    free(others);
}

/* OpenSSL's number for what we hang on a context: given out once, the same for ever. */
static int others_index(void)
{
    static int index = -1;
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&lock);
    if (index < 0 && (index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, others_free)) < 0)
        memory_gone("OpenSSL");
    pthread_mutex_unlock(&lock);
    return index;
}

static bool is_for(SSL_CTX *ctx, const char *name)
{
    X509 *certificate = SSL_CTX_get0_certificate(ctx);
    return X509_check_host(certificate, name, 0, 0, NULL) == 1;
}

/* The client's wish (SNI, RFC 6066 3). */
static int on_name(SSL *ssl, int *alert, void *arg)
{
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    SSL_CTX *first = SSL_get_SSL_CTX(ssl);
    const struct others *others = SSL_CTX_get_ex_data(first, others_index());
    if (!name || !others || is_for(first, name))
        return SSL_TLSEXT_ERR_OK;
    for (size_t i = 0; i < others->count; i++) {
        if (is_for(others->of[i], name)) {
            SSL_set_SSL_CTX(ssl, others->of[i]);
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_NOACK;
}

static SSL_CTX *context_new(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (!ctx)
        memory_gone("OpenSSL");
    tls_context_setup(ctx);
    /* Resumption by tickets alone: nothing kept for strangers. */
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ctx, 1);
    SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    return ctx;
}

static struct tls_server *server_new(SSL_CTX *ctx)
{
    struct tls_server *server = NEW(struct tls_server);
    pthread_mutex_init(&server->lock, NULL);
    server->ctx = ctx;
    return server;
}

void tls_server_free(struct tls_server *server)
{
    if (!server)
        return;
    SSL_CTX_free(server->ctx);
    pthread_mutex_destroy(&server->lock);
    free(server);
}

static SSL_CTX *context_from_files(const struct tls_files *files, struct fault *why)
{
    SSL_CTX *ctx = context_new();
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(ctx, files->chain) != 1) {
        tls_error_text(why, files->chain);
    } else if (SSL_CTX_use_PrivateKey_file(ctx, files->key, SSL_FILETYPE_PEM) == 1 &&
               SSL_CTX_check_private_key(ctx) == 1) {
        return ctx;
    } else if (ERR_GET_LIB(ERR_peek_error()) == ERR_LIB_X509) {
        fault_set(why, FAULT_INPUT, "%s: not the key of the certificate in %s", files->key, files->chain);
    } else {
        tls_error_text(why, files->key);
    }
    why->kind = FAULT_INPUT;
    ERR_clear_error();
    SSL_CTX_free(ctx);
    return NULL;
}

struct tls_server *tls_server_from_pairs(const struct tls_files *files, size_t count, struct fault *why)
{
    assert(count > 0);
    SSL_CTX *first = context_from_files(&files[0], why);
    if (!first)
        return NULL;
    struct tls_server *server = server_new(first);
    if (count == 1)
        return server;
    struct others *others = calloc(1, sizeof(*others) + (count - 1) * sizeof(others->of[0]));
    if (!others || SSL_CTX_set_ex_data(first, others_index(), others) != 1)
        memory_gone("OpenSSL");
    SSL_CTX_set_tlsext_servername_callback(first, on_name);
    for (size_t i = 1; i < count; i++) {
        SSL_CTX *other = context_from_files(&files[i], why);
        if (!other) {
            tls_server_free(server);
            return NULL;
        }
        others->of[others->count++] = other;
    }
    return server;
}

void tls_server_replace(struct tls_server *server, struct tls_server *fresh)
{
    pthread_mutex_lock(&server->lock);
    SSL_CTX *old = server->ctx;
    server->ctx = fresh->ctx;
    pthread_mutex_unlock(&server->lock);
    fresh->ctx = old;
    tls_server_free(fresh);
}

/* ── what they are ── */

static time_ms ends_at(const X509 *certificate)
{
    struct tm tm = {0};
    return ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &tm) == 1 ? (time_ms)timegm(&tm) * 1000 : 0;
}

static void name_of(X509 *certificate, char *name, size_t room)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    name[0] = 0;
    for (int i = 0; !name[0] && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *one = sk_GENERAL_NAME_value(names, i);
        if (one->type == GEN_DNS)
            snprintf(name, room, "%.*s", ASN1_STRING_length(one->d.dNSName),
                     (const char *)ASN1_STRING_get0_data(one->d.dNSName));
    }
    sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
    if (!name[0] && X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name, (int)room) < 0)
        snprintf(name, room, "a certificate without a name");
}

bool tls_server_pair(struct tls_server *server, size_t nth, struct tls_pair *pair)
{
    pthread_mutex_lock(&server->lock);
    SSL_CTX *ctx = server->ctx;
    const struct others *others = SSL_CTX_get_ex_data(ctx, others_index());
    bool is_there = nth <= (others ? others->count : 0);
    if (is_there) {
        ctx = nth ? others->of[nth - 1] : ctx;
        X509 *certificate = SSL_CTX_get0_certificate(ctx);
        STACK_OF(X509) *chain = NULL;
        name_of(certificate, pair->name, sizeof(pair->name));
        pair->expires = ends_at(certificate);
        SSL_CTX_get0_chain_certs(ctx, &chain);
        for (int i = 0; i < sk_X509_num(chain); i++) {
            time_ms end = ends_at(sk_X509_value(chain, i));
            pair->expires = end < pair->expires ? end : pair->expires;
        }
    }
    pthread_mutex_unlock(&server->lock);
    return is_there;
}

/* ── of our own making ── */

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
    struct tls_server *server = server_new(context_new());
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
    pthread_mutex_lock(&server->lock);
    SSL *ssl = SSL_new(server->ctx);
    pthread_mutex_unlock(&server->lock);
    if (ssl && SSL_set_fd(ssl, fd) == 1) {
        SSL_set_accept_state(ssl);
        return ssl;
    }
    tls_error_text(why, "TLS");
    SSL_free(ssl);
    return NULL;
}
