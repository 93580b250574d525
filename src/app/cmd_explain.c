/* cmd_explain.c - `todoke explain`: where a mail is and what comes next; what the queue waits for */
#include "app/arguments.h"
#include "app/command.h"
#include "app/explain_message.h"
#include "app/explain_site.h"

#include "base/json.h"
#include "mail/delivery.h"
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

enum { LANES_SHOWN = 10 };
#define SAY(lang, ja, en) ((lang) == LANG_JA ? (ja) : (en))

struct big_lane {
    uint64_t brand_id, campaign_id;
    struct slice domain, hold;
    int64_t owed, due_now;
    time_ms next;
};

static struct slice lane_waits(struct desk *desk, const struct big_lane *lane, enum lang lang)
{
    if (lane->hold.len)
        return arena_printf(&desk->arena, SAY(lang, "保留中(%.*s)", "held (%.*s)"), SLICE_ARG(lane->hold));
    if (lane->due_now)
        return arena_printf(&desk->arena,
                            SAY(lang, "%lld 通はいつでも送れます(受信先のペース次第)",
                                "%lld are due: as fast as the receiver's pace allows"),
                            (long long)lane->due_now);
    return arena_printf(&desk->arena, SAY(lang, "次の再送は %.*s UTC", "the next one is due at %.*s UTC"),
                        SLICE_ARG(desk_time(desk, lane->next)));
}

static bool lanes_read(struct desk *desk, struct big_lane *lanes, size_t *count, struct fault *why)
{
    {
        SCOPED(rows) rows = {0};
        *count = 0;
        if (!db_query(
                desk->reader, why, &rows,
                "SELECT l.brand_id, l.campaign_id, l.domain, COUNT(*), CAST(SUM(CASE WHEN d.due_ms <= $1 THEN 1 "
                "ELSE 0 END) AS BIGINT), MIN(d.due_ms) FROM delivery d JOIN lane l ON l.id = d.lane_id WHERE "
                "d.state <= 1 GROUP BY l.id, l.brand_id, l.campaign_id, l.domain ORDER BY COUNT(*) DESC, l.domain "
                "LIMIT $2",
                VALUES(V_INT(world_wall(&desk->world)), V_INT(LANES_SHOWN))))
            return false;
        while (*count < LANES_SHOWN && rows_next(&rows))
            lanes[(*count)++] = (struct big_lane){.brand_id = (uint64_t)rows_int(&rows, 0),
                                                  .campaign_id = (uint64_t)rows_int(&rows, 1),
                                                  .domain = arena_copy(&desk->arena, rows_text(&rows, 2)),
                                                  .owed = rows_int(&rows, 3),
                                                  .due_now = rows_int(&rows, 4),
                                                  .next = rows_int(&rows, 5)};
        if (!rows_end(&rows))
            return false;
    }
    for (size_t i = 0; i < *count; i++)
        if (!explain_hold(desk, lanes[i].brand_id, lanes[i].campaign_id, lanes[i].domain, &lanes[i].hold, why))
            return false;
    return true;
}

static void queue_json(struct desk *desk, const int64_t *states, const time_ms *oldest, const struct big_lane *lanes,
                       size_t count, enum lang lang)
{
    SCOPED(buf) out = BUF(1 << 20);
    struct json json = {&out};
    json_object_begin(&json);
    json_key_slice(&json, SLICE("owed"));
    json_object_begin(&json);
    for (int state = 0; state <= DELIVERY_IN_DOUBT; state++) {
        json_key_slice(&json, delivery_word((enum delivery_state)state));
        json_object_begin(&json);
        json_put_int(&json, "n", states[state]);
        json_put_string(&json, "oldest", oldest[state] ? desk_time(desk, oldest[state]) : SLICE(""));
        json_end(&json);
    }
    json_end(&json);
    json_key_slice(&json, SLICE("lanes"));
    json_array_begin(&json);
    for (size_t i = 0; i < count; i++) {
        json_object_begin(&json);
        json_put_string(&json, "domain", lanes[i].domain);
        json_put_string(&json, "brand", arena_printf(&desk->arena, "%llu", (unsigned long long)lanes[i].brand_id));
        json_put_string(&json, "campaign",
                        arena_printf(&desk->arena, "%llu", (unsigned long long)lanes[i].campaign_id));
        json_put_int(&json, "owed", lanes[i].owed);
        json_put_int(&json, "due", lanes[i].due_now);
        json_put_string(&json, "hold", lanes[i].hold);
        json_put_string(&json, "waits_for", lane_waits(desk, &lanes[i], lang));
        json_end(&json);
    }
    json_end(&json);
    json_end(&json);
    printf("%.*s\n", (int)out.len, out.ptr);
}

static bool explain_queue(struct desk *desk, enum lang lang, bool is_json, struct fault *why)
{
    struct big_lane lanes[LANES_SHOWN];
    int64_t states[DELIVERY_STATE_COUNT] = {0};
    time_ms oldest[DELIVERY_STATE_COUNT] = {0};
    size_t count;
    {
        SCOPED(rows) rows = {0};
        if (!db_query(desk->reader, why, &rows,
                      "SELECT state, COUNT(*), MIN(accepted_ms) FROM delivery WHERE state <= 4 GROUP BY state",
                      NO_VALUES))
            return false;
        while (rows_next(&rows)) {
            states[rows_int(&rows, 0)] = rows_int(&rows, 1);
            oldest[rows_int(&rows, 0)] = rows_int(&rows, 2);
        }
        if (!rows_end(&rows))
            return false;
    }
    if (!lanes_read(desk, lanes, &count, why))
        return false;
    if (is_json) {
        queue_json(desk, states, oldest, lanes, count, lang);
        return true;
    }
    for (int state = 0; state <= DELIVERY_IN_DOUBT; state++)
        printf("%-9.*s %9lld  %s %.*s\n", SLICE_ARG(delivery_word((enum delivery_state)state)),
               (long long)states[state], SAY(lang, "最古", "oldest"), SLICE_ARG(desk_time(desk, oldest[state])));
    for (size_t i = 0; i < count; i++) {
        desk_cell(lanes[i].domain, 32);
        printf(" %9lld  %.*s\n", (long long)lanes[i].owed, SLICE_ARG(lane_waits(desk, &lanes[i], lang)));
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
    if (words.wants_help || (!is_message && !is_queue && !is_site)) {
        fputs(usage, words.wants_help ? stdout : stderr);
        return words.wants_help ? 0 : 2;
    }
    struct rules *rules = NULL;
    SCOPED(desk) desk = {0};
    bool ok = rules_open(&rules, &why) && desk_open(&desk, store, &why);
    if (ok)
        ok = is_queue  ? explain_queue(&desk, lang, is_json, &why)
             : is_site ? explain_site(&desk, words.words[1], lang, is_json, &why)
                       : explain_message(&desk, rules, words.words[1], lang, is_json, &why);
    rules_free(rules);
    return ok ? 0 : command_fail("explain", &why);
}
