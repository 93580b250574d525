/* site_file_values.c - the maps, lists and values that files of data/sites are made of */
#include "shape/site_file_inside.h"

#include <assert.h>

enum { FIELDS_MOST = 32 /* bits of *given */ };

struct site_place site_place_at(const struct site_reader *reader, const yaml_node_t *node)
{
    return (struct site_place){reader->tree->path, tree_line(node)};
}

bool file_read_fields(struct site_reader *reader, const yaml_node_t *map, const struct field *fields, size_t count,
                      unsigned *given)
{
    struct tree_field there[FIELDS_MOST] = {0};
    assert(count <= FIELDS_MOST);
    for (size_t i = 0; i < count; i++)
        there[i] = (struct tree_field){fields[i].name, fields[i].is_wanted, NULL};
    if (!tree_fields(reader->tree, map, there, count))
        return false;
    *given = 0;
    for (size_t i = 0; i < count; i++) {
        if (!there[i].value)
            continue;
        if (!fields[i].read(reader, there[i].value, fields[i].to))
            return false;
        *given |= 1u << i;
    }
    return true;
}

bool file_read_list(struct site_reader *reader, const yaml_node_t *node,
                    bool (*each)(struct site_reader *reader, const yaml_node_t *item, size_t i, void *to), void *to,
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

void *file_list_room(struct site_reader *reader, const yaml_node_t *node, size_t size)
{
    return arena_zero(&reader->sites->arena, (tree_count(node) + 1) * size);
}

/* ── values ── */

bool file_read_text(struct site_reader *reader, const yaml_node_t *node, void *to)
{
    struct slice text = tree_text(node);
    if (text.len == 0)
        return tree_complain(reader->tree, node, "words are wanted here");
    *(struct slice *)to = arena_copy(&reader->sites->arena, text);
    return true;
}

bool file_read_count(struct site_reader *reader, const yaml_node_t *node, void *to)
{
    uint64_t number;
    if (!slice_to_u64(tree_text(node), &number) || number == 0 || number > 1000000000)
        return tree_complain(reader->tree, node, "\"%.*s\" is not a number from 1 on", SLICE_ARG(tree_text(node)));
    *(unsigned *)to = (unsigned)number;
    return true;
}

bool file_read_count_or_none(struct site_reader *reader, const yaml_node_t *node, void *to)
{
    *(unsigned *)to = 0;
    return slice_equal(tree_text(node), SLICE("none")) || file_read_count(reader, node, to);
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

bool file_read_duration(struct site_reader *reader, const yaml_node_t *node, void *to)
{
    return duration_of(tree_text(node), to) ||
           tree_complain(reader->tree, node, "\"%.*s\" is not a time (90s, 30m, 2h, 1d)", SLICE_ARG(tree_text(node)));
}

/* "100/s", "10/min", "5/h", "none". */
bool file_read_rate(struct site_reader *reader, const yaml_node_t *node, void *to)
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

bool file_read_percent(struct site_reader *reader, const yaml_node_t *node, void *to)
{
    struct slice text = tree_text(node);
    uint64_t number;
    if (!slice_ends(text, SLICE("%")) || !slice_to_u64(slice_head(text, text.len - 1), &number) || number < 1 ||
        number > 100)
        return tree_complain(reader->tree, node, "\"%.*s\" is not a share (30%%)", SLICE_ARG(text));
    *(unsigned *)to = (unsigned)number;
    return true;
}
