/* queue_order.h - what a person orders of the queue (queue/order.h), where sources and campaigns come in
 *
 * A source stands for the mail that leaves by its pool; of a suspend and a resume, for itself alone. An order that is
 * of one campaign alone is that campaign's pause or its going on. */
#ifndef TODOKE_CAMPAIGN_QUEUE_ORDER_H
#define TODOKE_CAMPAIGN_QUEUE_ORDER_H

#include "base/arena.h"
#include "queue/order.h"

enum { QUEUE_SUSPEND_DAYS_MOST = 30 };

/* Its filters alone: order->source finds its pool and its id; a brand beside its own campaign goes. INPUT: no such
 * source, no such pool; a campaign of another brand. */
NODISCARD bool queue_filter_ready(struct db *db, struct fault *why, struct queue_order *order, struct arena *arena);
/* Before it is given or counted; the filters too. INPUT: as above; a pool to move to that has no source; no filter at
 * all; of a suspend or a resume: no site, another filter, no end or one too late. */
NODISCARD bool queue_order_ready(struct db *db, struct fault *why, struct queue_order *order, struct arena *arena);
/* Inside a write job. INPUT: a hold of a campaign that is not under way. */
NODISCARD bool queue_order_begin(struct db *db, struct fault *why, struct queue_order *order);

/* Inside a write job: a campaign is paused (hold), goes on (release) or is cancelled (purge) by its own name, and that
 * is on record among the orders. INPUT: it is in no state for that. */
NODISCARD bool campaign_order(struct db *db, struct fault *why, enum order_verb verb, uint64_t campaign_id,
                              struct slice who, struct slice reason, time_ms now);

#endif
