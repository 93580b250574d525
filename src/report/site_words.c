/* site_words.c - a site's story in sentences (Japanese and English), and as JSON */
#include "report/site_story.h"

#include "shape/pace.h"
#include <stdlib.h>

#define SAY(lang, ja, en) ((lang) == LANG_JA ? (ja) : (en))

static struct slice stamp(struct arena *arena, time_ms at)
{
    SCOPED(buf) text = BUF(64);
    if (!at)
        return SLICE("-");
    time_rfc3339(&text, at);
    if (text.len > 19)
        text.ptr[10] = ' ';
    return arena_copy(arena, slice_head(buf_slice(&text), 19));
}

/* "12.5/s", "3.0/min": per minute where a second would be a fraction. */
static struct slice rate_text(struct arena *arena, double rate)
{
    if (rate >= 10)
        return arena_printf(arena, "%.0f/s", rate);
    return rate >= 0.5 ? arena_printf(arena, "%.1f/s", rate) : arena_printf(arena, "%.1f/min", rate * 60);
}

/* ── what binds ── */

static enum pace_limit limit_of(struct slice word)
{
    for (int i = 0; i < PACE_LIMIT_COUNT; i++)
        if (slice_equal(pace_limit_word((enum pace_limit)i), word))
            return (enum pace_limit)i;
    return PACE_NOTHING;
}

static struct slice limit_text(const struct board_way *way, enum lang lang, struct arena *arena)
{
    double value = way->binding_value;
    struct slice rate = rate_text(arena, value);
    switch (limit_of(way->binding)) {
    case PACE_NOTHING: return slice_str(SAY(lang, "制限に当たっていません", "nothing limits"));
    case PACE_RULE_CONNECTIONS:
        return arena_printf(arena,
                            SAY(lang, "接続数: 規則の上限 %.0f 本をすべて使用中",
                                "connections: all %.0f that the rule allows are in use"),
                            value);
    case PACE_RULE_RATE:
        return arena_printf(arena, SAY(lang, "速度: 規則の上限 %.*s", "rate: %.*s, the rule's ceiling"),
                            SLICE_ARG(rate));
    case PACE_RULE_OPENING:
        return arena_printf(arena,
                            SAY(lang, "新しい接続: 規則の上限 %.*s", "new connections: %.*s, the rule's ceiling"),
                            SLICE_ARG(rate));
    case PACE_OWN_CONNECTIONS:
        return arena_printf(arena,
                            SAY(lang, "接続数: 自動調整で %.0f 本(受信先が嫌がったため)",
                                "connections: %.0f, found by ourselves (the receiver minded more)"),
                            value);
    case PACE_OWN_RATE:
        return arena_printf(arena,
                            SAY(lang, "速度: 自動調整で %.*s(受信先が嫌がったため)",
                                "rate: %.*s, found by ourselves (the receiver minded more)"),
                            SLICE_ARG(rate));
    case PACE_REACTION_SUSPEND:
        return arena_printf(arena, SAY(lang, "停止中: 反応 %.*s", "suspended by the reaction %.*s"),
                            SLICE_ARG(way->reaction));
    case PACE_REACTION_RATE:
        return arena_printf(arena, SAY(lang, "速度: 反応 %.*s により %.*s", "rate: by the reaction %.*s, %.*s"),
                            SLICE_ARG(way->reaction), SLICE_ARG(rate));
    case PACE_REACTION_CONNECTIONS:
        return arena_printf(arena,
                            SAY(lang, "接続数: 反応 %.*s により %.0f 本", "connections: by the reaction %.*s, %.0f"),
                            SLICE_ARG(way->reaction), value);
    case PACE_GUARD:
        return slice_str(
            SAY(lang, "停止中: 「宛先なし」の割合が異常なため", "suspended: too many \"no such user\" to be believed"));
    case PACE_BREAKER:
        return slice_str(value > 0
                             ? SAY(lang, "遮断器: 1 本の接続で様子を見ています", "breaker: probing with one connection")
                             : SAY(lang, "遮断器: つながらない、または何も受け取らないため待っています",
                                   "breaker: it cannot be reached or takes nothing"));
    case PACE_DAILY:
        return arena_printf(
            arena, SAY(lang, "1 日の上限 %.0f 通(規則)を使い切りました", "the rule's cap of %.0f a day is used up"),
            value);
    case PACE_WARM_UP:
        return arena_printf(arena,
                            SAY(lang, "ウォームアップの今日の上限 %.0f 通を使い切りました",
                                "the warm-up's cap of %.0f for today is used up"),
                            value);
    case PACE_NO_SOURCE:
        return slice_str(SAY(lang, "送信元アドレスが使えません(ドレイン中、または異常)",
                             "its source cannot be used (draining, or in trouble)"));
    case PACE_RESERVING:
        return slice_str(
            SAY(lang, "1 日の上限の次の枠を確保しています", "the next block of a daily cap is being reserved"));
    case PACE_TOTAL_CONNECTIONS:
        return arena_printf(arena,
                            SAY(lang, "接続数: すべての送信元を合わせた規則の上限 %.0f 本を使用中",
                                "connections: all %.0f that the rule allows over all sources are in use"),
                            value);
    case PACE_TOTAL_RATE:
        return arena_printf(arena,
                            SAY(lang, "速度: すべての送信元を合わせた規則の上限 %.*s",
                                "rate: %.*s, the rule's ceiling over all sources"),
                            SLICE_ARG(rate));
    case PACE_LIMIT_COUNT: break;
    }
    return SLICE("");
}

