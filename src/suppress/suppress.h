/* suppress.h - may we write to this address, from this brand, about this topic?
 *
 * A suppression row excludes an identity (mail/address.h) from one brand or (brand 0) from all, about everything (topic
 * ''), about campaigns ("campaigns") or about those to one list ("list:<id>"). Rows are written in the transaction of
 * the event that causes them. Which errors count against a contact, and how many it takes, the policy says (policy.h);
 * by the presets' default only those of the address itself: an unknown user at once, a full mailbox or a personal
 * filter as a strike. Strikes in a row add up and are forgotten at the next success. */
#ifndef TODOKE_SUPPRESS_SUPPRESS_H
#define TODOKE_SUPPRESS_SUPPRESS_H

#include "event/event.h"
#include "mail/brands.h"
#include "suppress/policy.h"

#define SUPPRESS_WHYS(X)                                                                                               \
    X(ERROR, error) X(COMPLAINT, complaint) X(UNSUBSCRIBED, unsubscribed) X(BY_HAND, by_hand) X(CLEANING, cleaning)
#define SUPPRESS_ENUM(NAME, word) SUPPRESS_##NAME,
enum suppress_why { SUPPRESS_WHYS(SUPPRESS_ENUM) SUPPRESS_WHY_COUNT };
struct slice suppress_word(enum suppress_why why);
NODISCARD bool suppress_of(struct slice word, enum suppress_why *why);

struct suppression {
    struct slice address; /* identity */
    uint64_t brand_id;    /* 0: from nobody */
    struct slice topic;   /* empty: about nothing */
    enum suppress_why why;
    enum reason reason;     /* for SUPPRESS_ERROR */
    time_ms since, expires; /* expires 0: never */
    int count;              /* how many errors led to it */
    uint64_t event_id, campaign_id;
};

/* *is_suppressed; when so, `found` (may be NULL) is the row that says so, slices in the arena. `now` decides what has
 * expired. */
NODISCARD bool suppress_check(struct db *db, struct fault *why, struct slice identity, uint64_t brand_id,
                              struct slice topic, time_ms now, bool *is_suppressed, struct arena *arena,
                              struct suppression *found);
/* Every row of the address that holds at `now`, for all brands first: of whom it is excluded, and about what. At most
 * `most`, slices in the arena. */
NODISCARD bool suppress_of_address(struct db *db, struct fault *why, struct slice identity, time_ms now, size_t most,
                                   struct arena *arena, struct suppression **list, size_t *count);
/* Many at once, one round trip: is_suppressed[i] is the row's why + 1, or 0. */
NODISCARD bool suppress_check_many(struct db *db, struct fault *why, const struct slice *identities, size_t count,
                                   uint64_t brand_id, struct slice topic, time_ms now, unsigned char *is_suppressed);

/* Write the row (replacing an older one of the same address, brand and topic, but never weakening it: unsubscribed and
 * complaint stay what they are when an error comes). *is_new: it was not excluded before. */
NODISCARD bool suppress_add(struct db *db, struct fault *why, const struct suppression *row, bool *is_new);
/* Take the rows of this address away: of this brand and topic only. Forgets its strikes too. *was_there may be NULL. */
NODISCARD bool suppress_remove(struct db *db, struct fault *why, struct slice identity, uint64_t brand_id,
                               struct slice topic, bool *was_there);

struct suppress_filter {
    bool by_why, by_reason; /* `why` and `reason` count only then */
    enum suppress_why why;
    enum reason reason;
    uint64_t brand_id, campaign_id; /* 0: any */
    struct brands brands;           /* only rows of these, and rows for all brands that an error of these led to */
    struct slice text;              /* part of the address; an exact address is found by its key */
    /* paging, by the last row of the page before: rows older than `before` (0: from the newest), or of that moment with
     * a greater address, or of that address with a greater brand */
    time_ms before;
    struct slice before_address;
    uint64_t before_brand;
};
struct suppress_page {
    struct suppression *rows;
    size_t count;
    bool has_more;
};
/* Newest first. */
NODISCARD bool suppress_list(struct db *db, struct fault *why, const struct suppress_filter *filter, size_t limit,
                             struct arena *arena, struct suppress_page *page);
/* " AND ..." behind a WHERE over suppression: only what these brands see (as suppress_filter.brands). */
void suppress_brands_condition(const struct brands *brands, struct buf *sql);
/* How many match, whatever the page. */
NODISCARD bool suppress_total(struct db *db, struct fault *why, const struct suppress_filter *filter,
                              struct arena *arena, int64_t *total);

/* ── strikes: errors in a row that count against an address ── */

/* `points` more; *count is how many in a row now. was_delivered: the receiver had said 250 to this very mail, so the
 * success that this 250 seemed to be is taken back (it forgets nothing). within: what was counted longer ago than this
 * is forgotten first; 0: never. */
struct strike {
    enum reason reason;
    int points;
    time_ms now, within;
    bool was_delivered;
};
NODISCARD bool strike_add(struct db *db, struct fault *why, struct slice identity, const struct strike *strike,
                          int *count);
NODISCARD bool strike_get(struct db *db, struct fault *why, struct slice identity, int *count);

/* ── what an event does to its address ── */
struct suppress_policy {
    const struct policies *policies; /* NULL: policy_plain */
};
/* The policy of this brand (0: the installation's) and its threshold. is_own: the brand chose it, and what it excludes
 * is excluded from this brand only. A name that is no longer on the shelf counts as the installation's. */
struct brand_policy {
    const struct policy *policy;
    int threshold; /* instead of the policy's own; 0: its own */
    bool is_own;
};
NODISCARD bool suppress_brand_policy(struct db *db, struct fault *why, const struct policies *policies,
                                     uint64_t brand_id, struct brand_policy *chosen);
/* For each event in order, in the caller's transaction: do what it asks for, and put the events that follow into
 * `extra`, which has room for `count`; *extra_count says how many. Append them with the others. Slices of extra events
 * are those of their cause.
 *
 *     BOUNCED, EXPIRED that its policy excludes now   excluded at once -> EXCLUDED (its verdict; note: error)
 *     ... that its policy counts                      a strike; excluded at the threshold (attempts of one delivery,
 *                                                     DEFERRED, are one error, counted when it ends)
 *     DELIVERED                                       strikes forgotten -> CONTACT_RECOVERED, if there were any
 *     COMPLAINT, UNSUBSCRIBED                         excluded from the event's brand -> EXCLUDED (note: complaint,
 *                                                     unsubscribed)
 *     UNSUBSCRIBED (note: list:<id>)                  excluded from campaigns to that list of the brand
 *
 * An error excludes for all brands, or for the event's only where that brand has a policy of its own.
 * An error of a brand with a policy of its own gets that policy's action into its verdict.
 * An event needs its bucket; it gets its id here if it has none yet (the suppression row names it).
 * What came by mail (origin EVENT_ORIGIN_MAIL) counts only when genuine. Nothing else ever counts. Nothing follows for
 * an address that is excluded already. */
NODISCARD bool suppress_apply(struct db *db, struct fault *why, struct event *events, size_t count,
                              const struct suppress_policy *policy, struct event *extra, size_t *extra_count);

#endif
