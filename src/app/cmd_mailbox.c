/* cmd_mailbox.c - `todoke mailbox`: mailboxes elsewhere that the server empties */
#include "app/arguments.h"
#include "app/change.h"
#include "app/command.h"
#include "app/desk.h"
#include "app/usage.h"
#include "base/file.h"
#include "base/json.h"
#include "receive/box.h"
#include <stdio.h>
#include <unistd.h>

static const char usage[] =
    "usage: todoke mailbox add NAME --kind imap|pop3 --host HOST --user USER --password-file FILE|-\n"
    "            [--tls tls|starttls|none] [--port N] [--folder INBOX] [--ca FILE] [--after leave|delete] [--every "
    "SECONDS]\n"
    "       todoke mailbox add NAME --kind maildir --folder PATH [--after leave|delete] [--every SECONDS]\n"
    "       todoke mailbox list [--json]\n"
    "       todoke mailbox test NAME          look into it now, change nothing; exit status 3 when that fails\n"
    "       todoke mailbox remove NAME\n"
    "\n"
    "The server fetches error mail, complaints and reports from there, every 60 s unless told otherwise, and leaves "
    "them\n"
    "(docs/mailboxes.md). The password is read from the file's first line and kept sealed.\n"
    "  --loopback        of test: nothing but this machine may be connected to\n"
    "  --store URL       the store; default $TODOKE_STORE, the server's settings, ./todoke.db\n"
    "  --key-file FILE   the key that seals secrets; default $TODOKE_KEY_FILE, the server's settings, ./todoke.key\n";

struct given {
    const char *store, *key_file, *kind, *host, *user, *password_file, *tls, *port, *folder, *ca, *after, *every;
    bool is_json, is_loopback;
    struct arguments words;
};

struct adding {
    struct box box;
    struct seal_key seal;
    struct slice password;
    time_ms now;
};

static bool text_take(char to[BOX_TEXT_MAX + 1], const char *given, const char *what, struct fault *why)
{
    if (given && strlen(given) > BOX_TEXT_MAX)
        return fault_set(why, FAULT_INPUT, "%s: at most %d octets", what, BOX_TEXT_MAX);
    snprintf(to, BOX_TEXT_MAX + 1, "%s", given ? given : "");
    return true;
}

static bool number_take(const char *given, const char *what, unsigned otherwise, unsigned *number, struct fault *why)
{
    int64_t value = otherwise;
    if (given && (!slice_to_i64(slice_str(given), &value) || value < 1 || value > 1000000))
        return fault_set(why, FAULT_INPUT, "%s %s: a number from 1 on", what, given);
    *number = (unsigned)value;
    return true;
}

static bool box_read(const struct given *given, struct box *box, struct fault *why)
{
    *box = (struct box){0};
    if (!given->kind || !box_kind_of(slice_str(given->kind), &box->kind))
        return fault_set(why, FAULT_INPUT, "--kind is imap, pop3 or maildir");
    if (given->tls && !box_tls_of(slice_str(given->tls), &box->tls))
        return fault_set(why, FAULT_INPUT, "--tls %s: tls, starttls or none", given->tls);
    if (given->after && strcmp(given->after, "leave") != 0 && strcmp(given->after, "delete") != 0)
        return fault_set(why, FAULT_INPUT, "--after %s: leave or delete", given->after);
    box->deletes = given->after && strcmp(given->after, "delete") == 0;
    return text_take(box->name, given->words.words[1], "the name", why) &&
           text_take(box->host, given->host, "--host", why) && text_take(box->user, given->user, "--user", why) &&
           text_take(box->folder, given->folder, "--folder", why) && text_take(box->ca_file, given->ca, "--ca", why) &&
           number_take(given->port, "--port", 0, &box->port, why) &&
           number_take(given->every, "--every", 60, &box->poll_s, why) && box_check(box, why);
}

