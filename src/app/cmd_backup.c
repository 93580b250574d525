/* cmd_backup.c - `todoke backup`: the whole store in one file, while the server runs */
#include "app/arguments.h"
#include "app/command.h"
#include "app/copy_progress.h"
#include "app/desk.h"
#include "app/usage.h"

#include "base/json.h"
#include "hosted/name.h"
#include "report/report.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char usage[] =
    "usage: todoke backup FILE [--plain] [--force] [--key-file FILE] [--json]\n"
    "\n"
    "Writes all that the store holds now into FILE, from one moment, while the server goes on: people, mails, what is "
    "owed, what\n"
    "happened, settings kept in the store, files for download. Either store can be restored from it (todoke restore), "
    "so a house\n"
    "on SQLite moves to PostgreSQL by it, and back. FILE is there when it is complete, on the disk, read again and "
    "found sound.\n"
    "\n"
    "FILE is sealed by the key file (AES-256-GCM): only who has that file can read it, and a file that was cut or "
    "changed is\n"
    "refused. The key file is NOT in the backup, nor is todoke.yaml: keep a copy of both, the key in another place "
    "than the\n"
    "backups. Without the key file a backup is worth nothing.\n"
    "\n"
    "  --plain          not sealed: whoever gets FILE reads everybody's addresses. DKIM keys and other secrets stay "
    "sealed\n"
    "  --force          FILE is there already: replace it\n"
    "  --key-file FILE  default $TODOKE_KEY_FILE, the server's settings, ./todoke.key\n"
    "  --store URL      the store; default $TODOKE_STORE, the server's settings, ./todoke.db\n"
    "\n"
    "Exit status 1: written, but the books of the store do not balance (todoke queue audit).\n";

struct given {
    const char *store, *key_file, *file;
    bool is_plain, may_replace, is_json;
};

/* A store that is not there would be made, and an empty backup of it. */
static bool store_is_there(const char *url, struct fault *why)
{
    const char *path = strncmp(url, "sqlite:", 7) == 0 ? url + 7 : url;
    return strstr(url, "://") || access(path, F_OK) == 0 || fault_set(why, FAULT_INPUT, "there is no store %s", path);
}

static bool key_load(const struct given *given, struct seal_key *key, struct fault *why)
{
    const char *path = arguments_key_file(given->key_file);
    if (access(path, F_OK) != 0)
        return fault_set(why, FAULT_INPUT, "there is no key file %s; name it by --key-file", path);
    return seal_key_load(key, path, why);
}

/* The name it has until it is complete; one that a crash left is written anew. */
static int part_open(const char *path, struct fault *why)
{
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0 || flock(file, LOCK_EX | LOCK_NB) != 0) {
        if (file >= 0 && errno == EWOULDBLOCK)
            fault_set(why, FAULT_INPUT, "%s: another backup writes to it", path);
        else
            fault_errno(why, "%s", path);
        if (file >= 0)
            close(file);
        return -1;
    }
    struct stat ours, there;
    bool is_ours = fstat(file, &ours) == 0 && lstat(path, &there) == 0 && ours.st_dev == there.st_dev &&
                   ours.st_ino == there.st_ino;
    if (!is_ours) /* the other one has just given it its name */
        fault_set(why, FAULT_INPUT, "%s: another backup wrote to it; try again", path);
    else if (ftruncate(file, 0) == 0 && fchmod(file, 0600) == 0)
        return file;
    else
        fault_errno(why, "%s", path);
    close(file);
    return -1;
}

static bool folder_flush(const char *path, struct fault *why)
{
    const char *slash = strrchr(path, '/');
    char folder[4200];
    snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - path + 1) : 1, slash ? path : ".");
    int opened = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = (opened >= 0 && fsync(opened) == 0) || fault_errno(why, "%s", folder);
    if (opened >= 0)
        close(opened);
    return ok;
}

static bool audit(void *context, struct db *db, struct fault *why)
{
    return report_audit_within(db, why, 0, context);
}

