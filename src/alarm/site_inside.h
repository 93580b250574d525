/* site_inside.h - what the files of the guard's reader share (private to alarm/site*.c) */
#ifndef TODOKE_ALARM_SITE_INSIDE_H
#define TODOKE_ALARM_SITE_INSIDE_H

#include "alarm/watch.h"

/* ── site_answers.c ── */

struct answers {
    struct slice site;
    int64_t tried, unknown;
    time_ms first, last; /* when */
};
/* What the events say of each site, in the order of the sites' names; all in the arena. */
NODISCARD bool answers_read(struct alarm_watch *watch, struct db *db, struct fault *why, const struct event *events,
                            size_t count, struct arena *arena, struct answers ***out, size_t *out_count);
/* Those without an unknown user, in one go. What is good while the site holds counts into its round. */
NODISCARD bool answers_add_good(struct db *db, struct fault *why, struct answers *const *rows, size_t count);
/* The event's site, or where its domain was last delivered (guard_holds). */
NODISCARD bool answer_site(struct db *db, struct fault *why, const struct event *event, struct arena *arena,
                           struct slice *site);

/* ── site_back.c ── */

/* All that was decided at this site since `from`. *taken: how many. */
NODISCARD bool verdicts_take_back(struct alarm_watch *watch, struct db *db, struct fault *why, struct slice site,
                                  time_ms from, size_t *taken);
/* It held already, and yet somebody was bounced: another node wrote that down while this one began to hold. */
NODISCARD bool verdicts_take_back_late(struct alarm_watch *watch, struct db *db, struct fault *why, struct slice site,
                                       const struct event *events, size_t count, struct arena *arena);

/* ── site_held.c ── */

struct held {
    unsigned bucket;
    uint64_t delivery_id;
    bool is_owed;
    struct event event;   /* what the delivery is about */
    struct lane_key lane; /* of an owed one */
};
/* The oldest verdicts held for a site; only_owed: those whose mail can be tried again. */
NODISCARD bool held_read(struct db *db, struct fault *why, struct slice site, bool only_owed, size_t most,
                         struct arena *arena, struct held **out, size_t *count);
/* Held mails are due again; verdicts without a mail are dropped: the next mail decides. */
NODISCARD bool held_retry(struct alarm_watch *watch, struct db *db, struct fault *why, const struct held *held,
                          size_t count, time_ms now);
/* The words were true: the mails are bounced, the people excluded as the policy wants it. */
NODISCARD bool held_believe(struct alarm_watch *watch, struct db *db, struct fault *why, const struct held *held,
                            size_t count, time_ms now);

#endif
