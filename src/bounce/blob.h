/* blob.h - compiled knowledge as one flat run of bytes: rules, patterns, words, the matcher's database (private to
 * bounce/)
 *
 * Written by compile.c (at build time, or at run time for an operator's file), read in place by rules.c. Offsets count
 * from the beginning of the blob; every section is aligned to 8 bytes. Native byte order and layout: a blob never
 * leaves the machine kind that it was built for. */
#ifndef TODOKE_BOUNCE_BLOB_H
#define TODOKE_BOUNCE_BLOB_H

#include "mail/verdict.h"

enum {
    BLOB_MAGIC = 0x544b5239, /* changes with the layout */
    BLOB_PROVIDERS_MAX = 256,
    BLOB_ANY = 0xffff, /* "x" in a status */
    BLOB_GENERAL = 0,  /* the provider number of general.yaml */
    BLOB_WORDS = 6,    /* label, cause, remedy, operator, did, returned */
    BLOB_LANGS = 2,    /* ja, en */
};

struct blob_text {
    uint32_t at, len;
};
struct blob_list {
    uint32_t at, count; /* offset of the first element */
};

enum blob_token_kind { TOKEN_TEXT, TOKEN_GAP, TOKEN_DIGITS, TOKEN_IP, TOKEN_ADDRESS, TOKEN_DOMAIN };
struct blob_token {
    uint32_t kind;
    struct blob_text text; /* of TOKEN_TEXT: lower-case, white space is single spaces */
};

/* One text of a rule or one mark of a provider. */
struct blob_pattern {
    uint32_t owner; /* rule index, or provider number when is_mark */
    uint32_t token_from, token_count;
    uint32_t key_token; /* counted from token_from: the longest text, which the matcher looks for */
    uint8_t is_mark, is_anchored;
    uint16_t unused;
};
/* What the matcher looks for, by its id: a text and the patterns that have it as their key (blob.key_patterns). */
struct blob_key {
    uint32_t len;
    uint32_t pattern_from, pattern_count;
};

struct blob_codes {
    uint16_t low, high;
};
struct blob_status {
    uint16_t part[3];
    uint16_t unused;
};
struct blob_rule {
    struct blob_text id, words;
    struct blob_list codes, statuses; /* indexes into their tables, not offsets */
    uint32_t stages;                  /* bit for each stage; 0: any */
    uint16_t provider;
    uint8_t reason, action, scope, whose, retry;
    uint8_t permanent; /* enum blob_permanent */
    uint8_t has_text;
    uint8_t unused[5];
};
enum blob_permanent { PERMANENT_NEVER, PERMANENT_ALWAYS, PERMANENT_ON_5XX };

struct blob_reason {
    uint8_t action, scope, whose, retry, permanent, unused[3];
};
struct blob_host {
    struct blob_text suffix; /* lower-case, without a leading dot; sorted for look-up */
    uint32_t provider;
};
struct blob_provider {
    struct blob_text name;
    uint32_t rule_from, rule_count;
    uint32_t bare_from, bare_count; /* its rules without text: blob.bare_rules */
};
struct blob_fallback {
    struct blob_status status;
    uint16_t code;
    uint16_t reason;
    uint32_t stages;
};
struct blob_words {
    struct blob_text key; /* a reason's word, or a rule's `words`; sorted */
    struct blob_text text[BLOB_LANGS][BLOB_WORDS];
};
/* Example lines of a rule, for `todoke bounce rules test`. */
struct blob_example {
    uint32_t rule;
    uint32_t is_not; /* a line that the rule must miss */
    struct blob_text line;
};

struct blob {
    uint32_t magic, size;
    struct blob_list providers, rules, bare_rules, patterns, tokens, keys, key_patterns, codes, statuses, hosts;
    struct blob_list fallback_statuses, fallback_codes, words, examples, key_texts;
    struct blob_text database; /* a serialised vectorscan database of the keys; empty when there are none */
    struct blob_reason reasons[REASON_COUNT];
};

#define BLOB_AT(blob, type, list) ((const type *)(const void *)((const char *)(blob) + (list).at))
static inline struct slice blob_slice(const struct blob *blob, struct blob_text text)
{
    return slice_of((const char *)blob + text.at, text.len);
}

/* Lower-case in place, for texts and patterns alike: ASCII, and the Latin-1 and Cyrillic letters of UTF-8, whose cases
 * have the same length. */
static inline void blob_lower(char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)bytes[i], next;
        if (c < 0x80) {
            bytes[i] = ascii_lower(bytes[i]);
            continue;
        }
        if ((c != 0xc3 && c != 0xd0) || i + 1 == len)
            continue;
        next = (unsigned char)bytes[++i];
        if (c == 0xc3 && next >= 0x80 && next <= 0x9e && next != 0x97)
            bytes[i] = (char)(next + 0x20);
        else if (c == 0xd0 && next >= 0x90 && next <= 0x9f)
            bytes[i] = (char)(next + 0x20);
        else if (c == 0xd0 && next >= 0xa0 && next <= 0xaf) {
            bytes[i - 1] = (char)0xd1;
            bytes[i] = (char)(next - 0x20);
        }
    }
}

#endif
