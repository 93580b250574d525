/* handoff.h - mail whose source is on another node only is that node's to claim, bucket by bucket
 *
 * A bucket's owner decides what is due. Where a pool's sources are all on other nodes, or those here have nothing left
 * of their day, it hands the pool's mail in its buckets to a node that lives and can send it: a row (bucket, pool,
 * node). That node claims and marks by it (store/lease.h checks it in the transaction of the mark, locked, so that
 * taking the row away waits for the commit or is seen by it). A new owner of the bucket begins without such rows. With
 * no such node the mail waits with its owner. */
#ifndef TODOKE_QUEUE_HANDOFF_H
#define TODOKE_QUEUE_HANDOFF_H

#include "base/slice.h"
#include "base/time.h"
#include "store/lease.h"

struct handoff {
    struct slice pool;
    unsigned node;
};
/* Inside a write job that holds `held`: these pools of ours are handed over, and no others. */
NODISCARD bool handoff_keep(struct db *db, struct fault *why, const struct bucket_set *held, const struct handoff *list,
                            size_t count, time_ms now, bool *has_changed);

#endif
