#include "base/shared.h"

#include "base/memory.h"

struct shared *shared_new(size_t len)
{
    struct shared *shared = memory_alloc(sizeof(*shared) + len);
    atomic_init(&shared->holders, 1);
    shared->len = len;
    return shared;
}

struct shared *shared_hold(struct shared *shared)
{
    atomic_fetch_add_explicit(&shared->holders, 1, memory_order_relaxed);
    return shared;
}

void shared_drop(struct shared *shared)
{
    if (shared && atomic_fetch_sub_explicit(&shared->holders, 1, memory_order_acq_rel) == 1)
        free(shared);
}
