#include "mailauth/dkim_verify.h"

#include "base/base64.h"
#include "mailauth/canonical.h"
#include "mailauth/tags.h"
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>

enum { SIGNED_NAMES_MAX = 500, RSA_BITS_MIN = 1024, RSA_BITS_MAX = 8192, VALUE_MAX = 64 * 1024 };

struct slice dkim_result_word(enum dkim_result result)
{
    switch (result) {
    case DKIM_NONE: break;
    case DKIM_PASS: return SLICE("pass");
    case DKIM_FAIL: return SLICE("fail");
    case DKIM_POLICY: return SLICE("policy");
    case DKIM_NEUTRAL: return SLICE("neutral");
    case DKIM_TEMPERROR: return SLICE("temperror");
    case DKIM_PERMERROR: return SLICE("permerror");
    }
    return SLICE("none");
}

/* --- step one: what the signature claims, and the digests --- */

struct reading {
    const struct fields *fields;
    const struct field *signature;
    struct tags tags;
    struct dkim_claim *claim;
    bool is_header_relaxed, is_body_relaxed;
    uint64_t body_limit;
};

static bool settle(struct dkim_claim *claim, enum dkim_result result, const char *reason)
{
    claim->settled = result;
    snprintf(claim->reason, sizeof(claim->reason), "%s", reason);
    return false;
}

/* A host name in lower case into `to`; false: none. */
static bool domain_read(struct slice from, char to[DKIM_NAME_MAX + 1])
{
    if (!from.len || from.len > DKIM_NAME_MAX || from.ptr[0] == '.' || from.ptr[from.len - 1] == '.' ||
        slice_find(from, SLICE("..")) != SLICE_NPOS)
        return false;
    for (size_t i = 0; i < from.len; i++) {
        if (!ascii_is_alnum(from.ptr[i]) && !memchr("-_.", from.ptr[i], 3))
            return false;
        to[i] = ascii_lower(from.ptr[i]);
    }
    to[from.len] = '\0';
    return true;
}

/* Base64 with white space inside (RFC 6376 3.2), exact otherwise. */
static bool octets_read(struct slice text, struct buf *octets)
{
    SCOPED(buf) tight = BUF(VALUE_MAX);
    for (size_t i = 0; i < text.len; i++)
        if (!ascii_is_space(text.ptr[i]))
            buf_byte(&tight, text.ptr[i]);
    return buf_ok(&tight) && base64_decode(octets, buf_slice(&tight)) && buf_ok(octets);
}

static bool read_algorithm(struct reading *reading)
{
    struct dkim_claim *claim = reading->claim;
    struct slice algorithm = tags_value(&reading->tags, "a", SLICE(""));
    if (slice_equal_caseless(algorithm, SLICE("rsa-sha1")))
        return settle(claim, DKIM_PERMERROR, "rsa-sha1 is no longer accepted (RFC 8301)");
    claim->algorithm = slice_equal_caseless(algorithm, SLICE("ed25519-sha256")) ? DKIM_ED25519_SHA256 : DKIM_RSA_SHA256;
    if (claim->algorithm == DKIM_RSA_SHA256 && !slice_equal_caseless(algorithm, SLICE("rsa-sha256")))
        return settle(claim, DKIM_PERMERROR, "unknown algorithm in a=");
    return true;
}

static bool read_canonicalization(struct reading *reading)
{
    struct slice both = tags_value(&reading->tags, "c", SLICE("simple/simple"));
    ptrdiff_t slash = slice_find_byte(both, '/');
    struct slice header = slash == SLICE_NPOS ? both : slice_head(both, (size_t)slash);
    struct slice body = slash == SLICE_NPOS ? SLICE("simple") : slice_from(both, (size_t)slash + 1);
    reading->is_header_relaxed = slice_equal_caseless(header, SLICE("relaxed"));
    reading->is_body_relaxed = slice_equal_caseless(body, SLICE("relaxed"));
    return (reading->is_header_relaxed || slice_equal_caseless(header, SLICE("simple"))) &&
           (reading->is_body_relaxed || slice_equal_caseless(body, SLICE("simple")));
}

