#include "shape/site_inside.h"

#include "base/data_files.h"
#include <stdlib.h>

enum { FILE_MOST = 1 << 20, HOST_ROOM = 256 };

/* ── matching ── */

static bool codes_meet(const struct site_reaction *reaction, int code)
{
    for (size_t i = 0; i < reaction->code_count; i++)
        if (code >= reaction->codes[i].low && code <= reaction->codes[i].high)
            return true;
    return reaction->code_count == 0;
}

static bool statuses_meet(const struct site_reaction *reaction, const uint16_t status[3])
{
    for (size_t i = 0; i < reaction->status_count; i++) {
        const uint16_t *want = reaction->statuses[i];
        if ((want[0] == SITE_ANY || want[0] == status[0]) && (want[1] == SITE_ANY || want[1] == status[1]) &&
            (want[2] == SITE_ANY || want[2] == status[2]))
            return true;
    }
    return reaction->status_count == 0;
}

static bool texts_meet(const struct site_reaction *reaction, struct slice text)
{
    for (size_t i = 0; i < reaction->text_count; i++)
        if (slice_find_caseless(text, reaction->texts[i]) != SLICE_NPOS)
            return true;
    return reaction->text_count == 0;
}

bool site_reaction_matches(const struct site_reaction *reaction, const struct reply *reply, enum stage stage)
{
    return (!reaction->stages || reaction->stages >> stage & 1) && codes_meet(reaction, reply->code) &&
           statuses_meet(reaction, reply->status) && texts_meet(reaction, reply->text);
}

bool site_rule_reacts(const struct site_rule *rule, const struct reply *reply, enum stage stage)
{
    for (size_t i = 0; i < rule->reaction_count; i++)
        if (site_reaction_matches(rule->reactions[i], reply, stage))
            return true;
    return false;
}

/* ── finding ── */

/* The entry with the longest suffix of this host; NULL: nobody's. */
static const struct site_entry *entry_of_host(const struct sites *sites, struct slice host)
{
    char lower[HOST_ROOM];
    if (host.len && host.ptr[host.len - 1] == '.')
        host.len--;
    if (host.len >= sizeof(lower))
        return NULL;
    for (size_t i = 0; i < host.len; i++)
        lower[i] = ascii_lower(host.ptr[i]);
    struct slice rest = slice_of(lower, host.len);
    while (rest.len) {
        const struct site_entry *entry = map_get(&sites->by_host, rest);
        if (entry)
            return entry;
        ptrdiff_t dot = slice_find_byte(rest, '.');
        rest = dot < 0 ? slice_of(NULL, 0) : slice_from(rest, (size_t)dot + 1);
    }
    return NULL;
}

const struct site_rule *sites_rule_for(const struct sites *sites, const struct slice *hosts, size_t count)
{
    const struct site_entry *first = count ? entry_of_host(sites, hosts[0]) : NULL;
    for (size_t i = 1; first && i < count; i++)
        if (entry_of_host(sites, hosts[i]) != first)
            return sites->base;
    return first ? &first->rule : sites->base;
}

const struct site_rule *sites_default(const struct sites *sites)
{
    return sites->base;
}

const struct site_rule *sites_rule_named(const struct sites *sites, struct slice name)
{
    for (size_t i = 0; i < sites->count; i++)
        if (slice_equal(sites->entries[i]->rule.name, name))
            return &sites->entries[i]->rule;
    return NULL;
}

const struct site_rule *const *sites_rules(const struct sites *sites, size_t *count)
{
    *count = sites->count;
    return sites->rules;
}

/* ── the set as a whole ── */

struct sites *sites_new(void)
{
    return NEW(struct sites);
}

void sites_free(struct sites *sites)
{
    if (!sites)
        return;
    map_release(&sites->by_host);
    arena_release(&sites->arena);
    free(sites);
}

static bool complain(struct fault *why, struct site_place at, const char *what, struct slice about)
{
    return fault_set(why, FAULT_INPUT, "%s line %u: %s \"%.*s\"", at.file, at.line, what, SLICE_ARG(about));
}

static bool settle_hosts(struct sites *sites, struct fault *why)
{
    map_release(&sites->by_host);
    sites->by_host = (struct map){0};
    for (size_t i = 0; i < sites->count; i++) {
        struct site_entry *entry = sites->entries[i];
        for (size_t h = 0; h < entry->host_count; h++) {
            const struct site_entry *other = map_get(&sites->by_host, entry->hosts[h].suffix);
            if (other)
                return fault_set(why, FAULT_INPUT, "%s line %u: the host \"%.*s\" belongs to \"%.*s\" already (%s)",
                                 entry->hosts[h].at.file, entry->hosts[h].at.line, SLICE_ARG(entry->hosts[h].suffix),
                                 SLICE_ARG(other->rule.name), other->rule.place.file);
            map_set(&sites->by_host, entry->hosts[h].suffix, entry);
        }
    }
    return true;
}

