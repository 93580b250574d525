/* collect.h - the thread that empties the mailboxes of box.h, each in its own rhythm
 *
 * Mailboxes are read from the store before each round, so `todoke mailbox add` is heard while the server runs. One
 * after another; a slow server delays the others by its time-outs at most. A failure is written to the mailbox's row,
 * logged when it changes, and tried again at the next round. */
#ifndef TODOKE_RECEIVE_COLLECT_H
#define TODOKE_RECEIVE_COLLECT_H

#include "receive/box.h"
#include "store/lease.h"
#include "store/store.h"

struct world;
struct collector;
/* WORLD: the store cannot be read. Of several nodes the leading one collects; leases NULL: there is only one. */
struct collector *collector_start(struct store *store, struct leases *leases, struct world *world,
                                  const struct seal_key *seal, struct fault *why);
/* NULL is fine. */
void collector_stop(struct collector *collector);

#endif
