/* map.h - hash maps: by text (struct map) and by 64-bit id (struct id_map)
 *
 * Open addressing, keyed SipHash-free hashing with a seed that no stranger knows, so that nobody can choose
 * collisions. `struct map` copies its keys. Values are pointers that the map does not own. A zeroed map is an empty
 * map. Not ordered; do not add or remove while walking, except map_walk's current entry may be removed. */
#ifndef TODOKE_BASE_MAP_H
#define TODOKE_BASE_MAP_H

#include "base/memory.h"
#include "base/slice.h"

struct map_entry {
    struct slice key; /* ptr NULL: free; len SIZE_MAX: removed */
    void *value;
    uint64_t hash;
};
struct map {
    struct map_entry *entries;
    size_t room, count, used; /* used counts removed marks too */
    uint64_t seed;
};
void map_release(struct map *map);
void *map_get(const struct map *map, struct slice key);
/* Set, replacing what was there. value must not be NULL. Gives the map's own copy of the key, which stays where it is
 * until it is removed. */
struct slice map_set(struct map *map, struct slice key, void *value);
/* Take the entry out and give its value; NULL when absent. */
void *map_remove(struct map *map, struct slice key);
/* Walk: size_t at = 0; struct map_entry *e; while ((e = map_walk(&map, &at))) ... */
struct map_entry *map_walk(const struct map *map, size_t *at);

struct id_map_entry {
    uint64_t id; /* 0 is not a valid id */
    void *value;
};
struct id_map {
    struct id_map_entry *entries;
    size_t room, count;
    uint64_t seed;
};
void id_map_release(struct id_map *map);
void *id_map_get(const struct id_map *map, uint64_t id);
void id_map_set(struct id_map *map, uint64_t id, void *value);
void *id_map_remove(struct id_map *map, uint64_t id);
struct id_map_entry *id_map_walk(const struct id_map *map, size_t *at);

/* A well-mixed 64-bit hash of bytes; the same for the same seed on every machine (buckets rely on it). */
uint64_t hash_bytes(struct slice s, uint64_t seed);
uint64_t hash_u64(uint64_t value, uint64_t seed);

#endif
