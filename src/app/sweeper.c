/* sweeper.c - lives on the writer thread: woken by its polls, its job and its figures are all there
 *
 *     idle --PAUSE_MS over--> queued --full slice--> idle for SLICE_PAUSE_MS
 *                                    --less----------> idle for PAUSE_MS */
#include "app/sweeper.h"

#include "base/log.h"
#include "hosted/hosted.h"
#include "submit/message.h"
#include <stdatomic.h>

enum { SLICE = 200, PAUSE_MS = 60000, SLICE_PAUSE_MS = 200 };

struct sweeper {
    struct store_watch watch;
    struct write_job job;
    struct store *store;
    struct leases *leases;
    struct world *world;
    size_t looked;
    struct hosted_swept files;
    time_ms next;
    _Atomic bool is_running;
};

static bool sweep_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct sweeper *sweeper = (struct sweeper *)((char *)job - offsetof(struct sweeper, job));
    bool leads;
    sweeper->looked = 0;
    sweeper->files = (struct hosted_swept){0};
    if (!leases_lead(db, why, sweeper->leases, &leads))
        return false;
    if (!leads)
        return true;
    time_ms now = world_wall(sweeper->world);
    return message_sweep(db, why, now, SLICE, &sweeper->looked) && hosted_sweep(db, why, now, &sweeper->files);
}

static void sweep_done(struct write_job *job, const struct fault *why)
{
    struct sweeper *sweeper = (struct sweeper *)((char *)job - offsetof(struct sweeper, job));
    if (why)
        log_warn("app", "bodies of stored mails and files cannot be removed now: %s", why->text);
    else if (sweeper->files.expired || sweeper->files.bodies)
        log_info("app", "%zu files for download expired; the bytes of %zu went, %llu octets", sweeper->files.expired,
                 sweeper->files.bodies, (unsigned long long)sweeper->files.bytes);
    bool has_more = !why && (sweeper->looked == SLICE || sweeper->files.has_more);
    sweeper->next = world_monotonic(sweeper->world) + (has_more ? SLICE_PAUSE_MS : PAUSE_MS);
    atomic_store(&sweeper->is_running, false);
}

static void sweep_wake(struct store_watch *watch, unsigned marks)
{
    struct sweeper *sweeper = (struct sweeper *)((char *)watch - offsetof(struct sweeper, watch));
    if (world_monotonic(sweeper->world) < sweeper->next || atomic_exchange(&sweeper->is_running, true))
        return;
    store_write(sweeper->store, &sweeper->job);
}

struct sweeper *sweeper_start(struct store *store, struct leases *leases, struct world *world)
{
    struct sweeper *sweeper = NEW(struct sweeper);
    sweeper->store = store;
    sweeper->leases = leases;
    sweeper->world = world;
    sweeper->job.run = sweep_run;
    sweeper->job.done = sweep_done;
    sweeper->job.rows = SLICE;
    sweeper->job.fails_fast = true;
    sweeper->next = world_monotonic(world) + PAUSE_MS;
    sweeper->watch.wake = sweep_wake;
    store_watch_add(store, &sweeper->watch);
    return sweeper;
}

void sweeper_stop(struct sweeper *sweeper)
{
    if (!sweeper)
        return;
    store_watch_remove(sweeper->store, &sweeper->watch);
    store_write_settle(sweeper->store); /* our job, too */
    free(sweeper);
}