/* d=, s= and i=, whose domain must be d= or below it. */
static bool read_names(struct reading *reading)
{
    struct dkim_claim *claim = reading->claim;
    struct slice agent = tags_value(&reading->tags, "i", SLICE(""));
    if (!domain_read(tags_value(&reading->tags, "d", SLICE("")), claim->domain))
        return settle(claim, DKIM_PERMERROR, "d= is no domain name");
    if (!domain_read(tags_value(&reading->tags, "s", SLICE("")), claim->selector))
        return settle(claim, DKIM_PERMERROR, "s= is no selector");
    if (strlen(claim->selector) + strlen(claim->domain) + sizeof("._domainkey.") - 1 > DKIM_NAME_MAX)
        return settle(claim, DKIM_PERMERROR, "s= and d= are too long for a name in the DNS");
    if (!agent.len)
        return domain_read(tags_value(&reading->tags, "d", SLICE("")), claim->agent_domain);
    ptrdiff_t at = slice_find_last_byte(agent, '@');
    struct slice domain = slice_str(claim->domain);
    if (at == SLICE_NPOS || !domain_read(slice_from(agent, (size_t)at + 1), claim->agent_domain))
        return settle(claim, DKIM_PERMERROR, "i= is no identity");
    struct slice of = slice_str(claim->agent_domain);
    bool is_below = of.len > domain.len && of.ptr[of.len - domain.len - 1] == '.' && slice_ends(of, domain);
    return is_below || slice_equal(of, domain) || settle(claim, DKIM_PERMERROR, "i= is not d= or below it");
}

static bool read_number(const struct tags *tags, const char *name, uint64_t *number)
{
    const struct tag *tag = tags_find(tags, name);
    return !tag || (tag->value.len <= 19 && slice_to_u64(tag->value, number));
}

static bool read_times(struct reading *reading, int64_t now_seconds)
{
    struct dkim_claim *claim = reading->claim;
    uint64_t time = 0, expires = 0;
    if (!read_number(&reading->tags, "t", &time) || !read_number(&reading->tags, "x", &expires))
        return settle(claim, DKIM_PERMERROR, "t= or x= is no time");
    claim->time = (int64_t)time;
    claim->expires = (int64_t)expires;
    if (tags_find(&reading->tags, "x") && time && expires < time)
        return settle(claim, DKIM_PERMERROR, "x= is earlier than t=");
    if (tags_find(&reading->tags, "x") && (int64_t)expires < now_seconds)
        return settle(claim, DKIM_FAIL, "the signature has expired");
    return true;
}

static bool read_signature(struct reading *reading)
{
    struct dkim_claim *claim = reading->claim;
    SCOPED(buf) octets = BUF(DKIM_SIGNATURE_OCTETS_MAX);
    struct slice text = tags_value(&reading->tags, "b", SLICE(""));
    for (size_t i = 0, at = 0; i < text.len && at < sizeof(claim->header_b) - 1; i++)
        if (!ascii_is_space(text.ptr[i]))
            claim->header_b[at++] = text.ptr[i];
    if (!octets_read(text, &octets) || !octets.len)
        return settle(claim, DKIM_PERMERROR, "b= is missing or no base64");
    memcpy(claim->signature, octets.ptr, octets.len);
    claim->signature_len = octets.len;
    return true;
}

static bool read_tags(struct reading *reading, int64_t now_seconds)
{
    struct dkim_claim *claim = reading->claim;
    struct tags *tags = &reading->tags;
    if (!tags_read(reading->signature->value, tags))
        return settle(claim, DKIM_PERMERROR, "the tags cannot be read, or one occurs twice");
    if (!read_names(reading))
        return false;
    if (!slice_equal(tags_value(tags, "v", SLICE("")), SLICE("1")))
        return settle(claim, DKIM_PERMERROR, "v= must be 1");
    if (!read_algorithm(reading) || !read_signature(reading))
        return false;
    if (!read_canonicalization(reading))
        return settle(claim, DKIM_PERMERROR, "unknown canonicalisation in c=");
    if (!list_holds(tags_value(tags, "q", SLICE("dns/txt")), ':', SLICE("dns/txt")))
        return settle(claim, DKIM_PERMERROR, "q= offers no dns/txt");
    if (!list_holds(tags_value(tags, "h", SLICE("")), ':', SLICE("from")))
        return settle(claim, DKIM_PERMERROR, "h= does not cover From");
    reading->body_limit = UINT64_MAX;
    claim->has_body_length = tags_find(tags, "l") != NULL;
    if (!read_number(tags, "l", &reading->body_limit))
        return settle(claim, DKIM_PERMERROR, "l= is no number");
    return read_times(reading, now_seconds);
}

