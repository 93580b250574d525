/* facts.h - what can be pulled out of a diagnostic: addresses, lists, limits, results
 *
 * Keys (each at most once): ip, list (name of a DNS blocklist), url, limit_bytes, quota_bytes, spf, dkim, dmarc (pass,
 * fail, none ...), retry_after_s, moved_to, code (the provider's own: S3150, TSS04), queue_id. */
#ifndef TODOKE_BOUNCE_FACTS_H
#define TODOKE_BOUNCE_FACTS_H

#include "base/arena.h"
#include "base/slice.h"

enum { FACTS_MAX = 12 };
struct fact {
    struct slice name; /* a literal */
    struct slice value;
};
struct facts {
    struct fact list[FACTS_MAX];
    unsigned count;
};

/* Values are slices of the text, or in the arena where they had to be computed. Linear. */
void facts_find(struct slice text, struct arena *arena, struct facts *facts);

#endif
