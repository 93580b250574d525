#include "api/queue_story.h"

#include "api/mail_story.h"

#define SAY(lang, ja, en) ((lang) == LANG_JA ? (ja) : (en))

static bool states_read(struct db *db, struct fault *why, const struct brands *brands, struct queue_story *story)
{
    SCOPED(buf) sql = BUF(8192);
    SCOPED(rows) rows = {0};
    /* the words of two indexes: the table has every delivery there ever was */
    buf_text(&sql, "SELECT state, COUNT(*), MIN(accepted_ms) FROM delivery WHERE state <= 1");
    brands_condition(brands, "brand_id", &sql);
    buf_text(&sql, " GROUP BY state UNION ALL SELECT state, COUNT(*), MIN(accepted_ms) FROM delivery WHERE ((28 >> "
                   "state) & 1) = 1");
    brands_condition(brands, "brand_id", &sql);
    buf_text(&sql, " GROUP BY state");
    if (!db_query(db, why, &rows, buf_cstr(&sql), NO_VALUES))
        return false;
    while (rows_next(&rows)) {
        story->states[rows_int(&rows, 0)] = rows_int(&rows, 1);
        story->oldest[rows_int(&rows, 0)] = rows_int(&rows, 2);
    }
    return rows_end(&rows);
}

static bool lanes_read(struct db *db, struct fault *why, const struct brands *brands, struct arena *arena,
                       struct queue_story *story)
{
    SCOPED(buf) sql = BUF(8192);
    SCOPED(rows) rows = {0};
    buf_text(&sql, "SELECT l.brand_id, l.campaign_id, l.domain, COUNT(*), CAST(SUM(CASE WHEN d.due_ms <= $1 THEN 1 "
                   "ELSE 0 END) AS BIGINT), MIN(d.due_ms), l.id FROM delivery d JOIN lane l ON l.id = d.lane_id WHERE "
                   "d.state <= 1");
    brands_condition(brands, "d.brand_id", &sql);
    buf_text(&sql, " GROUP BY l.id, l.brand_id, l.campaign_id, l.domain ORDER BY COUNT(*) DESC, l.domain LIMIT $2");
    if (!db_query(db, why, &rows, buf_cstr(&sql), VALUES(V_INT(story->now), V_INT(QUEUE_LANES_SHOWN))))
        return false;
    while (story->lane_count < QUEUE_LANES_SHOWN && rows_next(&rows))
        story->lanes[story->lane_count++] = (struct queue_lane){.brand_id = (uint64_t)rows_int(&rows, 0),
                                                                .campaign_id = (uint64_t)rows_int(&rows, 1),
                                                                .domain = arena_copy(arena, rows_text(&rows, 2)),
                                                                .owed = rows_int(&rows, 3),
                                                                .due_now = rows_int(&rows, 4),
                                                                .next = rows_int(&rows, 5),
                                                                .id = (uint64_t)rows_int(&rows, 6)};
    return rows_end(&rows);
}

bool queue_story_read(struct db *db, struct fault *why, const struct brands *brands, time_ms now, struct arena *arena,
                      struct queue_story *story)
{
    *story = (struct queue_story){.now = now};
    if (!states_read(db, why, brands, story) || !lanes_read(db, why, brands, arena, story))
        return false;
    for (size_t i = 0; i < story->lane_count; i++) {
        struct queue_lane *lane = &story->lanes[i];
        if (!mail_hold_read(db, why, lane->brand_id, lane->campaign_id, lane->domain, arena, &lane->hold) ||
            !way_story_read(db, why, lane->id, now, arena, &lane->way))
            return false;
    }
    return true;
}

struct slice queue_lane_waits(const struct queue_lane *lane, enum lang lang, struct arena *arena)
{
    SCOPED(buf) next = BUF(64);
    if (lane->hold.len)
        return arena_printf(arena, SAY(lang, "保留中(%.*s)", "held (%.*s)"), SLICE_ARG(lane->hold));
    if (lane->way.lack)
        return way_story_text(&lane->way, lang, arena);
    if (lane->due_now)
        return arena_printf(arena,
                            SAY(lang, "%lld 通はいつでも送れます(受信先のペース次第: todoke explain site %.*s)",
                                "%lld are due: as fast as the receiver's pace allows (todoke explain site %.*s)"),
                            (long long)lane->due_now, SLICE_ARG(lane->domain));
    time_rfc3339(&next, lane->next);
    next.ptr[10] = ' ';
    return arena_printf(arena, SAY(lang, "次の再送は %.*s UTC", "the next one is due at %.*s UTC"),
                        SLICE_ARG(slice_head(buf_slice(&next), 16)));
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
    json_put_array(json, "lanes");
    for (size_t i = 0; i < story->lane_count; i++) {
        const struct queue_lane *lane = &story->lanes[i];
        const struct text waits = {queue_lane_waits(lane, LANG_JA, arena), queue_lane_waits(lane, LANG_EN, arena)};
        json_object_begin(json);
        json_put_string(json, "domain", lane->domain);
        json_put_id(json, "brand_id", lane->brand_id);
        json_put_id(json, "campaign_id", lane->campaign_id);
        json_put_int(json, "owed", lane->owed);
        json_put_int(json, "due", lane->due_now);
        json_put_time(json, "next_due_at", lane->next);
        json_put_string(json, "hold", lane->hold);
        json_put_both(json, "waits_for", waits);
        json_end(json);
    }
    json_end(json);
    json_end(json);
}
