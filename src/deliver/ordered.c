#include "deliver/ordered.h"

#include "base/log.h"
#include "deliver/destination.h"
#include "deliver/egress.h"
#include "deliver/engine_inside.h"
#include "deliver/paused.h"
#include "deliver/site.h"
#include "deliver/slot.h"
#include "queue/order.h"
#include "shape/suspension.h"
#include <stdatomic.h>
#include <stdlib.h>

enum { ORDERS_MOST = 16 };

/* What a worker knows: replaced as a whole. */
struct suspended_set {
    struct arena arena;
    struct suspension *list;
    size_t count;
};

struct ordered {
    struct write_job job;
    struct engine *engine;
    struct arena arena;
    struct queue_order *orders;
    size_t count;
    _Atomic int64_t moved[ORDERS_MOST]; /* ways of each order */
    _Atomic unsigned left;
    struct suspended_set *sets[]; /* of each worker; NULL: as before */
};

void suspended_set_free(struct suspended_set *set)
{
    if (set)
        arena_release(&set->arena);
    free(set);
}

static void ordered_free(struct ordered *ordered)
{
    struct engine *engine = ordered->engine;
    for (unsigned i = 0; i < engine->worker_count; i++)
        suspended_set_free(ordered->sets[i]);
    arena_release(&ordered->arena);
    free(ordered);
    atomic_store(&engine->dispatcher.is_ordered_out, false); /* from here on the engine may be gone */
}

/* ── told to the store ── */

static bool ordered_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct ordered *ordered = (struct ordered *)job;
    const struct engine *engine = ordered->engine;
    for (size_t i = 0; i < ordered->count; i++)
        if (!order_of_pace_done(db, why, engine->options.ledger.node, ordered->orders[i].id,
                                atomic_load(&ordered->moved[i]), world_wall(engine->options.world)))
            return false;
    return true;
}

static void ordered_done(struct write_job *job, const struct fault *why)
{
    if (why) /* the next second does it again, and finds less to change */
        log_warn("deliver", "what was ordered of the pace is done, and cannot be written down: %s", why->text);
    ordered_free((struct ordered *)job);
}

static void worker_has_done(struct ordered *ordered)
{
    if (atomic_fetch_sub(&ordered->left, 1) != 1)
        return;
    for (size_t i = 0; i < ordered->count; i++) {
        const struct queue_order *order = &ordered->orders[i];
        log_info("deliver", "carried out: %.*s site=%.*s source=%.*s order=%llu ways=%lld",
                 SLICE_ARG(order_verb_word(order->verb)), SLICE_ARG(order->site),
                 SLICE_ARG(order->source.len ? order->source : SLICE("all")), (unsigned long long)order->id,
                 (long long)atomic_load(&ordered->moved[i]));
    }
    if (ordered->count)
        store_write(ordered->engine->options.store, &ordered->job);
    else
        ordered_free(ordered);
}

void ordered_drop(struct ordered *ordered)
{
    if (ordered && atomic_fetch_sub(&ordered->left, 1) == 1)
        ordered_free(ordered);
}

/* ── a worker's part ── */

static bool concerns(struct slice site, uint64_t source_id, const struct egress *egress)
{
    return slice_equal_caseless(site, egress->site->name) && (!source_id || source_id == egress->source_id);
}

static void suspend(const struct suspended_set *set, struct egress *egress, time_ms wall, time_ms now)
{
    time_ms until = 0;
    for (size_t i = 0; set && i < set->count; i++)
        if (concerns(set->list[i].site, set->list[i].source_id, egress) && set->list[i].until > until)
            until = set->list[i].until;
    pace_suspend(&egress->pace, until > wall ? now + (until - wall) : 0);
}

void ordered_begin(const struct worker *worker, struct egress *egress, time_ms now)
{
    if (worker->suspended && worker->suspended->count)
        suspend(worker->suspended, egress, world_wall(worker->engine->options.world), now);
}

/* The hosts of its destinations are tried again at once, too. */
static void hosts_forgiven(struct site *site)
{
    for (struct destination *destination = site->destinations; destination; destination = destination->of_site) {
        destination->closed_until = destination->dead_until[0] = destination->dead_until[1] = 0;
        destination->failures = 0;
    }
}

/* Of a site's ways by what was suspended before; whatever changes is counted for the order that did it. */
static void site_resumed(struct ordered *ordered, struct site *site, time_ms now)
{
    for (size_t i = 0; i < ordered->count; i++) {
        const struct queue_order *order = &ordered->orders[i];
        if (order->verb != ORDER_RESUME || !slice_equal_caseless(order->site, site->name))
            continue;
        hosts_forgiven(site);
        for (struct egress *egress = site->egresses; egress; egress = egress->next) {
            if (!concerns(order->site, order->source_id, egress))
                continue;
            bool was_suspended = egress->pace.ordered_until > now;
            if (pace_resume(&egress->pace, now) || was_suspended)
                atomic_fetch_add(&ordered->moved[i], 1);
            paused_look(egress);
        }
    }
}

