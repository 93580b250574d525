#include "app/policy_print.h"

#include "app/desk.h"
#include "base/json.h"
#include <stdio.h>

static struct slice title(const struct policy *policy, enum lang lang)
{
    return lang == LANG_JA ? policy->title_ja : policy->title_en;
}

static const struct policy_class *class_of(const struct policy *policy, struct slice key)
{
    for (unsigned i = 0; i < policy->class_count; i++)
        if (slice_equal(policy->classes[i].key, key))
            return &policy->classes[i];
    return NULL;
}

static void print(const struct buf *out)
{
    printf("%.*s\n", (int)out->len, out->ptr);
}

/* ── a policy ── */

static void row_json(struct json *json, enum reason reason, const struct policy_row *row)
{
    json_key_slice(json, reason_word(reason));
    json_object_begin(json);
    json_put_string(json, "exclude", policy_exclude_word(row->exclude));
    if (row->exclude == POLICY_EXCLUDE_COUNT || row->exclude == POLICY_EXCLUDE_RULE)
        json_put_int(json, "points", row->points ? row->points : 1);
    if (row->after)
        json_put_int(json, "after", row->after);
    if (row->has_retry)
        json_put_string(json, "retry", retry_word(row->retry));
    if (row->slow)
        json_put_string(json, "slow", policy_slow_word(row->slow));
    if (row->has_whose)
        json_put_string(json, "todo", whose_word(row->whose));
    if (row->class_key.len)
        json_put_string(json, "class", row->class_key);
    json_end(json);
}

static void policy_json(const struct policy *policy, bool wants_reasons)
{
    SCOPED(buf) out = BUF(65536);
    struct json json = {&out};
    json_object_begin(&json);
    json_put_string(&json, "name", policy->name);
    json_put_string(&json, "title_ja", policy->title_ja);
    json_put_string(&json, "title_en", policy->title_en);
    json_put_string(&json, "origin", policy->origin);
    json_put_int(&json, "threshold", policy->threshold);
    json_put_int(&json, "within_ms", policy->within);
    json_put_int(&json, "guard_share_percent", policy->guard.share_percent);
    json_put_int(&json, "classes", policy->class_count);
    if (wants_reasons) {
        json_put_object(&json, "reasons");
        for (int reason = 0; reason < REASON_COUNT; reason++)
            row_json(&json, (enum reason)reason, &policy->reasons[reason]);
        json_end(&json);
    }
    json_end(&json);
    print(&out);
}

void policy_print_line(const struct policy *policy, bool is_json, enum lang lang)
{
    if (is_json) {
        policy_json(policy, false);
        return;
    }
    desk_cell(policy->name, 12);
    desk_cell(title(policy, lang), 20);
    printf("excluded at %-4d  %.*s\n", policy->threshold, SLICE_ARG(policy->origin));
}

static void row_print(const struct policy *policy, enum reason reason, enum lang lang)
{
    const struct policy_row *row = &policy->reasons[reason];
    const struct policy_class *group = class_of(policy, row->class_key);
    int points = row->points ? row->points : 1, after = row->after ? row->after : policy->threshold;
    printf("  %-28.*s", SLICE_ARG(reason_word(reason)));
    switch (row->exclude) {
    case POLICY_EXCLUDE_NOW: printf("%-26s", "now"); break;
    case POLICY_EXCLUDE_COUNT: printf("+%-3d excludes at %-10d", points, after); break;
    case POLICY_EXCLUDE_RULE: printf("%-26s", "as its rule says"); break;
    case POLICY_EXCLUDE_NEVER:
    case POLICY_EXCLUDE_COUNT_OF: printf("%-26s", "-"); break;
    }
    if (row->has_retry)
        printf("  retry %.*s", SLICE_ARG(retry_word(row->retry)));
    if (row->slow)
        printf("  slow %.*s", SLICE_ARG(policy_slow_word(row->slow)));
    if (row->has_whose)
        printf("  to-do of %.*s", SLICE_ARG(whose_word(row->whose)));
    if (group)
        printf("  %.*s", SLICE_ARG(lang == LANG_JA ? group->ja : group->en));
    puts("");
}

