#include "hosted/hosted.h"

#include <openssl/sha.h>

enum { FILES_A_SWEEP = 100, PIECES_A_SWEEP = 64 };

#define COLUMNS                                                                                                        \
    "id, brand_id, body_id, key_id, message_id, name, type, size_bytes, sha256, created_ms, expires_ms, state, "       \
    "ended_ms"

struct slice hosted_state_word(enum hosted_state state)
{
    switch (state) {
    case HOSTED_THERE: return SLICE("there");
    case HOSTED_REMOVED: return SLICE("removed");
    case HOSTED_EXPIRED: return SLICE("expired");
    }
    return SLICE("");
}

void hosted_etag(const struct hosted_body *body, struct buf *out)
{
    buf_byte(out, '"');
    for (size_t i = 0; i < HOSTED_SHA256; i++)
        buf_printf(out, "%02x", body->sha256[i]);
    buf_byte(out, '"');
}

/* ── bodies ── */

bool hosted_body_find(struct db *db, struct fault *why, struct hosted_body *body)
{
    int64_t id = 0;
    bool found;
    if (!db_query_ints(db, why,
                       "SELECT id FROM hosted_body WHERE sha256 = $1 AND size_bytes = $2 AND state = 1 ORDER BY id "
                       "LIMIT 1",
                       VALUES(V_BYTES(slice_of(body->sha256, HOSTED_SHA256)), V_INT((int64_t)body->size_bytes)), &id, 1,
                       &found))
        return false;
    body->id = found ? (uint64_t)id : 0;
    return true;
}

bool hosted_body_begin(struct db *db, struct fault *why, struct hosted_body *body, time_ms now)
{
    body->id = id_make_anywhere(db_ids(db), now);
    return db_do(db, why,
                 "INSERT INTO hosted_body (id, sha256, size_bytes, state, uses, touched_ms) VALUES ($1, $2, $3, 0, 0, "
                 "$4)",
                 VALUES(V_INT((int64_t)body->id), V_BYTES(slice_of(body->sha256, HOSTED_SHA256)),
                        V_INT((int64_t)body->size_bytes), V_INT(now)),
                 NULL);
}

bool hosted_piece_put(struct db *db, struct fault *why, uint64_t body_id, unsigned place, struct slice bytes,
                      time_ms now)
{
    int64_t changed;
    if (!db_do(db, why, "UPDATE hosted_body SET touched_ms = $2 WHERE id = $1 AND state = 0",
               VALUES(V_INT((int64_t)body_id), V_INT(now)), &changed))
        return false;
    if (!changed)
        return fault_set(why, FAULT_WORLD, "the file took too long to arrive; send it again");
    return db_do(db, why, "INSERT INTO hosted_piece (body_id, place, bytes) VALUES ($1, $2, $3)",
                 VALUES(V_INT((int64_t)body_id), V_INT(place), V_BYTES(bytes)), NULL);
}

bool hosted_body_put(struct db *db, struct fault *why, struct slice bytes, time_ms now, struct hosted_body *body)
{
    *body = (struct hosted_body){.size_bytes = bytes.len};
    SHA256((const unsigned char *)(bytes.len ? bytes.ptr : ""), bytes.len, body->sha256);
    if (!hosted_body_find(db, why, body))
        return false;
    if (body->id)
        return true;
    if (!hosted_body_begin(db, why, body, now))
        return false;
    for (unsigned place = 0; bytes.len; place++, bytes = slice_from(bytes, HOSTED_PIECE))
        if (!hosted_piece_put(db, why, body->id, place, slice_head(bytes, HOSTED_PIECE), now))
            return false;
    return true;
}

bool hosted_piece_read(struct db *db, struct fault *why, uint64_t body_id, unsigned place, struct buf *out)
{
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows, "SELECT bytes FROM hosted_piece WHERE body_id = $1 AND place = $2",
                  VALUES(V_INT((int64_t)body_id), V_INT(place))))
        return false;
    bool found = rows_next(&rows);
    if (found)
        buf_append(out, rows_bytes(&rows, 0));
    return rows_end(&rows) && (found || fault_set(why, FAULT_INPUT, "the file is not there any more"));
}

/* ── files ── */

