#include "api/way_story.h"

#include "shape/stand_in.h"

#define SAY(lang, ja, en) ((lang) == LANG_JA ? (ja) : (en))

/* Another pool may carry it meanwhile. */
static bool stood_in(struct db *db, struct fault *why, time_ms now, struct arena *arena, struct way_story *story)
{
    struct stand_in *list;
    size_t count;
    if (!stand_in_list(db, why, now, arena, &list, &count))
        return false;
    for (size_t i = 0; i < count; i++)
        if (slice_equal(list[i].pool, story->pool) && stand_in_now(&list[i]))
            story->lack = WAY_IS_THERE;
    return true;
}

bool way_story_read(struct db *db, struct fault *why, uint64_t lane_id, time_ms now, struct arena *arena,
                    struct way_story *story)
{
    bool is_found, is_relayed = false;
    int64_t counts[3]; /* sources of the pool; good ones; good ones that a living node has */
    *story = (struct way_story){WAY_IS_THERE, SLICE("")};
    {
        SCOPED(rows) rows = {0};
        if (!db_query(db, why, &rows,
                      "SELECT COALESCE(NULLIF(l.pool, ''), NULLIF(b.pool, ''), 'default'), (SELECT COUNT(*) FROM relay "
                      "r WHERE r.brand_id = l.brand_id) FROM lane l LEFT JOIN brand b ON b.id = l.brand_id WHERE l.id "
                      "= $1",
                      VALUES(V_INT((int64_t)lane_id))))
            return false;
        is_found = rows_next(&rows);
        if (is_found) {
            story->pool = arena_copy(arena, rows_text(&rows, 0));
            is_relayed = rows_int(&rows, 1) > 0; /* a smart host: no source of ours is chosen */
        }
        if (!rows_end(&rows))
            return false;
    }
    if (!is_found || is_relayed)
        return true;
    if (!db_query_ints(db, why,
                       "SELECT COUNT(*), COUNT(CASE WHEN s.state = 'active' AND s.trouble = '' THEN 1 END), COUNT(CASE "
                       "WHEN s.state = 'active' AND s.trouble = '' AND (s.node = 0 OR EXISTS (SELECT 1 FROM node n "
                       "WHERE n.node = s.node AND n.until_ms > $2)) THEN 1 END) FROM source s WHERE s.pool = $1",
                       VALUES(V_TEXT(story->pool), V_INT(now)), counts, COUNT_OF(counts), NULL))
        return false;
    if (counts[0] == 0 && !slice_equal(story->pool, SLICE("default"))) /* without any, the system chooses an address */
        story->lack = WAY_NO_SOURCE;
    else if (counts[0] && counts[1] == 0)
        story->lack = WAY_NO_GOOD_SOURCE;
    else if (counts[0] && counts[2] == 0)
        story->lack = WAY_NO_LIVING_NODE;
    return story->lack == WAY_IS_THERE || stood_in(db, why, now, arena, story);
}

struct slice way_story_text(const struct way_story *story, enum lang lang, struct arena *arena)
{
    switch (story->lack) {
    case WAY_IS_THERE: break;
    case WAY_NO_LIVING_NODE:
        return arena_printf(arena,
                            SAY(lang, "プール %.*s の送信元を持つノードがどれも動いていません",
                                "no living node has a source of the pool %.*s"),
                            SLICE_ARG(story->pool));
    case WAY_NO_GOOD_SOURCE:
        return arena_printf(arena,
                            SAY(lang, "プール %.*s の送信元はどれも使えません(ドレイン中、または異常)",
                                "every source of the pool %.*s is draining or in trouble"),
                            SLICE_ARG(story->pool));
    case WAY_NO_SOURCE:
        return arena_printf(arena, SAY(lang, "プール %.*s に送信元がありません", "the pool %.*s has no source"),
                            SLICE_ARG(story->pool));
    }
    return SLICE("");
}
