/* clicked.h - what a click must know of its mail: the delivery, and where its links lead; read for many at once
 *
 * A delivery is kept for KEPT_MS after it was read, so that the second click on a mail reads nothing: what an event
 * needs of it (campaign, contact, brand, address, content version) does not change once it was sent. Bounded:
 * two generations of DELIVERIES_KEPT each, the older one is dropped as a whole. Belongs to the api's thread. */
#ifndef TODOKE_API_CLICKED_H
#define TODOKE_API_CLICKED_H

#include "base/arena.h"
#include "base/map.h"
#include "base/time.h"
#include "mail/delivery.h"
#include "store/db.h"

struct clicked_delivery {
    uint64_t campaign_id, contact_id, brand_id, version_id;
    struct slice address;
    enum delivery_state state; /* when it was read */
    time_ms read_at;
};
struct clicked_content {
    struct arena arena;
    struct slice *targets; /* by the number of the link */
    size_t count;
};
struct clicked_generation {
    struct arena arena;
    struct id_map deliveries;
};
struct clicked {
    struct clicked_generation young, old;
    struct id_map contents; /* by version */
};

void clicked_release(struct clicked *clicked);

/* Before a turn that will ask for at most `count` deliveries: nothing that is found from here on goes away until the
 * next call. */
void clicked_make_room(struct clicked *clicked, size_t count);
/* NULL: not kept, or too long ago. */
const struct clicked_delivery *clicked_delivery(struct clicked *clicked, uint64_t id, time_ms now);
/* Read these; one that does not exist is not found afterwards. */
NODISCARD bool clicked_read(struct clicked *clicked, struct db *db, const uint64_t *ids, size_t count, time_ms now,
                            struct fault *why);
/* The link targets of a content version, until the next call; NULL: why, or there is no such version (kind NONE). */
const struct clicked_content *clicked_content(struct clicked *clicked, struct db *db, uint64_t version_id,
                                              struct fault *why);

#endif
