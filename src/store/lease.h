/* lease.h - which node may claim, mark and settle the rows of a bucket
 *
 * A bucket's row says node, epoch, until (the database's clock). Taking over a free or expired bucket is an UPDATE with
 * epoch + 1: a node presumed dead finds its epoch gone and cannot write (fencing). On SQLite one node owns all 256; the
 * code is the same.
 *
 *     free --acquire--> held(node, epoch) --renew--> held --(until passes, another acquires)--> held(other, epoch + 1)
 *
 * The leases struct is one node's memory of what it holds. It belongs to one thread at a time (the writer's, in jobs).
 * A node stops claiming, and starts no final dot, LEASE_MARGIN_MS before its own monotonic reckoning of `until`
 * (leases_are_safe). */
#ifndef TODOKE_STORE_LEASE_H
#define TODOKE_STORE_LEASE_H

#include "store/db.h"

enum { LEASE_MS = 30000, LEASE_MARGIN_MS = 3000 };

struct bucket_set {
    uint64_t bits[ID_BUCKETS / 64];
};
static inline void bucket_set_add(struct bucket_set *set, unsigned bucket)
{
    set->bits[bucket / 64] |= (uint64_t)1 << bucket % 64;
}
static inline bool bucket_set_has(const struct bucket_set *set, unsigned bucket)
{
    return set->bits[bucket / 64] >> bucket % 64 & 1;
}
unsigned bucket_set_count(const struct bucket_set *set);

struct leases {
    unsigned node;
    struct bucket_set held;
    int64_t epoch[ID_BUCKETS];
    struct bucket_set taken_over; /* by the last acquire, from another life or node: its on_wire rows are in doubt */
    time_ms until_monotonic;      /* our reckoning: when the oldest lease of `held` ends */
    /* what leases_check read (and locked) in that transaction, so that the other jobs of a group need not */
    struct bucket_set checked;
    const struct db *checked_db;
    uint64_t checked_in;
};

/* Inside a write job. Take every free or expired bucket, up to `want` in all (256 for a single node), and renew those
 * held. A node's own leases of an earlier life count as expired: after a restart it takes them at once. now_monotonic
 * is read before the job is queued. Buckets that were lost leave `held`. */
NODISCARD bool leases_acquire(struct db *db, struct fault *why, struct leases *leases, unsigned want,
                              time_ms now_monotonic);
/* Extend what is held; drops those whose epoch is gone. */
NODISCARD bool leases_renew(struct db *db, struct fault *why, struct leases *leases, time_ms now_monotonic);
/* Fencing: inside a write job, lock our rows of `asked` for the transaction (FOR SHARE) and say which are still ours.
 */
NODISCARD bool leases_check(struct db *db, struct fault *why, struct leases *leases, const struct bucket_set *asked,
                            struct bucket_set *ours);
/* Let go of all (a clean stop). */
NODISCARD bool leases_release_all(struct db *db, struct fault *why, struct leases *leases);

static inline bool leases_are_safe(const struct leases *leases, time_ms now_monotonic)
{
    return now_monotonic < leases->until_monotonic - LEASE_MARGIN_MS;
}

#endif
