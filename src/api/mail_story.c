#include "api/mail_story.h"

#include "mail/message_id.h"
#include "report/site_story.h"
#include "shape/allowance.h"
#include "submit/message.h"

enum { TIMELINE_MAX = 500 };

#define SAY(lang, ja, en) ((lang) == LANG_JA ? (ja) : (en))

/* How long it was in each state, by what moved it. */
static void spend(struct mail_story *story, time_ms now)
{
    enum delivery_state state = DELIVERY_WAITING;
    time_ms since = story->accepted;
    for (size_t i = 0; i < story->page.count; i++) {
        const struct event *event = &story->page.events[i];
        if (event->state_after >= DELIVERY_STATE_COUNT || event->kind == EVENT_ACCEPTED)
            continue;
        story->spent[state] += event->at > since ? event->at - since : 0;
        state = event->state_after;
        since = event->at;
    }
    if (delivery_is_owed(state))
        story->spent[state] += now > since ? now - since : 0;
}

/* The source that its next attempts keep to, as it is now. */
static bool source_read(struct db *db, struct fault *why, struct arena *arena, struct mail_story *story)
{
    uint64_t source_id = 0;
    bool is_used_up = false;
    SCOPED(rows) rows = {0};
    if (!db_query(
            db, why, &rows,
            "SELECT s.ip, s.pool, CASE WHEN s.state = 'active' AND s.trouble = '' AND (s.node = 0 OR EXISTS (SELECT 1 "
            "FROM node n WHERE n.node = s.node AND n.until_ms > $3)) THEN 1 ELSE 0 END, CASE WHEN s.state = 'active' "
            "AND s.trouble = '' AND EXISTS (SELECT 1 FROM node n WHERE n.node = s.node AND n.until_ms <= $3) THEN "
            "s.node ELSE 0 END, s.id FROM delivery d JOIN source s ON s.id = d.source_id WHERE d.bucket = $1 AND d.id "
            "= $2 "
            "AND d.source_id <> 0",
            VALUES(V_INT(id_bucket(story->id)), V_INT((int64_t)story->id), V_INT(story->now))))
        return false;
    if (rows_next(&rows)) {
        story->source = arena_copy(arena, rows_text(&rows, 0));
        bool is_of_pool = slice_equal(rows_text(&rows, 1), story->way.pool);
        story->is_source_there = is_of_pool && rows_int(&rows, 2);
        story->source_node = is_of_pool ? rows_int(&rows, 3) : 0;
        source_id = (uint64_t)rows_int(&rows, 4);
    }
    if (!rows_end(&rows) ||
        (story->is_source_there && !warm_up_is_used_up(db, why, source_id, story->now, &is_used_up)))
        return false;
    story->is_source_there = story->is_source_there && !is_used_up;
    return true;
}

