#include "access/key.h"

#include "base/base64.h"
#include "base/random.h"
#include "base/utf8.h"
#include <openssl/sha.h>

#define KEY_PREFIX "todoke_" /* so that people and secret scanners see what it is */
enum { KEY_BYTES = 32, KEYS_MOST = 10000 };

static struct slice digest_of(struct slice secret, unsigned char digest[SHA256_DIGEST_LENGTH])
{
    SHA256((const unsigned char *)secret.ptr, secret.len, digest);
    return slice_of(digest, SHA256_DIGEST_LENGTH);
}

static bool name_is_clean(struct slice name)
{
    for (size_t i = 0; i < name.len; i++)
        if ((unsigned char)name.ptr[i] < ' ' || name.ptr[i] == 0x7f)
            return false;
    return name.len && name.len <= KEY_NAME_MAX && utf8_is_valid(name);
}

bool key_create(struct db *db, struct fault *why, struct slice name, time_ms now, time_ms expires, struct buf *secret)
{
    if (!name_is_clean(name))
        return fault_set(why, FAULT_INPUT, "a key's name is 1 to %d bytes of text without control characters",
                         KEY_NAME_MAX);
    unsigned char bytes[KEY_BYTES], digest[SHA256_DIGEST_LENGTH];
    random_bytes(bytes, sizeof(bytes));
    buf_reset(secret);
    buf_text(secret, KEY_PREFIX);
    base64url_encode(secret, slice_of(bytes, sizeof(bytes)));
    uint64_t id = id_make_anywhere(db_ids(db), now);
    return db_do(db, why,
                 "INSERT INTO access_key (id, name, secret_sha256, created_ms, expires_ms) VALUES ($1, $2, $3, $4, $5)",
                 VALUES(V_INT((int64_t)id), V_TEXT(name), V_BYTES(digest_of(buf_slice(secret), digest)), V_INT(now),
                        V_INT(expires)),
                 NULL);
}

/* The index is asked for the digest, not for the secret: how long that takes tells nothing that helps to find one. */
bool key_check(struct db *db, struct fault *why, struct slice secret, time_ms now, bool *is_good)
{
    unsigned char bytes[SHA256_DIGEST_LENGTH];
    *is_good = false;
    if (!secret.len || secret.len > KEY_SECRET_MAX)
        return true;
    struct slice digest = digest_of(secret, bytes);
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows,
                  "SELECT secret_sha256 FROM access_key WHERE secret_sha256 = $1 AND (expires_ms = 0 OR expires_ms > "
                  "$2)",
                  VALUES(V_BYTES(digest), V_INT(now))))
        return false;
    bool is_equal = rows_next(&rows) && slice_equal_constant_time(rows_bytes(&rows, 0), digest);
    if (!rows_end(&rows))
        return false;
    *is_good = is_equal;
    return true;
}

bool key_remove(struct db *db, struct fault *why, struct slice name, bool *was_there)
{
    int64_t removed = 0;
    if (!db_do(db, why, "DELETE FROM access_key WHERE name = $1", VALUES(V_TEXT(name)), &removed))
        return false;
    *was_there = removed > 0;
    return true;
}

bool key_list(struct db *db, struct fault *why, struct arena *arena, struct key **keys, size_t *count)
{
    int64_t room = 0;
    *count = 0;
    if (!db_query_ints(db, why, "SELECT COUNT(*) FROM access_key", NO_VALUES, &room, 1, NULL))
        return false;
    if (room > KEYS_MOST)
        room = KEYS_MOST;
    *keys = ARENA_ARRAY(arena, struct key, (size_t)room + 1);
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows, "SELECT id, name, created_ms, expires_ms FROM access_key ORDER BY id LIMIT $1",
                  VALUES(V_INT(room))))
        return false;
    while (*count < (size_t)room && rows_next(&rows))
        (*keys)[(*count)++] = (struct key){
            .id = (uint64_t)rows_int(&rows, 0),
            .name = arena_copy(arena, rows_text(&rows, 1)),
            .created = rows_int(&rows, 2),
            .expires = rows_int(&rows, 3),
        };
    return rows_end(&rows);
}
