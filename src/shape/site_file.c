/* site_file.c - one file of data/sites -> an entry of the set */
#include "shape/site_file_inside.h"

enum { HOST_MOST = 253 };

/* ── what its keys say ── */

static bool read_tls(struct site_reader *reader, const yaml_node_t *node, void *to)
{
    static const char *const words[] = {"may", "required", "never"};
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        if (slice_equal(tree_text(node), slice_str(words[i]))) {
            *(enum site_tls *)to = (enum site_tls)i;
            return true;
        }
    }
    return tree_complain(reader->tree, node, "tls is may, required or never, not \"%.*s\"", SLICE_ARG(tree_text(node)));
}

/* A suffix of host names; what no name can end in is a mistake. */
static bool read_host(struct site_reader *reader, const yaml_node_t *node, size_t i, void *to)
{
    struct slice text = tree_text(node), rest = text, label;
    if (text.len > HOST_MOST)
        return tree_complain(reader->tree, node, "no host's name is so long");
    while (slice_split(&rest, '.', &label)) {
        if (label.len == 0 || label.len > 63)
            return tree_complain(reader->tree, node,
                                 "\"%.*s\": a dot too many: no host's name ends so (write \"google.com\")",
                                 SLICE_ARG(text));
        for (size_t c = 0; c < label.len; c++)
            if (!ascii_is_alnum(label.ptr[c]) && label.ptr[c] != '-')
                return tree_complain(reader->tree, node, "\"%.*s\": no host's name has such a letter", SLICE_ARG(text));
    }
    if (slice_find_byte(text, '.') < 0)
        return tree_complain(reader->tree, node, "\"%.*s\": the end of a host's name has two parts at least",
                             SLICE_ARG(text));
    struct site_host *host = &((struct site_host *)to)[i];
    char *lower = arena_str(&reader->sites->arena, text);
    for (size_t c = 0; c < text.len; c++)
        lower[c] = ascii_lower(lower[c]);
    *host = (struct site_host){slice_of(lower, text.len), site_place_at(reader, node)};
    return true;
}

static bool read_hosts(struct site_reader *reader, const yaml_node_t *node, void *to)
{
    struct site_entry *entry = to;
    entry->hosts = file_list_room(reader, node, sizeof(*entry->hosts));
    return file_read_list(reader, node, read_host, entry->hosts, &entry->host_count);
}

static bool read_verify(struct site_reader *reader, const yaml_node_t *node, size_t i, void *to)
{
    static const char *const words[] = {
#define SITE_LIMIT_WORD(NAME, word) #word,
        SITE_LIMITS(SITE_LIMIT_WORD)};
    for (size_t w = 0; w < COUNT_OF(words); w++) {
        if (slice_equal(tree_text(node), slice_str(words[w]))) {
            *(unsigned *)to |= 1u << w;
            return true;
        }
    }
    return tree_complain(reader->tree, node, "\"%.*s\" is not the name of a figure", SLICE_ARG(tree_text(node)));
}

static bool read_to_verify(struct site_reader *reader, const yaml_node_t *node, void *to)
{
    size_t count;
    return file_read_list(reader, node, read_verify, to, &count);
}

static bool read_guard(struct site_reader *reader, const yaml_node_t *node, void *to)
{
    struct site_guard *guard = to;
    const struct field fields[] = {
        {"share", file_read_percent, &guard->percent, true},
        {"of", file_read_count, &guard->of, true},
        {"suspend", file_read_duration, &guard->suspend, true},
    };
    unsigned given = 0;
    guard->at = site_place_at(reader, node);
    return file_read_fields(reader, node, fields, COUNT_OF(fields), &given) &&
           (guard->of <= 1000 || tree_complain(reader->tree, node, "of is 1000 at most"));
}

/* ── the file ── */

/* Figures know the line that they are written on. */
struct figure {
    enum site_limit limit;
    bool (*read)(struct site_reader *reader, const yaml_node_t *node, void *to);
    void *to;
};

static bool read_figure(struct site_reader *reader, const yaml_node_t *node, void *to)
{
    const struct figure *figure = to;
    reader->entry->rule.at[figure->limit] = site_place_at(reader, node);
    reader->entry->given |= 1u << figure->limit;
    return figure->read(reader, node, figure->to);
}

