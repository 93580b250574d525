/* flow.c - giving work to slots, no faster than the pace allows
 *
 *     raw --compose ahead--> ready --a slot has room, the pace allows--> under way
 *
 * free:  nothing holds back but connections: each slot helps itself from its destination's queue.
 * gated: the pace holds mails back. Then they go in the order of their claims over all destinations of the site,
 *        transactional ones first, so that whoever happens to have a connection takes nobody's turn; the site is pumped
 *        whenever the pace allows the next one. It is free again when nothing waits. */
#include "deliver/engine_inside.h"
#include "deliver/several.h"
#include "deliver/site.h"
#include "deliver/slot.h"

enum {
    APPETITE_S = 2,     /* recipients in memory for so many seconds at this pace, */
    APPETITE_LEAST = 4, /* and these */
    OVERTAKEN_MS = 50,  /* its connections are busy: so long the others wait for whose turn it is */
    CLOSED_MS = 30000,
    LOOK_AGAIN_MS = 15100, /* for a cap that is used up */
    CLOSED_DOUBLINGS = 5,
    WAYS_PLENTY = 1000, /* sites of a worker: of more than these only some have ways (0.7 KB for each source) */
};

/* ── connections ── */

static void wake_in(struct site *site, time_ms wait)
{
    if (!timer_is_set(&site->wake) || loop_now(site->worker->loop) + wait < site->wake.due)
        timer_set(&site->wake, wait);
}

/* Has `a` had less of its share than `b`? First by connections, then by what was sent. */
static bool has_less(const struct egress *a, const struct egress *b)
{
    uint64_t left = (uint64_t)a->slots * b->weight, right = (uint64_t)b->slots * a->weight;
    if (left != right)
        return left < right;
    return a->sent * b->weight < b->sent * a->weight;
}

/* The way that may open a connection now and has had least of its share; NULL: none, and *wait_ms is when to ask again
 * (0: when one of them ends, or something else changes). */
static struct egress *egress_that_opens(const struct destination *destination, time_ms now, time_ms *wait_ms)
{
    struct egress *best = NULL;
    const struct egress *only = destination_egress(destination, now);
    *wait_ms = 0;
    for (struct egress *egress = destination->site->egresses; egress; egress = egress->next) {
        if (only && egress != only)
            continue;
        time_ms wait = egress_may_open(egress, now);
        if (wait == 0 && (!best || has_less(egress, best)))
            best = egress;
        if (wait > 0 && (!*wait_ms || wait < *wait_ms))
            *wait_ms = wait;
    }
    return best;
}

/* All connections are taken: this site is served when one ends. */
static void wait_for_connection(struct worker *worker, struct site *site)
{
    if (site->is_short)
        return;
    site->is_short = true;
    site->next_short = NULL;
    *worker->last_short = site;
    worker->last_short = &site->next_short;
}

void worker_serve_short(struct deferred *deferred)
{
    struct worker *worker = deferred->owner;
    while (worker->first_short && worker->connections < worker->engine->options.connections_most) {
        struct site *site = worker->first_short;
        worker->first_short = site->next_short;
        if (!worker->first_short)
            worker->last_short = &worker->first_short;
        site->is_short = false;
        worker_pump(worker, site);
    }
}

/* Connections that have nothing to do make room for those that are wanted. */
static void close_idle(struct site *site)
{
    for (struct destination *destination = site->destinations; destination; destination = destination->of_site) {
        for (struct slot *slot = destination->slots; slot; slot = slot->next) {
            if (slot->state == SLOT_OPEN && slot->under_way_count == 0 && !destination_waits(destination))
                timer_set(&slot->idle, 0);
        }
    }
}

static bool is_closed(struct destination *destination, time_ms now)
{
    if (now >= destination->closed_until)
        return false;
    wake_in(destination->site, destination->closed_until - now);
    return true;
}

static void publish_appetite(struct site *site, time_ms now);

