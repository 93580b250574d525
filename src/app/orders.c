/* orders.c - lives on the writer thread, as sweeper.c does
 *
 *     idle --an order was given, or AGAIN_MS over--> queued --slices are left--> queued again at once
 *                                                           --nothing to do----> idle */
#include "app/orders.h"

#include "base/log.h"
#include <stdatomic.h>
#include <stdlib.h>

enum { ROWS_A_JOB = 2000, LOOK_MS = 500 /* while an order is open */, AGAIN_MS = 1000, RECALL_MS = 250 };

struct orders {
    struct store_watch watch;
    struct write_job job;
    struct orders_options options;
    struct arena arena; /* of the last run */
    struct order_step step;
    struct order_reach reaches[ORDER_REACHES_MOST]; /* of runs whose mail in memory was not recalled yet */
    size_t reach_count;
    struct arena reached; /* their texts */
    time_ms next, recall_at;
    _Atomic bool is_running;
};

static bool orders_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct orders *orders = (struct orders *)((char *)job - offsetof(struct orders, job));
    arena_release(&orders->arena);
    orders->arena = (struct arena){0};
    return order_step(&orders->options.ledger, db, why, world_wall(orders->options.world), ROWS_A_JOB, &orders->arena,
                      &orders->step);
}

/* A large order takes many runs, and each recall is work for those who send: the first at once, others together. */
static void recall(struct orders *orders)
{
    const struct order_step *step = &orders->step;
    time_ms now = world_monotonic(orders->options.world);
    for (size_t i = 0; i < step->reach_count; i++) {
        struct order_reach reach = step->reaches[i];
        reach.domain = arena_copy(&orders->reached, reach.domain);
        order_reach_add(orders->reaches, &orders->reach_count, &reach);
    }
    if (step->has_more && now < orders->recall_at)
        return;
    for (size_t i = 0; i < orders->reach_count; i++)
        orders->options.recall(orders->options.owner, &orders->reaches[i]);
    orders->recall_at = now + RECALL_MS;
    orders->reach_count = 0;
    arena_reset(&orders->reached);
}

static void orders_done(struct write_job *job, const struct fault *why)
{
    struct orders *orders = (struct orders *)((char *)job - offsetof(struct orders, job));
    const struct order_step *step = &orders->step;
    if (why)
        log_warn("app", "what was ordered of the queue waits: %s", why->text);
    if (!why && step->moved)
        log_info("app", "orders of the queue are carried out%s moved=%lld", step->has_open ? ", more to come" : "",
                 (long long)step->moved);
    for (size_t i = 0; !why && i < step->released_count; i++) {
        const struct submit_news news = {.lane = step->released[i].lane,
                                         .bucket = step->released[i].bucket,
                                         .due = world_wall(orders->options.world),
                                         .count = 1};
        orders->options.submitted(orders->options.owner, &news, 1);
    }
    if (!why)
        recall(orders);
    time_ms pause = why ? LOOK_MS : step->has_more ? 0 : step->has_open ? LOOK_MS : AGAIN_MS;
    orders->next = world_monotonic(orders->options.world) + pause;
    orders->watch.again_ms = !why && step->has_more ? 1 : LOOK_MS;
    atomic_store(&orders->is_running, false);
}

static void orders_wake(struct store_watch *watch, unsigned marks)
{
    struct orders *orders = (struct orders *)((char *)watch - offsetof(struct orders, watch));
    if (world_monotonic(orders->options.world) < orders->next || atomic_exchange(&orders->is_running, true))
        return;
    store_write(orders->options.store, &orders->job);
}

struct orders *orders_start(const struct orders_options *options)
{
    struct orders *orders = NEW(struct orders);
    orders->options = *options;
    orders->job.run = orders_run;
    orders->job.done = orders_done;
    orders->job.rows = ROWS_A_JOB;
    orders->job.fails_fast = true;
    orders->watch.wake = orders_wake;
    store_watch_add(options->store, &orders->watch);
    return orders;
}

void orders_stop(struct orders *orders)
{
    if (!orders)
        return;
    store_watch_remove(orders->options.store, &orders->watch);
    store_write_settle(orders->options.store); /* our job, too */
    arena_release(&orders->reached);
    arena_release(&orders->arena);
    free(orders);
}
