#include "base/map.h"
#include "base/memory.h"
#include "net/ip.h"
#include "net/tls_inside.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>

enum { SESSIONS_MOST = 4096 };

struct tls_roots {
    X509_STORE *store;
};

/* Sessions for resumption: by "verify/name", the newest for each; the oldest goes first when full. */
struct kept_session {
    char *key;
    SSL_SESSION *session;      /* NULL: a handshake with it came to nothing */
    struct kept_session *next; /* newer */
};
struct tls_client {
    SSL_CTX *ctx;
    struct map by_key;
    struct kept_session *oldest, *newest;
};

struct tls_roots *tls_roots_none(void)
{
    struct tls_roots *roots = NEW(struct tls_roots);
    roots->store = X509_STORE_new();
    if (!roots->store)
        memory_gone("OpenSSL");
    return roots;
}

struct tls_roots *tls_roots_system(void)
{
    struct tls_roots *roots = tls_roots_none();
    ERR_clear_error();
    X509_STORE_set_default_paths(roots->store);
    ERR_clear_error();
    return roots;
}

bool tls_roots_add(struct tls_roots *roots, struct slice pem, struct fault *why)
{
    BIO *memory = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    size_t count = 0;
    X509 *certificate;
    ERR_clear_error();
    while (memory && (certificate = PEM_read_bio_X509(memory, NULL, NULL, NULL))) {
        count += X509_STORE_add_cert(roots->store, certificate) == 1;
        X509_free(certificate);
    }
    BIO_free(memory);
    ERR_clear_error();
    return count > 0 || fault_set(why, FAULT_INPUT, "no certificate (PEM) found");
}

void tls_roots_free(struct tls_roots *roots)
{
    if (!roots)
        return;
    X509_STORE_free(roots->store);
    free(roots);
}

void tls_roots_trust(const struct tls_roots *roots, void *ssl_context)
{
    SSL_CTX_set1_cert_store(ssl_context, roots->store);
}

static void forget_oldest(struct tls_client *client)
{
    struct kept_session *kept = client->oldest;
    client->oldest = kept->next;
    if (!client->oldest)
        client->newest = NULL;
    map_remove(&client->by_key, slice_str(kept->key));
    SSL_SESSION_free(kept->session);
    free(kept->key);
    free(kept);
}

static int on_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls_peer *peer = SSL_get_app_data(ssl);
    if (!peer || !peer->key)
        return 0;
    struct tls_client *client = peer->client;
    struct kept_session *kept = map_get(&client->by_key, slice_str(peer->key));
    if (kept) {
        SSL_SESSION_free(kept->session);
        kept->session = session;
        return 1;
    }
    if (client->by_key.count >= SESSIONS_MOST)
        forget_oldest(client);
    kept = NEW(struct kept_session);
    kept->key = slice_dup(slice_str(peer->key));
    kept->session = session;
    map_set(&client->by_key, slice_str(kept->key), kept);
    if (client->newest)
        client->newest->next = kept;
    else
        client->oldest = kept;
    client->newest = kept;
    return 1; /* the reference is ours */
}

