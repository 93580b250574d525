#include "shape/suspension.h"

enum { LIST_MOST = 1000 };

bool suspension_set(struct db *db, struct fault *why, const struct suspension *suspension)
{
    return db_do(db, why, "DELETE FROM suspension WHERE until_ms <= $1", VALUES(V_INT(suspension->since)), NULL) &&
           db_do(db, why,
                 "INSERT INTO suspension (site, source_id, source, until_ms, since_ms, who, why) VALUES ($1, $2, $3, "
                 "$4, $5, $6, $7) ON CONFLICT (site, source_id) DO UPDATE SET source = excluded.source, until_ms = "
                 "excluded.until_ms, since_ms = excluded.since_ms, who = excluded.who, why = excluded.why",
                 VALUES(V_TEXT(suspension->site), V_INT((int64_t)suspension->source_id), V_TEXT(suspension->source),
                        V_INT(suspension->until), V_INT(suspension->since), V_TEXT(suspension->who),
                        V_TEXT(suspension->why)),
                 NULL);
}

bool suspension_lift(struct db *db, struct fault *why, struct slice site, uint64_t source_id)
{
    return db_do(db, why, "DELETE FROM suspension WHERE site = $1 AND ($2 = 0 OR source_id = $2)",
                 VALUES(V_TEXT(site), V_INT((int64_t)source_id)), NULL);
}

bool suspension_list(struct db *db, struct fault *why, time_ms now, struct arena *arena, struct suspension **list,
                     size_t *count)
{
    SCOPED(rows) rows = {0};
    size_t room = 0;
    *list = NULL;
    *count = 0;
    if (!db_query(db, why, &rows,
                  "SELECT site, source_id, source, until_ms, since_ms, who, why FROM suspension WHERE until_ms > $1 "
                  "ORDER BY site, source_id LIMIT 1000",
                  VALUES(V_INT(now))))
        return false;
    while (*count < LIST_MOST && rows_next(&rows)) {
        if (*count == room) { /* nearly always there are none, and this is asked each second */
            struct suspension *more = ARENA_ARRAY(arena, struct suspension, room ? 2 * room : 8);
            if (room)
                memcpy(more, *list, room * sizeof(more[0]));
            room = room ? 2 * room : 8;
            *list = more;
        }
        (*list)[(*count)++] = (struct suspension){
            .site = arena_copy(arena, rows_text(&rows, 0)),
            .source_id = (uint64_t)rows_int(&rows, 1),
            .source = arena_copy(arena, rows_text(&rows, 2)),
            .until = rows_int(&rows, 3),
            .since = rows_int(&rows, 4),
            .who = arena_copy(arena, rows_text(&rows, 5)),
            .why = arena_copy(arena, rows_text(&rows, 6)),
        };
    }
    return rows_end(&rows);
}
