/* lease.h - which node may claim and mark the rows of a bucket, and which nodes live
 *
 * A bucket's row says node, epoch, until (the database's clock). Taking a free or expired bucket is an UPDATE with
 * epoch + 1. On SQLite one node owns all 256; the code is the same.
 *
 *     free --keep--> held(node, epoch) --keep--> held        (renewed)
 *                        | until passes, another keeps: held(other, epoch + 1)
 *                        | more than its share, since another node lives: free, and that one takes it
 *
 * A node has a row too: its life. Who finds one whose time is over ends it (life + 1, until 0), and from then on
 * whatever that node still writes is refused (fencing): checks read the row of the own life FOR SHARE, so an ending
 * waits for a commit under way, or the commit finds its life ended. What a dead life had on the wire is in doubt, and
 * the owners of the buckets say so (ledger_recover). A mark belongs to the life that set it, not to the bucket: a
 * bucket may change hands while a mail of it is on the wire, and the node that sends it writes down the outcome.
 *
 * The leases struct is one node's memory of what it holds. It belongs to one thread at a time (the writer's, in jobs).
 * A node stops claiming, and starts no final dot, LEASE_MARGIN_MS before its own monotonic reckoning of `until`
 * (leases_are_safe).
 *
 * The holder of LEASE_LEADER leads: what must be done by one node only is its work. */
#ifndef TODOKE_STORE_LEASE_H
#define TODOKE_STORE_LEASE_H

#include "store/db.h"

/* SQLite has one node: nobody waits for its buckets, and a disk that stalls should not stop it. */
enum { LEASE_MS = 8000, LEASE_ALONE_MS = 30000, LEASE_MARGIN_MS = 3000, LEASE_NODES = 512, LEASE_LEADER = 0 };

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
static inline struct bucket_set bucket_set_all(void)
{
    struct bucket_set all;
    memset(&all, 0xff, sizeof(all));
    return all;
}
/* Those of `one` that are not in `other`. */
static inline struct bucket_set bucket_set_less(struct bucket_set one, const struct bucket_set *other)
{
    for (size_t i = 0; i < COUNT_OF(one.bits); i++)
        one.bits[i] &= ~other->bits[i];
    return one;
}
static inline struct bucket_set bucket_set_plus(struct bucket_set one, const struct bucket_set *other)
{
    for (size_t i = 0; i < COUNT_OF(one.bits); i++)
        one.bits[i] |= other->bits[i];
    return one;
}

struct leases {
    unsigned node;
    int64_t life; /* 0: none yet */
    struct bucket_set held;
    int64_t epoch[ID_BUCKETS];
    time_ms until_monotonic; /* our reckoning: when they end */
    /* of the last keep */
    struct bucket_set gained;
    bool is_new_life;  /* what our number has on the wire anywhere is of an earlier one */
    bool others_ended; /* a node that lived does not live any more */
    uint64_t live[LEASE_NODES / 64];
    unsigned live_count;
    time_ms db_now; /* the database's clock then, where it may be another machine's; 0: it is ours */
    /* what leases_check read (and locked) in that transaction, so that the other jobs of a group need not */
    struct bucket_set checked, handed;
    bool is_alive;
    const struct db *checked_db;
    uint64_t checked_in;
    /* what other threads read (leases_lead_now, leases_held_now), as of the last keep; written word by word, the last
     */
    struct {
        struct bucket_set held;
        bool leads;
    } shown;
};

/* Inside a write job. Begin our life, or renew it and what is held; end the lives whose time is over; give away what is
 * more than our share (256 / living nodes), take what is free or expired up to it. A node's own leases of an earlier
 * life count as free: after a restart it takes them at once. now_monotonic is read before the job is queued. */
NODISCARD bool leases_keep(struct db *db, struct fault *why, struct leases *leases, time_ms now_monotonic);
/* Fencing: inside a write job, lock our life for the transaction (FOR SHARE) and say which of `asked` are still ours.
 * Afterwards, for this transaction: leases->is_alive (else nothing may be written), leases->handed (the buckets of
 * others of which a pool's mail was handed to us). */
NODISCARD bool leases_check(struct db *db, struct fault *why, struct leases *leases, const struct bucket_set *asked,
                            struct bucket_set *ours);
/* Inside a write job: do we lead? So until the commit. leases NULL: yes (nobody else is there). */
NODISCARD bool leases_lead(struct db *db, struct fault *why, struct leases *leases, bool *leads);
/* Do we lead, what do we hold, as far as we know: from any thread, without a lock, to save work, not to be sure. */
static inline bool leases_lead_now(const struct leases *leases)
{
    return !leases || __atomic_load_n(&leases->shown.leads, __ATOMIC_RELAXED);
}
static inline struct bucket_set leases_held_now(const struct leases *leases)
{
    struct bucket_set held = bucket_set_all();
    for (size_t i = 0; leases && i < COUNT_OF(held.bits); i++)
        held.bits[i] = __atomic_load_n(&leases->shown.held.bits[i], __ATOMIC_RELAXED);
    return held;
}
/* Let go of all (a clean stop): others may take it at once. */
NODISCARD bool leases_end(struct db *db, struct fault *why, struct leases *leases);

static inline bool leases_are_safe(const struct leases *leases, time_ms now_monotonic)
{
    return now_monotonic < leases->until_monotonic - LEASE_MARGIN_MS;
}
/* Does this node live, as of the last keep? */
static inline bool leases_node_lives(const struct leases *leases, unsigned node)
{
    return node < LEASE_NODES && (leases->live[node / 64] >> node % 64 & 1);
}

/* For readers' connections: does it look as if a keep had something to do besides renewing (a bucket is free, a life is
 * over, a share has changed)? `live` as of the last keep. */
NODISCARD bool leases_look(struct db *reader, struct fault *why, unsigned live_count, bool *has_work);

#endif
