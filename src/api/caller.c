#include "api/caller.h"

#include <openssl/sha.h>

static void caller_drop(struct callers *callers, struct caller *caller)
{
    if (caller->has_digest)
        map_remove(&callers->by_digest, slice_of(caller->digest, CALLER_DIGEST));
    id_map_remove(&callers->by_id, caller->key.id);
    free(caller);
}

void callers_release(struct callers *callers)
{
    size_t at = 0;
    for (struct id_map_entry *entry; (entry = id_map_walk(&callers->by_id, &at));)
        free(entry->value);
    map_release(&callers->by_digest);
    id_map_release(&callers->by_id);
    *callers = (struct callers){0};
}

void caller_forget(struct callers *callers, uint64_t key_id)
{
    struct caller *caller = id_map_get(&callers->by_id, key_id);
    if (caller)
        caller->read_at = 0;
}

static struct caller *caller_add(struct callers *callers, const struct key *key, time_ms now)
{
    if (callers->by_id.count >= CALLERS_MOST)
        callers_release(callers);
    struct caller *caller = NEW(struct caller);
    caller->key = *key;
    caller->used_at = key->last_used;
    caller->tokens = key->rights.rate;
    caller->counted_at = now;
    id_map_set(&callers->by_id, key->id, caller);
    return caller;
}

bool caller_find(struct callers *callers, struct db *db, struct slice secret, uint64_t key_id, time_ms now,
                 time_ms wall, struct caller **found, struct fault *why)
{
    unsigned char bytes[CALLER_DIGEST];
    struct slice digest = slice_of(bytes, CALLER_DIGEST);
    SCOPED(arena) arena = {0};
    struct key key;
    bool is_there = false;
    *found = NULL;
    if (secret.len > KEY_SECRET_MAX)
        return true;
    if (secret.len)
        SHA256((const unsigned char *)secret.ptr, secret.len, bytes);
    struct caller *caller = secret.len ? map_get(&callers->by_digest, digest) : id_map_get(&callers->by_id, key_id);
    if (caller && caller->read_at && now - caller->read_at < CALLER_MS) {
        *found = key_is_good(&caller->key, wall) ? caller : NULL;
        return true;
    }
    if (secret.len ? !key_find(db, why, secret, wall, &arena, &key, &is_there)
                   : !key_by_id(db, why, key_id, &arena, &key, &is_there))
        return false;
    if (!is_there || !key_is_good(&key, wall)) {
        if (caller)
            caller_drop(callers, caller);
        return true;
    }
    key.name = SLICE("");
    if (!caller)
        caller = id_map_get(&callers->by_id, key.id); /* known by its session only */
    if (!caller)
        caller = caller_add(callers, &key, now);
    caller->key = key;
    caller->read_at = now ? now : 1;
    if (secret.len && !caller->has_digest) {
        memcpy(caller->digest, bytes, CALLER_DIGEST);
        caller->has_digest = true;
        map_set(&callers->by_digest, digest, caller);
    }
    *found = caller;
    return true;
}

bool caller_may_ask(struct caller *caller, time_ms now, unsigned *left, unsigned *wait_s)
{
    double rate = caller->key.rights.rate;
    *left = 0;
    *wait_s = 0;
    if (rate <= 0)
        return true;
    if (now > caller->counted_at)
        caller->tokens += (double)(now - caller->counted_at) * rate / 60000;
    caller->counted_at = now;
    if (caller->tokens > rate)
        caller->tokens = rate;
    if (caller->tokens < 1) {
        *wait_s = (unsigned)((1 - caller->tokens) * 60 / rate) + 1;
        return false;
    }
    caller->tokens -= 1;
    *left = (unsigned)caller->tokens;
    return true;
}