static void fill_gaps(struct site_entry *entry, const struct site_rule *base)
{
    struct site_rule *rule = &entry->rule;
    for (int limit = 0; limit < SITE_LIMIT_COUNT; limit++) {
        if (entry->given >> limit & 1 || rule == base)
            continue;
        rule->at[limit] = base->at[limit];
        switch ((enum site_limit)limit) {
        case SITE_LIMIT_CONNECTIONS: rule->connections = base->connections; break;
        case SITE_LIMIT_MESSAGES: rule->messages_per_connection = base->messages_per_connection; break;
        case SITE_LIMIT_RATE: rule->rate = base->rate; break;
        case SITE_LIMIT_OPENING: rule->opening = base->opening; break;
        case SITE_LIMIT_DAILY: rule->daily = base->daily; break;
        case SITE_LIMIT_TLS: rule->tls = base->tls; break;
        case SITE_LIMIT_RECIPIENTS: rule->recipients_per_transaction = base->recipients_per_transaction; break;
        case SITE_LIMIT_TOTAL_CONNECTIONS: rule->total_connections = base->total_connections; break;
        case SITE_LIMIT_TOTAL_RATE: rule->total_rate = base->total_rate; break;
        case SITE_LIMIT_COUNT: break;
        }
    }
}

/* A reaction that would slow nobody can never do anything. */
static bool reactions_bite(const struct site_entry *entry, struct fault *why)
{
    const struct site_rule *rule = &entry->rule;
    for (size_t i = 0; i < entry->own_count; i++) {
        const struct site_reaction *reaction = &entry->own[i];
        if (reaction->rate.count && rule->rate.count &&
            (double)reaction->rate.count / (double)reaction->rate.per >=
                (double)rule->rate.count / (double)rule->rate.per)
            return complain(why, reaction->at,
                            "its rate is no slower than the site's own, so it would do nothing:", reaction->id);
        if (reaction->connections && reaction->connections >= rule->connections)
            return complain(why, reaction->at, "these are no fewer connections than the site's own:", reaction->id);
    }
    return true;
}

static int by_name(const void *a, const void *b)
{
    const struct site_entry *const *left = a, *const *right = b;
    return slice_compare((*left)->rule.name, (*right)->rule.name);
}

bool sites_settle(struct sites *sites, bool is_loopback, struct fault *why)
{
    qsort(sites->entries, sites->count, sizeof(struct site_entry *), by_name);
    const struct site_rule *general = sites_rule_named(sites, SLICE("default"));
    const struct site_rule *loopback = sites_rule_named(sites, SLICE("loopback"));
    if (!general)
        return fault_set(why, FAULT_INPUT, "data/sites: there is no file with \"name: default\"");
    sites->base = is_loopback && loopback ? loopback : general;
    const struct site_entry *shared = NULL, *complete = NULL; /* whose reactions hold for all; who gives all figures */
    sites->rules = ARENA_ARRAY(&sites->arena, const struct site_rule *, sites->count + 1);
    for (size_t i = 0; i < sites->count; i++) {
        sites->rules[i] = &sites->entries[i]->rule;
        if (&sites->entries[i]->rule == general)
            complete = sites->entries[i];
        if (&sites->entries[i]->rule == sites->base)
            shared = sites->entries[i];
    }
    const unsigned may_be_left_out =
        1u << SITE_LIMIT_TOTAL_CONNECTIONS | 1u << SITE_LIMIT_TOTAL_RATE | 1u << SITE_LIMIT_RECIPIENTS;
    if ((complete->given | may_be_left_out) != (1u << SITE_LIMIT_COUNT) - 1)
        return complain(why, complete->rule.place, "every figure must be given (rates and daily may be none) by",
                        general->name);
    for (size_t i = 0; i < sites->count; i++) {
        struct site_entry *entry = sites->entries[i];
        struct site_rule *rule = &entry->rule;
        rule->is_default = rule == sites->base;
        fill_gaps(entry, &entry->rule == loopback ? general : sites->base);
        if (!reactions_bite(entry, why))
            return false;
        size_t more = entry == shared ? 0 : shared->own_count;
        rule->reactions = ARENA_ARRAY(&sites->arena, const struct site_reaction *, entry->own_count + more + 1);
        for (size_t r = 0; r < entry->own_count; r++)
            rule->reactions[r] = &entry->own[r];
        for (size_t r = 0; r < more; r++)
            rule->reactions[entry->own_count + r] = &shared->own[r];
        rule->reaction_count = entry->own_count + more;
    }
    return settle_hosts(sites, why);
}

/* ── where they come from ── */

static bool read_file(void *sites, const char *path, struct slice text, bool is_operators, struct fault *why)
{
    return sites_read(sites, path, text, is_operators, why);
}

bool sites_open(const struct sites_options *options, struct sites **sites_out, struct fault *why)
{
    struct sites *sites = sites_new();
    const struct data_files files = {.carried = SLICE("data/sites/"),
                                     .folder = options ? options->folder : NULL,
                                     .what = "site rules",
                                     .most_bytes = FILE_MOST,
                                     .arena = &sites->arena,
                                     .read = read_file,
                                     .owner = sites};
    if (!data_files_read(&files, why) || !sites_settle(sites, options && options->is_loopback, why)) {
        sites_free(sites);
        return false;
    }
    *sites_out = sites;
    return true;
}
