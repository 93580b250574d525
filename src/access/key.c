#include "access/key.h"

#include "access/submit_right.h"
#include "base/base64.h"
#include "base/random.h"
#include "base/utf8.h"
#include <openssl/sha.h>

#define KEY_PREFIX "todoke_" /* so that people and secret scanners see what it is */
#define KEY_COLUMNS                                                                                                    \
    "id, name, created_ms, expires_ms, revoked_ms, last_used_ms, scopes, brand_ids, rate, paused_ms, maker_id, "       \
    "sessions_ended_ms"
enum { KEY_BYTES = 32, KEYS_MOST = 10000, KEY_COLUMN_COUNT = 12 };

static struct slice digest_of(struct slice secret, unsigned char digest[SHA256_DIGEST_LENGTH])
{
    SHA256((const unsigned char *)secret.ptr, secret.len, digest);
    return slice_of(digest, SHA256_DIGEST_LENGTH);
}

static bool name_is_clean(struct slice name)
{
    return name.len && name.len <= KEY_NAME_MAX && utf8_is_valid(name) && utf8_is_line(name);
}

/* ── rights ── */

#define RESOURCE_WORD(NAME, word) SLICE_INIT(#word),
static const struct slice resources[] = {KEY_RESOURCES(RESOURCE_WORD)};
_Static_assert(2 * KEY_RESOURCE_COUNT < 31, "the rights are bits of an int");

enum { RIGHTS_OF_READING = 0x15555555 & KEY_ALL };

bool key_may_brand(const struct key_rights *rights, uint64_t brand_id)
{
    for (size_t i = 0; i < rights->brand_count; i++)
        if (rights->brands[i] == brand_id)
            return brand_id != 0;
    return rights->brand_count == 0;
}

bool key_rights_within(const struct key_rights *rights, const struct key_rights *giver)
{
    if ((rights->scopes & ~giver->scopes) || (giver->brand_count && !rights->brand_count))
        return false;
    for (size_t i = 0; i < rights->brand_count; i++)
        if (!key_may_brand(giver, rights->brands[i]))
            return false;
    return !giver->rate || (rights->rate && rights->rate <= giver->rate);
}

static bool scope_of(struct slice word, unsigned *bits)
{
    bool is_read = slice_ends(word, SLICE(":read"));
    if (is_read)
        word = slice_head(word, word.len - 5);
    if (slice_equal(word, SLICE("all"))) {
        *bits = is_read ? RIGHTS_OF_READING : KEY_ALL;
        return true;
    }
    for (unsigned i = 0; i < KEY_RESOURCE_COUNT; i++) {
        if (slice_equal(word, resources[i])) {
            *bits = (is_read ? 1u : 3u) << (2 * i);
            return true;
        }
    }
    return false;
}

bool key_scopes_parse(struct slice text, unsigned *scopes, struct fault *why)
{
    struct slice word;
    *scopes = 0;
    while (slice_split(&text, ',', &word)) {
        unsigned bits;
        if (scope_of(slice_trim(word), &bits)) {
            *scopes |= bits;
            continue;
        }
        SCOPED(buf) words = BUF(400);
        for (unsigned i = 0; i < KEY_RESOURCE_COUNT; i++) {
            buf_text(&words, ", ");
            buf_append(&words, resources[i]);
        }
        return fault_set(why, FAULT_INPUT, "\"%.*s\" is no scope; there are all%.*s, each also with :read",
                         SLICE_ARG(slice_head(slice_trim(word), 60)), SLICE_ARG(buf_slice(&words)));
    }
    return true;
}

void key_scopes_print(unsigned scopes, struct buf *out)
{
    const char *comma = "";
    if (scopes == KEY_ALL || scopes == RIGHTS_OF_READING) {
        buf_str(out, scopes == KEY_ALL ? "all" : "all:read");
        return;
    }
    for (unsigned i = 0; i < KEY_RESOURCE_COUNT; i++) {
        unsigned bits = scopes >> (2 * i) & 3;
        if (!bits)
            continue;
        buf_str(out, comma);
        buf_append(out, resources[i]);
        if (bits == 1)
            buf_text(out, ":read");
        comma = ",";
    }
}

void key_right_print(unsigned right, struct buf *out)
{
    key_scopes_print((right & RIGHTS_OF_READING) == right ? right : right | right >> 1, out);
}

static void brands_print(const struct key_rights *rights, struct buf *out)
{
    for (size_t i = 0; i < rights->brand_count; i++)
        buf_printf(out, "%s%llu", i ? "," : "", (unsigned long long)rights->brands[i]);
}

static void brands_parse(struct slice text, struct key_rights *rights)
{
    struct slice word;
    if (!text.len)
        return;
    while (rights->brand_count < KEY_BRANDS_MAX && slice_split(&text, ',', &word)) {
        uint64_t id = 0;
        if (!slice_to_u64(word, &id))
            id = 0; /* a brand that is none: never every brand */
        rights->brands[rights->brand_count++] = id;
    }
}

