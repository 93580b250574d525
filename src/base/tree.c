#include "base/tree.h"

#include <stdarg.h>
#include <stdio.h>

enum { TEXT_MOST = 360 };

bool tree_read(struct tree *tree, const char *path, struct slice yaml, struct fault *why)
{
    yaml_parser_t parser;
    *tree = (struct tree){.path = path, .why = why};
    if (!yaml_parser_initialize(&parser))
        return fault_set(why, FAULT_WORLD, "%s: out of memory", path);
    yaml_parser_set_input_string(&parser, (const unsigned char *)yaml.ptr, yaml.len);
    bool ok = yaml_parser_load(&parser, &tree->document);
    if (!ok)
        fault_set(why, FAULT_INPUT, "%s line %zu: %s", path, parser.problem_mark.line + 1,
                  parser.problem ? parser.problem : "this is not YAML");
    yaml_parser_delete(&parser);
    return ok;
}

void tree_release(struct tree *tree)
{
    yaml_document_delete(&tree->document);
}

/* As yaml_document_get_node, which wants a document that may be changed; numbers count from 1. */
static const yaml_node_t *node_at(const struct tree *tree, int number)
{
    return tree->document.nodes.start + number - 1;
}

const yaml_node_t *tree_root(const struct tree *tree)
{
    return tree->document.nodes.top == tree->document.nodes.start ? NULL : node_at(tree, 1);
}

bool tree_complain(const struct tree *tree, const yaml_node_t *at, const char *format, ...)
{
    char text[TEXT_MOST];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return fault_set(tree->why, FAULT_INPUT, "%s line %u: %s", tree->path, tree_line(at), text);
}

unsigned tree_line(const yaml_node_t *node)
{
    return node ? (unsigned)node->start_mark.line + 1 : 1;
}

bool tree_is_scalar(const yaml_node_t *node)
{
    return node && node->type == YAML_SCALAR_NODE;
}

struct slice tree_text(const yaml_node_t *node)
{
    return tree_is_scalar(node) ? slice_of(node->data.scalar.value, node->data.scalar.length) : SLICE("");
}

bool tree_is_map(const yaml_node_t *node)
{
    return node && node->type == YAML_MAPPING_NODE;
}

bool tree_is_list(const yaml_node_t *node)
{
    return node && node->type == YAML_SEQUENCE_NODE;
}

bool tree_pair(const struct tree *tree, const yaml_node_t *map, size_t i, const yaml_node_t **key,
               const yaml_node_t **value)
{
    if (!tree_is_map(map) || i >= (size_t)(map->data.mapping.pairs.top - map->data.mapping.pairs.start))
        return false;
    *key = node_at(tree, map->data.mapping.pairs.start[i].key);
    *value = node_at(tree, map->data.mapping.pairs.start[i].value);
    return true;
}

const yaml_node_t *tree_member(const struct tree *tree, const yaml_node_t *map, const char *key)
{
    const yaml_node_t *name, *value;
    for (size_t i = 0; tree_pair(tree, map, i, &name, &value); i++)
        if (slice_equal(tree_text(name), slice_str(key)))
            return value;
    return NULL;
}

bool tree_fields(const struct tree *tree, const yaml_node_t *map, struct tree_field *fields, size_t count)
{
    const yaml_node_t *key, *value;
    if (!tree_is_map(map))
        return tree_complain(tree, map, "\"key: value\" lines are wanted here");
    for (size_t i = 0; i < count; i++)
        fields[i].value = NULL;
    for (size_t at = 0; tree_pair(tree, map, at, &key, &value); at++) {
        size_t i = 0;
        while (i < count && !slice_equal(tree_text(key), slice_str(fields[i].name)))
            i++;
        if (i == count)
            return tree_complain(tree, key, "unknown key \"%.*s\"", SLICE_ARG(tree_text(key)));
        if (fields[i].value)
            return tree_complain(tree, key, "\"%s\" is written twice", fields[i].name);
        fields[i].value = value;
    }
    for (size_t i = 0; i < count; i++)
        if (fields[i].is_wanted && !fields[i].value)
            return tree_complain(tree, map, "\"%s\" is missing", fields[i].name);
    return true;
}

size_t tree_count(const yaml_node_t *list)
{
    if (tree_is_list(list))
        return (size_t)(list->data.sequence.items.top - list->data.sequence.items.start);
    return tree_is_scalar(list);
}

const yaml_node_t *tree_item(const struct tree *tree, const yaml_node_t *list, size_t i)
{
    if (i >= tree_count(list))
        return NULL;
    return tree_is_list(list) ? node_at(tree, list->data.sequence.items.start[i]) : list;
}
