/* robots_file.c - one file of data/robots: YAML (libyaml's document tree, which knows the lines) -> rows
 *
 * Everything is checked here: whatever could never fit is an error with its line. */
#include "api/robots_inside.h"

#include "base/tree.h"

enum { TEXT_MOST = 1000, NETWORK_TEXT_MOST = 64 };

struct reader {
    struct robots *robots;
    struct robot_file *file;
    struct tree *tree;
};

/* ── maps of words ── */

static bool read_text(struct reader *reader, const yaml_node_t *map, const struct tree_field *field, struct slice *text)
{
    if (!field->value)
        return tree_complain(reader->tree, map, "\"%s\" is missing", field->name);
    *text = tree_text(field->value);
    if (!text->len || text->len > TEXT_MOST)
        return tree_complain(reader->tree, field->value, "\"%s\": words are wanted, at most %d octets", field->name,
                             TEXT_MOST);
    *text = arena_copy(&reader->robots->arena, *text);
    return true;
}

static bool read_who(struct reader *reader, const yaml_node_t *map, const struct tree_field *field,
                     enum event_origin *who)
{
    struct slice text;
    if (!read_text(reader, map, field, &text))
        return false;
    *who = slice_equal(text, SLICE("robot"))    ? EVENT_ORIGIN_ROBOT
           : slice_equal(text, SLICE("proxy"))  ? EVENT_ORIGIN_PROXY
           : slice_equal(text, SLICE("person")) ? EVENT_ORIGIN_PERSON
                                                : EVENT_ORIGIN_NONE;
    return *who != EVENT_ORIGIN_NONE ||
           tree_complain(reader->tree, field->value, "who is robot, proxy or person, not \"%.*s\"", SLICE_ARG(text));
}

/* Calls `each` for every item of a list that may be absent; room for all of them is `*to`. */
static bool read_list(struct reader *reader, const struct tree_field *field, size_t size, void **to, size_t *count,
                      bool (*each)(struct reader *reader, const yaml_node_t *item, void *to))
{
    const yaml_node_t *node = field->value;
    if (!node)
        return true;
    if (!tree_is_list(node))
        return tree_complain(reader->tree, node, "\"%s\": a list is wanted", field->name);
    size_t most = tree_count(node);
    *to = arena_zero(&reader->robots->arena, (most + 1) * size);
    for (size_t i = 0; i < most; i++)
        if (!each(reader, tree_item(reader->tree, node, i), (char *)*to + i * size))
            return false;
    *count = most;
    return true;
}

/* ── rows ── */

static bool read_agent(struct reader *reader, const yaml_node_t *item, void *to)
{
    struct robot_agent *agent = to;
    struct tree_field fields[] = {{"part"}, {"is"}, {"who"}, {"about"}};
    struct slice about;
    if (!tree_fields(reader->tree, item, fields, COUNT_OF(fields)))
        return false;
    agent->is_whole = fields[1].value != NULL;
    agent->line = tree_line(item);
    if (agent->is_whole && fields[0].value)
        return tree_complain(reader->tree, item, "an agent's row has `part` or `is`, not both");
    if (!read_text(reader, item, &fields[agent->is_whole], &agent->text) ||
        !read_who(reader, item, &fields[2], &agent->who) ||
        (fields[3].value && !read_text(reader, item, &fields[3], &about)))
        return false;
    if (agent->text.len < 3 || agent->text.len > ROBOT_PART_MOST)
        return tree_complain(reader->tree, item, "an agent's row has 3 to %d octets", ROBOT_PART_MOST);
    char *lower = arena_str(&reader->robots->arena, agent->text);
    for (size_t i = 0; i < agent->text.len; i++) {
        if ((unsigned char)lower[i] < ' ')
            return tree_complain(reader->tree, item, "no User-Agent has such a character");
        lower[i] = ascii_lower(lower[i]);
    }
    agent->text.ptr = lower;
    return true;
}

