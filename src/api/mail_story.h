/* mail_story.h - one delivery's story: where it is, what was said, how long in each state, what comes next and why
 *
 * From the store; what binds at the receiver from the board. `todoke explain message` and GET /explain/message/{id}
 * tell it. */
#ifndef TODOKE_API_MAIL_STORY_H
#define TODOKE_API_MAIL_STORY_H

#include "api/explained.h"
#include "event/event.h"
#include "mail/delivery.h"
#include "report/lane_wait.h"

enum { MAIL_STORY_SHOWN_MOST = 20 /* deliveries of one Message-ID */ };

struct mail_story {
    uint64_t id, lane_id, brand_id, campaign_id;
    struct slice address, domain;
    enum delivery_state state;
    time_ms now, due, accepted, expires, changed;
    int64_t attempts,
        spent[DELIVERY_STATE_COUNT]; /* ms; the mark writes no event: what is on the wire counts as before */
    bool is_guarded, holds_doubts;   /* held by a receiver's guard; the brand wants doubtful ones held */
    struct slice source;             /* by which it was in doubt, and goes again; "": it was not */
    bool is_source_there;            /* it may be used now; otherwise any other of the pool is, */
    int64_t source_node;             /* but while this node, which has it, is gone for a while only; 0: none is */
    struct hold_story hold;
    struct way_story way;         /* can it leave at all? */
    const struct board_way *pace; /* at its receiver, by its pool; NULL: nobody asked, or nothing goes there */
    unsigned node;                /* of what is on the wire: whose conversation it is */
    bool is_unserved;             /* no server runs; of what is on the wire: its node does not */
    struct event_page page;
};

/* name: a delivery's id, or a Message-ID (of ours, or as a program gave it). INPUT: there is none. */
NODISCARD bool mail_story_ids(struct db *db, struct fault *why, struct slice name, uint64_t ids[MAIL_STORY_SHOWN_MOST],
                              size_t *count);
NODISCARD bool mail_story_read(struct db *db, struct fault *why, uint64_t id, time_ms now, struct arena *arena,
                               struct mail_story *story, bool *found);
/* Does it wait for its receiver's pace alone, or is it on the wire? Then who asks the board has mail_story_at tell. */
bool mail_story_asks(const struct mail_story *story);
/* What binds at its receiver, by what the nodes have told of its domain: `pace`, and a way that its site's plans shut;
 * and whether anybody goes on with it at all. */
NODISCARD bool mail_story_at(struct db *db, struct fault *why, const struct board *board, struct arena *arena,
                             struct mail_story *story);
/* What will happen next, and why then. */
struct slice mail_story_next(const struct mail_story *story, enum lang lang, struct arena *arena);
/* What to do about its last error; "": nothing went wrong, or it has arrived meanwhile. */
struct text mail_story_advice(const struct mail_story *story, const struct rules *rules, struct arena *arena);
/* By which source, where that is settled; "": it is not. */
struct slice mail_story_source(const struct mail_story *story, enum lang lang, struct arena *arena);
/* In both languages, as the contract's explained_message. */
void mail_story_json(struct json *json, const struct rules *rules, const struct mail_story *story, struct arena *arena);

#endif
