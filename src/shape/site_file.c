/* site_file.c - one file of data/sites: YAML (libyaml's document tree, which knows the lines) -> an entry of the set
 *
 * Everything is checked here: whatever could never match, or never do anything, is an error with its line. */
#include "shape/site_inside.h"

#include "base/tree.h"

enum { TEXT_MOST = 200, HOST_MOST = 253, JOINED_MOST = 4096 };

struct reader {
    struct sites *sites;
    struct site_entry *entry;
    struct tree *tree;
};

/* ── YAML ── */

static struct site_place place(const struct reader *reader, const yaml_node_t *node)
{
    return (struct site_place){reader->tree->path, tree_line(node)};
}

/* Each "key: value" of a map goes to the row of that name; twice or unknown is an error. */
struct field {
    const char *name;
    bool (*read)(struct reader *reader, const yaml_node_t *node, void *to);
    void *to;
    bool is_wanted;
};

static bool read_fields(struct reader *reader, const yaml_node_t *map, const struct field *fields, size_t count,
                        unsigned *given)
{
    const yaml_node_t *key, *value;
    if (!tree_is_map(map))
        return tree_complain(reader->tree, map, "\"key: value\" lines are wanted here");
    *given = 0;
    for (size_t at = 0; tree_pair(reader->tree, map, at, &key, &value); at++) {
        size_t i = 0;
        while (i < count && !slice_equal(tree_text(key), slice_str(fields[i].name)))
            i++;
        if (i == count)
            return tree_complain(reader->tree, key, "unknown key \"%.*s\"", SLICE_ARG(tree_text(key)));
        if (*given >> i & 1)
            return tree_complain(reader->tree, key, "\"%s\" is written twice", fields[i].name);
        if (!fields[i].read(reader, value, fields[i].to))
            return false;
        *given |= 1u << i;
    }
    for (size_t i = 0; i < count; i++)
        if (fields[i].is_wanted && !(*given >> i & 1))
            return tree_complain(reader->tree, map, "\"%s\" is missing", fields[i].name);
    return true;
}

/* A list, or the only one of it. Calls `each` for every scalar. */
static bool read_list(struct reader *reader, const yaml_node_t *node,
                      bool (*each)(struct reader *reader, const yaml_node_t *item, size_t i, void *to), void *to,
                      size_t *count)
{
    *count = tree_count(node);
    if (*count == 0)
        return tree_complain(reader->tree, node, "a list is wanted here");
    for (size_t i = 0; i < *count; i++) {
        const yaml_node_t *item = tree_item(reader->tree, node, i);
        if (tree_text(item).len == 0 && tree_is_list(node))
            return tree_complain(reader->tree, item, "words are wanted here");
        if (!each(reader, item, i, to))
            return false;
    }
    return true;
}

static void *list_room(struct reader *reader, const yaml_node_t *node, size_t size)
{
    return arena_zero(&reader->sites->arena, (tree_count(node) + 1) * size);
}

/* ── values ── */

static bool read_text(struct reader *reader, const yaml_node_t *node, void *to)
{
    struct slice text = tree_text(node);
    if (text.len == 0)
        return tree_complain(reader->tree, node, "words are wanted here");
    *(struct slice *)to = arena_copy(&reader->sites->arena, text);
    return true;
}

static bool read_count(struct reader *reader, const yaml_node_t *node, void *to)
{
    uint64_t number;
    if (!slice_to_u64(tree_text(node), &number) || number == 0 || number > 1000000000)
        return tree_complain(reader->tree, node, "\"%.*s\" is not a number from 1 on", SLICE_ARG(tree_text(node)));
    *(unsigned *)to = (unsigned)number;
    return true;
}

static bool read_count_or_none(struct reader *reader, const yaml_node_t *node, void *to)
{
    *(unsigned *)to = 0;
    return slice_equal(tree_text(node), SLICE("none")) || read_count(reader, node, to);
}

