#include "campaign/expander.h"

#include "base/log.h"
#include "net/world.h"
#include <stdatomic.h>

enum {
    STEP_MEMBERS = 1000,
    CAMPAIGNS = 64 /* that are looked at for the next turn */,
    FAILED_MS = 10000,
    FAILURES = 3
};

struct expander {
    struct expander_options options;
    struct store_watch watch;
    struct write_job job;
    _Atomic bool is_running; /* the job is queued or runs */
    _Atomic bool is_woken;   /* something changed since the job looked */
    _Atomic bool is_stopping;
    struct arena arena;
    struct submit_news *news;
    size_t news_count;
    uint64_t now, last; /* whose turn it is, and was */
    uint64_t failed;    /* this one could not be expanded, and is left alone until */
    time_ms failed_until;
    unsigned failures; /* in a row */
};

/* Campaigns take turns: a great one delays nobody, and one that cannot be expanded stops nobody. 0: nothing to do. */
static bool next_campaign(struct expander *expander, struct db *db, struct fault *why, uint64_t *id)
{
    uint64_t ids[CAMPAIGNS], first = 0, after = 0;
    size_t count;
    bool skips = world_monotonic(expander->options.world) < expander->failed_until;
    if (!campaign_in_state(db, why, CAMPAIGN_EXPANDING, ids, CAMPAIGNS, &count))
        return false;
    for (size_t i = count; i-- > 0;) { /* they come by id */
        if (skips && ids[i] == expander->failed)
            continue;
        first = ids[i];
        if (ids[i] > expander->last)
            after = ids[i];
    }
    *id = after ? after : first;
    return true;
}

static bool step(struct write_job *job, struct db *db, struct fault *why)
{
    struct expander *expander = (struct expander *)((char *)job - offsetof(struct expander, job));
    arena_reset(&expander->arena);
    expander->news_count = 0;
    bool is_done, leads;
    expander->now = 0;
    if (!leases_lead(db, why, expander->options.leases, &leads))
        return false;
    if (!leads)
        return true;
    if (!next_campaign(expander, db, why, &expander->now))
        return false;
    if (!expander->now)
        return true;
    expander->last = expander->now;
    return campaign_expand_step(db, why, expander->now, expander->options.step ? expander->options.step : STEP_MEMBERS,
                                world_wall(expander->options.world), &expander->arena, &expander->news,
                                &expander->news_count, &is_done);
}

static void run(struct expander *expander)
{
    if (atomic_load(&expander->is_stopping) || atomic_exchange(&expander->is_running, true))
        return;
    atomic_store(&expander->is_woken, false);
    store_write(expander->options.store, &expander->job);
}

static void step_done(struct write_job *job, const struct fault *why)
{
    struct expander *expander = (struct expander *)((char *)job - offsetof(struct expander, job));
    bool goes_on = expander->now != 0;
    expander->failures = why ? expander->failures + 1 : 0;
    if (why) {
        log_error("campaign", "campaign %llu cannot be expanded: %s", (unsigned long long)expander->now, why->text);
        goes_on = why->kind != FAULT_WORLD && expander->failures < FAILURES; /* the poll comes again */
        expander->failed = expander->now;
        expander->failed_until = why->kind != FAULT_WORLD ? world_monotonic(expander->options.world) + FAILED_MS : 0;
    } else if (expander->news_count) {
        expander->options.submitted(expander->options.owner, expander->news, expander->news_count);
    }
    atomic_store(&expander->is_running, false);
    if (goes_on || atomic_load(&expander->is_woken))
        run(expander);
}

static void wake(struct store_watch *watch, unsigned marks)
{
    struct expander *expander = (struct expander *)((char *)watch - offsetof(struct expander, watch));
    if (!(marks & (STORE_MARK_CAMPAIGNS | STORE_MARK_POLL)))
        return;
    atomic_store(&expander->is_woken, true);
    run(expander);
}

struct expander *expander_start(const struct expander_options *options)
{
    struct expander *expander = NEW(struct expander);
    expander->options = *options;
    expander->job.run = step;
    expander->job.done = step_done;
    expander->job.rows = STEP_MEMBERS;
    expander->job.fails_fast = true; /* the poll comes again */
    expander->watch.wake = wake;
    store_watch_add(options->store, &expander->watch);
    run(expander);
    return expander;
}

void expander_stop(struct expander *expander)
{
    if (!expander)
        return;
    atomic_store(&expander->is_stopping, true);
    store_watch_remove(expander->options.store, &expander->watch);
    for (int i = 0; i < 2; i++) /* our step, and the one that it has asked for */
        store_write_settle(expander->options.store);
    arena_release(&expander->arena);
    free(expander);
}
