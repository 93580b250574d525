/* holds.h - what people decided about lanes that wait: which are held, and which go first (private to deliver/)
 *
 * Held is a campaign, a brand or a domain. The dispatcher reads the table once a second, or when it is told, and claims
 * nothing that is held; each worker has a copy of its own, and looks at it again directly before MAIL FROM. */
#ifndef TODOKE_DELIVER_HOLDS_H
#define TODOKE_DELIVER_HOLDS_H

#include "base/map.h"
#include "net/mailbox.h"
#include "queue/lanes.h"

struct dispatcher;

struct holds { /* a snapshot: "campaign 12", "brand 3", "domain example.jp" */
    struct mail_item item;
    struct map names;
};

/* `holds` may be NULL. */
bool holds_has(const struct holds *holds, const struct lane_key *key);
void holds_free(struct holds *holds);

/* Read them; where they have changed, the lanes and all workers hear. What cannot be read stays as it was. */
void holds_refresh(struct dispatcher *dispatcher);
/* The brands' weights, and the ranks of campaigns. */
void holds_refresh_order(struct dispatcher *dispatcher);

#endif
