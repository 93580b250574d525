/* ledger.h - the states of a delivery, and the only functions that move them
 *
 *     waiting --mark--> on_wire --settle--> delivered | bounced | deferred | expired
 *        |                 |
 *        |                 +--(node died, or lost after the dot)--> in_doubt --release--> deferred
 *        +--mark finds the address excluded--> suppressed
 *     deferred goes the same ways as waiting; waiting, deferred <--hold, release--> held
 *     owed, but not on_wire --cancel--> cancelled
 *     delivered | owed --genuine error mail, perhaps before the 250 is written down--> bounced
 *     a refusal that the site guard does not believe (suppress/guard.h): held instead of bounced
 *
 * Always true: accepted = the sum of the ten states; every move but the mark writes its event in the same transaction,
 * and whatever the event excludes is written there too. The mark alone writes none: for the counters a delivery on the
 * wire is still what it was before.
 *
 * All run inside write jobs and may run again. Fencing (store/lease.h): rows of buckets we hold no lease for are left
 * alone, but for what this node has on the wire there; a node that was presumed dead moves nothing. */
#ifndef TODOKE_QUEUE_LEDGER_H
#define TODOKE_QUEUE_LEDGER_H

#include "queue/lanes.h"
#include "store/lease.h"
#include "suppress/guard.h"

struct ledger {
    struct leases *leases; /* the writer thread's; NULL: a command on a store that nobody serves */
    struct suppress_policy policy;
    unsigned node;
};

enum ledger_marked {
    LEDGER_MARKED,     /* the dot may go once this is committed */
    LEDGER_SUPPRESSED, /* the address is excluded: it is in state suppressed now */
    LEDGER_GONE,       /* no longer owed, changed by somebody else, or the bucket is not ours */
};
struct ledger_mark {
    uint64_t id;
    unsigned attempts;         /* as claimed: another number means that our claim is old */
    enum delivery_state state; /* as claimed */
    uint64_t version_id;       /* to be pinned */
    time_ms date;              /* to be pinned */
    uint64_t source_id;        /* by which it goes; 0: the system chooses the address */
    uint64_t pinned_id;        /* as claimed: by which it was in doubt before; 0: it was not */
    enum ledger_marked result;
};
/* Put deliveries on the wire. What ends in doubt keeps its source: the next attempts go by it, while it lives. */
NODISCARD bool ledger_mark(const struct ledger *ledger, struct db *db, struct fault *why, struct ledger_mark *marks,
                           size_t count, time_ms now);

/* Take marks back that led to nothing: the conversation ended before the dot. They are what `state` says again. */
NODISCARD bool ledger_unmark(const struct ledger *ledger, struct db *db, struct fault *why,
                             const struct ledger_mark *marks, size_t count, time_ms now);

#define LEDGER_BIT(state) (1u << (state))
enum {
    LEDGER_OWED = LEDGER_BIT(DELIVERY_WAITING) | LEDGER_BIT(DELIVERY_DEFERRED) | LEDGER_BIT(DELIVERY_HELD) |
                  LEDGER_BIT(DELIVERY_ON_WIRE) | LEDGER_BIT(DELIVERY_IN_DOUBT),
};
struct ledger_move {
    struct event
        event;     /* delivery_id, kind, state_after, at and whatever is known of the cause. address and domain too */
    unsigned from; /* LEDGER_BIT of the states it may leave */
    bool is_before_known; /* event.state_before says what it was before the mark; otherwise the row is asked */
    bool is_attempt;      /* attempts + 1 */
    bool is_mine;         /* what came of a claim of ours: of what is on the wire only what this node has marked */
    uint64_t pinned_id; /* is_attempt: with an answer the source of the mark is forgotten for this one, of the claim */
    time_ms due;        /* for states that are owed */
    bool is_moved;      /* out: false: it was in no state of `from`, or not ours; no event was written */
    bool is_doubted;    /* out: the site guard holds it; the event says so now */
    struct verdict as_said; /* out: the verdict of a doubted one */
};
/* A query for moves, of a delivery d in its lane l (more: columns behind these, with a comma); and the event's part of
 * a move read from its row, texts in the arena. */
#define LEDGER_EVENT_SQL(more, where)                                                                                  \
    "SELECT d.id, d.address, l.domain, d.campaign_id, d.contact_id, d.brand_id" more                                   \
    " FROM delivery d JOIN lane l ON l.id = d.lane_id WHERE " where
void ledger_event_read(const struct rows *rows, struct arena *arena, struct event *event);

/* Move deliveries, each with its event, its exclusion or its strike. */
NODISCARD bool ledger_settle(const struct ledger *ledger, struct db *db, struct fault *why, struct ledger_move *moves,
                             size_t count);

/* Is anything on the wire in this bucket? Each start asks: it must be a look into delivery_apart, whose words it
 * repeats, and not a walk through all deliveries there ever were (the test looks at the plan). */
#define LEDGER_MARKS_SQL                                                                                               \
    "SELECT bucket FROM delivery WHERE bucket = $1 AND ((28 >> state) & 1) = 1 AND state = 3 LIMIT 1"

/* After leases_keep, in the same job: what nodes that do not live have on the wire in these buckets of ours is in
 * doubt, due again after wait_ms; and with a new life what our number has on the wire anywhere. *count of them. */
NODISCARD bool ledger_recover(const struct ledger *ledger, struct db *db, struct fault *why,
                              const struct bucket_set *buckets, bool is_new_life, time_ms now, time_ms wait_ms,
                              int64_t *count);
/* In doubt and due: try again as the same mail, unless the brand wants them held for a person (brand.in_doubt). At most
 * `most`, of buckets we hold. *released, in the arena: what the claimer must hear once the job is committed. */
struct ledger_released {
    struct lane_key lane;
    unsigned bucket;
    uint64_t source_id; /* of one node alone, by which it was in doubt and goes again; 0: any will do */
};
NODISCARD bool ledger_release_doubtful(const struct ledger *ledger, struct db *db, struct fault *why, time_ms now,
                                       size_t most, struct arena *arena, struct ledger_released **released,
                                       size_t *count);
/* The clock was wrong, ahead, and is right again (F8): whatever was written down after `now` is due as long after now
 * as it was meant to be after then. Of buckets we hold; the claimer must read its lanes anew. */
NODISCARD bool ledger_set_right(const struct ledger *ledger, struct db *db, struct fault *why, time_ms now,
                                int64_t *count);
/* Cancel what a campaign still owes, in batches: call until *count is 0. On-wire rows are left to their outcome. */
NODISCARD bool ledger_cancel_campaign(const struct ledger *ledger, struct db *db, struct fault *why,
                                      uint64_t campaign_id, unsigned bucket, time_ms now, int64_t *count);

#endif