/* Open one, or see to it that somebody comes back when one may be opened. False: not now. */
static bool open_connection(struct worker *worker, struct destination *destination, time_ms now)
{
    struct site *site = destination->site;
    time_ms wait;
    if (worker->connections >= worker->engine->options.connections_most) {
        wait_for_connection(worker, site);
        return false;
    }
    if (!site->egresses) {
        egresses_update(worker, site);
        atomic_store_explicit(&site->has_no_way, !site->egresses, memory_order_relaxed); /* a pool without a source */
        publish_appetite(site, now);
    }
    struct egress *egress = egress_that_opens(destination, now, &wait);
    if (egress)
        slot_open(worker, destination, egress);
    else if (wait)
        wake_in(site, wait);
    return egress != NULL;
}

/* ── free ── */

/* Something to be sent; without a connection, something to be composed while one is on its way. */
static bool has_work(const struct destination *destination)
{
    return destination->ready.count || (destination->raw.count && !destination->slot_count);
}

/* How many connections its ready mails could use: those that go together need one. */
static size_t transactions_ready(const struct destination *destination)
{
    const struct recipient *first = destination->ready.first;
    unsigned most = first && first->outgoing->alike ? several_most(destination, first) : 1;
    return (destination->ready.count + most - 1) / most;
}

/* No connection of it takes anything now: is another one worth it? Not while those that go together are gathering. */
static bool wants_connection(const struct destination *destination)
{
    const struct recipient *first = destination->ready.first;
    return !destination->slot_count || !first || !first->outgoing->alike ||
           transactions_ready(destination) > (size_t)destination->slot_count;
}

/* Those without a connection of their own come first. */
static struct destination *destination_with_work(const struct site *site, time_ms now)
{
    struct destination *more = NULL;
    for (struct destination *destination = site->first_busy; destination; destination = destination->next_busy) {
        if (!has_work(destination) || is_closed(destination, now))
            continue;
        if (!destination->slot_count)
            return destination;
        if (!more && destination->ready.count > (size_t)destination->slot_count && !destination->has_doubts &&
            transactions_ready(destination) > (size_t)destination->slot_count)
            more = destination;
    }
    return more;
}

static void pump_free(struct worker *worker, struct site *site, time_ms now)
{
    for (struct destination *destination = site->first_busy; destination; destination = destination->next_busy) {
        struct slot *next;
        for (struct slot *slot = destination->slots; slot && destination->ready.count; slot = next) {
            next = slot->next;
            if (slot->state == SLOT_OPEN && slot->under_way_count == 0)
                slot_run(slot);
        }
    }
    struct destination *destination = NULL;
    while (!site->is_gated && (destination = destination_with_work(site, now)) &&
           open_connection(worker, destination, now)) {
    }
}

/* ── gated ── */

bool slot_may_send(struct slot *slot)
{
    struct site *site = slot->destination->site;
    if (site->is_gated && !slot->has_turn) {
        if (!site->is_pumping)
            wake_in(site, 0);
        return false;
    }
    time_ms wait = egress_may_send(slot->egress, loop_now(slot->worker->loop));
    if (!wait)
        return true;
    site->is_gated = true;
    if (wait > 0)
        wake_in(site, wait);
    return false;
}

static bool goes_before(const struct recipient *a, const struct recipient *b)
{
    return a->priority != b->priority ? a->priority < b->priority : a->turn < b->turn;
}

static const struct recipient *first_of(const struct destination *destination)
{
    const struct recipient *raw = destination->raw.first, *ready = destination->ready.first;
    if (destination->slot_count || !raw)
        return ready;
    return ready && goes_before(ready, raw) ? ready : raw;
}

bool slot_may_send_also(struct slot *slot, const struct recipient *recipient)
{
    const struct site *site = slot->destination->site;
    if (egress_may_send(slot->egress, loop_now(slot->worker->loop)) != 0)
        return false;
    if (!site->is_gated)
        return true;
    for (const struct destination *other = site->first_busy; other; other = other->next_busy)
        if (has_work(other) && goes_before(first_of(other), recipient))
            return false;
    return true;
}

/* Whose turn it is: the destination with the oldest claim that was not looked at in this pass. */
static struct destination *destination_in_turn(struct site *site)
{
    struct destination *best = NULL;
    for (struct destination *destination = site->first_busy; destination; destination = destination->next_busy)
        if (has_work(destination) && destination->passed_at != site->pass &&
            (!best || goes_before(first_of(destination), first_of(best))))
            best = destination;
    return best;
}

