/* sweeper.h - bodies of stored mails that no delivery needs go (submit/message.h), and files for download whose time is
 * over (hosted/hosted.h), slice by slice */
#ifndef TODOKE_APP_SWEEPER_H
#define TODOKE_APP_SWEEPER_H

#include "net/world.h"
#include "store/lease.h"
#include "store/store.h"

struct sweeper;
/* One slice a write job, at most one at a time; a pause behind the last. Before the store's first write. Of
 * several nodes the leading one sweeps. */
struct sweeper *sweeper_start(struct store *store, struct leases *leases, struct world *world);
/* Before store_close. NULL is fine. */
void sweeper_stop(struct sweeper *sweeper);

#endif
