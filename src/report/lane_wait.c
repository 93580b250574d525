#include "report/lane_wait.h"

#include "report/site_story.h"

enum { LOOKED_AT = 200 /* of a lane's that wait, for their last words */ };

#define SAY(lang, ja, en) ((lang) == LANG_JA ? (ja) : (en))

struct slice state_label(enum delivery_state state, enum lang lang)
{
    static const struct slice ja[DELIVERY_STATE_COUNT] = {
        [DELIVERY_WAITING] = SLICE_INIT("待機中"),
        [DELIVERY_DEFERRED] = SLICE_INIT("保留(再送待ち)"),
        [DELIVERY_HELD] = SLICE_INIT("停止中"),
        [DELIVERY_ON_WIRE] = SLICE_INIT("送信中"),
        [DELIVERY_IN_DOUBT] = SLICE_INIT("届いたか確認中"),
        [DELIVERY_DELIVERED] = SLICE_INIT("届いた"),
        [DELIVERY_BOUNCED] = SLICE_INIT("エラー"),
        [DELIVERY_EXPIRED] = SLICE_INIT("期限切れ"),
        [DELIVERY_SUPPRESSED] = SLICE_INIT("配信停止リストにより送らず"),
        [DELIVERY_CANCELLED] = SLICE_INIT("取り消し"),
    };
    return lang == LANG_JA ? ja[state] : delivery_word(state);
}

struct slice minute_text(struct arena *arena, time_ms at)
{
    SCOPED(buf) text = BUF(64);
    if (!at)
        return SLICE("-");
    time_rfc3339(&text, at);
    text.ptr[10] = ' ';
    return arena_printf(arena, "%.16s UTC", text.ptr);
}

struct slice held_text(int64_t held, int64_t guarded, enum lang lang, struct arena *arena)
{
    int64_t by_people = held > guarded ? held - guarded : 0;
    SCOPED(buf) text = BUF(1024);
    if (guarded)
        buf_printf(&text,
                   SAY(lang, "%lld 通は受信先の「宛先なし」が信用できないため(todoke guard list)",
                       "%lld because their receiver's \"no such user\" is not believed (todoke guard list)"),
                   (long long)guarded);
    if (by_people)
        buf_printf(&text,
                   SAY(lang, "%s%lld 通は人の指示で(todoke queue orders、再開は todoke queue release)",
                       "%s%lld by people's orders (todoke queue orders; todoke queue release lets them go)"),
                   text.len ? SAY(lang, "、", ", ") : "", (long long)by_people);
    return arena_copy(arena, buf_slice(&text));
}

/* ── what a person holds ── */

bool hold_story_read(struct db *db, struct fault *why, uint64_t brand_id, uint64_t campaign_id, struct slice domain,
                     struct arena *arena, struct hold_story *hold)
{
    SCOPED(buf) brand = BUF(24);
    SCOPED(buf) campaign = BUF(24);
    SCOPED(rows) rows = {0};
    buf_u64(&brand, brand_id);
    buf_u64(&campaign, campaign_id);
    *hold = (struct hold_story){0};
    if (!db_query(db, why, &rows,
                  "SELECT h.kind, h.name, h.why, h.since_ms, CASE h.kind WHEN 'brand' THEN (SELECT b.name FROM brand b "
                  "WHERE b.id = $4) WHEN 'campaign' THEN (SELECT c.name FROM campaign c WHERE c.id = $5) END FROM hold "
                  "h WHERE (h.kind = 'brand' AND h.name = $1) OR (h.kind = 'campaign' AND h.name = $2) OR (h.kind = "
                  "'domain' AND h.name = $3) ORDER BY h.kind LIMIT 1",
                  VALUES(V_TEXT(buf_slice(&brand)), V_TEXT(buf_slice(&campaign)), V_TEXT(domain),
                         V_INT((int64_t)brand_id), V_INT((int64_t)campaign_id))))
        return false;
    if (rows_next(&rows))
        *hold = (struct hold_story){
            .kind = arena_copy(arena, rows_text(&rows, 0)),
            .name = arena_copy(arena, rows_text(&rows, 4).len ? rows_text(&rows, 4) : rows_text(&rows, 1)),
            .why = arena_copy(arena, rows_text(&rows, 2)),
            .since = rows_int(&rows, 3),
        };
    return rows_end(&rows);
}

struct slice hold_story_plain(const struct hold_story *hold, struct arena *arena)
{
    if (!hold->kind.len)
        return SLICE("");
    return arena_printf(arena, "%.*s %.*s: %.*s", SLICE_ARG(hold->kind), SLICE_ARG(hold->name), SLICE_ARG(hold->why));
}

