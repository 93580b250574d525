/* forget.c - sites and destinations that nobody writes to any more leave memory
 *
 *     in use --no route leads to it, nobody of it is claimed--> rests --an hour, or too many rest--> asked --> gone
 *                                                                 ^--- used meanwhile, or its worker says no ---|
 *
 * The dispatcher asks, because it alone makes them; their worker answers, because it knows what is going on there:
 * connections, windows of limits that are open, suspensions, a family or a TLS that failed lately. What is reserved of
 * a day goes back to the store first, where the day's count is, and shared limits have given back what they held. So
 * who comes back begins anew and exceeds nothing. What is lost is what was learnt of a site's pace: within a day only
 * when more than IDLE_MOST sites rest, the oldest first.
 *
 * A site rests when its last destination is gone. Its worker's half may have left while it is used again: it is met
 * again with the next recipient (flow.c). */
#include "deliver/destination.h"
#include "deliver/egress.h"
#include "deliver/engine_inside.h"
#include "deliver/site.h"

enum {
    AFTER_MS = 3600000,
    IDLE_MOST = 20000,
    ASKED_A_SECOND = 2000, /* at most; others are asked as others come to rest */
    SOON_MS = 2000,        /* something is under way, or an answer is awaited */
};

struct leaving {
    struct mail_item item;
    struct dispatcher *dispatcher;
    struct site *site;
    struct destination *destination; /* NULL: it is the site */
    bool is_pressed, may_go;
    time_ms stays_until;
};

void forget_free(struct leaving *leaving)
{
    free(leaving);
}

/* ── the worker's half ── */

static bool is_at_work(const struct destination *destination)
{
    bool is_it = destination->is_busy || destination->slots || destination_waits(destination);
    for (struct destination *pinned = destination->pinned; pinned && !is_it; pinned = pinned->next_pinned)
        is_it = is_at_work(pinned);
    return is_it;
}

/* With those beside it, which nobody else knows. */
static void leave(struct destination *destination)
{
    for (struct destination *pinned; (pinned = destination->pinned);) {
        destination->pinned = pinned->next_pinned;
        leave(pinned);
        destination_free(pinned);
    }
    destination_leave(destination);
}

/* When to ask again; 0: it has left; 1: when nothing presses: what failed lately would be tried once more. */
static time_ms destination_goes(struct worker *worker, struct destination *destination, bool is_pressed, time_ms now)
{
    if (!destination->raw.last) /* never met */
        return 0;
    if (is_at_work(destination)) /* perhaps only in the list of those */
        worker_pump(worker, destination->site);
    if (worker->is_stopping || is_at_work(destination))
        return now + SOON_MS;
    time_ms until = destination->closed_until;
    for (size_t i = 0; i < COUNT_OF(destination->dead_until); i++)
        until = destination->dead_until[i] > until ? destination->dead_until[i] : until;
    const struct route_kept *kept = destination->kept;
    for (size_t host = 0; host < kept->route.host_count; host++)
        until = route_clear_until(kept, host) > until ? route_clear_until(kept, host) : until;
    if (until > now && !is_pressed)
        return 1;
    leave(destination);
    return 0;
}

static bool share_is_open(const struct share *share)
{
    return share && (share->is_asked || share->permits);
}

static bool is_under_way(const struct site *site)
{
    bool is_open = site->slots || site->destinations || site->first_busy || site->composing || site->is_short ||
                   share_is_open(site->totals);
    for (struct egress *egress = site->egresses; egress && !is_open; egress = egress->next)
        is_open = egress->slots || egress->allowance.is_asked || egress->is_paused_new ||
                  share_is_open(egress->share) || share_is_open(egress->opening);
    return is_open;
}

/* When to ask again; 0: it has left; 1: only what was learnt keeps it. */
static time_ms site_goes(struct worker *worker, struct site *site, bool is_pressed, time_ms now)
{
    time_ms until = 0;
    bool gives_back = false, is_learnt = false;
    if (!site->is_known_to_worker)
        return 0;
    if (worker->is_stopping || is_under_way(site))
        return now + SOON_MS;
    for (struct egress *egress = site->egresses; egress; egress = egress->next) {
        time_ms kept = pace_kept_until(&egress->pace, false, now);
        until = kept > until ? kept : until;
        until = egress->bad_until > until ? egress->bad_until : until;
        gives_back |= egress_returns(egress);
        is_learnt |= pace_kept_until(&egress->pace, true, now) != 0;
    }
    if (gives_back)
        return now + SOON_MS;
    if (until > now)
        return until;
    if (is_learnt && !is_pressed)
        return 1;
    site_leave(worker, site);
    return 0;
}

void forget_asked(struct worker *worker, struct leaving *leaving)
{
    time_ms now = loop_now(worker->loop);
    time_ms until = leaving->destination ? destination_goes(worker, leaving->destination, leaving->is_pressed, now)
                                         : site_goes(worker, leaving->site, leaving->is_pressed, now);
    leaving->may_go = until == 0;
    leaving->stays_until = until > now ? until : 0;
    mailbox_post(&leaving->dispatcher->left, &leaving->item);
}

