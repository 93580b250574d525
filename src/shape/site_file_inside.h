/* site_file_inside.h - how a file of data/sites is read, for site_file.c, site_file_values.c and site_file_reaction.c
 *
 * YAML by libyaml's document tree, which knows the lines. Everything is checked: whatever could never match, or never
 * do anything, is an error with its line. Every reader is false when it has complained. */
#ifndef TODOKE_SHAPE_SITE_FILE_INSIDE_H
#define TODOKE_SHAPE_SITE_FILE_INSIDE_H

#include "base/tree.h"
#include "shape/site_inside.h"

struct site_reader {
    struct sites *sites; /* texts are copied into its arena */
    struct site_entry *entry;
    struct tree *tree;
};

/* ── site_file_values.c: maps, lists and values ── */

/* Where a node is written. */
struct site_place site_place_at(const struct site_reader *reader, const yaml_node_t *node);

/* A key of a map, and who reads its value into what. */
struct field {
    const char *name;
    bool (*read)(struct site_reader *reader, const yaml_node_t *node, void *to);
    void *to;
    bool is_wanted;
};
/* Each "key: value" of the map goes to the row of that name (tree_fields), in the order of the rows. Bits of *given by
 * row. */
bool file_read_fields(struct site_reader *reader, const yaml_node_t *map, const struct field *fields, size_t count,
                      unsigned *given);
/* A list, or the only one of it. Calls `each` for every scalar. */
bool file_read_list(struct site_reader *reader, const yaml_node_t *node,
                    bool (*each)(struct site_reader *reader, const yaml_node_t *item, size_t i, void *to), void *to,
                    size_t *count);
/* Zeroed room for the items of this list. */
void *file_list_room(struct site_reader *reader, const yaml_node_t *node, size_t size);

/* What a row reads; `to` is of the type behind it. */
bool file_read_text(struct site_reader *reader, const yaml_node_t *node, void *to);  /* struct slice: not empty */
bool file_read_count(struct site_reader *reader, const yaml_node_t *node, void *to); /* unsigned: from 1 on */
bool file_read_count_or_none(struct site_reader *reader, const yaml_node_t *node, void *to); /* unsigned: "none" is 0 */
bool file_read_percent(struct site_reader *reader, const yaml_node_t *node, void *to);  /* unsigned: "30%", 1 to 100 */
bool file_read_duration(struct site_reader *reader, const yaml_node_t *node, void *to); /* time_ms: 90s, 30m, 2h, 1d */
bool file_read_rate(struct site_reader *reader, const yaml_node_t *node, void *to); /* struct site_rate: 10/min, none */

/* ── site_file_reaction.c ── */

/* The list of reactions (struct site_entry), each proved by its own examples and `not` lines. */
bool file_read_reactions(struct site_reader *reader, const yaml_node_t *node, void *to);

#endif
