/* cmd_hook.c - `todoke hook`: programs that are told of events */
#include "alarm/alarm.h"
#include "app/arguments.h"
#include "app/change.h"
#include "app/command.h"
#include "app/desk.h"
#include "app/usage.h"
#include "hook/hook.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const char usage[] =
    "usage: todoke hook add URL [--kinds delivered,bounced,...] [--brand NAME] [--from now|begin|CURSOR]\n"
    "       todoke hook list | show ID | log ID [--limit N]     [--json]\n"
    "       todoke hook test ID                                 the server sends a test event; exit status 3 when it "
    "fails\n"
    "       todoke hook enable ID | disable ID | remove ID\n"
    "       todoke hook replay ID --from begin|CURSOR           tell it all events behind this place again\n"
    "\n"
    "Events are sent by POST as JSON, signed as Standard Webhooks (docs/webhooks.md). add prints the secret: it is "
    "shown\n"
    "once. Only a 2xx counts; anything else is tried again for three days, then the webhook is given up with an "
    "alarm.\n"
    "  --store URL       the store; default $TODOKE_STORE, the server's settings, ./todoke.db\n"
    "  --key-file FILE   the key that seals secrets; default $TODOKE_KEY_FILE, the server's settings, ./todoke.key\n";

struct given {
    const char *store, *key_file, *kinds, *brand, *from, *limit;
    bool is_json;
    struct arguments words;
};

struct work {
    uint64_t id, test_id;
    time_ms now;
    bool is_enabled, found;
    struct hook *hook;
    struct seal_key seal;
    struct buf secret;
    struct event_place place;
};

static bool no_such(const char *id, struct fault *why)
{
    return fault_set(why, FAULT_INPUT, "there is no webhook %s; `todoke hook list` shows them", id);
}

static bool place_read(struct desk *desk, const char *from, struct event_place *place, struct fault *why)
{
    *place = (struct event_place){0};
    if (!from || strcmp(from, "now") == 0)
        return event_place_now(desk->reader, place, why);
    return strcmp(from, "begin") == 0 || event_place_parse(slice_str(from), place) ||
           fault_set(why, FAULT_INPUT, "--from is now, begin, or a cursor as events and webhooks give them");
}

/* ── add ── */

static bool add_run(struct db *db, struct fault *why, void *context)
{
    struct work *work = context;
    buf_reset(&work->secret);
    return hook_add(db, why, &work->seal, work->hook, &work->secret, work->now);
}

static bool add(struct desk *desk, const struct given *given, struct fault *why)
{
    struct hook *hook = NEW(struct hook);
    struct work work = {.now = world_wall(&desk->world), .hook = hook};
    struct slice url = slice_str(given->words.words[1]);
    buf_init(&work.secret, HOOK_SECRET_MAX);
    bool ok = hook_url_check(url, why) && hook_kinds_parse(slice_str(given->kinds), &hook->kinds, why) &&
              (!given->brand || desk_brand(desk, given->brand, &hook->brand_id, why)) &&
              place_read(desk, given->from, &hook->place, why) &&
              seal_key_load(&work.seal, arguments_key_file(given->key_file), why);
    snprintf(hook->url, sizeof(hook->url), "%.*s", SLICE_ARG(slice_head(url, HOOK_URL_MAX)));
    if (ok) {
        ok = store_change(desk->store, add_run, &work, why);
        seal_key_release(&work.seal);
    }
    if (ok && given->is_json)
        printf("{\"id\":\"%llu\",\"secret\":\"%s\"}\n", (unsigned long long)hook->id, buf_cstr(&work.secret));
    else if (ok)
        printf("webhook %llu\nsecret, shown only now: %s\n", (unsigned long long)hook->id, buf_cstr(&work.secret));
    if (work.secret.len)
        explicit_bzero(work.secret.ptr, work.secret.len);
    buf_release(&work.secret);
    free(hook);
    return ok;
}

