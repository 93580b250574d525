/* counter.h - the order in which a transaction takes the buckets' counters (what gives events their seq)
 *
 * A group of writes is many jobs in one transaction, and each appends events to buckets of its own. A counter's row is
 * locked until the commit: two nodes whose groups take the same two rows in different order would wait for each other
 * for ever. So a group takes counters upwards as long as it can, tries those behind without waiting, and when another
 * node has one of them it begins anew (db_is_conflict) with all it needs taken first, in order. On SQLite, and while a
 * node is alone, there is nothing to do. */
#ifndef TODOKE_STORE_COUNTER_H
#define TODOKE_STORE_COUNTER_H

#include "store/lease.h"

/* Before the counters of these buckets are used in this transaction. WORLD, with db_is_conflict: begin anew. */
NODISCARD bool counters_want(struct db *db, struct fault *why, const struct bucket_set *wanted);
/* At the beginning of a transaction that was given up for a conflict: take what it wanted. `tries`: so many times by
 * now; from the second on all of them. */
NODISCARD bool counters_take(struct db *db, struct fault *why, unsigned tries);
/* Several nodes write to this store: leases_keep says so. */
void counters_are_shared(struct db *db, bool is_shared);

#endif
