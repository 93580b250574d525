/* cmd_relay.c - todoke relay: a smart host for a brand, for those who may not use port 25 themselves */
#include "app/arguments.h"
#include "app/change.h"
#include "app/command.h"
#include "app/desk.h"
#include "app/usage.h"
#include "base/file.h"
#include "base/json.h"
#include "deliver/directions.h"
#include "mail/address.h"
#include <stdio.h>

static const char usage[] =
    "usage: todoke relay set BRAND HOST [--port N] [--user NAME --password-file FILE]\n"
    "       todoke relay remove BRAND                   its mail goes to the receivers directly again\n"
    "       todoke relay list [--json]\n"
    "\n"
    "All mail of the brand goes to HOST, over TLS with a certificate for that name, always: without it the mail waits "
    "and\n"
    "no password is sent. Port 587 (the default) and others speak STARTTLS, 465 is TLS from the first byte. A running\n"
    "server follows within a few seconds.\n"
    "  --password-file FILE  its first line; \"-\" reads standard input. Kept sealed by the key file\n"
    "  --store URL, --key-file FILE   defaults: $TODOKE_STORE, $TODOKE_KEY_FILE, the server's settings, files here\n";

enum { PASSWORD_MOST = 1000 };

struct relay_arguments {
    const char *store, *key_file, *port, *user, *password_file;
    bool is_json;
};

struct relay_change {
    uint64_t brand_id;
    struct slice host, user;
    int64_t port;
    struct slice sealed;
    time_ms now;
    int64_t changed;
};

static bool set_run(struct db *db, struct fault *why, void *context)
{
    struct relay_change *change = context;
    return db_do(db, why,
                 "INSERT INTO relay (brand_id, host, port, user_name, password_sealed, changed_ms) VALUES ($1, $2, $3, "
                 "$4, $5, $6) ON CONFLICT (brand_id) DO UPDATE SET host = excluded.host, port = excluded.port, "
                 "user_name = excluded.user_name, password_sealed = excluded.password_sealed, changed_ms = "
                 "excluded.changed_ms",
                 VALUES(V_INT((int64_t)change->brand_id), V_TEXT(change->host), V_INT(change->port),
                        V_TEXT(change->user), V_BYTES(change->sealed), V_INT(change->now)),
                 &change->changed);
}

static bool remove_run(struct db *db, struct fault *why, void *context)
{
    struct relay_change *change = context;
    return db_do(db, why, "DELETE FROM relay WHERE brand_id = $1", VALUES(V_INT((int64_t)change->brand_id)),
                 &change->changed);
}

static bool seal_password(struct desk *desk, const struct relay_arguments *given, struct relay_change *change,
                          struct fault *why)
{
    SCOPED(buf) text = BUF(PASSWORD_MOST + 2);
    SCOPED(buf) sealed = BUF(PASSWORD_MOST + SEAL_OVERHEAD);
    SCOPED(buf) context = BUF(100);
    struct seal_key key;
    if (!file_read(strcmp(given->password_file, "-") == 0 ? "/dev/stdin" : given->password_file, PASSWORD_MOST, &text,
                   why))
        return false;
    struct slice rest = buf_slice(&text), password;
    if (!slice_line(&rest, &password) || !password.len)
        return fault_set(why, FAULT_INPUT, "--password-file %s: its first line is empty", given->password_file);
    if (!seal_key_load(&key, arguments_key_file(given->key_file), why))
        return false;
    relay_seal_context(change->brand_id, &context);
    seal(&key, buf_slice(&context), password, &sealed);
    seal_key_release(&key);
    explicit_bzero(text.ptr, text.len);
    change->sealed = arena_copy(&desk->arena, buf_slice(&sealed));
    return true;
}

