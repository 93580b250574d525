/* dkim_verify.h - verify the signatures of a mail (RFC 6376, 8301, 8463; M34)
 *
 * Two steps, so that the first can run in the jail and the second needs no mail: dkim_claims_read parses the signature
 * fields and computes the digests (struct dkim_claim is plain data of fixed size); dkim_verify asks for the key records
 * and checks. At most DKIM_CLAIMS_MAX signatures are looked at, from the top; the rest is ignored. Linear in the mail's
 * size for each distinct pair of body canonicalisation and l=. */
#ifndef TODOKE_MAILAUTH_DKIM_VERIFY_H
#define TODOKE_MAILAUTH_DKIM_VERIFY_H

#include "mailauth/dkim_key.h"
#include "mailauth/lookup.h"

enum { DKIM_CLAIMS_MAX = 8, DKIM_NAME_MAX = 253, DKIM_SIGNATURE_OCTETS_MAX = 1024, DKIM_REASON_MAX = 96 };

/* RFC 8601 2.7.1 */
enum dkim_result { DKIM_NONE, DKIM_PASS, DKIM_FAIL, DKIM_POLICY, DKIM_NEUTRAL, DKIM_TEMPERROR, DKIM_PERMERROR };
struct slice dkim_result_word(enum dkim_result result);

struct dkim_claim {
    char domain[DKIM_NAME_MAX + 1];       /* d=, lower-case */
    char selector[DKIM_NAME_MAX + 1];     /* s= */
    char agent_domain[DKIM_NAME_MAX + 1]; /* the domain of i=, or d= */
    char header_b[9];                     /* the first 8 characters of b= (RFC 8601 header.b) */
    enum dkim_algorithm algorithm;
    unsigned char digest[32]; /* SHA-256 of the canonical header fields */
    unsigned char signature[DKIM_SIGNATURE_OCTETS_MAX];
    size_t signature_len;
    bool has_body_length;  /* l= was given: the body may go on unsigned */
    int64_t time, expires; /* t=, x=; 0: not given */
    /* NONE while it depends on the key; else settled without one: PERMERROR for what cannot be read and for rsa-sha1
     * (RFC 8301 3.1), FAIL for a wrong body hash or an expired signature */
    enum dkim_result settled;
    char reason[DKIM_REASON_MAX];
};

struct dkim_claims {
    struct dkim_claim claim[DKIM_CLAIMS_MAX];
    size_t count;
};
/* `mail` with any line ends (a bare LF counts as CRLF). No signature: count 0. */
void dkim_claims_read(struct slice mail, int64_t now_seconds, struct dkim_claims *claims);

struct dkim_outcome {
    enum dkim_result result;
    bool is_testing;   /* t=y in the key record */
    unsigned key_bits; /* RSA modulus; 256 for Ed25519; 0 unknown */
    char reason[DKIM_REASON_MAX];
};
/* False: open questions are in the lookup; answer and call again. outcomes[i] belongs to claims->claim[i]. */
NODISCARD bool dkim_verify(struct lookup *lookup, const struct dkim_claims *claims, struct dkim_outcome *outcomes);
/* The best there is: pass, temperror, fail, policy, neutral, permerror; NONE without signatures. */
enum dkim_result dkim_best(const struct dkim_outcome *outcomes, size_t count);

#endif
