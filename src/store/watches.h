/* watches.h - who is called after commits, and when nothing happens (private to store/)
 *
 * The list is shared: anybody adds and removes, under the lock; only the writer's thread calls, and without the lock.
 * The times of the polls are that thread's alone. */
#ifndef TODOKE_STORE_WATCHES_H
#define TODOKE_STORE_WATCHES_H

#include "store/store.h"
#include <pthread.h>

struct watches {
    pthread_mutex_t lock;
    pthread_cond_t called; /* is_calling has become false */
    struct store_watch *first;
    bool is_calling;
    time_ms due; /* monotonic: the next poll, of those who asked for one of their own, or of all */
    time_ms all; /* of all of them */
};

void watches_init(struct watches *watches, time_ms now);
void watches_release(struct watches *watches);
void watches_add(struct watches *watches, struct store_watch *watch);
/* It is called no more when this returns. is_caller: we are inside of a call, and do not wait for its end. */
void watches_remove(struct watches *watches, const struct store_watch *watch, bool is_caller);
/* STORE_MARK_POLL alone, before the second of all is over: only those who asked for it are called. */
void watches_call(struct watches *watches, unsigned marks, time_ms now);
/* The next poll is at once, and of all. */
void watches_hurry(struct watches *watches);

#endif
