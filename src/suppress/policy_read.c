/* policy_read.c - a policy's YAML: nested maps of plain words, each key known, each fault with file, line and key */
#include "suppress/policy.h"

#include "base/tree.h"
#include <stdio.h>

enum { DEPTH_MAX = 4, KEY_MAX = 128 };

struct reader {
    struct tree *tree;
    struct policy *policy;
    struct arena *arena;
    struct fault *why;
};

/* ── values ── */

static bool number_of(struct slice text, int64_t least, int64_t most, int *number, struct fault *why)
{
    int64_t value;
    if (!slice_to_i64(text, &value) || value < least || value > most)
        return fault_set(why, FAULT_INPUT, "\"%.*s\" is no number from %lld to %lld", SLICE_ARG(text), (long long)least,
                         (long long)most);
    *number = (int)value;
    return true;
}

static bool percent_of(struct slice text, int *percent, struct fault *why)
{
    if (!slice_ends(text, SLICE("%")) || !number_of(slice_head(text, text.len - 1), 0, 100, percent, why))
        return fault_set(why, FAULT_INPUT, "\"%.*s\" is no share; write 0%% to 100%%", SLICE_ARG(text));
    return true;
}

static bool duration_of(struct slice text, time_ms *duration, struct fault *why)
{
    static const struct {
        char unit;
        time_ms ms;
    } units[] = {{'s', SECONDS_MS(1)}, {'m', MINUTES_MS(1)}, {'h', HOURS_MS(1)}, {'d', DAYS_MS(1)}};
    int64_t number;
    for (size_t i = 0; i < COUNT_OF(units) && text.len > 1; i++) {
        if (text.ptr[text.len - 1] != units[i].unit || !slice_to_i64(slice_head(text, text.len - 1), &number) ||
            number < 0 || number > 100000)
            continue;
        *duration = number * units[i].ms;
        return true;
    }
    return fault_set(why, FAULT_INPUT, "\"%.*s\" is no duration; write a number and s, m, h or d, as in 30d",
                     SLICE_ARG(text));
}

static bool exclude_of(struct slice text, enum policy_exclude *exclude, struct fault *why)
{
    for (int i = 0; i < POLICY_EXCLUDE_COUNT_OF; i++) {
        if (slice_equal(text, policy_exclude_word((enum policy_exclude)i))) {
            *exclude = (enum policy_exclude)i;
            return true;
        }
    }
    return fault_set(why, FAULT_INPUT, "\"%.*s\" is none of now, count, never, rule", SLICE_ARG(text));
}

static bool slow_of(struct slice text, enum policy_slow *slow, struct fault *why)
{
    for (int i = 0; i < POLICY_SLOW_COUNT_OF; i++) {
        if (slice_equal(text, policy_slow_word((enum policy_slow)i))) {
            *slow = (enum policy_slow)i;
            return true;
        }
    }
    return fault_set(why, FAULT_INPUT, "\"%.*s\" is none of none, site, source, rule", SLICE_ARG(text));
}

/* ── keys ── */

static bool set_reason(struct reader *reader, struct slice reason_name, struct slice key, struct slice value)
{
    enum reason reason;
    struct fault *why = reader->why;
    if (!reason_of(reason_name, &reason))
        return fault_set(why, FAULT_INPUT, "there is no reason of this name");
    struct policy_row *row = &reader->policy->reasons[reason];
    if (slice_equal(key, SLICE("exclude")))
        return exclude_of(value, &row->exclude, why);
    if (slice_equal(key, SLICE("points")))
        return number_of(value, 1, 1000, &row->points, why);
    if (slice_equal(key, SLICE("after")))
        return number_of(value, 1, 100000, &row->after, why);
    if (slice_equal(key, SLICE("slow")))
        return slow_of(value, &row->slow, why);
    if (slice_equal(key, SLICE("retry"))) {
        row->has_retry = true;
        return retry_of(value, &row->retry) ||
               fault_set(why, FAULT_INPUT, "\"%.*s\" is none of none, greylist, busy, full, network, lane",
                         SLICE_ARG(value));
    }
    if (slice_equal(key, SLICE("todo"))) {
        row->has_whose = true;
        return whose_of(value, &row->whose) ||
               fault_set(why, FAULT_INPUT, "\"%.*s\" is none of address, message, sender, receiver, none",
                         SLICE_ARG(value));
    }
    if (slice_equal(key, SLICE("class"))) {
        row->class_key = arena_copy(reader->arena, value);
        for (unsigned i = 0; i < reader->policy->class_count; i++)
            if (slice_equal(reader->policy->classes[i].key, value))
                return true;
        return fault_set(why, FAULT_INPUT, "\"%.*s\" is not among the classes above", SLICE_ARG(value));
    }
    return fault_set(why, FAULT_INPUT, "of a reason one may say exclude, points, after, retry, slow, todo, class");
}