static bool check_body(struct reading *reading)
{
    struct dkim_claim *claim = reading->claim;
    unsigned char hash[32];
    SCOPED(buf) want = BUF(sizeof(hash));
    if (!octets_read(tags_value(&reading->tags, "bh", SLICE("")), &want) || want.len != sizeof(hash))
        return settle(claim, DKIM_PERMERROR, "bh= is missing or no SHA-256");
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    EVP_DigestInit_ex(digest, EVP_sha256(), NULL);
    uint64_t total = body_digest(digest, reading->fields->body, reading->is_body_relaxed, reading->body_limit);
    EVP_DigestFinal_ex(digest, hash, NULL);
    EVP_MD_CTX_free(digest);
    if (claim->has_body_length && reading->body_limit > total)
        return settle(claim, DKIM_FAIL, "the body is shorter than l=");
    if (!slice_equal(buf_slice(&want), slice_of(hash, sizeof(hash))))
        return settle(claim, DKIM_FAIL, "the body has been changed (bh= does not match)");
    return true;
}

static void digest_field(const struct reading *reading, EVP_MD_CTX *digest, struct field field, struct slice line_end)
{
    SCOPED(buf) canonical = BUF(field.whole.len * 2 + 16);
    if (reading->is_header_relaxed)
        field_relaxed(&canonical, field);
    else
        field_simple(&canonical, field);
    EVP_DigestUpdate(digest, canonical.ptr, canonical.len);
    EVP_DigestUpdate(digest, line_end.ptr, line_end.len);
}

/* The signature's own field with the value of b= taken out, whatever space was around it. */
static void digest_own_field(const struct reading *reading, EVP_MD_CTX *digest)
{
    const struct field *own = reading->signature;
    struct slice b = tags_find(&reading->tags, "b")->raw;
    SCOPED(buf) without = BUF(own->whole.len + 1);
    buf_append(&without, slice_of(own->whole.ptr, (size_t)(b.ptr - own->whole.ptr)));
    buf_append(&without, slice_of(b.ptr + b.len, (size_t)(own->whole.ptr + own->whole.len - b.ptr) - b.len));
    size_t value_at = (size_t)(own->value.ptr - own->whole.ptr);
    struct slice whole = buf_slice(&without);
    digest_field(reading, digest, (struct field){whole, slice_head(whole, own->name.len), slice_from(whole, value_at)},
                 SLICE(""));
}

static bool digest_header(struct reading *reading)
{
    struct slice names = tags_value(&reading->tags, "h", SLICE("")), name;
    const struct fields *fields = reading->fields;
    bool is_used[FIELDS_MAX] = {false};
    unsigned count = 0;
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    EVP_DigestInit_ex(digest, EVP_sha256(), NULL);
    while (slice_split(&names, ':', &name) && ++count <= SIGNED_NAMES_MAX) {
        name = slice_trim(name);
        for (size_t i = fields->count; i--;) { /* from the bottom up; one that is not there counts as empty (5.4.2) */
            if (is_used[i] || !slice_equal_caseless(fields->field[i].name, name) ||
                &fields->field[i] == reading->signature)
                continue;
            is_used[i] = true;
            digest_field(reading, digest, fields->field[i], SLICE("\r\n"));
            break;
        }
    }
    digest_own_field(reading, digest);
    EVP_DigestFinal_ex(digest, reading->claim->digest, NULL);
    EVP_MD_CTX_free(digest);
    return count <= SIGNED_NAMES_MAX || settle(reading->claim, DKIM_PERMERROR, "h= names too many fields");
}

