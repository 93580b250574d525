/* id.h - 64-bit ids made by the node, never by the database
 *
 * 41 bits of milliseconds since 2024-01-01, 10 bits of node, 12 bits of counter: they sort by time, and are positive as
 * signed numbers. Safe from any thread. More than 4096 in one millisecond borrow from the next one. */
#ifndef TODOKE_BASE_ID_H
#define TODOKE_BASE_ID_H

#include "base/slice.h"
#include "base/time.h"
#include <stdatomic.h>

struct id_maker {
    _Atomic uint64_t last;
    unsigned node; /* 0..1023 */
};

uint64_t id_make(struct id_maker *maker, time_ms now);
time_ms id_time(uint64_t id);

#endif