static void site_suspended(struct ordered *ordered, struct site *site, time_ms now)
{
    for (size_t i = 0; i < ordered->count; i++) {
        const struct queue_order *order = &ordered->orders[i];
        for (struct egress *egress = site->egresses; order->verb == ORDER_SUSPEND && egress; egress = egress->next)
            if (concerns(order->site, order->source_id, egress) && egress->pace.ordered_until > now)
                atomic_fetch_add(&ordered->moved[i], 1);
    }
    for (struct destination *destination = site->destinations; destination; destination = destination->of_site)
        for (struct slot *slot = destination->slots; slot; slot = slot->next)
            if (slot->egress->pace.ordered_until > now)
                slot_leave_if_idle(slot);
}

static bool is_ordered(const struct ordered *ordered, const struct site *site)
{
    for (size_t i = 0; i < ordered->count; i++)
        if (slice_equal_caseless(ordered->orders[i].site, site->name))
            return true;
    return false;
}

void ordered_arrived(struct worker *worker, struct ordered *ordered)
{
    time_ms now = loop_now(worker->loop), wall = world_wall(worker->engine->options.world);
    struct suspended_set *set = ordered->sets[worker->index];
    for (struct site *site = worker->sites; site; site = site->next_of_worker)
        site_resumed(ordered, site, now);
    if (set) {
        ordered->sets[worker->index] = NULL;
        suspended_set_free(worker->suspended);
        worker->suspended = set;
    }
    for (struct site *site = worker->sites; site; site = site->next_of_worker) {
        bool is_touched = is_ordered(ordered, site);
        for (struct egress *egress = site->egresses; set && egress; egress = egress->next) {
            time_ms before = egress->pace.ordered_until;
            suspend(set, egress, wall, now);
            is_touched |= before != egress->pace.ordered_until;
        }
        if (!is_touched)
            continue;
        site_suspended(ordered, site, now);
        worker_pump(worker, site);
    }
    worker_has_done(ordered);
}

/* ── the dispatcher's ── */

static uint64_t suspended_mark(const struct suspension *list, size_t count)
{
    uint64_t mark = count;
    for (size_t i = 0; i < count; i++) {
        mark = hash_bytes(list[i].site, mark);
        mark = hash_u64(list[i].source_id, mark);
        mark = hash_u64((uint64_t)list[i].until, mark);
    }
    return mark;
}

static struct suspended_set *suspended_copy(const struct suspension *list, size_t count)
{
    struct suspended_set *set = NEW(struct suspended_set);
    set->list = ARENA_ARRAY(&set->arena, struct suspension, count + 1);
    set->count = count;
    for (size_t i = 0; i < count; i++)
        set->list[i] = (struct suspension){
            .site = arena_copy(&set->arena, list[i].site), .source_id = list[i].source_id, .until = list[i].until};
    return set;
}

/* Suspensions before orders: one that is known by its order is known by its row. */
static bool ordered_read(struct dispatcher *dispatcher, struct fault *why, struct arena *arena,
                         struct suspension **list, size_t *suspended, struct queue_order **orders, size_t *count)
{
    struct engine *engine = dispatcher->engine;
    struct fault ignored;
    bool is_one_view = db_read(dispatcher->reader, &ignored);
    bool ok =
        suspension_list(dispatcher->reader, why, world_wall(engine->options.world), arena, list, suspended) &&
        order_of_pace_open(dispatcher->reader, why, engine->options.ledger.node, ORDERS_MOST, arena, orders, count);
    if (is_one_view && (!ok || !db_commit(dispatcher->reader, &ignored)))
        db_rollback(dispatcher->reader);
    return ok;
}

void ordered_look(struct dispatcher *dispatcher)
{
    struct engine *engine = dispatcher->engine;
    struct arena arena = {0};
    struct suspension *list;
    struct queue_order *orders;
    size_t suspended, count;
    struct fault why;
    if (dispatcher->is_stopping || atomic_load(&dispatcher->is_ordered_out))
        return;
    if (!ordered_read(dispatcher, &why, &arena, &list, &suspended, &orders, &count)) {
        log_warn("deliver", "what was ordered of the pace cannot be read: %s", why.text);
        arena_release(&arena);
        return;
    }
    uint64_t mark = suspended_mark(list, suspended);
    bool is_new = mark != dispatcher->suspended_mark;
    if (!is_new && !count) {
        arena_release(&arena);
        return;
    }
    struct ordered *ordered = memory_zero(1, sizeof(*ordered) + engine->worker_count * sizeof(ordered->sets[0]));
    ordered->job.run = ordered_run;
    ordered->job.done = ordered_done;
    ordered->job.fails_fast = true;
    ordered->engine = engine;
    ordered->arena = arena;
    ordered->orders = orders;
    ordered->count = count;
    for (unsigned i = 0; is_new && i < engine->worker_count; i++)
        ordered->sets[i] = suspended_copy(list, suspended);
    dispatcher->suspended_mark = mark;
    for (size_t i = 0; i < count; i++)
        if (orders[i].verb == ORDER_RESUME)
            ordered->moved[i] = (int64_t)paused_lift(engine, orders[i].site, orders[i].source_id);
    atomic_store(&ordered->left, engine->worker_count);
    atomic_store(&dispatcher->is_ordered_out, true);
    for (unsigned i = 0; i < engine->worker_count; i++)
        worker_control_ordered(&engine->workers[i], ordered);
}
