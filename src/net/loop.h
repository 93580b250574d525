/* loop.h - one thread's loop: descriptors, timers, deferred calls
 *
 * A loop and everything on it belong to the thread that runs it; only loop_stop, loop_wake and mailbox_post may be
 * called from others. Built on a libevent event_base; timers are ours (an intrusive heap on the world's monotonic
 * clock, where moving a deadline later costs nothing). Nothing may block inside a loop.
 *
 * One turn: deferred calls, due timers, then what descriptors and mailboxes report. */
#ifndef TODOKE_NET_LOOP_H
#define TODOKE_NET_LOOP_H

#include "net/world.h"
#include <pthread.h>

struct event;
struct event_base;
struct loop;

struct loop *loop_new(struct world *world);
/* All timers, streams, listeners and mailboxes must be gone. */
void loop_free(struct loop *loop);
/* Until loop_stop. */
void loop_run(struct loop *loop);
/* One turn: waits at most max_wait_ms (0: only what is ready now; negative: until something happens); not at all when
 * a deferred call or a timer was due. */
void loop_turn(struct loop *loop, time_ms max_wait_ms);
/* Ask the loop to leave loop_run after this turn. From any thread. */
void loop_stop(struct loop *loop);
/* End a wait at once. From any thread; coalesced into one eventfd write. */
void loop_wake(struct loop *loop);

/* The loop on a thread of its own: `begin` and `end` (may be NULL) are called there, before it runs and after. In a
 * simulated world (net/schedule.h) there is no thread: the loop is stepped. */
struct loop_thread {
    struct loop *loop;
    void (*begin)(void *owner), (*end)(void *owner);
    void *owner;
    pthread_t thread;
};
/* Stops the program when there can be no thread. */
void loop_thread_start(struct loop_thread *thread, struct loop *loop, void (*begin)(void *owner),
                       void (*end)(void *owner), void *owner);
/* What `top -H` and perf call it; at most 15 characters. */
void loop_thread_name(struct loop_thread *thread, const char *name);
/* Called on it (by `begin`): from now on it computes when the program's other threads leave a core free. */
void loop_thread_give_way(struct loop_thread *thread);
/* Called on it: base/thread.h. */
void loop_thread_short_turns(struct loop_thread *thread);
/* Stop it and wait for its end. */
void loop_thread_join(struct loop_thread *thread);

struct world *loop_world(struct loop *loop);
/* The monotonic clock as read at the start of this turn, or after its wait; cheap. */
time_ms loop_now(struct loop *loop);
/* The loop's own generator: shuffling, jitter. */
struct random *loop_random(struct loop *loop);
/* For libraries that live inside a libevent base (libunbound). */
struct event_base *loop_base(struct loop *loop);

/* A one-shot timer, embedded in its owner: get the owner back with container_of or `owner`. Fires at or after its
 * instant, never before timer_set has returned. */
struct timer {
    void (*fire)(struct timer *timer);
    void *owner;
    struct loop *loop;
    time_ms due;    /* when it fires */
    time_ms queued; /* what the heap is ordered by: at most due */
    size_t place;   /* in the heap, from 1; 0: not set */
};
void timer_init(struct timer *timer, struct loop *loop, void (*fire)(struct timer *timer), void *owner);
/* (Re)arm it, `in_ms` from now. */
void timer_set(struct timer *timer, time_ms in_ms);
void timer_clear(struct timer *timer);
static inline bool timer_is_set(const struct timer *timer)
{
    return timer->place != 0;
}

/* A call made at the start of the next turn (once, however often it was asked for). */
struct deferred {
    void (*call)(struct deferred *deferred);
    void *owner;
    struct loop *loop;
    struct deferred *next, *before;
    bool is_waiting;
};
void deferred_init(struct deferred *deferred, struct loop *loop, void (*call)(struct deferred *deferred), void *owner);
void deferred_ask(struct deferred *deferred);
void deferred_clear(struct deferred *deferred);

/* A watched descriptor; level-triggered. Changing what is wanted costs at most one epoll_ctl, and none when it does
 * not change. The descriptor stays the owner's; clear the watch before closing it. */
struct watch {
    void (*ready)(struct watch *watch, bool can_read, bool can_write);
    void *owner;
    struct loop *loop;
    struct event *event;
    int fd;
    bool wants_read, wants_write;
};
void watch_init(struct watch *watch, struct loop *loop, int fd,
                void (*ready)(struct watch *watch, bool can_read, bool can_write), void *owner);
void watch_want(struct watch *watch, bool wants_read, bool wants_write);
void watch_clear(struct watch *watch);

#endif
