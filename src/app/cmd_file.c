/* cmd_file.c - `todoke file`: files that people download by a link in a mail */
#include "app/arguments.h"
#include "app/change.h"
#include "app/command.h"
#include "app/desk.h"
#include "app/usage.h"

#include "base/json.h"
#include "base/utf8.h"
#include "hosted/name.h"
#include "hosted/take.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static const char usage[] =
    "usage: todoke file add FILE [--name NAME] [--type TYPE] [--days N] [--brand B] [--json]\n"
    "       todoke file list [--ended] [--json]        newest first; --ended: what expired or was removed, too\n"
    "       todoke file remove ID                      its link says so from now on\n"
    "\n"
    "A file for download: {{ file[\"NAME\"].url }} in a template is its link, of each recipient's own "
    "(docs/files.md).\n"
    "A newer file of the same name takes its place in mails that are sent from then on.\n"
    "\n"
    "  --days N      so long it can be downloaded, 1 to 399; default 30\n"
    "  --type TYPE   its media type; default by the name's ending\n"
    "  --brand B     whose templates find it; default the only brand there is\n"
    "  --store URL   the store; default $TODOKE_STORE, the server's settings, ./todoke.db\n";

enum { DAYS_MOST = 399, LIST_STEP = 500 };

struct given {
    const char *store, *name, *type, *days, *brand;
    bool is_json, has_ended;
    struct arguments words;
};

static void print_json(struct desk *desk, const struct hosted_file *file)
{
    SCOPED(buf) out = BUF(16384);
    SCOPED(buf) sha256 = BUF(HOSTED_ETAG_LEN);
    struct json json = {&out};
    hosted_etag(&file->body, &sha256);
    json_object_begin(&json);
    json_put_string(&json, "id", arena_printf(&desk->arena, "%llu", (unsigned long long)file->id));
    json_put_string(&json, "brand_id", arena_printf(&desk->arena, "%llu", (unsigned long long)file->brand_id));
    json_put_string(&json, "name", file->name);
    json_put_string(&json, "type", file->type);
    json_put_int(&json, "size_bytes", (int64_t)file->body.size_bytes);
    json_put_string(&json, "sha256", slice_of(sha256.ptr + 1, sha256.len - 2));
    json_put_string(&json, "state", hosted_state_word(file->state));
    json_put_time(&json, "created_at", file->created);
    json_put_time(&json, "expires_at", file->expires);
    json_end(&json);
    printf("%.*s\n", (int)out.len, out.ptr);
}

static void print_file(struct desk *desk, const struct hosted_file *file, bool is_json)
{
    SCOPED(buf) size = BUF(40);
    if (is_json) {
        print_json(desk, file);
        return;
    }
    hosted_size_print(file->body.size_bytes, &size);
    printf("%llu  ", (unsigned long long)file->id);
    desk_cell(file->name, 40);
    printf(" %8.*s  %s %.*s\n", SLICE_ARG(buf_slice(&size)),
           file->state == HOSTED_THERE     ? "until"
           : file->state == HOSTED_EXPIRED ? "expired"
                                           : "removed",
           SLICE_ARG(desk_time(desk, file->state == HOSTED_THERE ? file->expires : file->ended)));
}

/* ── add ── */

static bool add_run(struct db *db, struct fault *why, void *context)
{
    struct hosted_file *file = context;
    file->id = id_make_anywhere(db_ids(db), file->created);
    return hosted_add(db, why, file);
}

static bool file_open(const char *path, int *file, uint64_t *size, struct fault *why)
{
    struct stat stat;
    *file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*file < 0 || fstat(*file, &stat) != 0) {
        fault_errno(why, "%s", path);
        why->kind = FAULT_INPUT;
        return false;
    }
    *size = (uint64_t)stat.st_size;
    return (S_ISREG(stat.st_mode) && *size > 0) || fault_set(why, FAULT_INPUT, "%s: no file, or an empty one", path);
}

static bool days_read(const char *text, time_ms now, time_ms *expires, struct fault *why)
{
    uint64_t days = 30;
    if (text && (!slice_to_u64(slice_str(text), &days) || days < 1 || days > DAYS_MOST))
        return fault_set(why, FAULT_INPUT, "--days %s: a number from 1 to %d", text, DAYS_MOST);
    *expires = now + DAYS_MS((time_ms)days);
    return true;
}

struct shown {
    struct hosted_watch watch; /* first */
    uint64_t size;
};

static void print_progress(const struct hosted_watch *watch, uint64_t octets)
{
    const struct shown *shown = (const struct shown *)(const void *)watch;
    SCOPED(buf) line = BUF(200);
    hosted_size_print(octets, &line);
    buf_text(&line, " of ");
    hosted_size_print(shown->size, &line);
    fprintf(stderr, "\r%.*s  %s", SLICE_ARG(buf_slice(&line)), octets == shown->size ? "\n" : "");
}

