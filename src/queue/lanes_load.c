#include "queue/lanes_inside.h"

#include <assert.h>

bool lanes_are_served(const struct lanes *lanes, const struct lane_key *key, unsigned bucket)
{
    struct bucket_set set;
    if (!lanes->share.served)
        return true;
    lanes->share.served(lanes->share.context, key, &set);
    return bucket_set_has(&set, bucket);
}

/* Rows of this lane are owed in this bucket. */
static void lane_owes(struct lanes *lanes, struct lane *lane, unsigned bucket, time_ms due)
{
    assert(bucket < BUCKETS);
    bit_set(lane->owed, bucket);
    if (lane->turn)
        lane_has_now(lane, bucket);
    else
        lane_due(lanes, lane, due);
}

/* A lane that was not in memory; NULL and why->kind FAULT_NONE: there is no such lane. */
static struct lane *lane_read(struct lanes *lanes, uint64_t id, struct fault *why)
{
    struct lane *lane = NULL;
    SCOPED(rows) rows = {0};
    *why = (struct fault){0};
    if (!db_query(lanes->reader, why, &rows,
                  "SELECT brand_id, campaign_id, priority, domain, waives_tls FROM lane WHERE id = $1",
                  VALUES(V_INT((int64_t)id))))
        return NULL;
    if (rows_next(&rows)) {
        struct lane_key key = {
            .id = id,
            .brand_id = (uint64_t)rows_int(&rows, 0),
            .campaign_id = (uint64_t)rows_int(&rows, 1),
            .priority = (int)rows_int(&rows, 2),
            .domain = rows_text(&rows, 3),
            .waives_tls = rows_int(&rows, 4) != 0,
        };
        lane = lane_get(lanes, &key);
    }
    return rows_end(&rows) ? lane : NULL;
}

/* From the index alone; each lane is looked up once, not for each of its buckets. */
static bool load_bucket(struct lanes *lanes, unsigned bucket, struct fault *why)
{
    struct met {
        uint64_t id;
        time_ms due;
    } *fresh = NULL;
    size_t count = 0, room = 0;
    SCOPED(rows) rows = {0};
    if (!db_query(lanes->reader, why, &rows,
                  "SELECT lane_id, MIN(due_ms) FROM delivery WHERE bucket = $1 AND state <= 1 GROUP BY bucket, lane_id",
                  VALUES(V_INT(bucket))))
        return false;
    while (rows_next(&rows)) {
        uint64_t id = (uint64_t)rows_int(&rows, 0);
        struct lane *lane = id_map_get(&lanes->by_id, id);
        if (lane) {
            if (lanes_are_served(lanes, &lane->key, bucket))
                lane_owes(lanes, lane, bucket, rows_int(&rows, 1));
            continue;
        }
        if (count == room)
            fresh = memory_resize(fresh, room = room ? room * 2 : 64, sizeof(*fresh));
        fresh[count++] = (struct met){id, rows_int(&rows, 1)};
    }
    bool ok = rows_end(&rows);
    for (size_t i = 0; ok && i < count; i++) {
        struct lane *lane = lane_read(lanes, fresh[i].id, why);
        if (lane && lanes_are_served(lanes, &lane->key, bucket))
            lane_owes(lanes, lane, bucket, fresh[i].due);
        else if (lane)
            lane_forget_if_empty(lanes, lane);
        ok = why->kind == FAULT_NONE;
    }
    free(fresh);
    return ok;
}

bool lanes_load(struct lanes *lanes, struct fault *why)
{
    *why = (struct fault){0};
    for (unsigned bucket = 0; bucket < BUCKETS; bucket++)
        if ((!lanes->share.served || bucket_set_has(&lanes->share.buckets, bucket)) && !load_bucket(lanes, bucket, why))
            return false;
    return true;
}

void lanes_added(struct lanes *lanes, const struct lane_key *key, unsigned bucket, time_ms due)
{
    if (lanes_are_served(lanes, key, bucket))
        lane_owes(lanes, lane_get(lanes, key), bucket, due);
    else
        lanes->share.elsewhere(lanes->share.context, key, bucket, due);
}

void lanes_serve(struct lanes *lanes, const struct lanes_share *share)
{
    size_t at = 0;
    lanes->share = *share;
    for (struct id_map_entry *entry; (entry = id_map_walk(&lanes->by_id, &at));) {
        struct lane *lane = entry->value; /* one that is left without a bucket is forgotten when it wakes */
        struct bucket_set set;
        share->served(share->context, &lane->key, &set);
        for (size_t i = 0; i < BUCKETS / 64; i++) {
            lane->owed[i] &= set.bits[i];
            lane->may_have[i] &= set.bits[i];
        }
    }
}
