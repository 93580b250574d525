/* counted.h - the counters of several campaigns at once, as the pages show them */
#ifndef TODOKE_API_COUNTED_H
#define TODOKE_API_COUNTED_H

#include "mail/verdict.h"
#include "report/report.h"

/* Deliveries not delivered that have met trouble, by whose fault the last answer was. */
struct counted_faults {
    int64_t n[WHOSE_COUNT];
};
struct counted {
    uint64_t campaign_id;
    struct report_totals totals;
    struct counted_faults faults;
};
/* Fill `count` rows whose campaign_id is set; two queries, however many. */
NODISCARD bool counted_load(struct db *db, struct fault *why, struct counted *rows, size_t count);

/* Faults by recipient domain, in the order of domains: call take for each domain. */
NODISCARD bool counted_by_domain(struct db *db, struct fault *why, uint64_t campaign_id,
                                 void (*take)(void *context, struct slice domain, const struct counted_faults *faults),
                                 void *context);

/* Which receivers gave this reason: the one with most of it (in the arena), and how many there are. */
struct counted_givers {
    struct slice first;
    size_t count;
};
NODISCARD bool counted_givers(struct db *db, struct fault *why, uint64_t campaign_id, enum reason reason,
                              struct arena *arena, struct counted_givers *givers);

/* A delivery in this state has met trouble and is not delivered. */
static inline bool state_is_trouble(unsigned state)
{
    return state == DELIVERY_DEFERRED || state == DELIVERY_HELD || state == DELIVERY_ON_WIRE ||
           state == DELIVERY_IN_DOUBT || state == DELIVERY_BOUNCED || state == DELIVERY_EXPIRED;
}

#endif
