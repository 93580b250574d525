#include "app/explain_message.h"

#include "api/explained.h"
#include "base/json.h"
#include "event/event.h"
#include "mail/message_id.h"
#include "submit/message.h"
#include <stdio.h>

enum { TIMELINE_MAX = 500, SHOWN_MOST = 20 /* deliveries of one Message-ID */ };

struct story {
    uint64_t id, brand_id, campaign_id;
    struct slice address, domain;
    enum delivery_state state;
    time_ms due, accepted, expires, changed;
    int64_t attempts, spent[DELIVERY_STATE_COUNT];
    bool is_guarded, holds_doubts; /* held by a receiver's guard; the brand wants doubtful ones held */
    struct slice hold;
    struct event_page page;
};

#define SAY(lang, ja, en) ((lang) == LANG_JA ? (ja) : (en))

bool explain_hold(struct desk *desk, uint64_t brand_id, uint64_t campaign_id, struct slice domain, struct slice *hold,
                  struct fault *why)
{
    SCOPED(buf) brand = BUF(24);
    SCOPED(buf) campaign = BUF(24);
    SCOPED(rows) rows = {0};
    buf_u64(&brand, brand_id);
    buf_u64(&campaign, campaign_id);
    *hold = SLICE("");
    if (!db_query(desk->reader, why, &rows,
                  "SELECT kind, name, why FROM hold WHERE (kind = 'brand' AND name = $1) OR (kind = 'campaign' AND "
                  "name = $2) OR (kind = 'domain' AND name = $3) ORDER BY kind LIMIT 1",
                  VALUES(V_TEXT(buf_slice(&brand)), V_TEXT(buf_slice(&campaign)), V_TEXT(domain))))
        return false;
    if (rows_next(&rows))
        *hold = arena_printf(&desk->arena, "%.*s %.*s: %.*s", SLICE_ARG(rows_text(&rows, 0)),
                             SLICE_ARG(rows_text(&rows, 1)), SLICE_ARG(rows_text(&rows, 2)));
    return rows_end(&rows);
}

/* How long it was in each state, by what moved it. */
static void spend(struct story *story, time_ms now)
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

static bool story_read(struct desk *desk, uint64_t id, struct story *story, bool *found, struct fault *why)
{
    int64_t guarded;
    *story = (struct story){.id = id};
    {
        SCOPED(rows) rows = {0};
        if (!db_query(desk->reader, why, &rows,
                      "SELECT d.brand_id, d.campaign_id, d.written, l.domain, d.state, d.due_ms, d.accepted_ms, "
                      "d.expires_ms, d.changed_ms, d.attempts, (SELECT b.in_doubt FROM brand b WHERE b.id = "
                      "d.brand_id) FROM delivery d JOIN lane l ON l.id = d.lane_id WHERE d.bucket = $1 AND d.id = $2",
                      VALUES(V_INT(id_bucket(id)), V_INT((int64_t)id))))
            return false;
        *found = rows_next(&rows);
        if (*found) {
            story->brand_id = (uint64_t)rows_int(&rows, 0);
            story->campaign_id = (uint64_t)rows_int(&rows, 1);
            story->address = arena_copy(&desk->arena, rows_text(&rows, 2));
            story->domain = arena_copy(&desk->arena, rows_text(&rows, 3));
            story->state = (enum delivery_state)rows_int(&rows, 4);
            story->due = rows_int(&rows, 5);
            story->accepted = rows_int(&rows, 6);
            story->expires = rows_int(&rows, 7);
            story->changed = rows_int(&rows, 8);
            story->attempts = rows_int(&rows, 9);
            story->holds_doubts = slice_equal(rows_text(&rows, 10), SLICE("hold"));
        }
        if (!rows_end(&rows))
            return false;
    }
    if (!*found)
        return true;
    if (!event_timeline(desk->reader, why, id, TIMELINE_MAX, &desk->arena, &story->page) ||
        !explain_hold(desk, story->brand_id, story->campaign_id, story->domain, &story->hold, why) ||
        !db_query_ints(desk->reader, why, "SELECT COUNT(*) FROM held_verdict WHERE bucket = $1 AND delivery_id = $2",
                       VALUES(V_INT(id_bucket(id)), V_INT((int64_t)id)), &guarded, 1, NULL))
        return false;
    story->is_guarded = guarded > 0;
    spend(story, world_wall(&desk->world));
    return true;
}