/* The first line of the file, or of stdin. */
static bool password_read(const struct given *given, struct buf *file, struct slice *password, struct fault *why)
{
    if (!given->password_file)
        return fault_set(why, FAULT_INPUT, "--password-file is needed (- is stdin)");
    const char *path = strcmp(given->password_file, "-") == 0 ? "/dev/stdin" : given->password_file;
    if (!file_read(path, 4096, file, why))
        return false;
    struct slice rest = buf_slice(file);
    if (!slice_line(&rest, password) || !password->len || password->len > 1000 ||
        memchr(password->ptr, 0, password->len))
        return fault_set(why, FAULT_INPUT, "--password-file %s: its first line is no password", given->password_file);
    return true;
}

static bool add_run(struct db *db, struct fault *why, void *context)
{
    struct adding *adding = context;
    return box_add(db, why, &adding->seal, &adding->box, adding->password, adding->now);
}

static bool add(struct desk *desk, const struct given *given, struct fault *why)
{
    struct adding adding = {.now = world_wall(&desk->world)};
    SCOPED(buf) file = BUF(4096);
    if (!box_read(given, &adding.box, why) ||
        (adding.box.kind != BOX_MAILDIR && !password_read(given, &file, &adding.password, why)) ||
        !seal_key_load(&adding.seal, arguments_key_file(given->key_file), why))
        return false;
    bool ok = store_change(desk->store, add_run, &adding, why);
    seal_key_release(&adding.seal);
    if (ok)
        printf("mailbox %s is emptied every %u s from now on; `todoke mailbox test %s` looks into it\n",
               adding.box.name, adding.box.poll_s, adding.box.name);
    return ok;
}

struct removing {
    struct slice name;
    bool found;
};
static bool remove_run(struct db *db, struct fault *why, void *context)
{
    struct removing *removing = context;
    return box_remove(db, why, removing->name, &removing->found);
}

static bool remove_one(struct desk *desk, const struct given *given, struct fault *why)
{
    struct removing removing = {.name = slice_str(given->words.words[1])};
    if (!store_change(desk->store, remove_run, &removing, why))
        return false;
    if (!removing.found)
        return fault_set(why, FAULT_INPUT, "there is no mailbox %s", given->words.words[1]);
    printf("mailbox %s is left alone from now on; what was fetched stays\n", given->words.words[1]);
    return true;
}

static void print_box(struct desk *desk, const struct box *box, bool is_json)
{
    struct slice kind = box_kind_word(box->kind), tls = box_tls_word(box->tls);
    if (!is_json) {
        desk_cell(slice_str(box->name), 20);
        printf(" %-7.*s ", SLICE_ARG(kind));
        if (box->kind == BOX_MAILDIR)
            printf("%s", box->folder);
        else
            printf("%s@%s:%u%s%s (%.*s)", box->user, box->host, box->port, box->folder[0] ? "/" : "", box->folder,
                   SLICE_ARG(tls));
        printf("  %s, every %u s, %llu fetched, last %.*s%s%s\n", box->deletes ? "deletes" : "leaves", box->poll_s,
               (unsigned long long)box->fetched, SLICE_ARG(desk_time(desk, box->checked)), box->fault[0] ? "  ! " : "",
               box->fault);
        return;
    }
    SCOPED(buf) out = BUF(16384);
    SCOPED(buf) checked = BUF(64);
    struct json json = {&out};
    time_rfc3339(&checked, box->checked);
    json_object_begin(&json);
    json_put_string(&json, "name", slice_str(box->name));
    json_put_string(&json, "kind", kind);
    json_put_string(&json, "host", slice_str(box->host));
    json_put_int(&json, "port", box->port);
    json_put_string(&json, "tls", box->kind == BOX_MAILDIR ? SLICE("") : tls);
    json_put_string(&json, "user", slice_str(box->user));
    json_put_string(&json, "folder", slice_str(box->folder));
    json_put_string(&json, "after", box->deletes ? SLICE("delete") : SLICE("leave"));
    json_put_int(&json, "every", box->poll_s);
    json_put_int(&json, "fetched", (int64_t)box->fetched);
    json_put_string(&json, "checked", box->checked ? buf_slice(&checked) : SLICE(""));
    json_put_string(&json, "fault", slice_str(box->fault));
    json_end(&json);
    printf("%.*s\n", (int)out.len, out.ptr);
}

