/* total.h - limits of a site over all our sources, processes and nodes: turns and permits (R28)
 *
 * What a receiver counts for us as a whole (total_rate, total_connections of a rule) is shared through the store, and
 * reserved there before it is used: no window and no moment ever has more, whoever crashes, stops, or starts beside.
 *
 *     turns    the instants at which one mail may go, spaced so that no window of the rate's period has more than its
 *              count (gate.h). The store knows the first free one; who has mail takes the next few. A turn is good
 *              until `slack` behind its instant, and then lost.
 *     permits  connections that stand or are on their way. Each holder (a node's pool) says how many it has and wants;
 *              the sum never exceeds the limit. With holders that wait, nobody gets more than his part, those who have
 *              waited longest come first, and who has more lets go of what ends. A dead life's permits are free.
 *
 * Clocks: turns are of the database's, and each node reckons with its own monotonic one, never early. */
#ifndef TODOKE_SHAPE_TOTAL_H
#define TODOKE_SHAPE_TOTAL_H

#include "net/world.h"
#include "shape/gate.h"
#include "shape/site.h"
#include "store/db.h"

/* So many turns from `first` on, `interval` apart, each good for `usable` (all in microseconds, monotonic). */
struct total_turns {
    int64_t first_us, interval_us, usable_us;
    unsigned count;
};
static inline struct gate_pace total_pace(struct site_rate rate)
{
    enum { SLACK_PART = 8 };
    return gate_pace(rate.count, rate.per * 1000, SLACK_PART);
}
/* How many to ask for: those of about a quarter of a second. */
unsigned total_turns_block(struct site_rate rate);
/* Those that are over are lost. 0: the first of them is there now; otherwise ms until it is; -1: none is left. */
time_ms total_turns_wait(struct total_turns *turns, time_ms now);
void total_turns_use(struct total_turns *turns);

struct total_ask {
    const struct world *world;
    struct slice site, holder; /* holder: told apart within the node */
    unsigned node;
    int64_t life;
    struct site_rate rate; /* count 0: no limit */
    unsigned want_turns;
    bool goes_on;         /* until now it was used without turns: the first one is an interval away */
    unsigned connections; /* the limit; 0: none */
    unsigned has, want;   /* connections: that stand or are on their way; with those that would have work */
    /* out */
    struct total_turns turns;
    unsigned permits; /* at least `has`, while our life lasts */
    unsigned most;    /* who has more lets go of what ends: others wait */
};
/* Inside a write job; may run again. */
NODISCARD bool total_reserve(struct db *db, struct fault *why, struct total_ask *ask);

#endif
