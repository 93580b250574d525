#include "suppress/rehearsal.h"

#include "base/map.h"

enum {
    PAGE = 100,              /* events of one log in memory */
    ADDRESSES_MOST = 200000, /* with errors, looked at together: some 40 MB */
};

/* One address with errors. */
struct slate {
    int points, kept, before; /* before: the last error */
    time_ms last;
    bool then, would;
    enum reason then_reason, would_reason;
};

struct rehearsing {
    const struct rehearsal_options *options;
    struct rehearsal *rehearsal;
    struct arena *arena, slate_arena;
    struct map slates;
    unsigned first, last; /* the buckets looked at together */
};

static struct slate *slate_of(struct rehearsing *run, struct slice address, bool makes)
{
    struct slate *slate = map_get(&run->slates, address);
    if (!slate && makes) {
        slate = ARENA_NEW(&run->slate_arena, struct slate);
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

static void sums_take(struct rehearsing *run)
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
    arena_reset(&run->slate_arena);
}

/* ── the events of some buckets in the order of their ids ── */

/* One log, from the first of the days on. */
struct stream {
    unsigned log;
    uint64_t seq;
    struct arena arena;
    struct event_page page;
    size_t at;
};
static const struct event *stream_event(const struct stream *stream)
{
    return &stream->page.events[stream->at];
}

/* *is_over: there is no more. */
static bool stream_read(struct stream *stream, struct db *db, struct fault *why, bool *is_over)
{
    *is_over = stream->at == stream->page.count;
    if (!*is_over)
        return true;
    if (stream->page.events && !stream->page.has_more)
        return true;
    arena_reset(&stream->arena);
    stream->at = 0;
    if (!event_since(db, why, stream->log, stream->seq, PAGE, &stream->arena, &stream->page))
        return false;
    *is_over = stream->page.count == 0;
    return true;
}

/* A heap, the oldest event at its root. */
struct streams {
    struct stream all[ID_BUCKETS + 1], *heap[ID_BUCKETS + 1];
    size_t made, count;
};

static void heap_sink(struct streams *streams, size_t at)
{
    for (;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < streams->count; child++)
            if (stream_event(streams->heap[child])->id < stream_event(streams->heap[least])->id)
                least = child;
        if (least == at)
            return;
        struct stream *swapped = streams->heap[at];
        streams->heap[at] = streams->heap[least];
        streams->heap[least] = swapped;
        at = least;
    }
}

static bool stream_add(struct streams *streams, struct db *db, struct fault *why, unsigned log, time_ms since)
{
    struct stream *stream = &streams->all[streams->made++];
    bool is_over;
    *stream = (struct stream){.log = log};
    if (!event_seq_before(db, why, log, since - EVENT_DISORDER_MS, &stream->seq) ||
        !stream_read(stream, db, why, &is_over))
        return false;
    if (!is_over)
        streams->heap[streams->count++] = stream;
    return true;
}

static bool streams_open(struct streams *streams, struct db *db, struct fault *why, const struct rehearsing *run)
{
    time_ms since = run->options->since;
    streams->made = streams->count = 0;
    if (run->first > EVENT_COMMON_LOG && !stream_add(streams, db, why, EVENT_COMMON_LOG, since))
        return false;
    for (unsigned log = run->first; log <= run->last; log++)
        if (!stream_add(streams, db, why, log, since))
            return false;
    for (size_t i = streams->count / 2; i-- > 0;)
        heap_sink(streams, i);
    return true;
}

static bool streams_next(struct streams *streams, struct db *db, struct fault *why)
{
    struct stream *oldest = streams->heap[0];
    bool is_over;
    oldest->seq = stream_event(oldest)->seq;
    oldest->at++;
    if (!stream_read(oldest, db, why, &is_over))
        return false;
    if (is_over)
        streams->heap[0] = streams->heap[--streams->count];
    heap_sink(streams, 0);
    return true;
}

static void streams_close(struct streams *streams)
{
    for (size_t i = 0; i < streams->made; i++)
        arena_release(&streams->all[i].arena);
}

/* ── all of them ── */

/* What the common log has of other buckets is theirs, at their time. */
static bool is_meant(const struct rehearsing *run, const struct event *event)
{
    const struct rehearsal_options *options = run->options;
    unsigned bucket = id_bucket(event->id);
    return bucket >= run->first && bucket <= run->last && event->at >= options->since && event->at < options->until &&
           (!options->brand_id || event->brand_id == options->brand_id);
}

static bool range_read(struct rehearsing *run, struct db *db, struct fault *why, bool *is_too_much)
{
    struct streams *streams = NEW(struct streams);
    bool ok = streams_open(streams, db, why, run);
    *is_too_much = false;
    while (ok && streams->count && !*is_too_much) {
        const struct event *event = stream_event(streams->heap[0]);
        if (is_meant(run, event))
            event_comes(run, event);
        *is_too_much = run->slates.count > ADDRESSES_MOST && run->first < run->last;
        ok = streams_next(streams, db, why);
    }
    streams_close(streams);
    free(streams);
    return ok;
}

/* Buckets `first` to `last`: at once, or in two halves where too many of their addresses have errors. */
static bool range_run(struct rehearsing *run, struct db *db, struct fault *why, unsigned first, unsigned last)
{
    struct rehearsal before = *run->rehearsal;
    bool is_too_much;
    run->first = first;
    run->last = last;
    if (!range_read(run, db, why, &is_too_much))
        return false;
    if (!is_too_much) {
        sums_take(run);
        return true;
    }
    *run->rehearsal = before;
    map_release(&run->slates);
    arena_reset(&run->slate_arena);
    unsigned middle = first + (last - first) / 2;
    return range_run(run, db, why, first, middle) && range_run(run, db, why, middle + 1, last);
}

bool rehearsal_run(struct db *db, struct fault *why, const struct rehearsal_options *options, struct arena *arena,
                   struct rehearsal *rehearsal)
{
    *rehearsal = (struct rehearsal){0};
    struct rehearsing run = {.options = options, .rehearsal = rehearsal, .arena = arena};
    bool ok = range_run(&run, db, why, 0, ID_BUCKETS - 1);
    map_release(&run.slates);
    arena_release(&run.slate_arena);
    return ok;
}
