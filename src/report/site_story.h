/* site_story.h - why mail to a receiver goes as fast as it goes: what binds, since when, by whose words, what waits and
 * for how long (`todoke explain site`, GET /sites)
 *
 * Put together from the board (deliver/board.h: what the delivery threads of all nodes do now), the counters (what is
 * owed), the last replies of those that wait, and what people decided. Without a running server: what the store
 * knows. */
#ifndef TODOKE_REPORT_SITE_STORY_H
#define TODOKE_REPORT_SITE_STORY_H

#include "base/json.h"
#include "mail/verdict.h"
#include "queue/order.h"
#include "report/lane_wait.h"
#include "shape/pause.h"
#include "shape/suspension.h"

enum { STORY_REPLIES_MOST = 5, STORY_DOMAINS_SHOWN = 100, STORY_LANES_MOST = 20 };

struct site_story {
    struct slice name; /* as asked */
    struct slice site; /* "" : not known which site it is */
    bool has_server;   /* a node lives */
    bool is_live;      /* and has answered */
    time_ms now;
    const struct board_route *route; /* one of it; NULL: none */
    struct slice *domains;           /* of the site, as far as they are owed anything or were asked about */
    size_t domain_count;
    int64_t domains_left_out;
    const struct board_way **ways;
    size_t way_count;
    int64_t guarded;                     /* of those in state held: by the site's guard */
    int64_t owed[DELIVERY_IN_DOUBT + 1]; /* by the counters: what is on the wire is what it was before */
    struct story_retry {
        enum reason reason;
        int64_t n;
        struct verdict said; /* of the newest reply with this reason, whose rule knows it better than the reason */
        time_ms said_at;     /* 0: none was found */
    } retries[REASON_COUNT]; /* deferred, most first */
    size_t retry_count;
    struct story_reply {
        struct slice words, remote;
        time_ms at;
        int64_t n; /* of the newest ones that wait, so many heard these words */
    } replies[STORY_REPLIES_MOST];
    size_t reply_count;
    struct story_hold {
        struct slice name, why;
        time_ms since;
    } * holds; /* of its domains */
    size_t hold_count;
    struct suspension *suspensions; /* by people, of the site */
    size_t suspension_count;
    struct pause *pauses; /* by its words, of all nodes, as the store has them: over restarts, and without a server */
    size_t pause_count;
    struct queue_order *order; /* the last of its pace: a suspend or a resume; NULL: none */
    struct lane_wait *lanes;   /* what is owed, by brand and campaign; those with most first */
    size_t lane_count;
    int64_t lanes_left_out; /* ... that owe something, too */
    int64_t held, stuck,
        due_now; /* by the lanes: owed and held by a person, without a way, those whose time has come */
    time_ms next_retry, last_retry;  /* of the others; 0: none */
    int64_t cap_today, cap_tomorrow; /* what the sources may send still, by limits of days; -1: no limit */
    struct story_plan {
        uint64_t source_id;
        struct slice source, group, caps;
        int64_t cap, reserved, step;
    } * plans; /* warm-ups that hold for it */
    size_t plan_count;
    struct story_stand_in {
        struct slice pool, by;
        bool is_capped; /* its day is used up; otherwise none of its sources may be used */
    } * stand_ins;      /* pools whose mail to it leaves by another one now */
    size_t stand_in_count;
    double rate; /* messages a second that it will go on with; 0: not known */
    bool is_rate_measured;
    time_ms done_at; /* of what is not held and has a way, at that pace; 0: not known */
};

/* `name`: a domain or a site, lower-case. `board` as board_read gave it. */
NODISCARD bool site_story_read(struct db *db, struct fault *why, struct slice name, const struct board *board,
                               time_ms now, struct arena *arena, struct site_story *story);

/* The way that decides how fast the site goes: the most open one of the pool by which most is due. NULL: there is none.
 */
const struct board_way *site_story_best(const struct site_story *story);
/* The most open one of these. NULL: there is none. */
const struct board_way *ways_best(const struct board_way *const *ways, size_t count);
/* "by user root at ..., until ...: why"; who lifted it last likewise. */
struct slice suspension_text(const struct suspension *suspension, enum lang lang, struct arena *arena);
/* "192.0.2.1 (node 0): suspended by a reaction of the rule x.y (x.yaml line 14), since ..., until ..., by rcpt: 421
 * ..." */
struct slice pause_text(const struct pause *pause, enum lang lang, struct arena *arena);
struct slice resumed_text(const struct queue_order *order, enum lang lang, struct arena *arena);
/* What the site waits for now, in one sentence: a person, a source, the next day, a retry's time, or its pace. */
struct slice site_story_waits_text(const struct site_story *story, enum lang lang, struct arena *arena);

/* "5 connections, as many as the rule allows (data/sites/google.yaml line 7)" */
struct slice way_binding_text(const struct board_way *way, time_ms now, enum lang lang, struct arena *arena);
/* "rate 30/s -> 12.3/s at 2026-11-23 01:59, by rcpt: 421 4.7.28 ..."; "" : never lowered */
struct slice way_lowered_text(const struct board_way *way, enum lang lang, struct arena *arena);
/* "mail of the pool news leaves by the pool warm now: ..." */
struct slice stand_in_text(const struct story_stand_in *stand_in, enum lang lang, struct arena *arena);
/* When it will be done, or why nobody can say. */
struct slice site_story_done_text(const struct site_story *story, enum lang lang, struct arena *arena);

/* One way, as an object. */
void way_json(struct json *json, const struct board_way *way, time_ms now, struct arena *arena);
void site_story_json(struct json *json, const struct site_story *story, struct arena *arena);
/* A site that is busy, all its ways together. */
struct busy_site {
    const struct board_way **ways, *best; /* best: what binds there is what binds the site */
    size_t way_count;
    double rate;
    int64_t connections, in_memory;
};
/* The fastest first, then those with most in memory. */
void sites_busy(const struct board *board, struct arena *arena, struct busy_site **list, size_t *count);
/* All that are busy, by site, the fastest first: the "items" of GET /sites, into an open object. */
void sites_json(struct json *json, const struct board *board, time_ms now, struct arena *arena);

#endif
