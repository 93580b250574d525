/* bell.h - what the nodes of one PostgreSQL store call to each other (private to store/; store.h has the public half)
 *
 * One connection and one thread of its own: it LISTENs, and rings for this node (pg_notify, in transactions that wait
 * for no disk: NOTIFY takes a lock over the whole cluster until its commit, which no group commit should hold). It also
 * holds this node's number: two servers of one number would take each other's buckets for their own.
 *
 * A ring may be lost with a connection or a process. Who hears `missed` looks everywhere. */
#ifndef TODOKE_STORE_BELL_H
#define TODOKE_STORE_BELL_H

#include "store/store.h"

struct bell;
/* INPUT: another process serves with this number. WORLD. `marks` is called on the bell's thread. */
struct bell *bell_start(const char *url, unsigned node, void (*marks)(void *context, unsigned marks), void *context,
                        struct fault *why);
void bell_stop(struct bell *bell); /* hears and rings no more; the rest may still be called */
void bell_free(struct bell *bell);
/* From any thread. */
void bell_ring(struct bell *bell, struct slice words);
void bell_marks(struct bell *bell, unsigned marks);
void bell_listen(struct bell *bell, struct store_listener *listener, bool is_added);

#endif
