/* guard.h - is a site's "unknown user" to be believed just now? (R36, RECEIVERS.md: docomo)
 *
 * Some receivers answer "unknown user" for everybody when they block a network. So each site's share of unknown users
 * is counted, and while it is abnormal for that site its verdicts are *held*: recorded as on_hold (note: what it would
 * be), nobody is suppressed, nothing is counted.
 *
 *     open --share above what is normal--> holding --a round of answers is normal again--> open, held ones tried again
 *                                             |  ^--vain round: the next try later--'
 *                                             |--a person: retry | exclude--> open, held ones tried again | believed
 *                                             '--believe_after, still so--> open, held ones believed
 *
 * What happened before anybody noticed is taken back: exclusions of the last windows go, their deliveries are held too.
 * Always true: while a site is holding, no address of it is suppressed as an unknown user.
 *
 * Counted are answers about a person: DELIVERED, and a final refusal given live (each a try); an error mail later adds
 * to the unknown, its try was the 250. Normal: a share up to `normal`; above that, up to `times` the site's own share
 * of old; never above the site's ceiling. The counts are an event reader's (alarm/), so they are exact whatever
 * crashes; here are the table, the arithmetic, and the question that the ledger asks. Settings: policy.h. */
#ifndef TODOKE_SUPPRESS_GUARD_H
#define TODOKE_SUPPRESS_GUARD_H

#include "suppress/suppress.h"

#define GUARD_WORDS "site-held" /* key in data/words: why it is held, for people */

/* ── the ledger's question ── */

/* Is this one of the verdicts that the guard is about? A bounce as an unknown user, live or by genuine mail. */
bool guard_is_about(const struct event *event);
/* Does the guard hold verdicts of this event's site now? *site (in the arena): the event's, or the one its domain was
 * last delivered at, or the domain. */
NODISCARD bool guard_holds(struct db *db, struct fault *why, const struct event *event, struct arena *arena,
                           struct slice *site, bool *holds);
/* Make the verdict what a held one is: on_hold, action none, scope site; note: the reason it would have. A refusal
 * given live becomes DEFERRED into state held; what an error mail says of a delivery that had its 250 stays BOUNCED. */
void guard_hold(struct event *event);
/* Remember it until the site is judged. would_be: the event as it was. Not for an event whose move did not happen. */
NODISCARD bool guard_keep(struct db *db, struct fault *why, const struct event *event, struct slice site,
                          const struct verdict *would_be);

/* ── counting ── */

struct guard_site {
    struct slice site;
    bool is_holding;
    int asked; /* 0; GUARD_RETRY, GUARD_EXCLUDE: what becomes of those still held */
    time_ms since, window, probe;
    int64_t tried, unknown, tried_before, unknown_before, tried_ever, unknown_ever, round_tried, round_unknown;
    int rounds;
};
enum { GUARD_RETRY = 1, GUARD_EXCLUDE = 2 };
/* What the row says; a site that was never seen begins with an empty window. */
NODISCARD bool guard_read(struct db *db, struct fault *why, struct slice site, time_ms now, struct guard_site *row);
NODISCARD bool guard_write(struct db *db, struct fault *why, const struct guard_site *row);
/* All that hold or have been asked something; slices in the arena. */
NODISCARD bool guard_busy(struct db *db, struct fault *why, struct arena *arena, struct guard_site **rows,
                          size_t *count);

/* Add answers. True: that makes the site abnormal; the caller then makes the guard hold. Pure: no clock, no store. */
bool guard_count(struct guard_site *row, const struct policy_guard *guard, int64_t tried, int64_t unknown, time_ms now);
/* Of a site that holds: do the answers of this round say that it can be believed again? */
bool guard_is_normal_again(const struct guard_site *row, const struct policy_guard *guard);
/* The share of unknown users that counts now, and the highest that would still be normal, in percent. */
int guard_share(const struct guard_site *row);
int guard_limit(const struct guard_site *row, const struct policy_guard *guard);
/* The next try: when, after this many vain rounds. */
time_ms guard_probe_wait(const struct policy_guard *guard, int rounds);

/* A person's wish, carried out by the server: GUARD_RETRY or GUARD_EXCLUDE. *found: the site holds something. */
NODISCARD bool guard_ask(struct db *db, struct fault *why, struct slice site, int wish, bool *found);

#endif
