/* engaged.h - opens, clicks and downloads, people and machines kept apart (S85, U9, U10, S27)
 *
 * An OPENED, CLICKED or DOWNLOADED event says who it was by what the request itself shows (its origin: person, proxy,
 * robot). What only behaviour shows is found here: ENGAGED_BURST_LINKS different links of one mail within
 * ENGAGED_BURST_MS are a security gateway's, whatever it calls itself (a file is a link too), and that burst's clicks
 * are taken back from the people's. The numbers add up: unique <= total, and people + machines = all. Kept by the
 * report's reader, in its transaction. */
#ifndef TODOKE_REPORT_ENGAGED_H
#define TODOKE_REPORT_ENGAGED_H

#include "event/event.h"

enum { ENGAGED_BURST_MS = 1000, ENGAGED_BURST_LINKS = 3, ENGAGED_EVENTS_KEPT = 32 /* a delivery, for its timeline */ };

enum engaged_what {                      /* numbers in the store: never change */
                    ENGAGED_OPENS,       /* by people */
                    ENGAGED_OPENED,      /* deliveries that a person opened */
                    ENGAGED_OPENS_PROXY, /* by a privacy proxy: says nothing about the person */
                    ENGAGED_OPENS_ROBOT, /* by scanners and prefetchers */
                    ENGAGED_CLICKS,      /* by people */
                    ENGAGED_CLICKED,     /* deliveries on which a person clicked */
                    ENGAGED_CLICKS_ROBOT,
                    ENGAGED_DOWNLOADS,  /* by people */
                    ENGAGED_DOWNLOADED, /* deliveries of which a person downloaded a file */
                    ENGAGED_DOWNLOADS_ROBOT,
                    ENGAGED_COUNT,
};

/* The reader's part: takes OPENED, CLICKED and DOWNLOADED, passes over the rest. */
NODISCARD bool engaged_take(struct db *db, struct fault *why, const struct event *events, size_t count);

/* campaign_id 0: everything. */
NODISCARD bool engaged_read(struct db *db, struct fault *why, uint64_t campaign_id, int64_t n[ENGAGED_COUNT]);

#endif