static bool duration_of(struct slice text, time_ms *duration)
{
    static const struct {
        char letter;
        time_ms ms;
    } units[] = {{'s', 1000}, {'m', 60000}, {'h', 3600000}, {'d', 86400000}};
    uint64_t number;
    if (text.len < 2 || !slice_to_u64(slice_head(text, text.len - 1), &number) || number == 0 || number > 100000)
        return false;
    for (size_t i = 0; i < COUNT_OF(units); i++) {
        if (text.ptr[text.len - 1] == units[i].letter) {
            *duration = (time_ms)number * units[i].ms;
            return true;
        }
    }
    return false;
}

static bool read_duration(struct reader *reader, const yaml_node_t *node, void *to)
{
    return duration_of(tree_text(node), to) ||
           tree_complain(reader->tree, node, "\"%.*s\" is not a time (90s, 30m, 2h, 1d)", SLICE_ARG(tree_text(node)));
}

/* "100/s", "10/min", "5/h", "none". */
static bool read_rate(struct reader *reader, const yaml_node_t *node, void *to)
{
    struct site_rate *rate = to;
    struct slice text = tree_text(node);
    *rate = (struct site_rate){0};
    if (slice_equal(text, SLICE("none")))
        return true;
    ptrdiff_t slash = slice_find_byte(text, '/');
    struct slice unit = slash < 0 ? text : slice_from(text, (size_t)slash + 1);
    uint64_t number = 0;
    if (slash < 0 || !slice_to_u64(slice_head(text, (size_t)slash), &number) || number == 0 || number > 100000)
        return tree_complain(reader->tree, node, "\"%.*s\" is not a rate (100/s, 10/min, 5/h, none)", SLICE_ARG(text));
    rate->count = (unsigned)number;
    rate->per = slice_equal(unit, SLICE("s"))     ? 1000
                : slice_equal(unit, SLICE("min")) ? 60000
                : slice_equal(unit, SLICE("h"))   ? 3600000
                                                  : 0;
    return rate->per != 0 || tree_complain(reader->tree, node, "\"%.*s\": a rate is for s, min or h", SLICE_ARG(text));
}

static bool read_tls(struct reader *reader, const yaml_node_t *node, void *to)
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
static bool read_host(struct reader *reader, const yaml_node_t *node, size_t i, void *to)
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
    *host = (struct site_host){slice_of(lower, text.len), place(reader, node)};
    return true;
}

static bool read_hosts(struct reader *reader, const yaml_node_t *node, void *to)
{
    struct site_entry *entry = to;
    entry->hosts = list_room(reader, node, sizeof(*entry->hosts));
    return read_list(reader, node, read_host, entry->hosts, &entry->host_count);
}

static bool read_verify(struct reader *reader, const yaml_node_t *node, size_t i, void *to)
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

static bool read_to_verify(struct reader *reader, const yaml_node_t *node, void *to)
{
    size_t count;
    return read_list(reader, node, read_verify, to, &count);
}

/* ── what a reaction looks for ── */

static bool read_looked_for(struct reader *reader, const yaml_node_t *node, size_t i, void *to)
{
    struct slice text = tree_text(node), rest;
    uint16_t status[3];
    int code = text.len >= 4 && (text.ptr[3] == ' ' || text.ptr[3] == '-') && ascii_is_digit(text.ptr[0]) &&
                       ascii_is_digit(text.ptr[1]) && ascii_is_digit(text.ptr[2])
                   ? text.ptr[0]
                   : 0;
    if (text.len < 3 || text.len > TEXT_MOST)
        return tree_complain(reader->tree, node, "a text has 3 to %d characters", TEXT_MOST);
    if ((code >= '2' && code <= '5') || reply_status_parse(text, status, &rest))
        return tree_complain(
            reader->tree, node,
            "\"%.*s\": code and status are not part of the text, so it would never be found; they have "
            "keys of their own",
            SLICE_ARG(text));
    for (size_t c = 0; c < text.len; c++) {
        bool is_edge = c == 0 || c + 1 == text.len;
        if ((unsigned char)text.ptr[c] < ' ' || (text.ptr[c] == ' ' && (is_edge || text.ptr[c + 1] == ' ')))
            return tree_complain(reader->tree, node, "\"%.*s\": a space too many: it would never be found",
                                 SLICE_ARG(text));
    }
    ((struct slice *)to)[i] = arena_copy(&reader->sites->arena, text);
    return true;
}

