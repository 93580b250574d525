/* tree.h - a YAML text as a tree that knows its lines (libyaml): how data/ and an operator's own files are read
 *
 * The whole text is held, YAML 1.1 without custom tags. Nodes live as long as the tree. A node that may be absent may
 * be NULL everywhere: it has no text, no members and no items. Every fault is INPUT and begins "PATH line N: ". */
#ifndef TODOKE_BASE_TREE_H
#define TODOKE_BASE_TREE_H

#include "base/fault.h"
#include "base/memory.h"
#include "base/slice.h"
#include <yaml.h>

struct tree {
    const char *path; /* borrowed, as the fault: faults name it */
    struct fault *why;
    yaml_document_t document;
};

/* Fault: not YAML. A tree that could not be read may be released all the same. */
NODISCARD bool tree_read(struct tree *tree, const char *path, struct slice yaml, struct fault *why);
void tree_release(struct tree *tree);

const yaml_node_t *tree_root(const struct tree *tree); /* NULL: there is nothing but comments */
/* Always false. */
bool tree_complain(const struct tree *tree, const yaml_node_t *at, const char *format, ...) PRINTF_LIKE(3, 4);
unsigned tree_line(const yaml_node_t *node); /* from 1 */
/* Of a scalar; empty for anything else. */
struct slice tree_text(const yaml_node_t *node);

bool tree_is_scalar(const yaml_node_t *node);
bool tree_is_map(const yaml_node_t *node);
bool tree_is_list(const yaml_node_t *node);
/* The value of this key; NULL: not there, or no map. */
const yaml_node_t *tree_member(const struct tree *tree, const yaml_node_t *map, const char *key);
/* for (size_t i = 0; tree_pair(tree, map, i, &key, &value); i++) */
bool tree_pair(const struct tree *tree, const yaml_node_t *map, size_t i, const yaml_node_t **key,
               const yaml_node_t **value);
/* Each "key: value" of a map that is wanted here goes to the field of that name. Fault: no map, an unknown key, one
 * that is written twice, or a wanted one that is missing. */
struct tree_field {
    const char *name;
    bool is_wanted;
    const yaml_node_t *value; /* NULL: it is not there */
};
NODISCARD bool tree_fields(const struct tree *tree, const yaml_node_t *map, struct tree_field *fields, size_t count);
/* A list's items; a scalar is the only item of itself. NULL behind the last one. */
size_t tree_count(const yaml_node_t *list);
const yaml_node_t *tree_item(const struct tree *tree, const yaml_node_t *list, size_t i);

#endif
