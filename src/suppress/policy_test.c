/* Policies as data: the presets are whole, mistakes name file, line and key, and each preset decides as it says (S56,
 * section G). */
#include "base/test.h"
#include "suppress/policy.h"

static struct policies *shelf(void)
{
    struct policies *policies = NULL;
    struct fault why = {0};
    if (!policies_open("default", NULL, &policies, &why))
        fail_msg("%s", why.text);
    return policies;
}

static void the_presets_are_there(void **state)
{
    static const char *const names[] = {"default", "strict", "gentle", "synergy"};
    struct policies *policies = shelf();
    assert_int_equal(policies_count(policies), 4);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        const struct policy *policy = policies_find(policies, slice_str(names[i]));
        assert_non_null(policy);
        assert_row(names[i], policy->title_ja.len > 0 && policy->guard.share_percent > 0);
    }
    assert_int_equal(policies_find(policies, SLICE("synergy"))->class_count, 8);
    assert_ptr_equal(policies_chosen(policies), policies_find(policies, SLICE("default")));
    assert_null(policies_find(policies, SLICE("none")));
    policies_free(policies);
}

static void each_preset_decides_as_it_says(void **state)
{
    static const struct {
        const char *row, *preset;
        enum reason reason;
        enum action action;
        enum policy_exclude exclude;
        int points, after;
    } table[] = {
        {"unknown user", "default", REASON_USER_UNKNOWN, ACTION_SUPPRESS_NOW, POLICY_EXCLUDE_NOW, 1, 5},
        {"full mailbox", "default", REASON_MAILBOX_FULL, ACTION_SUPPRESS_AFTER_N, POLICY_EXCLUDE_COUNT, 1, 5},
        {"spam is the message's", "default", REASON_SPAM, ACTION_FIX_CONTENT, POLICY_EXCLUDE_NEVER, 1, 5},
        {"blocked is the sender's (R36)", "default", REASON_BLOCKED, ACTION_DELIST, POLICY_EXCLUDE_NEVER, 1, 5},
        {"suspended, said for now", "default", REASON_SUSPENDED, ACTION_SUPPRESS_AFTER_N, POLICY_EXCLUDE_COUNT, 1, 5},
        {"suspended, said for good", "default", REASON_SUSPENDED, ACTION_SUPPRESS_NOW, POLICY_EXCLUDE_NOW, 1, 5},
        {"held verdicts never", "synergy", REASON_ON_HOLD, ACTION_NONE, POLICY_EXCLUDE_NEVER, 1, 5},
        {"99 (G)", "synergy", REASON_USER_UNKNOWN, ACTION_SUPPRESS_NOW, POLICY_EXCLUDE_COUNT, 99, 5},
        {"1 (G)", "synergy", REASON_SPAM, ACTION_FIX_CONTENT, POLICY_EXCLUDE_COUNT, 1, 5},
        {"1 for a refusal of the sender, too (G)", "synergy", REASON_BLOCKED, ACTION_DELIST, POLICY_EXCLUDE_COUNT, 1,
         5},
        {"two refusals by the person", "strict", REASON_FILTERED, ACTION_SUPPRESS_AFTER_N, POLICY_EXCLUDE_COUNT, 2, 3},
        {"spam, strictly", "strict", REASON_SPAM, ACTION_FIX_CONTENT, POLICY_EXCLUDE_NEVER, 1, 3},
        {"the second unknown user", "gentle", REASON_USER_UNKNOWN, ACTION_SUPPRESS_NOW, POLICY_EXCLUDE_COUNT, 3, 6},
        {"the tenth full mailbox", "gentle", REASON_MAILBOX_FULL, ACTION_SUPPRESS_AFTER_N, POLICY_EXCLUDE_COUNT, 1, 10},
    };
    struct policies *policies = shelf();
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct verdict verdict = {.reason = table[i].reason, .action = table[i].action};
        int points, after;
        const struct policy *policy = policies_find(policies, slice_str(table[i].preset));
        assert_int_row(table[i].row, policy_decide(policy, &verdict, &points, &after), table[i].exclude);
        assert_int_row(table[i].row, points, table[i].points);
        assert_int_row(table[i].row, after, table[i].after);
    }
    policies_free(policies);
}

