/* cmd_key.c - todoke key add | list | remove | pause | sign-out: what programs and browsers show to be let in; rotate:
 * what signs links */
#include "access/submit_right.h"
#include "alarm/alarm.h"
#include "app/arguments.h"
#include "app/change.h"
#include "app/command.h"
#include "app/desk.h"
#include "app/usage.h"
#include "base/json.h"
#include "campaign/brand.h"
#include "mailauth/token.h"
#include "net/world.h"
#include "store/seal.h"
#include <stdio.h>
#include <stdlib.h>

static const char usage[] =
    "usage: todoke key add NAME [--scope WORDS] [--brand NAMES] [--rate N] [--days N]\n"
    "                           [--from DOMAINS] [--per-hour N] [--json]\n"
    "                                                 make an access key and print its secret, once\n"
    "       todoke key list [--json]\n"
    "       todoke key remove NAME                    from now on it lets nobody in\n"
    "       todoke key pause|release NAME|ID          it lets nobody in for a while; in again\n"
    "       todoke key sign-out NAME|ID               every browser that signed in with it is signed out\n"
    "       todoke key rotate KIND|all                the links and return paths of mails get a new key\n"
    "\n"
    "A program sends it as `Authorization: Bearer SECRET`; the console's sign-in takes it too. The store keeps only\n"
    "its SHA-256: a lost secret cannot be shown again, make a new key instead.\n"
    "  --scope WORDS  what it may do, with commas between: all (the default), messages, contacts, contents, "
    "campaigns,\n"
    "                 events, suppressions, bounces, queue, keys, settings, webhooks, submit (sending through SMTP);\n"
    "                 with :read behind it only to be read: contacts:read, all:read\n"
    "  --brand NAMES  names or ids of brands, with commas between; it never sees what belongs to others (default: "
    "all)\n"
    "  --rate N       requests a minute at most (default: no limit)\n"
    "  --from DOMAINS by SMTP it may send only from these domains and those below them, with commas between (default: "
    "all)\n"
    "  --per-hour N   recipients an hour at most by SMTP (default: no limit)\n"
    "  --days N     it expires after so many days (default: never)\n"
    "  --store URL  default: $TODOKE_STORE, the server's settings, ./todoke.db\n"
    "\n"
    "rotate: KIND is return_path, shared_path, link (unsubscribe), click, open, preferences, confirm or file. A "
    "running\n"
    "server reads the new key within a minute and signs with it after five; the eight newest keys of a kind verify.\n"
    "  --key-file FILE  the key that seals secrets; default $TODOKE_KEY_FILE, the server's settings, ./todoke.key\n";

struct key_arguments {
    const char *store, *days, *scope, *brand, *rate, *from, *per_hour, *key_file;
    bool is_json;
    struct slice name;
};

struct key_add {
    struct slice name, brands, domains;
    unsigned per_hour;
    time_ms now, expires;
    struct key_rights rights;
    struct buf secret;
};

/* Names or ids with commas between. */
static bool brands_find(struct db *db, struct fault *why, struct slice names, struct key_rights *rights)
{
    struct slice name;
    rights->brand_count = 0;
    while (names.len && slice_split(&names, ',', &name)) {
        SCOPED(arena) arena = {0};
        struct brand brand;
        if (rights->brand_count == KEY_BRANDS_MAX)
            return fault_set(why, FAULT_INPUT, "--brand: at most %d brands", KEY_BRANDS_MAX);
        if (!brand_find(db, why, slice_trim(name), &arena, &brand))
            return false;
        rights->brands[rights->brand_count++] = brand.id;
    }
    return true;
}

static bool add_run(struct db *db, struct fault *why, void *context)
{
    struct key_add *add = context;
    uint64_t id;
    return brands_find(db, why, add->brands, &add->rights) &&
           key_create(db, why, add->name, add->now, add->expires, &add->rights, &add->secret, &id) &&
           ((!add->domains.len && !add->per_hour) || submit_right_limit(db, why, id, add->domains, add->per_hour));
}