static bool read_texts(struct reader *reader, const yaml_node_t *node, void *to)
{
    struct site_reaction *reaction = to;
    reaction->texts = list_room(reader, node, sizeof(*reaction->texts));
    return read_list(reader, node, read_looked_for, reaction->texts, &reaction->text_count);
}

static bool read_code(struct reader *reader, const yaml_node_t *node, size_t i, void *to)
{
    struct slice text = tree_text(node);
    struct site_code *code = &((struct site_code *)to)[i];
    if (slice_equal(text, SLICE("4xx")) || slice_equal(text, SLICE("5xx"))) {
        code->low = text.ptr[0] == '4' ? 400 : 500;
        code->high = (uint16_t)(code->low + 99);
        return true;
    }
    uint64_t number;
    if (!slice_to_u64(text, &number) || number < 400 || number > 599)
        return tree_complain(reader->tree, node, "\"%.*s\" is not the code of a refusal (4xx, 5xx, 421 ...)",
                             SLICE_ARG(text));
    code->low = code->high = (uint16_t)number;
    return true;
}

static bool read_codes(struct reader *reader, const yaml_node_t *node, void *to)
{
    struct site_reaction *reaction = to;
    reaction->codes = list_room(reader, node, sizeof(*reaction->codes));
    return read_list(reader, node, read_code, reaction->codes, &reaction->code_count);
}

static bool read_status(struct reader *reader, const yaml_node_t *node, size_t i, void *to)
{
    uint16_t *status = ((uint16_t(*)[3])to)[i];
    struct slice rest = tree_text(node), part;
    size_t parts = 0;
    bool ok = true;
    for (; slice_split(&rest, '.', &part); parts++) {
        uint64_t number = SITE_ANY;
        ok = ok && parts < 3 && part.len <= 3 &&
             (slice_equal(part, SLICE("x")) || (slice_to_u64(part, &number) && number < 1000));
        if (ok)
            status[parts] = (uint16_t)number;
    }
    if (!ok || parts != 3 || (status[0] != 4 && status[0] != 5 && status[0] != SITE_ANY))
        return tree_complain(reader->tree, node, "\"%.*s\" is not the status of a refusal (4.7.0, x.7.x ...)",
                             SLICE_ARG(tree_text(node)));
    return true;
}

static bool read_statuses(struct reader *reader, const yaml_node_t *node, void *to)
{
    struct site_reaction *reaction = to;
    reaction->statuses = list_room(reader, node, sizeof(*reaction->statuses));
    return read_list(reader, node, read_status, reaction->statuses, &reaction->status_count);
}

static bool read_stage(struct reader *reader, const yaml_node_t *node, size_t i, void *to)
{
    enum stage stage;
    if (!stage_of(tree_text(node), &stage) || stage < STAGE_CONNECT || stage > STAGE_DOT)
        return tree_complain(reader->tree, node, "there is no stage \"%.*s\" (connect, ehlo, mail, rcpt, data, dot)",
                             SLICE_ARG(tree_text(node)));
    *(unsigned *)to |= 1u << stage;
    return true;
}

static bool read_stages(struct reader *reader, const yaml_node_t *node, void *to)
{
    size_t count;
    return read_list(reader, node, read_stage, to, &count);
}

static bool read_name_of_reaction(struct reader *reader, const yaml_node_t *node, void *to)
{
    const struct site_entry *entry = reader->entry;
    for (size_t i = 0; i < entry->own_count; i++)
        if (slice_equal(entry->own[i].id, tree_text(node)))
            return tree_complain(reader->tree, node, "the id \"%.*s\" is there already", SLICE_ARG(tree_text(node)));
    return read_text(reader, node, to);
}