static bool read_network(struct reader *reader, const yaml_node_t *item, void *to)
{
    struct robot_network *network = to;
    struct tree_field fields[] = {{"network"}, {"who"}, {"about"}};
    struct slice text, about, address;
    uint64_t bits;
    if (!tree_fields(reader->tree, item, fields, COUNT_OF(fields)) || !read_text(reader, item, &fields[0], &text) ||
        !read_who(reader, item, &fields[1], &network->who) ||
        (fields[2].value && !read_text(reader, item, &fields[2], &about)))
        return false;
    struct slice rest = text;
    if (!slice_split(&rest, '/', &address) || !rest.ptr || !ip_parse(address, &network->prefix) ||
        !slice_to_u64(rest, &bits) || bits > (network->prefix.family == 4 ? 32 : 128))
        return tree_complain(reader->tree, fields[0].value, "\"%.*s\" is not a network (192.0.2.0/24, 2001:db8::/32)",
                             SLICE_ARG(slice_head(text, NETWORK_TEXT_MOST)));
    if (bits < (network->prefix.family == 4 ? 8 : 16))
        return tree_complain(reader->tree, fields[0].value, "\"%.*s\" is too large to be one owner's",
                             SLICE_ARG(slice_head(text, NETWORK_TEXT_MOST)));
    network->bits = (unsigned)bits;
    return true;
}

static bool read_example(struct reader *reader, const yaml_node_t *item, void *to)
{
    struct robot_example *example = to;
    struct tree_field fields[] = {{"agent"}, {"ip"}, {"who"}};
    struct slice ip;
    example->line = tree_line(item);
    if (!tree_fields(reader->tree, item, fields, COUNT_OF(fields)) ||
        !read_text(reader, item, &fields[0], &example->agent) || !read_who(reader, item, &fields[2], &example->who) ||
        (fields[1].value && !read_text(reader, item, &fields[1], &ip)))
        return false;
    return !fields[1].value || ip_parse(ip, &example->ip) ||
           tree_complain(reader->tree, fields[1].value, "\"%.*s\" is not an IP address",
                         SLICE_ARG(slice_head(ip, NETWORK_TEXT_MOST)));
}

/* ── the file ── */

static bool read_root(struct reader *reader, const yaml_node_t *root)
{
    struct robot_file *file = reader->file;
    struct tree_field fields[] = {{"name"}, {"about"}, {"agents"}, {"networks"}, {"examples"}};
    struct slice about;
    if (!tree_fields(reader->tree, root, fields, COUNT_OF(fields)) ||
        !read_text(reader, root, &fields[0], &file->name) ||
        (fields[1].value && !read_text(reader, root, &fields[1], &about)) ||
        !read_list(reader, &fields[2], sizeof(*file->agents), (void **)&file->agents, &file->agent_count, read_agent) ||
        !read_list(reader, &fields[3], sizeof(*file->networks), (void **)&file->networks, &file->network_count,
                   read_network) ||
        !read_list(reader, &fields[4], sizeof(*file->examples), (void **)&file->examples, &file->example_count,
                   read_example))
        return false;
    if (file->agent_count && !file->example_count)
        return tree_complain(reader->tree, root, "agents without `examples`: at least one shows what is meant");
    return true;
}

static bool take(struct reader *reader, const struct robot_file *file, bool replaces)
{
    struct robots *robots = reader->robots;
    for (size_t i = 0; i < robots->file_count; i++) {
        if (!slice_equal(robots->files[i].name, file->name))
            continue;
        if (!replaces)
            return tree_complain(reader->tree, NULL, "\"%.*s\" is the name of %s already", SLICE_ARG(file->name),
                                 robots->files[i].path);
        robots->file_count--; /* ours makes room; the operator's rows come last */
        memmove(&robots->files[i], &robots->files[i + 1], (robots->file_count - i) * sizeof(*file));
        break;
    }
    if (robots->file_count == ROBOT_FILES_MOST)
        return tree_complain(reader->tree, NULL, "more than %d files", ROBOT_FILES_MOST);
    robots->files[robots->file_count++] = *file;
    return true;
}

bool robots_read(struct robots *robots, const char *path, struct slice yaml, bool replaces, struct fault *why)
{
    SCOPED(tree) tree = {0};
    struct robot_file file = {.path = path};
    struct reader reader = {robots, &file, &tree};
    return tree_read(&tree, path, yaml, why) && read_root(&reader, tree_root(&tree)) && take(&reader, &file, replaces);
}
