#include "app/finisher.h"

#include "alarm/alarm.h"
#include "base/log.h"
#include "campaign/campaign.h"
#include "event/event.h"
#include "report/report.h"
#include <time.h>

enum {
    FINISH_MS = 300,   /* between two looks */
    FINISH_MOST = 100, /* campaigns looked at in one go */
};

struct finisher {
    struct store_watch watch;
    struct write_job job;
    struct store *store;
    struct leases *leases;
    struct world *world;
    _Atomic bool is_running;
    _Atomic time_ms last;
    unsigned bucket; /* the writer's: where something was owed last */
};

static bool finish_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct finisher *finisher = (struct finisher *)((char *)job - offsetof(struct finisher, job));
    uint64_t ids[FINISH_MOST], lag, watched;
    size_t count;
    bool leads;
    if (!leases_lead(db, why, finisher->leases, &leads))
        return false;
    if (!leads)
        return true;
    if (!campaign_in_state(db, why, CAMPAIGN_SENDING, ids, FINISH_MOST, &count))
        return false;
    if (count == 0)
        return true;
    if (!event_reader_lag(db, why, REPORT_READER, &lag) || !event_reader_lag(db, why, ALARM_READER, &watched))
        return false;
    /* counters that run behind say nothing about the end, and the guard may take a refusal back */
    for (size_t i = 0; i < count && lag == 0 && watched == 0; i++) {
        bool owes;
        if (!report_owes(db, why, ids[i], &finisher->bucket, &owes))
            return false;
        if (!owes && !campaign_finish(db, why, ids[i], world_wall(finisher->world)))
            return false;
    }
    return true;
}

static void finish_done(struct write_job *job, const struct fault *why)
{
    struct finisher *finisher = (struct finisher *)((char *)job - offsetof(struct finisher, job));
    if (why)
        log_warn("app", "campaigns cannot be finished now: %s", why->text);
    atomic_store(&finisher->is_running, false);
}

static void finish_wake(struct store_watch *watch, unsigned marks)
{
    struct finisher *finisher = (struct finisher *)((char *)watch - offsetof(struct finisher, watch));
    time_ms now = world_monotonic(finisher->world);
    if (now - atomic_load(&finisher->last) < FINISH_MS || atomic_exchange(&finisher->is_running, true))
        return;
    atomic_store(&finisher->last, now);
    store_write(finisher->store, &finisher->job);
}

struct finisher *finisher_start(struct store *store, struct leases *leases, struct world *world)
{
    struct finisher *finisher = NEW(struct finisher);
    finisher->store = store;
    finisher->leases = leases;
    finisher->world = world;
    finisher->job.run = finish_run;
    finisher->job.done = finish_done;
    finisher->watch.wake = finish_wake;
    store_watch_add(store, &finisher->watch);
    return finisher;
}

void finisher_stop(struct finisher *finisher)
{
    if (!finisher)
        return;
    store_watch_remove(finisher->store, &finisher->watch);
    const struct timespec pause = {.tv_nsec = 2000000};
    while (atomic_load(&finisher->is_running))
        nanosleep(&pause, NULL);
    free(finisher);
}
