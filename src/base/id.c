#include "base/id.h"

#include <assert.h>

enum { BUCKET_BITS = 8, COUNTER_BITS = 4, NODE_BITS = 10 };
/* What a clock says outside these is wrong: ids count on from the nearer one. Behind the last (2085) there is room for
 * what is borrowed, within 41 bits. */
static const time_ms EPOCH_MS = 1704067200000, LAST_MS = 1704067200000 + (1ll << 41) - (1ll << 38);

uint64_t id_make(struct id_maker *maker, time_ms now, unsigned bucket)
{
    assert(maker->node < ID_NODES && bucket < ID_BUCKETS);
    now = now < EPOCH_MS ? EPOCH_MS : now > LAST_MS ? LAST_MS : now;
    /* when the clock stands still or steps back we count on from the last */
    _Atomic uint64_t *place = &maker->last[bucket];
    uint64_t floor = (uint64_t)(now - EPOCH_MS) << COUNTER_BITS, last = atomic_load(place), next;
    do {
        next = last >= floor ? last + 1 : floor;
    } while (!atomic_compare_exchange_weak(place, &last, next));
    uint64_t counter = next & ((1u << COUNTER_BITS) - 1);
    return ((next >> COUNTER_BITS << NODE_BITS | maker->node) << COUNTER_BITS | counter) << BUCKET_BITS | bucket;
}

uint64_t id_make_anywhere(struct id_maker *maker, time_ms now)
{
    enum { EACH = 32 };
    static _Atomic unsigned turn;
    return id_make(maker, now, atomic_fetch_add(&turn, 1) / EACH % ID_BUCKETS);
}

void id_maker_floor(struct id_maker *maker, uint64_t id)
{
    uint64_t tick = (uint64_t)(id_time(id) - EPOCH_MS + 1) << COUNTER_BITS;
    _Atomic uint64_t *place = &maker->last[id_bucket(id)];
    if (atomic_load(place) < tick)
        atomic_store(place, tick);
}

uint64_t id_first_of(time_ms at)
{
    return at <= EPOCH_MS ? 0 : (uint64_t)(at - EPOCH_MS) << (NODE_BITS + COUNTER_BITS + BUCKET_BITS);
}

time_ms id_time(uint64_t id)
{
    return (time_ms)(id >> (NODE_BITS + COUNTER_BITS + BUCKET_BITS)) + EPOCH_MS;
}
