/* ordered.h - what people ordered of the pace (queue/order.h: suspend, resume), carried out in memory
 *
 *     each second, or woken --suspensions and orders read--> dispatcher --> every worker: its ways --the last one-->
 *     the writer: done, so many ways
 *
 * Suspensions (shape/suspension.h) are known to each worker as a whole, and hold for ways that come later, too. */
#ifndef TODOKE_DELIVER_ORDERED_H
#define TODOKE_DELIVER_ORDERED_H

#include "deliver/dispatcher.h"

struct egress;
struct ordered;
struct suspended_set;
struct worker;

/* The dispatcher's, each second: has anybody ordered anything? */
void ordered_look(struct dispatcher *dispatcher);
/* The worker's part. */
void ordered_arrived(struct worker *worker, struct ordered *ordered);
/* A new way of a worker: is it suspended? */
void ordered_begin(const struct worker *worker, struct egress *egress, time_ms now);
void suspended_set_free(struct suspended_set *set);
/* That never came to its workers. */
void ordered_drop(struct ordered *ordered);

#endif