struct slice way_binding_text(const struct board_way *way, time_ms now, enum lang lang, struct arena *arena)
{
    SCOPED(buf) text = BUF(4096);
    buf_append(&text, limit_text(way, lang, arena));
    if (way->file.len)
        buf_printf(&text, SAY(lang, " (%.*s %lld 行)", " (%.*s line %lld)"), SLICE_ARG(way->file),
                   (long long)way->line);
    if (way->binding_since)
        buf_printf(&text, SAY(lang, "、%.*s から", ", since %.*s"), SLICE_ARG(stamp(arena, way->binding_since)));
    if (way->binding_until > now)
        buf_printf(&text, SAY(lang, "、%.*s まで", ", until %.*s"), SLICE_ARG(stamp(arena, way->binding_until)));
    return arena_copy(arena, buf_slice(&text));
}

/* Of what a limit counts. */
static struct slice value_text(struct arena *arena, enum pace_limit limit, double value)
{
    bool is_count = limit == PACE_OWN_CONNECTIONS || limit == PACE_REACTION_CONNECTIONS;
    return is_count ? arena_printf(arena, "%.0f", value) : rate_text(arena, value);
}

struct slice way_lowered_text(const struct board_way *way, enum lang lang, struct arena *arena)
{
    enum pace_limit limit = limit_of(way->lowered_by);
    SCOPED(buf) text = BUF(4096);
    if (!way->lowered_at)
        return SLICE("");
    buf_printf(&text, "%.*s: %.*s", SLICE_ARG(stamp(arena, way->lowered_at)), SLICE_ARG(way->lowered_by));
    if (limit == PACE_OWN_RATE || limit == PACE_OWN_CONNECTIONS) {
        if (way->lowered_from > 0)
            buf_printf(&text, " %.*s ->", SLICE_ARG(value_text(arena, limit, way->lowered_from)));
        buf_printf(&text, " %.*s", SLICE_ARG(value_text(arena, limit, way->lowered_to)));
    }
    if (way->lowered_words.len)
        buf_printf(&text, SAY(lang, "、理由: %.*s", ", by %.*s"), SLICE_ARG(way->lowered_words));
    return arena_copy(arena, buf_slice(&text));
}

struct slice site_story_done_text(const struct site_story *story, enum lang lang, struct arena *arena)
{
    long long owed = story->owed[DELIVERY_WAITING] + story->owed[DELIVERY_DEFERRED];
    if (!owed)
        return slice_str(SAY(lang, "待っているメールはありません", "nothing waits"));
    if (!story->is_live)
        return slice_str(
            SAY(lang, "サーバが動いていないので、いつ終わるか分かりません", "no server runs: nobody can say when"));
    if (!story->done_at)
        return slice_str(story->way_count && story->rate <= 0
                             ? SAY(lang, "速度の制限はありません。再送はその時刻に送ります",
                                   "no rate limits it; retries wait for their hour")
                             : SAY(lang, "いま使える送信元がないため、いつ終わるか分かりません",
                                   "there is no way there now: nobody can say when"));
    return arena_printf(arena,
                        SAY(lang, "%.*s UTC ごろ(残り %lld 通、%s %.*s。再送はその時刻を待ちます)",
                            "about %.*s UTC (%lld left, %s %.*s; retries wait for their hour)"),
                        SLICE_ARG(stamp(arena, story->done_at)), owed,
                        story->is_rate_measured ? SAY(lang, "いまの速度", "going at")
                                                : SAY(lang, "許される速度", "allowed"),
                        SLICE_ARG(rate_text(arena, story->rate)));
}

