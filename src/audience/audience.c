#include "audience/audience.h"

/* Which suppression rows speak of contact c: of nobody or of this brand ($2), of everything, of campaigns or of this
 * list ($1), not expired ($3). */
#define SUPPRESSION_OF_C                                                                                               \
    "s.bucket = c.bucket AND s.address = c.address AND (s.brand_id = 0 OR s.brand_id = $2) AND (s.topic = '' OR "      \
    "s.topic = 'campaigns' OR s.topic = 'list:' || CAST($1 AS BIGINT)) AND "                                           \
    "(s.expires_ms = 0 OR s.expires_ms > $3)"

/* Two rows may speak of one contact (all brands, and this one): the subqueries take the first. */
bool audience_next_batch(struct db *db, struct fault *why, uint64_t list_id, uint64_t brand_id, unsigned bucket,
                         uint64_t after_id, size_t max, time_ms now, struct arena *arena, struct audience_row **rows,
                         size_t *count)
{
    SCOPED(rows) found = {0};
    *rows = ARENA_ARRAY(arena, struct audience_row, max + 1);
    *count = 0;
    if (!db_query(db, why, &found,
                  "SELECT c.id, c.address, c.written, c.name, (SELECT s.why FROM suppression s WHERE " SUPPRESSION_OF_C
                  " ORDER BY s.brand_id LIMIT 1), (SELECT s.reason FROM suppression s WHERE " SUPPRESSION_OF_C
                  " ORDER BY s.brand_id LIMIT 1), c.unconfirmed, c.engaged_ms FROM list_member m JOIN contact c ON "
                  "c.bucket = "
                  "m.bucket AND c.id = "
                  "m.contact_id WHERE m.bucket = $4 AND m.list_id = $1 AND m.contact_id > $5 AND c.moved_to = 0 ORDER "
                  "BY m.contact_id LIMIT $6",
                  VALUES(V_INT((int64_t)list_id), V_INT((int64_t)brand_id), V_INT(now), V_INT(bucket),
                         V_INT((int64_t)after_id), V_INT((int64_t)max))))
        return false;
    while (*count < max && rows_next(&found)) {
        struct audience_row *row = &(*rows)[(*count)++];
        *row = (struct audience_row){
            .contact_id = (uint64_t)rows_int(&found, 0),
            .address = arena_copy(arena, rows_text(&found, 1)),
            .written = arena_copy(arena, rows_text(&found, 2)),
            .name = arena_copy(arena, rows_text(&found, 3)),
            .is_suppressed = !rows_is_null(&found, 4),
            .is_unconfirmed = rows_int(&found, 6) != 0,
            .engaged = rows_int(&found, 7),
        };
        int64_t reason = rows_int(&found, 5);
        row->reason = reason > 0 && reason < REASON_COUNT ? (enum reason)reason : REASON_UNDEFINED;
        if (row->is_suppressed && !suppress_of(rows_text(&found, 4), &row->why))
            row->why = SUPPRESS_BY_HAND;
    }
    return rows_end(&found);
}
