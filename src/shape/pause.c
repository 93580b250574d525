#include "shape/pause.h"

#include <stdlib.h>

enum { OF_SITE_MOST = 100, WIDTH = 12 };

/* ── written ── */

static void row_of(const struct pause *pause, unsigned node, struct value row[WIDTH])
{
    const struct pace_pause *it = &pause->it;
    const struct value values[] = {
        V_INT(node),          V_INT((int64_t)pause->source_id),
        V_TEXT(pause->site),  V_TEXT(pace_limit_word(it->by)),
        V_TEXT(it->reaction), V_TEXT(pause->source),
        V_TEXT(pause->file),  V_INT(it->at.line),
        V_TEXT(pause->words), V_INT(it->since),
        V_INT(it->until),     V_INT(it->failures),
    };
    memcpy(row, values, sizeof(values));
}

bool pauses_keep(struct db *db, struct fault *why, unsigned node, const struct pause_way *ways, size_t count,
                 time_ms now)
{
    size_t rows = 0;
    for (size_t i = 0; i < count; i++)
        rows += ways[i].count;
    struct value *gone = NEW_ARRAY(struct value, count * 3 + 1), *kept = NEW_ARRAY(struct value, rows * WIDTH + 1);
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        gone[i * 3] = V_INT(node);
        gone[i * 3 + 1] = V_INT((int64_t)ways[i].source_id);
        gone[i * 3 + 2] = V_TEXT(ways[i].site);
        for (size_t p = 0; p < ways[i].count; p++)
            row_of(&ways[i].list[p], node, kept + WIDTH * at++);
    }
    bool ok =
        db_do_many(db, why, "DELETE FROM pause WHERE node = $1 AND source_id = $2 AND site = $3", gone, 3, count,
                   NULL) &&
        db_do_many(db, why,
                   "INSERT INTO pause (node, source_id, site, what, reaction, source, rule_file, rule_line, "
                   "words, since_ms, until_ms, failures) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, "
                   "$12) ON CONFLICT DO NOTHING",
                   kept, WIDTH, rows, NULL) &&
        db_do(db, why, "DELETE FROM pause WHERE node = $1 AND until_ms <= $2", VALUES(V_INT(node), V_INT(now)), NULL);
    free(gone);
    free(kept);
    return ok;
}

bool pauses_settle(struct db *db, struct fault *why, unsigned node, time_ms now)
{
    return db_do(db, why, "DELETE FROM pause WHERE node = $1 AND until_ms <= $2", VALUES(V_INT(node), V_INT(now)),
                 NULL) &&
           db_do(db, why,
                 "UPDATE pause SET until_ms = until_ms - since_ms + $2, since_ms = $2 WHERE node = $1 AND since_ms > "
                 "$2",
                 VALUES(V_INT(node), V_INT(now)), NULL);
}

bool pauses_lift(struct db *db, struct fault *why, struct slice site, uint64_t source_id)
{
    return db_do(db, why, "DELETE FROM pause WHERE LOWER(site) = LOWER($1) AND ($2 = 0 OR source_id = $2)",
                 VALUES(V_TEXT(site), V_INT((int64_t)source_id)), NULL);
}

/* ── read ── */

static enum pace_limit limit_of(struct slice word)
{
    int limit = 0;
    while (limit < PACE_LIMIT_COUNT && !slice_equal(pace_limit_word((enum pace_limit)limit), word))
        limit++;
    return (enum pace_limit)limit; /* PACE_LIMIT_COUNT: none of ours */
}

static bool pauses_read(struct rows *rows, struct arena *arena, struct pause **list, size_t *count)
{
    size_t room = 0;
    *list = NULL;
    *count = 0;
    while (rows_next(rows)) {
        enum pace_limit by = limit_of(rows_text(rows, 3));
        if (by == PACE_LIMIT_COUNT) /* another program's: nothing follows from it here */
            continue;
        if (*count == room) {
            struct pause *more = ARENA_ARRAY(arena, struct pause, room ? 2 * room : 8);
            if (room)
                memcpy(more, *list, room * sizeof(more[0]));
            room = room ? 2 * room : 8;
            *list = more;
        }
        (*list)[(*count)++] = (struct pause){
            .node = (unsigned)rows_int(rows, 0),
            .source_id = (uint64_t)rows_int(rows, 1),
            .site = arena_copy(arena, rows_text(rows, 2)),
            .it = {.by = by,
                   .reaction = arena_copy(arena, rows_text(rows, 4)),
                   .at = {.line = (unsigned)rows_int(rows, 7)},
                   .since = rows_int(rows, 9),
                   .until = rows_int(rows, 10),
                   .failures = (unsigned)rows_int(rows, 11)},
            .source = arena_copy(arena, rows_text(rows, 5)),
            .file = arena_copy(arena, rows_text(rows, 6)),
            .words = arena_copy(arena, rows_text(rows, 8)),
        };
    }
    return rows_end(rows);
}

#define COLUMNS                                                                                                        \
    "SELECT node, source_id, site, what, reaction, source, rule_file, rule_line, words, since_ms, until_ms, failures " \
    "FROM pause WHERE "

bool pauses_of_node(struct db *db, struct fault *why, unsigned node, time_ms now, struct arena *arena,
                    struct pause **list, size_t *count)
{
    SCOPED(rows) rows = {0};
    return db_query(db, why, &rows,
                    "SELECT * FROM (" COLUMNS
                    "until_ms > $2 AND (source_id <> 0 OR node = $1) ORDER BY until_ms DESC LIMIT $3) AS longest ORDER "
                    "BY site, source_id",
                    VALUES(V_INT(node), V_INT(now), V_INT(PAUSES_MOST))) &&
           pauses_read(&rows, arena, list, count);
}

bool pauses_of_site(struct db *db, struct fault *why, struct slice site, time_ms now, struct arena *arena,
                    struct pause **list, size_t *count)
{
    SCOPED(rows) rows = {0};
    return db_query(db, why, &rows,
                    COLUMNS "site = $1 AND until_ms > $2 ORDER BY source_id, node, until_ms DESC, what, reaction LIMIT "
                            "$3",
                    VALUES(V_TEXT(site), V_INT(now), V_INT(OF_SITE_MOST))) &&
           pauses_read(&rows, arena, list, count);
}
