/* canceller.h - what a cancelled campaign still owes is cancelled, batch by batch
 *
 * A cancelled campaign is held, so nothing of it goes out while this works. That it is cancelled its state says; what
 * the hold says is a person's words, and a pause may say "cancelled", too.
 * Each node cancels what is in its buckets; what was on the wire when it was cancelled ends as it ends, and is looked
 * at again later. When nothing is owed the hold goes. Crash-safe: the hold is the work list. */
#ifndef TODOKE_CAMPAIGN_CANCELLER_H
#define TODOKE_CAMPAIGN_CANCELLER_H

#include "net/world.h"
#include "queue/ledger.h"

struct canceller;
struct canceller *canceller_start(struct store *store, struct world *world, const struct ledger *ledger);
/* Before store_close. NULL is fine. */
void canceller_stop(struct canceller *canceller);

#endif