/* ── the dispatcher's ── */

static void ask(struct dispatcher *dispatcher, struct site *site, struct destination *destination, bool is_pressed)
{
    struct leaving *leaving = NEW(struct leaving);
    *leaving =
        (struct leaving){.dispatcher = dispatcher, .site = site, .destination = destination, .is_pressed = is_pressed};
    worker_control_forget(site->worker, leaving);
}

static bool ask_next_destination(struct dispatcher *dispatcher)
{
    bool is_pressed;
    struct idle_link *link = idle_next(&dispatcher->idle_destinations, loop_now(dispatcher->loop), &is_pressed);
    if (!link)
        return false;
    struct destination *destination = (struct destination *)((char *)link - offsetof(struct destination, idle));
    ask(dispatcher, destination->site, destination, is_pressed);
    return true;
}

static bool ask_next_site(struct dispatcher *dispatcher)
{
    bool is_pressed;
    struct idle_link *link = idle_next(&dispatcher->idle_sites, loop_now(dispatcher->loop), &is_pressed);
    if (!link)
        return false;
    ask(dispatcher, (struct site *)((char *)link - offsetof(struct site, idle)), NULL, is_pressed);
    return true;
}

void destination_used(struct dispatcher *dispatcher, struct destination *destination)
{
    idle_used(&dispatcher->idle_destinations, &destination->idle);
}

void destination_rests(struct dispatcher *dispatcher, struct destination *destination)
{
    struct idle_list *list = &dispatcher->idle_destinations;
    if (destination->routes || destination->outstanding || dispatcher->is_stopping)
        return;
    idle_rests(list, &destination->idle, loop_now(dispatcher->loop));
    if (list->count > list->most)
        ask_next_destination(dispatcher);
}

static void site_rests(struct dispatcher *dispatcher, struct site *site)
{
    struct idle_list *list = &dispatcher->idle_sites;
    idle_rests(list, &site->idle, loop_now(dispatcher->loop));
    if (list->count > list->most)
        ask_next_site(dispatcher);
}

void known_count(struct dispatcher *dispatcher)
{
    struct engine *engine = dispatcher->engine;
    atomic_store(&engine->known_routes, dispatcher->routes.count);
    atomic_store(&engine->known_destinations, dispatcher->destinations.count);
    atomic_store(&engine->known_sites, dispatcher->sites.count);
}

void forget_look(struct dispatcher *dispatcher)
{
    for (int i = 0; i < ASKED_A_SECOND && ask_next_destination(dispatcher); i++) {
    }
    for (int i = 0; i < ASKED_A_SECOND && ask_next_site(dispatcher); i++) {
    }
    known_count(dispatcher);
}

static void site_free(struct dispatcher *dispatcher, struct site *site)
{
    struct site **at = &dispatcher->to_fill; /* woken for nothing, in this turn */
    while (site->wants_fill && *at != site)
        at = &(*at)->next_to_fill;
    if (site->wants_fill)
        *at = site->next_to_fill;
    site_forget(dispatcher, site);
}

static void site_answered(struct dispatcher *dispatcher, const struct leaving *leaving)
{
    struct site *site = leaving->site;
    if (idle_answered(&dispatcher->idle_sites, &site->idle, leaving->may_go, site->destination_count != 0,
                      leaving->stays_until, loop_now(dispatcher->loop)))
        site_free(dispatcher, site);
}

static void destination_answered(struct dispatcher *dispatcher, const struct leaving *leaving)
{
    struct destination *destination = leaving->destination;
    struct site *site = destination->site;
    if (!idle_answered(&dispatcher->idle_destinations, &destination->idle, leaving->may_go,
                       destination->routes || destination->outstanding, leaving->stays_until,
                       loop_now(dispatcher->loop)))
        return;
    map_remove(&dispatcher->destinations, destination->key);
    destination_free(destination); /* its worker has no slot that looks at its route, and never will */
    if (--site->destination_count == 0)
        site_rests(dispatcher, site);
}

static void answered(struct mailbox *mailbox, struct mail_item *items)
{
    struct dispatcher *dispatcher = mailbox->owner;
    while (items) {
        struct leaving *leaving = (struct leaving *)items;
        items = items->next;
        if (leaving->destination)
            destination_answered(dispatcher, leaving);
        else
            site_answered(dispatcher, leaving);
        free(leaving);
    }
    known_count(dispatcher);
}

void forget_begin(struct dispatcher *dispatcher)
{
    const struct engine_options *options = &dispatcher->engine->options;
    const struct idle_list empty = {.most = options->idle_most ? options->idle_most : IDLE_MOST,
                                    .after = (time_ms)(AFTER_MS * options->retry.scale) + 1};
    dispatcher->idle_destinations = dispatcher->idle_sites = empty;
    mailbox_init(&dispatcher->left, dispatcher->loop, answered, dispatcher);
}
