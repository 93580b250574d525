#include "mailauth/dkim_sign.h"

#include "base/base64.h"
#include "mailauth/canonical.h"
#include "mailauth/dkim_key_private.h"
#include <assert.h>
#include <openssl/core_names.h>
#include <openssl/rsa.h>

enum { NAMES = 25, REPEATS_MAX = 8, SIGNATURE_MAX = 1024 /* RSA-8192 */, CANONICAL_MAX = 1 << 20 };

/* What we sign, in the order of h= (M32). */
static const struct signed_name {
    struct slice name;
    bool is_oversigned;
} signed_names[] = {
    {SLICE_INIT("From"), true},
    {SLICE_INIT("Subject"), true},
    {SLICE_INIT("Date"), true},
    {SLICE_INIT("To"), true},
    {SLICE_INIT("Reply-To"), true},
    {SLICE_INIT("Content-Type"), true},
    {SLICE_INIT("Cc"), false},
    {SLICE_INIT("Sender"), false},
    {SLICE_INIT("Message-ID"), false},
    {SLICE_INIT("In-Reply-To"), false},
    {SLICE_INIT("References"), false},
    {SLICE_INIT("MIME-Version"), false},
    {SLICE_INIT("Content-Transfer-Encoding"), false},
    {SLICE_INIT("List-Unsubscribe"), false},
    {SLICE_INIT("List-Unsubscribe-Post"), false},
    {SLICE_INIT("List-Id"), false},
    {SLICE_INIT("List-Help"), false},
    {SLICE_INIT("List-Owner"), false},
    {SLICE_INIT("List-Subscribe"), false},
    {SLICE_INIT("List-Post"), false},
    {SLICE_INIT("List-Archive"), false},
    {SLICE_INIT("Feedback-ID"), false},
    {SLICE_INIT("CFBL-Address"), false},
    {SLICE_INIT("Auto-Submitted"), false},
    {SLICE_INIT("TLS-Required"), false}, /* RFC 8689: nobody on the way takes the wish away unseen */
};
_Static_assert(COUNT_OF(signed_names) == NAMES, "one counter for each name");

struct signing_identity {
    char *domain, *selector;
    EVP_PKEY *pkey;
    EVP_PKEY_CTX *rsa; /* set up once; NULL for Ed25519 */
    enum dkim_algorithm algorithm;
};

struct dkim_signer {
    struct signing_identity identity[DKIM_SIGNATURES_MAX];
    size_t count;
    EVP_MD *sha256;
    EVP_MD_CTX *digest, *ed25519;
    struct buf names, headers, field; /* h=, canonical fields, the signature field without its signature */
};

static bool is_domain_text(struct slice s, size_t longest)
{
    if (!s.len || s.len > longest || s.ptr[0] == '.' || s.ptr[s.len - 1] == '.')
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!ascii_is_alnum(s.ptr[i]) && !memchr("-_.", s.ptr[i], 3))
            return false;
    return slice_find(s, SLICE("..")) == SLICE_NPOS;
}

bool dkim_names_check(struct slice domain, struct slice selector, struct fault *why)
{
    return (is_domain_text(domain, 253) && is_domain_text(selector, 63)) ||
           fault_set(why, FAULT_INPUT, "DKIM domain \"%.*s\" or selector \"%.*s\" is not a domain name",
                     SLICE_ARG(domain), SLICE_ARG(selector));
}

static void identity_init(struct signing_identity *own, const struct dkim_identity *given)
{
    own->domain = slice_dup(given->domain);
    own->selector = slice_dup(given->selector);
    own->algorithm = given->key->algorithm;
    own->pkey = EVP_PKEY_dup(given->key->pkey); /* not a reference: RSA blinding takes a lock in the key */
    assert(own->pkey);
    if (own->algorithm == DKIM_ED25519_SHA256)
        return;
    own->rsa = EVP_PKEY_CTX_new_from_pkey(NULL, own->pkey, NULL);
    bool is_ready = own->rsa && EVP_PKEY_sign_init(own->rsa) == 1 &&
                    EVP_PKEY_CTX_set_rsa_padding(own->rsa, RSA_PKCS1_PADDING) == 1 &&
                    EVP_PKEY_CTX_set_signature_md(own->rsa, EVP_sha256()) == 1;
    assert(is_ready && "OpenSSL can sign with RSA");
}

