#include "shape/stand_in.h"

#include "shape/allowance.h"
#include "shape/source.h"

enum { LIST_MOST = 200 };

#define IS_USABLE(s)                                                                                                   \
#s ".state = 'active' AND " #s ".trouble = '' AND (" #s ".node = 0 OR EXISTS (SELECT 1 FROM node n WHERE n.node "  \
       "= " #s ".node AND n.until_ms > 0))"

static bool pools_read(struct db *db, struct fault *why, struct arena *arena, struct stand_in *list, size_t *count)
{
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows,
                  "SELECT p.pool, p.stand_in, (SELECT COUNT(*) FROM source t WHERE t.pool = p.stand_in AND " IS_USABLE(
                      t) ") FROM pool_stand_in p ORDER BY p.pool LIMIT 200",
                  NO_VALUES))
        return false;
    while (*count < LIST_MOST && rows_next(&rows))
        list[(*count)++] = (struct stand_in){.pool = arena_copy(arena, rows_text(&rows, 0)),
                                             .by = arena_copy(arena, rows_text(&rows, 1)),
                                             .is_usable = rows_int(&rows, 2) > 0};
    return rows_end(&rows);
}

bool stand_in_list(struct db *db, struct fault *why, time_ms now, struct arena *arena, struct stand_in **list,
                   size_t *count)
{
    *list = ARENA_ARRAY(arena, struct stand_in, LIST_MOST);
    *count = 0;
    if (!pools_read(db, why, arena, *list, count))
        return false;
    SCOPED(rows) rows = {0};
    if (!*count)
        return true;
    if (!db_query(
            db, why, &rows,
            "SELECT p.pool, w.caps, w.step, u.reserved FROM pool_stand_in p JOIN source s ON s.pool = p.pool "
            "AND " IS_USABLE(s) " LEFT JOIN warm_up w ON w.source_id = s.id AND w.grp = '*' AND w.day = $1 LEFT JOIN "
                                "daily_use u ON u.source_id = s.id AND u.grp = 'warm *' AND u.day = w.day",
            VALUES(V_INT(allowance_day(now)))))
        return false;
    while (rows_next(&rows)) {
        int64_t cap = rows_is_null(&rows, 1) ? -1 : warm_up_cap(rows_text(&rows, 1), rows_int(&rows, 2));
        bool is_used_up = cap >= 0 && rows_int(&rows, 3) >= cap;
        for (size_t i = 0; i < *count; i++) {
            if (!slice_equal((*list)[i].pool, rows_text(&rows, 0)))
                continue;
            (*list)[i].has_way |= !is_used_up;
            (*list)[i].is_capped |= is_used_up;
        }
    }
    for (size_t i = 0; i < *count; i++)
        (*list)[i].is_capped &= !(*list)[i].has_way;
    return rows_end(&rows);
}

bool stand_in_set(struct db *db, struct fault *why, struct slice pool, struct slice by, time_ms now)
{
    if (!by.len)
        return db_do(db, why, "DELETE FROM pool_stand_in WHERE pool = $1", VALUES(V_TEXT(pool)), NULL);
    if (!pool_name_check(pool, why) || !pool_name_check(by, why))
        return false;
    if (slice_equal(pool, by))
        return fault_set(why, FAULT_INPUT, "a pool cannot stand in for itself");
    return db_do(db, why,
                 "INSERT INTO pool_stand_in (pool, stand_in, changed_ms) VALUES ($1, $2, $3) ON CONFLICT (pool) DO "
                 "UPDATE SET stand_in = $2, changed_ms = $3",
                 VALUES(V_TEXT(pool), V_TEXT(by), V_INT(now)), NULL);
}
