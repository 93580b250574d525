#include "deliver/directions.h"

#include "base/log.h"
#include "shape/source.h"
#include "shape/stand_in.h"
#include <stdio.h>

void relay_seal_context(uint64_t brand_id, struct buf *context)
{
    buf_printf(context, "relay.password_sealed %llu", (unsigned long long)brand_id);
}

static bool read_rules(struct directions *directions, struct db *reader, struct fault *why)
{
    SCOPED(rows) rows = {0};
    if (!db_query(reader, why, &rows, "SELECT kind, name, rule, since_ms FROM tls_rule", NO_VALUES))
        return false;
    while (rows_next(&rows)) {
        char key[400];
        enum tls_rule rule;
        snprintf(key, sizeof(key), "%.*s %.*s", SLICE_ARG(rows_text(&rows, 0)), SLICE_ARG(rows_text(&rows, 1)));
        if (!tls_rule_of(rows_text(&rows, 2), &rule))
            rule = TLS_RULE_VERIFIED; /* a word of a newer version: the strictest that we know */
        map_set(&directions->rules, slice_str(key), (void *)(uintptr_t)(rule + 1));
        directions->digest += hash_u64((uint64_t)rule, hash_bytes(slice_str(key), 1)); /* in whatever order */
        if (rule == TLS_RULE_SEEN) /* what was seen may have been forgotten (tls_seen_forget) */
            directions->digest += hash_u64((uint64_t)rows_int(&rows, 3), 8);
    }
    return rows_end(&rows);
}

static void open_password(struct relay *relay, const struct seal_key *seal, struct slice sealed, struct arena *arena)
{
    SCOPED(buf) context = BUF(100);
    SCOPED(buf) password = BUF(1024);
    struct fault why = {.text = "no key to open it with"};
    relay_seal_context(relay->brand_id, &context);
    if (seal && seal_open(seal, buf_slice(&context), sealed, &password, &why)) {
        relay->password = arena_copy(arena, buf_slice(&password));
        explicit_bzero(password.ptr, password.len);
        return;
    }
    relay->is_locked = true;
    log_error("deliver", "the password of brand %llu's smart host cannot be opened: %s",
              (unsigned long long)relay->brand_id, why.text);
}

static bool read_relays(struct directions *directions, struct db *reader, const struct seal_key *seal,
                        struct fault *why)
{
    SCOPED(rows) rows = {0};
    if (!db_query(reader, why, &rows, "SELECT brand_id, host, port, user_name, password_sealed, changed_ms FROM relay",
                  NO_VALUES))
        return false;
    while (rows_next(&rows)) {
        struct relay *relay = ARENA_NEW(&directions->arena, struct relay);
        relay->brand_id = (uint64_t)rows_int(&rows, 0);
        relay->host = arena_copy(&directions->arena, rows_text(&rows, 1));
        relay->port = (uint16_t)rows_int(&rows, 2);
        relay->user = arena_copy(&directions->arena, rows_text(&rows, 3));
        if (relay->user.len)
            open_password(relay, seal, rows_bytes(&rows, 4), &directions->arena);
        relay->changed = rows_int(&rows, 5);
        directions->digest +=
            hash_u64(hash_bytes(relay->host, relay->brand_id) + relay->port, (uint64_t)relay->changed) +
            hash_bytes(relay->user, hash_bytes(relay->password, 3));
        id_map_set(&directions->relays, relay->brand_id, relay);
    }
    return rows_end(&rows);
}

/* A pool named "default" is everybody's who names none, once it has a source. */
static bool read_pools(struct directions *directions, struct db *reader, struct fault *why)
{
    int64_t one;
    bool has_default;
    if (!db_query_ints(reader, why, "SELECT 1 FROM source WHERE pool = 'default' LIMIT 1", NO_VALUES, &one, 1,
                       &has_default))
        return false;
    directions->default_pool = has_default ? SOURCE_POOL_DEFAULT : NULL;
    directions->digest += has_default;
    SCOPED(rows) rows = {0};
    if (!db_query(reader, why, &rows, "SELECT id, pool FROM brand WHERE pool <> ''", NO_VALUES))
        return false;
    while (rows_next(&rows)) {
        uint64_t brand_id = (uint64_t)rows_int(&rows, 0);
        char *pool = arena_str(&directions->arena, rows_text(&rows, 1));
        id_map_set(&directions->pools, brand_id, pool);
        directions->digest += hash_bytes(slice_str(pool), hash_u64(brand_id, 5));
    }
    return rows_end(&rows);
}

static const char *pool_of(const struct directions *directions, uint64_t brand_id)
{
    const char *pool = directions && brand_id ? id_map_get(&directions->pools, brand_id) : NULL;
    return pool || !directions ? pool : directions->default_pool;
}

/* Lanes that were moved (queue/order.h). */
static bool read_moved(struct directions *directions, struct db *reader, struct fault *why)
{
    SCOPED(rows) rows = {0};
    if (!db_query(reader, why, &rows, "SELECT id, pool FROM lane WHERE pool <> ''", NO_VALUES))
        return false;
    while (rows_next(&rows)) {
        uint64_t lane_id = (uint64_t)rows_int(&rows, 0);
        char *pool = arena_str(&directions->arena, rows_text(&rows, 1));
        id_map_set(&directions->moved, lane_id, pool);
        directions->digest += hash_bytes(slice_str(pool), hash_u64(lane_id, 6));
    }
    return rows_end(&rows);
}

