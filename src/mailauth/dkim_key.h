/* dkim_key.h - private keys that sign: made, read, written, and told to the DNS (RFC 6376 3.6.1, 8301, 8463)
 *
 * A key is immutable once made and may be shared by threads; signers (dkim_sign.h) make their own copy. */
#ifndef TODOKE_MAILAUTH_DKIM_KEY_H
#define TODOKE_MAILAUTH_DKIM_KEY_H

#include "base/buf.h"
#include "base/fault.h"

enum dkim_algorithm { DKIM_RSA_SHA256, DKIM_ED25519_SHA256 };

struct dkim_key;

/* RSA of 2048 bits, or Ed25519. */
struct dkim_key *dkim_key_generate(enum dkim_algorithm algorithm);
/* From PEM (PKCS#8, or PKCS#1 for RSA). INPUT: no key, another kind, RSA under 1024 bits (RFC 8301 3.2). */
NODISCARD bool dkim_key_read(struct slice pem, struct dkim_key **key, struct fault *why);
void dkim_key_free(struct dkim_key *key);

/* PKCS#8 PEM. A secret: seal it, or a file of mode 0600. */
void dkim_key_write(const struct dkim_key *key, struct buf *pem);
/* The TXT record's text: "v=DKIM1; k=rsa; p=...". One string; split into pieces of 255 for a zone file by
 * dkim_record_zone. */
void dkim_key_record(const struct dkim_key *key, struct buf *text);
/* `selector._domainkey.domain. IN TXT ( "..." "..." )` */
void dkim_record_zone(struct buf *out, struct slice selector, struct slice domain, struct slice text);

#endif
