/* site.h - a receiver as pace sees it: a provider's roll-up, or one MX set; and one pool of sources that it is reached
 * by
 *
 * Its dispatcher half and its worker half never touch: but for `appetite` and `has_no_way`, each thread reads and
 * writes its own. The dispatcher makes it, and frees it when both have no use for it (forget.c). */
#ifndef TODOKE_DELIVER_SITE_H
#define TODOKE_DELIVER_SITE_H

#include "deliver/idle.h"
#include "net/loop.h"
#include "queue/lanes.h"
#include "shape/site.h"

struct destination;
struct dispatcher;
struct egress;
struct share;
struct worker;

struct site {
    struct slice name; /* "google", or the first MX host's name; of equals the first by the alphabet */
    struct slice pool; /* of sources that it is reached by; "": the system chooses the address */
    const struct site_rule *rule;
    struct site_count *count; /* its rule's */
    struct worker *worker;
    /* the dispatcher's */
    struct slice key;              /* the map's */
    struct slice what;             /* of it: without the pool. Its worker reads it, too */
    struct site *next_of_receiver; /* by another pool */
    struct lane_group group;
    struct idle_link idle;                  /* it has no destination */
    size_t destination_count;               /* the worker knows some of them */
    size_t outstanding;                     /* claimed and not home yet */
    unsigned home_now, home_before, second; /* that came home in the dispatcher's second, and in the one before */
    bool wants_fill, is_failure;
    struct site *next_to_fill;
    _Atomic size_t appetite; /* how many its worker wants in memory at this pace; 0: as many as may be */
    _Atomic bool has_no_way; /* no source of its pool may be used now: nothing is claimed for it */
    /* the worker's */
    struct egress *egresses; /* NULL: none is needed now (egresses_shed) */
    struct destination *destinations;
    struct destination *first_busy, **last_busy; /* those with recipients that wait */
    unsigned slots;                              /* connections of all its destinations */
    size_t composing;
    bool is_heavy;         /* its last composed mail was a long one */
    size_t raw;            /* recipients of its destinations that wait to be composed */
    time_ms compose_after; /* nothing could be composed: not before this */
    struct timer wake;     /* when the pace allows the next one */
    bool is_gated;         /* the pace holds mails back: they go in the order of their claims (flow.c) */
    uint64_t pass;
    bool is_known_to_worker;
    bool is_pumping;
    bool is_told; /* worker.c: something has come for it in this turn, and it is not looked after yet */
    struct site *next_told;
    bool is_short;        /* waits in the worker's queue for a connection of its own */
    bool urgent_waits;    /* is_crowded by a transactional mail */
    struct share *totals; /* NULL: the rule has no limits over all sources */
    bool is_crowded;      /* one of its destinations has work and no connection, and there may be no more of them */
    struct site *next_of_worker, *before_of_worker, *next_short;
};

/* destinations.c: by the dispatcher: nobody has use for it any more */
void site_forget(struct dispatcher *dispatcher, struct site *site);

/* waiting.c */
void site_meet(struct worker *worker, struct site *site);
void site_release(struct site *site);
void site_release_egresses(struct site *site);
/* The worker has nothing of it any more; met again, it begins anew. */
void site_leave(struct worker *worker, struct site *site);
/* Destinations with nothing left leave the list of busy ones; nobody else takes any out, so that it can be walked while
 * slots run. */
void site_sweep(struct site *site);

#endif
