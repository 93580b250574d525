/* dispatcher.h - the thread that claims what is due, knows where it goes, and hands it to the workers
 *
 * It makes sites and destinations, and it alone frees them (forget.c); a recipient that is done with comes home to it.
 * Others put something into its mailboxes. */
#ifndef TODOKE_DELIVER_DISPATCHER_H
#define TODOKE_DELIVER_DISPATCHER_H

#include "deliver/idle.h"
#include "deliver/nodes.h"
#include "deliver/ourselves.h"
#include "deliver/routing.h"
#include "deliver/tls_count.h"
#include "net/loop.h"
#include "queue/lanes.h"
#include "shape/source.h"

struct destination;
struct engine;
struct holds;
struct site;
struct worker;

enum dispatcher_control { CONTROL_READ_HOLDS, CONTROL_READ_LANES, CONTROL_LOOK_AT_BOARD, CONTROL_STOP_CLAIMING };
struct control_item {
    struct mail_item item;
    enum dispatcher_control what;
};

struct dispatcher {
    struct engine *engine;
    struct loop_thread thread;
    struct loop *loop;
    struct mailbox news, home, control, notes, left;
    struct db *reader;
    struct lanes *lanes;
    struct dns_client *dns;
    struct sts_cache *sts; /* NULL: not used */
    struct directions *directions;
    struct ourselves ourselves;
    struct health *healths;
    uint64_t sources_mark, plans_mark, suspended_mark;
    struct map sources_said; /* those that drain, by address: the log knows */
    struct tls_counts tls_counts;
    unsigned seconds;                       /* since the start: what is done every few of them */
    struct map sites, destinations, routes; /* by name and pool, by key, by domain (struct domain_route) */
    struct map receivers;                   /* the first site of each name */
    struct idle_list idle_sites, idle_destinations;
    size_t routes_looked_at;                    /* how far the walk has come */
    bool looks_at_all;                          /* at the routes: what they are found by has changed */
    struct route_queue to_ask[LANE_PRIORITIES]; /* routes that wait for others to be answered */
    unsigned asking;                            /* routes that are being asked for */
    struct timer wake, second, load;
    struct deferred fill;
    struct site *to_fill;
    struct holds *holds;
    size_t worker_turn;
    unsigned ended_next; /* the second in which the ends of those that have no way are looked at again */
    bool is_stopping;
    struct nodes nodes;
    bool reads_lanes;            /* they could not be read */
    _Atomic bool sets_right;     /* the clock was ahead, and what was written then is due too late */
    _Atomic bool is_upkeep_out;  /* a job of ours is with the writer */
    _Atomic bool is_ordered_out; /* what people ordered of the pace is being carried out (ordered.h) */
    _Atomic bool is_board_out;   /* somebody asked, and the answer is being gathered or written */
};

/* dispatch.c */
NODISCARD bool dispatcher_start(struct engine *engine, struct fault *why);
void dispatcher_stop_claiming(struct engine *engine);
void dispatcher_stop(struct engine *engine);
/* Has the wall clock jumped, now or lately? From any thread. */
bool engine_doubts_clock(const struct engine *engine, time_ms now_monotonic);
/* So far ours is ahead of the database's, as of the last keep. From the writer's thread. */
void engine_clock_compared(struct engine *engine, time_ms ahead);
/* Claimed ones, of whatever sites, to their workers. */
void dispatcher_hand_out(struct dispatcher *dispatcher, struct recipient *list, size_t count);
/* One view of the store for several queries; _end_view gets what _begin_view gave. */
bool dispatcher_begin_view(struct dispatcher *dispatcher);
void dispatcher_end_view(struct dispatcher *dispatcher, bool has_begun);
void dispatcher_home(struct engine *engine, struct mail_item *recipients); /* oldest first */
void dispatcher_read_lanes(struct dispatcher *dispatcher);
void dispatcher_read_holds(struct dispatcher *dispatcher);
void dispatcher_wake(struct dispatcher *dispatcher);
void dispatcher_news(struct engine *engine, const struct lane_key *lane, unsigned bucket, time_ms due);
void dispatcher_control(struct engine *engine, enum dispatcher_control what);

/* ended.c: each second: mail whose sender has named an end does not wait behind it for a way that is not there. */
void ended_look(struct dispatcher *dispatcher);

/* forget.c: sites and destinations that nobody writes to any more */
struct leaving;
void forget_begin(struct dispatcher *dispatcher);
/* A route or a recipient more, or less, than before. */
void destination_used(struct dispatcher *dispatcher, struct destination *destination);
void destination_rests(struct dispatcher *dispatcher, struct destination *destination);
/* Each second. */
void forget_look(struct dispatcher *dispatcher);
/* How much there is, for the figures. */
void known_count(struct dispatcher *dispatcher);
/* On the worker's thread: may it go? Takes it. */
void forget_asked(struct worker *worker, struct leaving *leaving);
void forget_free(struct leaving *leaving);

/* telling.c: what goes on now, for those who ask (board.h) */
struct telling;
/* Each second: has anybody asked? */
void telling_look(struct dispatcher *dispatcher);
/* The worker's part. */
void telling_worker(struct worker *worker, struct telling *telling);
void worker_control_tell(struct worker *worker, struct telling *telling); /* from the dispatcher's thread */

/* sources.c: our sources as the store has them now, for the workers */
void sources_refresh(struct dispatcher *dispatcher);

/* health.c: is what our sources need of the DNS there, and are they listed? */
void health_check(struct dispatcher *dispatcher, const struct source *list, size_t count);
void health_release(struct dispatcher *dispatcher);

#endif
