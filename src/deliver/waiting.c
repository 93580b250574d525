/* waiting.c - a worker's sites and destinations: met with the first recipient, left when nobody has a use for them; and
 * the recipients that wait in them, some of them composed ahead
 *
 *     raw --compose ahead--> the pool --> ready --flow.c--> a slot
 *
 * Always true: a destination that has raw or ready recipients is in its site's list of busy ones; site->raw is the sum
 * of their raw ones. */
#include "deliver/destination.h"
#include "deliver/egress.h"
#include "deliver/engine_inside.h"
#include "deliver/site.h"

enum { IN_MEMORY_PLENTY = 5000 /* recipients of a worker: beyond that only what is sent soon is composed */ };

/* ── known, and known no more ── */

static void site_wake(struct timer *timer)
{
    struct site *site = timer->owner;
    worker_pump(site->worker, site);
}

void site_meet(struct worker *worker, struct site *site)
{
    site->is_known_to_worker = true;
    site->last_busy = &site->first_busy;
    timer_init(&site->wake, worker->loop, site_wake, site);
    site->before_of_worker = NULL;
    site->next_of_worker = worker->sites;
    if (site->next_of_worker)
        site->next_of_worker->before_of_worker = site;
    worker->sites = site;
    worker->site_count++;
    site->totals = share_of_site(site);
}

void site_release_egresses(struct site *site)
{
    for (struct egress *egress = site->egresses, *next; egress; egress = next) {
        next = egress->next;
        pace_release(&egress->pace);
        buf_release(&egress->lowered_by);
        free(egress->share);
        free(egress->opening);
        egress_says_no_more(egress);
        free(egress);
        atomic_fetch_sub_explicit(&site->worker->engine->ways, 1, memory_order_relaxed);
    }
    site->egresses = NULL;
}

void site_release(struct site *site)
{
    site_release_egresses(site);
    free(site->totals);
    site->totals = NULL;
}

void site_leave(struct worker *worker, struct site *site)
{
    *(site->before_of_worker ? &site->before_of_worker->next_of_worker : &worker->sites) = site->next_of_worker;
    if (site->next_of_worker)
        site->next_of_worker->before_of_worker = site->before_of_worker;
    worker->site_count--;
    timer_clear(&site->wake);
    site_release(site);
    site->is_known_to_worker = site->is_gated = false;
    atomic_store_explicit(&site->has_no_way, false, memory_order_relaxed); /* nobody would look again */
}

void destination_meet(struct worker *worker, struct destination *destination)
{
    struct site *site = destination->site;
    if (!site->is_known_to_worker)
        site_meet(worker, site);
    destination->of_site_before = NULL;
    destination->of_site = site->destinations;
    if (destination->of_site)
        destination->of_site->of_site_before = destination;
    site->destinations = destination;
    recipients_init(&destination->raw);
    recipients_init(&destination->ready);
}

void destination_leave(struct destination *destination)
{
    *(destination->of_site_before ? &destination->of_site_before->of_site : &destination->site->destinations) =
        destination->of_site;
    if (destination->of_site)
        destination->of_site->of_site_before = destination->of_site_before;
    destination_left_free(destination);
    destination->raw = destination->ready = (struct recipients){0};
    destination->failures = 0;
    destination->has_doubts = false;
}

/* ── recipients that wait ── */

static void becomes_busy(struct destination *destination)
{
    struct site *site = destination->site;
    if (destination->is_busy)
        return;
    destination->is_busy = true;
    destination->next_busy = NULL;
    *site->last_busy = destination;
    site->last_busy = &destination->next_busy;
}

void site_sweep(struct site *site)
{
    struct destination **at = &site->first_busy;
    for (struct destination *destination; (destination = *at);) {
        if (destination->raw.count || destination->ready.count) {
            at = &destination->next_busy;
        } else {
            *at = destination->next_busy;
            destination->is_busy = false;
        }
    }
    site->last_busy = at;
}

void raw_push(struct destination *destination, struct recipient *recipient)
{
    recipients_push(&destination->raw, recipient);
    destination->site->raw++;
    becomes_busy(destination);
}

struct recipient *raw_pop(struct destination *destination)
{
    struct recipient *recipient = recipients_pop(&destination->raw);
    if (recipient)
        destination->site->raw--;
    return recipient;
}

