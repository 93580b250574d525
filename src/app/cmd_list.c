/* cmd_list.c - `todoke list`: the lists, and who is on them */
#include "app/arguments.h"
#include "app/change.h"
#include "app/command.h"
#include "app/desk.h"
#include "app/usage.h"

#include "audience/optin.h"
#include "base/json.h"
#include "base/utf8.h"
#include <stdio.h>

static const char usage[] = "usage: todoke list [--json]                        all lists, with how many are on each\n"
                            "       todoke list create NAME [--brand B]\n"
                            "       todoke list add LIST ADDRESS...             ADDRESS must be a contact\n"
                            "       todoke list remove LIST ADDRESS...\n"
                            "       todoke list publish LIST [--title T] [--notice N] [--form yes|no]\n"
                            "                                           what people read of it: on the page of their\n"
                            "                                           preferences, and on a form where anybody may\n"
                            "                                           ask to be on it and confirms by mail\n"
                            "\n"
                            "  --store URL   the store; default $TODOKE_STORE, the server's settings, ./todoke.db\n";

struct list_change {
    struct desk *desk;
    const char *verb;
    struct slice name;
    uint64_t brand_id;
    const char *title, *notice, *form;
    const char *const *addresses;
    int count;
    uint64_t id; /* of the list */
    bool is_new;
    int changed;
};

static bool create_run(struct db *db, struct fault *why, void *context)
{
    struct list_change *change = context;
    return list_create(db, why, change->brand_id, change->name, world_wall(&change->desk->world), &change->id,
                       &change->is_new);
}

static bool publish_run(struct db *db, struct fault *why, void *context)
{
    struct list_change *change = context;
    struct list list;
    if (!list_find(db, why, change->name, &change->desk->arena, &list))
        return false;
    if (change->title)
        list.title = utf8_head(slice_str(change->title), OPTIN_TITLE_MAX);
    if (change->notice)
        list.notice = utf8_head(slice_str(change->notice), OPTIN_NOTICE_MAX);
    if (change->form)
        list.has_form = strcmp(change->form, "yes") == 0;
    change->id = list.id;
    change->is_new = list.has_form;
    return list_publish(db, why, &list);
}

static bool members_run(struct db *db, struct fault *why, void *context)
{
    struct list_change *change = context;
    struct arena *arena = &change->desk->arena;
    struct list list;
    change->changed = 0;
    if (!list_find(db, why, change->name, arena, &list))
        return false;
    for (int i = 0; i < change->count; i++) {
        struct contact contact;
        struct slice identity;
        bool found;
        if (!desk_identity(change->desk, change->addresses[i], &identity, why) ||
            !contact_of_brand(db, why, list.brand_id, identity, arena, &contact, &found) ||
            (!found && !contact_by_address(db, why, identity, arena, &contact, &found)))
            return false;
        if (!found)
            return fault_set(why, FAULT_INPUT, "%.*s is no contact; nothing was changed", SLICE_ARG(identity));
        bool was_there = true;
        bool ok = strcmp(change->verb, "add") == 0
                      ? list_add(db, why, list.id, &contact.id, 1, world_wall(&change->desk->world))
                      : list_remove(db, why, list.id, contact.id, &was_there);
        if (!ok)
            return false;
        change->changed += was_there;
    }
    return true;
}

static bool print_lists(struct desk *desk, bool is_json, struct fault *why)
{
    struct list *lists;
    size_t count;
    if (!list_all(desk->reader, why, &desk->arena, &lists, &count))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!is_json) {
            desk_cell(lists[i].name, 40);
            printf(" %10lld  %.*s  id %llu\n", (long long)lists[i].members,
                   SLICE_ARG(desk_time(desk, lists[i].created)), (unsigned long long)lists[i].id);
            continue;
        }
        SCOPED(buf) out = BUF(8192);
        struct json json = {&out};
        json_object_begin(&json);
        json_put_string(&json, "id", arena_printf(&desk->arena, "%llu", (unsigned long long)lists[i].id));
        json_put_string(&json, "name", lists[i].name);
        json_put_int(&json, "members", lists[i].members);
        json_end(&json);
        printf("%.*s\n", (int)out.len, out.ptr);
    }
    if (!count && !is_json)
        puts("no lists yet: todoke contact import FILE --list NAME makes one");
    return true;
}

static bool run(struct desk *desk, const struct arguments *words, const struct list_change *given, const char *brand,
                bool is_json, struct fault *why)
{
    if (!words->word_count)
        return print_lists(desk, is_json, why);
    struct list_change change = {.desk = desk,
                                 .title = given->title,
                                 .notice = given->notice,
                                 .form = given->form,
                                 .verb = words->words[0],
                                 .name = slice_str(words->words[1]),
                                 .addresses = words->words + 2,
                                 .count = words->word_count - 2};
    if (strcmp(change.verb, "create") == 0) {
        if (!desk_brand(desk, brand, &change.brand_id, why) || !store_change(desk->store, create_run, &change, why))
            return false;
        printf("list %llu%s\n", (unsigned long long)change.id, change.is_new ? "" : " (was there already)");
        return true;
    }
    if (strcmp(change.verb, "publish") == 0) {
        if (change.form && strcmp(change.form, "yes") != 0 && strcmp(change.form, "no") != 0)
            return fault_set(why, FAULT_INPUT, "--form %s: yes or no", change.form);
        if (!store_change(desk->store, publish_run, &change, why))
            return false;
        if (change.is_new)
            printf("its form: <link address of the brand>/s/%llu\n", (unsigned long long)change.id);
        return true;
    }
    if (!store_change(desk->store, members_run, &change, why))
        return false;
    printf("%d of %d %s\n", change.changed, change.count,
           strcmp(change.verb, "add") == 0 ? "are on the list" : "removed");
    return true;
}

int cmd_list(int argc, char **argv)
{
    const char *store = NULL, *brand = NULL;
    struct list_change given = {0};
    bool is_json = false;
    const struct argument table[] = {
        {"--store", &store, NULL},
        {"--brand", &brand, NULL},
        {"--title", &given.title, NULL},
        {"--notice", &given.notice, NULL},
        {"--form", &given.form, NULL},
        {"--json", NULL, &is_json},
        {NULL, NULL, NULL},
    };
    struct arguments words;
    struct fault why = {0};
    if (!arguments_read(argc, argv, table, &words, &why))
        return command_fail("list", &why);
    const char *verb = words.word_count ? words.words[0] : NULL;
    bool is_members = verb && (strcmp(verb, "add") == 0 || strcmp(verb, "remove") == 0) && words.word_count >= 3;
    bool is_create = verb && (strcmp(verb, "create") == 0 || strcmp(verb, "publish") == 0) && words.word_count == 2;
    if (words.wants_help || (verb && !is_members && !is_create))
        return usage_tell("list", usage, &words);
    SCOPED(desk) desk;
    bool ok = desk_open(&desk, store, &why) && run(&desk, &words, &given, brand, is_json, &why);
    return ok ? 0 : command_fail("list", &why);
}
