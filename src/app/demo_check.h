/* demo_check.h - what Todoke understood, held against what the simulated receivers meant
 *
 * Every address of the playground has a fate (app/playground.h) that nobody tells Todoke. After the campaigns each
 * delivery must have ended as its fate says, with the reason that fate must be read as; the excluded must have got
 * nothing more; the books must balance. */
#ifndef TODOKE_APP_DEMO_CHECK_H
#define TODOKE_APP_DEMO_CHECK_H

#include "app/playground.h"
#include "bounce/words.h"
#include "store/db.h"

struct demo_progress {
    int64_t deliveries, settled, events;
    bool is_expanded; /* all delivery rows are there */
    bool is_settled;  /* everybody is where his fate ends, or waits for what takes days */
};
NODISCARD bool demo_progress_read(struct db *db, struct fault *why, uint64_t campaign_id,
                                  struct demo_progress *progress);

/* The table of fates into out, in this language; *agrees: no line of it is wrong. */
NODISCARD bool demo_check(struct db *db, struct fault *why, uint64_t first_campaign, uint64_t second_campaign,
                          const struct playground_counts *counts, enum lang lang, struct buf *out, bool *agrees);

#endif
