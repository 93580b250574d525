/* dkim_sign.h - sign a mail in wire form (RFC 6376, 8301, 8463; M31-M33)
 *
 * relaxed/relaxed, never l=. Signed: From, To, Cc, Subject, Date, Message-ID, Reply-To, In-Reply-To, References,
 * MIME-Version, Content-Type, Content-Transfer-Encoding, every List-*, Feedback-ID; From, Subject, Date, To, Reply-To
 * and Content-Type once more than they occur (oversigned), so that none can be added later. t= is the given time.
 * Deterministic: the same mail, time and key give the same bytes (RSA PKCS#1 v1.5 and Ed25519 both are). */
#ifndef TODOKE_MAILAUTH_DKIM_SIGN_H
#define TODOKE_MAILAUTH_DKIM_SIGN_H

#include "mailauth/dkim_key.h"

enum {
    DKIM_SIGNATURES_MAX = 4,
    DKIM_HEADER_ROOM = 2048 /* octets of one signature field over a mail whose fields occur once */
};

struct dkim_identity {
    struct slice domain;   /* d=, at most 253 */
    struct slice selector; /* s=, at most 63 */
    const struct dkim_key *key;
};

/* A signer belongs to one thread: it holds its own copies of the keys and its OpenSSL contexts. It copies the names. */
struct dkim_signer;
/* INPUT: a domain or selector that is none. */
NODISCARD bool dkim_names_check(struct slice domain, struct slice selector, struct fault *why);
/* INPUT: more than DKIM_SIGNATURES_MAX, a domain or selector that is none. */
NODISCARD bool dkim_signer_new(const struct dkim_identity *identities, size_t count, struct dkim_signer **signer,
                               struct fault *why);
void dkim_signer_free(struct dkim_signer *signer);
size_t dkim_signer_count(const struct dkim_signer *signer);

/* Append one "DKIM-Signature: ...\r\n" for each identity to `fields`; they go in front of `mail`, which is whole:
 * header fields, empty line, body, CRLF line ends. The body is hashed once. INPUT: a header block that is none, no
 * From. */
NODISCARD bool dkim_sign(struct dkim_signer *signer, struct slice mail, int64_t now_seconds, struct buf *fields,
                         struct fault *why);

#endif
