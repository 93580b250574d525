/* id.h - 64-bit ids made by the node, never by the database
 *
 * 41 bits of milliseconds since 2024-01-01, 10 bits of node, 4 bits of counter, 8 bits of bucket: they sort by time
 * within a bucket, are positive as signed numbers, and tell where their row lives. Safe from any thread. More than 16
 * in one millisecond and bucket borrow from the next milliseconds; after a restart id_maker_floor keeps us above what
 * was borrowed. */
#ifndef TODOKE_BASE_ID_H
#define TODOKE_BASE_ID_H

#include "base/slice.h"
#include "base/time.h"
#include <stdatomic.h>

enum { ID_BUCKETS = 256, ID_NODES = 1024 };

struct id_maker {
    _Atomic uint64_t last[ID_BUCKETS]; /* time and counter as one number */
    unsigned node;                     /* 0..ID_NODES-1 */
};

uint64_t id_make(struct id_maker *maker, time_ms now, unsigned bucket);
/* An id for a row that belongs to no address: buckets in turn, a few ids each, so that rows of one moment lie together.
 */
uint64_t id_make_anywhere(struct id_maker *maker, time_ms now);
/* Never make an id at or below this one (the greatest in the store at start). */
void id_maker_floor(struct id_maker *maker, uint64_t id);

time_ms id_time(uint64_t id);
/* No id that was made at this time or later is below it; 0 before there were ids. */
uint64_t id_first_of(time_ms at);
static inline unsigned id_bucket(uint64_t id)
{
    return (unsigned)(id & (ID_BUCKETS - 1));
}

#endif
