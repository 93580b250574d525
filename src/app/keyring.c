/* keyring.c - lives on the writer thread once it watches: woken by its polls, its job is there too
 *
 *     idle --PAUSE_MS over--> queued --read--> idle for PAUSE_MS */
#include "app/keyring.h"

#include "app/change.h"
#include "base/log.h"

enum { PAUSE_MS = 60000 };

struct keyring {
    struct store_watch watch;
    struct write_job job;
    struct store *store;
    struct world *world;
    const struct seal_key *seal;
    struct token_ring ring;
    time_ms next;
    _Atomic bool is_running;
    bool is_watching;
};

static void ring_take(struct token_ring *ring, enum token_kind kind, const struct secret *secret, time_ms now)
{
    struct token_keys keys = {.count = secret->count, .signing = secret->count - 1};
    for (unsigned i = secret->count; i-- > 0;) {
        keys.keys[i].id = (unsigned char)secret->keys[i].id;
        memcpy(keys.keys[i].bytes, secret->keys[i].bytes, TOKEN_KEY_BYTES);
        if (now - secret->keys[i].created >= KEYRING_SIGNS_MS)
            keys.signing = i;
    }
    token_ring_set(ring, kind, &keys);
    explicit_bzero(&keys, sizeof(keys));
}
_Static_assert((int)TOKEN_KEY_BYTES == (int)SECRET_BYTES && (int)TOKEN_KEYS_MAX == (int)SECRET_KEYS_MAX,
               "the same keys");

static bool read_all(struct db *db, struct fault *why, void *context)
{
    struct keyring *keyring = context;
    time_ms now = world_wall(keyring->world);
    struct secret secret;
    bool ok = true;
    for (int kind = 0; ok && kind < TOKEN_KIND_COUNT; kind++) {
        ok = secret_get(db, why, keyring->seal, token_kind_name((enum token_kind)kind), now, &secret);
        if (ok)
            ring_take(&keyring->ring, (enum token_kind)kind, &secret, now);
    }
    explicit_bzero(&secret, sizeof(secret));
    return ok;
}

bool keyring_open(struct store *store, struct world *world, const struct seal_key *seal, struct keyring **keyring_out,
                  struct fault *why)
{
    struct keyring *keyring = NEW(struct keyring);
    keyring->store = store;
    keyring->world = world;
    keyring->seal = seal;
    *keyring_out = keyring;
    return store_change(store, read_all, keyring, why);
}

static bool watch_run(struct write_job *job, struct db *db, struct fault *why)
{
    return read_all(db, why, (struct keyring *)((char *)job - offsetof(struct keyring, job)));
}

static void watch_done(struct write_job *job, const struct fault *why)
{
    struct keyring *keyring = (struct keyring *)((char *)job - offsetof(struct keyring, job));
    if (why)
        log_warn("app", "the keys of tokens cannot be read now, the old ones go on: %s", why->text);
    keyring->next = world_monotonic(keyring->world) + PAUSE_MS;
    atomic_store(&keyring->is_running, false);
}

static void watch_wake(struct store_watch *watch, unsigned marks)
{
    struct keyring *keyring = (struct keyring *)((char *)watch - offsetof(struct keyring, watch));
    if (world_monotonic(keyring->world) < keyring->next || atomic_exchange(&keyring->is_running, true))
        return;
    store_write(keyring->store, &keyring->job);
}

void keyring_watch(struct keyring *keyring)
{
    keyring->job.run = watch_run;
    keyring->job.done = watch_done;
    keyring->job.fails_fast = true;
    keyring->next = world_monotonic(keyring->world) + PAUSE_MS;
    keyring->watch.wake = watch_wake;
    keyring->is_watching = true;
    store_watch_add(keyring->store, &keyring->watch);
}

const struct token_ring *keyring_ring(const struct keyring *keyring)
{
    return &keyring->ring;
}

void keyring_stop(struct keyring *keyring)
{
    if (!keyring || !keyring->is_watching)
        return;
    store_watch_remove(keyring->store, &keyring->watch);
    store_write_settle(keyring->store); /* our job, too */
    keyring->is_watching = false;
}

void keyring_free(struct keyring *keyring)
{
    if (!keyring)
        return;
    token_ring_release(&keyring->ring);
    free(keyring);
}
