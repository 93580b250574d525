/* reckon.h - when will it be done, at this pace? A pure function of how much there is, how fast each source goes, from
 * when on, and what its days allow */
#ifndef TODOKE_REPORT_RECKON_H
#define TODOKE_REPORT_RECKON_H

#include "base/slice.h"
#include "base/time.h"

/* One source's way to a receiver. */
struct reckon_source {
    double rate;        /* messages a second; 0: as fast as it goes */
    time_ms opens;      /* suspended, or its breaker open, until then; wall */
    bool is_capped;     /* its days have a limit: */
    int64_t left_today; /* of today's */
    int64_t a_day;      /* from tomorrow on the same each day; 0: by `caps` */
    struct slice caps;  /* of a warm-up plan, "50,100,500" ... */
    int64_t step;       /* ... today's, from 0; behind the last there is no limit */
};

enum { RECKON_DAYS_MOST = 10000 };

/* `now` is wall; days are UTC. 0: nobody can say (no source, or further away than RECKON_DAYS_MOST). A warm-up is
 * reckoned to go a step on each day. */
time_ms reckon_done(const struct reckon_source *sources, size_t count, int64_t owed, time_ms now);
/* What all of them may send on the day so many days from today; -1: no limit. */
int64_t reckon_cap(const struct reckon_source *sources, size_t count, int64_t days);

#endif
