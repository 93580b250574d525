/* seal.h - secrets in the store are sealed by a key that is not in it
 *
 * One key file (mode 0600, outside the store and its backups) seals everything by AES-256-GCM with a random nonce. A
 * sealed text is: version 1, key id (4 bytes), nonce (12), ciphertext, tag (16). `context` names what is sealed (table,
 * column, name); it is authenticated, so a sealed value cannot be moved to another row. */
#ifndef TODOKE_STORE_SEAL_H
#define TODOKE_STORE_SEAL_H

#include "store/db.h"

struct seal_key {
    uint32_t id;
    unsigned char key[32];
};
enum { SEAL_OVERHEAD = 1 + 4 + 12 + 16 };

/* Read the key file, or create it when absent. INPUT: readable by others, not ours, or no key file. */
NODISCARD bool seal_key_load(struct seal_key *key, const char *path, struct fault *why);
void seal_key_release(struct seal_key *key); /* forgets the bytes */

void seal(const struct seal_key *key, struct slice context, struct slice secret, struct buf *out);
/* INPUT: another key's, damaged, or sealed for another context. */
NODISCARD bool seal_open(const struct seal_key *key, struct slice context, struct slice sealed, struct buf *out,
                         struct fault *why);

/* Named HMAC keys (table secret): "return_path", "link", "session" ... Each has ids 0, 1, ...; the greatest signs, all
 * verify.
 */
enum { SECRET_BYTES = 32, SECRET_KEYS_MAX = 8 };
struct secret {
    unsigned count; /* keys, newest first */
    struct {
        unsigned id;
        unsigned char bytes[SECRET_BYTES];
        time_ms created;
    } keys[SECRET_KEYS_MAX];
};
/* Read the newest keys of this name, making the first one when there is none (so call it where writing is allowed). */
NODISCARD bool secret_get(struct db *db, struct fault *why, const struct seal_key *key, const char *name, time_ms now,
                          struct secret *secret);
/* Which key file sealed the newest of all of them; 0: there is none. */
NODISCARD bool secret_sealed_by(struct db *db, struct fault *why, uint32_t *key_id);
/* Add a newer key. */
NODISCARD bool secret_rotate(struct db *db, struct fault *why, const struct seal_key *key, const char *name,
                             time_ms now);

#endif