static struct slot *slot_that_takes(struct destination *destination, time_ms now)
{
    for (struct slot *slot = destination->slots; slot; slot = slot->next)
        if (slot_has_room(slot) && egress_may_send(slot->egress, now) == 0)
            return slot;
    return NULL;
}

static bool is_any_way_open(struct site *site, time_ms now)
{
    for (struct egress *egress = site->egresses; egress; egress = egress->next)
        if (egress_may_send(egress, now) == 0)
            return true;
    return false;
}

/* Its turn, and its connections are busy: it keeps the turn for a moment, so that order is more than chance; not for
 * long, so that a slow host takes nobody's time. */
static bool is_awaited(struct destination *destination, time_ms now)
{
    if (!destination->slot_count || destination->has_doubts)
        return false;
    if (!destination->waits_since)
        destination->waits_since = now;
    time_ms left = destination->waits_since + OVERTAKEN_MS - now;
    if (left > 0)
        wake_in(destination->site, left);
    return left > 0;
}

/* One connection more at a time: is one of it on its way? */
static bool has_one_coming(const struct destination *destination)
{
    for (const struct slot *slot = destination->slots; slot; slot = slot->next)
        if (slot->state == SLOT_CONNECTING || slot->state == SLOT_TALKING)
            return true;
    return false;
}

static void pump_gated(struct worker *worker, struct site *site, time_ms now)
{
    struct destination *destination;
    site->pass++;
    while (is_any_way_open(site, now) && (destination = destination_in_turn(site))) {
        struct slot *slot = slot_that_takes(destination, now);
        size_t before = destination->ready.count;
        if (slot) {
            slot->has_turn = true;
            slot_run(slot); /* takes one and gives the turn back */
        } else if (!destination->has_doubts && !has_one_coming(destination) && !is_closed(destination, now) &&
                   wants_connection(destination)) {
            open_connection(worker, destination, now);
        }
        if (destination->ready.count != before)
            destination->waits_since = 0;
        else if (is_awaited(destination, now))
            break;
        else
            destination->passed_at = site->pass;
    }
}

/* ── all together ── */

/* Is there any way at all: a source that may be used and has something left of its day? Without one nothing stays in
 * memory, where neither another pool nor a hold would find it. */
static bool has_way(struct site *site, time_ms now)
{
    bool is_used_up = false;
    for (struct egress *egress = site->egresses; egress; egress = egress->next) {
        if (!egress->is_usable)
            continue;
        if (!egress->allowance.is_used_up)
            return true;
        is_used_up = true;
        egress_may_send(egress, now); /* asks whether somebody has changed the cap */
    }
    if (is_used_up)
        wake_in(site, LOOK_AGAIN_MS);
    return false;
}

static void publish_appetite(struct site *site, time_ms now)
{
    if (!site->egresses) /* what was said last still holds */
        return;
    double rate = 0;
    bool is_unlimited = false;
    for (struct egress *egress = site->egresses; egress; egress = egress->next) {
        if (!egress->is_usable || egress->allowance.is_used_up)
            continue;
        double own = pace_rate(&egress->pace, now);
        is_unlimited = is_unlimited || own <= 0;
        rate += own;
    }
    const struct site_rate *total = &site->rule->total_rate;
    double most = total->count ? total->count * 1000.0 / (double)total->per : 0;
    if (most > 0 && (is_unlimited || rate > most)) {
        is_unlimited = false;
        rate = most;
    }
    size_t wanted = is_unlimited ? 0 : (size_t)(rate * APPETITE_S) + APPETITE_LEAST;
    atomic_store_explicit(&site->appetite, wanted, memory_order_relaxed);
    atomic_store_explicit(&site->has_no_way, !has_way(site, now), memory_order_relaxed);
}

