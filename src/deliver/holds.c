#include "deliver/holds.h"
#include "deliver/engine_inside.h"

#include "base/log.h"
#include <stdio.h>

bool holds_has(const struct holds *holds, const struct lane_key *key)
{
    if (!holds || holds->names.count == 0)
        return false;
    char name[320];
    snprintf(name, sizeof(name), "campaign %llu", (unsigned long long)key->campaign_id);
    if (key->campaign_id && map_get(&holds->names, slice_str(name)))
        return true;
    snprintf(name, sizeof(name), "brand %llu", (unsigned long long)key->brand_id);
    if (map_get(&holds->names, slice_str(name)))
        return true;
    snprintf(name, sizeof(name), "domain %.*s", SLICE_ARG(key->domain));
    return map_get(&holds->names, slice_str(name)) != NULL;
}

void holds_free(struct holds *holds)
{
    if (holds)
        map_release(&holds->names);
    free(holds);
}

static bool key_is_held(void *context, const struct lane_key *key)
{
    return holds_has(context, key);
}

static bool read_holds(struct dispatcher *dispatcher, struct map *names, struct fault *why)
{
    SCOPED(rows) rows = {0};
    if (!db_query(
            dispatcher->reader, why, &rows,
            "SELECT kind, name FROM hold UNION ALL SELECT 'campaign', CAST(id AS TEXT) FROM campaign WHERE state = "
            "'expanding' AND ranked_ms > 0", /* the first rank may be in its last bucket */
            NO_VALUES))
        return false;
    while (rows_next(&rows)) {
        char name[320];
        snprintf(name, sizeof(name), "%.*s %.*s", SLICE_ARG(rows_text(&rows, 0)), SLICE_ARG(rows_text(&rows, 1)));
        map_set(names, slice_str(name), dispatcher);
    }
    return rows_end(&rows);
}

static bool same_names(const struct map *a, const struct map *b)
{
    if (a->count != b->count)
        return false;
    size_t at = 0;
    for (struct map_entry *entry; (entry = map_walk(a, &at));)
        if (!map_get(b, entry->key))
            return false;
    return true;
}

static struct holds *holds_copy(const struct holds *holds)
{
    struct holds *copy = NEW(struct holds);
    size_t at = 0;
    for (struct map_entry *entry; (entry = map_walk(&holds->names, &at));)
        map_set(&copy->names, entry->key, entry->value);
    return copy;
}

void holds_refresh(struct dispatcher *dispatcher)
{
    if (dispatcher->is_stopping) /* the workers are going */
        return;
    struct holds *fresh = NEW(struct holds);
    struct fault why = {0};
    bool ok = read_holds(dispatcher, &fresh->names, &why);
    if (!ok || (dispatcher->holds && same_names(&fresh->names, &dispatcher->holds->names))) {
        holds_free(fresh);
        return;
    }
    lanes_hold(dispatcher->lanes, key_is_held, fresh);
    holds_free(dispatcher->holds);
    dispatcher->holds = fresh;
    for (unsigned i = 0; i < dispatcher->engine->worker_count; i++)
        worker_control_holds(&dispatcher->engine->workers[i], holds_copy(fresh));
}

static void refresh_weights(struct dispatcher *dispatcher)
{
    struct fault why;
    SCOPED(rows) rows = {0};
    if (!db_query(dispatcher->reader, &why, &rows, "SELECT id, weight FROM brand", NO_VALUES))
        return;
    while (rows_next(&rows)) {
        int64_t weight = rows_int(&rows, 1);
        lanes_weigh(dispatcher->lanes, (uint64_t)rows_int(&rows, 0), weight > 0 ? (unsigned)weight : 1);
    }
    if (!rows_end(&rows))
        log_warn("deliver", "the brands' weights cannot be read: %s", why.text);
}

static void refresh_ranks(struct dispatcher *dispatcher)
{
    struct fault why;
    SCOPED(rows) rows = {0};
    if (!db_query(dispatcher->reader, &why, &rows,
                  "SELECT id, ranked_ms FROM campaign WHERE state IN ('expanding', 'sending') AND ranked_ms > 0",
                  NO_VALUES))
        return;
    while (rows_next(&rows))
        lanes_rank(dispatcher->lanes, (uint64_t)rows_int(&rows, 0), rows_int(&rows, 1));
    if (!rows_end(&rows))
        log_warn("deliver", "the ranks of campaigns cannot be read: %s", why.text);
}

void holds_refresh_order(struct dispatcher *dispatcher)
{
    refresh_weights(dispatcher);
    refresh_ranks(dispatcher);
}