static bool set_class(struct reader *reader, struct slice class_key, struct slice lang, struct slice value)
{
    struct policy *policy = reader->policy;
    struct policy_class *found = NULL;
    for (unsigned i = 0; i < policy->class_count; i++)
        if (slice_equal(policy->classes[i].key, class_key))
            found = &policy->classes[i];
    if (!found && policy->class_count == POLICY_CLASSES_MAX)
        return fault_set(reader->why, FAULT_INPUT, "more than %d classes", POLICY_CLASSES_MAX);
    if (!found) {
        found = &policy->classes[policy->class_count++];
        *found = (struct policy_class){.key = arena_copy(reader->arena, class_key)};
    }
    bool is_ja = slice_equal(lang, SLICE("ja"));
    if (!is_ja && !slice_equal(lang, SLICE("en")))
        return fault_set(reader->why, FAULT_INPUT, "a class has ja and en");
    *(is_ja ? &found->ja : &found->en) = arena_copy(reader->arena, value);
    return true;
}

static bool set_guard(struct reader *reader, struct slice key, struct slice site, struct slice value)
{
    struct policy_guard *guard = &reader->policy->guard;
    struct fault *why = reader->why;
    if (slice_equal(key, SLICE("sites")) && site.len) {
        if (guard->site_count == POLICY_SITES_MAX)
            return fault_set(why, FAULT_INPUT, "more than %d sites", POLICY_SITES_MAX);
        struct policy_site *row = &guard->sites[guard->site_count++];
        row->site = arena_copy(reader->arena, site);
        return percent_of(value, &row->share_percent, why);
    }
    const struct {
        const char *key;
        int *number;
        int least;
    } numbers[] = {{"times", &guard->times, 1}, {"least", &guard->least, 5}, {"probes", &guard->probes, 1}};
    const struct {
        const char *key;
        time_ms *duration;
    } durations[] = {
        {"window", &guard->window}, {"probe_after", &guard->probe_after}, {"believe_after", &guard->believe_after}};
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        if (slice_equal(key, slice_str(numbers[i].key)))
            return number_of(value, numbers[i].least, 100000, numbers[i].number, why);
    for (size_t i = 0; i < COUNT_OF(durations); i++)
        if (slice_equal(key, slice_str(durations[i].key)))
            return duration_of(value, durations[i].duration, why);
    if (slice_equal(key, SLICE("share")))
        return percent_of(value, &guard->share_percent, why);
    if (slice_equal(key, SLICE("normal")))
        return percent_of(value, &guard->normal_percent, why);
    return fault_set(why, FAULT_INPUT, "there is no such key");
}

/* keys[0..count): the way from the top to this value. */
static bool set(struct reader *reader, const struct slice *keys, int count, struct slice value)
{
    struct policy *policy = reader->policy;
    struct fault *why = reader->why;
    if (count == 3 && slice_equal(keys[0], SLICE("reasons")))
        return set_reason(reader, keys[1], keys[2], value);
    if (count == 3 && slice_equal(keys[0], SLICE("classes")))
        return set_class(reader, keys[1], keys[2], value);
    if ((count == 2 || count == 3) && slice_equal(keys[0], SLICE("guard")))
        return set_guard(reader, keys[1], count == 3 ? keys[2] : SLICE(""), value);
    if (count == 2 && slice_equal(keys[0], SLICE("title"))) {
        bool is_ja = slice_equal(keys[1], SLICE("ja"));
        if (!is_ja && !slice_equal(keys[1], SLICE("en")))
            return fault_set(why, FAULT_INPUT, "a title has ja and en");
        *(is_ja ? &policy->title_ja : &policy->title_en) = arena_copy(reader->arena, value);
        return true;
    }
    if (count == 1 && slice_equal(keys[0], SLICE("name"))) {
        policy->name = arena_copy(reader->arena, value);
        return value.len > 0 || fault_set(why, FAULT_INPUT, "a policy needs a name");
    }
    if (count == 1 && slice_equal(keys[0], SLICE("threshold")))
        return number_of(value, 1, 100000, &policy->threshold, why);
    if (count == 1 && slice_equal(keys[0], SLICE("within")))
        return duration_of(value, &policy->within, why);
    return fault_set(why, FAULT_INPUT, "there is no such key");
}

