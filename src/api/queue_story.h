/* queue_story.h - what the queue waits for: what is owed by state, and the largest lanes (`todoke explain queue`, GET
 * /explain/queue). From the store alone; looks at every row that is owed. */
#ifndef TODOKE_API_QUEUE_STORY_H
#define TODOKE_API_QUEUE_STORY_H

#include "api/answer.h"
#include "api/way_story.h"
#include "bounce/words.h"
#include "mail/brands.h"
#include "mail/delivery.h"
#include "store/db.h"

enum { QUEUE_LANES_SHOWN = 10 };

struct queue_story {
    time_ms now;
    int64_t states[DELIVERY_STATE_COUNT];
    time_ms oldest[DELIVERY_STATE_COUNT]; /* accepted then; 0: none */
    struct queue_lane {                   /* a brand's or campaign's mail to one domain */
        uint64_t id, brand_id, campaign_id;
        struct slice domain, hold; /* "domain example.jp: why"; "" : none */
        int64_t owed, due_now;
        time_ms next;
        struct way_story way; /* can it leave at all? */
    } lanes[QUEUE_LANES_SHOWN];
    size_t lane_count;
};

/* Of these brands (none: all). */
NODISCARD bool queue_story_read(struct db *db, struct fault *why, const struct brands *brands, time_ms now,
                                struct arena *arena, struct queue_story *story);
struct slice queue_lane_waits(const struct queue_lane *lane, enum lang lang, struct arena *arena);
/* In both languages, as the contract's explained_queue. */
void queue_story_json(struct json *json, const struct queue_story *story, struct arena *arena);

#endif