/* What will happen next, and why then. */
static struct slice next_text(struct desk *desk, const struct story *story, enum lang lang)
{
    time_ms now = world_wall(&desk->world);
    struct slice due = desk_time(desk, story->due), expires = desk_time(desk, story->expires);
    switch (story->state) {
    case DELIVERY_WAITING:
    case DELIVERY_DEFERRED:
        if (story->hold.len)
            return arena_printf(&desk->arena,
                                SAY(lang, "保留が解かれるまで送りません(%.*s)。期限 %.*s UTC",
                                    "not before its hold is released (%.*s); given up at %.*s UTC"),
                                SLICE_ARG(story->hold), SLICE_ARG(expires));
        if (story->due <= now)
            return arena_printf(&desk->arena,
                                SAY(lang, "いつでも送れます。受信先に空きができ次第です。期限 %.*s UTC",
                                    "due now: as soon as its receiver has room; given up at %.*s UTC"),
                                SLICE_ARG(expires));
        return arena_printf(
            &desk->arena,
            story->attempts ? SAY(lang, "%.*s UTC に再送します(最後の応答への再送間隔、%lld 回試行済み)。期限 %.*s UTC",
                                  "tried again at %.*s UTC: the retry hours of its last reply, after %lld attempts; "
                                  "given up at %.*s UTC")
                            : SAY(lang, "%.*s UTC に送ります(予約、%lld 回試行済み)。期限 %.*s UTC",
                                  "scheduled for %.*s UTC, after %lld attempts; given up at %.*s UTC"),
            SLICE_ARG(due), (long long)story->attempts, SLICE_ARG(expires));
    case DELIVERY_HELD:
        return story->is_guarded ? slice_str(SAY(lang, "受信先の応答が信用できないため止めています(todoke guard)",
                                                 "held because its receiver is not believed now (todoke guard)"))
                                 : slice_str(SAY(lang, "人が解除するまで止めています(todoke queue release)",
                                                 "held until a person releases it (todoke queue release)"));
    case DELIVERY_ON_WIRE:
        return slice_str(SAY(lang, "いま受信先と通信中です", "in conversation with its receiver just now"));
    case DELIVERY_IN_DOUBT:
        if (story->holds_doubts)
            return slice_str(SAY(lang, "届いたか不明なため、人の判断を待っています(ブランドの設定)",
                                 "waits for a person: its brand wants doubtful mails held"));
        return arena_printf(&desk->arena,
                            SAY(lang, "届いたか不明です。%.*s UTC に同じメールとして再送します",
                                "not known whether it arrived: tried again at %.*s UTC as the same mail"),
                            SLICE_ARG(due));
    case DELIVERY_DELIVERED:
    case DELIVERY_BOUNCED:
    case DELIVERY_EXPIRED:
    case DELIVERY_SUPPRESSED:
    case DELIVERY_CANCELLED:
        return arena_printf(&desk->arena, SAY(lang, "%.*s UTC に終わりました", "ended at %.*s UTC"),
                            SLICE_ARG(desk_time(desk, story->changed)));
    case DELIVERY_STATE_COUNT: break;
    }
    return SLICE("");
}

static struct slice stamp(struct desk *desk, time_ms at)
{
    SCOPED(buf) text = BUF(64);
    if (at)
        time_rfc3339(&text, at);
    return arena_copy(&desk->arena, buf_slice(&text));
}

static void print_json(struct desk *desk, const struct rules *rules, const struct story *story, enum lang lang)
{
    SCOPED(buf) out = BUF(8 << 20);
    struct json json = {&out};
    json_object_begin(&json);
    json_put_string(&json, "delivery", arena_printf(&desk->arena, "%llu", (unsigned long long)story->id));
    json_put_string(&json, "address", story->address);
    json_put_string(&json, "state", delivery_word(story->state));
    json_put_int(&json, "attempts", story->attempts);
    json_put_string(&json, "accepted_at", stamp(desk, story->accepted));
    json_put_string(&json, "due_at", delivery_is_owed(story->state) ? stamp(desk, story->due) : SLICE(""));
    json_put_string(&json, "expires_at", stamp(desk, story->expires));
    json_put_string(&json, "hold", story->hold);
    json_put_string(&json, "next", next_text(desk, story, lang));
    json_key_slice(&json, SLICE("spent_ms"));
    json_object_begin(&json);
    for (int state = 0; state < DELIVERY_STATE_COUNT; state++)
        if (delivery_is_owed((enum delivery_state)state)) {
            json_key_slice(&json, delivery_word((enum delivery_state)state));
            json_int(&json, story->spent[state]);
        }
    json_end(&json);
    json_put_array(&json, "timeline");
    for (size_t i = 0; i < story->page.count; i++) {
        const struct event *event = &story->page.events[i];
        struct text text = timeline_text(rules, event, &desk->arena);
        json_object_begin(&json);
        json_put_string(&json, "at", stamp(desk, event->at));
        json_put_string(&json, "kind", event_word(event->kind));
        json_put_string(&json, "text", lang == LANG_JA ? text.ja : text.en);
        json_put_string(&json, "site", event->site);
        json_put_string(&json, "remote_mta", event->remote_mta);
        json_put_string(&json, "diagnostic", event->diagnostic);
        json_put_string(&json, "next_attempt_at", stamp(desk, event->next_attempt_at));
        json_put_string(&json, "note", event->note);
        json_end(&json);
    }
    json_end(&json);
    json_end(&json);
    printf("%.*s\n", (int)out.len, out.ptr);
}

