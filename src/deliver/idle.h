/* idle.h - what nobody uses now, oldest first, until it may be forgotten
 *
 *     used --idle_rests--> resting --idle_next: its time has come, or too many rest--> asked --idle_answered--> gone
 *                             ^---------------- used meanwhile, or it must stay ---------|
 *
 * A pure thing: the clock goes in. Who rests is asked about after `after`, and sooner while more than `most` rest; its
 * keeper says whether it may go. So at most `most` rest besides those that must stay for a time (a limit's window, a
 * suspension), each step costs the same however many there are, and nothing is freed in here. */
#ifndef TODOKE_DELIVER_IDLE_H
#define TODOKE_DELIVER_IDLE_H

#include "base/time.h"

#include <stdbool.h>
#include <stddef.h>

enum idle_state { IDLE_USED, IDLE_RESTS, IDLE_ASKED };
struct idle_link { /* embedded; zeroed is used */
    struct idle_link *before, *next;
    time_ms since, stays_until;
    enum idle_state state;
    bool was_used; /* since it was asked about */
};
struct idle_list {
    struct idle_link *oldest, *newest;
    size_t count, most; /* that rest */
    time_ms after;
};

/* Nobody uses it any more. Those asked about hear it with the answer. */
void idle_rests(struct idle_list *list, struct idle_link *link, time_ms now);
/* Somebody does. */
void idle_used(struct idle_list *list, struct idle_link *link);
/* The next one to be asked about, *is_pressed: because there are too many; NULL: none now. */
struct idle_link *idle_next(struct idle_list *list, time_ms now, bool *is_pressed);
/* True: it may be freed. Otherwise it rests on, or is used, as `is_in_use` says. stays_until: not before then, however
 * many there are (0: only because nothing presses). */
bool idle_answered(struct idle_list *list, struct idle_link *link, bool may_go, bool is_in_use, time_ms stays_until,
                   time_ms now);

#endif
