/* finisher.h - campaigns that owe nothing any more are finished
 *
 * Looked at when the store was written, a few times a second; not while the counters or the guard run behind the
 * events: the guard may take a refusal back. Of several nodes the leading one looks. */
#ifndef TODOKE_APP_FINISHER_H
#define TODOKE_APP_FINISHER_H

#include "net/world.h"
#include "store/lease.h"
#include "store/store.h"

struct finisher;
struct finisher *finisher_start(struct store *store, struct leases *leases, struct world *world);
/* NULL is fine. */
void finisher_stop(struct finisher *finisher);

#endif