static bool read_stand_ins(struct directions *directions, struct db *reader, struct fault *why)
{
    struct stand_in *list;
    size_t count;
    time_ms now;
    if (!db_now(reader, why, &now) || !stand_in_list(reader, why, now, &directions->arena, &list, &count))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!stand_in_now(&list[i]))
            continue;
        map_set(&directions->stand_ins, list[i].pool, arena_str(&directions->arena, list[i].by));
        directions->digest += hash_bytes(list[i].by, hash_bytes(list[i].pool, 7));
    }
    return true;
}

const char *directions_lane_pool(const struct directions *directions, const struct lane_key *key)
{
    const char *moved = directions && key->id ? id_map_get(&directions->moved, key->id) : NULL;
    const char *pool = moved ? moved : pool_of(directions, key->brand_id);
    const char *other = pool && directions->stand_ins.count ? map_get(&directions->stand_ins, slice_str(pool)) : NULL;
    return other ? other : pool;
}

struct directions *directions_read(struct db *reader, const struct seal_key *seal, struct fault *why)
{
    struct directions *directions = NEW(struct directions);
    if (read_rules(directions, reader, why) && read_relays(directions, reader, seal, why) &&
        read_pools(directions, reader, why) && read_moved(directions, reader, why) &&
        read_stand_ins(directions, reader, why))
        return directions;
    directions_free(directions);
    return NULL;
}

void directions_free(struct directions *directions)
{
    if (!directions)
        return;
    size_t at = 0;
    for (struct id_map_entry *entry; (entry = id_map_walk(&directions->relays, &at));) {
        struct relay *relay = entry->value;
        if (relay->password.len)
            explicit_bzero((char *)(uintptr_t)relay->password.ptr, relay->password.len);
    }
    map_release(&directions->rules);
    id_map_release(&directions->relays);
    id_map_release(&directions->pools);
    id_map_release(&directions->moved);
    map_release(&directions->stand_ins);
    arena_release(&directions->arena);
    free(directions);
}

const struct relay *directions_relay(const struct directions *directions, uint64_t brand_id)
{
    return directions && brand_id ? id_map_get(&directions->relays, brand_id) : NULL;
}

/* -1: none. */
static int rule_of(const struct directions *directions, const char *kind, struct slice name)
{
    char key[400];
    snprintf(key, sizeof(key), "%s %.*s", kind, SLICE_ARG(slice_head(name, 300)));
    return (int)(uintptr_t)map_get(&directions->rules, slice_str(key)) - 1;
}

static int brand_rule(const struct directions *directions, uint64_t brand_id)
{
    char number[24];
    snprintf(number, sizeof(number), "%llu", (unsigned long long)brand_id);
    return brand_id ? rule_of(directions, "brand", slice_str(number)) : -1;
}

enum tls_rule directions_rule(const struct directions *directions, struct slice domain, struct slice site,
                              uint64_t brand_id)
{
    if (!directions || directions->rules.count == 0)
        return TLS_RULE_OPPORTUNISTIC;
    int rule = rule_of(directions, "domain", domain), brand = brand_rule(directions, brand_id);
    if (rule < 0 && site.len)
        rule = rule_of(directions, "site", site);
    if (rule < brand)
        rule = brand;
    return rule < 0 ? TLS_RULE_OPPORTUNISTIC : (enum tls_rule)rule;
}

bool directions_may_waive(const struct directions *directions, uint64_t brand_id)
{
    char number[24];
    snprintf(number, sizeof(number), "%llu", (unsigned long long)brand_id);
    return !directions || directions->rules.count == 0 || rule_of(directions, "waiver", slice_str(number)) < 0;
}

void directions_name(const struct directions *directions, const struct lane_key *key, struct buf *name)
{
    if (directions_relay(directions, key->brand_id)) {
        buf_printf(name, "relay %llu", (unsigned long long)key->brand_id);
        return;
    }
    const char *pool = directions_lane_pool(directions, key);
    if (pool)
        buf_printf(name, "pool %s ", pool);
    if (key->waives_tls && directions_may_waive(directions, key->brand_id))
        buf_text(name, "waived ");
    if (directions && directions->rules.count && brand_rule(directions, key->brand_id) > 0)
        buf_printf(name, "brand %llu ", (unsigned long long)key->brand_id);
    buf_append(name, key->domain);
}

struct route_name route_name_read(struct slice name)
{
    struct route_name read = {.domain = name};
    struct slice rest = name, word, number;
    if (slice_starts(name, SLICE("pool "))) { /* domains have no spaces */
        rest = slice_from(name, 5);
        slice_split(&rest, ' ', &read.pool);
        read.domain = name = rest;
    }
    if (slice_starts(name, SLICE("waived "))) {
        read.is_waived = true;
        read.domain = name = rest = slice_from(name, 7);
    }
    if (!slice_split(&rest, ' ', &word) || !rest.ptr)
        return read;
    slice_split(&rest, ' ', &number);
    if (!slice_to_u64(number, &read.brand_id))
        return read;
    read.is_relay = slice_equal(word, SLICE("relay"));
    read.domain = read.is_relay ? SLICE("") : rest;
    return read;
}
