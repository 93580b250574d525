/* tls_inside.h - what server and client contexts share */
#ifndef TODOKE_NET_TLS_INSIDE_H
#define TODOKE_NET_TLS_INSIDE_H

#include "net/tls.h"
#include <openssl/ssl.h>

/* What both sides want of every context: versions, memory-light sessions, no renegotiation. */
void tls_context_setup(SSL_CTX *ctx);

/* What a client session remembers, as its app data. */
struct tls_peer {
    struct tls_client *client;
    char *key; /* in the session cache; NULL: do not resume (DANE) */
    enum tls_verify verify;
    bool has_offered; /* a session to be resumed */
};

/* The handshake came to nothing, perhaps because of the session that was offered: the next one is a whole one. */
void tls_session_failed(SSL *ssl);

#endif
