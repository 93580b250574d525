#include "access/submit_right.h"

#include "base/random.h"
#include "mail/address.h"

enum { SALT_BYTES = 16 };

bool submit_right_create(struct db *db, struct fault *why, uint64_t key_id, struct slice secret)
{
    unsigned char salt[SALT_BYTES];
    struct scram_keys keys;
    random_bytes(salt, sizeof(salt));
    scram_keys_make(secret, slice_of(salt, sizeof(salt)), SCRAM_ITERATIONS, &keys);
    return db_do(db, why,
                 "INSERT INTO submit_right (key_id, salt, iterations, stored_key, server_key) VALUES ($1, $2, $3, $4, "
                 "$5)",
                 VALUES(V_INT((int64_t)key_id), V_BYTES(slice_of(salt, sizeof(salt))), V_INT(keys.iterations),
                        V_BYTES(slice_of(keys.stored, SCRAM_KEY_BYTES)),
                        V_BYTES(slice_of(keys.server, SCRAM_KEY_BYTES))),
                 NULL);
}

bool submit_right_limit(struct db *db, struct fault *why, uint64_t key_id, struct slice domains, unsigned per_hour)
{
    SCOPED(arena) arena = {0};
    SCOPED(buf) clean = BUF(SUBMIT_DOMAINS_TEXT_MAX);
    struct slice rest = domains, domain, normal;
    int64_t changed;
    while (domains.len && slice_split(&rest, ',', &domain)) {
        if (!domain_normalise(slice_trim(domain), &arena, &normal, why))
            return false;
        if (clean.len)
            buf_byte(&clean, ',');
        buf_append(&clean, normal);
    }
    if (!buf_ok(&clean))
        return fault_set(why, FAULT_INPUT, "more than %d octets of domains", SUBMIT_DOMAINS_TEXT_MAX);
    return db_do(db, why, "UPDATE submit_right SET domains = $2, per_hour = $3 WHERE key_id = $1",
                 VALUES(V_INT((int64_t)key_id), V_TEXT(buf_slice(&clean)), V_INT(per_hour)), &changed) &&
           (changed || fault_set(why, FAULT_INPUT, "there is no such key, or it is of an older kind: make a new one"));
}

static bool take_bytes(struct slice from, unsigned char *to, size_t len)
{
    if (from.len == len)
        memcpy(to, from.ptr, len);
    return from.len == len;
}

bool submit_right_find(struct db *db, struct fault *why, uint64_t key_id, struct arena *arena,
                       struct submit_right *right)
{
    *right = (struct submit_right){0};
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows,
                  "SELECT domains, per_hour, salt, iterations, stored_key, server_key FROM submit_right WHERE key_id = "
                  "$1",
                  VALUES(V_INT((int64_t)key_id))))
        return false;
    if (!rows_next(&rows))
        return rows_end(&rows);
    right->domains = arena_copy(arena, rows_text(&rows, 0));
    right->per_hour = (unsigned)rows_int(&rows, 1);
    right->scram.iterations = (unsigned)rows_int(&rows, 3);
    right->scram.salt_len = SALT_BYTES;
    right->has_scram = take_bytes(rows_bytes(&rows, 2), right->scram.salt, SALT_BYTES) &&
                       take_bytes(rows_bytes(&rows, 4), right->scram.stored, SCRAM_KEY_BYTES) &&
                       take_bytes(rows_bytes(&rows, 5), right->scram.server, SCRAM_KEY_BYTES);
    return rows_end(&rows);
}

bool submit_right_has_domain(const struct submit_right *right, struct slice domain)
{
    struct slice rest = right->domains, one;
    while (right->domains.len && slice_split(&rest, ',', &one))
        if (slice_equal(domain, one) ||
            (domain.len > one.len && slice_ends(domain, one) && domain.ptr[domain.len - one.len - 1] == '.'))
            return true;
    return right->domains.len == 0;
}

bool submit_key_named(struct db *db, struct fault *why, struct slice name, time_ms now, struct arena *arena,
                      struct key *key, bool *found)
{
    uint64_t number;
    int64_t id = 0;
    *found = false;
    if (slice_to_u64(name, &number) && number <= INT64_MAX) {
        if (!key_by_id(db, why, number, arena, key, found))
            return false;
        *found = *found && key_is_good(key, now);
        if (*found)
            return true;
    }
    bool has_id;
    return db_query_ints(
               db, why,
               "SELECT id FROM access_key WHERE name = $1 AND revoked_ms = 0 AND paused_ms = 0 AND (expires_ms = 0 OR "
               "expires_ms > $2) ORDER BY id DESC LIMIT 1",
               VALUES(V_TEXT(name), V_INT(now)), &id, 1, &has_id) &&
           (!has_id || key_by_id(db, why, (uint64_t)id, arena, key, found));
}
