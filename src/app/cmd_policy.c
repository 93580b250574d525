/* cmd_policy.c - `todoke policy`: what errors do to an address, and what another policy would have done */
#include "app/arguments.h"
#include "app/change.h"
#include "app/command.h"
#include "app/desk.h"
#include "app/policy_print.h"
#include "app/usage.h"

#include "base/embedded.h"
#include "campaign/brand.h"
#include "suppress/rehearsal.h"
#include <stdio.h>

static const char usage[] =
    "usage: todoke policy list [--json]                    the presets, and the files of --folder\n"
    "       todoke policy show NAME [--lang ja|en] [--json]    what it does, reason by reason\n"
    "       todoke policy check FILE...                    is it a policy? exit status 2 names line and key\n"
    "       todoke policy use NAME [--brand B] [--threshold N]   a brand's own choice; NAME \"\" gives it up\n"
    "       todoke policy dry-run [--preset NAME] [--brand B] [--days 30] [--threshold N] [--lang ja|en] [--json]\n"
    "                                                      what it would have done with the events of these days\n"
    "\n"
    "The setting `policy` of the server chooses for all brands that have none of their own. docs/policy.md explains "
    "the keys.\n"
    "  --folder DIR  policies of your own; default /etc/todoke/policy\n"
    "  --store URL   the store; default $TODOKE_STORE, the server's settings, ./todoke.db\n";

struct policy_arguments {
    const char *store, *folder, *brand, *threshold, *days, *preset, *lang;
    bool is_json;
    struct arguments words;
    enum lang language;
    int64_t threshold_number, days_number;
};

static const struct policy *named(const struct policies *policies, const char *name, struct fault *why)
{
    const struct policy *policy = policies_find(policies, slice_str(name));
    if (!policy)
        fault_set(why, FAULT_INPUT, "there is no policy \"%s\"; `todoke policy list` names them", name);
    return policy;
}

static bool check_files(const struct policy_arguments *given, struct fault *why)
{
    for (int i = 1; i < given->words.word_count; i++) {
        struct policies *policies;
        struct slice path = slice_str(given->words.words[i]);
        SCOPED(arena) arena = {0};
        /* a bare name is a file here, never a preset */
        const char *file = slice_find_byte(path, '/') >= 0
                               ? given->words.words[i]
                               : arena_str(&arena, arena_printf(&arena, "./%.*s", SLICE_ARG(path)));
        if (!policies_open(file, NULL, &policies, why))
            return false;
        printf("%.*s: a policy named \"%.*s\"\n", SLICE_ARG(path), SLICE_ARG(policies_chosen(policies)->name));
        policies_free(policies);
    }
    return true;
}

/* ── a brand's own ── */

struct choice {
    uint64_t brand_id;
    struct slice name;
    int64_t threshold;
};

static bool choose_run(struct db *db, struct fault *why, void *context)
{
    const struct choice *choice = context;
    return db_do(db, why, "UPDATE brand SET policy = $2, policy_threshold = $3 WHERE id = $1",
                 VALUES(V_INT((int64_t)choice->brand_id), V_TEXT(choice->name), V_INT(choice->threshold)), NULL);
}

static bool use(const struct policies *policies, const struct policy_arguments *given, struct fault *why)
{
    SCOPED(desk) desk = {0};
    struct choice choice = {.name = slice_str(given->words.words[1]), .threshold = given->threshold_number};
    if (choice.name.len && !named(policies, given->words.words[1], why))
        return false;
    if (!desk_open(&desk, given->store, why) || !desk_brand(&desk, given->brand, &choice.brand_id, why))
        return false;
    if (!choice.brand_id)
        return fault_set(why, FAULT_INPUT, "there is no brand yet: `todoke brand add`");
    if (!store_change(desk.store, choose_run, &choice, why))
        return false;
    if (choice.name.len)
        printf("this brand follows the policy %.*s now\n", SLICE_ARG(choice.name));
    else
        puts("this brand follows the installation's policy now");
    return true;
}

