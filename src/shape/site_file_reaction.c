/* site_file_reaction.c - reactions to what a receiver says: what they look for, what they do, and their proof */
#include "shape/site_file_inside.h"

enum { TEXT_MOST = 200, JOINED_MOST = 4096 };

/* ── what a reaction looks for ── */

static bool read_looked_for(struct site_reader *reader, const yaml_node_t *node, size_t i, void *to)
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

static bool read_texts(struct site_reader *reader, const yaml_node_t *node, void *to)
{
    struct site_reaction *reaction = to;
    reaction->texts = file_list_room(reader, node, sizeof(*reaction->texts));
    return file_read_list(reader, node, read_looked_for, reaction->texts, &reaction->text_count);
}

static bool read_code(struct site_reader *reader, const yaml_node_t *node, size_t i, void *to)
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

static bool read_codes(struct site_reader *reader, const yaml_node_t *node, void *to)
{
    struct site_reaction *reaction = to;
    reaction->codes = file_list_room(reader, node, sizeof(*reaction->codes));
    return file_read_list(reader, node, read_code, reaction->codes, &reaction->code_count);
}

static bool read_status(struct site_reader *reader, const yaml_node_t *node, size_t i, void *to)
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

static bool read_statuses(struct site_reader *reader, const yaml_node_t *node, void *to)
{
    struct site_reaction *reaction = to;
    reaction->statuses = file_list_room(reader, node, sizeof(*reaction->statuses));
    return file_read_list(reader, node, read_status, reaction->statuses, &reaction->status_count);
}

static bool read_stage(struct site_reader *reader, const yaml_node_t *node, size_t i, void *to)
{
    enum stage stage;
    if (!stage_of(tree_text(node), &stage) || stage < STAGE_CONNECT || stage > STAGE_DOT)
        return tree_complain(reader->tree, node, "there is no stage \"%.*s\" (connect, ehlo, mail, rcpt, data, dot)",
                             SLICE_ARG(tree_text(node)));
    *(unsigned *)to |= 1u << stage;
    return true;
}

static bool read_stages(struct site_reader *reader, const yaml_node_t *node, void *to)
{
    size_t count;
    return file_read_list(reader, node, read_stage, to, &count);
}

static bool read_name_of_reaction(struct site_reader *reader, const yaml_node_t *node, void *to)
{
    const struct site_entry *entry = reader->entry;
    for (size_t i = 0; i < entry->own_count; i++)
        if (slice_equal(entry->own[i].id, tree_text(node)))
            return tree_complain(reader->tree, node, "the id \"%.*s\" is there already", SLICE_ARG(tree_text(node)));
    return file_read_text(reader, node, to);
}

/* ── proving a reaction by its lines ── */

struct lines {
    const struct site_reaction *reaction;
    const yaml_node_t *examples, *nots;
    unsigned shown; /* bits of texts that an example has shown */
};

static bool keep_node(struct site_reader *reader, const yaml_node_t *node, void *to)
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

static bool prove_example(struct site_reader *reader, const yaml_node_t *node, size_t i, void *to)
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

static bool prove_not(struct site_reader *reader, const yaml_node_t *node, size_t i, void *to)
{
    struct lines *lines = to;
    SCOPED(buf) joined = BUF(JOINED_MOST);
    struct reply reply;
    return !line_matches(lines->reaction, tree_text(node), &reply, &joined) ||
           tree_complain(reader->tree, node, "\"%.*s\" matches a line that it must not: \"%.*s\"",
                         SLICE_ARG(lines->reaction->id), SLICE_ARG(tree_text(node)));
}

static bool prove(struct site_reader *reader, const yaml_node_t *node, struct lines *lines)
{
    const struct site_reaction *reaction = lines->reaction;
    size_t count;
    if (!file_read_list(reader, lines->examples, prove_example, lines, &count) ||
        (lines->nots && !file_read_list(reader, lines->nots, prove_not, lines, &count)))
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

static bool read_reaction(struct site_reader *reader, const yaml_node_t *node)
{
    struct site_entry *entry = reader->entry;
    struct site_reaction *reaction = &entry->own[entry->own_count];
    struct lines lines = {.reaction = reaction};
    time_ms suspend = 0;
    *reaction = (struct site_reaction){.count = 1, .at = site_place_at(reader, node)};
    enum { ID, TEXT, CODE, STATUS, STAGE, COUNT, WITHIN, SUSPEND, RATE, CONNECTIONS, FOR };
    const struct field fields[] = {
        [ID] = {"id", read_name_of_reaction, &reaction->id, true},
        [TEXT] = {"text", read_texts, reaction},
        [CODE] = {"code", read_codes, reaction},
        [STATUS] = {"status", read_statuses, reaction},
        [STAGE] = {"stage", read_stages, &reaction->stages},
        [COUNT] = {"count", file_read_count, &reaction->count},
        [WITHIN] = {"within", file_read_duration, &reaction->within},
        [SUSPEND] = {"suspend", file_read_duration, &suspend},
        [RATE] = {"rate", file_read_rate, &reaction->rate},
        [CONNECTIONS] = {"connections", file_read_count, &reaction->connections},
        [FOR] = {"for", file_read_duration, &reaction->duration},
        {"examples", keep_node, &lines.examples, true},
        {"not", keep_node, &lines.nots},
    };
    unsigned given = 0;
    if (!file_read_fields(reader, node, fields, COUNT_OF(fields), &given))
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

bool file_read_reactions(struct site_reader *reader, const yaml_node_t *node, void *to)
{
    struct site_entry *entry = to;
    if (!tree_is_list(node))
        return tree_complain(reader->tree, node, "a list of reactions is wanted here");
    entry->own = file_list_room(reader, node, sizeof(*entry->own));
    for (size_t i = 0; i < tree_count(node); i++)
        if (!read_reaction(reader, tree_item(reader->tree, node, i)))
            return false;
    return true;
}