/* ── proving a reaction by its lines ── */

struct lines {
    const struct site_reaction *reaction;
    const yaml_node_t *examples, *nots;
    unsigned shown; /* bits of texts that an example has shown */
};

static bool keep_node(struct reader *reader, const yaml_node_t *node, void *to)
{
    *(const yaml_node_t **)to = node;
    return true;
}

static enum stage first_stage(const struct site_reaction *reaction)
{
    for (int stage = 0; stage < STAGE_COUNT; stage++)
        if (reaction->stages >> stage & 1)
            return (enum stage)stage;
    return STAGE_UNKNOWN;
}

static bool line_matches(const struct site_reaction *reaction, struct slice line, struct reply *reply,
                         struct buf *joined)
{
    reply_parse(line, joined, reply);
    return site_reaction_matches(reaction, reply, first_stage(reaction));
}

static bool prove_example(struct reader *reader, const yaml_node_t *node, size_t i, void *to)
{
    struct lines *lines = to;
    SCOPED(buf) joined = BUF(JOINED_MOST);
    struct reply reply;
    if (!line_matches(lines->reaction, tree_text(node), &reply, &joined))
        return tree_complain(reader->tree, node, "\"%.*s\" does not match its own example \"%.*s\"",
                             SLICE_ARG(lines->reaction->id), SLICE_ARG(tree_text(node)));
    for (size_t t = 0; t < lines->reaction->text_count && t < 32; t++)
        if (slice_find_caseless(reply.text, lines->reaction->texts[t]) != SLICE_NPOS)
            lines->shown |= 1u << t;
    return true;
}

static bool prove_not(struct reader *reader, const yaml_node_t *node, size_t i, void *to)
{
    struct lines *lines = to;
    SCOPED(buf) joined = BUF(JOINED_MOST);
    struct reply reply;
    return !line_matches(lines->reaction, tree_text(node), &reply, &joined) ||
           tree_complain(reader->tree, node, "\"%.*s\" matches a line that it must not: \"%.*s\"",
                         SLICE_ARG(lines->reaction->id), SLICE_ARG(tree_text(node)));
}

static bool prove(struct reader *reader, const yaml_node_t *node, struct lines *lines)
{
    const struct site_reaction *reaction = lines->reaction;
    size_t count;
    if (!read_list(reader, lines->examples, prove_example, lines, &count) ||
        (lines->nots && !read_list(reader, lines->nots, prove_not, lines, &count)))
        return false;
    for (size_t t = 0; t < reaction->text_count && t < 32; t++)
        if (!(lines->shown >> t & 1))
            return tree_complain(reader->tree, node, "no example shows the text \"%.*s\"",
                                 SLICE_ARG(reaction->texts[t]));
    return true;
}

/* Could any reply have such a code and such a status? RFC 2034: the status begins with the code's first digit. */
static bool is_possible(const struct site_reaction *reaction)
{
    if (!reaction->code_count || !reaction->status_count)
        return true;
    for (size_t c = 0; c < reaction->code_count; c++)
        for (size_t s = 0; s < reaction->status_count; s++)
            if (reaction->statuses[s][0] == SITE_ANY || reaction->statuses[s][0] == reaction->codes[c].low / 100)
                return true;
    return false;
}