struct tls_client *tls_client_new(struct tls_roots *roots)
{
    struct tls_client *client = NEW(struct tls_client);
    client->ctx = SSL_CTX_new(TLS_client_method());
    if (!client->ctx || SSL_CTX_dane_enable(client->ctx) != 1)
        memory_gone("OpenSSL");
    tls_context_setup(client->ctx);
    SSL_CTX_set1_cert_store(client->ctx, roots->store);
    SSL_CTX_set_session_cache_mode(client->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(client->ctx, on_session);
    return client;
}

void tls_client_free(struct tls_client *client)
{
    if (!client)
        return;
    while (client->oldest)
        forget_oldest(client);
    map_release(&client->by_key);
    SSL_CTX_free(client->ctx);
    free(client);
}

bool tlsa_is_usable(const struct tlsa *tlsa)
{
    static const size_t lengths[] = {0, 32, 64};
    if ((tlsa->usage != 2 && tlsa->usage != 3) || tlsa->selector > 1 || tlsa->matching > 2 || tlsa->data.len == 0)
        return false;
    if (tlsa->matching)
        return tlsa->data.len == lengths[tlsa->matching];
    const unsigned char *der = (const unsigned char *)tlsa->data.ptr;
    X509 *certificate = tlsa->selector ? NULL : d2i_X509(NULL, &der, (long)tlsa->data.len);
    EVP_PKEY *key = tlsa->selector ? d2i_PUBKEY(NULL, &der, (long)tlsa->data.len) : NULL;
    bool is_usable = (certificate || key) && der == (const unsigned char *)tlsa->data.ptr + tlsa->data.len;
    X509_free(certificate);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return is_usable;
}

static bool set_dane(SSL *ssl, const struct tls_want *want, struct fault *why)
{
    size_t usable = 0;
    if (SSL_dane_enable(ssl, want->dane_base ? want->dane_base : want->name) <= 0)
        return fault_set(why, FAULT_WORLD, "%s: cannot use DANE", want->name);
    SSL_dane_set_flags(ssl, DANE_FLAG_NO_DANE_EE_NAMECHECKS);
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (want->also_name && SSL_add1_host(ssl, want->also_name) != 1)
        return fault_set(why, FAULT_INPUT, "\"%.100s\" cannot be a TLS server name", want->also_name);
    for (size_t i = 0; i < want->tlsa_count; i++) {
        const struct tlsa *tlsa = &want->tlsa[i];
        if (!tlsa_is_usable(tlsa))
            continue; /* RFC 7672 3.1.3: PKIX usages mean nothing for SMTP */
        usable += SSL_dane_tlsa_add(ssl, tlsa->usage, tlsa->selector, tlsa->matching,
                                    (const unsigned char *)tlsa->data.ptr, tlsa->data.len) > 0;
    }
    ERR_clear_error();
    return usable > 0 || fault_set(why, FAULT_WORLD, "%s: no usable TLSA record", want->name);
}

static bool set_name(SSL *ssl, const struct tls_want *want, struct fault *why)
{
    struct ip ip;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    if (ip_parse(slice_str(want->name), &ip))
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), want->name) == 1 ||
               fault_set(why, FAULT_WORLD, "%s: cannot be verified", want->name);
    /* SSL_set_tlsext_host_name, without the cast in its macro that drops const */
    long is_named =
        SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, (void *)(uintptr_t)want->name);
    if (is_named != 1 || SSL_set1_host(ssl, want->name) != 1)
        return fault_set(why, FAULT_INPUT, "\"%.100s\" cannot be a TLS server name", want->name);
    return true;
}

/* Opportunistic sessions take what the peer can do: weak encryption is still better than none (R31). */
static bool set_verify(SSL *ssl, const struct tls_want *want, struct fault *why)
{
    switch (want->verify) {
    case TLS_VERIFY_NONE:
        SSL_set_verify(ssl, SSL_VERIFY_NONE, NULL);
        SSL_set_security_level(ssl, 0);
        return set_name(ssl, want, why);
    case TLS_VERIFY_NAME: SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL); return set_name(ssl, want, why);
    case TLS_VERIFY_DANE:
        SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
        return set_dane(ssl, want, why); /* sets SNI and names too */
    }
    return false;
}

void tls_session_failed(struct ssl_st *ssl)
{
    struct tls_peer *peer = SSL_get_app_data(ssl);
    if (!peer || !peer->has_offered)
        return;
    struct kept_session *kept = map_get(&peer->client->by_key, slice_str(peer->key));
    if (!kept)
        return;
    SSL_SESSION_free(kept->session);
    kept->session = NULL;
}

struct ssl_st *tls_client_session(const struct tls_want *want, int fd, struct fault *why)
{
    ERR_clear_error();
    SSL *ssl = SSL_new(want->client->ctx);
    if (!ssl || SSL_set_fd(ssl, fd) != 1) {
        tls_error_text(why, "TLS");
        SSL_free(ssl);
        return NULL;
    }
    SSL_set_connect_state(ssl);
    struct tls_peer *peer = NEW(struct tls_peer);
    peer->client = want->client;
    peer->verify = want->verify;
    if (SSL_set_app_data(ssl, peer) != 1)
        memory_gone("OpenSSL");
    if (!set_verify(ssl, want, why)) {
        tls_session_free(ssl);
        return NULL;
    }
    if (want->verify != TLS_VERIFY_DANE) {
        SCOPED(buf) key = BUF(512);
        buf_printf(&key, "%d/%.300s", want->verify, want->name);
        peer->key = slice_dup(buf_slice(&key));
        struct kept_session *kept = map_get(&want->client->by_key, buf_slice(&key));
        if (kept && kept->session && SSL_SESSION_is_resumable(kept->session))
            peer->has_offered = SSL_set_session(ssl, kept->session) == 1;
    }
    return ssl;
}
