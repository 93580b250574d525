#include "api/queue_story.h"

/* By the words of two indexes, and of nothing that they have not: the table has every delivery there ever was. An id
 * begins with the time of its acceptance. */
static bool states_read(struct db *db, struct fault *why, const struct brands *brands, struct queue_story *story)
{
    SCOPED(buf) sql = BUF(8192);
    SCOPED(buf) lanes = BUF(4096);
    SCOPED(rows) rows = {0};
    brands_condition(brands, "l.brand_id", &lanes);
    for (int half = 0; half < 2; half++) {
        buf_append(&sql,
                   slice_str(half ? " UNION ALL SELECT state, COUNT(*), MIN(id) FROM delivery WHERE ((28 >> state) & "
                                    "1) = 1"
                                  : "SELECT state, COUNT(*), MIN(id) FROM delivery WHERE state <= 1"));
        if (lanes.len)
            buf_printf(&sql, " AND lane_id IN (SELECT l.id FROM lane l WHERE TRUE%.*s)", SLICE_ARG(buf_slice(&lanes)));
        buf_text(&sql, " GROUP BY state");
    }
    if (!db_query(db, why, &rows, buf_cstr(&sql), NO_VALUES))
        return false;
    while (rows_next(&rows)) {
        story->states[rows_int(&rows, 0)] = rows_int(&rows, 1);
        story->oldest[rows_int(&rows, 0)] = id_time((uint64_t)rows_int(&rows, 2));
    }
    return rows_end(&rows);
}

static bool guarded_read(struct db *db, struct fault *why, const struct brands *brands, struct queue_story *story)
{
    SCOPED(buf) sql = BUF(8192);
    buf_text(&sql, "SELECT COUNT(*) FROM held_verdict WHERE is_owed = 1");
    brands_condition(brands, "brand_id", &sql);
    return db_query_ints(db, why, buf_cstr(&sql), NO_VALUES, &story->guarded, 1, NULL);
}

static bool lanes_read(struct db *db, struct fault *why, const struct brands *brands, struct arena *arena,
                       struct queue_story *story)
{
    SCOPED(buf) condition = BUF(8192);
    int64_t all;
    brands_condition(brands, "l.brand_id", &condition);
    story->lanes = ARENA_ARRAY(arena, struct lane_wait, QUEUE_LANES_SHOWN);
    if (!lane_waits_count(db, why, SLICE(""), buf_cstr(&condition), QUEUE_LANES_SHOWN, arena, story->lanes,
                          &story->lane_count, &all))
        return false;
    story->lanes_left_out = all - (int64_t)story->lane_count;
    story->left_out_owed = story->states[DELIVERY_WAITING] + story->states[DELIVERY_DEFERRED];
    for (size_t i = 0; i < story->lane_count; i++)
        story->left_out_owed -= story->lanes[i].owed;
    if (story->left_out_owed < 0 || !story->lanes_left_out) /* it went on between the two looks */
        story->left_out_owed = 0;
    return true;
}

bool queue_story_read(struct db *db, struct fault *why, const struct brands *brands, time_ms now, struct arena *arena,
                      struct queue_story *story)
{
    *story = (struct queue_story){.now = now};
    if (!states_read(db, why, brands, story) || !guarded_read(db, why, brands, story) ||
        !lanes_read(db, why, brands, arena, story))
        return false;
    for (size_t i = 0; i < story->lane_count; i++)
        if (!lane_wait_times(db, why, now, &story->lanes[i]) ||
            !lane_wait_fill(db, why, SLICE(""), now, arena, &story->lanes[i]))
            return false;
    return true;
}

void queue_story_json(struct json *json, const struct queue_story *story, struct arena *arena)
{
    json_object_begin(json);
    json_put_object(json, "owed");
    for (int state = 0; state <= DELIVERY_IN_DOUBT; state++) {
        json_key_slice(json, delivery_word((enum delivery_state)state));
        json_object_begin(json);
        json_put_int(json, "n", story->states[state]);
        json_put_time(json, "oldest_at", story->oldest[state]);
        json_end(json);
    }
    json_end(json);
    json_put_int(json, "held_by_guard", story->guarded);
    json_put_array(json, "lanes");
    for (size_t i = 0; i < story->lane_count; i++)
        lane_wait_json(json, &story->lanes[i], story->now, arena);
    json_end(json);
    json_put_int(json, "lanes_left_out", story->lanes_left_out);
    json_put_int(json, "left_out_owed", story->left_out_owed);
    json_end(json);
}
