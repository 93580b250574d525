/* cmd_explain.c - `todoke explain`: where a mail is and what comes next; what the queue waits for */
#include "app/arguments.h"
#include "app/command.h"
#include "app/explain_message.h"
#include "app/explain_site.h"
#include "app/usage.h"

#include "api/queue_story.h"
#include <stdio.h>

static const char usage[] =
    "usage: todoke explain message DELIVERY|MESSAGE-ID [--lang ja|en] [--json]\n"
    "       todoke explain queue [--lang ja|en] [--json]\n"
    "       todoke explain site DOMAIN|SITE [--lang ja|en] [--json]\n"
    "\n"
    "message: its state, how long it was in each, everything that happened with the replies, and when it is tried next "
    "and "
    "why then.\n"
    "queue: what is owed by state, the oldest of it, and what the largest lanes (a brand's or campaign's mail to one "
    "domain) wait for.\n"
    "site: what binds at a receiver now (the limit, where it is written, since when, by whose words), its connections "
    "and rates by\n"
    "source, what waits there and why, and when it will be done. Asks the running servers; without one it tells what "
    "the store knows.\n"
    "  --store URL   the store; default $TODOKE_STORE, else ./todoke.db\n";

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
    json_put_array(&json, "lanes");
    for (size_t i = 0; i < story->lane_count; i++) {
        const struct queue_lane *lane = &story->lanes[i];
        json_object_begin(&json);
        json_put_string(&json, "domain", lane->domain);
        json_put_string(&json, "brand", arena_printf(&desk->arena, "%llu", (unsigned long long)lane->brand_id));
        json_put_string(&json, "campaign", arena_printf(&desk->arena, "%llu", (unsigned long long)lane->campaign_id));
        json_put_int(&json, "owed", lane->owed);
        json_put_int(&json, "due", lane->due_now);
        json_put_string(&json, "hold", lane->hold);
        json_put_string(&json, "waits_for", queue_lane_waits(lane, lang, &desk->arena));
        json_end(&json);
    }
    json_end(&json);
    json_end(&json);
    printf("%.*s\n", (int)out.len, out.ptr);
}

static bool explain_queue(struct desk *desk, enum lang lang, bool is_json, struct fault *why)
{
    const struct brands all = {0};
    struct queue_story story;
    if (!queue_story_read(desk->reader, why, &all, world_wall(&desk->world), &desk->arena, &story))
        return false;
    if (is_json) {
        queue_json(desk, &story, lang);
        return true;
    }
    for (int state = 0; state <= DELIVERY_IN_DOUBT; state++)
        printf("%-9.*s %9lld  %s %.*s\n", SLICE_ARG(delivery_word((enum delivery_state)state)),
               (long long)story.states[state], SAY(lang, "最古", "oldest"),
               SLICE_ARG(desk_time(desk, story.oldest[state])));
    for (size_t i = 0; i < story.lane_count; i++) {
        desk_cell(story.lanes[i].domain, 32);
        printf(" %9lld  %.*s\n", (long long)story.lanes[i].owed,
               SLICE_ARG(queue_lane_waits(&story.lanes[i], lang, &desk->arena)));
    }
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
    bool is_queue = strcmp(verb, "queue") == 0 && words.word_count == 1;
    bool is_site = strcmp(verb, "site") == 0 && words.word_count == 2;
    if (words.wants_help || (!is_message && !is_queue && !is_site))
        return usage_tell("explain", usage, &words);
    struct rules *rules = NULL;
    SCOPED(desk) desk = {0};
    bool ok = rules_open(&rules, &why) && desk_look(&desk, store, &why);
    if (ok)
        ok = is_queue  ? explain_queue(&desk, lang, is_json, &why)
             : is_site ? explain_site(&desk, words.words[1], lang, is_json, &why)
                       : explain_message(&desk, rules, words.words[1], lang, is_json, &why);
    rules_free(rules);
    return ok ? 0 : command_fail("explain", &why);
}
