#include "net/tls_inside.h"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <stdio.h>

void tls_context_setup(SSL_CTX *ctx)
{
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    /* Idle sessions give their 17 KB of buffers back; a partly written queue may grow and move before the next try. */
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_AUTO_RETRY);
    /* A peer that just closes has ended: SMTP and HTTP know by themselves whether what came was whole. */
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_read_ahead(ctx, 1); /* one read(2) for a record, not two */
}

void tls_session_free(struct ssl_st *ssl)
{
    if (!ssl)
        return;
    struct tls_peer *peer = SSL_get_app_data(ssl);
    if (peer)
        free(peer->key);
    free(peer);
    SSL_free(ssl);
}

enum tls_fault tls_fault_of(long verify_result)
{
    switch (verify_result) {
    case X509_V_OK: return TLS_FAULT_NONE;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH: return TLS_FAULT_NAME;
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID: return TLS_FAULT_EXPIRED;
    case X509_V_ERR_DANE_NO_MATCH: return TLS_FAULT_DANE;
    default: return TLS_FAULT_UNTRUSTED;
    }
}

void tls_session_info(struct ssl_st *ssl, struct tls_info *info)
{
    const struct tls_peer *peer = SSL_get_app_data(ssl);
    *info = (struct tls_info){.version = SSL_get_version(ssl),
                              .cipher = SSL_get_cipher_name(ssl),
                              .is_resumed = SSL_session_reused(ssl) != 0};
    if (!peer)
        return; /* servers do not ask for certificates */
    long result = SSL_get_verify_result(ssl);
    info->is_verified = result == X509_V_OK && SSL_get0_peer_certificate(ssl);
    info->fault = tls_fault_of(result);
    if (!info->is_verified)
        snprintf(info->error, sizeof(info->error), "%s", X509_verify_cert_error_string(result));
}

void tls_error_text(struct fault *why, const char *place)
{
    unsigned long code = ERR_peek_error(); /* the first says what happened, later ones who else noticed */
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    if (code && ERR_SYSTEM_ERROR(code))
        reason = strerrordesc_np(ERR_GET_REASON(code));
    fault_set(why, FAULT_WORLD, "%s: %s", place, reason ? reason : "TLS failed without saying why");
    ERR_clear_error();
}
