/* site_words.c - a site's story in sentences, Japanese and English */
#include "report/site_story.h"

#include "shape/pace.h"

#define SAY(lang, ja, en) ((lang) == LANG_JA ? (ja) : (en))

/* UTC, which who prints it says. */
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
        return slice_str(value > 0 ? SAY(lang, "サーキットブレーカー: 1 本の接続で様子を見ています",
                                         "breaker: probing with one connection")
                                   : SAY(lang, "サーキットブレーカーが作動中: つながらない、または何も受け取られません",
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
    case PACE_ORDER: return slice_str(SAY(lang, "停止中: 人の指示", "suspended by a person's order"));
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
        buf_printf(&text, SAY(lang, "、%.*s UTC から", ", since %.*s"), SLICE_ARG(stamp(arena, way->binding_since)));
    if (way->binding_until > now)
        buf_printf(&text, SAY(lang, "、%.*s UTC まで", ", until %.*s"), SLICE_ARG(stamp(arena, way->binding_until)));
    if (lang == LANG_EN && (way->binding_since || way->binding_until > now))
        buf_text(&text, " UTC");
    return arena_copy(arena, buf_slice(&text));
}

struct slice suspension_text(const struct suspension *suspension, enum lang lang, struct arena *arena)
{
    struct slice by =
        suspension->source_id ? suspension->source : slice_str(SAY(lang, "すべての送信元", "all sources"));
    return arena_printf(arena,
                        SAY(lang, "%.*s から、%.*s UTC まで(%.*s、%.*s UTC に指示: %.*s)",
                            "by %.*s, until %.*s UTC (%.*s ordered it at %.*s UTC: %.*s)"),
                        SLICE_ARG(by), SLICE_ARG(stamp(arena, suspension->until)), SLICE_ARG(suspension->who),
                        SLICE_ARG(stamp(arena, suspension->since)), SLICE_ARG(suspension->why));
}

struct slice resumed_text(const struct queue_order *order, enum lang lang, struct arena *arena)
{
    return arena_printf(
        arena,
        SAY(lang, "%.*s UTC に %.*s が指示%s%.*s(%.*s): %lld 経路", "at %.*s UTC by %.*s%s%.*s (%.*s): %lld ways"),
        SLICE_ARG(stamp(arena, order->at)), SLICE_ARG(order->who),
        order->source.len ? SAY(lang, "、送信元 ", ", the source ") : "", SLICE_ARG(order->source),
        SLICE_ARG(order->why), (long long)order->moved);
}

/* Of what a limit counts. */
static struct slice value_text(struct arena *arena, enum pace_limit limit, double value)
{
    bool is_count = limit == PACE_OWN_CONNECTIONS || limit == PACE_REACTION_CONNECTIONS;
    return is_count ? arena_printf(arena, "%.0f", value) : rate_text(arena, value);
}

/* Empty: nothing else lowers a pace. */
static struct slice lowered_label(enum pace_limit limit, enum lang lang)
{
    switch (limit) {
    case PACE_OWN_RATE: return slice_str(SAY(lang, "速度の自動調整", "the rate found by ourselves"));
    case PACE_OWN_CONNECTIONS: return slice_str(SAY(lang, "接続数の自動調整", "the connections found by ourselves"));
    case PACE_BREAKER: return slice_str(SAY(lang, "サーキットブレーカーが作動", "the breaker opened"));
    case PACE_GUARD:
        return slice_str(SAY(lang, "「宛先なし」の割合が異常なため停止", "suspended, too many \"no such user\""));
    case PACE_REACTION_SUSPEND: return slice_str(SAY(lang, "規則の反応で停止", "suspended by a reaction of the rule"));
    case PACE_REACTION_RATE: return slice_str(SAY(lang, "規則の反応で減速", "slowed by a reaction of the rule"));
    case PACE_REACTION_CONNECTIONS:
        return slice_str(SAY(lang, "規則の反応で接続数を減らした", "fewer connections by a reaction of the rule"));
    case PACE_NOTHING:
    case PACE_RULE_CONNECTIONS:
    case PACE_RULE_RATE:
    case PACE_RULE_OPENING:
    case PACE_DAILY:
    case PACE_WARM_UP:
    case PACE_NO_SOURCE:
    case PACE_RESERVING:
    case PACE_TOTAL_CONNECTIONS:
    case PACE_TOTAL_RATE:
    case PACE_ORDER:
    case PACE_LIMIT_COUNT: break;
    }
    return SLICE("");
}

struct slice way_lowered_text(const struct board_way *way, enum lang lang, struct arena *arena)
{
    enum pace_limit limit = limit_of(way->lowered_by);
    SCOPED(buf) text = BUF(4096);
    if (!way->lowered_at)
        return SLICE("");
    buf_printf(&text, "%.*s UTC: %.*s", SLICE_ARG(stamp(arena, way->lowered_at)),
               SLICE_ARG(lowered_label(limit, lang)));
    if (limit == PACE_OWN_RATE || limit == PACE_OWN_CONNECTIONS) {
        if (way->lowered_from > 0)
            buf_printf(&text, " %.*s ->", SLICE_ARG(value_text(arena, limit, way->lowered_from)));
        buf_printf(&text, " %.*s", SLICE_ARG(value_text(arena, limit, way->lowered_to)));
    }
    if (way->lowered_words.len)
        buf_printf(&text, SAY(lang, "、理由: %.*s", ", by %.*s"), SLICE_ARG(way->lowered_words));
    return arena_copy(arena, buf_slice(&text));
}

struct slice pause_text(const struct pause *pause, enum lang lang, struct arena *arena)
{
    SCOPED(buf) text = BUF(4096);
    struct slice source =
        pause->source_id ? pause->source : slice_str(SAY(lang, "システムが選ぶアドレス", "as the system chooses"));
    buf_printf(&text, "%.*s (node %u): %.*s", SLICE_ARG(source), pause->node,
               SLICE_ARG(lowered_label(pause->it.by, lang)));
    if (pause->it.reaction.len)
        buf_printf(&text, " %.*s", SLICE_ARG(pause->it.reaction));
    if (pause->file.len)
        buf_printf(&text, SAY(lang, " (%.*s %u 行)", " (%.*s line %u)"), SLICE_ARG(pause->file), pause->it.at.line);
    buf_printf(&text, SAY(lang, "、%.*s UTC から %.*s UTC まで", ", since %.*s, until %.*s UTC"),
               SLICE_ARG(stamp(arena, pause->it.since)), SLICE_ARG(stamp(arena, pause->it.until)));
    if (pause->words.len)
        buf_printf(&text, SAY(lang, "、理由: %.*s", ", by %.*s"), SLICE_ARG(pause->words));
    return arena_copy(arena, buf_slice(&text));
}

struct slice site_story_waits_text(const struct site_story *story, enum lang lang, struct arena *arena)
{
    const struct board_way *best = site_story_best(story);
    const struct lane_wait *most = NULL;
    for (size_t i = 0; i < story->lane_count; i++) /* what could go, before what is held */
        if (!most || story->lanes[i].due_now * !story->lanes[i].hold.kind.len > most->due_now * !most->hold.kind.len)
            most = &story->lanes[i];
    if (most && (most->hold.kind.len || most->way.lack || most->is_unserved || !best ||
                 limit_of(best->binding) == PACE_NOTHING))
        return lane_wait_text(most, story->now, lang, arena);
    return best ? way_binding_text(best, story->now, lang, arena) : SLICE("");
}

/* " 90 left; no more than 0 today and 20 tomorrow; ..." */
static void terms_write(const struct site_story *story, int64_t left, enum lang lang, struct arena *arena,
                        struct buf *out)
{
    buf_printf(out, SAY(lang, "残り %lld 通", "%lld left"), (long long)left);
    if (story->rate > 0)
        buf_printf(out, SAY(lang, "、%s %.*s", ", %s %.*s"),
                   story->is_rate_measured ? SAY(lang, "いまの速度", "going at") : SAY(lang, "許される速度", "allowed"),
                   SLICE_ARG(rate_text(arena, story->rate)));
    if (story->cap_today >= 0)
        buf_printf(out, SAY(lang, "、今日送れるのはあと %lld 通", ", of which %lld may still go today"),
                   (long long)(story->cap_today < left ? story->cap_today : left));
    if (story->cap_today >= 0 && story->cap_today < left && story->cap_tomorrow >= 0)
        buf_printf(out, SAY(lang, "、明日は %lld 通", " and %lld tomorrow"), (long long)story->cap_tomorrow);
    if (story->next_retry)
        buf_printf(out,
                   SAY(lang, "、再送は %.*s UTC から %.*s UTC まで(受け取られれば)",
                       ", retries from %.*s to %.*s UTC, if they are taken then"),
                   SLICE_ARG(stamp(arena, story->next_retry)), SLICE_ARG(stamp(arena, story->last_retry)));
}

struct slice site_story_done_text(const struct site_story *story, enum lang lang, struct arena *arena)
{
    int64_t owed = story->owed[DELIVERY_WAITING] + story->owed[DELIVERY_DEFERRED];
    int64_t left = owed - story->held - story->stuck;
    SCOPED(buf) text = BUF(2048);
    if (!owed)
        return slice_str(SAY(lang, "待っているメールはありません", "nothing waits"));
    if (!story->is_live)
        return slice_str(
            SAY(lang, "サーバが動いていないので、いつ終わるか分かりません", "no server runs: nobody can say when"));
    if (left > 0 && story->done_at) {
        buf_printf(&text, SAY(lang, "%.*s UTC ごろ(", "about %.*s UTC ("), SLICE_ARG(stamp(arena, story->done_at)));
        terms_write(story, left, lang, arena, &text);
        buf_byte(&text, ')');
    } else if (left > 0) {
        buf_append(&text, slice_str(SAY(lang, "いつ終わるか分かりません。いま使える経路がありません",
                                        "nobody can say when: there is no way there now")));
    }
    if (story->held > 0)
        buf_printf(&text,
                   SAY(lang, "%s%lld 通は止められていて、解除されるまで送りません",
                       "%s%lld are on hold and wait until they are released"),
                   text.len ? SAY(lang, "。", "; ") : "", (long long)story->held);
    if (story->stuck > 0)
        buf_printf(&text,
                   SAY(lang, "%s%lld 通は使える送信元がなく、いつになるか分かりません",
                       "%s%lld have no source that may be used: nobody can say when"),
                   text.len ? SAY(lang, "。", "; ") : "", (long long)story->stuck);
    return arena_copy(arena, buf_slice(&text));
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
