/* tls_seen.h - hosts that had TLS lately: who strips STARTTLS from a conversation gets no clear text (R32)
 *
 * Opt-in: where the rule `seen` holds (docs/tls.md), each MX host whose TLS came about is remembered in the store
 * (table tls_seen, at most once a day), and for engine_options.tls_remember afterwards nothing goes there without. What
 * is remembered is read with the route and stands beside it (struct route_kept); the worker adds what it meets itself,
 * so that the very next connection knows. */
#ifndef TODOKE_DELIVER_TLS_SEEN_H
#define TODOKE_DELIVER_TLS_SEEN_H

#include "base/fault.h"
#include "store/db.h"

struct dispatcher;
struct route_kept;
struct slot;

/* The dispatcher's: when a route is made. Gives a hash of what is remembered; 0: nothing, or the rule does not hold. */
uint64_t tls_seen_read(struct dispatcher *dispatcher, struct route_kept *kept);
/* `now`: wall. */
bool tls_was_seen(const struct route_kept *kept, size_t host, time_ms now);
/* The worker's: this conversation is in TLS. */
void tls_seen_note(struct slot *slot);
/* It was there, and is not now: a line in the log, once an hour for each destination. */
void tls_seen_vanished(struct slot *slot);

/* Inside a write job. *changed 0: nothing was remembered of it. Running servers follow within a few seconds. */
NODISCARD bool tls_seen_forget(struct db *db, struct fault *why, struct slice host, time_ms now, int64_t *changed);

#endif