static bool read_reaction(struct reader *reader, const yaml_node_t *node)
{
    struct site_entry *entry = reader->entry;
    struct site_reaction *reaction = &entry->own[entry->own_count];
    struct lines lines = {.reaction = reaction};
    time_ms suspend = 0;
    *reaction = (struct site_reaction){.count = 1, .at = place(reader, node)};
    enum { ID, TEXT, CODE, STATUS, STAGE, COUNT, WITHIN, SUSPEND, RATE, CONNECTIONS, FOR };
    const struct field fields[] = {
        [ID] = {"id", read_name_of_reaction, &reaction->id, true},
        [TEXT] = {"text", read_texts, reaction},
        [CODE] = {"code", read_codes, reaction},
        [STATUS] = {"status", read_statuses, reaction},
        [STAGE] = {"stage", read_stages, &reaction->stages},
        [COUNT] = {"count", read_count, &reaction->count},
        [WITHIN] = {"within", read_duration, &reaction->within},
        [SUSPEND] = {"suspend", read_duration, &suspend},
        [RATE] = {"rate", read_rate, &reaction->rate},
        [CONNECTIONS] = {"connections", read_count, &reaction->connections},
        [FOR] = {"for", read_duration, &reaction->duration},
        {"examples", keep_node, &lines.examples, true},
        {"not", keep_node, &lines.nots},
    };
    unsigned given = 0;
    if (!read_fields(reader, node, fields, COUNT_OF(fields), &given))
        return false;
    const unsigned looks = 1u << TEXT | 1u << CODE | 1u << STATUS, slows = 1u << RATE | 1u << CONNECTIONS;
    if (!(given & looks))
        return tree_complain(reader->tree, node, "a reaction looks for a text, a code or a status");
    if (!is_possible(reaction))
        return tree_complain(reader->tree, node, "no reply has such a code with such a status: it could never match");
    if (reaction->count > SITE_REACTION_COUNT_MOST)
        return tree_complain(reader->tree, node, "count is %d at most", SITE_REACTION_COUNT_MOST);
    if ((reaction->count > 1) != (given >> WITHIN & 1))
        return tree_complain(reader->tree, node, "count and within belong together: so many within so long");
    if (!(given & (slows | 1u << SUSPEND)))
        return tree_complain(reader->tree, node, "a reaction says suspend, rate or connections");
    if (((given & slows) != 0) != (given >> FOR & 1))
        return tree_complain(reader->tree, node, "rate and connections are \"for\" a time; suspend says its own");
    if ((given & slows) && (given >> SUSPEND & 1))
        return tree_complain(reader->tree, node, "suspend, or rate and connections: not both");
    if (given >> RATE & 1 && reaction->rate.count == 0)
        return tree_complain(reader->tree, node, "rate: none slows nobody");
    reaction->suspends = suspend != 0;
    if (suspend)
        reaction->duration = suspend;
    entry->own_count++;
    return prove(reader, node, &lines);
}

static bool read_reactions(struct reader *reader, const yaml_node_t *node, void *to)
{
    struct site_entry *entry = to;
    if (!tree_is_list(node))
        return tree_complain(reader->tree, node, "a list of reactions is wanted here");
    entry->own = list_room(reader, node, sizeof(*entry->own));
    for (size_t i = 0; i < tree_count(node); i++)
        if (!read_reaction(reader, tree_item(reader->tree, node, i)))
            return false;
    return true;
}

static bool read_percent(struct reader *reader, const yaml_node_t *node, void *to)
{
    struct slice text = tree_text(node);
    uint64_t number;
    if (!slice_ends(text, SLICE("%")) || !slice_to_u64(slice_head(text, text.len - 1), &number) || number < 1 ||
        number > 100)
        return tree_complain(reader->tree, node, "\"%.*s\" is not a share (30%%)", SLICE_ARG(text));
    *(unsigned *)to = (unsigned)number;
    return true;
}

static bool read_guard(struct reader *reader, const yaml_node_t *node, void *to)
{
    struct site_guard *guard = to;
    const struct field fields[] = {
        {"share", read_percent, &guard->percent, true},
        {"of", read_count, &guard->of, true},
        {"suspend", read_duration, &guard->suspend, true},
    };
    unsigned given = 0;
    guard->at = place(reader, node);
    return read_fields(reader, node, fields, COUNT_OF(fields), &given) &&
           (guard->of <= 1000 || tree_complain(reader->tree, node, "of is 1000 at most"));
}

/* ── the file ── */

/* Figures know the line that they are written on. */
struct figure {
    enum site_limit limit;
    bool (*read)(struct reader *reader, const yaml_node_t *node, void *to);
    void *to;
};