struct slice hold_story_text(const struct hold_story *hold, enum lang lang, struct arena *arena)
{
    struct slice kind = hold->kind;
    if (!kind.len)
        return SLICE("");
    if (lang == LANG_JA)
        kind = slice_equal(kind, SLICE("brand"))      ? SLICE("ブランド")
               : slice_equal(kind, SLICE("campaign")) ? SLICE("キャンペーン")
                                                      : SLICE("ドメイン");
    return arena_printf(
        arena,
        SAY(lang, "%.*s %.*s を止めています(理由: %.*s、%.*s から)", "the %.*s %.*s is on hold: %.*s, since %.*s"),
        SLICE_ARG(kind), SLICE_ARG(hold->name), SLICE_ARG(hold->why), SLICE_ARG(minute_text(arena, hold->since)));
}

/* ── lanes ── */

/* Of one domain each lane is counted in the index of what is owed; of all, the index is walked once. Both touch no row
 * of the table: a million owed to one receiver are a tenth of a second. */
#define OF_A_DOMAIN                                                                                                    \
    "SELECT l.id, l.brand_id, l.campaign_id, l.domain, l.n, COUNT(*) OVER () FROM (SELECT o.id, o.brand_id, "          \
    "o.campaign_id, o.domain, (SELECT CAST(SUM((SELECT COUNT(*) FROM delivery d WHERE d.bucket = b.bucket AND "        \
    "d.lane_id = o.id AND d.state <= 1)) AS BIGINT) FROM lease b) AS n FROM lane o WHERE o.domain = $2) l WHERE l.n "  \
    "> 0"
#define OF_ALL                                                                                                         \
    "SELECT l.id, l.brand_id, l.campaign_id, l.domain, CAST(SUM(w.n) AS BIGINT) AS n, COUNT(*) OVER () FROM (SELECT "  \
    "d.bucket, d.lane_id, COUNT(*) AS n FROM delivery d WHERE d.state <= 1 GROUP BY d.bucket, d.lane_id) w JOIN lane " \
    "l ON l.id = w.lane_id WHERE $2 = ''"

bool lane_waits_count(struct db *db, struct fault *why, struct slice domain, const char *condition, size_t most,
                      struct arena *arena, struct lane_wait *list, size_t *count, int64_t *all)
{
    SCOPED(buf) sql = BUF(16384);
    SCOPED(rows) rows = {0};
    buf_append(&sql, slice_str(domain.len ? OF_A_DOMAIN : OF_ALL));
    buf_append(&sql, slice_str(condition));
    if (!domain.len)
        buf_text(&sql, " GROUP BY l.id, l.brand_id, l.campaign_id, l.domain");
    buf_text(&sql, " ORDER BY 5 DESC, 4, 1 LIMIT $1");
    if (!db_query(db, why, &rows, buf_cstr(&sql), VALUES(V_INT((int64_t)most), V_TEXT(domain))))
        return false;
    if (all)
        *all = 0;
    for (*count = 0; *count < most && rows_next(&rows); (*count)++) {
        if (all)
            *all = rows_int(&rows, 5);
        list[*count] = (struct lane_wait){
            .id = (uint64_t)rows_int(&rows, 0),
            .brand_id = (uint64_t)rows_int(&rows, 1),
            .campaign_id = (uint64_t)rows_int(&rows, 2),
            .domain = arena_copy(arena, rows_text(&rows, 3)),
            .owed = rows_int(&rows, 4),
        };
    }
    return rows_end(&rows);
}

/* In each bucket the index begins with what is due, and ends with the last. */
bool lane_wait_times(struct db *db, struct fault *why, time_ms now, struct lane_wait *lane)
{
    int64_t found[3] = {0};
    if (!db_query_ints(
            db, why,
            "SELECT CAST(COALESCE(SUM((SELECT COUNT(*) FROM delivery d WHERE d.bucket = b.bucket AND d.lane_id = $1 "
            "AND d.state <= 1 AND d.due_ms <= $2)), 0) AS BIGINT), COALESCE(MIN((SELECT d.due_ms FROM delivery d WHERE "
            "d.bucket = b.bucket AND d.lane_id = $1 AND d.state <= 1 AND d.due_ms > $2 ORDER BY d.due_ms LIMIT 1)), "
            "0), COALESCE(MAX((SELECT d.due_ms FROM delivery d WHERE d.bucket = b.bucket AND d.lane_id = $1 AND "
            "d.state <= 1 AND d.due_ms > $2 ORDER BY d.due_ms DESC LIMIT 1)), 0) FROM lease b",
            VALUES(V_INT((int64_t)lane->id), V_INT(now)), found, COUNT_OF(found), NULL))
        return false;
    lane->due_now = found[0] < lane->owed ? found[0] : lane->owed; /* it goes on between the two looks */
    lane->next = found[1];
    lane->last = found[2];
    return true;
}

