/* turns.h - whose turn it is at a site: brands by weight, then campaigns, then lanes (private to lanes*.c)
 *
 *     group --ring--> brand (weight, deficit) --ring--> campaign --ring--> lane (active)
 *
 * Deficit round robin: when a brand's turn begins it is given weight * quantum, each row it gives is one less, and the
 * turn passes on when nothing is left or nothing is there; what was begun goes on at the next claim. So over time each
 * brand that has work gives rows in proportion to its weight, however many campaigns and domains it has, and however
 * few rows are claimed at a time. Campaigns of a brand take turns of one query each, and so do the lanes of a campaign.
 * One ring for each priority. Everything here belongs to the claimer's thread. */
#ifndef TODOKE_QUEUE_TURNS_H
#define TODOKE_QUEUE_TURNS_H

#include "queue/lanes.h"

struct ring_link {
    struct ring_link *before, *after; /* NULL: in no ring */
};
struct brand_turn;
struct campaign_turn {
    struct ring_link link;
    uint64_t campaign_id;
    struct brand_turn *brand;
    struct ring_link *lanes;
};
struct brand_turn {
    struct ring_link link;
    uint64_t brand_id;
    int priority;
    struct ring_link *campaigns;
    int64_t deficit; /* rows it may still give in this turn */
    bool in_turn;
    size_t lane_count, idle; /* its lanes; those that gave nothing in a row */
};

/* Put a lane's link into its campaign's ring, making brand and campaign when they are new; take it out, and whatever is
 * empty then. */
struct campaign_turn *turns_add(struct lane_group *group, const struct lane_key *key, struct ring_link *lane);
void turns_remove(struct lane_group *group, struct campaign_turn *campaign, struct ring_link *lane);
/* The lane that is to give next, and in *most how many rows its brand may give now (at least 1); NULL: none is active.
 * `weight`: of the brand whose turn begins. */
struct ring_link *turns_next(struct lane_group *group, int priority, unsigned (*weight)(void *lanes, uint64_t brand_id),
                             void *lanes, unsigned quantum, struct campaign_turn **campaign, size_t *most);
/* That lane gave so many (0: nothing can come from it now). Before it is removed. */
void turns_gave(struct lane_group *group, struct campaign_turn *campaign, size_t rows);

#endif
