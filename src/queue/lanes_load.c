#include "queue/lanes_inside.h"

#include <assert.h>

enum {
    READ_TOGETHER = 16, /* lanes in one query */
    LOAD_BUCKETS = 16,  /* in one piece of the loading, */
    LOAD_LANES = 2000,  /* or the bucket in which it has met so many */
};

struct met {
    uint64_t id;
    time_ms due;
};

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

/* Lanes that were not in memory; those that are no more are passed over. */
static bool read_lanes(struct lanes *lanes, const struct met *fresh, size_t count, struct fault *why)
{
    struct value ids[READ_TOGETHER];
    SCOPED(rows) rows = {0};
    for (size_t i = 0; i < READ_TOGETHER; i++)
        ids[i] = V_INT((int64_t)fresh[i < count ? i : 0].id);
    if (!db_query(lanes->reader, why, &rows,
                  "SELECT id, brand_id, campaign_id, priority, domain, waives_tls, source_id FROM lane WHERE id IN "
                  "($1, $2, $3, "
                  "$4, $5, $6, $7, "
                  "$8, $9, $10, $11, $12, $13, $14, $15, $16)",
                  ids, READ_TOGETHER))
        return false;
    while (rows_next(&rows)) {
        const struct lane_key key = {
            .id = (uint64_t)rows_int(&rows, 0),
            .brand_id = (uint64_t)rows_int(&rows, 1),
            .campaign_id = (uint64_t)rows_int(&rows, 2),
            .priority = (int)rows_int(&rows, 3),
            .domain = rows_text(&rows, 4),
            .waives_tls = rows_int(&rows, 5) != 0,
            .source_id = (uint64_t)rows_int(&rows, 6),
        };
        lane_get(lanes, &key);
    }
    return rows_end(&rows);
}

static void lane_met(struct lanes *lanes, struct lane *lane, unsigned bucket, time_ms due)
{
    if (lanes_are_served(lanes, &lane->key, bucket))
        lane_owes(lanes, lane, bucket, due);
    else
        lane_forget_if_empty(lanes, lane);
}

/* Whoever is owed something in this bucket, from the index alone; *count of them. Lanes that are known already are done
 * with at once, the others are left in *fresh. */
static bool read_bucket(struct lanes *lanes, unsigned bucket, struct met **fresh, size_t *fresh_count, size_t *count,
                        struct fault *why)
{
    size_t room = 0;
    SCOPED(rows) rows = {0};
    if (!db_query(lanes->reader, why, &rows,
                  "SELECT lane_id, MIN(due_ms) FROM delivery WHERE bucket = $1 AND state <= 1 GROUP BY bucket, lane_id",
                  VALUES(V_INT(bucket))))
        return false;
    for (; rows_next(&rows); ++*count) {
        const struct met met = {(uint64_t)rows_int(&rows, 0), rows_int(&rows, 1)};
        struct lane *lane = id_map_get(&lanes->by_id, met.id);
        if (lane) {
            lane_met(lanes, lane, bucket, met.due);
            continue;
        }
        if (*fresh_count == room)
            *fresh = memory_resize(*fresh, room = room ? room * 2 : 64, sizeof(**fresh));
        (*fresh)[(*fresh_count)++] = met;
    }
    return rows_end(&rows);
}

static bool load_bucket(struct lanes *lanes, unsigned bucket, size_t *count, struct fault *why)
{
    struct met *fresh = NULL;
    size_t fresh_count = 0;
    bool ok = read_bucket(lanes, bucket, &fresh, &fresh_count, count, why);
    for (size_t i = 0; ok && i < fresh_count; i += READ_TOGETHER) {
        size_t together = fresh_count - i < READ_TOGETHER ? fresh_count - i : READ_TOGETHER;
        ok = read_lanes(lanes, fresh + i, together, why);
        for (size_t j = i; ok && j < i + together; j++) {
            struct lane *lane = id_map_get(&lanes->by_id, fresh[j].id);
            if (lane)
                lane_met(lanes, lane, bucket, fresh[j].due);
        }
    }
    free(fresh);
    return ok;
}

/* All buckets have been read: once more, or that was it. */
static bool load_ends(struct lanes *lanes)
{
    if (!lanes->has_read_all) {
        lanes->has_read_all = true;
        lanes_sleep_again(lanes);
    }
    lanes->load_at = lanes->loads_again ? 0 : BUCKETS;
    lanes->loads_again = false;
    return lanes->load_at == BUCKETS;
}

void lanes_load_begin(struct lanes *lanes)
{
    if (lanes->load_at == BUCKETS)
        lanes->load_at = 0;
    else
        lanes->loads_again = true;
}

bool lanes_load_more(struct lanes *lanes, bool *is_done, struct fault *why)
{
    size_t count = 0;
    *is_done = false;
    for (unsigned bucket, read = 0; read < LOAD_BUCKETS && count < LOAD_LANES; lanes->load_at++) {
        if ((bucket = lanes->load_at) == BUCKETS) {
            *is_done = load_ends(lanes);
            return true;
        }
        if (lanes->share.served && !bucket_set_has(&lanes->share.buckets, bucket))
            continue;
        if (!load_bucket(lanes, bucket, &count, why))
            return false;
        read++;
    }
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
