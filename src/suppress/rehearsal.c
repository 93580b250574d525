#include "suppress/rehearsal.h"

#include "base/map.h"

enum { PAGE = EVENT_PAGE_MAX };

/* One address with errors, in one bucket. */
struct slate {
    int points, kept, before; /* before: the last error */
    time_ms last;
    bool then, would;
    enum reason then_reason, would_reason;
};

struct rehearsing {
    const struct rehearsal_options *options;
    struct rehearsal *rehearsal;
    struct arena *arena, bucket_arena;
    struct map slates;
};

static struct slate *slate_of(struct rehearsing *run, struct slice address, bool makes)
{
    struct slate *slate = map_get(&run->slates, address);
    if (!slate && makes) {
        slate = ARENA_NEW(&run->bucket_arena, struct slate);
        map_set(&run->slates, address, slate);
    }
    return slate;
}

static void error_comes(struct rehearsing *run, const struct event *event)
{
    const struct policy *policy = run->options->policy;
    int points, after;
    bool is_proven = event->origin != EVENT_ORIGIN_MAIL || event->authenticity == AUTHENTICITY_GENUINE;
    if (!is_proven || !event->address.len)
        return;
    run->rehearsal->reasons[event->verdict.reason].errors++;
    struct slate *slate = slate_of(run, event->address, true);
    enum policy_exclude how = policy_decide(policy, &event->verdict, &points, &after);
    if (run->options->threshold && !policy->reasons[event->verdict.reason].after)
        after = run->options->threshold;
    if (how == POLICY_EXCLUDE_NEVER || slate->would)
        return;
    bool had_250 = event->state_before == DELIVERY_DELIVERED;
    int before = slate->points + (had_250 ? slate->kept : 0);
    if (policy->within && event->at - slate->last > policy->within)
        before = 0;
    slate->before = before;
    slate->points = how == POLICY_EXCLUDE_NOW ? after : before + points;
    slate->kept = 0;
    slate->last = event->at;
    slate->would = slate->points >= after;
    slate->would_reason = event->verdict.reason;
}

/* The guard did not believe it after all. */
static bool is_taken_back(const struct event *event)
{
    return event->verdict.reason == REASON_ON_HOLD && event->state_before == DELIVERY_BOUNCED;
}

static void error_goes(struct rehearsing *run, const struct event *event)
{
    struct slate *slate = slate_of(run, event->address, false);
    if (!slate)
        return;
    run->rehearsal->reasons[REASON_USER_UNKNOWN].errors--;
    slate->points = slate->before;
    slate->then = slate->would = false;
}

static void event_comes(struct rehearsing *run, const struct event *event)
{
    struct slate *slate;
    run->rehearsal->events++;
    if (is_taken_back(event)) {
        error_goes(run, event);
        return;
    }
    switch ((unsigned)event->kind) {
    case EVENT_BOUNCED:
    case EVENT_EXPIRED: error_comes(run, event); return;
    case EVENT_DELIVERED:
        slate = slate_of(run, event->address, false);
        if (slate && !slate->would) {
            slate->kept = slate->points;
            slate->points = 0;
        }
        return;
    case EVENT_EXCLUDED:
        if (!slice_equal(event->note, suppress_word(SUPPRESS_ERROR)))
            return;
        slate = slate_of(run, event->address, true);
        slate->then = true;
        slate->then_reason = event->verdict.reason;
        return;
    }
}

static void example(struct rehearsing *run, struct slice address, struct slice *examples, unsigned *count)
{
    if (*count < REHEARSAL_EXAMPLES)
        examples[(*count)++] = arena_copy(run->arena, address);
}

static void bucket_ends(struct rehearsing *run)
{
    size_t at = 0;
    for (struct map_entry *entry; (entry = map_walk(&run->slates, &at));) {
        const struct slate *slate = entry->value;
        struct rehearsal *sum = run->rehearsal;
        sum->addresses++;
        if (slate->then) {
            struct rehearsal_reason *reason = &sum->reasons[slate->then_reason];
            sum->then++;
            reason->then++;
            if (!slate->would)
                example(run, entry->key, reason->spared, &reason->spared_count);
        }
        if (slate->would) {
            struct rehearsal_reason *reason = &sum->reasons[slate->would_reason];
            sum->would++;
            reason->would++;
            reason->both += slate->then;
            if (!slate->then)
                example(run, entry->key, reason->examples, &reason->example_count);
        }
    }
    map_release(&run->slates);
    arena_reset(&run->bucket_arena);
}

/* The last seq of the bucket before `since`: halving, since times follow seq but for a few seconds. */
static bool seq_before(struct db *db, struct fault *why, unsigned bucket, time_ms since, uint64_t *seq)
{
    int64_t low = 0, high = 0;
    bool found;
    if (!db_query_ints(db, why, "SELECT seq FROM bucket_counter WHERE bucket = $1", VALUES(V_INT(bucket)), &high, 1,
                       &found))
        return false;
    while (low < high) {
        int64_t middle = (low + high) / 2, at;
        if (!db_query_ints(db, why, "SELECT at_ms FROM event WHERE bucket = $1 AND seq > $2 ORDER BY seq LIMIT 1",
                           VALUES(V_INT(bucket), V_INT(middle)), &at, 1, &found))
            return false;
        if (found && at < since)
            low = middle + 1;
        else
            high = middle;
    }
    *seq = (uint64_t)low;
    return true;
}

static bool bucket_run(struct rehearsing *run, struct db *db, struct fault *why, unsigned bucket)
{
    const struct rehearsal_options *options = run->options;
    uint64_t seq;
    struct event_page page = {.has_more = true};
    if (!seq_before(db, why, bucket, options->since, &seq))
        return false;
    while (page.has_more) {
        SCOPED(arena) arena = {0};
        if (!event_since(db, why, bucket, seq, PAGE, &arena, &page))
            return false;
        for (size_t i = 0; i < page.count; i++) {
            const struct event *event = &page.events[i];
            seq = event->seq;
            bool is_meant = event->at >= options->since && event->at < options->until &&
                            (!options->brand_id || event->brand_id == options->brand_id);
            if (is_meant)
                event_comes(run, event);
        }
        if (!page.count)
            break;
    }
    bucket_ends(run);
    return true;
}

bool rehearsal_run(struct db *db, struct fault *why, const struct rehearsal_options *options, struct arena *arena,
                   struct rehearsal *rehearsal)
{
    *rehearsal = (struct rehearsal){0};
    struct rehearsing run = {.options = options, .rehearsal = rehearsal, .arena = arena};
    bool ok = true;
    for (unsigned bucket = 0; ok && bucket < ID_BUCKETS; bucket++)
        ok = bucket_run(&run, db, why, bucket);
    map_release(&run.slates);
    arena_release(&run.bucket_arena);
    return ok;
}