bool hosted_add(struct db *db, struct fault *why, const struct hosted_file *file)
{
    int64_t changed;
    const struct hosted_body *body = &file->body;
    if (!db_do(db, why,
               "UPDATE hosted_body SET state = 1, uses = uses + 1, touched_ms = $2 WHERE id = $1 AND state < 2",
               VALUES(V_INT((int64_t)body->id), V_INT(file->created)), &changed))
        return false;
    if (!changed)
        return fault_set(why, FAULT_WORLD, "the file's bytes went while it was added; add it again");
    return db_do(db, why,
                 "INSERT INTO hosted_file (" COLUMNS ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, 0)",
                 VALUES(V_INT((int64_t)file->id), V_INT((int64_t)file->brand_id), V_INT((int64_t)body->id),
                        V_INT((int64_t)file->key_id), V_INT((int64_t)file->message_id), V_TEXT(file->name),
                        V_TEXT(file->type), V_INT((int64_t)body->size_bytes),
                        V_BYTES(slice_of(body->sha256, HOSTED_SHA256)), V_INT(file->created), V_INT(file->expires)),
                 NULL);
}

static bool file_end(struct db *db, struct fault *why, uint64_t id, enum hosted_state state, time_ms now, bool *ended)
{
    int64_t changed;
    if (!db_do(db, why, "UPDATE hosted_file SET state = $2, ended_ms = $3 WHERE id = $1 AND state = 0",
               VALUES(V_INT((int64_t)id), V_INT(state), V_INT(now)), &changed))
        return false;
    *ended = changed > 0;
    return !changed || db_do(db, why,
                             "UPDATE hosted_body SET uses = uses - 1, touched_ms = $2 WHERE id = (SELECT body_id FROM "
                             "hosted_file WHERE id = $1)",
                             VALUES(V_INT((int64_t)id), V_INT(now)), NULL);
}

bool hosted_remove(struct db *db, struct fault *why, uint64_t id, time_ms now, bool *was_there)
{
    return file_end(db, why, id, HOSTED_REMOVED, now, was_there);
}

bool hosted_extend(struct db *db, struct fault *why, uint64_t id, time_ms expires, time_ms now, bool *was_there)
{
    int64_t changed;
    if (!db_do(db, why, "UPDATE hosted_file SET expires_ms = $2 WHERE id = $1 AND state = 0 AND expires_ms > $3",
               VALUES(V_INT((int64_t)id), V_INT(expires), V_INT(now)), &changed))
        return false;
    *was_there = changed > 0;
    return true;
}

bool hosted_downloaded(struct db *db, struct fault *why, uint64_t id)
{
    return db_do(db, why, "UPDATE hosted_file SET downloads = downloads + 1 WHERE id = $1", VALUES(V_INT((int64_t)id)),
                 NULL);
}

static void file_of_row(const struct rows *row, time_ms now, struct arena *arena, struct hosted_file *file)
{
    *file = (struct hosted_file){
        .id = (uint64_t)rows_int(row, 0),
        .brand_id = (uint64_t)rows_int(row, 1),
        .body = {.id = (uint64_t)rows_int(row, 2), .size_bytes = (uint64_t)rows_int(row, 7)},
        .key_id = (uint64_t)rows_int(row, 3),
        .message_id = (uint64_t)rows_int(row, 4),
        .name = arena_copy(arena, rows_text(row, 5)),
        .type = arena_copy(arena, rows_text(row, 6)),
        .created = rows_int(row, 9),
        .expires = rows_int(row, 10),
        .state = (enum hosted_state)rows_int(row, 11),
        .ended = rows_int(row, 12),
        .downloads = (uint64_t)rows_int(row, 13),
    };
    struct slice sha256 = rows_bytes(row, 8);
    if (sha256.len == HOSTED_SHA256)
        memcpy(file->body.sha256, sha256.ptr, HOSTED_SHA256);
    if (file->state == HOSTED_THERE && file->expires <= now) { /* the sweep has not come by yet */
        file->state = HOSTED_EXPIRED;
        file->ended = file->expires;
    }
}

static bool file_read(struct db *db, struct fault *why, const char *sql, const struct value *values, size_t count,
                      time_ms now, struct arena *arena, struct hosted_file *file, bool *found)
{
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows, sql, values, count))
        return false;
    *found = rows_next(&rows);
    if (*found)
        file_of_row(&rows, now, arena, file);
    return rows_end(&rows);
}

bool hosted_find(struct db *db, struct fault *why, uint64_t id, time_ms now, struct arena *arena,
                 struct hosted_file *file, bool *found)
{
    return file_read(db, why, "SELECT " COLUMNS ", downloads FROM hosted_file WHERE id = $1",
                     VALUES(V_INT((int64_t)id)), now, arena, file, found);
}

