/* cmd_restore.c - `todoke restore`: a store out of a backup, and what must be known of it before mail leaves again */
#include "app/arguments.h"
#include "app/command.h"
#include "app/copy_progress.h"
#include "app/restored.h"
#include "app/usage.h"

#include "base/json.h"
#include "net/world.h"
#include "store/backup.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static const char usage[] =
    "usage: todoke restore FILE [--owed hold|send] [--force] [--key-file FILE] [--json]\n"
    "       todoke restore FILE --check [--json]     only reads it: whole, unchanged, what it holds\n"
    "\n"
    "Makes the store that --store names out of a backup of either kind (todoke backup), SQLite or PostgreSQL. The file "
    "is read and\n"
    "checked first; the old store is replaced at once at the end, or not at all. A store that a server uses is "
    "refused, and one\n"
    "that holds anything without --force; the old SQLite file is kept beside the new one.\n"
    "\n"
    "What happened after the backup is not in it. Who unsubscribed, complained or was found unreachable since then can "
    "be written\n"
    "to again: tell it by `todoke suppress add` first, if it is known from elsewhere. What was owed then may have been "
    "sent since:\n"
    "it is held, and campaigns that were still beginning are paused, until a person lets them go:\n"
    "  todoke queue list --state held           what is held\n"
    "  todoke queue purge --older-than 1s       none of it is to be sent (or by --campaign, --domain ...)\n"
    "  todoke queue release --older-than 1s     all of it is\n"
    "  todoke campaign resume NAME\n"
    "\n"
    "  --owed send      what was owed is simply due: for a backup after which nothing was sent\n"
    "  --force          the store is not empty: replace it\n"
    "  --key-file FILE  that sealed the backup; default $TODOKE_KEY_FILE, the server's settings, ./todoke.key\n"
    "  --store URL      the store; default $TODOKE_STORE, the server's settings, ./todoke.db\n"
    "\n"
    "Exit status 1: restored, but the books of the store do not balance (todoke queue audit).\n";

struct given {
    const char *store, *key_file, *owed, *file;
    bool may_replace, is_check, is_json;
};

/* A key file that is not there is no fault yet: a backup in the clear needs none. */
static bool key_load(const struct given *given, struct seal_key *key, const struct seal_key **found, struct fault *why)
{
    const char *path = arguments_key_file(given->key_file);
    *found = NULL;
    if (access(path, F_OK) != 0)
        return !given->key_file || fault_set(why, FAULT_INPUT, "there is no key file %s", path);
    *found = key;
    return seal_key_load(key, path, why);
}

static void head_json(struct json *json, const struct given *given, const struct backup_facts *facts)
{
    SCOPED(buf) key_id = BUF(16);
    buf_printf(&key_id, "%08x", facts->head.key_id);
    json_object_begin(json);
    json_put_string(json, "file", slice_str(given->file));
    json_put_time(json, "created_at", facts->head.created);
    json_put_int(json, "schema", facts->head.schema);
    json_put_int(json, "tables", (int64_t)facts->tables);
    json_put_int(json, "rows", (int64_t)facts->rows);
    json_put_int(json, "size_bytes", (int64_t)facts->octets);
    json_put_bool(json, "sealed", facts->head.is_sealed);
    json_put_string(json, "key_id", buf_slice(&key_id));
}

static void print_time(time_ms at)
{
    SCOPED(buf) text = BUF(64);
    time_rfc3339(&text, at);
    printf("%.*s", (int)text.len, text.ptr);
}

static void print_ago(time_ms span)
{
    if (span >= DAYS_MS(2))
        printf("%lld days", (long long)(span / DAYS_MS(1)));
    else
        printf("%lld h %lld min", (long long)(span / HOURS_MS(1)), (long long)(span / MINUTES_MS(1) % 60));
}

static bool check(const struct given *given, int file, const struct seal_key *key, struct backup_watch *watch,
                  struct fault *why)
{
    struct backup_facts facts;
    if (!backup_read(file, key, watch, &facts, why))
        return false;
    if (given->is_json) {
        SCOPED(buf) out = BUF(16384);
        struct json json = {&out};
        head_json(&json, given, &facts);
        json_end(&json);
        printf("%.*s\n", (int)out.len, out.ptr);
        return true;
    }
    printf("%s is sound: %llu rows of %llu tables, as of ", given->file, (unsigned long long)facts.rows,
           (unsigned long long)facts.tables);
    print_time(facts.head.created);
    printf(", schema %d, %s\n", facts.head.schema, facts.head.is_sealed ? "sealed" : "not sealed");
    return true;
}

