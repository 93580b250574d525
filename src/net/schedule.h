/* schedule.h - a simulation's threads: all loops of one world, stepped by one thread in a fixed order, on its own clock
 *
 * A world made by world_init_manual gets a schedule before its first loop. From then on its loops have no descriptors
 * and no threads: loop_thread_start only names them, mailbox_post marks the receiver's loop, and whatever has work
 * takes a turn, in the order the loops were made, again and again; when nothing has, the clock moves to the next timer.
 * The same seed gives the same run. Nothing here is used, or costs anything, when a world has no schedule. */
#ifndef TODOKE_NET_SCHEDULE_H
#define TODOKE_NET_SCHEDULE_H

#include "net/world.h"

struct loop;
struct schedule;

/* Becomes world->schedule. */
struct schedule *schedule_new(struct world *world);
/* Loops first. */
void schedule_free(struct schedule *schedule);

/* Whoever works without a loop (the store's writer): asked after each round of turns; gives back whether it did
 * something. */
void schedule_also(struct schedule *schedule, bool (*work)(void *owner), void *owner);

/* One round of turns; when there was nothing to do the clock moves on, to `until` at most. False: it is `until`. */
bool schedule_step(struct schedule *schedule, time_ms until);
/* Until so many ms have passed. */
void schedule_run(struct schedule *schedule, time_ms ms);
/* Turns taken since the start. */
uint64_t schedule_turns(const struct schedule *schedule);

/* For loop.c. */
void schedule_join(struct schedule *schedule, struct loop *loop);
void schedule_leave(struct schedule *schedule, struct loop *loop);

#endif
