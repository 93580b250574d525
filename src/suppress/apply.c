/* apply.c - strikes, and what an event does to its address
 *
 * A strike row counts errors in a row. A success moves count to `kept`; the error mail that follows a 250 brings it
 * back, the next success forgets it:
 *
 *     (none) --error--> count n --error--> count n+1 ... at strikes_max: excluded
 *     count n --DELIVERED--> count 0, kept n --DELIVERED--> (none)
 *     count 0, kept n --error mail for that 250--> count n+1      --any other error--> count 1 */
#include "mail/address.h"
#include "suppress/suppress.h"

#include <assert.h>

/* ── strikes ── */

bool strike_add(struct db *db, struct fault *why, struct slice identity, const struct strike *strike, int *count)
{
    static const char plain[] =
        "INSERT INTO strike (bucket, address, count, reason, last_ms) VALUES ($1, $2, $5, $3, $4) ON CONFLICT (bucket, "
        "address) DO UPDATE SET count = CASE WHEN strike.last_ms < $6 THEN 0 ELSE strike.count END + excluded.count, "
        "kept = 0, reason = excluded.reason, last_ms = excluded.last_ms RETURNING count";
    static const char taken_back[] =
        "INSERT INTO strike (bucket, address, count, reason, last_ms) VALUES ($1, $2, $5, $3, $4) ON CONFLICT (bucket, "
        "address) DO UPDATE SET count = CASE WHEN strike.last_ms < $6 THEN 0 ELSE strike.count + strike.kept END + "
        "excluded.count, kept = 0, reason = excluded.reason, last_ms = excluded.last_ms RETURNING count";
    int64_t number;
    if (!db_query_ints(db, why, strike->was_delivered ? taken_back : plain,
                       VALUES(V_INT(address_bucket(identity)), V_TEXT(identity), V_INT(strike->reason),
                              V_INT(strike->now), V_INT(strike->points),
                              V_INT(strike->within ? strike->now - strike->within : 0)),
                       &number, 1, NULL))
        return false;
    *count = (int)number;
    return true;
}

bool strike_get(struct db *db, struct fault *why, struct slice identity, int *count)
{
    int64_t number = 0;
    bool found;
    if (!db_query_ints(db, why, "SELECT count FROM strike WHERE bucket = $1 AND address = $2",
                       VALUES(V_INT(address_bucket(identity)), V_TEXT(identity)), &number, 1, &found))
        return false;
    *count = (int)number;
    return true;
}

/* Successes of one run of events, in two round trips at most. */
struct successes {
    const size_t *which;          /* statement -> index */
    bool *had_strikes, *is_empty; /* by index */
};

static bool strike_seen(void *context, size_t index, const struct rows *row, struct fault *why)
{
    ((bool *)context)[index] = true;
    return true;
}

static bool success_take(void *context, size_t index, const struct rows *row, struct fault *why)
{
    struct successes *successes = context;
    successes->had_strikes[successes->which[index]] = rows_int(row, 0) > 0;
    successes->is_empty[successes->which[index]] = rows_int(row, 0) == 0;
    return true;
}

/* The pairs of `values` that are chosen; their places go to `which`. */
static size_t choose(const struct value *values, size_t count, const bool *chosen, struct value *to, size_t *which)
{
    size_t rows = 0;
    for (size_t i = 0; i < count; i++) {
        if (!chosen[i])
            continue;
        to[rows * 2] = values[i * 2];
        to[rows * 2 + 1] = values[i * 2 + 1];
        which[rows++] = i;
    }
    return rows;
}

/* values: (bucket, address) of each. Nearly nobody has a strike: that is asked first, since SQLite builds a table in
 * memory for each RETURNING. */
