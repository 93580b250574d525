/* live.h - what is remembered about campaigns that somebody is looking at: their pace, and how many people they are for
 *
 * The report reader's rates are those of the whole server; with several campaigns under way, and for each receiver, the
 * pace comes from the counters as they were seen some seconds ago. */
#ifndef TODOKE_API_LIVE_H
#define TODOKE_API_LIVE_H

#include "base/slice.h"
#include "base/time.h"

enum { LIVE_CAMPAIGNS = 32, LIVE_RECEIVERS = 51, LIVE_WINDOW_MS = 3000, LIVE_LEAST_MS = 900 };

/* A count as seen before and last: the pace is measured from `before`, which is LIVE_WINDOW_MS to twice that old while
 * somebody looks. Zeroed: nothing seen. */
struct pace_seen {
    struct {
        time_ms at;
        int64_t done;
    } before, last;
};
/* `done` outcomes by now (monotonic). Outcomes a second; negative: not known yet. */
double pace_seen_rate(struct pace_seen *seen, int64_t done, time_ms now);

struct live_campaign {
    uint64_t id;    /* 0: free */
    time_ms looked; /* when it was asked for last */
    struct pace_seen pace;
    struct {
        uint64_t domain; /* hashed; 0: free */
        struct pace_seen pace;
    } receivers[LIVE_RECEIVERS];
    int64_t members;
    time_ms members_at; /* 0: not known */
};
struct live {
    struct live_campaign campaigns[LIVE_CAMPAIGNS];
};

/* The campaign's row; takes the place of the one looked at longest ago. `now` is monotonic. */
struct live_campaign *live_of(struct live *live, uint64_t campaign_id, time_ms now);
/* A receiver's; NULL when there are too many. */
struct pace_seen *live_receiver(struct live_campaign *campaign, struct slice domain);

#endif
