/* cmd_migrate.c - `todoke migrate`: the store's schema becomes this program's */
#include "app/arguments.h"
#include "app/command.h"
#include "app/usage.h"

#include "base/json.h"
#include "store/migration.h"
#include <stdio.h>

static const char usage[] =
    "usage: todoke migrate [--check] [--json]\n"
    "\n"
    "Brings the store to the schema of this program, in one transaction, and says by which steps; where there is "
    "nothing to do it\n"
    "says so. Every other command does it, too, when it first meets an older store: this one is for doing it when you "
    "choose, while\n"
    "no server works on it (refused). There is no way back but a backup that the older program has made (todoke "
    "backup).\n"
    "\n"
    "  --check       only says what would be done; exit status 1 when there is something\n"
    "  --store URL   the store; default $TODOKE_STORE, the server's settings, ./todoke.db\n";

static void print_json(const struct migration *migration, bool is_check)
{
    SCOPED(buf) out = BUF(1 << 20);
    struct json json = {&out};
    json_object_begin(&json);
    json_put_int(&json, "from", migration->from);
    json_put_int(&json, "to", migration->to);
    json_put_bool(&json, "done", !is_check);
    json_put_array(&json, "steps");
    for (int64_t i = migration->from; i < migration->to; i++)
        json_text(&json, slice_str(schema_files[i].name));
    json_end(&json);
    json_end(&json);
    printf("%.*s\n", (int)out.len, out.ptr);
}

static void print_words(const struct migration *migration, bool is_check)
{
    if (migration->from == migration->to) {
        printf("the store has schema %lld, which is this program's: nothing to do\n", (long long)migration->to);
        return;
    }
    printf("%s schema %lld to %lld:\n", is_check ? "would be migrated from" : "migrated from",
           (long long)migration->from, (long long)migration->to);
    for (int64_t i = migration->from; i < migration->to; i++)
        printf("  %s\n", schema_files[i].name);
}

int cmd_migrate(int argc, char **argv)
{
    const char *store = NULL;
    bool is_check = false, is_json = false;
    const struct argument table[] = {
        {"--store", &store, NULL}, {"--check", NULL, &is_check}, {"--json", NULL, &is_json}, {NULL, NULL, NULL}};
    struct arguments words;
    struct fault why = {0};
    struct migration migration = {0};
    if (!arguments_read(argc, argv, table, &words, &why))
        return command_fail("migrate", &why);
    if (words.wants_help || words.word_count)
        return usage_tell("migrate", usage, &words);
    if (!(is_check ? migration_look : migration_run)(arguments_store(store), &migration, &why))
        return command_fail("migrate", &why);
    (is_json ? print_json : print_words)(&migration, is_check);
    return is_check && migration.from < migration.to;
}