static bool strikes_reset(struct db *db, struct fault *why, const struct value *values, size_t count, bool *had_strikes)
{
    bool *chosen = NEW_ARRAY(bool, count);
    struct value *some = NEW_ARRAY(struct value, count * 2);
    size_t *which = NEW_ARRAY(size_t, count);
    struct successes successes = {which, had_strikes, chosen};
    memset(had_strikes, 0, sizeof(bool) * count);
    bool ok = db_query_many(db, why, "SELECT 1 FROM strike WHERE bucket = $1 AND address = $2", values, 2, count,
                            strike_seen, chosen);
    size_t rows = ok ? choose(values, count, chosen, some, which) : 0;
    memset(chosen, 0, sizeof(bool) * count);
    ok = ok && db_query_many(db, why,
                             "UPDATE strike SET kept = count, count = 0 WHERE bucket = $1 AND address = $2 RETURNING "
                             "kept",
                             some, 2, rows, success_take, &successes);
    rows = ok ? choose(values, count, chosen, some, which) : 0;
    ok = ok && db_do_many(db, why, "DELETE FROM strike WHERE bucket = $1 AND address = $2 AND count = 0 AND kept = 0",
                          some, 2, rows, NULL);
    free(which);
    free(some);
    free(chosen);
    return ok;
}

/* ── events ── */

static void follow(const struct event *cause, enum event_kind kind, struct slice note, struct event *extra,
                   size_t *extra_count)
{
    struct event *event = &extra[(*extra_count)++];
    *event = *cause;
    event->id = 0;
    event->seq = 0;
    event->n = 0;
    event->kind = kind;
    event->state_before = event->state_after = DELIVERY_STATE_COUNT;
    event->next_attempt_at = 0;
    event->note = note;
    if (kind == EVENT_CONTACT_RECOVERED)
        event->verdict = (struct verdict){0};
}

static bool exclude(struct db *db, struct fault *why, const struct event *cause, enum suppress_why word,
                    uint64_t brand_id, int errors, struct event *extra, size_t *extra_count)
{
    struct suppression row = {.address = cause->address,
                              .brand_id = brand_id,
                              .why = word,
                              .reason = word == SUPPRESS_ERROR ? cause->verdict.reason : REASON_UNDEFINED,
                              .since = cause->at,
                              .count = errors,
                              .event_id = cause->id,
                              .campaign_id = cause->campaign_id};
    bool is_new;
    if (!suppress_add(db, why, &row, &is_new))
        return false;
    if (is_new)
        follow(cause, EVENT_EXCLUDED, suppress_word(word), extra, extra_count);
    return true;
}

/* One list of the brand is refused; the address is excluded from nothing else. */
static bool leave(struct db *db, struct fault *why, const struct event *cause)
{
    const struct suppression row = {.address = cause->address,
                                    .brand_id = cause->brand_id,
                                    .topic = cause->note,
                                    .why = SUPPRESS_UNSUBSCRIBED,
                                    .since = cause->at,
                                    .event_id = cause->id,
                                    .campaign_id = cause->campaign_id};
    return suppress_add(db, why, &row, NULL);
}

bool suppress_brand_policy(struct db *db, struct fault *why, const struct policies *policies, uint64_t brand_id,
                           struct brand_policy *chosen)
{
    *chosen = (struct brand_policy){.policy = policies_chosen(policies)};
    if (!policies || !brand_id)
        return true;
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows, "SELECT policy, policy_threshold FROM brand WHERE id = $1",
                  VALUES(V_INT((int64_t)brand_id))))
        return false;
    if (rows_next(&rows)) {
        const struct policy *own = policies_find(policies, rows_text(&rows, 0));
        chosen->threshold = (int)rows_int(&rows, 1);
        chosen->is_own = own || chosen->threshold;
        if (own)
            chosen->policy = own;
    }
    return rows_end(&rows);
}

static bool apply_error(struct db *db, struct fault *why, struct event *event, const struct suppress_policy *policy,
                        struct event *extra, size_t *extra_count)
{
    struct brand_policy chosen;
    int points, after, count = 1;
    if (!suppress_brand_policy(db, why, policy ? policy->policies : NULL, event->brand_id, &chosen))
        return false;
    enum policy_exclude exclude_how = policy_decide(chosen.policy, &event->verdict, &points, &after);
    if (chosen.is_own) /* the event tells what is done, and it was judged by the installation's policy */
        policy_adjust(chosen.policy, &event->verdict);
    uint64_t from_brand = chosen.is_own ? event->brand_id : 0;
    if (exclude_how == POLICY_EXCLUDE_NOW)
        return exclude(db, why, event, SUPPRESS_ERROR, from_brand, 1, extra, extra_count);
    if (exclude_how != POLICY_EXCLUDE_COUNT)
        return true;
    if (chosen.threshold && !chosen.policy->reasons[event->verdict.reason].after)
        after = chosen.threshold;
    const struct strike strike = {.reason = event->verdict.reason,
                                  .points = points,
                                  .now = event->at,
                                  .within = chosen.policy->within,
                                  .was_delivered = event->state_before == DELIVERY_DELIVERED};
    if (!strike_add(db, why, event->address, &strike, &count))
        return false;
    return count < after || exclude(db, why, event, SUPPRESS_ERROR, from_brand, count, extra, extra_count);
}