void policy_print(const struct policy *policy, bool is_json, enum lang lang)
{
    if (is_json) {
        policy_json(policy, true);
        return;
    }
    const struct policy_guard *guard = &policy->guard;
    printf("%.*s (%.*s), %.*s\nexcluded at %d points", SLICE_ARG(policy->name), SLICE_ARG(title(policy, lang)),
           SLICE_ARG(policy->origin), policy->threshold);
    if (policy->within)
        printf("; errors more than %lld days apart do not add up", (long long)(policy->within / DAYS_MS(1)));
    puts("");
    for (int reason = 0; reason < REASON_COUNT; reason++)
        row_print(policy, (enum reason)reason, lang);
    if (!guard->share_percent) {
        puts("no guard: every site is believed");
        return;
    }
    printf("guard: \"unknown user\" is held above %d %% of a site's answers, or %d times its usual share",
           guard->share_percent, guard->times);
    for (unsigned i = 0; i < guard->site_count; i++)
        printf("; %.*s %d %%", SLICE_ARG(guard->sites[i].site), guard->sites[i].share_percent);
    puts("");
}

/* ── a rehearsal ── */

static void examples_json(struct json *json, const struct slice *examples, unsigned count)
{
    json_array_begin(json);
    for (unsigned i = 0; i < count; i++)
        json_text(json, examples[i]);
    json_end(json);
}

void policy_print_rehearsal_json(const struct policy *policy, const struct rehearsal_options *options,
                                 const struct rehearsal *rehearsal)
{
    SCOPED(buf) out = BUF(1 << 18);
    SCOPED(buf) since = BUF(64);
    struct json json = {&out};
    time_rfc3339(&since, options->since);
    json_object_begin(&json);
    json_put_string(&json, "policy", policy->name);
    json_put_int(&json, "threshold", options->threshold ? options->threshold : policy->threshold);
    json_put_string(&json, "since", buf_slice(&since));
    json_put_int(&json, "events", rehearsal->events);
    json_put_int(&json, "addresses", rehearsal->addresses);
    json_put_int(&json, "excluded_then", rehearsal->then);
    json_put_int(&json, "would_exclude", rehearsal->would);
    json_put_array(&json, "reasons");
    for (int i = 0; i < REASON_COUNT; i++) {
        const struct rehearsal_reason *reason = &rehearsal->reasons[i];
        if (!reason->errors && !reason->then && !reason->would)
            continue;
        json_object_begin(&json);
        json_put_string(&json, "reason", reason_word((enum reason)i));
        json_put_string(&json, "class", policy->reasons[i].class_key);
        json_put_int(&json, "errors", reason->errors);
        json_put_int(&json, "excluded_then", reason->then);
        json_put_int(&json, "would_exclude", reason->would);
        json_key(&json, "newly");
        examples_json(&json, reason->examples, reason->example_count);
        json_key(&json, "spared");
        examples_json(&json, reason->spared, reason->spared_count);
        json_end(&json);
    }
    json_end(&json);
    json_end(&json);
    print(&out);
}

static void examples_print(const char *what, const struct slice *examples, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        printf("%s%.*s", i ? ", " : what, SLICE_ARG(examples[i]));
    if (count)
        puts("");
}

void policy_print_rehearsal(const struct policy *policy, const struct rehearsal_options *options,
                            const struct rehearsal *rehearsal, int64_t days, enum lang lang)
{
    printf("%.*s (%.*s), excluded at %d, with the last %lld days: %lld events, %lld addresses with errors\n\n",
           SLICE_ARG(policy->name), SLICE_ARG(title(policy, lang)),
           options->threshold ? options->threshold : policy->threshold, (long long)days, (long long)rehearsal->events,
           (long long)rehearsal->addresses);
    printf("  %-28s%10s%10s%10s\n", "reason", "errors", "then", "would");
    for (int i = 0; i < REASON_COUNT; i++) {
        const struct rehearsal_reason *reason = &rehearsal->reasons[i];
        if (!reason->errors && !reason->then && !reason->would)
            continue;
        printf("  %-28.*s%10lld%10lld%10lld\n", SLICE_ARG(reason_word((enum reason)i)), (long long)reason->errors,
               (long long)reason->then, (long long)reason->would);
        examples_print("      newly excluded: ", reason->examples, reason->example_count);
        examples_print("      not excluded any more: ", reason->spared, reason->spared_count);
    }
    printf("  %-28s%10s%10lld%10lld\n", "", "", (long long)rehearsal->then, (long long)rehearsal->would);
}
