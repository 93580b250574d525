/* queue_story.h - what the queue waits for: what is owed by state, and the largest lanes (`todoke explain queue`, GET
 * /explain/queue). From the store; looks at every row that is owed. What binds at
 * the receivers is filled in by who has asked the board (lane_wait_at). */
#ifndef TODOKE_API_QUEUE_STORY_H
#define TODOKE_API_QUEUE_STORY_H

#include "api/answer.h"
#include "mail/brands.h"
#include "mail/delivery.h"
#include "report/lane_wait.h"
#include "store/db.h"

enum { QUEUE_LANES_SHOWN = 10 };

struct queue_story {
    time_ms now;
    int64_t states[DELIVERY_STATE_COUNT];
    time_ms oldest[DELIVERY_STATE_COUNT]; /* accepted then; 0: none */
    int64_t guarded;         /* of the held ones, those whose receiver is not believed; the others people hold */
    struct lane_wait *lanes; /* the largest */
    size_t lane_count;
    int64_t lanes_left_out, left_out_owed; /* that are not among them, and what they owe */
};

/* Of these brands (none: all). */
NODISCARD bool queue_story_read(struct db *db, struct fault *why, const struct brands *brands, time_ms now,
                                struct arena *arena, struct queue_story *story);
/* In both languages, as the contract's explained_queue. */
void queue_story_json(struct json *json, const struct queue_story *story, struct arena *arena);

#endif