bool dkim_signer_new(const struct dkim_identity *identities, size_t count, struct dkim_signer **signer,
                     struct fault *why)
{
    if (count > DKIM_SIGNATURES_MAX)
        return fault_set(why, FAULT_INPUT, "at most %d signatures on one mail", DKIM_SIGNATURES_MAX);
    for (size_t i = 0; i < count; i++)
        if (!dkim_names_check(identities[i].domain, identities[i].selector, why))
            return false;
    struct dkim_signer *made = NEW(struct dkim_signer);
    made->count = count;
    made->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    made->digest = EVP_MD_CTX_new();
    made->ed25519 = EVP_MD_CTX_new();
    assert(made->sha256 && made->digest && made->ed25519);
    for (size_t i = 0; i < count; i++)
        identity_init(&made->identity[i], &identities[i]);
    buf_init(&made->names, 16 * 1024);
    buf_init(&made->headers, CANONICAL_MAX);
    buf_init(&made->field, 32 * 1024);
    *signer = made;
    return true;
}

void dkim_signer_free(struct dkim_signer *signer)
{
    if (!signer)
        return;
    for (size_t i = 0; i < signer->count; i++) {
        struct signing_identity *own = &signer->identity[i];
        EVP_PKEY_CTX_free(own->rsa);
        EVP_PKEY_free(own->pkey);
        free(own->domain);
        free(own->selector);
    }
    EVP_MD_CTX_free(signer->digest);
    EVP_MD_CTX_free(signer->ed25519);
    EVP_MD_free(signer->sha256);
    buf_release(&signer->names);
    buf_release(&signer->headers);
    buf_release(&signer->field);
    free(signer);
}

size_t dkim_signer_count(const struct dkim_signer *signer)
{
    return signer->count;
}

/* Which fields of the mail each signed name stands for, in the mail's order. */
struct chosen {
    const struct field *field[NAMES][REPEATS_MAX];
    size_t count[NAMES];
};

static bool choose_fields(const struct fields *fields, struct chosen *chosen, struct fault *why)
{
    memset(chosen->count, 0, sizeof(chosen->count));
    for (size_t i = 0; i < fields->count; i++) {
        struct slice name = fields->field[i].name;
        for (size_t n = 0; n < NAMES; n++) {
            if (!slice_equal_caseless(name, signed_names[n].name))
                continue;
            if (chosen->count[n] == REPEATS_MAX)
                return fault_set(why, FAULT_INPUT, "more than %d fields %.*s", REPEATS_MAX, SLICE_ARG(name));
            chosen->field[n][chosen->count[n]++] = &fields->field[i];
            break;
        }
    }
    return chosen->count[0] || fault_set(why, FAULT_INPUT, "a mail without From cannot be signed");
}

/* h= and the canonical fields, each name's fields from the last to the first (RFC 6376 5.4.2). */
static void write_chosen(struct dkim_signer *signer, const struct chosen *chosen)
{
    size_t column = sizeof("\th=") - 1;
    buf_reset(&signer->names);
    buf_reset(&signer->headers);
    for (size_t n = 0; n < NAMES; n++) {
        struct slice name = signed_names[n].name;
        for (size_t times = chosen->count[n] + signed_names[n].is_oversigned; times; times--) {
            if (signer->names.len) {
                buf_byte(&signer->names, ':');
                if (++column + name.len > 74) {
                    buf_text(&signer->names, "\r\n\t");
                    column = 8;
                }
            }
            buf_append(&signer->names, name);
            column += name.len;
        }
        for (size_t i = chosen->count[n]; i--;) {
            field_relaxed(&signer->headers, *chosen->field[n][i]);
            buf_text(&signer->headers, "\r\n");
        }
    }
}

