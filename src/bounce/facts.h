/* facts.h - what can be pulled out of a diagnostic: addresses, lists, limits, results
 *
 * Keys (each at most once): ip (the first one that is named), list (name of a DNS blocklist), url (the first),
 * limit_bytes (of a message's size), spf, dkim, dmarc (pass, fail, none ... as the receiver says), code (the provider's
 * own: S3150, TSS04, AUP#In-1310), moved_to (a new address). */
#ifndef TODOKE_BOUNCE_FACTS_H
#define TODOKE_BOUNCE_FACTS_H

#include "base/arena.h"
#include "base/slice.h"

enum { FACTS_MAX = 9 };
struct fact {
    struct slice name; /* a literal */
    struct slice value;
};
struct facts {
    struct fact list[FACTS_MAX];
    unsigned count;
};

/* Values are slices of the text, or in the arena where they had to be computed. One pass. */
void facts_find(struct slice text, struct arena *arena, struct facts *facts);

#endif