/* Written, on the disk, and read back: what is there is what we meant. */
static bool fill(struct desk *desk, int file, const struct seal_key *key, struct report_audit *books,
                 struct backup_facts *facts, struct fault *why)
{
    struct backup_facts again;
    struct copy_progress progress;
    struct backup_watch *watch = copy_progress_begin(&progress, "backup", 0);
    bool ok = backup_write(desk->reader, file, key, audit, books, watch, facts, why);
    copy_progress_end(&progress);
    if (ok && fsync(file) != 0)
        return fault_errno(why, "writing the backup");
    if (!ok)
        return false;
    watch = copy_progress_begin(&progress, "reading it again", facts->octets);
    ok = backup_read(file, key, watch, &again, why);
    copy_progress_end(&progress);
    return ok && (again.rows == facts->rows || fault_set(why, FAULT_WORLD, "the disk gives back another backup"));
}

static void print(struct desk *desk, const struct given *given, const struct backup_facts *facts,
                  const struct report_audit *books)
{
    SCOPED(buf) out = BUF(16384);
    if (given->is_json) {
        struct json json = {&out};
        json_object_begin(&json);
        json_put_string(&json, "file", slice_str(given->file));
        json_put_time(&json, "created_at", facts->head.created);
        json_put_int(&json, "schema", facts->head.schema);
        json_put_int(&json, "tables", (int64_t)facts->tables);
        json_put_int(&json, "rows", (int64_t)facts->rows);
        json_put_int(&json, "size_bytes", (int64_t)facts->octets);
        json_put_bool(&json, "sealed", facts->head.is_sealed);
        json_put_string(&json, "key_id", arena_printf(&desk->arena, "%08x", facts->head.key_id));
        json_put_bool(&json, "agrees", books->agrees);
        json_end(&json);
        printf("%.*s\n", (int)out.len, out.ptr);
        return;
    }
    buf_printf(&out, "%s: %llu rows, ", given->file, (unsigned long long)facts->rows);
    hosted_size_print(facts->octets, &out);
    printf("%.*s, as of %.*s UTC\n", (int)out.len, out.ptr, SLICE_ARG(desk_time(desk, facts->head.created)));
    if (facts->head.is_sealed)
        printf("It is sealed by the key file %s, which is not in it: keep a copy of that in another place.\n",
               arguments_key_file(given->key_file));
    else
        printf("It is NOT sealed: whoever gets it reads all addresses. The secrets in it are; the key file is not in "
               "it: keep a copy of that in another place.\n");
    if (!books->agrees)
        printf("THE BOOKS DO NOT BALANCE: see todoke queue audit\n");
}

static bool backup(const struct given *given, bool *agrees, struct fault *why)
{
    struct seal_key key = {0};
    struct report_audit books = {0};
    struct backup_facts facts;
    struct stat there;
    char part[4200];
    SCOPED(desk) desk = {0};
    if (snprintf(part, sizeof(part), "%s.part", given->file) >= 4096)
        return fault_set(why, FAULT_INPUT, "the path is too long");
    if (!given->may_replace && lstat(given->file, &there) == 0)
        return fault_set(why, FAULT_INPUT, "%s is there already; --force replaces it", given->file);
    if (!store_is_there(arguments_store(given->store), why) || (!given->is_plain && !key_load(given, &key, why)) ||
        !desk_open(&desk, given->store, why))
        return false;
    int file = part_open(part, why);
    if (file < 0)
        return false;
    bool ok = fill(&desk, file, given->is_plain ? NULL : &key, &books, &facts, why);
    if (ok && rename(part, given->file) != 0)
        ok = fault_errno(why, "%s", given->file);
    if (!ok)
        unlink(part);
    close(file);
    seal_key_release(&key);
    if (!ok || !folder_flush(given->file, why))
        return false;
    print(&desk, given, &facts, &books);
    *agrees = books.agrees;
    return true;
}

int cmd_backup(int argc, char **argv)
{
    struct given given = {0};
    const struct argument table[] = {
        {"--store", &given.store, NULL},    {"--key-file", &given.key_file, NULL},
        {"--plain", NULL, &given.is_plain}, {"--force", NULL, &given.may_replace},
        {"--json", NULL, &given.is_json},   {NULL, NULL, NULL},
    };
    struct arguments words;
    struct fault why = {0};
    bool agrees = true;
    if (!arguments_read(argc, argv, table, &words, &why))
        return command_fail("backup", &why);
    if (words.wants_help || words.word_count != 1)
        return usage_tell("backup", usage, &words);
    given.file = words.words[0];
    return !backup(&given, &agrees, &why) ? command_fail("backup", &why) : agrees ? 0 : 1;
}
