/* suspension.h - receivers that a person has suspended for a time (`todoke queue suspend`)
 *
 * One for each (site, source), or for a site by all sources; it holds on every node, over restarts, until its hour or
 * until a person resumes the site. Not before the hour, and whatever the receiver says, a connection is opened there.
 */
#ifndef TODOKE_SHAPE_SUSPENSION_H
#define TODOKE_SHAPE_SUSPENSION_H

#include "base/arena.h"
#include "base/time.h"
#include "store/db.h"

struct suspension {
    struct slice site;
    uint64_t source_id;  /* 0: by all sources */
    struct slice source; /* its address, for people */
    struct slice who, why;
    time_ms since, until; /* wall */
};

/* Inside a write job: in the place of an earlier one of the same site and source. Those whose hour has come go. */
NODISCARD bool suspension_set(struct db *db, struct fault *why, const struct suspension *suspension);
/* Inside a write job. source_id 0: all of the site. */
NODISCARD bool suspension_lift(struct db *db, struct fault *why, struct slice site, uint64_t source_id);
/* Those in force at `now`, by site and source; at most 1,000. Texts in the arena. */
NODISCARD bool suspension_list(struct db *db, struct fault *why, time_ms now, struct arena *arena,
                               struct suspension **list, size_t *count);

#endif
