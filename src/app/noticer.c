/* noticer.c - lives on the writer thread: woken by the mark that an outcome leaves, and now and then for what a crash
 * left
 *
 *     idle --mark, or LOOK_MS over--> queued --a full slice--> queued again
 *                                        --less-----------> idle */
#include "app/noticer.h"

#include "base/log.h"
#include <stdatomic.h>

enum { SLICE_MOST = 50, LOOK_MS = 60000 };

struct noticer {
    struct store_watch watch;
    struct write_job job;
    struct noticer_options options;
    struct arena arena;
    struct submit_news *news;
    size_t news_count, taken;
    time_ms look_at;
    _Atomic bool is_running, is_stopping;
    bool is_asked; /* while running */
};
#define NOTICER_OF(ptr, member) ((struct noticer *)(void *)((char *)(ptr)-offsetof(struct noticer, member)))

static bool notices_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct noticer *noticer = NOTICER_OF(job, job);
    const struct notice_options options = {.host_name = slice_str(noticer->options.host_name),
                                           .now = world_wall(noticer->options.world),
                                           .expires_after = noticer->options.expires_after,
                                           .date_offset_minutes = noticer->options.date_offset_minutes};
    bool leads;
    arena_reset(&noticer->arena);
    noticer->news_count = noticer->taken = 0;
    if (!leases_lead(db, why, noticer->options.leases, &leads))
        return false;
    if (!leads)
        return true;
    return notice_send(db, why, &options, SLICE_MOST, &noticer->arena, &noticer->news, &noticer->news_count,
                       &noticer->taken);
}

static void notices_done(struct write_job *job, const struct fault *why)
{
    struct noticer *noticer = NOTICER_OF(job, job);
    if (why)
        log_warn("app", "senders cannot be told now what became of their mail: %s", why->text);
    else if (noticer->news_count)
        noticer->options.submitted(noticer->options.owner, noticer->news, noticer->news_count);
    noticer->look_at = world_monotonic(noticer->options.world) + LOOK_MS;
    bool has_more = !why && (noticer->taken == SLICE_MOST || noticer->is_asked);
    noticer->is_asked = false;
    if (has_more && !atomic_load(&noticer->is_stopping))
        store_write(noticer->options.store, &noticer->job);
    else
        atomic_store(&noticer->is_running, false);
}

static void notices_wake(struct store_watch *watch, unsigned marks)
{
    struct noticer *noticer = NOTICER_OF(watch, watch);
    bool is_due = world_monotonic(noticer->options.world) >= noticer->look_at;
    if (!(marks & STORE_MARK_NOTICES) && !is_due)
        return;
    if (atomic_exchange(&noticer->is_running, true))
        noticer->is_asked = true;
    else
        store_write(noticer->options.store, &noticer->job);
}

struct noticer *noticer_start(const struct noticer_options *options)
{
    struct noticer *noticer = NEW(struct noticer);
    noticer->options = *options;
    noticer->job.run = notices_run;
    noticer->job.done = notices_done;
    noticer->job.rows = SLICE_MOST;
    noticer->job.fails_fast = true;
    noticer->watch.wake = notices_wake;
    store_watch_add(options->store, &noticer->watch);
    return noticer;
}

void noticer_stop(struct noticer *noticer)
{
    if (!noticer)
        return;
    atomic_store(&noticer->is_stopping, true);
    store_watch_remove(noticer->options.store, &noticer->watch);
    for (int i = 0; i < 2; i++) /* our job, and the one that it has asked for */
        store_write_settle(noticer->options.store);
    arena_release(&noticer->arena);
    free(noticer);
}
