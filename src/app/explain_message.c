#include "app/explain_message.h"

#include "api/mail_story.h"
#include "app/explain_site.h"
#include "base/json.h"
#include <stdio.h>

#define SAY(lang, ja, en) ((lang) == LANG_JA ? (ja) : (en))

static struct slice stamp(struct desk *desk, time_ms at)
{
    SCOPED(buf) text = BUF(64);
    if (at)
        time_rfc3339(&text, at);
    return arena_copy(&desk->arena, buf_slice(&text));
}

static void print_json(struct desk *desk, const struct rules *rules, const struct mail_story *story, enum lang lang)
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
    json_put_string(&json, "hold", hold_story_plain(&story->hold, &desk->arena));
    json_put_string(&json, "next", mail_story_next(story, lang, &desk->arena));
    struct text advice = mail_story_advice(story, rules, &desk->arena);
    json_put_string(&json, "advice", lang == LANG_JA ? advice.ja : advice.en);
    json_put_string(&json, "source", story->source);
    json_put_string(&json, "source_text", mail_story_source(story, lang, &desk->arena));
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

/* "0.2 s", "3 min 20 s", "2 d 4 h": two units say enough. */
static struct slice time_span(struct arena *arena, time_ms ms, enum lang lang)
{
    long long s = (long long)(ms / 1000);
    if (s < 60)
        return arena_printf(arena, SAY(lang, "%.1f 秒", "%.1f s"), (double)ms / 1000);
    if (s < 3600)
        return arena_printf(arena, SAY(lang, "%lld 分 %lld 秒", "%lld min %lld s"), s / 60, s % 60);
    if (s < 86400)
        return arena_printf(arena, SAY(lang, "%lld 時間 %lld 分", "%lld h %lld min"), s / 3600, s / 60 % 60);
    return arena_printf(arena, SAY(lang, "%lld 日 %lld 時間", "%lld d %lld h"), s / 86400, s / 3600 % 24);
}

static void print_story(struct desk *desk, const struct rules *rules, const struct mail_story *story, enum lang lang)
{
    printf("%llu  %.*s  %.*s  %s %lld\n", (unsigned long long)story->id, SLICE_ARG(story->address),
           SLICE_ARG(state_label(story->state, lang)), SAY(lang, "試行", "attempts"), (long long)story->attempts);
    struct slice next = mail_story_next(story, lang, &desk->arena);
    printf("%s: %.*s\n", SAY(lang, "次", "next"), SLICE_ARG(next));
    struct text both = mail_story_advice(story, rules, &desk->arena);
    struct slice advice = lang == LANG_JA ? both.ja : both.en;
    if (advice.len)
        printf("%s: %.*s\n", SAY(lang, "対処", "to do"), SLICE_ARG(advice));
    struct slice source = mail_story_source(story, lang, &desk->arena);
    if (source.len)
        printf("%s: %.*s\n", SAY(lang, "送信元", "source"), SLICE_ARG(source));
    printf("%s:", SAY(lang, "各状態の時間", "time spent"));
    for (int state = 0; state < DELIVERY_STATE_COUNT; state++)
        if (story->spent[state])
            printf(" %.*s %.*s", SLICE_ARG(state_label((enum delivery_state)state, lang)),
                   SLICE_ARG(time_span(&desk->arena, story->spent[state], lang)));
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

/* What binds at its receiver: the running servers are asked. */
static bool pace_read(struct desk *desk, struct mail_story *story, struct fault *why)
{
    struct board board;
    return desk_board(desk, &story->domain, 1, &board, why) &&
           mail_story_at(desk->reader, why, &board, &desk->arena, story);
}

bool explain_message(struct desk *desk, const struct rules *rules, const char *name, enum lang lang, bool is_json,
                     struct fault *why)
{
    uint64_t ids[MAIL_STORY_SHOWN_MOST];
    size_t count;
    if (!mail_story_ids(desk->reader, why, slice_str(name), ids, &count))
        return false;
    for (size_t i = 0; i < count; i++) {
        struct mail_story story;
        bool found;
        if (!mail_story_read(desk->reader, why, ids[i], world_wall(&desk->world), &desk->arena, &story, &found))
            return false;
        if (!found)
            return fault_set(why, FAULT_INPUT, "there is no delivery %llu", (unsigned long long)ids[i]);
        if (mail_story_asks(&story) && !pace_read(desk, &story, why))
            return false;
        if (is_json)
            print_json(desk, rules, &story, lang);
        else
            print_story(desk, rules, &story, lang);
    }
    return true;
}
