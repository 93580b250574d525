#include "base/id.h"

#include <assert.h>

enum { NODE_BITS = 10, COUNTER_BITS = 12 };
static const time_ms EPOCH_MS = 1704067200000;

uint64_t id_make(struct id_maker *maker, time_ms now)
{
    assert(maker->node < 1u << NODE_BITS && now >= EPOCH_MS);
    /* `last` is time and counter as one number; when the clock stands still or steps back we count on from it */
    uint64_t floor = (uint64_t)(now - EPOCH_MS) << COUNTER_BITS, last = atomic_load(&maker->last), next;
    do {
        next = last >= floor ? last + 1 : floor;
    } while (!atomic_compare_exchange_weak(&maker->last, &last, next));
    uint64_t counter = next & ((1u << COUNTER_BITS) - 1);
    return (next >> COUNTER_BITS) << (NODE_BITS + COUNTER_BITS) | (uint64_t)maker->node << COUNTER_BITS | counter;
}

time_ms id_time(uint64_t id)
{
    return (time_ms)(id >> (NODE_BITS + COUNTER_BITS)) + EPOCH_MS;
}