/* ── look ── */

static void print_hook(struct desk *desk, const struct hook *hook, bool is_json)
{
    if (is_json) {
        SCOPED(buf) out = BUF(65536);
        struct json json = {&out};
        json_object_begin(&json);
        hook_write(&json, hook);
        json_end(&json);
        printf("%.*s\n", (int)out.len, out.ptr);
        return;
    }
    struct slice state = hook_state_word(hook->state);
    printf("%llu  %-8.*s  %llu told, last %.*s  %s", (unsigned long long)hook->id, SLICE_ARG(state),
           (unsigned long long)hook->told, SLICE_ARG(desk_time(desk, hook->told_at)), hook->url);
    if (hook->failing_since)
        printf("  ! failing since %.*s: %s", SLICE_ARG(desk_time(desk, hook->failing_since)), hook->fault);
    puts("");
}

static bool show(struct desk *desk, uint64_t id, const struct given *given, struct fault *why)
{
    struct hook *hooks;
    size_t count;
    if (!hook_list(desk->reader, why, id, &hooks, &count))
        return false;
    for (size_t i = 0; i < count; i++)
        print_hook(desk, &hooks[i], given->is_json);
    free(hooks);
    return count || !id || no_such(given->words.words[1], why);
}

static void print_attempt(struct desk *desk, const struct hook_attempt *attempt, bool is_json)
{
    if (is_json) {
        SCOPED(buf) out = BUF(16384);
        struct json json = {&out};
        hook_attempt_write(&json, attempt);
        printf("%.*s\n", (int)out.len, out.ptr);
        return;
    }
    printf("%.*s  msg_%llu  %s%u events  %d  %lld ms  %.*s%s%.*s\n", SLICE_ARG(desk_time(desk, attempt->at)),
           (unsigned long long)attempt->batch_id, attempt->is_test ? "test, " : "", attempt->events, attempt->status,
           (long long)attempt->took, SLICE_ARG(attempt->fault), attempt->answer.len ? "  | " : "",
           SLICE_ARG(attempt->answer));
}

static bool log_show(struct desk *desk, uint64_t id, const struct given *given, struct fault *why)
{
    struct hook_attempt *attempts;
    struct hook *hooks;
    size_t count, found;
    int64_t limit = 50;
    if (given->limit && (!slice_to_i64(slice_str(given->limit), &limit) || limit < 1 || limit > HOOK_LOG_MOST))
        return fault_set(why, FAULT_INPUT, "--limit %s: a number from 1 to %d", given->limit, HOOK_LOG_MOST);
    if (!hook_list(desk->reader, why, id, &hooks, &found))
        return false;
    free(hooks);
    if (!found)
        return no_such(given->words.words[1], why);
    if (!hook_log(desk->reader, why, id, 0, (size_t)limit, &desk->arena, &attempts, &count))
        return false;
    for (size_t i = 0; i < count; i++)
        print_attempt(desk, &attempts[i], given->is_json);
    return true;
}

/* ── change ── */

static bool alarm_over(struct db *db, struct fault *why, const struct work *work)
{
    char about[24];
    snprintf(about, sizeof(about), "%llu", (unsigned long long)work->id);
    return alarm_end(db, why, ALARM_WEBHOOK, slice_str(about), work->now);
}
static bool enable_run(struct db *db, struct fault *why, void *context)
{
    struct work *work = context;
    return hook_enable(db, why, work->id, work->is_enabled, &work->found) && alarm_over(db, why, work);
}
static bool remove_run(struct db *db, struct fault *why, void *context)
{
    struct work *work = context;
    return hook_remove(db, why, work->id, &work->found) && alarm_over(db, why, work);
}
static bool replay_run(struct db *db, struct fault *why, void *context)
{
    struct work *work = context;
    return hook_replay(db, why, work->id, &work->place, &work->found);
}
static bool test_run(struct db *db, struct fault *why, void *context)
{
    struct work *work = context;
    return hook_test(db, why, work->id, work->now, &work->test_id, &work->found);
}

