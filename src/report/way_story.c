#include "report/way_story.h"

#include "report/lane_wait.h"
#include "shape/allowance.h"
#include "shape/stand_in.h"

enum { DETAILS_SHOWN = 3 };

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

/* Why those that cannot be used cannot: the first few. */
static bool troubles_read(struct db *db, struct fault *why, struct arena *arena, struct way_story *story)
{
    SCOPED(rows) rows = {0};
    SCOPED(buf) text = BUF(4096);
    if (!db_query(db, why, &rows,
                  "SELECT ip, state, trouble FROM source WHERE pool = $1 AND (state <> 'active' OR trouble <> '') "
                  "ORDER BY ip LIMIT $2",
                  VALUES(V_TEXT(story->pool), V_INT(DETAILS_SHOWN))))
        return false;
    while (rows_next(&rows))
        buf_printf(&text, "%s%.*s: %.*s", text.len ? "; " : "", SLICE_ARG(rows_text(&rows, 0)),
                   SLICE_ARG(rows_text(&rows, 2).len ? rows_text(&rows, 2) : rows_text(&rows, 1)));
    story->details = arena_copy(arena, buf_slice(&text));
    return rows_end(&rows);
}

/* Is what this source may send today used up? Then "192.0.2.1: 50 of 50" joins the text. */
static bool source_is_used_up(struct db *db, struct fault *why, uint64_t source_id, struct slice ip, struct slice site,
                              time_ms now, struct buf *text, bool *is_it)
{
    struct arena arena = {0};
    struct warm_up *plans, *plan = NULL;
    size_t count;
    bool ok = warm_up_list(db, why, source_id, now, &arena, &plans, &count);
    for (size_t i = 0; ok && i < count; i++)
        if (slice_equal(plans[i].group, site) || (!plan && slice_equal(plans[i].group, SLICE("*"))))
            plan = &plans[i];
    *is_it = plan && plan->cap >= 0 && plan->reserved >= plan->cap;
    if (*is_it)
        buf_printf(text, "%s%.*s: %lld", text->len ? "; " : "", SLICE_ARG(ip), (long long)plan->cap);
    arena_release(&arena);
    return ok;
}

static bool use_read(struct db *db, struct fault *why, struct slice site, time_ms now, struct arena *arena,
                     struct way_story *story)
{
    enum { MOST = 200 };
    uint64_t *ids = ARENA_ARRAY(arena, uint64_t, MOST);
    struct slice *ips = ARENA_ARRAY(arena, struct slice, MOST);
    size_t count = 0, used_up = 0;
    SCOPED(buf) text = BUF(16384);
    {
        SCOPED(rows) rows = {0};
        if (!db_query(db, why, &rows,
                      "SELECT s.id, s.ip FROM source s WHERE s.pool = $1 AND s.state = 'active' AND s.trouble = '' AND "
                      "(s.node = 0 OR EXISTS (SELECT 1 FROM node n WHERE n.node = s.node AND n.until_ms > $2)) ORDER "
                      "BY s.ip LIMIT $3",
                      VALUES(V_TEXT(story->pool), V_INT(now), V_INT(MOST))))
            return false;
        for (; count < MOST && rows_next(&rows); count++) {
            ids[count] = (uint64_t)rows_int(&rows, 0);
            ips[count] = arena_copy(arena, rows_text(&rows, 1));
        }
        if (!rows_end(&rows))
            return false;
    }
    for (size_t i = 0; i < count && used_up == i; i++) {
        bool is_it;
        if (!source_is_used_up(db, why, ids[i], ips[i], site, now, &text, &is_it))
            return false;
        used_up += is_it;
    }
    if (count && used_up == count) {
        story->lack = WAY_USED_UP;
        story->details = arena_copy(arena, slice_head(buf_slice(&text), 300));
        story->until = (allowance_day(now) + 1) * DAYS_MS(1);
    }
    return true;
}

bool way_story_read(struct db *db, struct fault *why, uint64_t lane_id, struct slice site, time_ms now,
                    struct arena *arena, struct way_story *story)
{
    bool is_found, is_relayed = false;
    int64_t counts[3]; /* sources of the pool; good ones; good ones that a living node has */
    *story = (struct way_story){.lack = WAY_IS_THERE};
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
    story->is_chosen_by_system = !counts[0];
    if (story->lack == WAY_NO_GOOD_SOURCE && !troubles_read(db, why, arena, story))
        return false;
    if (counts[0] && story->lack == WAY_IS_THERE && !use_read(db, why, site, now, arena, story))
        return false;
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
                            SAY(lang, "プール %.*s の送信元はどれも使えません: ドレイン中、または異常(%.*s)",
                                "every source of the pool %.*s is draining or in trouble (%.*s)"),
                            SLICE_ARG(story->pool), SLICE_ARG(story->details));
    case WAY_USED_UP:
        return arena_printf(arena,
                            SAY(lang,
                                "プール %.*s のウォームアップは今日の上限を使い切りました(%.*s 通)。"
                                "%.*s に次の日の分が始まります",
                                "the warm-up's cap for today is used up in the pool %.*s (%.*s); the next day's begins "
                                "at %.*s"),
                            SLICE_ARG(story->pool), SLICE_ARG(story->details),
                            SLICE_ARG(minute_text(arena, story->until)));
    case WAY_NO_SOURCE:
        return arena_printf(arena, SAY(lang, "プール %.*s に送信元がありません", "the pool %.*s has no source"),
                            SLICE_ARG(story->pool));
    }
    return SLICE("");
}