static bool means(const struct left *left, const struct recipient *recipient)
{
    return recipient->turn <= left->turn && (!left->brand_id || left->brand_id == recipient->brand_id) &&
           (!left->campaign_id || left->campaign_id == recipient->campaign_id) &&
           (!left->domain.len || slice_equal(left->domain, recipient->domain));
}

/* Has its route led elsewhere since it was claimed, or was it recalled? */
static bool is_left_by(const struct destination *destination, const struct recipient *recipient)
{
    for (const struct left *left = destination->left; left; left = left->next)
        if (means(left, recipient))
            return true;
    return false;
}

void ready_push(struct destination *destination, struct recipient *recipient)
{
    if (is_left_by(destination, recipient))
        return worker_give_back(destination->site->worker, recipient);
    recipients_push(&destination->ready, recipient);
    becomes_busy(destination);
}

void ready_push_front(struct destination *destination, struct recipient *recipient)
{
    if (is_left_by(destination, recipient))
        return worker_give_back(destination->site->worker, recipient);
    recipients_push_front(&destination->ready, recipient);
    becomes_busy(destination);
}

void destination_left_free(struct destination *destination)
{
    for (struct left *left; (left = destination->left);) {
        destination->left = left->next;
        free(left);
    }
}

static void leave_queue(struct worker *worker, struct destination *destination, struct recipients *queue,
                        const struct left *left)
{
    for (struct recipient **at = &queue->first; *at;) {
        if (!means(left, *at)) {
            at = &(*at)->next;
            continue;
        }
        if (queue == &destination->raw)
            destination->site->raw--;
        worker_give_back(worker, recipients_take(queue, at));
    }
}

/* Of many that leave (a rule for the whole site has changed) they are not told apart: who stays is claimed again. */
void destination_is_left(struct worker *worker, struct destination *destination, const struct lane_key *whose)
{
    enum { TOLD_APART = 16 };
    size_t count = 0;
    if (!destination->raw.last) /* never met */
        return;
    for (const struct left *left = destination->left; left; left = left->next)
        count++;
    bool are_all = count >= TOLD_APART;
    struct slice domain = are_all ? SLICE("") : whose->domain;
    if (are_all || (!destination->composing && !destination->slot_count)) /* nobody of those before comes back */
        destination_left_free(destination);
    struct left *left = memory_zero(1, sizeof(*left) + domain.len);
    left->turn = worker->turns;
    left->brand_id = are_all ? 0 : whose->brand_id;
    left->campaign_id = are_all ? 0 : whose->campaign_id;
    left->domain = slice_of(left + 1, domain.len);
    if (domain.len)
        memcpy(left + 1, domain.ptr, domain.len);
    left->next = destination->left;
    destination->left = left;
    leave_queue(worker, destination, &destination->raw, left);
    leave_queue(worker, destination, &destination->ready, left);
    for (struct destination *pinned = destination->pinned; pinned; pinned = pinned->next_pinned)
        destination_is_left(worker, pinned, whose);
}

/* How many of a site are composed ahead: enough for its connections, and, while nothing else keeps the pool busy, for
 * what its threads hold back to tell it together. */
static size_t compose_window(const struct worker *worker, const struct site *site)
{
    size_t window = (size_t)site->rule->connections * 2 + 2, soon = (size_t)site->slots * 2 + 1;
    size_t appetite = atomic_load_explicit(&site->appetite, memory_order_relaxed);
    if (worker->in_memory > IN_MEMORY_PLENTY)
        window = soon < window ? soon : window;
    else if (worker->composing < COMPOSED_TOGETHER && !site->is_heavy)
        window += COMPOSED_TOGETHER;
    return appetite && appetite < window ? appetite : window;
}

void worker_compose_ahead(struct worker *worker, struct site *site)
{
    if (site->raw == 0 || loop_now(worker->loop) < site->compose_after)
        return;
    for (struct destination *destination = site->first_busy; destination; destination = destination->next_busy) {
        while (destination->raw.count && destination->slot_count && /* who has no connection needs no memory for it */
               (site->composing + destination->ready.count < compose_window(worker, site) ||
                recipients_has_urgent(&destination->raw))) {
            struct recipient *recipient = raw_pop(destination);
            if (worker_is_held(worker, recipient)) {
                worker_give_back(worker, recipient);
                continue;
            }
            worker->composing++;
            site->composing++;
            destination->composing++;
            pool_compose(worker->engine, recipient);
        }
    }
}
