/* cmd_alarm.c - `todoke alarm`: what somebody should look at now */
#include "alarm/alarm.h"
#include "app/arguments.h"
#include "app/change.h"
#include "app/command.h"
#include "app/desk.h"
#include "app/usage.h"

#include "base/json.h"
#include <stdio.h>
#include <stdlib.h>

static const char usage[] =
    "usage: todoke alarm list [--open] [--limit N] [--lang ja|en] [--json]    exit status 1 when --open finds one\n"
    "       todoke alarm ack ID [--by NAME]                                   it was seen: shown no more on the home "
    "page\n"
    "\n"
    "An alarm is raised when error mail comes for mail that was never sent (a forged sender, an account in wrong "
    "hands),\n"
    "when a receiver's answers are not believed, and 21 days before a certificate of ours expires. --open: not "
    "acknowledged yet.\n"
    "  --store URL   the store; default $TODOKE_STORE, the server's settings, ./todoke.db\n";

struct alarm_arguments {
    const char *store, *limit, *lang, *by;
    bool is_json, only_open;
    struct arguments words;
};

static struct slice written(struct desk *desk, time_ms at)
{
    SCOPED(buf) text = BUF(64);
    if (at)
        time_rfc3339(&text, at);
    return arena_copy(&desk->arena, buf_slice(&text));
}

static void print_json(struct desk *desk, const struct alarm_row *row)
{
    SCOPED(buf) out = BUF(65536);
    struct json json = {&out};
    struct alarm_words ja = alarm_words_ja(row, &desk->arena), en = alarm_words_en(row, &desk->arena);
    json_object_begin(&json);
    json_put_string(&json, "id", arena_printf(&desk->arena, "%llu", (unsigned long long)row->id));
    json_put_string(&json, "kind", alarm_word(row->kind));
    json_put_string(&json, "about", row->about);
    json_put_int(&json, "n", row->n);
    json_put_int(&json, "normal", row->normal);
    json_put_string(&json, "since", written(desk, row->since));
    json_put_string(&json, "last", written(desk, row->last));
    json_put_string(&json, "ended", written(desk, row->ended));
    json_put_string(&json, "acked", written(desk, row->acked));
    json_put_string(&json, "acked_by", row->acked_by);
    json_put_string(&json, "mailed", written(desk, row->mailed));
    json_put_words(&json, "title", ja.title, en.title);
    json_put_words(&json, "text", ja.text, en.text);
    json_key(&json, "detail");
    json_raw(&json, row->detail.len ? row->detail : SLICE("{}"));
    json_end(&json);
    printf("%.*s\n", (int)out.len, out.ptr);
}

static void print_text(struct desk *desk, const struct alarm_row *row, bool is_ja)
{
    struct alarm_words words = is_ja ? alarm_words_ja(row, &desk->arena) : alarm_words_en(row, &desk->arena);
    printf("%llu  %.*s%s%s\n    %.*s\n    %.*s\n", (unsigned long long)row->id, SLICE_ARG(desk_time(desk, row->since)),
           row->ended ? "  ended" : "", row->acked ? "  acknowledged" : "", SLICE_ARG(words.title),
           SLICE_ARG(words.text));
}

static bool list(struct desk *desk, const struct alarm_arguments *given, bool *any_open, struct fault *why)
{
    int64_t limit = 50;
    if (given->limit && (!slice_to_i64(slice_str(given->limit), &limit) || limit < 1 || limit > 10000))
        return fault_set(why, FAULT_INPUT, "--limit %s: a number from 1 to 10000", given->limit);
    enum lang lang;
    if (!arguments_lang(given->lang, &lang, why))
        return false;
    struct alarm_row *rows;
    size_t count;
    if (!alarm_list(desk->reader, why, given->only_open, world_wall(&desk->world), (size_t)limit, &desk->arena, &rows,
                    &count))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (given->is_json)
            print_json(desk, &rows[i]);
        else
            print_text(desk, &rows[i], lang == LANG_JA);
    }
    if (!count && !given->is_json)
        puts("no alarm");
    *any_open = given->only_open && count > 0;
    return true;
}

struct ack {
    uint64_t id;
    struct slice by;
    time_ms now;
    bool found;
};

static bool ack_run(struct db *db, struct fault *why, void *context)
{
    struct ack *ack = context;
    return alarm_ack(db, why, ack->id, ack->by, ack->now, &ack->found);
}

static bool acknowledge(struct desk *desk, const struct alarm_arguments *given, struct fault *why)
{
    const char *text = given->words.words[1];
    struct ack ack = {.by = given->by ? slice_str(given->by) : desk_person(&desk->arena),
                      .now = world_wall(&desk->world)};
    if (!slice_to_u64(slice_str(text), &ack.id))
        return fault_set(why, FAULT_INPUT, "\"%s\" is no id; `todoke alarm list` shows them", text);
    if (!store_change(desk->store, ack_run, &ack, why))
        return false;
    return ack.found || fault_set(why, FAULT_INPUT, "there is no alarm %s", text);
}

int cmd_alarm(int argc, char **argv)
{
    struct alarm_arguments given = {0};
    const struct argument table[] = {
        {"--store", &given.store, NULL},
        {"--limit", &given.limit, NULL},
        {"--lang", &given.lang, NULL},
        {"--by", &given.by, NULL},
        {"--json", NULL, &given.is_json},
        {"--open", NULL, &given.only_open},
        {NULL, NULL, NULL},
    };
    struct fault why = {0};
    if (!arguments_read(argc, argv, table, &given.words, &why))
        return command_fail("alarm", &why);
    const char *verb = given.words.word_count ? given.words.words[0] : "";
    bool is_list = strcmp(verb, "list") == 0 && given.words.word_count == 1;
    bool is_ack = strcmp(verb, "ack") == 0 && given.words.word_count == 2;
    if (given.words.wants_help || (!is_list && !is_ack))
        return usage_tell("alarm", usage, &given.words);
    SCOPED(desk) desk;
    bool any_open = false;
    bool ok = desk_look(&desk, given.store, &why) &&
              (is_list ? list(&desk, &given, &any_open, &why) : acknowledge(&desk, &given, &why));
    if (!ok)
        return command_fail("alarm", &why);
    return any_open ? 1 : 0;
}
