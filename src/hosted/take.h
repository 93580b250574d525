/* take.h - a file on the disk becomes a body in the store, in small transactions between those of others
 *
 * It is read twice: for its SHA-256, which may show that the bytes are there already, and to be written. Blocks: for
 * commands, and for threads of their own. */
#ifndef TODOKE_HOSTED_TAKE_H
#define TODOKE_HOSTED_TAKE_H

#include "hosted/hosted.h"
#include "net/world.h"
#include "store/store.h"

/* Who looks on; all may be NULL. */
struct hosted_watch {
    const _Atomic bool *is_stopping;                                     /* has become true: give up */
    void (*progress)(const struct hosted_watch *watch, uint64_t octets); /* are written */
};
/* The first size_bytes octets of `file`, by pread. The body waits for hosted_add, HOSTED_SPARE_MS at most. INPUT: it is
 * shorter, changed while it was read, or larger than HOSTED_SIZE_MAX; WORLD: the store, the disk, or it was
 * stopped. watch may be NULL. */
NODISCARD bool hosted_take(struct store *store, struct world *world, int file, uint64_t size_bytes,
                           const struct hosted_watch *watch, struct hosted_body *body, struct fault *why);

#endif
