/* shared.h - one block of bytes that several threads look at; whoever drops it last frees it
 *
 * Written by its maker before he gives it away, and never again. */
#ifndef TODOKE_BASE_SHARED_H
#define TODOKE_BASE_SHARED_H

#include "base/slice.h"
#include <stdatomic.h>

struct shared {
    _Atomic unsigned holders;
    size_t len;
    char bytes[];
};

/* Uninitialised, held once. */
struct shared *shared_new(size_t len);
struct shared *shared_hold(struct shared *shared);
void shared_drop(struct shared *shared); /* NULL is fine */

static inline struct slice shared_slice(const struct shared *shared)
{
    return slice_of(shared->bytes, shared->len);
}

#endif
