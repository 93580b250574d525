/* order.h - what a person tells the queue to do: hold, release, retry, purge, move; suspend and resume
 *
 *     given --slices, bucket by bucket, each by the node that owns it--> done
 *
 * An order speaks of what was accepted until it was given (or longer ago): mails that come later are not its business.
 *     hold     waiting, deferred -> held; what is on the wire, too, if it comes back deferred and nobody has ordered a
 *              release meanwhile. Without any filter but a brand, a campaign or a domain it is a standing hold instead
 *              (a row of `hold`; a campaign's is its pause, which the caller makes): nothing is moved, and what comes
 *              later is held too
 *     release  held -> deferred or waiting, due now; and the standing hold of that brand or domain goes. What the site
 *              guard holds stays: `todoke guard retry` is for that
 *     retry    what is deferred is due now, instead of at its hour: their server is back. Its receiver's pace,
 *              suspension and breaker hold as before, and so does a hold
 *     purge    owed -> cancelled. What is on the wire ends as it ends; if it comes back deferred, it is cancelled then;
 *              and if it ended, and the site's guard takes that end back, too (order_purge_again)
 *     move     lanes (mail of one brand or campaign to one domain) that owe anything of it leave by another pool of
 *              sources from now on, what comes to them later too; what is in memory or on the wire goes as it goes. A
 *              lane moves as a whole, so `moved` counts lanes
 *
 * Two orders are of a site's pace, by one source or by all, and move no mail:
 *     suspend  no connection is opened there until an hour (shape/suspension.h)
 *     resume   that is over; and so is what the nodes hold against the site by themselves: suspensions by its words or
 *              by the guard, the breaker, the pace they have learnt (pace_resume)
 * Each node that lives when it is given carries it out in its memory (deliver/ordered.h); `moved` counts ways (a
 * source's to the site) that it changed.
 *
 * The order stays as the record of who did what, when, to how many. The moves are ledger.h's, each with its event. */
#ifndef TODOKE_QUEUE_ORDER_H
#define TODOKE_QUEUE_ORDER_H

#include "queue/ledger.h"

#define ORDER_VERBS(X)                                                                                                 \
    X(HOLD, hold)                                                                                                      \
    X(RELEASE, release)                                                                                                \
    X(PURGE, purge)                                                                                                    \
    X(MOVE, move)                                                                                                      \
    X(RETRY, retry)                                                                                                    \
    X(SUSPEND, suspend)                                                                                                \
    X(RESUME, resume)
#define ORDER_VERB_ENUM(NAME, word) ORDER_##NAME,
enum order_verb { ORDER_VERBS(ORDER_VERB_ENUM) ORDER_VERB_COUNT };
struct slice order_verb_word(enum order_verb verb);
/* suspend, resume */
static inline bool order_is_of_pace(enum order_verb verb)
{
    return verb == ORDER_SUSPEND || verb == ORDER_RESUME;
}

struct queue_order {
    uint64_t id; /* out of order_give */
    time_ms at;
    struct slice who;
    enum order_verb verb;
    uint64_t brand_id, campaign_id; /* 0: any */
    struct slice domain, site;      /* "": any. site: of the delivery's last reply */
    struct slice pool, source;      /* by which it leaves; the source that a person named it by. "": any */
    struct slice to_pool;           /* of a move; "": the brand's own again */
    uint64_t source_id;             /* of a suspend or a resume: by this source alone; 0: by all */
    time_ms until;                  /* of a suspend */
    time_ms accepted_until;         /* at most `at` */
    struct slice why;
    /* of those that were listed */
    int64_t moved, buckets_left; /* of a suspend or a resume: nodes */
    time_ms done;                /* 0: under way */
};

/* Only a brand, a campaign or a domain: such a hold stands, for mails of later too. */
bool order_is_standing(const struct queue_order *order);

/* In a write job. INPUT: no filter at all; of the pace: no site, or a resume by one source of a site that is suspended
 * by all. */
NODISCARD bool order_give(struct db *db, struct fault *why, struct queue_order *order);

/* In a write job: on record as done, and nothing else: whoever gives it has seen to what it says himself. */
NODISCARD bool order_note(struct db *db, struct fault *why, struct queue_order *order);

/* How many deliveries it would move now, by their state. */
NODISCARD bool order_count(struct db *db, struct fault *why, const struct queue_order *order,
                           int64_t states[DELIVERY_STATE_COUNT]);

/* The owed deliveries that the order's filters mean, whatever its verb; only those in `state` (DELIVERY_STATE_COUNT:
 * all), the next due first, at most `limit`: id, address, state, changed_ms, due_ms, attempts, campaign_id. */
NODISCARD bool order_rows(struct db *db, struct fault *why, const struct queue_order *order, enum delivery_state state,
                          int64_t limit, struct rows *rows);

/* Whose mail was held or cancelled, for those who have it in memory: of this brand, campaign and domain; 0, "": any. */
struct order_reach {
    uint64_t brand_id, campaign_id;
    struct slice domain;
};
enum { ORDER_REACHES_MOST = 16 };
/* One more, unless it is among them; the last place stands for all that found none. */
void order_reach_add(struct order_reach reaches[ORDER_REACHES_MOST], size_t *count, const struct order_reach *reach);

/* In a write job: go on with the oldest orders in buckets that are ours, about `most` rows. *released, in the arena,
 * and `reaches`: what the claimer must hear once the job is committed. *has_more: call again at once; otherwise what is
 * left waits for mails on the wire or is another node's. */
struct order_step {
    struct ledger_released *released;
    size_t released_count;
    struct order_reach reaches[ORDER_REACHES_MOST];
    size_t reach_count;
    int64_t moved;
    bool has_more, has_open; /* there are orders that are not done */
};
NODISCARD bool order_step(const struct ledger *ledger, struct db *db, struct fault *why, time_ms now, size_t most,
                          struct arena *arena, struct order_step *step);

/* In a write job that has taken verdicts of this site back (suppress/guard.h): what is held now and was purged is still
 * purged. The orders that mean it are under way again, in its buckets. */
NODISCARD bool order_purge_again(struct db *db, struct fault *why, struct slice site);

/* Orders of the pace that this node has to carry out, oldest first, at most `most`: id, verb, site, source_id, source
 * and until. */
NODISCARD bool order_of_pace_open(struct db *db, struct fault *why, unsigned node, size_t most, struct arena *arena,
                                  struct queue_order **orders, size_t *count);
/* In a write job: it is done; so many ways were changed. */
NODISCARD bool order_of_pace_done(struct db *db, struct fault *why, unsigned node, uint64_t id, int64_t moved,
                                  time_ms now);

/* Newest first. Texts in the arena. id 0: all; before: those that are older than this one, 0: from the newest. */
NODISCARD bool order_list(struct db *db, struct fault *why, uint64_t id, uint64_t before, size_t limit,
                          struct arena *arena, struct queue_order **orders, size_t *count);

#endif