static bool relay_set(struct desk *desk, const struct relay_arguments *given, const char *host,
                      struct relay_change *change, struct fault *why)
{
    uint64_t port = 587;
    if (given->port && (!slice_to_u64(slice_str(given->port), &port) || port < 1 || port > 65535))
        return fault_set(why, FAULT_INPUT, "--port %s: a number from 1 to 65535", given->port);
    if (!given->user != !given->password_file)
        return fault_set(why, FAULT_INPUT, "--user and --password-file belong together");
    if (!domain_normalise(slice_str(host), &desk->arena, &change->host, why))
        return fault_prefix(why, "host: ");
    change->port = (int64_t)port;
    change->user = slice_str(given->user ? given->user : "");
    if (given->user && !seal_password(desk, given, change, why))
        return false;
    if (!store_change(desk->store, set_run, change, why))
        return false;
    printf("its mail goes to %.*s port %llu\n", SLICE_ARG(change->host), (unsigned long long)port);
    return true;
}

static bool relay_list(struct desk *desk, bool is_json, struct fault *why)
{
    SCOPED(rows) rows = {0};
    if (!db_query(desk->reader, why, &rows,
                  "SELECT b.name, r.host, r.port, r.user_name FROM relay r JOIN brand b ON b.id = r.brand_id ORDER BY "
                  "b.name",
                  NO_VALUES))
        return false;
    while (rows_next(&rows)) {
        SCOPED(buf) line = BUF(4096);
        struct json json = {&line};
        if (!is_json) {
            desk_cell(rows_text(&rows, 0), 30);
            printf(" %.*s port %lld%s%.*s\n", SLICE_ARG(rows_text(&rows, 1)), (long long)rows_int(&rows, 2),
                   rows_text(&rows, 3).len ? " as " : "", SLICE_ARG(rows_text(&rows, 3)));
            continue;
        }
        json_object_begin(&json);
        json_put_string(&json, "brand", rows_text(&rows, 0));
        json_put_string(&json, "host", rows_text(&rows, 1));
        json_put_int(&json, "port", rows_int(&rows, 2));
        json_put_string(&json, "user", rows_text(&rows, 3));
        json_end(&json);
        printf("%s\n", buf_cstr(&line));
    }
    return rows_end(&rows);
}

static bool run(struct desk *desk, const struct arguments *words, const struct relay_arguments *given,
                struct fault *why)
{
    struct relay_change change = {.now = world_wall(&desk->world)};
    if (strcmp(words->words[0], "list") == 0)
        return relay_list(desk, given->is_json, why);
    if (!desk_brand(desk, words->words[1], &change.brand_id, why))
        return false;
    if (strcmp(words->words[0], "set") == 0)
        return relay_set(desk, given, words->words[2], &change, why);
    if (!store_change(desk->store, remove_run, &change, why))
        return false;
    if (!change.changed)
        return fault_set(why, FAULT_INPUT, "brand \"%s\" has no smart host", words->words[1]);
    printf("its mail goes to the receivers directly\n");
    return true;
}

int cmd_relay(int argc, char **argv)
{
    struct relay_arguments given = {0};
    const struct argument table[] = {
        {"--store", &given.store, NULL},
        {"--key-file", &given.key_file, NULL},
        {"--port", &given.port, NULL},
        {"--user", &given.user, NULL},
        {"--json", NULL, &given.is_json},
        {"--password-file", &given.password_file, NULL},
        {NULL, NULL, NULL},
    };
    struct arguments words;
    struct fault why = {0};
    if (!arguments_read(argc, argv, table, &words, &why))
        return command_fail("relay", &why);
    const char *verb = words.word_count ? words.words[0] : "";
    bool is_known = (strcmp(verb, "list") == 0 && words.word_count == 1) ||
                    (strcmp(verb, "remove") == 0 && words.word_count == 2) ||
                    (strcmp(verb, "set") == 0 && words.word_count == 3);
    if (words.wants_help || !is_known)
        return usage_tell("relay", usage, &words);
    SCOPED(desk) desk;
    bool ok = desk_open(&desk, given.store, &why) && run(&desk, &words, &given, &why);
    return ok ? 0 : command_fail("relay", &why);
}
