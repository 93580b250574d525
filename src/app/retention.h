/* retention.h - what is too old goes, a little at a time, by the node that leads
 *
 * A thread of its own asks, the store's writer deletes: slices of a few hundred rows between other writes, then a
 * pause. One round goes through everything; the next begins ten minutes later. Ages are by the world's clock. What
 * goes, and what stays of it: docs/internals/growth.md. */
#ifndef TODOKE_APP_RETENTION_H
#define TODOKE_APP_RETENTION_H

#include "net/world.h"
#include "store/lease.h"
#include "store/store.h"

struct retention_options {
    struct store *store;
    struct leases *leases; /* NULL: there is only one node */
    struct world *world;
    time_ms events;   /* and with them ended deliveries, stored mails without a body, opens and clicks */
    time_ms inbound;  /* received mail as it came */
    time_ms counters; /* after a campaign's end, its counters are folded (report/fold.h) */
    time_ms logs;     /* attempts of webhooks, orders that are done, alarms that have ended, imports, TLS counts */
};
struct retention;
/* WORLD: the store cannot be read. */
struct retention *retention_start(const struct retention_options *options, struct fault *why);
/* NULL is fine. */
void retention_stop(struct retention *retention);

/* One round now, without a thread (for commands and tests). */
struct retention_done {
    int64_t events, parts, deliveries, inbound, messages, counters, others, pages;
};
NODISCARD bool retention_round(const struct retention_options *options, struct db *reader,
                               const _Atomic bool *is_stopping, struct retention_done *done, struct fault *why);

#endif
