/* cmd_explain.c - `todoke explain`: where a mail is and what comes next; what the queue waits for */
#include "app/arguments.h"
#include "app/command.h"
#include "app/explain_address.h"
#include "app/explain_message.h"
#include "app/explain_site.h"
#include "app/usage.h"

#include "api/queue_story.h"
#include <stdio.h>

static const char usage[] =
    "usage: todoke explain message DELIVERY|MESSAGE-ID [--lang ja|en] [--json]\n"
    "       todoke explain address ADDRESS [--lang ja|en] [--json]\n"
    "       todoke explain queue [--lang ja|en] [--json]\n"
    "       todoke explain site DOMAIN|SITE [--lang ja|en] [--json]\n"
    "\n"
    "message: its state, how long it was in each, everything that happened with the replies, and when it is tried next "
    "and "
    "why then.\n"
    "address: is it excluded, and its newest mails with where each is.\n"
    "queue: what is owed by state, the oldest of it, and what the largest lanes (a brand's or campaign's mail to one "
    "domain) wait for.\n"
    "site: what binds at a receiver now (the limit, where it is written, since when, by whose words), its connections "
    "and rates by\n"
    "source, what waits there and why, and when it will be done. Asks the running servers; without one it tells what "
    "the store knows.\n"
    "  --store URL   the store; default $TODOKE_STORE, the server's settings, ./todoke.db\n";

#define SAY(lang, ja, en) ((lang) == LANG_JA ? (ja) : (en))

/* What scripts read: one language, empty strings instead of nulls. */
static void queue_json(struct desk *desk, const struct queue_story *story, enum lang lang)
{
    SCOPED(buf) out = BUF(1 << 20);
    struct json json = {&out};
    json_object_begin(&json);
    json_put_object(&json, "owed");
    for (int state = 0; state <= DELIVERY_IN_DOUBT; state++) {
        json_key_slice(&json, delivery_word((enum delivery_state)state));
        json_object_begin(&json);
        json_put_int(&json, "n", story->states[state]);
        json_put_string(&json, "oldest", story->oldest[state] ? desk_time(desk, story->oldest[state]) : SLICE(""));
        json_end(&json);
    }
    json_end(&json);
    json_put_int(&json, "held_by_guard", story->guarded);
    json_put_array(&json, "lanes");
    for (size_t i = 0; i < story->lane_count; i++) {
        const struct lane_wait *lane = &story->lanes[i];
        json_object_begin(&json);
        json_put_string(&json, "domain", lane->domain);
        json_put_string(&json, "brand_name", lane->brand);
        json_put_string(&json, "campaign_name", lane->campaign);
        json_put_string(&json, "brand", arena_printf(&desk->arena, "%llu", (unsigned long long)lane->brand_id));
        json_put_string(&json, "campaign", arena_printf(&desk->arena, "%llu", (unsigned long long)lane->campaign_id));
        json_put_int(&json, "owed", lane->owed);
        json_put_int(&json, "due", lane->due_now);
        json_put_string(&json, "hold", hold_story_plain(&lane->hold, &desk->arena));
        json_put_string(&json, "waits_for", lane_wait_text(lane, story->now, lang, &desk->arena));
        json_end(&json);
    }
    json_end(&json);
    json_end(&json);
    printf("%.*s\n", (int)out.len, out.ptr);
}

static void print_state(struct desk *desk, enum delivery_state state, const struct queue_story *story, enum lang lang)
{
    desk_cell(state_label(state, lang), 15);
    printf(" %9lld", (long long)story->states[state]);
    if (story->states[state])
        printf(SAY(lang, "  最も古いのは %.*s に受付", "  the oldest accepted at %.*s"),
               SLICE_ARG(minute_text(&desk->arena, story->oldest[state])));
    if (state == DELIVERY_HELD && story->states[state])
        printf(SAY(lang, "。%.*s", "; %.*s"),
               SLICE_ARG(held_text(story->states[state], story->guarded, lang, &desk->arena)));
    puts("");
}

/* What binds at the receivers of these lanes: the running servers are asked. */
static bool paces_read(struct desk *desk, struct queue_story *story, struct fault *why)
{
    struct slice names[QUEUE_LANES_SHOWN];
    struct board board;
    size_t count = 0;
    for (size_t i = 0; i < story->lane_count; i++)
        if (story->lanes[i].due_now && !story->lanes[i].hold.kind.len)
            names[count++] = story->lanes[i].domain;
    if (!count)
        return true;
    if (!desk_board(desk, names, count, &board, why))
        return false;
    for (size_t i = 0; i < story->lane_count; i++)
        if (!lane_wait_at(desk->reader, why, &board, story->now, &desk->arena, &story->lanes[i]))
            return false;
    return true;
}

static bool explain_queue(struct desk *desk, enum lang lang, bool is_json, struct fault *why)
{
    const struct brands all = {0};
    struct queue_story story;
    if (!queue_story_read(desk->reader, why, &all, world_wall(&desk->world), &desk->arena, &story) ||
        !paces_read(desk, &story, why))
        return false;
    if (is_json) {
        queue_json(desk, &story, lang);
        return true;
    }
    for (int state = 0; state <= DELIVERY_IN_DOUBT; state++)
        print_state(desk, (enum delivery_state)state, &story, lang);
    for (size_t i = 0; i < story.lane_count; i++)
        printf("%9lld %.*s, %.*s\n          %.*s\n", (long long)story.lanes[i].owed, SLICE_ARG(story.lanes[i].domain),
               SLICE_ARG(lane_wait_whose(&story.lanes[i], lang, &desk->arena)),
               SLICE_ARG(lane_wait_text(&story.lanes[i], story.now, lang, &desk->arena)));
    if (story.lanes_left_out)
        printf(SAY(lang, "%9lld 通: ほか %lld 組\n", "%9lld in %lld smaller ones\n"), (long long)story.left_out_owed,
               (long long)story.lanes_left_out);
    return true;
}

int cmd_explain(int argc, char **argv)
{
    const char *store = NULL, *lang_name = NULL;
    bool is_json = false;
    enum lang lang;
    struct arguments words;
    const struct argument table[] = {
        {"--store", &store, NULL}, {"--lang", &lang_name, NULL}, {"--json", NULL, &is_json}, {NULL, NULL, NULL}};
    struct fault why = {0};
    if (!arguments_read(argc, argv, table, &words, &why) || !arguments_lang(lang_name, &lang, &why))
        return command_fail("explain", &why);
    const char *verb = words.word_count ? words.words[0] : "";
    bool is_message = strcmp(verb, "message") == 0 && words.word_count == 2;
    bool is_address = strcmp(verb, "address") == 0 && words.word_count == 2;
    bool is_queue = strcmp(verb, "queue") == 0 && words.word_count == 1;
    bool is_site = strcmp(verb, "site") == 0 && words.word_count == 2;
    if (words.wants_help || (!is_message && !is_address && !is_queue && !is_site))
        return usage_tell("explain", usage, &words);
    struct rules *rules = NULL;
    SCOPED(desk) desk = {0};
    bool ok = rules_open(&rules, &why) && desk_look(&desk, store, &why);
    if (ok)
        ok = is_queue     ? explain_queue(&desk, lang, is_json, &why)
             : is_address ? explain_address(&desk, words.words[1], lang, is_json, &why)
             : is_site    ? explain_site(&desk, rules, words.words[1], lang, is_json, &why)
                          : explain_message(&desk, rules, words.words[1], lang, is_json, &why);
    rules_free(rules);
    return ok ? 0 : command_fail("explain", &why);
}
