#include "report/site_story.h"

#include "base/map.h"
#include "report/reckon.h"
#include "shape/allowance.h"
#include "shape/source.h"
#include "shape/stand_in.h"
#include <stdlib.h>

enum {
    LOOKED_AT = 2000 /* of those that wait, for their last words */,
    HOLDS_MOST = 100,
    PLANS_MOST = 200,
    STORY_DOMAINS_ASKED = 20,
    OWED_DOMAINS_MOST = 64 /* of more, all counters are looked at once */
};

/* ── which site, which domains, which ways ── */

static bool route_concerns(const struct site_story *story, const struct board_route *route)
{
    if (slice_equal(route->domain, story->name))
        return true;
    return route->site.len && (slice_equal(route->site, story->name) || slice_equal(route->site, story->site));
}

static bool domain_is_there(const struct site_story *story, struct slice domain)
{
    for (size_t i = 0; i < story->domain_count; i++)
        if (slice_equal(story->domains[i], domain))
            return true;
    return false;
}

static void board_take(struct site_story *story, const struct board *board, struct arena *arena)
{
    story->domains = ARENA_ARRAY(arena, struct slice, board->route_count + 1);
    story->ways = ARENA_ARRAY(arena, const struct board_way *, board->way_count + 1);
    for (size_t i = 0; i < board->route_count; i++) /* the domain's own answer before others of its site */
        if (board->routes[i].site.len && (slice_equal(board->routes[i].domain, story->name) ||
                                          (!story->route && slice_equal(board->routes[i].site, story->name)))) {
            story->route = &board->routes[i];
            story->site = story->route->site;
        }
    for (size_t i = 0; i < board->way_count && !story->site.len; i++)
        if (slice_equal(board->ways[i].site, story->name))
            story->site = story->name;
    for (size_t i = 0; i < board->route_count; i++) {
        const struct board_route *route = &board->routes[i];
        if (!route_concerns(story, route))
            continue;
        if (!story->route)
            story->route = route;
        if (route->domain.len && !domain_is_there(story, route->domain))
            story->domains[story->domain_count++] = route->domain;
    }
    for (size_t i = 0; i < board->way_count; i++)
        if (story->site.len && slice_equal(board->ways[i].site, story->site))
            story->ways[story->way_count++] = &board->ways[i];
    story->domains_left_out = board->routes_left_out;
    if (!story->domain_count && slice_find(story->name, SLICE(".")) != SLICE_NPOS)
        story->domains[story->domain_count++] = story->name;
}

/* ── what is owed ── */

static int most_first(const void *a, const void *b)
{
    const struct story_retry *left = a, *right = b;
    return left->n != right->n ? (left->n < right->n ? 1 : -1) : (int)left->reason - (int)right->reason;
}

/* The campaigns that may owe it anything (0: transactional mail), whose counters are found by their key, in each
 * bucket. One that ended a day ago owes nothing. */
#define OWING                                                                                                          \
    "(SELECT DISTINCT l.campaign_id AS id FROM lane l LEFT JOIN campaign k ON k.id = l.campaign_id WHERE l.domain = "  \
    "$1 AND (k.id IS NULL OR k.finished_ms = 0 OR k.finished_ms > $2)) u CROSS JOIN lease b CROSS JOIN "
#define ITS(counter) " c WHERE c.bucket = b.bucket AND c.campaign_id = u.id AND c.domain = $1 AND " counter

static bool owed_of_domain(struct db *db, struct fault *why, struct slice domain, struct site_story *story,
                           int64_t reasons[REASON_COUNT])
{
    const struct value values[] = {V_TEXT(domain), V_INT(story->now - DAYS_MS(1))};
    {
        SCOPED(rows) rows = {0};
        if (!db_query(db, why, &rows,
                      "SELECT c.state, CAST(SUM(c.n) AS BIGINT) FROM " OWING
                      "count_state" ITS("c.state >= 0 AND c.state <= 4 GROUP BY c.state"),
                      values, COUNT_OF(values)))
            return false;
        while (rows_next(&rows))
            story->owed[rows_int(&rows, 0)] += rows_int(&rows, 1);
        if (!rows_end(&rows))
            return false;
    }
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows,
                  "SELECT c.reason, CAST(SUM(c.n) AS BIGINT) FROM " OWING
                  "count_reason" ITS("c.state = 1 GROUP BY c.reason"),
                  values, COUNT_OF(values)))
        return false;
    while (rows_next(&rows))
        if (rows_int(&rows, 0) >= 0 && rows_int(&rows, 0) < REASON_COUNT)
            reasons[rows_int(&rows, 0)] += rows_int(&rows, 1);
    return rows_end(&rows);
}

