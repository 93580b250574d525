/* pause.h - what receivers' words brought upon our ways (pace.h: pace_pauses), as rows of the store: over restarts
 * (R28, D13, D14)
 *
 *     begins, or lasts longer --deliver/paused.h, once a second--> rows of `pause` --the next start--> the way's pace
 *                                                                       | over, or resumed by a person: gone
 *
 * One for each node, source, site and what it is: a reaction, the guard, the breaker. A source with an id is one
 * address that a receiver saw, so whichever node has it now goes on with what was said to it; source 0 is the node's
 * own.
 *
 * A row says that a reaction answered, by its id, and when; what follows from that is what the rule says at the start.
 * A reaction that the rule has no more is dropped: who took it away wants nothing to follow from those words. One that
 * was changed does what it does now, no longer than the row says and no longer than it lasts now. File and line in the
 * row are for people while nobody has read it.
 *
 * Times are wall times of the node that wrote. A clock that was set back makes nothing longer than it was meant to be:
 * what begins in the future began now. A clock that was set forward while nobody ran ends a row early. */
#ifndef TODOKE_SHAPE_PAUSE_H
#define TODOKE_SHAPE_PAUSE_H

#include "base/arena.h"
#include "shape/pace.h"
#include "store/db.h"

enum { PAUSES_MOST = 20000 /* that a start reads: those that last longest */ };

struct pause {
    unsigned node;
    uint64_t source_id;        /* 0: the node's own address */
    struct slice site, source; /* source: its address, for people; "": 0's */
    struct slice words;        /* the stage and the reply that did it, and whose */
    struct slice file;         /* of it.at, which itself is empty */
    struct pace_pause it;      /* wall */
};

/* One way, and what lasts there now. */
struct pause_way {
    struct slice site;
    uint64_t source_id;
    struct pause *list;
    size_t count;
};

/* Inside a write job: these are all that the node's ways have now; what else there was of them, and all of the node's
 * that is over, goes. */
NODISCARD bool pauses_keep(struct db *db, struct fault *why, unsigned node, const struct pause_way *ways, size_t count,
                           time_ms now);
/* Inside a write job, at the start: the node's that are over go, and none is longer than it was meant to be. */
NODISCARD bool pauses_settle(struct db *db, struct fault *why, unsigned node, time_ms now);
/* Inside a write job. source_id 0: all of the site. */
NODISCARD bool pauses_lift(struct db *db, struct fault *why, struct slice site, uint64_t source_id);
/* Those in force that concern a node: of any source, and its own of source 0; by site and source. Texts in the arena.
 */
NODISCARD bool pauses_of_node(struct db *db, struct fault *why, unsigned node, time_ms now, struct arena *arena,
                              struct pause **list, size_t *count);
/* Those in force of a site, of all nodes; at most 100. */
NODISCARD bool pauses_of_site(struct db *db, struct fault *why, struct slice site, time_ms now, struct arena *arena,
                              struct pause **list, size_t *count);

#endif