bool mail_story_read(struct db *db, struct fault *why, uint64_t id, time_ms now, struct arena *arena,
                     struct mail_story *story, bool *found)
{
    int64_t guarded;
    *story = (struct mail_story){.id = id, .now = now};
    {
        SCOPED(rows) rows = {0};
        if (!db_query(db, why, &rows,
                      "SELECT d.brand_id, d.campaign_id, d.written, l.domain, d.state, d.due_ms, d.accepted_ms, "
                      "d.expires_ms, d.changed_ms, d.attempts, (SELECT b.in_doubt FROM brand b WHERE b.id = "
                      "d.brand_id), d.lane_id, d.node FROM delivery d JOIN lane l ON l.id = d.lane_id WHERE d.bucket = "
                      "$1 AND "
                      "d.id = $2",
                      VALUES(V_INT(id_bucket(id)), V_INT((int64_t)id))))
            return false;
        *found = rows_next(&rows);
        if (*found) {
            story->brand_id = (uint64_t)rows_int(&rows, 0);
            story->campaign_id = (uint64_t)rows_int(&rows, 1);
            story->address = arena_copy(arena, rows_text(&rows, 2));
            story->domain = arena_copy(arena, rows_text(&rows, 3));
            story->state = (enum delivery_state)rows_int(&rows, 4);
            story->due = rows_int(&rows, 5);
            story->accepted = rows_int(&rows, 6);
            story->expires = rows_int(&rows, 7);
            story->changed = rows_int(&rows, 8);
            story->attempts = rows_int(&rows, 9);
            story->holds_doubts = slice_equal(rows_text(&rows, 10), SLICE("hold"));
            story->lane_id = (uint64_t)rows_int(&rows, 11);
            story->node = (unsigned)rows_int(&rows, 12);
        }
        if (!rows_end(&rows))
            return false;
    }
    if (!*found)
        return true;
    if (!event_timeline(db, why, id, TIMELINE_MAX, arena, &story->page) ||
        !hold_story_read(db, why, story->brand_id, story->campaign_id, story->domain, arena, &story->hold) ||
        !way_story_read(db, why, story->lane_id, SLICE(""), now, arena, &story->way) ||
        !source_read(db, why, arena, story) ||
        !db_query_ints(db, why, "SELECT COUNT(*) FROM held_verdict WHERE bucket = $1 AND delivery_id = $2",
                       VALUES(V_INT(id_bucket(id)), V_INT((int64_t)id)), &guarded, 1, NULL))
        return false;
    story->is_guarded = guarded > 0;
    spend(story, now);
    return true;
}

bool mail_story_asks(const struct mail_story *story)
{
    if (story->state == DELIVERY_ON_WIRE)
        return true;
    return story->state <= DELIVERY_DEFERRED && story->due <= story->now && !story->hold.kind.len && !story->way.lack;
}

bool mail_story_at(struct db *db, struct fault *why, const struct board *board, struct arena *arena,
                   struct mail_story *story)
{
    struct lane_wait lane = {
        .id = story->lane_id, .brand_id = story->brand_id, .campaign_id = story->campaign_id, .domain = story->domain};
    if (story->state == DELIVERY_ON_WIRE) {
        story->is_unserved = !board_node_is_live(board, story->node, story->now);
        return true;
    }
    if (!lane_wait_at(db, why, board, story->now, arena, &lane))
        return false;
    story->is_unserved = lane.is_unserved;
    if (lane.way.pool.len)
        story->way = lane.way;
    story->pace = lane.pace;
    return true;
}

struct text mail_story_advice(const struct mail_story *story, const struct rules *rules, struct arena *arena)
{
    bool is_owed = delivery_is_owed(story->state);
    const struct text none = {SLICE(""), SLICE("")};
    if (story->state == DELIVERY_DELIVERED || story->state == DELIVERY_CANCELLED)
        return none;
    for (size_t i = story->page.count; i > 0; i--) {
        const struct event *event = &story->page.events[i - 1];
        if (event->verdict.reason != REASON_UNDEFINED)
            return words_both(rules, &event->verdict, is_owed ? STANDING_RETRYING : STANDING_RETURNED,
                              offsetof(struct explanation, remedy));
    }
    return none;
}