static bool change(struct desk *desk, store_changer *run, struct work *work, const char *id, struct fault *why)
{
    return store_change(desk->store, run, work, why) && (work->found || no_such(id, why));
}

/* The server sends it; we wait for the line in the log. */
static bool test(struct desk *desk, struct work *work, const struct given *given, struct fault *why)
{
    enum { WAIT_MS = 40000, STEP_MS = 100 };
    const struct timespec pause = {.tv_nsec = STEP_MS * 1000000};
    struct hook_attempt *attempts;
    size_t count = 0;
    if (!change(desk, test_run, work, given->words.words[1], why))
        return false;
    for (int waited = 0; waited < WAIT_MS && !count; waited += STEP_MS) {
        nanosleep(&pause, NULL);
        if (!hook_log(desk->reader, why, work->id, work->test_id, 1, &desk->arena, &attempts, &count))
            return false;
    }
    if (!count)
        return fault_set(why, FAULT_WORLD, "no server has sent it within %d s; does one run?", WAIT_MS / 1000);
    if (attempts->fault.len)
        return fault_set(why, FAULT_WORLD, "%.*s", SLICE_ARG(attempts->fault));
    print_attempt(desk, attempts, given->is_json);
    return true;
}

static bool run(struct desk *desk, const struct given *given, struct fault *why)
{
    const char *verb = given->words.words[0], *word = given->words.words[1];
    struct work work = {.now = world_wall(&desk->world), .is_enabled = strcmp(verb, "enable") == 0};
    if (strcmp(verb, "add") == 0)
        return add(desk, given, why);
    if (strcmp(verb, "list") == 0)
        return show(desk, 0, given, why);
    if (!slice_to_u64(slice_str(word), &work.id) || !work.id)
        return no_such(word, why);
    if (strcmp(verb, "show") == 0)
        return show(desk, work.id, given, why);
    if (strcmp(verb, "log") == 0)
        return log_show(desk, work.id, given, why);
    if (strcmp(verb, "test") == 0)
        return test(desk, &work, given, why);
    if (strcmp(verb, "remove") == 0)
        return change(desk, remove_run, &work, word, why);
    if (strcmp(verb, "replay") != 0)
        return change(desk, enable_run, &work, word, why);
    if (!given->from)
        return fault_set(why, FAULT_INPUT, "--from is needed: begin, or a cursor");
    return place_read(desk, given->from, &work.place, why) && change(desk, replay_run, &work, word, why);
}

static bool is_verb(const char *verb, int words)
{
    static const char *const verbs[] = {"add", "show", "log", "test", "enable", "disable", "remove", "replay"};
    for (size_t i = 0; i < COUNT_OF(verbs); i++)
        if (strcmp(verb, verbs[i]) == 0)
            return words == 2;
    return strcmp(verb, "list") == 0 && words == 1;
}

int cmd_hook(int argc, char **argv)
{
    struct given given = {0};
    const struct argument table[] = {
        {"--store", &given.store, NULL},  {"--key-file", &given.key_file, NULL},
        {"--kinds", &given.kinds, NULL},  {"--brand", &given.brand, NULL},
        {"--from", &given.from, NULL},    {"--limit", &given.limit, NULL},
        {"--json", NULL, &given.is_json}, {NULL, NULL, NULL},
    };
    struct fault why = {0};
    if (!arguments_read(argc, argv, table, &given.words, &why))
        return command_fail("hook", &why);
    const char *verb = given.words.word_count ? given.words.words[0] : "";
    if (given.words.wants_help || !is_verb(verb, given.words.word_count))
        return usage_tell("hook", usage, &given.words);
    SCOPED(desk) desk;
    if (!desk_open(&desk, given.store, &why) || !run(&desk, &given, &why))
        return command_fail("hook", &why);
    return 0;
}
