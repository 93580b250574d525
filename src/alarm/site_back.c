/* site_back.c - what was decided on the word of a site that is no longer believed is taken back: the exclusion goes,
 * and the delivery is held, as the ledger asks the guard, which holds by now; unless a person had purged it */
#include "alarm/site_inside.h"

#include "queue/order.h"

enum {
    TAKE_BACK_MOST = 5000,
    DOMAINS_OF_SITE = 200,
};

/* The exclusion that this event made, and the strike. */
static bool forget(struct alarm_watch *watch, struct db *db, struct fault *why, const struct event *event)
{
    struct brand_policy chosen;
    int points, after_points;
    const struct value key[] = {V_INT(event->bucket), V_TEXT(event->address), V_INT((int64_t)event->id)};
    if (!suppress_brand_policy(db, why, watch->options.ledger.policy.policies, event->brand_id, &chosen) ||
        !db_do(db, why,
               "DELETE FROM suppression WHERE bucket = $1 AND address = $2 AND why = 'error' AND event_id = $3", key,
               COUNT_OF(key), NULL))
        return false;
    if (policy_decide(chosen.policy, &event->verdict, &points, &after_points) != POLICY_EXCLUDE_COUNT)
        return true;
    return db_do(db, why,
                 "UPDATE strike SET count = CASE WHEN count > $3 THEN count - $3 ELSE 0 END WHERE bucket = $1 AND "
                 "address = $2",
                 VALUES(V_INT(event->bucket), V_TEXT(event->address), V_INT(points)), NULL);
}

/* What the filter finds, newest first. */
static bool take_back(struct alarm_watch *watch, struct db *db, struct fault *why, struct event_filter *filter,
                      size_t *taken)
{
    struct event_page page = {.has_more = true};
    while (page.has_more && *taken < TAKE_BACK_MOST) {
        SCOPED(arena) arena = {0};
        if (!event_problems(db, why, filter, EVENT_PAGE_MAX / 2, &arena, &page))
            return false;
        struct ledger_move *moves = ARENA_ARRAY(&arena, struct ledger_move, page.count + 1);
        size_t count = 0;
        for (size_t i = 0; i < page.count; i++) {
            struct event *event = &page.events[i];
            filter->before_id = event->id;
            if (!guard_is_about(event) || !event->delivery_id || (filter->domain.len && event->site.len))
                continue;
            if (!forget(watch, db, why, event))
                return false;
            moves[count] = (struct ledger_move){.event = *event, .from = LEDGER_BIT(DELIVERY_BOUNCED)};
            moves[count].event.at = watch_now(watch);
            moves[count++].event.seq = 0;
        }
        if (!ledger_settle(&watch->options.ledger, db, why, moves, count))
            return false;
        *taken += count;
    }
    return true;
}

bool verdicts_take_back(struct alarm_watch *watch, struct db *db, struct fault *why, struct slice site, time_ms from,
                        size_t *taken)
{
    struct event_filter filter = {.by_reason = true,
                                  .reason = REASON_USER_UNKNOWN,
                                  .kinds = EVENT_BIT(EVENT_BOUNCED),
                                  .site = site,
                                  .since = from};
    if (!take_back(watch, db, why, &filter, taken))
        return false;
    SCOPED(arena) arena = {0};
    struct slice *domains = ARENA_ARRAY(&arena, struct slice, DOMAINS_OF_SITE + 1);
    size_t count = 0;
    domains[count++] = site; /* a site that is a domain */
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows, "SELECT domain FROM site_domain WHERE site = $1 LIMIT $2",
                  VALUES(V_TEXT(site), V_INT(DOMAINS_OF_SITE))))
        return false;
    while (rows_next(&rows))
        domains[count++] = arena_copy(&arena, rows_text(&rows, 0));
    if (!rows_end(&rows))
        return false;
    for (size_t i = 0; i < count; i++) {
        filter.site = SLICE("");
        filter.domain = domains[i];
        filter.before_id = 0;
        if (!take_back(watch, db, why, &filter, taken))
            return false;
    }
    return !*taken || order_purge_again(db, why, site);
}

bool verdicts_take_back_late(struct alarm_watch *watch, struct db *db, struct fault *why, struct slice site,
                             const struct event *events, size_t count, struct arena *arena)
{
    struct ledger_move *moves = ARENA_ARRAY(arena, struct ledger_move, count + 1);
    size_t late = 0;
    for (size_t i = 0; i < count; i++) {
        struct slice of;
        if (!guard_is_about(&events[i]) || !events[i].delivery_id || events[i].state_before == DELIVERY_BOUNCED)
            continue;
        if (!answer_site(db, why, &events[i], arena, &of))
            return false;
        if (!slice_equal(of, site))
            continue;
        if (!forget(watch, db, why, &events[i]))
            return false;
        moves[late] = (struct ledger_move){.event = events[i], .from = LEDGER_BIT(DELIVERY_BOUNCED)};
        moves[late].event.at = watch_now(watch);
        moves[late++].event.seq = 0;
    }
    return ledger_settle(&watch->options.ledger, db, why, moves, late) && (!late || order_purge_again(db, why, site));
}