static bool apply_one(struct db *db, struct fault *why, struct event *event, const struct suppress_policy *policy,
                      struct event *extra, size_t *extra_count)
{
    if (!event->address.len || (event->origin == EVENT_ORIGIN_MAIL && event->authenticity != AUTHENTICITY_GENUINE))
        return true;
    switch (event->kind) {
    case EVENT_BOUNCED:
    case EVENT_EXPIRED: return apply_error(db, why, event, policy, extra, extra_count);
    case EVENT_COMPLAINT: return exclude(db, why, event, SUPPRESS_COMPLAINT, event->brand_id, 1, extra, extra_count);
    case EVENT_UNSUBSCRIBED:
        if (slice_starts(event->note, SLICE("list:")))
            return leave(db, why, event);
        return exclude(db, why, event, SUPPRESS_UNSUBSCRIBED, event->brand_id, 1, extra, extra_count);
    case EVENT_ACCEPTED:
    case EVENT_LEFT_OUT:
    case EVENT_DELIVERED: /* in runs, below */
    case EVENT_DEFERRED:
    case EVENT_SUPPRESSED:
    case EVENT_CANCELLED:
    case EVENT_IN_DOUBT:
    case EVENT_HELD:
    case EVENT_RELEASED:
    case EVENT_DELAY_NOTICE:
    case EVENT_AUTOREPLY:
    case EVENT_EXCLUDED:
    case EVENT_OPENED:
    case EVENT_CLICKED:
    case EVENT_UNVERIFIED:
    case EVENT_CONTACT_RECOVERED:
    case EVENT_SUBSCRIBED:
    case EVENT_DOWNLOADED:
    case EVENT_KIND_END: break;
    }
    return true;
}

static bool is_success(const struct event *event)
{
    return event->kind == EVENT_DELIVERED && event->address.len > 0;
}

/* How many events from `at` on are successes in a row. */
static size_t run_length(const struct event *events, size_t count, size_t at)
{
    size_t end = at;
    while (end < count && is_success(&events[end]))
        end++;
    return end - at;
}

static bool apply_successes(struct db *db, struct fault *why, const struct event *events, size_t count,
                            struct event *extra, size_t *extra_count)
{
    struct value *values = NEW_ARRAY(struct value, count * 2);
    bool *had_strikes = NEW_ARRAY(bool, count);
    for (size_t i = 0; i < count; i++) {
        values[i * 2] = V_INT(events[i].bucket);
        values[i * 2 + 1] = V_TEXT(events[i].address);
    }
    bool ok = strikes_reset(db, why, values, count, had_strikes);
    for (size_t i = 0; ok && i < count; i++)
        if (had_strikes[i])
            follow(&events[i], EVENT_CONTACT_RECOVERED, (struct slice){0}, extra, extra_count);
    free(had_strikes);
    free(values);
    return ok;
}

bool suppress_apply(struct db *db, struct fault *why, struct event *events, size_t count,
                    const struct suppress_policy *policy, struct event *extra, size_t *extra_count)
{
    *extra_count = 0;
    for (size_t i = 0; i < count; i++)
        if (!events[i].id)
            events[i].id = id_make(db_ids(db), events[i].at, events[i].bucket);
    for (size_t i = 0; i < count;) {
        size_t successes = run_length(events, count, i);
        if (successes) {
            if (!apply_successes(db, why, events + i, successes, extra, extra_count))
                return false;
            i += successes;
        } else if (!apply_one(db, why, &events[i++], policy, extra, extra_count))
            return false;
    }
    assert(*extra_count <= count);
    return true;
}