static bool add(const struct key_arguments *given, struct store *store, time_ms now, struct fault *why)
{
    enum { DAYS_MOST = 36500 };
    struct key_add add = {.name = given->name, .brands = slice_str(given->brand), .now = now, .rights.scopes = KEY_ALL};
    uint64_t days, rate, per_hour;
    const struct {
        const char *option, *value;
    } limits[] = {{"--scope", given->scope}, {"--brand", given->brand}, {"--from", given->from}};
    for (size_t i = 0; i < COUNT_OF(limits); i++)
        if (limits[i].value && !*limits[i].value) /* a shell's variable that is not set: never "all" */
            return fault_set(why, FAULT_INPUT, "%s is empty; leave it out for no limit", limits[i].option);
    add.domains = slice_str(given->from);
    if (given->per_hour) {
        if (!slice_to_u64(slice_str(given->per_hour), &per_hour) || per_hour > SUBMIT_PER_HOUR_MAX)
            return fault_set(why, FAULT_INPUT, "--per-hour %s: a whole number from 0 (no limit) to %d", given->per_hour,
                             SUBMIT_PER_HOUR_MAX);
        add.per_hour = (unsigned)per_hour;
    }
    if (given->scope && !key_scopes_parse(slice_str(given->scope), &add.rights.scopes, why))
        return fault_prefix(why, "--scope: ");
    if (given->rate) {
        if (!slice_to_u64(slice_str(given->rate), &rate) || rate > KEY_RATE_MAX)
            return fault_set(why, FAULT_INPUT, "--rate %s: a whole number from 0 (no limit) to %d", given->rate,
                             KEY_RATE_MAX);
        add.rights.rate = (unsigned)rate;
    }
    if (given->days) {
        if (!slice_to_u64(slice_str(given->days), &days) || days < 1 || days > DAYS_MOST)
            return fault_set(why, FAULT_INPUT, "--days %s: a whole number from 1 to %d", given->days, DAYS_MOST);
        add.expires = now + DAYS_MS((time_ms)days);
    }
    SCOPED(buf) secret = BUF(KEY_SECRET_MAX);
    SCOPED(buf) line = BUF(4096);
    add.secret = secret;
    bool ok = store_change(store, add_run, &add, why);
    secret = add.secret;
    if (!ok)
        return false;
    if (given->is_json) {
        struct json json = {&line};
        json_object_begin(&json);
        json_put_string(&json, "name", given->name);
        json_put_string(&json, "secret", buf_slice(&secret));
        json_end(&json);
        printf("%s\n", buf_cstr(&line));
    } else {
        printf("%s\n", buf_cstr(&secret));
    }
    return true;
}

struct key_remove {
    struct slice name;
    time_ms now;
    bool was_there;
};
static bool remove_run(struct db *db, struct fault *why, void *context)
{
    struct key_remove *remove = context;
    return key_remove(db, why, remove->name, remove->now, &remove->was_there);
}

static bool take_away(const struct key_arguments *given, struct store *store, time_ms now, struct fault *why)
{
    struct key_remove remove = {.name = given->name, .now = now};
    if (!store_change(store, remove_run, &remove, why))
        return false;
    return remove.was_there || fault_set(why, FAULT_INPUT, "there is no key \"%.*s\"; `todoke key list` names them",
                                         SLICE_ARG(given->name));
}

enum halt_verb { HALT_PAUSE, HALT_RELEASE, HALT_SIGN_OUT };
struct key_halt {
    struct slice name;
    enum halt_verb verb;
    time_ms now;
    unsigned count;
};

