/* watch.h - what the files of alarm/ share (private to alarm/) */
#ifndef TODOKE_ALARM_WATCH_H
#define TODOKE_ALARM_WATCH_H

#include "alarm/alarm.h"
#include "base/map.h"

struct alarm_watch {
    struct alarm_options options;
    struct leases *leases;
    struct event_follower *follower;
    struct map domains, fresh; /* domain -> (non-NULL): its site is written; fresh: by the job that runs */
    struct store_watch ticker;
    struct write_job job;
    _Atomic bool is_ticking;
    _Atomic bool is_stopping;
    time_ms ticked;       /* monotonic */
    time_ms cleaned;      /* wall: when old tallies went */
    uint64_t replay_seen; /* the newest report that was looked at */
    time_ms replay_looked;
    bool replay_begun;
    /* of the tick that runs */
    struct arena arena;
    struct submit_news *news;
    size_t news_count, news_room;
};

static inline time_ms watch_now(const struct alarm_watch *watch)
{
    return world_wall(watch->options.world);
}
void watch_tell(struct alarm_watch *watch, const struct submit_news *news, size_t count);

/* rows.c */
/* Those that nobody was mailed about yet, oldest first. */
NODISCARD bool alarm_unmailed(struct db *db, struct fault *why, struct arena *arena, struct alarm_row **rows,
                              size_t *count);
NODISCARD bool alarm_mailed(struct db *db, struct fault *why, uint64_t id, time_ms now);

/* site.c: answers of a batch; and what is due at the sites that hold */
NODISCARD bool site_take(struct alarm_watch *watch, struct db *db, struct fault *why, const struct event *events,
                         size_t count);
NODISCARD bool site_tick(struct alarm_watch *watch, struct db *db, struct fault *why, time_ms now);

/* flood.c: error mail that proves nothing */
NODISCARD bool flood_take(struct alarm_watch *watch, struct db *db, struct fault *why, const struct event *events,
                          size_t count);
NODISCARD bool flood_tick(struct alarm_watch *watch, struct db *db, struct fault *why, time_ms now);

/* credential.c: what each access key hands in */
NODISCARD bool credential_take(struct alarm_watch *watch, struct db *db, struct fault *why, const struct event *events,
                               size_t count);
NODISCARD bool credential_tick(struct alarm_watch *watch, struct db *db, struct fault *why, time_ms now);

/* replay.c: what DMARC reports say of our signatures */
NODISCARD bool replay_tick(struct alarm_watch *watch, struct db *db, struct fault *why, time_ms now);

/* unread.c */
NODISCARD bool unread_take(struct db *db, struct fault *why, const struct event *events, size_t count);

#endif
