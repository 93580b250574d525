/* lane_wait.h - what the mail of a lane (of one brand or campaign to one domain) waits for: a person, a source, the
 * next day, its retry, or its receiver's pace
 *
 * From the store; what binds at the receiver (`pace`) is filled in by who has asked the board. */
#ifndef TODOKE_REPORT_LANE_WAIT_H
#define TODOKE_REPORT_LANE_WAIT_H

#include "base/json.h"
#include "deliver/board.h"
#include "mail/delivery.h"
#include "mail/verdict.h"
#include "report/way_story.h"

/* A standing hold (queue/order.h). kind: "brand", "campaign", "domain"; "": none. name: for people. */
struct hold_story {
    struct slice kind, name, why;
    time_ms since;
};
/* Of the three that concern it the first in this order. */
NODISCARD bool hold_story_read(struct db *db, struct fault *why, uint64_t brand_id, uint64_t campaign_id,
                               struct slice domain, struct arena *arena, struct hold_story *hold);
/* "brand Shop: legal asks"; "": none. */
struct slice hold_story_plain(const struct hold_story *hold, struct arena *arena);
/* "the brand Shop is on hold: legal asks, since 2026-11-23 14:26 UTC" */
struct slice hold_story_text(const struct hold_story *hold, enum lang lang, struct arena *arena);

struct lane_wait {
    uint64_t id, brand_id, campaign_id;   /* campaign 0: transactional */
    struct slice domain, brand, campaign; /* names */
    int64_t owed, due_now;                /* waiting or deferred; of them, those whose time has come */
    time_ms next, last;                   /* when the next of the others is due, and the last; 0: there are none */
    struct slice rule;                    /* that read the newest reply with that reason; "": none did */
    enum reason reason; /* of those that are tried again most were put off for it; REASON_UNDEFINED: not known */
    struct hold_story hold;
    struct way_story way;
    const struct board_way *pace; /* of its receiver, by its pool; NULL: not asked, or nothing goes there */
    bool is_unserved;             /* no server runs: whatever is due, nothing goes */
};

/* All lanes that owe anything to this domain, or ("") the `most` that owe most; those with most first, `list` has room
 * for `most`. `condition`: more SQL on lane l ("": none). Only ids and how many are owed. *all (may be NULL): how many
 * lanes there are, in the list or not. */
NODISCARD bool lane_waits_count(struct db *db, struct fault *why, struct slice domain, const char *condition,
                                size_t most, struct arena *arena, struct lane_wait *list, size_t *count, int64_t *all);
/* How many of one are due, and when the others are. */
NODISCARD bool lane_wait_times(struct db *db, struct fault *why, time_ms now, struct lane_wait *lane);
/* Names, hold and way of one that has its ids. site: its receiver's, as far as it is known. */
NODISCARD bool lane_wait_fill(struct db *db, struct fault *why, struct slice site, time_ms now, struct arena *arena,
                              struct lane_wait *lane);
/* The way of the board that decides about it: its pool's, the most open one. */
void lane_wait_pace(struct lane_wait *lane, const struct board_way *const *ways, size_t count);
/* Both by what the nodes have told of its domain: filled again for its site, and its pace; and whether any runs. */
NODISCARD bool lane_wait_at(struct db *db, struct fault *why, const struct board *board, time_ms now,
                            struct arena *arena, struct lane_wait *lane);
/* "campaign autumn (Shop)", "mail of Shop" */
struct slice lane_wait_whose(const struct lane_wait *lane, enum lang lang, struct arena *arena);
struct slice lane_wait_text(const struct lane_wait *lane, time_ms now, enum lang lang, struct arena *arena);

/* An object: the contract's lane. */
void lane_wait_json(struct json *json, const struct lane_wait *lane, time_ms now, struct arena *arena);

/* Who holds what is in state held, and how it is released. guarded: of them, by a receiver's guard. */
struct slice held_text(int64_t held, int64_t guarded, enum lang lang, struct arena *arena);

/* "waiting" or "待機": a state for people. */
struct slice state_label(enum delivery_state state, enum lang lang);
/* "2026-11-23 14:26 UTC"; "-" for 0. */
struct slice minute_text(struct arena *arena, time_ms at);

#endif