static bool add(struct desk *desk, const struct given *given, struct fault *why)
{
    SCOPED(buf) name = BUF(HOSTED_NAME_MAX + 1);
    const char *path = given->words.words[1];
    struct slice wanted = slice_str(given->name ? given->name : path);
    struct hosted_file file = {.created = world_wall(&desk->world)};
    int opened = -1;
    struct shown shown = {.watch.progress = isatty(STDERR_FILENO) ? print_progress : NULL};
    if (!utf8_is_valid(wanted))
        return fault_set(why, FAULT_INPUT, "the name is no UTF-8; say another by --name");
    hosted_name_clean(wanted, &name);
    file.name = buf_slice(&name);
    if (!hosted_type_of(slice_str(given->type), file.name, &file.type))
        return fault_set(why, FAULT_INPUT, "--type %s: no media type; application/pdf is one", given->type);
    if (!days_read(given->days, file.created, &file.expires, why) ||
        !desk_brand(desk, given->brand, &file.brand_id, why))
        return false;
    if (!file.brand_id)
        return fault_set(why, FAULT_INPUT, "there is no brand yet: todoke brand add makes one");
    bool ok = file_open(path, &opened, &shown.size, why) &&
              hosted_take(desk->store, &desk->world, opened, shown.size, &shown.watch, &file.body, why) &&
              store_change(desk->store, add_run, &file, why);
    if (opened >= 0)
        close(opened);
    if (ok)
        print_file(desk, &file, given->is_json);
    if (ok && !given->is_json)
        printf("in a template: {{ file[\"%.*s\"].url }}\n", SLICE_ARG(file.name));
    return ok;
}

/* ── list, remove ── */

static bool list(struct desk *desk, const struct given *given, struct fault *why)
{
    const struct brands all = {0};
    uint64_t before = 0;
    for (;;) {
        SCOPED(arena) arena = {0};
        struct hosted_file *files;
        size_t count;
        if (!hosted_list(desk->reader, why, &all, before, LIST_STEP, given->has_ended, world_wall(&desk->world), &arena,
                         &files, &count))
            return false;
        for (size_t i = 0; i < count; i++)
            print_file(desk, &files[i], given->is_json);
        if (!count && !before && !given->is_json)
            puts("no files yet: todoke file add FILE");
        if (count < LIST_STEP)
            return true;
        before = files[count - 1].id;
    }
}

struct removing {
    uint64_t id;
    time_ms now;
    bool was_there;
};

static bool remove_run(struct db *db, struct fault *why, void *context)
{
    struct removing *removing = context;
    return hosted_remove(db, why, removing->id, removing->now, &removing->was_there);
}

static bool file_remove(struct desk *desk, const struct given *given, struct fault *why)
{
    struct removing removing = {.now = world_wall(&desk->world)};
    const char *id = given->words.words[1];
    if (!slice_to_u64(slice_str(id), &removing.id))
        return fault_set(why, FAULT_INPUT, "%s: no id; `todoke file list` shows them", id);
    if (!store_change(desk->store, remove_run, &removing, why))
        return false;
    return removing.was_there ||
           fault_set(why, FAULT_INPUT, "there is no file %s (any more); `todoke file list` shows them", id);
}

int cmd_file(int argc, char **argv)
{
    struct given given = {0};
    const struct argument table[] = {
        {"--store", &given.store, NULL},     {"--name", &given.name, NULL},
        {"--type", &given.type, NULL},       {"--days", &given.days, NULL},
        {"--brand", &given.brand, NULL},     {"--json", NULL, &given.is_json},
        {"--ended", NULL, &given.has_ended}, {NULL, NULL, NULL},
    };
    struct fault why = {0};
    if (!arguments_read(argc, argv, table, &given.words, &why))
        return command_fail("file", &why);
    const char *verb = given.words.word_count ? given.words.words[0] : "";
    bool is_list = strcmp(verb, "list") == 0 && given.words.word_count == 1;
    bool is_add = strcmp(verb, "add") == 0 && given.words.word_count == 2;
    bool is_remove = strcmp(verb, "remove") == 0 && given.words.word_count == 2;
    if (given.words.wants_help || (!is_list && !is_add && !is_remove))
        return usage_tell("file", usage, &given.words);
    SCOPED(desk) desk;
    bool ok = desk_open(&desk, given.store, &why) && (is_add    ? add(&desk, &given, &why)
                                                      : is_list ? list(&desk, &given, &why)
                                                                : file_remove(&desk, &given, &why));
    return ok ? 0 : command_fail("file", &why);
}