static bool read_rule(struct site_reader *reader, const yaml_node_t *root)
{
    struct site_entry *entry = reader->entry;
    struct site_rule *rule = &entry->rule;
    struct figure figures[SITE_LIMIT_COUNT] = {
        [SITE_LIMIT_CONNECTIONS] = {SITE_LIMIT_CONNECTIONS, file_read_count, &rule->connections},
        [SITE_LIMIT_MESSAGES] = {SITE_LIMIT_MESSAGES, file_read_count, &rule->messages_per_connection},
        [SITE_LIMIT_RATE] = {SITE_LIMIT_RATE, file_read_rate, &rule->rate},
        [SITE_LIMIT_OPENING] = {SITE_LIMIT_OPENING, file_read_rate, &rule->opening},
        [SITE_LIMIT_DAILY] = {SITE_LIMIT_DAILY, file_read_count_or_none, &rule->daily},
        [SITE_LIMIT_TLS] = {SITE_LIMIT_TLS, read_tls, &rule->tls},
        [SITE_LIMIT_RECIPIENTS] = {SITE_LIMIT_RECIPIENTS, file_read_count, &rule->recipients_per_transaction},
        [SITE_LIMIT_TOTAL_CONNECTIONS] = {SITE_LIMIT_TOTAL_CONNECTIONS, file_read_count_or_none,
                                          &rule->total_connections},
        [SITE_LIMIT_TOTAL_RATE] = {SITE_LIMIT_TOTAL_RATE, file_read_rate, &rule->total_rate},
    };
    const struct field fields[] = {
        {"name", file_read_text, &rule->name, true},
        {"label", file_read_text, &rule->label, true},
        {"hosts", read_hosts, entry},
        {"connections", read_figure, &figures[SITE_LIMIT_CONNECTIONS]},
        {"messages_per_connection", read_figure, &figures[SITE_LIMIT_MESSAGES]},
        {"rate", read_figure, &figures[SITE_LIMIT_RATE]},
        {"new_connections", read_figure, &figures[SITE_LIMIT_OPENING]},
        {"daily", read_figure, &figures[SITE_LIMIT_DAILY]},
        {"tls", read_figure, &figures[SITE_LIMIT_TLS]},
        {"recipients_per_transaction", read_figure, &figures[SITE_LIMIT_RECIPIENTS]},
        {"total_connections", read_figure, &figures[SITE_LIMIT_TOTAL_CONNECTIONS]},
        {"total_rate", read_figure, &figures[SITE_LIMIT_TOTAL_RATE]},
        {"verify", read_to_verify, &rule->to_verify},
        {"unknown_users", read_guard, &rule->guard},
        {"reactions", file_read_reactions, entry},
    };
    unsigned given = 0;
    entry->rule.place = site_place_at(reader, root);
    if (!file_read_fields(reader, root, fields, COUNT_OF(fields), &given))
        return false;
    bool is_general = slice_equal(rule->name, SLICE("default")) || slice_equal(rule->name, SLICE("loopback"));
    if (is_general != (entry->host_count == 0))
        return tree_complain(reader->tree, root,
                             is_general ? "the default has no hosts" : "hosts are missing: it could never match");
    if (is_general && !rule->recipients_per_transaction)
        rule->recipients_per_transaction = SITE_RECIPIENTS;
    if (rule->to_verify & ~entry->given)
        return tree_complain(reader->tree, root, "verify names a figure that this file does not give");
    return true;
}

static bool take(struct site_reader *reader, bool replaces)
{
    struct sites *sites = reader->sites;
    for (size_t i = 0; i < sites->count; i++) {
        if (!slice_equal(sites->entries[i]->rule.name, reader->entry->rule.name))
            continue;
        if (!replaces)
            return tree_complain(reader->tree, NULL, "the name \"%.*s\" is there already (%s)",
                                 SLICE_ARG(reader->entry->rule.name), sites->entries[i]->rule.place.file);
        sites->entries[i] = reader->entry;
        return true;
    }
    if (sites->count == SITES_MOST)
        return tree_complain(reader->tree, NULL, "more than %d site rules", SITES_MOST);
    sites->entries[sites->count++] = reader->entry;
    return true;
}

bool sites_read(struct sites *sites, const char *path, struct slice yaml, bool replaces, struct fault *why)
{
    SCOPED(tree) tree = {0};
    struct site_reader reader = {.sites = sites, .tree = &tree};
    reader.entry = ARENA_NEW(&sites->arena, struct site_entry);
    return tree_read(&tree, path, yaml, why) && read_rule(&reader, tree_root(&tree)) && take(&reader, replaces);
}