/* Keys of that name, or the one of that number. Who releases a key knows what it did: an alarm about it was seen. */
static bool halt_run(struct db *db, struct fault *why, void *context)
{
    struct key_halt *halt = context;
    SCOPED(arena) arena = {0};
    struct key *keys;
    size_t count;
    uint64_t number = 0;
    const char *user = getenv("USER");
    halt->count = 0;
    if (!key_list(db, why, &arena, &keys, &count))
        return false;
    bool is_number = slice_to_u64(halt->name, &number);
    for (size_t i = 0; i < count; i++) {
        bool found;
        if (!slice_equal(keys[i].name, halt->name) && !(is_number && keys[i].id == number))
            continue;
        halt->count++;
        struct slice about =
            arena_printf(&arena, "%.*s (%llu)", SLICE_ARG(keys[i].name), (unsigned long long)keys[i].id);
        if (halt->verb == HALT_PAUSE      ? !key_pause(db, why, keys[i].id, halt->now, &found)
            : halt->verb == HALT_SIGN_OUT ? !key_sessions_end(db, why, keys[i].id, halt->now, &found)
                                          : !key_release(db, why, keys[i].id, &found) ||
                                                !alarm_ack_matter(db, why, ALARM_CREDENTIAL, about,
                                                                  slice_str(user ? user : "command line"), halt->now))
            return false;
    }
    return true;
}

static bool halt(const struct key_arguments *given, struct store *store, enum halt_verb verb, time_ms now,
                 struct fault *why)
{
    struct key_halt work = {.name = given->name, .verb = verb, .now = now};
    if (!store_change(store, halt_run, &work, why))
        return false;
    return work.count || fault_set(why, FAULT_INPUT, "there is no key \"%.*s\"; `todoke key list` names them",
                                   SLICE_ARG(given->name));
}

struct key_rotate {
    struct seal_key seal;
    struct slice kind;
    time_ms now;
};
static bool rotate_run(struct db *db, struct fault *why, void *context)
{
    const struct key_rotate *rotate = context;
    bool is_all = slice_equal(rotate->kind, SLICE("all")), is_known = false;
    for (int kind = 0; kind < TOKEN_KIND_COUNT; kind++) {
        const char *name = token_kind_name((enum token_kind)kind);
        struct secret secret;
        if (!is_all && !slice_equal(rotate->kind, slice_str(name)))
            continue;
        is_known = true;
        bool ok = secret_get(db, why, &rotate->seal, name, rotate->now, &secret) && /* opens: it is the right file */
                  secret_rotate(db, why, &rotate->seal, name, rotate->now);
        explicit_bzero(&secret, sizeof(secret));
        if (!ok)
            return false;
    }
    return is_known ||
           fault_set(why, FAULT_INPUT,
                     "%.*s: no such kind; it is return_path, shared_path, link, click, open, preferences, confirm, "
                     "file or all",
                     SLICE_ARG(rotate->kind));
}

static bool rotate(const struct key_arguments *given, struct store *store, time_ms now, struct fault *why)
{
    struct key_rotate rotate = {.kind = given->name, .now = now};
    bool ok = seal_key_load(&rotate.seal, arguments_key_file(given->key_file), why) &&
              store_change(store, rotate_run, &rotate, why);
    seal_key_release(&rotate.seal);
    return ok;
}