/* ── JSON ── */

static void put_both(struct json *json, struct slice key, struct slice ja, struct slice en)
{
    json_key_slice(json, key);
    json_object_begin(json);
    json_put_string(json, "ja", ja);
    json_put_string(json, "en", en);
    json_end(json);
}

static void put_number(struct json *json, struct slice key, double number)
{
    json_key_slice(json, key);
    json_double(json, number);
}

static void binding_json(struct json *json, const struct board_way *way, time_ms now, struct arena *arena)
{
    json_object_begin(json);
    json_put_string(json, "limit", way->binding);
    put_number(json, SLICE("value"), way->binding_value);
    json_put_time(json, "since", way->binding_since);
    json_put_time(json, "until", way->binding_until);
    json_put_string(json, "reaction", way->reaction);
    json_put_string(json, "file", way->file);
    json_put_int(json, "line", way->line);
    put_both(json, SLICE("text"), way_binding_text(way, now, LANG_JA, arena),
             way_binding_text(way, now, LANG_EN, arena));
    json_end(json);
}

static void lowered_json(struct json *json, const struct board_way *way)
{
    if (!way->lowered_at)
        return json_nothing(json);
    json_object_begin(json);
    json_put_string(json, "by", way->lowered_by);
    json_put_time(json, "at", way->lowered_at);
    json_put_int(json, "times", way->lowered_times);
    put_number(json, SLICE("from"), way->lowered_from);
    put_number(json, SLICE("to"), way->lowered_to);
    json_put_string(json, "words", way->lowered_words);
    json_end(json);
}

void way_json(struct json *json, const struct board_way *way, time_ms now, struct arena *arena)
{
    json_object_begin(json);
    json_put_int(json, "node", way->node);
    json_put_string(json, "source", way->source);
    json_put_string(json, "pool", way->pool);
    json_put_bool(json, "is_usable", way->is_usable != 0);
    json_key(json, "connections");
    json_object_begin(json);
    json_put_int(json, "open", way->connections);
    json_put_int(json, "talking", way->talking);
    json_put_int(json, "allowed", way->connections_allowed);
    json_put_int(json, "rule", way->connections_rule);
    json_end(json);
    json_key(json, "rate");
    json_object_begin(json);
    put_number(json, SLICE("now"), way->rate_now);
    put_number(json, SLICE("allowed"), way->rate_allowed);
    put_number(json, SLICE("rule"), way->rate_rule);
    put_number(json, SLICE("own"), way->rate_own);
    put_number(json, SLICE("refused_at"), way->rate_limit);
    json_end(json);
    json_put_int(json, "in_memory", way->in_memory);
    json_put_int(json, "sent", way->sent);
    json_key(json, "binds");
    binding_json(json, way, now, arena);
    json_key(json, "lowered");
    lowered_json(json, way);
    json_put_time(json, "suspended_until", way->suspended_until);
    json_put_time(json, "guarded_until", way->guarded_until);
    json_put_time(json, "slowed_until", way->slowed_until);
    json_put_time(json, "narrowed_until", way->narrowed_until);
    json_put_string(json, "breaker", way->breaker.len ? way->breaker : SLICE("closed"));
    json_put_time(json, "breaker_until", way->breaker_until);
    json_key(json, "cap");
    if (way->cap_by.len) {
        json_object_begin(json);
        json_put_string(json, "by", way->cap_by);
        json_put_int(json, "a_day", way->cap);
        json_put_bool(json, "is_used_up", way->is_used_up != 0);
        json_end(json);
    } else {
        json_nothing(json);
    }
    json_end(json);
}