static void give_back_all(struct worker *worker, struct site *site)
{
    for (struct destination *destination = site->first_busy; destination; destination = destination->next_busy) {
        for (struct recipient *recipient; (recipient = raw_pop(destination));)
            worker_give_back(worker, recipient);
        for (struct recipient *recipient; (recipient = recipients_pop(&destination->ready));)
            worker_give_back(worker, recipient);
    }
}

/* The pace has fallen: what would wait here for long goes home, where brands take turns. */
static void give_back_surplus(struct worker *worker, struct site *site)
{
    size_t appetite = atomic_load_explicit(&site->appetite, memory_order_relaxed), kept = 0;
    if (atomic_load_explicit(&site->has_no_way, memory_order_relaxed))
        return give_back_all(worker, site);
    if (!appetite || site->raw <= 2 * appetite)
        return;
    for (struct destination *destination = site->first_busy; destination; destination = destination->next_busy) {
        for (size_t left = destination->raw.count; left; left--) {
            struct recipient *recipient = raw_pop(destination);
            if (recipient->priority == 0 || kept++ < appetite)
                raw_push(destination, recipient);
            else
                worker_give_back(worker, recipient);
        }
    }
}

/* When to come back, beside what was arranged on the way. */
static void wake_again(struct site *site, time_ms now)
{
    if (site->raw && now < site->compose_after)
        wake_in(site, site->compose_after - now);
    if (!site->first_busy)
        return;
    time_ms least = 0;
    bool is_open = false;
    for (struct egress *egress = site->egresses; egress; egress = egress->next) {
        time_ms wait = egress_may_send(egress, now);
        is_open = is_open || wait == 0;
        if (wait > 0 && (!least || wait < least))
            least = wait;
    }
    if (!is_open && least)
        wake_in(site, least);
}

/* Nothing is to be done there: of many sites the ways are given up as soon as they hold nothing. */
static void rest(struct worker *worker, struct site *site, time_ms now)
{
    size_t idle_most = worker->engine->options.idle_most, most = idle_most ? idle_most : WAYS_PLENTY;
    if (!site->egresses || site->slots || site->first_busy || site->composing || worker->site_count <= most)
        return;
    time_ms until = egresses_shed(site, now);
    if (until)
        wake_in(site, until - now);
    else
        site->is_gated = false; /* none of them waits */
}

void worker_pump(struct worker *worker, struct site *site)
{
    if (worker->is_stopping || site->is_pumping)
        return;
    time_ms now = loop_now(worker->loop);
    site->is_pumping = true;
    worker_compose_ahead(worker, site);
    site_sweep(site);
    if (!site->first_busy)
        site->is_gated = false;
    if (!site->is_gated)
        pump_free(worker, site, now);
    if (site->is_gated)
        pump_gated(worker, site, now);
    struct destination *waits = destination_with_work(site, now);
    site->is_crowded = waits && waits->slot_count == 0 && site->slots > 0;
    site->urgent_waits = site->is_crowded && first_of(waits)->priority == 0;
    if (site->is_crowded)
        close_idle(site);
    worker_compose_ahead(worker, site);
    wake_again(site, now);
    for (struct egress *egress = site->egresses; egress; egress = egress->next) {
        time_ms over = egress_says(egress, now);
        if (over)
            wake_in(site, over);
        if (site->first_busy || egress_is_shut(egress, now))
            egress_binding(egress, now);
        else if (egress->pace.binding.limit != PACE_NOTHING)
            egress->pace.binding = (struct pace_binding){.since = now};
    }
    share_settle(site->totals, now);
    for (struct egress *egress = site->egresses; egress; egress = egress->next) {
        share_settle(egress->share, now);
        time_ms wait = egress_settle(egress, now);
        if (wait)
            wake_in(site, wait);
    }
    publish_appetite(site, now);
    give_back_surplus(worker, site);
    rest(worker, site, now);
    site->is_pumping = false;
}

void destination_closed(struct destination *destination, time_ms now)
{
    int doubling = destination->failures < CLOSED_DOUBLINGS ? destination->failures : CLOSED_DOUBLINGS;
    double scale = destination->site->worker->engine->options.retry.scale;
    destination->closed_until = now + (time_ms)((double)(CLOSED_MS << doubling) * scale) + 1;
}
