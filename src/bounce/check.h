/* check.h - run the examples that rules carry: `todoke bounce rules test` */
#ifndef TODOKE_BOUNCE_CHECK_H
#define TODOKE_BOUNCE_CHECK_H

#include "bounce/rules.h"

struct rules_check {
    unsigned rules, lines, failures;
    unsigned reasons_without_words; /* reasons or rule words that lack cause or remedy in a language */
};

/* Each line of `examples` must meet its rule, each `not` line must miss it, read as a reply to the provider's own host
 * at the first stage that the rule names. `tell` is called with one sentence for each failure; may be NULL. */
struct rules_check rules_check(const struct rules *rules, void (*tell)(void *context, struct slice sentence),
                               void *context);

#endif