/* Of many domains: one look at all counters, which have no index by domain. */
static bool owed_read(struct db *db, struct fault *why, const struct map *domains, struct site_story *story,
                      int64_t reasons[REASON_COUNT])
{
    {
        SCOPED(rows) rows = {0};
        if (!db_query(db, why, &rows,
                      "SELECT domain, state, CAST(SUM(n) AS BIGINT) FROM count_state WHERE state >= 0 AND state <= 4 "
                      "GROUP BY domain, state",
                      NO_VALUES))
            return false;
        while (rows_next(&rows))
            if (map_get(domains, rows_text(&rows, 0)))
                story->owed[rows_int(&rows, 1)] += rows_int(&rows, 2);
        if (!rows_end(&rows))
            return false;
    }
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows,
                  "SELECT domain, reason, CAST(SUM(n) AS BIGINT) FROM count_reason WHERE state = 1 GROUP BY domain, "
                  "reason",
                  NO_VALUES))
        return false;
    while (rows_next(&rows))
        if (map_get(domains, rows_text(&rows, 0)) && rows_int(&rows, 1) >= 0 && rows_int(&rows, 1) < REASON_COUNT)
            reasons[rows_int(&rows, 1)] += rows_int(&rows, 2);
    return rows_end(&rows);
}

/* The words without whom they are about: a hundred greylisted people are one reply, not a hundred. */
static struct slice words_of(struct slice words, struct slice address, struct arena *arena)
{
    SCOPED(buf) text = BUF(8192);
    struct slice rest = words;
    ptrdiff_t at;
    while (address.len && (at = slice_find_caseless(rest, address)) != SLICE_NPOS) {
        buf_append(&text, slice_head(rest, (size_t)at));
        buf_text(&text, "...");
        rest = slice_from(rest, (size_t)at + address.len);
    }
    buf_append(&text, rest);
    return buf_ok(&text) ? arena_copy(arena, buf_slice(&text)) : words;
}

static void reply_take(struct site_story *story, const struct rows *row, struct arena *arena)
{
    struct slice words = words_of(rows_text(row, 0), rows_text(row, 4), arena);
    time_ms at = rows_int(row, 2);
    for (size_t i = 0; i < story->reply_count; i++)
        if (slice_equal(story->replies[i].words, words)) {
            story->replies[i].n++;
            if (at > story->replies[i].at)
                story->replies[i].at = at;
            return;
        }
    if (story->reply_count < STORY_REPLIES_MOST)
        story->replies[story->reply_count++] = (struct story_reply){
            .words = arena_copy(arena, words), .remote = arena_copy(arena, rows_text(row, 1)), .at = at, .n = 1};
}

static void said_take(struct story_retry said[REASON_COUNT], const struct rows *row, struct arena *arena)
{
    int64_t reason = rows_int(row, 5), action = rows_int(row, 6), whose = rows_int(row, 7);
    time_ms at = rows_int(row, 2);
    if (reason < 0 || reason >= REASON_COUNT || at <= said[reason].said_at)
        return;
    said[reason].said_at = at;
    said[reason].said = (struct verdict){
        .reason = (enum reason)reason,
        .action = action > 0 && action < ACTION_COUNT ? (enum action)action : ACTION_NONE,
        .whose = whose > 0 && whose < WHOSE_COUNT ? (enum whose_fault)whose : WHOSE_NONE,
        .rule = arena_copy(arena, rows_text(row, 8)),
        .words = arena_copy(arena, rows_text(row, 9)),
    };
}

