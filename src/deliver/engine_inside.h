/* engine_inside.h - the engine from inside: its threads, and what they all look at. For the files of deliver/ only
 *
 *     dispatcher.h: claims, and knows where domains go (routing.h), among other nodes (nodes.h)
 *     worker.h: one delivery thread, for the sites (site.h) that are its own. A site has destinations (destination.h),
 * where recipients wait (recipients.h); ways to them by our sources (egress.h); and connections (slot.h).
 *     pool.c: the composing threads. */
#ifndef TODOKE_DELIVER_ENGINE_INSIDE_H
#define TODOKE_DELIVER_ENGINE_INSIDE_H

#include "deliver/dispatcher.h"
#include "deliver/egress.h"
#include "deliver/engine.h"
#include "deliver/worker.h"

enum { COMPOSED_TOGETHER = 128 /* composers tell their workers so many at once */ };
struct composer_thread {
    struct engine *engine;
    unsigned index;
    struct loop_thread thread;
    struct loop *loop;
    struct mailbox jobs;
    _Atomic unsigned jobs_left;
    struct recipients queue; /* jobs taken from the mailbox */
};

/* Of one rule's receivers together. */
struct site_count {
    _Atomic uint64_t delivered, refused, deferred;
};

struct paused;

struct engine {
    struct engine_options options;
    struct dispatcher dispatcher;
    struct worker *workers;
    struct composer_thread *composers;
    struct sites *own_sites;
    unsigned worker_count, composer_count;
    struct route_options route_options, relay_options;
    _Atomic unsigned composer_turn;
    _Atomic unsigned untold;      /* mails that composers have put aside, */
    _Atomic time_ms untold_until; /* and when they tell them; INT64_MAX: there are none */
    _Atomic uint64_t delivered, refused, deferred, in_doubt, connections;
    struct site_count *site_counts; /* in the order of sites_rules */
    _Atomic size_t known_routes, known_destinations, known_sites, ways;
    _Atomic unsigned open_connections;
    _Atomic size_t claimed;
    _Atomic bool ipv6_is_nameless; /* an IPv6 address that the system may choose has no PTR that leads back (R17) */
    _Atomic time_ms safe_until;    /* monotonic: until then our leases are surely ours */
    /* monotonic: other nodes have been there, and from then on the sources that all have are used by shares; 0: we have
     * been alone so far */
    _Atomic time_ms shares_from;
    bool is_joining; /* of the writer's thread: others were there before us, and have left us no buckets yet */
    /* The wall clock's lead on the monotonic one, as last looked at; and until when nobody is given up by it, because
     * it has jumped (F8) */
    _Atomic time_ms clock_lead, clock_doubted_until;
    _Atomic bool clock_differs; /* from the database's, by which all nodes agree */
    time_ms
        limits_from; /* monotonic: an earlier run may have used all that rates allow until then; 0: there was none */
    struct paused *paused; /* what receivers told the runs before us, for the ways that are made (paused.h) */
    _Atomic int paused_ways[EGRESS_PAUSES], open_breakers; /* now */
    time_ms drain_ms;
    _Atomic bool claims_nothing;   /* while stopping: the dispatcher has heard */
    _Atomic unsigned busy_workers; /* while stopping: those that still hold something */
};

/* pool.c */
void pool_start(struct engine *engine);
void pool_stop(struct engine *engine);
void pool_compose(struct engine *engine, struct recipient *recipient);

#endif