struct slice mail_story_next(const struct mail_story *story, enum lang lang, struct arena *arena)
{
    time_ms now = story->now;
    struct slice due = minute_text(arena, story->due), expires = minute_text(arena, story->expires);
    switch (story->state) {
    case DELIVERY_WAITING:
    case DELIVERY_DEFERRED:
        if (story->hold.kind.len)
            return arena_printf(arena,
                                SAY(lang, "解除されるまで送りません: %.*s。期限 %.*s",
                                    "not before it is released: %.*s; given up at %.*s"),
                                SLICE_ARG(hold_story_text(&story->hold, lang, arena)), SLICE_ARG(expires));
        if (story->way.lack)
            return arena_printf(
                arena, SAY(lang, "いまは送れません: %.*s。期限 %.*s", "cannot leave now: %.*s; given up at %.*s"),
                SLICE_ARG(way_story_text(&story->way, lang, arena)), SLICE_ARG(expires));
        if (story->due <= now && story->is_unserved)
            return arena_printf(arena,
                                SAY(lang,
                                    "送る時刻ですが、サーバが動いていません(todoke serve で始まります)。期限 %.*s",
                                    "due now, but no server runs (todoke serve); given up at %.*s"),
                                SLICE_ARG(expires));
        if (story->due <= now && story->pace)
            return arena_printf(arena,
                                SAY(lang, "順番待ちです。受信先で効いている制限: %.*s。期限 %.*s",
                                    "due now; at its receiver binds: %.*s; given up at %.*s"),
                                SLICE_ARG(way_binding_text(story->pace, now, lang, arena)), SLICE_ARG(expires));
        if (story->due <= now)
            return arena_printf(arena,
                                SAY(lang, "いつでも送れます。受信先に空きができ次第です。期限 %.*s",
                                    "due now: as soon as its receiver has room; given up at %.*s"),
                                SLICE_ARG(expires));
        if (!story->attempts)
            return arena_printf(arena,
                                SAY(lang, "%.*s に送ります(予約)。期限 %.*s", "scheduled for %.*s; given up at %.*s"),
                                SLICE_ARG(due), SLICE_ARG(expires));
        return lang == LANG_JA
                   ? arena_printf(arena, "%.*s に再送します(最後の応答への再送間隔、%lld 回試行済み)。期限 %.*s",
                                  SLICE_ARG(due), (long long)story->attempts, SLICE_ARG(expires))
                   : arena_printf(arena,
                                  "tried again at %.*s: the retry hours of its last reply, after %lld attempt%s; given "
                                  "up at %.*s",
                                  SLICE_ARG(due), (long long)story->attempts, story->attempts == 1 ? "" : "s",
                                  SLICE_ARG(expires));
    case DELIVERY_HELD:
        return story->is_guarded ? slice_str(SAY(lang, "受信先の応答が信用できないため止めています(todoke guard)",
                                                 "held because its receiver is not believed now (todoke guard)"))
                                 : slice_str(SAY(lang, "人が解除するまで止めています(todoke queue release)",
                                                 "held until a person releases it (todoke queue release)"));
    case DELIVERY_ON_WIRE:
        if (story->is_unserved)
            return arena_printf(arena,
                                SAY(lang,
                                    "ノード %u が受信先と通信している間に止まりました。届いたか不明になり、サーバが"
                                    "動けば同じメールとして再送します",
                                    "its node %u stopped in conversation with its receiver: in doubt, and tried again "
                                    "as the same mail by the server that goes on"),
                                story->node);
        return slice_str(SAY(lang, "いま受信先と通信中です", "in conversation with its receiver just now"));
    case DELIVERY_IN_DOUBT:
        if (story->holds_doubts)
            return slice_str(SAY(lang, "届いたか不明なため、人の判断を待っています(ブランドの設定)",
                                 "waits for a person: its brand wants doubtful mails held"));
        return arena_printf(arena,
                            SAY(lang, "届いたか不明です。%.*s に同じメールとして再送します",
                                "not known whether it arrived: tried again at %.*s as the same mail"),
                            SLICE_ARG(due));
    case DELIVERY_DELIVERED:
    case DELIVERY_BOUNCED:
    case DELIVERY_EXPIRED:
    case DELIVERY_SUPPRESSED:
    case DELIVERY_CANCELLED:
        return arena_printf(arena, SAY(lang, "%.*s に終わりました", "ended at %.*s"),
                            SLICE_ARG(minute_text(arena, story->changed)));
    case DELIVERY_STATE_COUNT: break;
    }
    return SLICE("");
}