static void print_restored(const struct given *given, const struct backup_facts *facts, const struct restore *restore,
                           const struct restored *restored, bool has_key)
{
    SCOPED(buf) url = BUF(4300);
    store_print_url(restore->store, &url);
    printf("restored %llu rows into %.*s, as they were at ", (unsigned long long)facts->rows,
           SLICE_ARG(buf_slice(&url)));
    print_time(facts->head.created);
    printf(", ");
    print_ago(restored->now - facts->head.created);
    printf(" ago\n");
    if (restore->kept[0])
        printf("the store that was there is kept as %s\n", restore->kept);
    printf(
        "\nATTENTION: what happened since is not known here. Who unsubscribed, complained or was found unreachable in "
        "these ");
    print_ago(restored->now - facts->head.created);
    printf(" can be written to again; `todoke suppress add` tells it before anything leaves.\n");
    if (!restored->sends && (restored->held || restored->paused))
        printf("ATTENTION: %lld deliveries that were owed then are held, as they may have been sent since, and %lld "
               "campaigns are paused.\n  todoke queue list --state held         shows them\n  todoke queue purge "
               "--older-than 1s     drops them\n  todoke queue release --older-than 1s   sends them\n",
               (long long)restored->held, (long long)restored->paused);
    if (!has_key)
        printf(
            "ATTENTION: the secrets in it are sealed by key %08x, which is not the key file %s: the server needs that "
            "one.\n",
            restored->key_id, arguments_key_file(given->key_file));
    if (!restored->audit.agrees)
        printf("THE BOOKS DO NOT BALANCE: see todoke queue audit\n");
}

static void print_restored_json(const struct given *given, const struct backup_facts *facts,
                                const struct restore *restore, const struct restored *restored, bool has_key)
{
    SCOPED(buf) out = BUF(16384);
    struct json json = {&out};
    head_json(&json, given, facts);
    json_put_int(&json, "age_ms", restored->now - facts->head.created);
    json_put_int(&json, "held", restored->held);
    json_put_int(&json, "campaigns_paused", restored->paused);
    json_put_string(&json, "kept_as", slice_str(restore->kept));
    json_put_bool(&json, "key_fits", has_key);
    json_put_bool(&json, "agrees", restored->audit.agrees);
    json_end(&json);
    printf("%.*s\n", (int)out.len, out.ptr);
}

static bool restore(const struct given *given, int file, const struct seal_key *key, struct backup_watch *watch,
                    bool *agrees, struct fault *why)
{
    struct world world;
    struct backup_facts facts;
    world_init(&world, NETWORK_LOOPBACK);
    struct restored restored = {.now = world_wall(&world), .sends = given->owed && strcmp(given->owed, "send") == 0};
    struct restore restore = {.store = arguments_store(given->store),
                              .may_replace = given->may_replace,
                              .check = restored_settle,
                              .context = &restored,
                              .watch = watch};
    if (!backup_restore(file, key, &restore, &facts, why))
        return false;
    bool has_key = !restored.key_id || (key && key->id == restored.key_id);
    if (watch)
        copy_progress_end((struct copy_progress *)watch);
    (given->is_json ? print_restored_json : print_restored)(given, &facts, &restore, &restored, has_key);
    *agrees = restored.audit.agrees;
    return true;
}

static bool run(const struct given *given, bool *agrees, struct fault *why)
{
    struct seal_key key = {0};
    const struct seal_key *found;
    struct stat stat;
    struct copy_progress progress;
    if (given->owed && strcmp(given->owed, "hold") != 0 && strcmp(given->owed, "send") != 0)
        return fault_set(why, FAULT_INPUT, "--owed %s: hold or send", given->owed);
    int file = open(given->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0 || fstat(file, &stat) != 0 || !S_ISREG(stat.st_mode)) {
        fault_errno(why, "%s", given->file);
        why->kind = FAULT_INPUT;
        if (file >= 0)
            close(file);
        return false;
    }
    struct backup_watch *watch =
        copy_progress_begin(&progress, given->is_check ? "check" : "restore", (uint64_t)stat.st_size);
    bool ok = key_load(given, &key, &found, why) && (given->is_check ? check(given, file, found, watch, why)
                                                                     : restore(given, file, found, watch, agrees, why));
    if (!ok)
        copy_progress_end(&progress);
    seal_key_release(&key);
    close(file);
    return ok;
}

int cmd_restore(int argc, char **argv)
{
    struct given given = {0};
    const struct argument table[] = {
        {"--store", &given.store, NULL},
        {"--key-file", &given.key_file, NULL},
        {"--owed", &given.owed, NULL},
        {"--force", NULL, &given.may_replace},
        {"--check", NULL, &given.is_check},
        {"--json", NULL, &given.is_json},
        {NULL, NULL, NULL},
    };
    struct arguments words;
    struct fault why = {0};
    bool agrees = true;
    if (!arguments_read(argc, argv, table, &words, &why))
        return command_fail("restore", &why);
    if (words.wants_help || words.word_count != 1)
        return usage_tell("restore", usage, &words);
    given.file = words.words[0];
    return !run(&given, &agrees, &why) ? command_fail("restore", &why) : agrees ? 0 : 1;
}