/* What some of those that wait heard last. */
static bool replies_read(struct db *db, struct fault *why, struct slice domain, struct arena *arena,
                         struct story_retry said[REASON_COUNT], struct site_story *story)
{
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows,
                  "SELECT e.diagnostic, e.remote_mta, e.at_ms, e.site, e.address, e.reason, e.action, e.whose, e.rule, "
                  "e.words FROM (SELECT d.bucket, d.last_seq "
                  "FROM lane l "
                  "CROSS JOIN lease b JOIN delivery d ON d.bucket = b.bucket AND d.lane_id = l.id WHERE l.domain = $1 "
                  "AND d.state <= 1 AND d.state = 1 LIMIT $2) "
                  "w JOIN event e ON e.bucket = w.bucket AND e.seq = w.last_seq ORDER BY "
                  "e.at_ms DESC",
                  VALUES(V_TEXT(domain), V_INT(LOOKED_AT))))
        return false;
    while (rows_next(&rows)) {
        said_take(said, &rows, arena);
        if (!rows_text(&rows, 0).len)
            continue;
        reply_take(story, &rows, arena);
        if (!story->site.len) /* no server tells: the last reply does */
            story->site = arena_copy(arena, rows_text(&rows, 3));
    }
    return rows_end(&rows);
}

static bool hold_read(struct db *db, struct fault *why, struct slice domain, struct arena *arena,
                      struct site_story *story)
{
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows, "SELECT why, since_ms FROM hold WHERE kind = 'domain' AND name = $1",
                  VALUES(V_TEXT(domain))))
        return false;
    while (rows_next(&rows) && story->hold_count < HOLDS_MOST)
        story->holds[story->hold_count++] =
            (struct story_hold){domain, arena_copy(arena, rows_text(&rows, 0)), rows_int(&rows, 1)};
    return rows_end(&rows);
}

/* ── by hand ── */

static bool ordered_read(struct db *db, struct fault *why, struct arena *arena, struct site_story *story)
{
    struct suspension *list;
    size_t count, found;
    bool any;
    int64_t id;
    struct slice site = story->site.len ? story->site : story->name;
    if (!pauses_of_site(db, why, site, story->now, arena, &story->pauses, &story->pause_count) ||
        !suspension_list(db, why, story->now, arena, &list, &count) ||
        !db_query_ints(db, why,
                       "SELECT id FROM queue_order WHERE site = $1 AND verb IN ('suspend', 'resume') ORDER BY id DESC "
                       "LIMIT 1",
                       VALUES(V_TEXT(site)), &id, 1, &any))
        return false;
    story->suspensions = ARENA_ARRAY(arena, struct suspension, count + 1);
    for (size_t i = 0; i < count; i++)
        if (slice_equal(list[i].site, site))
            story->suspensions[story->suspension_count++] = list[i];
    if (any && !order_list(db, why, (uint64_t)id, 0, 1, arena, &story->order, &found))
        return false;
    if (any && !found)
        story->order = NULL;
    return true;
}

/* ── warm-ups ── */

static bool way_uses(const struct site_story *story, uint64_t source_id)
{
    for (size_t i = 0; i < story->way_count; i++)
        if ((uint64_t)story->ways[i]->source_id == source_id)
            return true;
    return false;
}

static bool plans_read(struct db *db, struct fault *why, struct arena *arena, struct site_story *story)
{
    struct source *sources;
    size_t count;
    story->plans = ARENA_ARRAY(arena, struct story_plan, PLANS_MOST);
    if (!source_list(db, why, arena, &sources, &count))
        return false;
    for (size_t i = 0; i < count; i++) {
        struct warm_up *plans;
        size_t found;
        char ip[IP_TEXT_ROOM];
        if (!way_uses(story, sources[i].id))
            continue;
        if (!warm_up_list(db, why, sources[i].id, story->now, arena, &plans, &found))
            return false;
        for (size_t p = 0; p < found && story->plan_count < PLANS_MOST; p++) {
            if (plans[p].cap < 0 ||
                (!slice_equal(plans[p].group, SLICE("*")) && !slice_equal(plans[p].group, story->site)))
                continue;
            story->plans[story->plan_count++] = (struct story_plan){
                .source_id = sources[i].id,
                .source = arena_copy(arena, slice_str(ip_text(&sources[i].ip, ip))),
                .caps = plans[p].caps,
                .group = plans[p].group,
                .cap = plans[p].cap,
                .reserved = plans[p].reserved,
                .step = plans[p].step + 1,
            };
        }
    }
    return true;
}

/* ── pools that stand in ── */