/* Which rule read it so: a reason alone says less than the reply did. Looks at some of those that wait. */
static bool rule_read(struct db *db, struct fault *why, struct arena *arena, struct lane_wait *lane)
{
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows,
                  "SELECT e.rule FROM (SELECT d.bucket, d.last_seq FROM lease b CROSS JOIN delivery d WHERE d.bucket = "
                  "b.bucket AND d.lane_id = $1 AND d.state <= 1 AND d.state = 1 LIMIT $3) w JOIN event e ON e.bucket = "
                  "w.bucket AND e.seq = w.last_seq WHERE e.reason = $2 ORDER BY e.at_ms DESC LIMIT 1",
                  VALUES(V_INT((int64_t)lane->id), V_INT(lane->reason), V_INT(LOOKED_AT))))
        return false;
    lane->rule = rows_next(&rows) ? arena_copy(arena, rows_text(&rows, 0)) : SLICE("");
    return rows_end(&rows);
}

/* Why most of those that are tried again are. */
static bool reason_read(struct db *db, struct fault *why, struct arena *arena, struct lane_wait *lane)
{
    int64_t found[2] = {0};
    bool any = false;
    lane->reason = REASON_UNDEFINED;
    if (!db_query_ints(
            db, why,
            "SELECT r.reason, CAST(SUM(r.n) AS BIGINT) FROM lease b CROSS JOIN count_reason r WHERE r.bucket = "
            "b.bucket AND r.campaign_id = $1 AND r.domain = $2 AND r.state = 1 AND r.n > 0 GROUP BY "
            "r.reason ORDER BY 2 DESC, 1 LIMIT 1",
            VALUES(V_INT((int64_t)lane->campaign_id), V_TEXT(lane->domain)), found, 2, &any))
        return false;
    if (any && found[0] >= 0 && found[0] < REASON_COUNT)
        lane->reason = (enum reason)found[0];
    return lane->reason == REASON_UNDEFINED || rule_read(db, why, arena, lane);
}

bool lane_wait_fill(struct db *db, struct fault *why, struct slice site, time_ms now, struct arena *arena,
                    struct lane_wait *lane)
{
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows,
                  "SELECT (SELECT name FROM brand WHERE id = $1), (SELECT name FROM campaign WHERE id = $2)",
                  VALUES(V_INT((int64_t)lane->brand_id), V_INT((int64_t)lane->campaign_id))))
        return false;
    if (rows_next(&rows)) {
        lane->brand = arena_copy(arena, rows_text(&rows, 0));
        lane->campaign = arena_copy(arena, rows_text(&rows, 1));
    }
    return rows_end(&rows) && reason_read(db, why, arena, lane) &&
           hold_story_read(db, why, lane->brand_id, lane->campaign_id, lane->domain, arena, &lane->hold) &&
           way_story_read(db, why, lane->id, site, now, arena, &lane->way);
}

void lane_wait_pace(struct lane_wait *lane, const struct board_way *const *ways, size_t count)
{
    const struct board_way **own = NULL;
    size_t found = 0;
    struct arena arena = {0};
    lane->pace = NULL;
    own = ARENA_ARRAY(&arena, const struct board_way *, count + 1);
    for (size_t i = 0; i < count; i++)
        if (slice_equal(ways[i]->pool, lane->way.pool) || (!ways[i]->pool.len && lane->way.is_chosen_by_system))
            own[found++] = ways[i];
    lane->pace = ways_best(own, found);
    arena_release(&arena);
}

bool lane_wait_at(struct db *db, struct fault *why, const struct board *board, time_ms now, struct arena *arena,
                  struct lane_wait *lane)
{
    const struct board_route *route = NULL;
    const struct board_way **ways = ARENA_ARRAY(arena, const struct board_way *, board->way_count + 1);
    size_t count = 0;
    lane->is_unserved = !board_is_live(board, now);
    for (size_t i = 0; i < board->route_count; i++) /* its brand's own route before everybody's */
        if (slice_equal(board->routes[i].domain, lane->domain) &&
            ((!route && !board->routes[i].brand_id) || (uint64_t)board->routes[i].brand_id == lane->brand_id))
            route = &board->routes[i];
    if (!route || !route->site.len)
        return true;
    for (size_t i = 0; i < board->way_count; i++)
        if (slice_equal(board->ways[i].site, route->site))
            ways[count++] = &board->ways[i];
    if (!lane_wait_fill(db, why, route->site, now, arena, lane))
        return false;
    lane_wait_pace(lane, ways, count);
    return true;
}

