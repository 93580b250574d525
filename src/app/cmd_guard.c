/* cmd_guard.c - `todoke guard`: receivers whose "unknown user" is not believed just now */
#include "app/arguments.h"
#include "app/change.h"
#include "app/command.h"
#include "app/desk.h"
#include "app/usage.h"

#include "base/json.h"
#include "suppress/guard.h"
#include <stdio.h>

static const char usage[] =
    "usage: todoke guard list [--json]\n"
    "       todoke guard retry SITE      try what is held for this site again, now\n"
    "       todoke guard exclude SITE    believe what it says: the held addresses are excluded\n"
    "\n"
    "A receiver that says \"no such user\" far more often than is normal for it is not believed: the verdicts are "
    "held, "
    "nobody\n"
    "is excluded, and a few mails are tried again from time to time (docs/policy.md). The server carries out the "
    "wish.\n"
    "  --store URL   the store; default $TODOKE_STORE, the server's settings, ./todoke.db\n";

static bool held_count(struct desk *desk, struct slice site, int64_t *count, struct fault *why)
{
    return db_query_ints(desk->reader, why, "SELECT COUNT(*) FROM held_verdict WHERE site = $1", VALUES(V_TEXT(site)),
                         count, 1, NULL);
}

static void print_json(const struct guard_site *row, int64_t held)
{
    SCOPED(buf) out = BUF(8192);
    SCOPED(buf) since = BUF(64);
    SCOPED(buf) probe = BUF(64);
    struct json json = {&out};
    time_rfc3339(&since, row->since);
    time_rfc3339(&probe, row->probe);
    json_object_begin(&json);
    json_put_string(&json, "site", row->site);
    json_put_bool(&json, "is_holding", row->is_holding);
    json_put_int(&json, "held", held);
    json_put_int(&json, "share_percent", guard_share(row));
    json_put_int(&json, "answers", row->round_tried);
    json_put_int(&json, "unknown", row->round_unknown);
    json_put_int(&json, "answers_ever", row->tried_ever);
    json_put_int(&json, "unknown_ever", row->unknown_ever);
    json_put_string(&json, "since", buf_slice(&since));
    json_put_int(&json, "vain_tries", row->rounds);
    json_put_string(&json, "next_try", buf_slice(&probe));
    json_end(&json);
    printf("%.*s\n", (int)out.len, out.ptr);
}

static bool list(struct desk *desk, bool is_json, struct fault *why)
{
    struct guard_site *rows;
    size_t count;
    if (!guard_busy(desk->reader, why, &desk->arena, &rows, &count))
        return false;
    if (!count && !is_json)
        puts("every receiver is believed");
    for (size_t i = 0; i < count; i++) {
        int64_t held;
        if (!held_count(desk, rows[i].site, &held, why))
            return false;
        if (is_json) {
            print_json(&rows[i], held);
            continue;
        }
        desk_cell(rows[i].site, 32);
        if (rows[i].is_holding)
            printf("  %lld held since %.*s; %d %% unknown of the last %lld; next try %.*s\n", (long long)held,
                   SLICE_ARG(desk_time(desk, rows[i].since)), guard_share(&rows[i]), (long long)rows[i].round_tried,
                   SLICE_ARG(desk_time(desk, rows[i].probe)));
        else
            printf("  %lld still to be %s\n", (long long)held,
                   rows[i].asked == GUARD_EXCLUDE ? "excluded" : "tried again");
    }
    return true;
}

struct wish {
    const char *site;
    int wish;
    bool found;
};

static bool wish_run(struct db *db, struct fault *why, void *context)
{
    struct wish *wish = context;
    return guard_ask(db, why, slice_str(wish->site), wish->wish, &wish->found);
}

static bool ask(struct desk *desk, const char *site, int what, struct fault *why)
{
    struct wish wish = {.site = site, .wish = what};
    if (!store_change(desk->store, wish_run, &wish, why))
        return false;
    if (!wish.found)
        return fault_set(why, FAULT_INPUT, "nothing is held for \"%s\"; `todoke guard list` names the sites", site);
    printf("what is held for %s will be %s by the server\n", site, what == GUARD_RETRY ? "tried again" : "believed");
    return true;
}

int cmd_guard(int argc, char **argv)
{
    const char *store = NULL;
    bool is_json = false;
    struct arguments words;
    const struct argument table[] = {{"--store", &store, NULL}, {"--json", NULL, &is_json}, {NULL, NULL, NULL}};
    struct fault why = {0};
    if (!arguments_read(argc, argv, table, &words, &why))
        return command_fail("guard", &why);
    const char *verb = words.word_count ? words.words[0] : "";
    bool is_list = strcmp(verb, "list") == 0 && words.word_count == 1;
    bool is_retry = strcmp(verb, "retry") == 0 && words.word_count == 2;
    bool is_exclude = strcmp(verb, "exclude") == 0 && words.word_count == 2;
    if (words.wants_help || (!is_list && !is_retry && !is_exclude))
        return usage_tell("guard", usage, &words);
    SCOPED(desk) desk;
    bool ok = desk_look(&desk, store, &why);
    if (ok && is_list)
        ok = list(&desk, is_json, &why);
    else if (ok)
        ok = ask(&desk, words.words[1], is_retry ? GUARD_RETRY : GUARD_EXCLUDE, &why);
    return ok ? 0 : command_fail("guard", &why);
}
