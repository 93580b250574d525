#include "queue/handoff.h"

#include "base/arena.h"

struct row {
    unsigned bucket;
    bool is_right;
    struct slice pool;
};

static const struct handoff *wish_for(const struct handoff *list, size_t count, struct slice pool)
{
    for (size_t i = 0; i < count; i++)
        if (slice_equal(list[i].pool, pool))
            return &list[i];
    return NULL;
}

/* The rows of our buckets as they stand, and in `has` which (pool, bucket) are as they should be. */
static bool rows_read(struct db *db, struct fault *why, const struct bucket_set *held, const struct handoff *list,
                      size_t count, struct arena *arena, struct bucket_set *has, struct row **wrong,
                      size_t *wrong_count)
{
    SCOPED(rows) rows = {0};
    size_t room = 0;
    *wrong = NULL;
    *wrong_count = 0;
    if (!db_query(db, why, &rows, "SELECT bucket, pool, node FROM handoff ORDER BY bucket, pool", NO_VALUES))
        return false;
    while (rows_next(&rows)) {
        unsigned bucket = (unsigned)rows_int(&rows, 0) % ID_BUCKETS;
        const struct handoff *wish = wish_for(list, count, rows_text(&rows, 1));
        if (!bucket_set_has(held, bucket))
            continue;
        if (wish && wish->node == (unsigned)rows_int(&rows, 2)) {
            bucket_set_add(&has[wish - list], bucket);
            continue;
        }
        if (*wrong_count == room) {
            struct row *grown = ARENA_ARRAY(arena, struct row, room = room ? room * 2 : 64);
            for (size_t i = 0; i < *wrong_count; i++)
                grown[i] = (*wrong)[i];
            *wrong = grown;
        }
        (*wrong)[(*wrong_count)++] = (struct row){bucket, false, arena_copy(arena, rows_text(&rows, 1))};
    }
    return rows_end(&rows);
}

static bool rows_remove(struct db *db, struct fault *why, const struct row *list, size_t count, struct arena *arena)
{
    struct value *values = ARENA_ARRAY(arena, struct value, count * 2 + 1);
    for (size_t i = 0; i < count; i++) {
        values[i * 2] = V_INT(list[i].bucket);
        values[i * 2 + 1] = V_TEXT(list[i].pool);
    }
    return db_do_many(db, why, "DELETE FROM handoff WHERE bucket = $1 AND pool = $2", values, 2, count, NULL);
}

bool handoff_keep(struct db *db, struct fault *why, const struct bucket_set *held, const struct handoff *list,
                  size_t count, time_ms now, bool *has_changed)
{
    SCOPED(arena) arena = {0};
    struct bucket_set *has = ARENA_ARRAY(&arena, struct bucket_set, count + 1);
    struct value *values = ARENA_ARRAY(&arena, struct value, count * ID_BUCKETS * 4 + 1);
    struct row *wrong;
    size_t wrong_count, rows = 0;
    memset(has, 0, sizeof(*has) * (count + 1));
    if (!rows_read(db, why, held, list, count, &arena, has, &wrong, &wrong_count) ||
        !rows_remove(db, why, wrong, wrong_count, &arena))
        return false;
    for (size_t i = 0; i < count; i++)
        for (unsigned bucket = 0; bucket < ID_BUCKETS; bucket++) {
            if (!bucket_set_has(held, bucket) || bucket_set_has(&has[i], bucket))
                continue;
            struct value *row = &values[rows++ * 4];
            row[0] = V_INT(bucket);
            row[1] = V_TEXT(list[i].pool);
            row[2] = V_INT(list[i].node);
            row[3] = V_INT(now);
        }
    *has_changed = wrong_count || rows;
    return db_do_many(db, why,
                      "INSERT INTO handoff (bucket, pool, node, since_ms) VALUES ($1, $2, $3, $4) ON CONFLICT (bucket, "
                      "pool) DO UPDATE SET node = excluded.node, since_ms = excluded.since_ms",
                      values, 4, rows, NULL);
}
