#include "suppress/policy.h"

#include "base/data_files.h"
#include "base/file.h"

enum { POLICY_BYTES_MAX = 256 << 10, POLICIES_MAX = 64 };

const struct policy policy_plain = {
    .name = SLICE_INIT("plain"),
    .title_ja = SLICE_INIT("規則どおり"),
    .title_en = SLICE_INIT("As the rules say"),
    .origin = SLICE_INIT("built in"),
    .threshold = 5,
};

#define WORD_ROW(NAME, word) SLICE_INIT(#word),

struct slice policy_exclude_word(enum policy_exclude exclude)
{
    static const struct slice words[] = {POLICY_EXCLUDES(WORD_ROW)};
    return words[exclude];
}

struct slice policy_slow_word(enum policy_slow slow)
{
    static const struct slice words[] = {POLICY_SLOWS(WORD_ROW)};
    return words[slow];
}

/* ── deciding ── */

enum policy_exclude policy_decide(const struct policy *policy, const struct verdict *verdict, int *points, int *after)
{
    const struct policy_row *row = &policy->reasons[verdict->reason];
    *points = row->points ? row->points : 1;
    *after = row->after ? row->after : policy->threshold;
    if (verdict->reason == REASON_ON_HOLD) /* nothing is decided */
        return POLICY_EXCLUDE_NEVER;
    if (row->exclude != POLICY_EXCLUDE_RULE)
        return row->exclude;
    if (verdict->action == ACTION_SUPPRESS_NOW)
        return POLICY_EXCLUDE_NOW;
    return verdict->action == ACTION_SUPPRESS_AFTER_N ? POLICY_EXCLUDE_COUNT : POLICY_EXCLUDE_NEVER;
}

/* The action that is shown must be what is done. */
static void adjust_action(const struct policy_row *row, struct verdict *verdict)
{
    bool excludes = verdict->action == ACTION_SUPPRESS_NOW || verdict->action == ACTION_SUPPRESS_AFTER_N;
    switch (row->exclude) {
    case POLICY_EXCLUDE_NOW: verdict->action = ACTION_SUPPRESS_NOW; break;
    case POLICY_EXCLUDE_COUNT: verdict->action = ACTION_SUPPRESS_AFTER_N; break;
    case POLICY_EXCLUDE_NEVER:
        if (excludes)
            verdict->action = ACTION_NONE;
        break;
    case POLICY_EXCLUDE_RULE:
    case POLICY_EXCLUDE_COUNT_OF: break;
    }
    excludes = verdict->action == ACTION_SUPPRESS_NOW || verdict->action == ACTION_SUPPRESS_AFTER_N;
    if (excludes || (row->slow != POLICY_SLOW_SITE && row->slow != POLICY_SLOW_SOURCE))
        return;
    verdict->action = ACTION_SLOW_DOWN;
    verdict->scope = row->slow == POLICY_SLOW_SITE ? SCOPE_SITE : SCOPE_SOURCE;
}

void policy_adjust(const struct policy *policy, struct verdict *verdict)
{
    const struct policy_row *row = &policy->reasons[verdict->reason];
    bool is_for_the_sender = verdict->whose == WHOSE_SENDER || verdict->whose == WHOSE_MESSAGE;
    if (row->has_retry)
        verdict->retry = row->retry;
    if (row->has_whose)
        verdict->whose = row->whose;
    if (row->exclude == POLICY_EXCLUDE_COUNT && is_for_the_sender)
        return; /* it counts, but what is to be done is still the sender's to mend */
    adjust_action(row, verdict);
}

int policy_site_share(const struct policy_guard *guard, struct slice site)
{
    for (unsigned i = 0; i < guard->site_count; i++)
        if (slice_equal_caseless(guard->sites[i].site, site))
            return guard->sites[i].share_percent;
    return guard->share_percent;
}

/* ── the shelf ── */

struct policies {
    struct arena arena;
    struct policy *rows;
    size_t count;
    const struct policy *chosen;
};

static bool add(struct policies *policies, struct slice yaml, const char *path, struct fault *why)
{
    if (policies->count == POLICIES_MAX)
        return fault_set(why, FAULT_INPUT, "%s: more than %d policies", path, POLICIES_MAX);
    struct policy *policy = &policies->rows[policies->count];
    if (!policy_read(yaml, path, &policies->arena, policy, why))
        return false;
    if (policies_find(policies, policy->name))
        return fault_set(why, FAULT_INPUT, "%s: there is a policy named \"%.*s\" already; give yours a name of its own",
                         path, SLICE_ARG(policy->name));
    policies->count++;
    return true;
}

static bool add_file(struct policies *policies, const char *path, struct fault *why)
{
    SCOPED(buf) text = {0};
    return file_read(path, POLICY_BYTES_MAX, &text, why) && add(policies, buf_slice(&text), path, why);
}

static bool add_data(void *owner, const char *path, struct slice text, bool is_operators, struct fault *why)
{
    struct policies *policies = owner;
    if (!add(policies, text, path, why))
        return false;
    if (!is_operators)
        policies->rows[policies->count - 1].origin = SLICE("preset");
    return true;
}

static bool choose(struct policies *policies, const char *chosen, struct fault *why)
{
    struct slice name = chosen && chosen[0] ? slice_str(chosen) : SLICE("default");
    bool is_file = slice_find_byte(name, '/') >= 0 || slice_ends(name, SLICE(".yaml"));
    if (is_file) {
        if (!add_file(policies, chosen, why))
            return false;
        policies->chosen = &policies->rows[policies->count - 1];
        return true;
    }
    policies->chosen = policies_find(policies, name);
    return policies->chosen ||
           fault_set(why, FAULT_INPUT, "policy: there is no preset \"%.*s\"; `todoke policy list` names them",
                     SLICE_ARG(name));
}

bool policies_open(const char *chosen, const char *folder, struct policies **out, struct fault *why)
{
    struct policies *policies = NEW(struct policies);
    policies->rows = NEW_ARRAY(struct policy, POLICIES_MAX);
    const struct data_files files = {.carried = SLICE("data/policy/"),
                                     .folder = folder,
                                     .what = "policies",
                                     .most_bytes = POLICY_BYTES_MAX,
                                     .arena = &policies->arena,
                                     .read = add_data,
                                     .owner = policies};
    if (data_files_read(&files, why) && choose(policies, chosen, why)) {
        *out = policies;
        return true;
    }
    policies_free(policies);
    return false;
}

void policies_free(struct policies *policies)
{
    if (!policies)
        return;
    arena_release(&policies->arena);
    free(policies->rows);
    free(policies);
}

const struct policy *policies_find(const struct policies *policies, struct slice name)
{
    for (size_t i = 0; policies && i < policies->count; i++)
        if (slice_equal(policies->rows[i].name, name))
            return &policies->rows[i];
    return NULL;
}

const struct policy *policies_chosen(const struct policies *policies)
{
    return policies ? policies->chosen : &policy_plain;
}

size_t policies_count(const struct policies *policies)
{
    return policies->count;
}

const struct policy *policies_at(const struct policies *policies, size_t index)
{
    return &policies->rows[index];
}