static bool list(struct desk *desk, const struct given *given, struct fault *why)
{
    struct box *boxes;
    size_t count;
    if (!box_list(desk->reader, why, SLICE(""), &boxes, &count))
        return false;
    for (size_t i = 0; i < count; i++)
        print_box(desk, &boxes[i], given->is_json);
    free(boxes);
    return true;
}

static bool test(struct desk *desk, const struct given *given, struct fault *why)
{
    struct box *boxes;
    size_t found;
    struct seal_key seal;
    SCOPED(buf) password = BUF(4096);
    uint64_t count = 0;
    if (!box_list(desk->reader, why, slice_str(given->words.words[1]), &boxes, &found))
        return false;
    bool ok = found == 1 || fault_set(why, FAULT_INPUT, "there is no mailbox %s", given->words.words[1]);
    if (given->is_loopback)
        network_init(&desk->world.network, NETWORK_LOOPBACK);
    if (ok && (ok = seal_key_load(&seal, arguments_key_file(given->key_file), why))) {
        ok = box_password(desk->reader, why, &seal, &boxes[0], &password) &&
             box_collect(&boxes[0], buf_cstr(&password), &desk->world.network, NULL, &count, why);
        seal_key_release(&seal);
    }
    if (ok)
        printf("mailbox %s: signed in; %llu mails are there\n", boxes[0].name, (unsigned long long)count);
    if (password.len)
        explicit_bzero(password.ptr, password.len);
    free(boxes);
    return ok;
}

static bool run(struct desk *desk, const struct given *given, struct fault *why)
{
    const char *verb = given->words.words[0];
    return strcmp(verb, "add") == 0    ? add(desk, given, why)
           : strcmp(verb, "list") == 0 ? list(desk, given, why)
           : strcmp(verb, "test") == 0 ? test(desk, given, why)
                                       : remove_one(desk, given, why);
}

int cmd_mailbox(int argc, char **argv)
{
    struct given given = {0};
    const struct argument table[] = {
        {"--store", &given.store, NULL},
        {"--key-file", &given.key_file, NULL},
        {"--kind", &given.kind, NULL},
        {"--host", &given.host, NULL},
        {"--user", &given.user, NULL},
        {"--password-file", &given.password_file, NULL},
        {"--tls", &given.tls, NULL},
        {"--port", &given.port, NULL},
        {"--folder", &given.folder, NULL},
        {"--ca", &given.ca, NULL},
        {"--after", &given.after, NULL},
        {"--every", &given.every, NULL},
        {"--json", NULL, &given.is_json},
        {"--loopback", NULL, &given.is_loopback},
        {NULL, NULL, NULL},
    };
    struct fault why = {0};
    if (!arguments_read(argc, argv, table, &given.words, &why))
        return command_fail("mailbox", &why);
    const char *verb = given.words.word_count ? given.words.words[0] : "";
    bool is_one = (strcmp(verb, "add") == 0 || strcmp(verb, "test") == 0 || strcmp(verb, "remove") == 0) &&
                  given.words.word_count == 2;
    if (given.words.wants_help || (!is_one && (strcmp(verb, "list") != 0 || given.words.word_count != 1)))
        return usage_tell("mailbox", usage, &given.words);
    SCOPED(desk) desk;
    if (!desk_open(&desk, given.store, &why) || !run(&desk, &given, &why))
        return command_fail("mailbox", &why);
    return 0;
}