/* ── dry run ── */

static bool dry_run(const struct policies *policies, const struct policy_arguments *given, struct fault *why)
{
    const struct policy *policy = named(policies, given->preset ? given->preset : "default", why);
    SCOPED(desk) desk = {0};
    struct rehearsal rehearsal;
    if (!policy || !desk_open(&desk, given->store, why))
        return false;
    struct rehearsal_options options = {.policy = policy,
                                        .threshold = (int)given->threshold_number,
                                        .until = world_wall(&desk.world),
                                        .since = world_wall(&desk.world) - DAYS_MS(given->days_number)};
    if (given->brand && !desk_brand(&desk, given->brand, &options.brand_id, why))
        return false;
    if (!rehearsal_run(desk.reader, why, &options, &desk.arena, &rehearsal))
        return false;
    if (given->is_json)
        policy_print_rehearsal_json(policy, &options, &rehearsal);
    else
        policy_print_rehearsal(policy, &options, &rehearsal, given->days_number, given->language);
    return true;
}

/* ── the command ── */

static bool number_read(const char *text, const char *option, int64_t least, int64_t most, int64_t *number,
                        struct fault *why)
{
    if (text && (!slice_to_i64(slice_str(text), number) || *number < least || *number > most))
        return fault_set(why, FAULT_INPUT, "%s %s: a number from %lld to %lld", option, text, (long long)least,
                         (long long)most);
    return true;
}

static bool run(const struct policies *policies, const struct policy_arguments *given, struct fault *why)
{
    const char *verb = given->words.words[0];
    if (strcmp(verb, "use") == 0)
        return use(policies, given, why);
    if (strcmp(verb, "dry-run") == 0)
        return dry_run(policies, given, why);
    if (strcmp(verb, "show") == 0) {
        const struct policy *policy = named(policies, given->words.words[1], why);
        if (policy)
            policy_print(policy, given->is_json, given->language);
        return policy != NULL;
    }
    for (size_t i = 0; i < policies_count(policies); i++)
        policy_print_line(policies_at(policies, i), given->is_json, given->language);
    return true;
}

int cmd_policy(int argc, char **argv)
{
    struct policy_arguments given = {.folder = "/etc/todoke/policy", .days_number = 30};
    const struct argument table[] = {
        {"--store", &given.store, NULL},         {"--folder", &given.folder, NULL}, {"--brand", &given.brand, NULL},
        {"--threshold", &given.threshold, NULL}, {"--days", &given.days, NULL},     {"--preset", &given.preset, NULL},
        {"--lang", &given.lang, NULL},           {"--json", NULL, &given.is_json},  {NULL, NULL, NULL},
    };
    struct fault why = {0};
    if (!arguments_read(argc, argv, table, &given.words, &why) || !arguments_lang(given.lang, &given.language, &why) ||
        !number_read(given.threshold, "--threshold", 1, 100000, &given.threshold_number, &why) ||
        !number_read(given.days, "--days", 1, 3660, &given.days_number, &why))
        return command_fail("policy", &why);
    int count = given.words.word_count;
    const char *verb = count ? given.words.words[0] : "";
    bool is_alone = (strcmp(verb, "list") == 0 || strcmp(verb, "dry-run") == 0) && count == 1;
    bool is_one = (strcmp(verb, "show") == 0 || strcmp(verb, "use") == 0) && count == 2;
    bool is_check = strcmp(verb, "check") == 0 && count >= 2;
    if (given.words.wants_help || (!is_alone && !is_one && !is_check))
        return usage_tell("policy", usage, &given.words);
    if (is_check)
        return check_files(&given, &why) ? 0 : command_fail("policy", &why);
    struct policies *policies;
    if (!policies_open("default", given.folder, &policies, &why))
        return command_fail("policy", &why);
    bool ok = run(policies, &given, &why);
    policies_free(policies);
    return ok ? 0 : command_fail("policy", &why);
}