void dkim_claims_read(struct slice mail, int64_t now_seconds, struct dkim_claims *claims)
{
    struct fields fields;
    claims->count = 0;
    fields_split(mail, &fields);
    for (size_t i = 0; i < fields.count && claims->count < DKIM_CLAIMS_MAX; i++) {
        if (!slice_equal_caseless(fields.field[i].name, SLICE("DKIM-Signature")))
            continue;
        struct dkim_claim *claim = &claims->claim[claims->count++];
        memset(claim, 0, sizeof(*claim));
        struct reading reading = {.fields = &fields, .signature = &fields.field[i], .claim = claim};
        if (read_tags(&reading, now_seconds) && check_body(&reading))
            (void)digest_header(&reading);
    }
    fields_release(&fields);
}

/* --- step two: the key, and whether it made the signature --- */

static void conclude(struct dkim_outcome *outcome, enum dkim_result result, const char *reason)
{
    outcome->result = result;
    snprintf(outcome->reason, sizeof(outcome->reason), "%s", reason);
}

static EVP_PKEY *rsa_read(struct slice octets)
{
    const unsigned char *at = (const unsigned char *)octets.ptr;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)octets.len);
    if (!key) { /* the RSAPublicKey alone, as RFC 6376 3.6.1 has it */
        at = (const unsigned char *)octets.ptr;
        key = d2i_PublicKey(EVP_PKEY_RSA, NULL, &at, (long)octets.len);
    }
    ERR_clear_error();
    if (key && !EVP_PKEY_is_a(key, "RSA")) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    return key;
}

static bool verify_rsa(EVP_PKEY *key, const struct dkim_claim *claim)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    bool is_good = context && EVP_PKEY_verify_init(context) == 1 &&
                   EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1 &&
                   EVP_PKEY_CTX_set_signature_md(context, EVP_sha256()) == 1 &&
                   EVP_PKEY_verify(context, claim->signature, claim->signature_len, claim->digest, 32) == 1;
    EVP_PKEY_CTX_free(context);
    return is_good;
}

static bool verify_ed25519(EVP_PKEY *key, const struct dkim_claim *claim)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool is_good = EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1 &&
                   EVP_DigestVerify(context, claim->signature, claim->signature_len, claim->digest, 32) == 1;
    EVP_MD_CTX_free(context);
    return is_good;
}

/* p= has been decoded: check the signature with it. */
static void check_signature(const struct dkim_claim *claim, struct slice octets, struct dkim_outcome *outcome)
{
    bool is_rsa = claim->algorithm == DKIM_RSA_SHA256;
    EVP_PKEY *key =
        is_rsa ? rsa_read(octets)
               : EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, (const unsigned char *)octets.ptr, octets.len);
    if (!key) {
        ERR_clear_error();
        conclude(outcome, DKIM_PERMERROR, "p= is no key of the kind that a= names");
        return;
    }
    outcome->key_bits = is_rsa ? (unsigned)EVP_PKEY_get_bits(key) : 256;
    if (is_rsa && (outcome->key_bits < RSA_BITS_MIN || outcome->key_bits > RSA_BITS_MAX))
        conclude(outcome, DKIM_POLICY, "the RSA key is shorter than 1024 bits (RFC 8301) or longer than 8192");
    else if (is_rsa ? verify_rsa(key, claim) : verify_ed25519(key, claim))
        conclude(outcome, DKIM_PASS,
                 claim->has_body_length ? "good, but l= leaves the end of the body unsigned" : "good");
    else
        conclude(outcome, DKIM_FAIL, "the signature does not match: a signed header or the signature was changed");
    ERR_clear_error();
    EVP_PKEY_free(key);
}