struct slice stand_in_text(const struct story_stand_in *stand_in, enum lang lang, struct arena *arena)
{
    struct slice pool = stand_in->pool, by = stand_in->by;
    if (stand_in->is_capped)
        return arena_printf(
            arena,
            SAY(lang, "プール %.*s のメールは、いまプール %.*s から送っています (%.*s は今日の上限を使い切りました)",
                "mail of the pool %.*s leaves by the pool %.*s now: what %.*s may send today is used up"),
            SLICE_ARG(pool), SLICE_ARG(by), SLICE_ARG(pool));
    return arena_printf(
        arena,
        SAY(lang, "プール %.*s のメールは、いまプール %.*s から送っています (%.*s には使える送信元がありません)",
            "mail of the pool %.*s leaves by the pool %.*s now: none of the sources of %.*s may be used"),
        SLICE_ARG(pool), SLICE_ARG(by), SLICE_ARG(pool));
}

static void route_json(struct json *json, const struct board_route *route)
{
    if (!route)
        return json_nothing(json);
    json_object_begin(json);
    json_put_string(json, "domain", route->domain);
    json_put_string(json, "status", route->status);
    json_put_string(json, "hosts", route->hosts);
    json_put_string(json, "rule", route->rule);
    json_put_string(json, "file", route->file);
    json_put_string(json, "tls", route->tls);
    json_put_string(json, "relay", route->relay);
    json_put_time(json, "good_until", route->good_until);
    json_end(json);
}

static void owed_json(struct json *json, const struct site_story *story)
{
    json_object_begin(json);
    for (int state = 0; state <= DELIVERY_IN_DOUBT; state++) {
        json_key_slice(json, delivery_word((enum delivery_state)state));
        json_int(json, story->owed[state]);
    }
    json_end(json);
}

static void waiting_json(struct json *json, const struct site_story *story)
{
    json_key(json, "retries");
    json_array_begin(json);
    for (size_t i = 0; i < story->retry_count; i++) {
        json_object_begin(json);
        json_put_string(json, "reason", reason_word(story->retries[i].reason));
        json_put_int(json, "n", story->retries[i].n);
        json_end(json);
    }
    json_end(json);
    json_key(json, "replies");
    json_array_begin(json);
    for (size_t i = 0; i < story->reply_count; i++) {
        json_object_begin(json);
        json_put_string(json, "words", story->replies[i].words);
        json_put_string(json, "remote", story->replies[i].remote);
        json_put_time(json, "at", story->replies[i].at);
        json_put_int(json, "n", story->replies[i].n);
        json_end(json);
    }
    json_end(json);
    json_key(json, "holds");
    json_array_begin(json);
    for (size_t i = 0; i < story->hold_count; i++) {
        json_object_begin(json);
        json_put_string(json, "domain", story->holds[i].name);
        json_put_string(json, "why", story->holds[i].why);
        json_put_time(json, "since", story->holds[i].since);
        json_end(json);
    }
    json_end(json);
    json_key(json, "warm_ups");
    json_array_begin(json);
    for (size_t i = 0; i < story->plan_count; i++) {
        json_object_begin(json);
        json_put_string(json, "source", story->plans[i].source);
        json_put_string(json, "site", story->plans[i].group);
        json_put_int(json, "step", story->plans[i].step);
        json_put_int(json, "cap", story->plans[i].cap);
        json_put_int(json, "reserved", story->plans[i].reserved);
        json_end(json);
    }
    json_end(json);
}

static void stand_ins_json(struct json *json, const struct site_story *story, struct arena *arena)
{
    json_key(json, "stand_ins");
    json_array_begin(json);
    for (size_t i = 0; i < story->stand_in_count; i++) {
        const struct story_stand_in *stand_in = &story->stand_ins[i];
        json_object_begin(json);
        json_put_string(json, "pool", stand_in->pool);
        json_put_string(json, "by", stand_in->by);
        json_put_bool(json, "is_used_up", stand_in->is_capped);
        put_both(json, SLICE("text"), stand_in_text(stand_in, LANG_JA, arena), stand_in_text(stand_in, LANG_EN, arena));
        json_end(json);
    }
    json_end(json);
}

