/* expander.h - turns sent campaigns into deliveries, step by step, and goes on where a crash stopped it
 *
 * It has no thread: its steps are write jobs, one at a time, woken by commits that marked deliveries (a campaign was
 * sent or resumed) and by the store's poll. */
#ifndef TODOKE_CAMPAIGN_EXPANDER_H
#define TODOKE_CAMPAIGN_EXPANDER_H

#include "campaign/campaign.h"

struct expander;
struct expander_options {
    struct leases *leases; /* of several nodes the leading one expands; NULL: there is only one */
    struct store *store;
    const struct world *world;
    /* After each step's commit, on the writer's thread: tell the engine. */
    void (*submitted)(void *owner, const struct submit_news *news, size_t count);
    void *owner;
    size_t step; /* members a transaction; 0: 1,000 */
};
struct expander *expander_start(const struct expander_options *options);
/* Waits for a step under way. Before store_close. */
void expander_stop(struct expander *expander);

#endif