/* Is any mail that is owed to this domain meant to leave by this pool? Mail of a smart host leaves by none, nor does
 * mail of the pool "default" while that has no source: the system chooses then. */
static bool is_owed_by_pool(struct db *db, struct fault *why, struct slice domain, struct slice pool, bool *is_it)
{
    int64_t one;
    return db_query_ints(
        db, why,
        "SELECT 1 FROM lane l LEFT JOIN brand r ON r.id = l.brand_id WHERE l.domain = $1 AND COALESCE(NULLIF(l.pool, "
        "''), NULLIF(r.pool, ''), 'default') = $2 AND NOT EXISTS (SELECT 1 FROM relay y WHERE y.brand_id = l.brand_id) "
        "AND (l.pool <> '' OR r.pool <> '' OR EXISTS (SELECT 1 FROM source s WHERE s.pool = 'default')) AND EXISTS "
        "(SELECT 1 FROM lease b JOIN delivery d ON d.bucket = b.bucket AND d.lane_id = l.id WHERE d.state <= 1) LIMIT "
        "1",
        VALUES(V_TEXT(domain), V_TEXT(pool)), &one, 1, is_it);
}

static bool stand_ins_read(struct db *db, struct fault *why, struct arena *arena, struct site_story *story)
{
    struct stand_in *list;
    size_t count;
    if (!stand_in_list(db, why, story->now, arena, &list, &count))
        return false;
    story->stand_ins = ARENA_ARRAY(arena, struct story_stand_in, count + 1);
    for (size_t i = 0; i < count; i++) {
        bool is_it = false;
        for (size_t d = 0; stand_in_now(&list[i]) && !is_it && d < story->domain_count && d < STORY_DOMAINS_ASKED; d++)
            if (!is_owed_by_pool(db, why, story->domains[d], list[i].pool, &is_it))
                return false;
        if (is_it)
            story->stand_ins[story->stand_in_count++] =
                (struct story_stand_in){list[i].pool, list[i].by, list[i].is_capped};
    }
    return true;
}

/* ── what each brand's and campaign's mail waits for ── */

static int most_owed_first(const void *a, const void *b)
{
    const struct lane_wait *left = a, *right = b;
    return left->owed != right->owed ? (left->owed < right->owed ? 1 : -1) : slice_compare(left->domain, right->domain);
}

static void lanes_sum(struct site_story *story)
{
    for (size_t i = 0; i < story->lane_count; i++) {
        const struct lane_wait *lane = &story->lanes[i];
        if (lane->hold.kind.len) {
            story->held += lane->owed;
            continue;
        }
        if (lane->way.lack && lane->way.lack != WAY_USED_UP) {
            story->stuck += lane->owed;
            continue;
        }
        story->due_now += lane->due_now;
        if (lane->next && (!story->next_retry || lane->next < story->next_retry))
            story->next_retry = lane->next;
        if (lane->last > story->last_retry)
            story->last_retry = lane->last;
    }
}

static bool guarded_read(struct db *db, struct fault *why, struct site_story *story)
{
    return db_query_ints(db, why, "SELECT COUNT(*) FROM held_verdict WHERE site = $1 AND is_owed = 1",
                         VALUES(V_TEXT(story->site)), &story->guarded, 1, NULL);
}

static bool lanes_read(struct db *db, struct fault *why, struct arena *arena, struct site_story *story)
{
    size_t count = 0, most = STORY_DOMAINS_ASKED * STORY_LANES_MOST;
    struct lane_wait *lanes = ARENA_ARRAY(arena, struct lane_wait, most);
    for (size_t i = 0; i < story->domain_count && i < STORY_DOMAINS_ASKED; i++) {
        size_t found;
        int64_t all;
        if (!lane_waits_count(db, why, story->domains[i], "", most - count, arena, &lanes[count], &found, &all))
            return false;
        count += found;
        story->lanes_left_out += all - (int64_t)found;
    }
    qsort(lanes, count, sizeof(lanes[0]), most_owed_first);
    story->lanes = lanes;
    story->lane_count = count < STORY_LANES_MOST ? count : STORY_LANES_MOST;
    story->lanes_left_out += (int64_t)(count - story->lane_count);
    for (size_t i = 0; i < story->lane_count; i++) {
        if (!lane_wait_times(db, why, story->now, &lanes[i]) ||
            !lane_wait_fill(db, why, story->site, story->now, arena, &lanes[i]))
            return false;
        lanes[i].is_unserved = !story->is_live;
        lane_wait_pace(&lanes[i], story->ways, story->way_count);
    }
    lanes_sum(story);
    return true;
}