static bool rights_check(struct db *db, struct fault *why, const struct key_rights *rights)
{
    if (!rights->scopes || (rights->scopes & ~(unsigned)KEY_ALL))
        return fault_set(why, FAULT_INPUT, "a key needs at least one scope");
    if (rights->rate > KEY_RATE_MAX)
        return fault_set(why, FAULT_INPUT, "a key's rate is at most %d requests a minute", KEY_RATE_MAX);
    for (size_t i = 0; i < rights->brand_count; i++) {
        int64_t id;
        bool found;
        if (!db_query_ints(db, why, "SELECT id FROM brand WHERE id = $1", VALUES(V_INT((int64_t)rights->brands[i])),
                           &id, 1, &found))
            return false;
        if (!found)
            return fault_set(why, FAULT_INPUT, "there is no brand %llu", (unsigned long long)rights->brands[i]);
    }
    return true;
}

/* ── making ── */

bool key_create(struct db *db, struct fault *why, struct slice name, time_ms now, time_ms expires,
                const struct key_rights *rights, struct buf *secret, uint64_t *id)
{
    const struct key_rights all = KEY_RIGHTS_ALL;
    if (!rights)
        rights = &all;
    if (!name_is_clean(name))
        return fault_set(why, FAULT_INPUT, "a key's name is 1 to %d bytes of text without control characters",
                         KEY_NAME_MAX);
    if (!rights_check(db, why, rights))
        return false;
    unsigned char bytes[KEY_BYTES], digest[SHA256_DIGEST_LENGTH];
    SCOPED(buf) scopes = BUF(KEY_SCOPES_TEXT_MAX);
    SCOPED(buf) brands = BUF(KEY_BRANDS_MAX * 24);
    key_scopes_print(rights->scopes, &scopes);
    brands_print(rights, &brands);
    random_bytes(bytes, sizeof(bytes));
    buf_reset(secret);
    buf_text(secret, KEY_PREFIX);
    base64url_encode(secret, slice_of(bytes, sizeof(bytes)));
    explicit_bzero(bytes, sizeof(bytes));
    uint64_t fresh = id_make_anywhere(db_ids(db), now);
    if (id)
        *id = fresh;
    return db_do(db, why,
                 "INSERT INTO access_key (id, name, secret_sha256, created_ms, expires_ms, scopes, brand_ids, rate) "
                 "VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                 VALUES(V_INT((int64_t)fresh), V_TEXT(name), V_BYTES(digest_of(buf_slice(secret), digest)), V_INT(now),
                        V_INT(expires), V_TEXT(buf_slice(&scopes)), V_TEXT(buf_slice(&brands)), V_INT(rights->rate)),
                 NULL) &&
           (!key_may(rights, KEY_SUBMIT_WRITE) || submit_right_create(db, why, fresh, buf_slice(secret)));
}

/* ── finding ── */

static void key_from_row(const struct rows *rows, struct arena *arena, struct key *key)
{
    struct fault ignored;
    *key = (struct key){
        .id = (uint64_t)rows_int(rows, 0),
        .name = arena_copy(arena, rows_text(rows, 1)),
        .created = rows_int(rows, 2),
        .expires = rows_int(rows, 3),
        .revoked = rows_int(rows, 4),
        .last_used = rows_int(rows, 5),
        .rights.rate = (unsigned)rows_int(rows, 8),
        .paused = rows_int(rows, 9),
        .maker = (uint64_t)rows_int(rows, 10),
        .sessions_ended = rows_int(rows, 11),
    };
    if (!key_scopes_parse(rows_text(rows, 6), &key->rights.scopes, &ignored))
        key->rights.scopes = 0; /* a word of a newer program: it may do nothing here */
    brands_parse(rows_text(rows, 7), &key->rights);
}

/* The index is asked for the digest, not for the secret: how long that takes tells nothing that helps to find one. */
bool key_find(struct db *db, struct fault *why, struct slice secret, time_ms now, struct arena *arena, struct key *key,
              bool *found)
{
    unsigned char bytes[SHA256_DIGEST_LENGTH];
    *found = false;
    if (!secret.len || secret.len > KEY_SECRET_MAX)
        return true;
    struct slice digest = digest_of(secret, bytes);
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows, "SELECT " KEY_COLUMNS ", secret_sha256 FROM access_key WHERE secret_sha256 = $1",
                  VALUES(V_BYTES(digest))))
        return false;
    bool is_equal = rows_next(&rows) && slice_equal_constant_time(rows_bytes(&rows, KEY_COLUMN_COUNT), digest);
    if (is_equal)
        key_from_row(&rows, arena, key);
    if (!rows_end(&rows))
        return false;
    *found = is_equal && key_is_good(key, now);
    return true;
}