static bool read_figure(struct reader *reader, const yaml_node_t *node, void *to)
{
    const struct figure *figure = to;
    reader->entry->rule.at[figure->limit] = place(reader, node);
    reader->entry->given |= 1u << figure->limit;
    return figure->read(reader, node, figure->to);
}

static bool read_rule(struct reader *reader, const yaml_node_t *root)
{
    struct site_entry *entry = reader->entry;
    struct site_rule *rule = &entry->rule;
    struct figure figures[SITE_LIMIT_COUNT] = {
        [SITE_LIMIT_CONNECTIONS] = {SITE_LIMIT_CONNECTIONS, read_count, &rule->connections},
        [SITE_LIMIT_MESSAGES] = {SITE_LIMIT_MESSAGES, read_count, &rule->messages_per_connection},
        [SITE_LIMIT_RATE] = {SITE_LIMIT_RATE, read_rate, &rule->rate},
        [SITE_LIMIT_OPENING] = {SITE_LIMIT_OPENING, read_rate, &rule->opening},
        [SITE_LIMIT_DAILY] = {SITE_LIMIT_DAILY, read_count_or_none, &rule->daily},
        [SITE_LIMIT_TLS] = {SITE_LIMIT_TLS, read_tls, &rule->tls},
        [SITE_LIMIT_TOTAL_CONNECTIONS] = {SITE_LIMIT_TOTAL_CONNECTIONS, read_count_or_none, &rule->total_connections},
        [SITE_LIMIT_TOTAL_RATE] = {SITE_LIMIT_TOTAL_RATE, read_rate, &rule->total_rate},
    };
    const struct field fields[] = {
        {"name", read_text, &rule->name, true},
        {"label", read_text, &rule->label, true},
        {"hosts", read_hosts, entry},
        {"connections", read_figure, &figures[SITE_LIMIT_CONNECTIONS]},
        {"messages_per_connection", read_figure, &figures[SITE_LIMIT_MESSAGES]},
        {"rate", read_figure, &figures[SITE_LIMIT_RATE]},
        {"new_connections", read_figure, &figures[SITE_LIMIT_OPENING]},
        {"daily", read_figure, &figures[SITE_LIMIT_DAILY]},
        {"tls", read_figure, &figures[SITE_LIMIT_TLS]},
        {"total_connections", read_figure, &figures[SITE_LIMIT_TOTAL_CONNECTIONS]},
        {"total_rate", read_figure, &figures[SITE_LIMIT_TOTAL_RATE]},
        {"verify", read_to_verify, &rule->to_verify},
        {"unknown_users", read_guard, &rule->guard},
        {"reactions", read_reactions, entry},
    };
    unsigned given = 0;
    entry->at = place(reader, root);
    if (!read_fields(reader, root, fields, COUNT_OF(fields), &given))
        return false;
    bool is_general = slice_equal(rule->name, SLICE("default")) || slice_equal(rule->name, SLICE("loopback"));
    if (is_general != (entry->host_count == 0))
        return tree_complain(reader->tree, root,
                             is_general ? "the default has no hosts" : "hosts are missing: it could never match");
    if (rule->to_verify & ~entry->given)
        return tree_complain(reader->tree, root, "verify names a figure that this file does not give");
    return true;
}

static bool take(struct reader *reader, bool replaces)
{
    struct sites *sites = reader->sites;
    for (size_t i = 0; i < sites->count; i++) {
        if (!slice_equal(sites->entries[i]->rule.name, reader->entry->rule.name))
            continue;
        if (!replaces)
            return tree_complain(reader->tree, NULL, "the name \"%.*s\" is there already (%s)",
                                 SLICE_ARG(reader->entry->rule.name), sites->entries[i]->at.file);
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
    struct reader reader = {.sites = sites, .tree = &tree};
    reader.entry = ARENA_NEW(&sites->arena, struct site_entry);
    return tree_read(&tree, path, yaml, why) && read_rule(&reader, tree_root(&tree)) && take(&reader, replaces);
}