static void print_key(const struct key *key, bool is_json)
{
    SCOPED(buf) line = BUF(4096);
    SCOPED(buf) scopes = BUF(KEY_SCOPES_TEXT_MAX);
    key_scopes_print(key->rights.scopes, &scopes);
    if (is_json) {
        struct json json = {&line};
        json_object_begin(&json);
        json_put_string(&json, "name", key->name);
        json_put_int(&json, "created_ms", key->created);
        json_put_int(&json, "expires_ms", key->expires);
        json_put_int(&json, "last_used_ms", key->last_used);
        json_put_int(&json, "paused_ms", key->paused);
        json_put_string(&json, "scopes", buf_slice(&scopes));
        json_put_int(&json, "rate", key->rights.rate);
        json_put_array(&json, "brand_ids");
        for (size_t i = 0; i < key->rights.brand_count; i++) {
            char id[24];
            snprintf(id, sizeof(id), "%llu", (unsigned long long)key->rights.brands[i]);
            json_text(&json, slice_str(id));
        }
        json_end(&json);
        json_end(&json);
    } else {
        time_rfc3339(&line, key->created);
        buf_text(&line, "  ");
        if (key->expires)
            time_rfc3339(&line, key->expires);
        else
            buf_text(&line, "never                   ");
        buf_text(&line, "  ");
        buf_append(&line, key->name);
        buf_printf(&line, "  %.*s", SLICE_ARG(buf_slice(&scopes)));
        if (key->rights.brand_count)
            buf_printf(&line, ", %zu brand(s)", key->rights.brand_count);
        if (key->rights.rate)
            buf_printf(&line, ", %u a minute", key->rights.rate);
        if (key->paused) {
            buf_text(&line, ", PAUSED since ");
            time_rfc3339(&line, key->paused);
        }
    }
    printf("%s\n", buf_cstr(&line));
}

static bool list(const struct key_arguments *given, struct store *store, struct fault *why)
{
    struct key *keys;
    size_t count = 0;
    SCOPED(arena) arena = {0};
    struct db *reader = store_reader_open(store, why);
    bool ok = reader && key_list(reader, why, &arena, &keys, &count);
    if (ok && !given->is_json && count)
        printf("%-24s  %-24s  %s\n", "made", "expires", "name and rights");
    for (size_t i = 0; ok && i < count; i++)
        print_key(&keys[i], given->is_json);
    db_free(reader);
    return ok;
}

static bool run(const char *verb, const struct key_arguments *given, struct fault *why)
{
    struct world world;
    world_init(&world, NETWORK_LOOPBACK);
    struct store *store = desk_store(given->store, why);
    if (!store)
        return false;
    bool ok = strcmp(verb, "add") == 0        ? add(given, store, world_wall(&world), why)
              : strcmp(verb, "rotate") == 0   ? rotate(given, store, world_wall(&world), why)
              : strcmp(verb, "remove") == 0   ? take_away(given, store, world_wall(&world), why)
              : strcmp(verb, "pause") == 0    ? halt(given, store, HALT_PAUSE, world_wall(&world), why)
              : strcmp(verb, "release") == 0  ? halt(given, store, HALT_RELEASE, world_wall(&world), why)
              : strcmp(verb, "sign-out") == 0 ? halt(given, store, HALT_SIGN_OUT, world_wall(&world), why)
                                              : list(given, store, why);
    store_close(store);
    return ok;
}

int cmd_key(int argc, char **argv)
{
    struct key_arguments given = {0};
    const struct argument table[] = {
        {"--store", &given.store, NULL},       {"--days", &given.days, NULL},
        {"--scope", &given.scope, NULL},       {"--brand", &given.brand, NULL},
        {"--rate", &given.rate, NULL},         {"--from", &given.from, NULL},
        {"--per-hour", &given.per_hour, NULL}, {"--key-file", &given.key_file, NULL},
        {"--json", NULL, &given.is_json},      {NULL, NULL, NULL},
    };
    struct arguments words;
    struct fault why = {0};
    if (!arguments_read(argc, argv, table, &words, &why))
        return command_fail("key", &why);
    const char *verb = words.word_count ? words.words[0] : "";
    bool is_list = strcmp(verb, "list") == 0 && words.word_count == 1;
    static const char *const named[] = {"add", "remove", "pause", "release", "sign-out", "rotate"};
    bool is_named = false;
    for (size_t i = 0; i < COUNT_OF(named); i++)
        is_named = is_named || (strcmp(verb, named[i]) == 0 && words.word_count == 2);
    if (words.wants_help || (!is_list && !is_named))
        return usage_tell("key", usage, &words);
    given.name = slice_str(is_named ? words.words[1] : "");
    return run(verb, &given, &why) ? 0 : command_fail("key", &why);
}