struct slice lane_wait_whose(const struct lane_wait *lane, enum lang lang, struct arena *arena)
{
    if (lane->campaign_id)
        return arena_printf(arena, SAY(lang, "キャンペーン %.*s(%.*s)", "campaign %.*s (%.*s)"),
                            SLICE_ARG(lane->campaign), SLICE_ARG(lane->brand));
    return arena_printf(arena, SAY(lang, "%.*s の個別メール", "transactional mail of %.*s"), SLICE_ARG(lane->brand));
}

static struct slice retry_text(const struct lane_wait *lane, enum lang lang, struct arena *arena)
{
    struct slice next = minute_text(arena, lane->next), last = minute_text(arena, lane->last);
    struct slice reason = lane->reason != REASON_UNDEFINED
                              ? arena_printf(arena, SAY(lang, "、理由は主に %.*s%s%.*s%s", ", mostly for %.*s%s%.*s%s"),
                                             SLICE_ARG(reason_word(lane->reason)),
                                             lane->rule.len ? SAY(lang, "(規則 ", " by the rule ") : "",
                                             SLICE_ARG(lane->rule), lane->rule.len ? SAY(lang, ")", "") : "")
                              : SLICE("");
    return arena_printf(arena,
                        SAY(lang, "%lld 通は送る時刻を待っています(次は %.*s、最後は %.*s%.*s)",
                            "%lld wait for their time (the next at %.*s, the last at %.*s%.*s)"),
                        (long long)(lane->owed - lane->due_now), SLICE_ARG(next), SLICE_ARG(last), SLICE_ARG(reason));
}

static struct slice due_text(const struct lane_wait *lane, time_ms now, enum lang lang, struct arena *arena)
{
    if (lane->is_unserved)
        return arena_printf(arena,
                            SAY(lang, "%lld 通は送る時刻ですが、サーバが動いていません(todoke serve で始まります)",
                                "%lld are due, but no server runs (todoke serve)"),
                            (long long)lane->due_now);
    if (lane->pace)
        return arena_printf(arena, SAY(lang, "%lld 通が順番待ち。%.*s", "%lld are due: %.*s"), (long long)lane->due_now,
                            SLICE_ARG(way_binding_text(lane->pace, now, lang, arena)));
    return arena_printf(arena,
                        SAY(lang, "%lld 通はいつでも送れます(受信先のペース次第: todoke explain site %.*s)",
                            "%lld are due: as fast as the receiver's pace allows (todoke explain site %.*s)"),
                        (long long)lane->due_now, SLICE_ARG(lane->domain));
}

struct slice lane_wait_text(const struct lane_wait *lane, time_ms now, enum lang lang, struct arena *arena)
{
    if (lane->hold.kind.len)
        return hold_story_text(&lane->hold, lang, arena);
    if (lane->way.lack)
        return way_story_text(&lane->way, lang, arena);
    if (!lane->due_now)
        return retry_text(lane, lang, arena);
    if (lane->due_now == lane->owed)
        return due_text(lane, now, lang, arena);
    return arena_printf(arena, SAY(lang, "%.*s。%.*s", "%.*s; %.*s"), SLICE_ARG(due_text(lane, now, lang, arena)),
                        SLICE_ARG(retry_text(lane, lang, arena)));
}

void lane_wait_json(struct json *json, const struct lane_wait *lane, time_ms now, struct arena *arena)
{
    json_object_begin(json);
    json_put_string(json, "domain", lane->domain);
    json_put_id(json, "brand_id", lane->brand_id);
    json_put_string(json, "brand", lane->brand);
    json_put_id(json, "campaign_id", lane->campaign_id);
    json_put_string(json, "campaign", lane->campaign);
    json_put_int(json, "owed", lane->owed);
    json_put_int(json, "due", lane->due_now);
    json_put_time(json, "next_due_at", lane->next);
    json_put_time(json, "last_due_at", lane->last);
    json_put_string(json, "hold", hold_story_plain(&lane->hold, arena));
    json_put_words(json, "waits_for", lane_wait_text(lane, now, LANG_JA, arena),
                   lane_wait_text(lane, now, LANG_EN, arena));
    json_end(json);
}
