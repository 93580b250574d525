/* caller.h - who asks: the key behind a request, what it may do, and how often it has asked
 *
 * Keys are read from the store and kept for CALLER_MS: a key revoked elsewhere works for a second at most, one revoked
 * through this API not at all. Belongs to the api's thread. */
#ifndef TODOKE_API_CALLER_H
#define TODOKE_API_CALLER_H

#include "access/key.h"
#include "base/map.h"
#include "mail/brands.h"

enum { CALLER_MS = 1000, CALLERS_MOST = 10000, CALLER_USED_MS = 60000, CALLER_DIGEST = 32 };

struct caller {
    struct key key; /* its name is not kept */
    unsigned char digest[CALLER_DIGEST];
    time_ms read_at;    /* monotonic */
    time_ms used_at;    /* wall: what the store was told last */
    double tokens;      /* requests it may make at once */
    time_ms counted_at; /* monotonic: when tokens were counted */
    bool has_digest;
};
struct callers {
    struct map by_digest;
    struct id_map by_id;
};
void callers_release(struct callers *callers);

/* Of a secret, or of a key's id (secret empty). *caller NULL: nobody who may come in. `now` and `wall` are the two
 * clocks. */
NODISCARD bool caller_find(struct callers *callers, struct db *db, struct slice secret, uint64_t key_id, time_ms now,
                           time_ms wall, struct caller **caller, struct fault *why);
/* It was revoked or changed: read it again before the next request. */
void caller_forget(struct callers *callers, uint64_t key_id);

/* Count one request. False: too many; *wait_s is when to ask again. *left: how many it may make just now. Without a
 * rate always true. */
bool caller_may_ask(struct caller *caller, time_ms now, unsigned *left, unsigned *wait_s);

static inline struct brands caller_brands(const struct caller *caller)
{
    return (struct brands){caller->key.rights.brands, caller->key.rights.brand_count};
}

#endif
