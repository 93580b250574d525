/* keyring.h - the keys of our tokens, as the store has them; read again each minute
 *
 * A rotation (`todoke key rotate`) makes a newer key. Every node has read it before anyone signs with it: it signs from
 * KEYRING_SIGNS_MS after it was made. The eight newest of a kind verify. */
#ifndef TODOKE_APP_KEYRING_H
#define TODOKE_APP_KEYRING_H

#include "mailauth/token.h"
#include "net/world.h"
#include "store/seal.h"
#include "store/store.h"

enum { KEYRING_SIGNS_MS = 5 * 60 * 1000 };

struct keyring;
/* Reads, and makes what is not there yet. Before the store's first write. */
NODISCARD bool keyring_open(struct store *store, struct world *world, const struct seal_key *seal,
                            struct keyring **keyring, struct fault *why);
void keyring_watch(struct keyring *keyring);
const struct token_ring *keyring_ring(const struct keyring *keyring);
void keyring_stop(struct keyring *keyring); /* no more reading; before store_close. NULL is fine to both */
void keyring_free(struct keyring *keyring); /* when nobody makes or checks tokens any more */

#endif
