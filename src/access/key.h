/* key.h - access keys: what a program or a browser shows to be let in
 *
 * A key is 256 random bits; the store keeps only its SHA-256, so the secret can be shown once, when it is made. There
 * is nothing to guess and no password hash to be slow about: whoever has the secret has the key. */
#ifndef TODOKE_ACCESS_KEY_H
#define TODOKE_ACCESS_KEY_H

#include "base/arena.h"
#include "base/buf.h"
#include "store/store.h"

enum { KEY_SECRET_MAX = 256, KEY_NAME_MAX = 200 }; /* octets */

/* Inside a write job: make a key and put its secret ("todoke_" and 43 characters of base64url) into the empty buf.
 * expires 0: never. INPUT: the name is empty, too long or no clean text. */
NODISCARD bool key_create(struct db *db, struct fault *why, struct slice name, time_ms now, time_ms expires,
                          struct buf *secret);
/* *is_good: there is such a key and it has not expired. Compared in constant time. */
NODISCARD bool key_check(struct db *db, struct fault *why, struct slice secret, time_ms now, bool *is_good);
/* Inside a write job. *was_there: how a wrong name is told. All keys of that name. */
NODISCARD bool key_remove(struct db *db, struct fault *why, struct slice name, bool *was_there);

struct key {
    uint64_t id;
    struct slice name;
    time_ms created, expires; /* expires 0: never */
};
/* All keys, oldest first; names live in the arena. */
NODISCARD bool key_list(struct db *db, struct fault *why, struct arena *arena, struct key **keys, size_t *count);

#endif