void site_story_json(struct json *json, const struct site_story *story, struct arena *arena)
{
    const struct board_way *best = site_story_best(story);
    const struct board_route *route = story->route;
    json_object_begin(json);
    json_put_string(json, "name", story->name);
    json_put_string(json, "site", story->site);
    json_put_string(json, "label", route ? route->label : best ? best->label : SLICE(""));
    json_put_bool(json, "is_live", story->is_live);
    json_put_time(json, "at", story->now);
    json_key(json, "binds");
    if (best)
        binding_json(json, best, story->now, arena);
    else
        json_nothing(json);
    json_key(json, "route");
    route_json(json, route);
    json_key(json, "domains");
    json_array_begin(json);
    for (size_t i = 0; i < story->domain_count && i < STORY_DOMAINS_SHOWN; i++)
        json_text(json, story->domains[i]);
    json_end(json);
    json_put_int(json, "domain_count", (int64_t)story->domain_count + story->domains_left_out);
    json_key(json, "owed");
    owed_json(json, story);
    waiting_json(json, story);
    stand_ins_json(json, story, arena);
    json_key(json, "ways");
    json_array_begin(json);
    for (size_t i = 0; i < story->way_count; i++)
        way_json(json, story->ways[i], story->now, arena);
    json_end(json);
    json_key(json, "done");
    json_object_begin(json);
    json_put_time(json, "at", story->done_at);
    put_number(json, SLICE("rate"), story->rate);
    json_put_bool(json, "is_measured", story->is_rate_measured);
    put_both(json, SLICE("text"), site_story_done_text(story, LANG_JA, arena),
             site_story_done_text(story, LANG_EN, arena));
    json_end(json);
    json_end(json);
}

static int by_site(const void *a, const void *b)
{
    const struct board_way *left = *(const struct board_way *const *)a, *right = *(const struct board_way *const *)b;
    int order = slice_compare(left->site, right->site);
    return order                       ? order
           : left->node != right->node ? (left->node < right->node ? -1 : 1)
                                       : slice_compare(left->source, right->source);
}

static int busiest_first(const void *a, const void *b)
{
    const struct busy_site *left = a, *right = b;
    if (left->rate != right->rate)
        return left->rate < right->rate ? 1 : -1;
    if (left->in_memory != right->in_memory)
        return left->in_memory < right->in_memory ? 1 : -1;
    return slice_compare(left->ways[0]->site, right->ways[0]->site);
}

void sites_busy(const struct board *board, struct arena *arena, struct busy_site **list, size_t *count)
{
    const struct board_way **ways = ARENA_ARRAY(arena, const struct board_way *, board->way_count + 1);
    struct busy_site *sites = ARENA_ARRAY(arena, struct busy_site, board->way_count + 1);
    *list = sites;
    *count = 0;
    for (size_t i = 0; i < board->way_count; i++)
        ways[i] = &board->ways[i];
    qsort(ways, board->way_count, sizeof(ways[0]), by_site);
    for (size_t i = 0; i < board->way_count; i++) {
        if (!i || !slice_equal(ways[i]->site, ways[i - 1]->site))
            sites[(*count)++] = (struct busy_site){.ways = &ways[i]};
        struct busy_site *site = &sites[*count - 1];
        site->way_count++;
        site->rate += ways[i]->rate_now;
        site->connections += ways[i]->connections;
        if (ways[i]->in_memory > site->in_memory) /* each way of a worker's site says the whole site's */
            site->in_memory = ways[i]->in_memory;
    }
    for (size_t i = 0; i < *count; i++) {
        const struct site_story story = {.ways = sites[i].ways, .way_count = sites[i].way_count};
        sites[i].best = site_story_best(&story);
    }
    qsort(sites, *count, sizeof(sites[0]), busiest_first);
}

void sites_json(struct json *json, const struct board *board, time_ms now, struct arena *arena)
{
    struct busy_site *sites;
    size_t count;
    sites_busy(board, arena, &sites, &count);
    json_key(json, "items");
    json_array_begin(json);
    for (size_t i = 0; i < count; i++) {
        json_object_begin(json);
        json_put_string(json, "site", sites[i].best->site);
        json_put_string(json, "label", sites[i].best->label);
        put_number(json, SLICE("rate"), sites[i].rate);
        json_put_int(json, "connections", sites[i].connections);
        json_put_int(json, "in_memory", sites[i].in_memory);
        json_key(json, "binds");
        binding_json(json, sites[i].best, now, arena);
        json_key(json, "ways");
        json_array_begin(json);
        for (size_t w = 0; w < sites[i].way_count; w++)
            way_json(json, sites[i].ways[w], now, arena);
        json_end(json);
        json_end(json);
    }
    json_end(json);
}
