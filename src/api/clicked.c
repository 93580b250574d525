#include "api/clicked.h"

#include "campaign/brand.h"
#include "content/links.h"

enum { CONTENTS_KEPT = 256, DELIVERIES_KEPT = 32768, KEPT_MS = 60000 };

static void contents_release(struct clicked *clicked)
{
    size_t at = 0;
    for (struct id_map_entry *entry; (entry = id_map_walk(&clicked->contents, &at));) {
        struct clicked_content *content = entry->value;
        arena_release(&content->arena);
        free(content);
    }
    id_map_release(&clicked->contents);
}

static void generation_release(struct clicked_generation *generation)
{
    id_map_release(&generation->deliveries);
    arena_release(&generation->arena);
}

void clicked_release(struct clicked *clicked)
{
    contents_release(clicked);
    generation_release(&clicked->young);
    generation_release(&clicked->old);
}

void clicked_make_room(struct clicked *clicked, size_t count)
{
    if (clicked->young.deliveries.count + count <= DELIVERIES_KEPT)
        return;
    generation_release(&clicked->old);
    clicked->old = clicked->young;
    clicked->young = (struct clicked_generation){0};
}

const struct clicked_delivery *clicked_delivery(struct clicked *clicked, uint64_t id, time_ms now)
{
    const struct clicked_delivery *delivery = id_map_get(&clicked->young.deliveries, id);
    if (!delivery)
        delivery = id_map_get(&clicked->old.deliveries, id);
    return delivery && now - delivery->read_at < KEPT_MS ? delivery : NULL;
}

struct reading {
    struct clicked_generation *into;
    const uint64_t *ids;
    time_ms now;
};

static bool take(void *context, size_t index, const struct rows *row, struct fault *why)
{
    struct reading *reading = context;
    struct clicked_delivery *delivery = ARENA_NEW(&reading->into->arena, struct clicked_delivery);
    *delivery = (struct clicked_delivery){.campaign_id = (uint64_t)rows_int(row, 0),
                                          .contact_id = (uint64_t)rows_int(row, 1),
                                          .brand_id = (uint64_t)rows_int(row, 2),
                                          .address = arena_copy(&reading->into->arena, rows_text(row, 3)),
                                          .state = (enum delivery_state)rows_int(row, 4),
                                          .version_id = (uint64_t)rows_int(row, 5),
                                          .read_at = reading->now};
    id_map_set(&reading->into->deliveries, reading->ids[index], delivery);
    return true;
}

bool clicked_read(struct clicked *clicked, struct db *db, const uint64_t *ids, size_t count, time_ms now,
                  struct fault *why)
{
    if (!count)
        return true;
    struct reading reading = {&clicked->young, ids, now};
    struct value *values = NEW_ARRAY(struct value, count * 2);
    for (size_t i = 0; i < count; i++) {
        values[i * 2] = V_INT(id_bucket(ids[i]));
        values[i * 2 + 1] = V_INT((int64_t)ids[i]);
    }
    bool ok = db_read(db, why);
    if (ok && !(db_query_many(db, why,
                              "SELECT campaign_id, contact_id, brand_id, address, state, version_id FROM delivery "
                              "WHERE bucket = $1 AND id = $2",
                              values, 2, count, take, &reading) &&
                db_commit(db, why))) {
        db_rollback(db);
        ok = false;
    }
    free(values);
    return ok;
}

const struct clicked_content *clicked_content(struct clicked *clicked, struct db *db, uint64_t version_id,
                                              struct fault *why)
{
    struct clicked_content *content = version_id ? id_map_get(&clicked->contents, version_id) : NULL;
    if (content || !version_id)
        return content;
    SCOPED(arena) arena = {0};
    struct content_version version;
    if (!content_version_find(db, why, version_id, &arena, &version))
        return NULL;
    if (clicked->contents.count >= CONTENTS_KEPT)
        contents_release(clicked);
    content = NEW(struct clicked_content);
    if (version.counts_clicks)
        content->targets = links_targets(version.html, &content->arena, &content->count);
    id_map_set(&clicked->contents, version_id, content);
    return content;
}
