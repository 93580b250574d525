/* scram_client.h - the client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677): prove a password without sending it
 *
 *     scram_client_begin -> "n,,n=user,r=nonce"     server: "r=...,s=salt,i=4096"
 *     scram_client_prove -> "c=biws,r=...,p=..."    server: "v=signature"
 *     scram_client_check: the server knows the password too
 *
 * Plain texts, without base64. No channel binding: SMTP's TLS is verified by name. Names and passwords are used as they
 * are written (UTF-8; no SASLprep). */
#ifndef TODOKE_SMTP_SCRAM_CLIENT_H
#define TODOKE_SMTP_SCRAM_CLIENT_H

#include "base/buf.h"
#include "base/fault.h"

enum {
    SCRAM_CLIENT_ROUNDS_MOST = 100000 /* of PBKDF2: more would stop the loop for too long */,
    SCRAM_CLIENT_TEXT_MAX = 2048
};

struct scram_client {
    struct buf first_bare; /* "n=user,r=nonce" */
    unsigned char server_signature[32];
};
void scram_client_release(struct scram_client *scram);
/* The client's first message, appended. `nonce`: printable, no comma. */
void scram_client_begin(struct scram_client *scram, struct slice user, struct slice nonce, struct buf *out);
/* The client's final message, appended. INPUT: the server's first message makes no sense. */
NODISCARD bool scram_client_prove(struct scram_client *scram, struct slice nonce, struct slice password,
                                  struct slice server_first, struct buf *out, struct fault *why);
/* INPUT: the server's final message is an error, or it does not know the password. */
NODISCARD bool scram_client_check(const struct scram_client *scram, struct slice server_final, struct fault *why);

#endif