/* One TXT record (RFC 6376 3.6.1). False: it is no key record at all, look at the next. */
static bool check_record(const struct dkim_claim *claim, struct slice text, struct dkim_outcome *outcome)
{
    struct tags tags;
    bool is_rsa = claim->algorithm == DKIM_RSA_SHA256;
    SCOPED(buf) octets = BUF(VALUE_MAX);
    if (!tags_read(text, &tags) || !tags_find(&tags, "p")) {
        conclude(outcome, DKIM_PERMERROR, "the key record cannot be read, or has no p=");
        return false;
    }
    if (tags_find(&tags, "v") &&
        (tags_find(&tags, "v") != &tags.tag[0] || !slice_equal(tags.tag[0].value, SLICE("DKIM1")))) {
        conclude(outcome, DKIM_PERMERROR, "the key record's v= is not DKIM1 in first place");
        return false;
    }
    struct slice flags = tags_value(&tags, "t", SLICE(""));
    outcome->is_testing = list_holds(flags, ':', SLICE("y"));
    if (!slice_equal_caseless(tags_value(&tags, "k", SLICE("rsa")), is_rsa ? SLICE("rsa") : SLICE("ed25519")))
        conclude(outcome, DKIM_PERMERROR, "the key is of another kind than a= names");
    else if (!list_holds(tags_value(&tags, "h", SLICE("sha256")), ':', SLICE("sha256")))
        conclude(outcome, DKIM_PERMERROR, "the key does not allow SHA-256 (h=)");
    else if (!list_holds(tags_value(&tags, "s", SLICE("*")), ':', SLICE("*")) &&
             !list_holds(tags_value(&tags, "s", SLICE("*")), ':', SLICE("email")))
        conclude(outcome, DKIM_PERMERROR, "the key is not for mail (s=)");
    else if (list_holds(flags, ':', SLICE("s")) && strcmp(claim->agent_domain, claim->domain) != 0)
        conclude(outcome, DKIM_PERMERROR, "the key forbids i= below d= (t=s)");
    else if (!tags_value(&tags, "p", SLICE("")).len)
        conclude(outcome, DKIM_PERMERROR, "the key was revoked (empty p=)");
    else if (!octets_read(tags_value(&tags, "p", SLICE("")), &octets))
        conclude(outcome, DKIM_PERMERROR, "p= is no base64");
    else
        check_signature(claim, buf_slice(&octets), outcome);
    return true;
}

static bool verify_one(struct lookup *lookup, const struct dkim_claim *claim, struct dkim_outcome *outcome)
{
    char name[DKIM_NAME_MAX * 2 + 16];
    *outcome = (struct dkim_outcome){0};
    if (claim->settled != DKIM_NONE) {
        conclude(outcome, claim->settled, claim->reason);
        return true;
    }
    int len = snprintf(name, sizeof(name), "%s._domainkey.%s", claim->selector, claim->domain);
    const struct question *answer = lookup_ask(lookup, QUESTION_TXT, slice_of(name, (size_t)len));
    if (!answer)
        return false;
    switch (answer->state) {
    case ANSWER_FOUND: break;
    case ANSWER_TRY_LATER: conclude(outcome, DKIM_TEMPERROR, "the DNS did not answer for the key"); return true;
    case ANSWER_OPEN:
    case ANSWER_NO_NAME:
    case ANSWER_NO_RECORD: conclude(outcome, DKIM_PERMERROR, "there is no key record in the DNS"); return true;
    }
    for (size_t i = 0; i < answer->count && i < 10; i++)
        if (check_record(claim, answer->records[i], outcome))
            break;
    return true;
}

bool dkim_verify(struct lookup *lookup, const struct dkim_claims *claims, struct dkim_outcome *outcomes)
{
    bool is_done = true;
    for (size_t i = 0; i < claims->count; i++)
        is_done &= verify_one(lookup, &claims->claim[i], &outcomes[i]);
    return is_done;
}

enum dkim_result dkim_best(const struct dkim_outcome *outcomes, size_t count)
{
    static const enum dkim_result order[] = {DKIM_PASS,   DKIM_TEMPERROR, DKIM_FAIL,
                                             DKIM_POLICY, DKIM_NEUTRAL,   DKIM_PERMERROR};
    for (size_t rank = 0; rank < COUNT_OF(order); rank++)
        for (size_t i = 0; i < count; i++)
            if (outcomes[i].result == order[rank])
                return order[rank];
    return DKIM_NONE;
}