/* ── when it will be done ── */

static const struct story_plan *plan_of(const struct site_story *story, uint64_t source_id)
{
    const struct story_plan *plan = NULL;
    for (size_t i = 0; i < story->plan_count; i++)
        if (story->plans[i].source_id == source_id && (!plan || !slice_equal(story->plans[i].group, SLICE("*"))))
            plan = &story->plans[i];
    return plan;
}

static bool use_today(struct db *db, struct fault *why, const struct site_story *story, const struct board_way *way,
                      struct arena *arena, int64_t *used)
{
    bool found;
    *used = 0;
    return db_query_ints(db, why, "SELECT reserved FROM daily_use WHERE source_id = $1 AND grp = $2 AND day = $3",
                         VALUES(V_INT(way->source_id), V_TEXT(arena_printf(arena, "site %.*s", SLICE_ARG(story->site))),
                                V_INT(allowance_day(story->now))),
                         used, 1, &found);
}

/* One way as the reckoning wants it. What is reserved and not sent yet may still go. */
static bool way_reckon(struct db *db, struct fault *why, const struct site_story *story, const struct board_way *way,
                       bool is_measured, struct arena *arena, struct reckon_source *source)
{
    time_ms until = way->suspended_until > way->guarded_until ? way->suspended_until : way->guarded_until;
    const struct story_plan *plan = plan_of(story, (uint64_t)way->source_id);
    int64_t used;
    until = way->ordered_until > until ? way->ordered_until : until;
    *source = (struct reckon_source){.opens = way->breaker_until > until ? way->breaker_until : until};
    bool is_closed = source->opens > story->now; /* what it trickles meanwhile is not how it will go on */
    double later =
        way->rate_own > 0 && (way->rate_rule <= 0 || way->rate_own < way->rate_rule) ? way->rate_own : way->rate_rule;
    source->rate = is_closed ? later : is_measured ? way->rate_now : way->rate_allowed;
    if (slice_equal(way->cap_by, SLICE("warm_up")) && plan) {
        source->is_capped = true;
        source->left_today = way->is_used_up ? 0 : plan->cap - plan->reserved + way->cap_left;
        source->caps = plan->caps;
        source->step = plan->step - 1;
    } else if (slice_equal(way->cap_by, SLICE("daily"))) {
        if (!use_today(db, why, story, way, arena, &used))
            return false;
        source->is_capped = true;
        source->left_today = way->is_used_up ? 0 : way->cap - used + way->cap_left;
        source->a_day = way->cap;
    }
    return true;
}

static bool is_of_flowing_lane(const struct site_story *story, const struct board_way *way)
{
    bool any = false;
    for (size_t i = 0; i < story->lane_count; i++) {
        const struct lane_wait *lane = &story->lanes[i];
        if (lane->hold.kind.len || (lane->way.lack && lane->way.lack != WAY_USED_UP))
            continue;
        any = true;
        if (slice_equal(way->pool, lane->way.pool) || (!way->pool.len && lane->way.is_chosen_by_system))
            return true;
    }
    return !any || story->lanes_left_out; /* nobody knows by which pools the rest goes */
}

