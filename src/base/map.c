#include "base/map.h"

#include "base/random.h"

#include <assert.h>

/* Multiply-and-fold over eight bytes at a time (the construction of wyhash). */
static uint64_t fold(uint64_t a, uint64_t b)
{
    __uint128_t product = (__uint128_t)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t hash_u64(uint64_t value, uint64_t seed)
{
    return fold(value ^ seed ^ 0x9e3779b97f4a7c15u, 0xd6e8feb86659fd93u ^ (seed << 1 | 1));
}

uint64_t hash_bytes(struct slice s, uint64_t seed)
{
    uint64_t hash = hash_u64(s.len, seed), word;
    size_t at = 0;
    for (; at + 8 <= s.len; at += 8) {
        memcpy(&word, s.ptr + at, 8);
        hash = fold(hash ^ word, 0xa0761d6478bd642fu);
    }
    word = 0;
    if (at < s.len)
        memcpy(&word, s.ptr + at, s.len - at);
    return fold(hash ^ word, 0xe7037ed1a0b428dbu ^ seed);
}

/* No stranger knows it, each map has its own, and it costs no system call: maps are made by the thousand, so each
 * thread asks the kernel once. (The simulation answers in the kernel's place: the same seed gives the same order of
 * entries.) */
static uint64_t next_seed(void)
{
    static _Thread_local struct random seeds;
    static _Thread_local bool is_seeded;
    if (!is_seeded) {
        random_bytes(&seeds, sizeof(seeds));
        is_seeded = true;
    }
    return random_next(&seeds);
}

enum { ROOM_FIRST = 16 };
static const size_t REMOVED = SIZE_MAX;

static bool entry_is_live(const struct map_entry *entry)
{
    return entry->key.ptr && entry->key.len != REMOVED;
}

void map_release(struct map *map)
{
    for (size_t i = 0; i < map->room; i++)
        if (entry_is_live(&map->entries[i]))
            free((void *)(uintptr_t)map->entries[i].key.ptr);
    free(map->entries);
    *map = (struct map){0};
}

static struct map_entry *map_find(const struct map *map, struct slice key, uint64_t hash)
{
    if (!map->room)
        return NULL;
    for (size_t at = hash & (map->room - 1);; at = (at + 1) & (map->room - 1)) {
        struct map_entry *entry = &map->entries[at];
        if (!entry->key.ptr)
            return NULL;
        if (entry->key.len != REMOVED && entry->hash == hash && slice_equal(entry->key, key))
            return entry;
    }
}

static void map_grow(struct map *map)
{
    struct map old = *map;
    map->room = old.count * 2 < ROOM_FIRST ? ROOM_FIRST : old.room * (old.count * 2 > old.room ? 2 : 1);
    map->entries = NEW_ARRAY(struct map_entry, map->room);
    map->used = old.count;
    if (!old.room)
        map->seed = next_seed();
    for (size_t i = 0; i < old.room; i++) {
        if (!entry_is_live(&old.entries[i]))
            continue;
        size_t at = old.entries[i].hash & (map->room - 1);
        while (map->entries[at].key.ptr)
            at = (at + 1) & (map->room - 1);
        map->entries[at] = old.entries[i];
    }
    free(old.entries);
}

void *map_get(const struct map *map, struct slice key)
{
    struct map_entry *entry = map_find(map, key, hash_bytes(key, map->seed));
    return entry ? entry->value : NULL;
}

struct slice map_set(struct map *map, struct slice key, void *value)
{
    assert(value && key.len != REMOVED);
    if ((map->used + 1) * 4 > map->room * 3)
        map_grow(map);
    uint64_t hash = hash_bytes(key, map->seed);
    struct map_entry *entry = map_find(map, key, hash);
    if (entry) {
        entry->value = value;
        return entry->key;
    }
    size_t at = hash & (map->room - 1);
    while (map->entries[at].key.ptr)
        at = (at + 1) & (map->room - 1);
    map->entries[at] = (struct map_entry){slice_of(slice_dup(key), key.len), value, hash};
    map->count++;
    map->used++;
    return map->entries[at].key;
}

void *map_remove(struct map *map, struct slice key)
{
    struct map_entry *entry = map_find(map, key, hash_bytes(key, map->seed));
    if (!entry)
        return NULL;
    void *value = entry->value;
    free((void *)(uintptr_t)entry->key.ptr);
    entry->key = slice_of("", REMOVED);
    map->count--;
    return value;
}

struct map_entry *map_walk(const struct map *map, size_t *at)
{
    while (*at < map->room) {
        struct map_entry *entry = &map->entries[(*at)++];
        if (entry_is_live(entry))
            return entry;
    }
    return NULL;
}

/* The id map removes by shifting back, so it needs no marks. */

void id_map_release(struct id_map *map)
{
    free(map->entries);
    *map = (struct id_map){0};
}

static size_t id_home(const struct id_map *map, uint64_t id)
{
    return hash_u64(id, map->seed) & (map->room - 1);
}

static struct id_map_entry *id_find(const struct id_map *map, uint64_t id)
{
    if (!map->room)
        return NULL;
    for (size_t at = id_home(map, id); map->entries[at].id; at = (at + 1) & (map->room - 1))
        if (map->entries[at].id == id)
            return &map->entries[at];
    return NULL;
}

void *id_map_get(const struct id_map *map, uint64_t id)
{
    struct id_map_entry *entry = id_find(map, id);
    return entry ? entry->value : NULL;
}

void id_map_set(struct id_map *map, uint64_t id, void *value)
{
    assert(id && value);
    struct id_map_entry *entry = id_find(map, id);
    if (entry) {
        entry->value = value;
        return;
    }
    if ((map->count + 1) * 4 > map->room * 3) {
        struct id_map old = *map;
        map->room = old.room ? old.room * 2 : ROOM_FIRST;
        map->entries = NEW_ARRAY(struct id_map_entry, map->room);
        if (!old.room)
            map->seed = next_seed();
        map->count = 0;
        for (size_t i = 0; i < old.room; i++)
            if (old.entries[i].id)
                id_map_set(map, old.entries[i].id, old.entries[i].value);
        free(old.entries);
    }
    size_t at = id_home(map, id);
    while (map->entries[at].id)
        at = (at + 1) & (map->room - 1);
    map->entries[at] = (struct id_map_entry){id, value};
    map->count++;
}

void *id_map_remove(struct id_map *map, uint64_t id)
{
    struct id_map_entry *entry = id_find(map, id);
    if (!entry)
        return NULL;
    void *value = entry->value;
    size_t mask = map->room - 1, hole = (size_t)(entry - map->entries);
    for (size_t at = (hole + 1) & mask; map->entries[at].id; at = (at + 1) & mask) {
        size_t home = id_home(map, map->entries[at].id);
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            map->entries[hole] = map->entries[at];
            hole = at;
        }
    }
    map->entries[hole] = (struct id_map_entry){0, NULL};
    map->count--;
    return value;
}

struct id_map_entry *id_map_walk(const struct id_map *map, size_t *at)
{
    while (*at < map->room) {
        struct id_map_entry *entry = &map->entries[(*at)++];
        if (entry->id)
            return entry;
    }
    return NULL;
}
