/* way_story.h - can mail of this lane leave at all? By what the store knows of its pool's sources and of the nodes */
#ifndef TODOKE_API_WAY_STORY_H
#define TODOKE_API_WAY_STORY_H

#include "bounce/words.h"
#include "store/db.h"

enum way_lack {
    WAY_IS_THERE,       /* or nothing here speaks against it */
    WAY_NO_LIVING_NODE, /* the pool's good sources are on nodes that do not live */
    WAY_NO_GOOD_SOURCE, /* all drain or are in trouble */
    WAY_NO_SOURCE,      /* the pool has none */
};
struct way_story {
    enum way_lack lack;
    struct slice pool;
};
/* now: wall. The pool's name in the arena. */
NODISCARD bool way_story_read(struct db *db, struct fault *why, uint64_t lane_id, time_ms now, struct arena *arena,
                              struct way_story *story);
/* "" when it can leave. */
struct slice way_story_text(const struct way_story *story, enum lang lang, struct arena *arena);

#endif
