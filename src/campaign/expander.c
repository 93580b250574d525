#include "campaign/expander.h"

#include "base/log.h"
#include "net/world.h"
#include <stdatomic.h>
#include <time.h>

enum { STEP_MEMBERS = 1000 };

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
    bool has_more;
};

static bool step(struct write_job *job, struct db *db, struct fault *why)
{
    struct expander *expander = (struct expander *)((char *)job - offsetof(struct expander, job));
    arena_reset(&expander->arena);
    expander->news_count = 0;
    expander->has_more = false;
    uint64_t id;
    size_t count;
    bool is_done;
    if (!campaign_in_state(db, why, CAMPAIGN_EXPANDING, &id, 1, &count))
        return false;
    if (count == 0)
        return true;
    expander->has_more = true; /* this one, or another */
    return campaign_expand_step(db, why, id, expander->options.step ? expander->options.step : STEP_MEMBERS,
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
    if (why)
        log_error("campaign", "expansion: %s", why->text);
    else if (expander->news_count)
        expander->options.submitted(expander->options.owner, expander->news, expander->news_count);
    bool goes_on = !why && expander->has_more;
    atomic_store(&expander->is_running, false);
    if (goes_on || atomic_load(&expander->is_woken))
        run(expander);
}

static void wake(struct store_watch *watch, unsigned marks)
{
    struct expander *expander = (struct expander *)((char *)watch - offsetof(struct expander, watch));
    if (!(marks & (STORE_MARK_DELIVERIES | STORE_MARK_POLL)))
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
    const struct timespec pause = {.tv_nsec = 2000000};
    while (atomic_load(&expander->is_running))
        nanosleep(&pause, NULL);
    arena_release(&expander->arena);
    free(expander);
}
