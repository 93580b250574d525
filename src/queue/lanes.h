/* lanes.h - which deliveries to claim next, without ever looking at those that cannot go
 *
 * A lane is (priority, brand, campaign, recipient domain), and apart where its mails waive TLS, or were in doubt by a
 * source that one node alone has. The store keeps what is
 * owed (delivery rows, indexed by bucket, lane, due); memory keeps, for each lane, which buckets may have something due
 * and when the next one wakes. A million rows due for a site that is full are never scanned, and stand in nobody's way;
 * memory grows with lanes that are owed something, not with the backlog, nor with those of the past.
 *
 *     asleep (next_due) --wakes--> active in its group --claims, until every bucket is drained--> asleep, or forgotten
 *
 * A group is what shares one site: its active lanes take turns (turns.h: brands by weight, then campaigns, then lanes),
 * transactional (priority 0) ones first. Claiming only
 * reads: it gives rows not already in memory; the durable mark (ledger.h) is what makes a claim true. All of it belongs
 * to one thread, which has its own reader connection. */
#ifndef TODOKE_QUEUE_LANES_H
#define TODOKE_QUEUE_LANES_H

#include "base/buf.h"
#include "base/map.h"
#include "queue/recipient.h"
#include "store/lease.h"

enum {
    LANE_PRIORITIES = 2,
    LANE_TURN = 32, /* rows that a brand of weight 1 may give before the next brand's turn, when many are claimed */
    LANE_TURN_LEAST = 4,
    LANE_WEIGHT_MOST = 100,
};

struct lanes;
struct lane_group {                            /* embedded in whatever stands for a site; zeroed is empty */
    struct ring_link *brands[LANE_PRIORITIES]; /* rings of those with active lanes */
    size_t active_count;
};
static inline bool lane_group_has_urgent(const struct lane_group *group)
{
    return group->brands[0] != NULL;
}

/* What a domain needs before its lanes can be claimed: called once when its first lane wakes, and once more when the
 * first transactional one does; answer with lanes_route. */
typedef void (*lanes_want_route)(void *owner, struct slice domain, bool is_urgent);
/* Work has become due in this group. */
typedef void (*lanes_woken)(void *owner, struct lane_group *group);

struct lanes *lanes_new(struct db *reader, lanes_want_route want_route, lanes_woken woken, void *owner);
void lanes_free(struct lanes *lanes);

/* Read every lane that is owed anything from the store: at start, and when more is served than before. A piece at a
 * time, so that what is found first need not wait for the rest: begin, then more of it until is_done. Begun again
 * before it is done, it goes round once more. Campaigns with ranks (lanes_rank) sleep until all has been read once.
 * WORLD: asked again, it goes on where it stood. */
void lanes_load_begin(struct lanes *lanes);
NODISCARD bool lanes_load_more(struct lanes *lanes, bool *is_done, struct fault *why);

/* Rows were added to this lane (after the commit) in this bucket; due: the earliest of them. */
struct lane_key {
    uint64_t id, brand_id, campaign_id;
    int priority;
    bool waives_tls;    /* its mails say TLS-Required: No (RFC 8689): receivers' policies do not hold for them */
    uint64_t source_id; /* one node's, by which its mails were in doubt and go again (queue/lane_pin.h); 0: any */
    struct slice domain;
};
void lanes_added(struct lanes *lanes, const struct lane_key *key, unsigned bucket, time_ms due);

/* Several nodes share the buckets (store/lease.h). served: which buckets of a lane are this node's to claim; the others
 * are forgotten here, and what is heard of them goes to `elsewhere`. Call it again when the answer has changed; what
 * is served from now on is read by lanes_load_begin and lanes_load_more. Without it all are served. */
struct lanes_share {
    void (*served)(void *context, const struct lane_key *key, struct bucket_set *set);
    void (*elsewhere)(void *context, const struct lane_key *key, unsigned bucket, time_ms due);
    void *context;
    struct bucket_set buckets; /* all that are served of some lane */
};
void lanes_serve(struct lanes *lanes, const struct lanes_share *share);

/* The domain belongs to this group from now on, and its recipients go to that destination (both NULL: unknown again,
 * ask anew when something is due). */
void lanes_route(struct lanes *lanes, struct slice domain, struct lane_group *group, struct destination *destination);

/* From now on a lane's route has this name instead of its domain; wants_route and lanes_route, lanes_forget speak of
 * it. Asked about every lane there is, and each one that comes; call it again when the names have changed. */
typedef void (*lanes_namer)(void *context, const struct lane_key *key, struct buf *name);
void lanes_name_routes(struct lanes *lanes, lanes_namer namer, void *context);

/* Nothing is owed to this domain: forget it and its route. False: something is. */
bool lanes_forget(struct lanes *lanes, struct slice domain);

/* When something of this domain is to be done: 0: now, or it waits for its route; INT64_MAX: nothing is known to be
 * due.
 */
time_ms lanes_next_due(const struct lanes *lanes, struct slice domain);

/* Wake what is due; gives the instant of the next one (INT64_MAX: none). */
time_ms lanes_wake(struct lanes *lanes, time_ms now);

/* Claim at most `most` due rows of the group into a list (by ->next). WORLD: the store cannot be read; nothing is
 * claimed. */
NODISCARD bool lanes_claim(struct lanes *lanes, struct lane_group *group, time_ms now, size_t most,
                           struct recipient **list, size_t *count, struct fault *why);

/* The same of transactional (priority 0) ones only. */
NODISCARD bool lanes_claim_urgent(struct lanes *lanes, struct lane_group *group, time_ms now, size_t most,
                                  struct recipient **list, size_t *count, struct fault *why);

/* Lanes that cannot go may have rows whose sender has named an end (given less than `house` from their acceptance to
 * it), and that end has come: they are claimed all the same, so that somebody ends them. A walk over all lanes; a call
 * looks at one bucket of one lane, or passes over many that it has nothing to do with, and claims LANES_ENDED_MOST. It
 * reads what is due in that bucket. is_round: the walk is through, and begins anew with the next call. WORLD: as
 * lanes_claim. */
struct lanes_ended {
    bool (*is_shut)(void *context, const struct lane_group *group); /* may this group's mail not go now? */
    void *context;
    time_ms now, house;
};
enum { LANES_ENDED_MOST = 200 };
NODISCARD bool lanes_claim_ended(struct lanes *lanes, const struct lanes_ended *ended, struct recipient **list,
                                 size_t *count, bool *is_round, struct fault *why);

/* A brand's share of a site that is full: 1 (what everybody has) .. LANE_WEIGHT_MOST. */
void lanes_weigh(struct lanes *lanes, uint64_t brand_id, unsigned weight);

/* A campaign whose rows are due in ranks, a few instants up to `last`: no row of a rank is claimed of a lane while it
 * has one of an earlier rank that is not in memory, whatever the bucket. */
void lanes_rank(struct lanes *lanes, uint64_t campaign_id, time_ms last);

/* A claimed one came home: its outcome is committed (next_due says what then), or it was not tried (next_due = its old
 * due). Frees it. */
void lanes_return(struct lanes *lanes, struct recipient *recipient);

/* Holds: lanes that `is_held` names are passed over from now on, and want no route. Call it again whenever the holds
 * change, and lanes_wake afterwards; lanes that come later are asked about with the same context. */
void lanes_hold(struct lanes *lanes, bool (*is_held)(void *context, const struct lane_key *key), void *context);

struct lanes_figures {
    size_t lanes, domains, claimed;
    uint64_t queries, rows_read; /* what claiming has cost so far */
};
struct lanes_figures lanes_figures(const struct lanes *lanes);

#endif
