/* tls.h - TLS contexts: who we are as a server, whom we trust as a client
 *
 * TLS 1.2 and 1.3 only. Contexts are made once and used by many streams (net/stream.h does the talking). A
 * tls_server may be shared by all threads once made; a tls_client belongs to one loop, because it keeps sessions for
 * resumption (one for each peer name, bounded); its roots may be shared. */
#ifndef TODOKE_NET_TLS_H
#define TODOKE_NET_TLS_H

#include "base/buf.h"
#include "base/fault.h"
#include "base/time.h"

struct ssl_st;

/* --- server --- */
struct tls_server;
/* Pairs of PEM files: the chain (our certificate first) and its key. A client that names a host (SNI) gets the first
 * pair that is for this name, everybody else the first. INPUT: which file, and what is wrong with it. */
struct tls_files {
    const char *chain, *key;
};
struct tls_server *tls_server_from_pairs(const struct tls_files *files, size_t count, struct fault *why);
/* From now on new sessions get what `fresh` has; those that are open, or in their handshake, go on with what they began
 * with. Takes `fresh`. From any thread. */
void tls_server_replace(struct tls_server *server, struct tls_server *fresh);
/* What a pair is: the name it is for, and when it ends (the first of its chain that does). */
struct tls_pair {
    char name[256];
    time_ms expires; /* wall clock */
};
/* False: there are no more. */
bool tls_server_pair(struct tls_server *server, size_t nth, struct tls_pair *pair);
/* A self-signed certificate for these names, made in memory (P-256, valid 10 years): the playground, first start. */
struct tls_server *tls_server_self_signed(const char *const *names, size_t count, struct fault *why);
void tls_server_free(struct tls_server *server);
/* Its certificate as PEM, so that a test can trust it. */
void tls_server_certificate(const struct tls_server *server, struct buf *pem);

/* --- client --- */
struct tls_roots; /* trusted certificates; immutable once shared */
struct tls_roots *tls_roots_none(void);
/* The system's; empty, not a fault, where the system has none. */
struct tls_roots *tls_roots_system(void);
NODISCARD bool tls_roots_add(struct tls_roots *roots, struct slice pem, struct fault *why);
void tls_roots_free(struct tls_roots *roots);
/* Another library's SSL_CTX trusts these from now on, and nobody else. */
void tls_roots_trust(const struct tls_roots *roots, void *ssl_context);

struct tls_client;
/* Takes its own reference to roots. */
struct tls_client *tls_client_new(struct tls_roots *roots);
void tls_client_free(struct tls_client *client);

enum tls_verify {
    TLS_VERIFY_NONE, /* opportunistic (R31): any certificate is taken; is_verified still says the truth */
    TLS_VERIFY_NAME, /* the chain leads to our roots and a subjectAltName is `name` (wildcard: one left label); not the
                        subject */
    TLS_VERIFY_DANE, /* RFC 7672: matches one of `tlsa`; usage 2 and 3 only, name and expiry ignored for 3 */
};

struct tlsa {
    uint8_t usage, selector, matching;
    struct slice data; /* as in the DNS record, binary */
};

/* Can this record be used for SMTP: usage 2 or 3, known selector and matching, data of the right form (RFC 7672 3.1)?
 */
bool tlsa_is_usable(const struct tlsa *tlsa);

/* What a client wants of one handshake. Copied as needed by stream_start_tls. */
struct tls_want {
    struct tls_client *client;
    const char *name; /* SNI, and the name to verify */
    enum tls_verify verify;
    const struct tlsa *tlsa;
    size_t tlsa_count;
    const char *dane_base; /* TLS_VERIFY_DANE: the TLSA base domain; NULL: name */
    const char *also_name; /* TLS_VERIFY_DANE: usage 2 may name this as well (the domain that the MX is of); NULL */
};

/* What was wrong with a handshake or its certificate. */
enum tls_fault {
    TLS_FAULT_NONE,
    TLS_FAULT_HANDSHAKE, /* no common version or cipher, nonsense, or gone in the middle */
    TLS_FAULT_NAME,      /* a certificate for somebody else */
    TLS_FAULT_EXPIRED,   /* or not valid yet */
    TLS_FAULT_UNTRUSTED, /* no chain to our roots */
    TLS_FAULT_DANE,      /* none of the TLSA records matches */
};

struct tls_info {
    const char *version; /* "TLSv1.3" */
    const char *cipher;  /* "TLS_AES_256_GCM_SHA384" */
    bool is_verified;    /* as tls_verify asked; with NONE: would have passed NAME */
    bool is_resumed;
    enum tls_fault fault; /* why not verified */
    char error[128];      /* why not verified, in words; "" when it is */
};

/* For stream_socket.c: a session of either side on a descriptor. WORLD: OpenSSL's reason. */
struct ssl_st *tls_server_session(struct tls_server *server, int fd, struct fault *why);
struct ssl_st *tls_client_session(const struct tls_want *want, int fd, struct fault *why);
void tls_session_free(struct ssl_st *ssl);
void tls_session_info(struct ssl_st *ssl, struct tls_info *info);
/* How OpenSSL's result of verifying (X509_V_...) counts. */
enum tls_fault tls_fault_of(long verify_result);
/* OpenSSL's queue of errors as one line; empties it. */
void tls_error_text(struct fault *why, const char *place);

#endif