static void a_mistake_names_its_place(void **state)
{
    static const struct {
        const char *row, *yaml, *says;
    } table[] = {
        {"no name", "threshold: 5\n", "p.yaml: name: is missing"},
        {"unknown key", "name: a\nthreshhold: 5\n", "p.yaml line 2: threshhold: there is no such key"},
        {"unknown reason", "name: a\nreasons:\n  user_unknwon: {exclude: now}\n",
         "p.yaml line 3: reasons.user_unknwon.exclude: there is no reason of this name"},
        {"unknown word", "name: a\nreasons:\n  spam: {exclude: maybe}\n",
         "p.yaml line 3: reasons.spam.exclude: \"maybe\" is none of now, count, never, rule"},
        {"retry", "name: a\nreasons:\n  spam:\n    exclude: now\n    retry: soon\n",
         "p.yaml line 5: reasons.spam.retry: \"soon\" is none of none, greylist, busy, full, network, lane"},
        {"no share", "name: a\nguard:\n  share: 50\n",
         "p.yaml line 3: guard.share: \"50\" is no share; write 0% to 100%"},
        {"half a guard", "name: a\nguard: {share: 50%}\n", "p.yaml: guard: with a share it needs"},
        {"a class of nobody", "name: a\nreasons:\n  spam: {class: junk}\n",
         "p.yaml line 3: reasons.spam.class: \"junk\" is not among the classes above"},
        {"duration", "name: a\nwithin: soon\n", "p.yaml line 2: within: \"soon\" is no duration"},
        {"no number", "name: a\nthreshold: many\n", "p.yaml line 2: threshold: \"many\" is no number from 1 to 100000"},
        {"no YAML", "name: [a\n", "p.yaml line "},
        {"a list", "- name\n", "p.yaml line 1: a policy is written as"},
        {"too deep", "name: a\nreasons: {spam: {exclude: {now: {or: later}}}}\n",
         "p.yaml line 2: reasons.spam.exclude"},
        {"fine", "name: a\nreasons: {spam: {exclude: count, points: 2, todo: sender, slow: none}}\n", NULL},
        {"every reason is left to the rules", "name: a\n", NULL},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        SCOPED(arena) arena = {0};
        struct policy policy;
        struct fault why = {0};
        bool ok = policy_read(slice_str(table[i].yaml), "p.yaml", &arena, &policy, &why);
        assert_int_row(table[i].row, ok, table[i].says == NULL);
        if (table[i].says && !slice_starts(slice_str(why.text), slice_str(table[i].says)))
            fail_msg("%s: \"%s\" where \"%s\" is wanted", table[i].row, why.text, table[i].says);
    }
}

static void verdicts_are_adjusted(void **state)
{
    SCOPED(arena) arena = {0};
    struct policy policy;
    struct fault why = {0};
    const char *yaml =
        "name: a\nreasons:\n  mailbox_full: {exclude: never, retry: busy, todo: address}\n"
        "  bad_reputation: {slow: site}\n  rate_limited: {slow: none}\n  user_unknown: {exclude: count}\n";
    assert_true(policy_read(slice_str(yaml), "p.yaml", &arena, &policy, &why));
    struct verdict full = {.reason = REASON_MAILBOX_FULL,
                           .action = ACTION_SUPPRESS_AFTER_N,
                           .retry = RETRY_FULL,
                           .whose = WHOSE_RECEIVER},
                   listed = {.reason = REASON_BAD_REPUTATION,
                             .action = ACTION_DELIST,
                             .scope = SCOPE_SOURCE,
                             .whose = WHOSE_SENDER},
                   gone = {.reason = REASON_USER_UNKNOWN,
                           .action = ACTION_SUPPRESS_NOW,
                           .whose = WHOSE_ADDRESS,
                           .is_permanent = true};
    policy_adjust(&policy, &full);
    policy_adjust(&policy, &listed);
    policy_adjust(&policy, &gone);
    assert_int_equal(full.action, ACTION_NONE);
    assert_int_equal(full.retry, RETRY_BUSY);
    assert_int_equal(full.whose, WHOSE_ADDRESS);
    assert_int_equal(listed.action, ACTION_SLOW_DOWN);
    assert_int_equal(listed.scope, SCOPE_SITE);
    assert_int_equal(gone.action, ACTION_SUPPRESS_AFTER_N);
    assert_true(gone.is_permanent); /* what is true of the address stays true */
    assert_false(policy_slows(&policy, REASON_RATE_LIMITED));
    assert_true(policy_slows(&policy, REASON_BAD_REPUTATION));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_presets_are_there),
        cmocka_unit_test(each_preset_decides_as_it_says),
        cmocka_unit_test(a_mistake_names_its_place),
        cmocka_unit_test(verdicts_are_adjusted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
