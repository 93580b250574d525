/* stand_in.h - by which pool a pool's mail leaves while it has no way of its own (S68, S77)
 *
 * A pool has a way while one of its sources may be used (active, no trouble, on a node that lives) and has something
 * left of its day: a source whose plan for all sites is used up today has none. A pool that stands in must have a
 * usable source; it hands on to nobody. The pool's mail comes back as soon as it has a way again. */
#ifndef TODOKE_SHAPE_STAND_IN_H
#define TODOKE_SHAPE_STAND_IN_H

#include "base/arena.h"
#include "base/time.h"
#include "store/db.h"

struct stand_in {
    struct slice pool, by;
    bool has_way;   /* of its own */
    bool is_capped; /* no way, and only because the day is used up */
    bool is_usable; /* `by` has a usable source */
};
static inline bool stand_in_now(const struct stand_in *stand_in)
{
    return !stand_in->has_way && stand_in->is_usable;
}
/* By pool. `now`: wall. */
NODISCARD bool stand_in_list(struct db *db, struct fault *why, time_ms now, struct arena *arena, struct stand_in **list,
                             size_t *count);
/* Inside a write job. by "": nobody from now on. INPUT: a name that is none, or the pool itself. */
NODISCARD bool stand_in_set(struct db *db, struct fault *why, struct slice pool, struct slice by, time_ms now);

#endif