static bool reckon(struct db *db, struct fault *why, struct arena *arena, struct site_story *story)
{
    struct reckon_source *sources = ARENA_ARRAY(arena, struct reckon_source, story->way_count + 1);
    const struct board_way **ways = ARENA_ARRAY(arena, const struct board_way *, story->way_count + 1);
    size_t count = 0;
    double now = 0;
    bool is_unlimited = false, is_any_open = false;
    for (size_t i = 0; i < story->way_count; i++)
        if (story->ways[i]->is_usable && is_of_flowing_lane(story, story->ways[i])) {
            ways[count++] = story->ways[i];
            now += story->ways[i]->rate_now;
            is_any_open = is_any_open || !story->ways[i]->is_used_up;
        }
    story->is_rate_measured = now >= 0.05 && is_any_open;
    for (size_t i = 0; i < count; i++) {
        if (!way_reckon(db, why, story, ways[i], story->is_rate_measured && ways[i]->rate_now >= 0.05 / (double)count,
                        arena, &sources[i]))
            return false;
        is_unlimited = is_unlimited || sources[i].rate <= 0;
        story->rate += sources[i].rate;
    }
    if (is_unlimited)
        story->rate = 0;
    story->cap_today = count ? reckon_cap(sources, count, 0) : -1;
    story->cap_tomorrow = count ? reckon_cap(sources, count, 1) : -1;
    int64_t owed = story->owed[DELIVERY_WAITING] + story->owed[DELIVERY_DEFERRED] - story->held - story->stuck;
    if (owed <= 0)
        return true;
    story->done_at = reckon_done(sources, count, owed, story->now);
    if (story->done_at && story->last_retry > story->done_at)
        story->done_at = story->last_retry;
    return true;
}

static bool domains_read(struct db *db, struct fault *why, struct arena *arena, struct site_story *story,
                         int64_t reasons[REASON_COUNT], struct story_retry said[REASON_COUNT])
{
    struct map domains = {0};
    for (size_t i = 0; i < story->domain_count; i++)
        map_set(&domains, story->domains[i], story);
    bool is_one_look = story->domain_count > OWED_DOMAINS_MOST;
    bool ok = !is_one_look || owed_read(db, why, &domains, story, reasons);
    map_release(&domains);
    for (size_t i = 0; !is_one_look && ok && i < story->domain_count; i++)
        ok = owed_of_domain(db, why, story->domains[i], story, reasons);
    for (size_t i = 0; ok && i < story->domain_count && i < STORY_DOMAINS_ASKED; i++)
        ok = hold_read(db, why, story->domains[i], arena, story) &&
             replies_read(db, why, story->domains[i], arena, said, story);
    return ok;
}

bool site_story_read(struct db *db, struct fault *why, struct slice name, const struct board *board, time_ms now,
                     struct arena *arena, struct site_story *story)
{
    int64_t reasons[REASON_COUNT] = {0};
    struct story_retry said[REASON_COUNT] = {0};
    *story = (struct site_story){.name = arena_copy(arena, name), .now = now, .has_server = board->node_count > 0};
    story->is_live = board_is_live(board, now);
    board_take(story, board, arena);
    story->holds = ARENA_ARRAY(arena, struct story_hold, HOLDS_MOST);
    if (!domains_read(db, why, arena, story, reasons, said))
        return false;
    for (int reason = 0; reason < REASON_COUNT; reason++)
        if (reasons[reason] > 0) {
            said[reason].reason = (enum reason)reason;
            said[reason].n = reasons[reason];
            story->retries[story->retry_count++] = said[reason];
        }
    qsort(story->retries, story->retry_count, sizeof(story->retries[0]), most_first);
    return plans_read(db, why, arena, story) && stand_ins_read(db, why, arena, story) && guarded_read(db, why, story) &&
           ordered_read(db, why, arena, story) && lanes_read(db, why, arena, story) && reckon(db, why, arena, story);
}

const struct board_way *ways_best(const struct board_way *const *ways, size_t count)
{
    const struct board_way *best = NULL;
    for (size_t i = 0; i < count; i++) {
        const struct board_way *way = ways[i];
        bool is_open = way->is_usable && !way->is_used_up;
        bool best_is_open = best && best->is_usable && !best->is_used_up;
        double rate = way->rate_allowed > 0 ? way->rate_allowed : 1e12,
               best_rate = best && best->rate_allowed > 0 ? best->rate_allowed : 1e12;
        if (!best || is_open > best_is_open ||
            (is_open == best_is_open &&
             (way->in_memory > best->in_memory || (way->in_memory == best->in_memory && rate > best_rate))))
            best = way;
    }
    return best;
}

const struct board_way *site_story_best(const struct site_story *story)
{
    const struct lane_wait *most = NULL;
    for (size_t i = 0; i < story->lane_count; i++)
        if (story->lanes[i].pace && !story->lanes[i].hold.kind.len &&
            (!most || story->lanes[i].due_now > most->due_now))
            most = &story->lanes[i];
    return most ? most->pace : ways_best(story->ways, story->way_count);
}
