/* rules_private.h - what rules.c, words.c and rules_check.c share */
#ifndef TODOKE_BOUNCE_RULES_PRIVATE_H
#define TODOKE_BOUNCE_RULES_PRIVATE_H

#include "bounce/blob.h"
#include "bounce/rules.h"

struct hs_database;

enum {
    RULES_PARTS_MAX = 2, /* the embedded one and an operator's */
    HOSTS_SEEN = 64,
};
struct rules_part {
    const struct blob *blob;
    struct hs_database *database;
    char *owned;                     /* the blob's memory when it is ours */
    uint64_t hosts_seen[HOSTS_SEEN]; /* a bit for each host's name: most names are nobody's */
};
struct rules {
    struct rules_part parts[RULES_PARTS_MAX];
    unsigned part_count;
};

/* The blob made at build time (generated file). */
struct slice rules_embedded(void);

NODISCARD bool rules_open_blob(struct slice bytes, struct rules **rules, struct fault *why);

/* Judge as if this provider of this blob had spoken, and nobody else's rules but the general ones were known. */
void rules_judge_as(const struct rules *rules, const struct blob *blob, struct rules_scratch *scratch,
                    const struct refusal *refusal, unsigned provider, struct verdict *verdict);

/* Are there words under this key of a rule? */
bool words_has(const struct rules *rules, struct slice key);

#endif