struct slice mail_story_source(const struct mail_story *story, enum lang lang, struct arena *arena)
{
    if (!story->source.len || !delivery_is_owed(story->state))
        return SLICE("");
    if (story->state == DELIVERY_ON_WIRE)
        return arena_printf(arena, SAY(lang, "送信元 %.*s から送っています", "by the source %.*s"),
                            SLICE_ARG(story->source));
    if (story->source_node)
        return arena_printf(
            arena,
            SAY(lang,
                "届いたか不明になったときの送信元 %.*s を持つノード %lld が動いていません。in_doubt.source_wait "
                "の間待ち、"
                "それでも動かなければ同じプールの別の送信元から送ります",
                "the node of %.*s, the source by which it was in doubt, is gone (node %lld): it waits for that node "
                "for in_doubt.source_wait, then any other of the pool will do"),
            SLICE_ARG(story->source), (long long)story->source_node);
    return arena_printf(
        arena,
        story->is_source_there
            ? SAY(lang, "届いたか不明になったときと同じ送信元 %.*s から再送します",
                  "tried again by %.*s, the source by which it was in doubt")
            : SAY(lang,
                  "届いたか不明になったときの送信元 %.*s がいまは使えないため、同じプールの別の送信元から送ります",
                  "%.*s, the source by which it was in doubt, cannot be used now: any other of the pool will do"),
        SLICE_ARG(story->source));
}

/* Which deliveries the name means. */
bool mail_story_ids(struct db *db, struct fault *why, struct slice name, uint64_t ids[MAIL_STORY_SHOWN_MOST],
                    size_t *count)
{
    struct slice text = slice_trim(name);
    *count = 1;
    if (slice_to_u64(text, &ids[0]) || message_id_delivery(text, &ids[0]))
        return true;
    *count = 0;
    SCOPED(buf) bracketed = BUF(1100);
    if (text.len > 998)
        return fault_set(why, FAULT_INPUT, "a Message-ID has at most 998 octets");
    bool has_brackets = text.len && text.ptr[0] == '<';
    buf_printf(&bracketed, has_brackets ? "%.*s" : "<%.*s>", SLICE_ARG(text));
    return message_named(db, why, buf_slice(&bracketed), ids, MAIL_STORY_SHOWN_MOST, count) &&
           (*count ||
            fault_set(why, FAULT_INPUT, "no mail has the Message-ID %.*s (mail to an address: todoke explain address)",
                      SLICE_ARG(buf_slice(&bracketed))));
}

static void json_times(struct json *json, const struct mail_story *story)
{
    json_put_object(json, "spent_ms");
    for (int state = 0; state < DELIVERY_STATE_COUNT; state++)
        if (delivery_is_owed((enum delivery_state)state)) {
            json_key_slice(json, delivery_word((enum delivery_state)state));
            json_int(json, story->spent[state]);
        }
    json_end(json);
}

void mail_story_json(struct json *json, const struct rules *rules, const struct mail_story *story, struct arena *arena)
{
    const struct text next = {mail_story_next(story, LANG_JA, arena), mail_story_next(story, LANG_EN, arena)};
    const struct text source = {mail_story_source(story, LANG_JA, arena), mail_story_source(story, LANG_EN, arena)};
    json_object_begin(json);
    json_put_id(json, "delivery_id", story->id);
    json_put_string(json, "email", story->address);
    json_put_string(json, "state", delivery_word(story->state));
    json_put_int(json, "attempts", story->attempts);
    json_put_time(json, "accepted_at", story->accepted);
    json_put_time(json, "due_at", delivery_is_owed(story->state) ? story->due : 0);
    json_put_time(json, "expires_at", story->expires);
    json_put_string(json, "hold", hold_story_plain(&story->hold, arena));
    json_put_both(json, "next", next);
    json_put_both(json, "advice", mail_story_advice(story, rules, arena));
    json_put_string(json, "source", story->source);
    json_put_both(json, "source_text", source);
    json_times(json, story);
    json_put_array(json, "timeline");
    for (size_t i = 0; i < story->page.count; i++) {
        const struct event *event = &story->page.events[i];
        json_object_begin(json);
        json_put_time(json, "at", event->at);
        json_put_string(json, "kind", event_word(event->kind));
        json_put_both(json, "text", timeline_text(rules, event, arena));
        json_put_string(json, "site", event->site);
        json_put_string(json, "remote_mta", event->remote_mta);
        json_put_string(json, "diagnostic", event->diagnostic);
        json_put_time(json, "next_attempt_at", event->next_attempt_at);
        json_put_string(json, "note", event->note);
        json_end(json);
    }
    json_end(json);
    json_end(json);
}