/* ── YAML ── */

/* The way to the value goes in front of the complaint. */
static bool at_line(const struct reader *reader, const yaml_node_t *node, const struct slice *keys, int count)
{
    char key[KEY_MAX] = "";
    size_t len = 0;
    for (int i = 0; i < count && len + 2 < sizeof(key); i++) {
        int wrote = snprintf(key + len, sizeof(key) - len, "%.*s%s", SLICE_ARG(slice_head(keys[i], 60)),
                             i + 1 < count ? "." : ": ");
        len += wrote > 0 ? (size_t)wrote : 0;
    }
    return fault_prefix(reader->why, "%s line %u: %s", reader->tree->path, tree_line(node), key);
}

static bool read_map(struct reader *reader, const yaml_node_t *map, struct slice *keys, int depth)
{
    const yaml_node_t *name, *value;
    for (size_t i = 0; tree_pair(reader->tree, map, i, &name, &value); i++) {
        keys[depth] = arena_copy(reader->arena, tree_text(name));
        if (!tree_is_scalar(name)) {
            fault_set(reader->why, FAULT_INPUT, "a key must be a plain word");
            return at_line(reader, name, keys, depth);
        }
        if (tree_is_map(value) && depth + 1 < DEPTH_MAX) {
            if (!read_map(reader, value, keys, depth + 1))
                return false;
            continue;
        }
        if (!tree_is_scalar(value))
            fault_set(reader->why, FAULT_INPUT, "one value is wanted here");
        if (!tree_is_scalar(value) || !set(reader, keys, depth + 1, tree_text(value)))
            return at_line(reader, value, keys, depth + 1);
    }
    return true;
}

static bool read_document(struct reader *reader)
{
    struct slice keys[DEPTH_MAX];
    const yaml_node_t *root = tree_root(reader->tree);
    if (root && !tree_is_map(root))
        return tree_complain(reader->tree, root, "a policy is written as \"key: value\"");
    return read_map(reader, root, keys, 0);
}

/* What the lines cannot say one by one. */
static bool check(const struct policy *policy, const char *path, struct fault *why)
{
    const struct policy_guard *guard = &policy->guard;
    if (!policy->name.len)
        return fault_set(why, FAULT_INPUT, "%s: name: is missing", path);
    for (unsigned i = 0; i < policy->class_count; i++)
        if (!policy->classes[i].ja.len || !policy->classes[i].en.len)
            return fault_set(why, FAULT_INPUT, "%s: classes.%.*s: needs ja and en", path,
                             SLICE_ARG(policy->classes[i].key));
    if (guard->share_percent && (!guard->times || !guard->least || !guard->probes || !guard->window ||
                                 !guard->probe_after || !guard->believe_after || !guard->normal_percent))
        return fault_set(why, FAULT_INPUT,
                         "%s: guard: with a share it needs normal, times, least, window, probe_after, probes and "
                         "believe_after too",
                         path);
    return true;
}

bool policy_read(struct slice yaml, const char *path, struct arena *arena, struct policy *policy, struct fault *why)
{
    *policy = (struct policy){.origin = arena_copy(arena, slice_str(path)), .threshold = 5};
    SCOPED(tree) tree = {0};
    struct reader reader = {.tree = &tree, .policy = policy, .arena = arena, .why = why};
    bool ok = tree_read(&tree, path, yaml, why) && read_document(&reader) && check(policy, path, why);
    if (ok && !policy->title_ja.len)
        policy->title_ja = policy->name;
    if (ok && !policy->title_en.len)
        policy->title_en = policy->name;
    return ok;
}
