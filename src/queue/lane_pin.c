#include "queue/lane_pin.h"

#include "mail/delivery.h"
#include <stdio.h>

static bool lane_of(struct db *db, struct fault *why, const struct lane_key *like, uint64_t source_id, int64_t *id,
                    bool *found)
{
    return db_query_ints(db, why,
                         "SELECT p.id FROM lane l JOIN lane p ON p.campaign_id = l.campaign_id AND p.domain = l.domain "
                         "AND p.brand_id = l.brand_id AND p.priority = l.priority AND p.waives_tls = l.waives_tls AND "
                         "p.source_id = $2 WHERE l.id = $1",
                         VALUES(V_INT((int64_t)like->id), V_INT((int64_t)source_id)), id, 1, found);
}

bool lane_pin(struct db *db, struct fault *why, uint64_t delivery_id, uint64_t source_id, time_ms now,
              struct lane_key *lane)
{
    int64_t id = 0;
    bool found;
    if (!lane_of(db, why, lane, source_id, &id, &found))
        return false;
    if (!found) {
        uint64_t fresh = id_make_anywhere(db_ids(db), now);
        if (!db_do(db, why,
                   "INSERT INTO lane (id, priority, brand_id, campaign_id, domain, pool, waives_tls, source_id) SELECT "
                   "$2, priority, brand_id, campaign_id, domain, pool, waives_tls, $3 FROM lane WHERE id = $1 ON "
                   "CONFLICT DO NOTHING",
                   VALUES(V_INT((int64_t)lane->id), V_INT((int64_t)fresh), V_INT((int64_t)source_id)), NULL) ||
            !lane_of(db, why, lane, source_id, &id, &found))
            return false;
    }
    if (!found) /* its own lane is gone: a delivery has one, so this cannot be */
        return fault_set(why, FAULT_WORLD, "the lane of a delivery in doubt is not there");
    lane->id = (uint64_t)id;
    lane->source_id = source_id;
    return db_do(
        db, why, "UPDATE delivery SET lane_id = $3 WHERE bucket = $1 AND id = $2 AND state = $4",
        VALUES(V_INT(id_bucket(delivery_id)), V_INT((int64_t)delivery_id), V_INT(id), V_INT(DELIVERY_IN_DOUBT)), NULL);
}

struct slice lane_pin_name(uint64_t source_id, char name[LANE_PIN_NAME_ROOM])
{
    int len = snprintf(name, LANE_PIN_NAME_ROOM, "=%llu", (unsigned long long)source_id);
    return slice_of(name, (size_t)len);
}