bool hosted_find_name(struct db *db, struct fault *why, uint64_t brand_id, struct slice name, time_ms now,
                      struct arena *arena, struct hosted_file *file, bool *found)
{
    return file_read(db, why,
                     "SELECT " COLUMNS
                     ", downloads FROM hosted_file WHERE brand_id = $1 AND name = $2 AND state = 0 AND "
                     "message_id = 0 AND expires_ms > $3 ORDER BY id DESC LIMIT 1",
                     VALUES(V_INT((int64_t)brand_id), V_TEXT(name), V_INT(now)), now, arena, file, found);
}

bool hosted_list(struct db *db, struct fault *why, const struct brands *brands, uint64_t before, unsigned limit,
                 bool has_ended, time_ms now, struct arena *arena, struct hosted_file **files, size_t *count)
{
    SCOPED(buf) sql = BUF(8192);
    SCOPED(rows) rows = {0};
    buf_text(&sql, "SELECT " COLUMNS ", downloads FROM hosted_file WHERE id < $1");
    buf_text(&sql, " AND ($3 = 1 OR (state = 0 AND expires_ms > $4))");
    brands_condition(brands, "brand_id", &sql);
    buf_text(&sql, " ORDER BY id DESC LIMIT $2");
    *files = ARENA_ARRAY(arena, struct hosted_file, limit + 1);
    *count = 0;
    if (!db_query(db, why, &rows, buf_cstr(&sql),
                  VALUES(V_INT(before ? (int64_t)before : INT64_MAX), V_INT(limit), V_INT(has_ended), V_INT(now))))
        return false;
    while (rows_next(&rows) && *count < limit)
        file_of_row(&rows, now, arena, &(*files)[(*count)++]);
    return rows_end(&rows);
}

/* ── what is due ── */

static bool files_expire(struct db *db, struct fault *why, time_ms now, struct hosted_swept *swept)
{
    SCOPED(rows) rows = {0};
    uint64_t ids[FILES_A_SWEEP];
    size_t count = 0;
    if (!db_query(db, why, &rows,
                  "SELECT id FROM hosted_file WHERE state = 0 AND expires_ms <= $1 ORDER BY expires_ms LIMIT $2",
                  VALUES(V_INT(now), V_INT(FILES_A_SWEEP))))
        return false;
    while (rows_next(&rows) && count < FILES_A_SWEEP)
        ids[count++] = (uint64_t)rows_int(&rows, 0);
    if (!rows_end(&rows))
        return false;
    for (size_t i = 0; i < count; i++) {
        bool ended;
        if (!file_end(db, why, ids[i], HOSTED_EXPIRED, now, &ended))
            return false;
        swept->expired += ended;
    }
    swept->has_more |= count == FILES_A_SWEEP;
    return true;
}

/* One body, some pieces of it: a transaction keeps others waiting. */
static bool body_go(struct db *db, struct fault *why, time_ms now, struct hosted_swept *swept)
{
    int64_t body[2], changed, pieces;
    bool found;
    time_ms before = now - HOSTED_SPARE_MS;
    if (!db_query_ints(db, why,
                       "SELECT id, size_bytes FROM hosted_body WHERE uses = 0 AND touched_ms < $1 ORDER BY touched_ms "
                       "LIMIT 1",
                       VALUES(V_INT(before)), body, 2, &found))
        return false;
    if (!found)
        return true;
    if (!db_do(db, why, "UPDATE hosted_body SET state = 2 WHERE id = $1 AND uses = 0 AND touched_ms < $2",
               VALUES(V_INT(body[0]), V_INT(before)), &changed))
        return false;
    swept->has_more = true; /* the next one */
    if (!changed)           /* somebody has just come to use it */
        return true;
    if (!db_do(db, why,
               "DELETE FROM hosted_piece WHERE body_id = $1 AND place IN (SELECT place FROM hosted_piece WHERE body_id "
               "= $1 ORDER BY place LIMIT $2)",
               VALUES(V_INT(body[0]), V_INT(PIECES_A_SWEEP)), &pieces))
        return false;
    if (pieces == PIECES_A_SWEEP)
        return true;
    swept->bodies++;
    swept->bytes += (uint64_t)body[1];
    return db_do(db, why, "DELETE FROM hosted_body WHERE id = $1", VALUES(V_INT(body[0])), NULL);
}

bool hosted_sweep(struct db *db, struct fault *why, time_ms now, struct hosted_swept *swept)
{
    *swept = (struct hosted_swept){0};
    return files_expire(db, why, now, swept) && body_go(db, why, now, swept) &&
           db_do(db, why,
                 "DELETE FROM hosted_file WHERE id IN (SELECT id FROM hosted_file WHERE state <> 0 AND ended_ms < $1 "
                 "LIMIT $2)",
                 VALUES(V_INT(now - HOSTED_TOLD_MS), V_INT(FILES_A_SWEEP)), NULL);
}
