/* way_story.h - can mail of this lane leave at all? By what the store knows of its pool's sources and of the nodes */
#ifndef TODOKE_REPORT_WAY_STORY_H
#define TODOKE_REPORT_WAY_STORY_H

#include "base/time.h"
#include "bounce/words.h"
#include "store/db.h"

enum way_lack {
    WAY_IS_THERE,       /* or nothing here speaks against it */
    WAY_NO_LIVING_NODE, /* the pool's good sources are on nodes that do not live */
    WAY_NO_GOOD_SOURCE, /* all drain or are in trouble */
    WAY_NO_SOURCE,      /* the pool has none */
    WAY_USED_UP,        /* what all of them may send today by their warm-ups is used up */
};
struct way_story {
    enum way_lack lack;
    struct slice pool;
    struct slice details;     /* "192.0.2.1: listed by bl.example; 192.0.2.2: draining"; of WAY_USED_UP the caps */
    bool is_chosen_by_system; /* no source in the pool "default": no source of ours is chosen */
    time_ms until;            /* of WAY_USED_UP: the next day, UTC */
};
/* now: wall. site: for plans of one site alone; "": not known. Texts in the arena. */
NODISCARD bool way_story_read(struct db *db, struct fault *why, uint64_t lane_id, struct slice site, time_ms now,
                              struct arena *arena, struct way_story *story);
/* "" when it can leave. */
struct slice way_story_text(const struct way_story *story, enum lang lang, struct arena *arena);

#endif