bool key_by_id(struct db *db, struct fault *why, uint64_t id, struct arena *arena, struct key *key, bool *found)
{
    SCOPED(rows) rows = {0};
    *found = false;
    if (!db_query(db, why, &rows, "SELECT " KEY_COLUMNS " FROM access_key WHERE id = $1", VALUES(V_INT((int64_t)id))))
        return false;
    if (rows_next(&rows)) {
        *found = true;
        key_from_row(&rows, arena, key);
    }
    return rows_end(&rows);
}

bool key_list(struct db *db, struct fault *why, struct arena *arena, struct key **keys, size_t *count)
{
    int64_t room = 0;
    *count = 0;
    if (!db_query_ints(db, why, "SELECT COUNT(*) FROM access_key WHERE revoked_ms = 0", NO_VALUES, &room, 1, NULL))
        return false;
    if (room > KEYS_MOST)
        room = KEYS_MOST;
    *keys = ARENA_ARRAY(arena, struct key, (size_t)room + 1);
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows, "SELECT " KEY_COLUMNS " FROM access_key WHERE revoked_ms = 0 ORDER BY id LIMIT $1",
                  VALUES(V_INT(room))))
        return false;
    while (*count < (size_t)room && rows_next(&rows))
        key_from_row(&rows, arena, &(*keys)[(*count)++]);
    return rows_end(&rows);
}

/* ── their end ── */

bool key_remove(struct db *db, struct fault *why, struct slice name, time_ms now, bool *was_there)
{
    int64_t removed = 0;
    if (!db_do(db, why, "UPDATE access_key SET revoked_ms = $2 WHERE name = $1 AND revoked_ms = 0",
               VALUES(V_TEXT(name), V_INT(now)), &removed))
        return false;
    *was_there = removed > 0;
    return true;
}

bool key_revoke(struct db *db, struct fault *why, uint64_t id, time_ms now, bool *was_there)
{
    int64_t removed = 0;
    if (!db_do(db, why, "UPDATE access_key SET revoked_ms = $2 WHERE id = $1 AND revoked_ms = 0",
               VALUES(V_INT((int64_t)id), V_INT(now)), &removed))
        return false;
    *was_there = removed > 0;
    return true;
}

bool key_pause(struct db *db, struct fault *why, uint64_t id, time_ms now, bool *was_there)
{
    int64_t paused = 0;
    if (!db_do(db, why,
               "UPDATE access_key SET paused_ms = CASE WHEN paused_ms = 0 THEN $2 ELSE paused_ms END WHERE id = $1 AND "
               "revoked_ms = 0",
               VALUES(V_INT((int64_t)id), V_INT(now)), &paused))
        return false;
    *was_there = paused > 0;
    return true;
}

bool key_release(struct db *db, struct fault *why, uint64_t id, bool *was_there)
{
    int64_t released = 0;
    if (!db_do(db, why, "UPDATE access_key SET paused_ms = 0 WHERE id = $1 AND revoked_ms = 0",
               VALUES(V_INT((int64_t)id)), &released))
        return false;
    *was_there = released > 0;
    return true;
}

bool key_sessions_end(struct db *db, struct fault *why, uint64_t id, time_ms now, bool *was_there)
{
    int64_t ended = 0;
    if (!db_do(db, why, "UPDATE access_key SET sessions_ended_ms = $2 WHERE id = $1 AND revoked_ms = 0",
               VALUES(V_INT((int64_t)id), V_INT(now)), &ended))
        return false;
    *was_there = ended > 0;
    return true;
}

bool key_made_by(struct db *db, struct fault *why, uint64_t id, uint64_t maker)
{
    SCOPED(arena) arena = {0};
    struct submit_right own, makers;
    if (!db_do(db, why, "UPDATE access_key SET maker_id = $2 WHERE id = $1",
               VALUES(V_INT((int64_t)id), V_INT((int64_t)maker)), NULL) ||
        !submit_right_find(db, why, id, &arena, &own) || !submit_right_find(db, why, maker, &arena, &makers))
        return false;
    return !own.has_scram || (!makers.domains.len && !makers.per_hour) ||
           submit_right_limit(db, why, id, makers.domains, makers.per_hour);
}

/* ── when it was used last ── */

struct use_job {
    struct write_job job;
    uint64_t key_id;
    time_ms at;
};

static bool use_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct use_job *use = (struct use_job *)job;
    return db_do(db, why, "UPDATE access_key SET last_used_ms = $2 WHERE id = $1 AND last_used_ms < $2",
                 VALUES(V_INT((int64_t)use->key_id), V_INT(use->at)), NULL);
}

static void use_done(struct write_job *job, const struct fault *why)
{
    free(job);
}

void key_use(struct store *store, uint64_t id, time_ms at)
{
    struct use_job *use = NEW(struct use_job);
    *use = (struct use_job){.job = {.run = use_run, .done = use_done, .fails_fast = true}, .key_id = id, .at = at};
    store_write(store, &use->job);
}