static void write_base64_folded(struct buf *out, struct slice bytes)
{
    char text[SIGNATURE_MAX / 3 * 4 + 8];
    size_t len = (size_t)EVP_EncodeBlock((unsigned char *)text, (const unsigned char *)bytes.ptr, (int)bytes.len);
    enum { PIECE = 72 };
    for (size_t at = 0; at < len; at += PIECE) {
        if (at)
            buf_text(out, "\r\n\t");
        buf_append(out, slice_of(text + at, len - at < PIECE ? len - at : PIECE));
    }
}

static bool sign_digest(struct dkim_signer *signer, struct signing_identity *own, const unsigned char digest[32],
                        unsigned char *signature, size_t *len)
{
    if (own->rsa)
        return EVP_PKEY_sign(own->rsa, signature, len, digest, 32) == 1;
    EVP_MD_CTX_reset(signer->ed25519); /* PureEdDSA over the SHA-256 (RFC 8463 3) */
    return EVP_DigestSignInit(signer->ed25519, NULL, NULL, NULL, own->pkey) == 1 &&
           EVP_DigestSign(signer->ed25519, signature, len, digest, 32) == 1;
}

static void sign_one(struct dkim_signer *signer, struct signing_identity *own, struct slice body_hash,
                     int64_t now_seconds, struct buf *out)
{
    size_t start = out->len;
    buf_text(out, "DKIM-Signature: v=1; a=");
    buf_append(out, own->rsa ? SLICE("rsa-sha256") : SLICE("ed25519-sha256"));
    buf_text(out, "; c=relaxed/relaxed; d=");
    buf_str(out, own->domain);
    buf_text(out, ";\r\n\ts=");
    buf_str(out, own->selector);
    buf_text(out, "; t=");
    buf_i64(out, now_seconds);
    buf_text(out, ";\r\n\th=");
    buf_append(out, buf_slice(&signer->names));
    buf_text(out, ";\r\n\tbh=");
    write_base64_folded(out, body_hash);
    buf_text(out, ";\r\n\tb=");
    if (!buf_ok(out))
        return;

    enum { NAME = sizeof("DKIM-Signature") - 1 };
    struct slice whole = slice_from(buf_slice(out), start);
    buf_reset(&signer->field);
    field_relaxed(&signer->field, (struct field){whole, slice_head(whole, NAME), slice_from(whole, NAME + 1)});

    unsigned char digest[32], signature[SIGNATURE_MAX];
    size_t len = sizeof(signature);
    bool is_signed = EVP_DigestInit_ex2(signer->digest, signer->sha256, NULL) == 1 &&
                     EVP_DigestUpdate(signer->digest, signer->headers.ptr, signer->headers.len) == 1 &&
                     EVP_DigestUpdate(signer->digest, signer->field.ptr, signer->field.len) == 1 &&
                     EVP_DigestFinal_ex(signer->digest, digest, NULL) == 1 &&
                     sign_digest(signer, own, digest, signature, &len);
    assert(is_signed && "OpenSSL signs");
    write_base64_folded(out, slice_of(signature, len));
    buf_text(out, "\r\n");
}

bool dkim_sign(struct dkim_signer *signer, struct slice mail, int64_t now_seconds, struct buf *fields,
               struct fault *why)
{
    struct fields split;
    struct chosen chosen;
    fields_split(mail, &split);
    bool is_fit = choose_fields(&split, &chosen, why);
    if (is_fit)
        write_chosen(signer, &chosen);
    struct slice body = split.body;
    fields_release(&split);
    if (!is_fit)
        return false;
    if (!buf_ok(&signer->headers) || !buf_ok(&signer->names))
        return fault_set(why, FAULT_LIMIT, "the header is too big to be signed");

    unsigned char body_hash[32];
    EVP_DigestInit_ex2(signer->digest, signer->sha256, NULL);
    body_digest(signer->digest, body, true, UINT64_MAX);
    EVP_DigestFinal_ex(signer->digest, body_hash, NULL);
    for (size_t i = 0; i < signer->count; i++)
        sign_one(signer, &signer->identity[i], slice_of(body_hash, sizeof(body_hash)), now_seconds, fields);
    return true;
}