static void print_story(struct desk *desk, const struct rules *rules, const struct story *story, enum lang lang)
{
    printf("%llu  %.*s  %.*s  %s %lld\n", (unsigned long long)story->id, SLICE_ARG(story->address),
           SLICE_ARG(delivery_word(story->state)), SAY(lang, "試行", "attempts"), (long long)story->attempts);
    struct slice next = next_text(desk, story, lang);
    printf("%s: %.*s\n", SAY(lang, "次", "next"), SLICE_ARG(next));
    printf("%s:", SAY(lang, "各状態の時間", "time spent"));
    for (int state = 0; state < DELIVERY_STATE_COUNT; state++)
        if (story->spent[state])
            printf(" %.*s %.1f s", SLICE_ARG(delivery_word((enum delivery_state)state)),
                   (double)story->spent[state] / 1000);
    puts("");
    for (size_t i = 0; i < story->page.count; i++) {
        const struct event *event = &story->page.events[i];
        struct text text = timeline_text(rules, event, &desk->arena);
        SCOPED(buf) at = BUF(64);
        time_rfc3339(&at, event->at);
        printf("%.*s  %.*s", SLICE_ARG(buf_slice(&at)), SLICE_ARG(lang == LANG_JA ? text.ja : text.en));
        if (event->remote_mta.len)
            printf("  %.*s", SLICE_ARG(event->remote_mta));
        if (event->diagnostic.len)
            printf("  \"%.*s\"", SLICE_ARG(event->diagnostic));
        if (event->note.len)
            printf("  (%.*s)", SLICE_ARG(event->note));
        puts("");
    }
}

/* Which deliveries the name means. */
static bool ids_of(struct desk *desk, const char *name, uint64_t *ids, size_t *count, struct fault *why)
{
    struct slice text = slice_trim(slice_str(name));
    *count = 1;
    if (slice_to_u64(text, &ids[0]) || message_id_delivery(text, &ids[0]))
        return true;
    *count = 0;
    SCOPED(buf) bracketed = BUF(1100);
    if (text.len > 998)
        return fault_set(why, FAULT_INPUT, "a Message-ID has at most 998 octets");
    bool has_brackets = text.len && text.ptr[0] == '<';
    buf_printf(&bracketed, has_brackets ? "%.*s" : "<%.*s>", SLICE_ARG(text));
    SCOPED(rows) rows = {0};
    if (!db_query(desk->reader, why, &rows,
                  "SELECT d.id FROM message m JOIN delivery d ON d.message_id = m.id WHERE m.message_id = $1 ORDER BY "
                  "d.id LIMIT $2",
                  VALUES(V_TEXT(buf_slice(&bracketed)), V_INT(SHOWN_MOST))))
        return false;
    while (*count < SHOWN_MOST && rows_next(&rows))
        ids[(*count)++] = (uint64_t)rows_int(&rows, 0);
    return rows_end(&rows) &&
           (*count || fault_set(why, FAULT_INPUT, "no mail has the Message-ID %.*s", SLICE_ARG(buf_slice(&bracketed))));
}

bool explain_message(struct desk *desk, const struct rules *rules, const char *name, enum lang lang, bool is_json,
                     struct fault *why)
{
    uint64_t ids[SHOWN_MOST];
    size_t count;
    if (!ids_of(desk, name, ids, &count, why))
        return false;
    for (size_t i = 0; i < count; i++) {
        struct story story;
        bool found;
        if (!story_read(desk, ids[i], &story, &found, why))
            return false;
        if (!found)
            return fault_set(why, FAULT_INPUT, "there is no delivery %llu", (unsigned long long)ids[i]);
        if (is_json)
            print_json(desk, rules, &story, lang);
        else
            print_story(desk, rules, &story, lang);
    }
    return true;
}
