/* parts.h - the engine's own parts, for the files of deliver/ only
 *
 *     site: a receiver as pace sees it (a provider's roll-up, or one MX set). Its dispatcher half and its worker half
 * never touch. destination: one MX set, or one failure to find any. Many domains may share it; it belongs to one site.
 *     slot: one connection of a destination, and the conversation on it. */
#ifndef TODOKE_DELIVER_PARTS_H
#define TODOKE_DELIVER_PARTS_H

#include "deliver/board.h"
#include "deliver/directions.h"
#include "deliver/engine.h"
#include "deliver/idle.h"
#include "deliver/security.h"
#include "deliver/sts_cache.h"
#include "deliver/tls_count.h"
#include "deliver/tls_seen.h"
#include "dns/route.h"
#include "net/stream.h"
#include "queue/lanes.h"
#include "shape/allowance.h"
#include "shape/pace.h"
#include "shape/source.h"
#include "shape/total.h"
#include "smtp/client.h"

struct worker;

/* A queue of recipients by ->next: transactional ones (priority 0) stand in front of all others. */
struct recipients {
    struct recipient *first, **last;
    struct recipient **urgent_end; /* where the first of the others hangs */
    size_t count;
};
void recipients_init(struct recipients *queue);
void recipients_push(struct recipients *queue, struct recipient *recipient);
void recipients_push_front(struct recipients *queue, struct recipient *recipient);
struct recipient *recipients_pop(struct recipients *queue);
/* Out of the middle: *at is one of the queue's pointers, and not its end. */
struct recipient *recipients_take(struct recipients *queue, struct recipient **at);
static inline bool recipients_has_urgent(const struct recipients *queue)
{
    return queue->first && queue->first->priority == 0;
}

/* One source's way to one site: its pace and its connections. Belongs to the site's worker. */
struct egress {
    struct site *site;
    struct pace pace;
    uint64_t source_id; /* 0: the system chooses the address */
    struct ip from;
    struct slice ehlo_name; /* "": the engine's */
    unsigned weight;
    bool is_usable;                 /* false: it drains, is in trouble or was taken away */
    time_ms bad_until, bad_said_at; /* the address could not be bound */
    uint64_t sent;
    struct egress_allowance { /* of daily limits, for `day` */
        unsigned have;        /* reserved and not used */
        int64_t day, cap;
        enum allowance_bound bound;
        bool is_asked, is_used_up;
        time_ms ask_at;
        unsigned delivered, deferred; /* not reported yet */
    } allowance;
    struct share *share, *opening; /* of mails and connections; of new connections. NULL: the address is ours alone */
    unsigned slots;                /* connections, those on their way too */
    unsigned standing;             /* of them, in conversation */
    uint64_t lowered;              /* of pace.lowering, those whose words are kept: */
    struct buf lowered_by;
    struct egress *next;
};

/* Our sources as a worker knows them: replaced as a whole. */
struct source_set {
    struct arena arena;
    struct set_source {
        uint64_t id;
        struct ip ip;
        struct slice ehlo_name, pool;
        unsigned weight;
        bool is_usable, is_everywhere; /* every node has it */
    } * list;
    size_t count;
};

/* A limit that is shared with others, as reserved for this pool of this node (totals.c): a site's over all sources and
 * nodes; or one source's, which every node has, over all nodes. */
struct share {
    struct site *site;
    struct egress *egress; /* NULL: the site's */
    struct slice name;     /* in the store */
    struct site_rate rate; /* count 0: none */
    unsigned connections;  /* 0: none */
    bool has_had_turns;
    bool has_begun; /* what went on before others were there is told to the store */
    struct total_turns turns, next;
    unsigned permits, most; /* connections; most 0: not known yet */
    bool is_asked, waits_for_turn, waits_for_permit;
    time_ms ask_at, look_at, give_back_at;
    unsigned slots_seen;
};

struct site {
    struct slice name; /* "google", or the first MX host's name */
    struct slice pool; /* of sources that it is reached by; "": the system chooses the address */
    const struct site_rule *rule;
    struct worker *worker;
    /* the dispatcher's */
    struct slice key; /* the map's */
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

/* Where a destination's hosts are now. The worker that holds it counts who looks at it: a slot keeps the one that it
 * was opened with, whatever the DNS says later (R18). */
struct route_kept {
    unsigned held;
    struct arena arena;
    struct route route; /* status other than FOUND: everybody gets this answer */
    struct security_policy policy;
    time_ms *seen_until;   /* of each host, wall: it had TLS lately; NULL: nobody wants to know (tls_seen.h) */
    time_ms vanished_said; /* that it has it no more */
};

struct destination {
    struct slice key; /* what tells it apart: the map's */
    struct site *site;
    /* the dispatcher's */
    uint64_t addresses;    /* a hash of the addresses that the worker knows */
    struct idle_link idle; /* no route leads to it, and nobody of it is claimed */
    size_t routes, outstanding;
    /* the worker's, from the first recipient on */
    struct route_kept *kept;
    struct destination *of_site, *of_site_before, *next_busy; /* next */
    /* pinned.c: those beside it, whose recipients were in doubt by one source; of one of them, beside which it is */
    struct destination *pinned, *next_pinned, *of;
    uint64_t source_id; /* 0: any source */
    bool is_busy;
    uint64_t passed_at;      /* flow.c: looked at in this pass */
    time_ms waits_since;     /* flow.c: its turn came, and no connection of it was free */
    time_ms closed_until;    /* its hosts failed while others of the site stood */
    struct recipients raw;   /* not composed yet */
    struct recipients ready; /* composed, waiting for a slot */
    size_t composing;        /* between the two */
    struct slot *slots;
    int slot_count;
    bool has_doubts; /* a connection failed and none stands: no more of them until one of those on their way does */
    time_ms dead_until[2];         /* IPv4, IPv6: an address of that family did not connect (R17) */
    bool turn;                     /* which family the next connection begins with */
    int failures;                  /* connections in a row that came to nothing, without a word from the host */
    unsigned recipients_most;      /* its hosts took so many in one transaction and no more (452); */
    time_ms recipients_most_until; /* believed until then */
    time_ms *clear_until; /* of each host of the route: a handshake failed, in clear until then (R31); NULL: none did */
};

static inline time_ms destination_clear_until(const struct destination *destination, size_t host)
{
    return destination->clear_until ? destination->clear_until[host] : 0;
}
static inline void destination_clear(struct destination *destination, size_t host, time_ms until)
{
    if (!destination->clear_until)
        destination->clear_until = NEW_ARRAY(time_ms, ROUTE_HOSTS_MOST);
    destination->clear_until[host] = until;
}

enum slot_state {
    SLOT_CONNECTING, /* the stream is not open yet */
    SLOT_TALKING,    /* until READY */
    SLOT_OPEN,       /* takes recipients */
    SLOT_CLOSING,    /* quits when what is under way has ended */
};
enum { SLOT_UNDER_WAY = 2 };
struct several;
struct slot {
    struct worker *worker;
    struct destination *destination;
    struct egress *egress;
    bool has_stood;       /* counted in egress->standing */
    bool is_source_fault; /* our own address could not be used: nobody else's fault */
    bool has_turn;        /* while the site is gated: it may take one now */
    struct route_kept *kept;
    struct slot *next, *before; /* of the destination */
    enum slot_state state;
    struct stream *stream;
    struct smtp_client *client;
    struct recipient *under_way[SLOT_UNDER_WAY]; /* handed to the client, oldest first */
    int under_way_count;
    struct several
        *several; /* a transaction for several recipients: alone on its connection, counted as one under way */
    int sent;     /* mails handed over on this connection, each recipient's counted */
    bool any_delivered;
    size_t host, address; /* of the route: where it is connected; the address as slot_address has it */
    bool begins_other;    /* with the other family of addresses than the route has first */
    unsigned step;
    struct timer idle;
    struct buf remote; /* "mx.example.jp[192.0.2.1]" */
    bool is_over, is_in_clear, was_tls_failure;
    struct security security;  /* what this connection must be */
    enum tls_fault tls_fault;  /* was_tls_failure: what was wrong */
    struct tls_info *tls_info; /* once TLS stands */
    char *opened_for;          /* the domain of a recipient that it was opened for */
    char *policy_domain;       /* whose session this counts as (RFC 8460) */
    bool hangs_up;             /* a mail that must not go was begun: hang up as soon as it is the only one */
    struct reply_kept {        /* why it ended, when it ended before READY */
        int code;
        uint16_t status[3];
        enum stage stage;
        struct buf text;
    } last_words;
};

/* The address in the slot's turn at a host that has both families: connections begin with the one and the other in
 * turns (R17). */
static inline const struct ip *slot_address(const struct slot *slot, const struct route_host *host, size_t address)
{
    size_t other = address ^ 1;
    bool is_other = slot->begins_other && other < host->address_count &&
                    host->addresses[other].family != host->addresses[address].family;
    return &host->addresses[is_other ? other : address];
}

/* Marks, unmarks and outcomes of one turn of a worker: one write job. */
struct batch {
    struct write_job job;
    struct mail_item item;
    struct worker *worker;
    struct arena arena;
    struct ledger_mark *marks, *unmarks;
    struct ledger_move *moves;
    struct recipient **mark_of, **unmark_of, **move_of;
    size_t mark_count, mark_room, unmark_count, unmark_room, move_count, move_room;
    bool has_failed;
    int tries;                  /* of one outcome, or one mark to take back, alone: how often it was refused */
    time_ms again_at;           /* then it is written again */
    struct batch *next_refused; /* of the worker */
};

struct holds { /* a snapshot: "campaign 12", "brand 3", "domain example.jp" */
    struct mail_item item;
    struct map names;
};
bool holds_has(const struct holds *holds, const struct lane_key *key);

struct worker {
    struct engine *engine;
    unsigned index;
    struct loop_thread thread;
    struct loop *loop;
    struct mail_pile untold; /* composed, and put aside to be told together (pool.c) */
    struct mailbox recipients, composed, settled, control, allowances, totals;
    struct source_set *sources;
    struct map names;  /* EHLO names, each once, for as long as it lives */
    bool has_returned; /* while stopping: what was reserved and not used */
    struct rules_scratch *scratch;
    struct tls_client *tls;
    struct batch *batch;   /* being filled */
    struct batch *refused; /* what the store refuses, each alone, until refused_again */
    struct timer refused_again;
    time_ms refused_at; /* when refused_again fires */
    struct deferred flush, serve_short, tell_home;
    struct mail_item *home, **last_home; /* recipients that are done with here: told at the end of the turn */
    struct timer flush_late;             /* what is in the batch waits for company: others are on their way */
    struct holds *holds;
    struct site *sites;
    size_t site_count;
    struct site *first_short, **last_short; /* sites that want a connection and may not: all are taken */
    struct timer stop_deadline;
    int connections;
    size_t busy;      /* connections with a mail under way */
    size_t composing; /* recipients that the pool has */
    size_t in_memory; /* recipients held by this worker, the pool or a batch of ours */
    uint64_t turns;   /* given to recipients as they come */
    bool is_stopping, has_ended;
};

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

/* Of a pool whose sources are here: others' buckets whose mail was handed to us. */
struct handed_pool {
    struct bucket_set buckets;
};
struct nodes_news {
    struct lane_key lane;
    unsigned bucket;
    time_ms due;
};
struct kept { /* what a keep of the leases has changed, for the dispatcher's thread */
    struct mail_item item;
    struct bucket_set held;
    bool is_reborn, others_ended, handoffs_changed;
    unsigned live_count;
    uint64_t live[LEASE_NODES / 64];
};
/* The engine among the other nodes of its store (nodes.c): the dispatcher's. */
struct nodes {
    struct bucket_set held;
    struct map handed; /* pool -> struct handed_pool */
    struct map given;  /* pool -> the node that our buckets' mail of it is handed to */
    struct bucket_set served;
    unsigned live_count;
    uint64_t live[LEASE_NODES / 64];
    struct store_listener listener;
    struct mailbox told, kept;
    struct deferred flush;
    struct arena arena;
    struct nodes_news *news; /* to be told at the end of the turn */
    size_t news_count;
    struct bucket_set unsaid; /* too many of them: the buckets */
    bool is_flood, is_asked, reads_handed;
    time_ms renew_at; /* the leases, monotonic */
};

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
    struct health *healths;
    uint64_t sources_mark;
    struct tls_counts tls_counts;
    unsigned seconds;                       /* since the start: what is done every few of them */
    struct map sites, destinations, routes; /* by name, by key, by domain (struct domain_route) */
    struct idle_list idle_sites, idle_destinations;
    size_t routes_looked_at; /* how far the walk has come */
    bool looks_at_all;       /* at the routes: what people decided has changed */
    struct route_queue {
        struct domain_route *first, *last;
    } to_ask[LANE_PRIORITIES]; /* routes that wait for others to be answered */
    unsigned asking;           /* routes that are being asked for */
    struct timer wake, second, load;
    struct deferred fill;
    struct site *to_fill;
    struct holds *holds;
    size_t worker_turn;
    bool is_stopping;
    struct nodes nodes;
    bool reads_lanes;           /* they could not be read */
    _Atomic bool sets_right;    /* the clock was ahead, and what was written then is due too late */
    _Atomic bool is_upkeep_out; /* a job of ours is with the writer */
    _Atomic bool is_board_out;  /* somebody asked, and the answer is being gathered or written */
};

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
    time_ms drain_ms;
    _Atomic bool claims_nothing;   /* while stopping: the dispatcher has heard */
    _Atomic unsigned busy_workers; /* while stopping: those that still hold something */
};

/* dispatch.c */
NODISCARD bool dispatcher_start(struct engine *engine, struct fault *why);
void dispatcher_stop_claiming(struct engine *engine);
void dispatcher_stop(struct engine *engine);
/* Has the wall clock jumped, now or lately? From any thread. */
bool engine_doubts_clock(const struct engine *engine, time_ms now_monotonic);
void dispatcher_home(struct engine *engine, struct mail_item *recipients); /* oldest first */

/* routing.c: where domains go */
NODISCARD bool routing_begin(struct dispatcher *dispatcher, struct fault *why);
void routing_want(void *owner, struct slice name, bool is_urgent); /* owner: the dispatcher */
/* Read what people decided; where it has changed, every route is asked for anew. WORLD. */
NODISCARD bool routing_directions(struct dispatcher *dispatcher, struct fault *why);
void routing_notes(struct mailbox *mailbox, struct mail_item *items);
void routing_refresh(struct dispatcher *dispatcher);
void routing_release(struct dispatcher *dispatcher);

/* The domains (by name) of a site (by name), or that one domain, for people; into the arena. */
void routing_tell(struct dispatcher *dispatcher, struct slice name, struct arena *arena, struct board_route **routes,
                  size_t *count);

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

/* batch.c */
/* This recipient's fate is known: into the batch. Takes it. */
void worker_outcome(struct worker *worker, struct recipient *recipient, struct ledger_move *move);
void worker_mark(struct worker *worker, struct recipient *recipient);
void worker_unmark(struct worker *worker, struct recipient *recipient);
struct arena *worker_batch_arena(struct worker *worker);
void batch_flush(struct deferred *deferred);
void batch_flush_late(struct timer *timer);
void batches_settled(struct mailbox *mailbox, struct mail_item *items);
void batches_refused_again(struct timer *timer); /* now: the timer, or the end */

/* worker.c */
void worker_start(struct engine *engine, unsigned index);
void worker_send_home(struct worker *worker, struct recipient *recipient);
void worker_control_holds(struct worker *worker, struct holds *holds); /* from the dispatcher's thread; takes them */
void worker_control_route(struct worker *worker, struct destination *destination,
                          struct route_kept *kept);                         /* likewise */
void worker_control_stop(struct worker *worker);                            /* from any thread */
void worker_control_forget(struct worker *worker, struct leaving *leaving); /* from the dispatcher's; takes it */
void worker_control_sources(struct worker *worker, struct source_set *set); /* from the dispatcher's; takes it */
void worker_check_stop(struct worker *worker);
void worker_join(struct worker *worker);
/* Back to the claimer as it was: not tried. */
void worker_give_back(struct worker *worker, struct recipient *recipient);
bool worker_is_held(const struct worker *worker, const struct recipient *recipient);
/* No connection could be made, or the host refuses everybody: everything waiting for this destination gets that answer.
 */
void destination_failed(struct worker *worker, struct destination *destination, const struct reply *reply,
                        enum stage stage, enum reason reason, struct slice remote);
void route_kept_drop(struct route_kept *kept); /* one holder less */

/* sources.c */
enum { EGRESS_NOT_AT_ALL = -2 }; /* beside PACE_FULL */
void sources_refresh(struct dispatcher *dispatcher);
void source_set_free(struct source_set *set);
void sources_arrived(struct worker *worker, struct source_set *set);
void egresses_update(struct worker *worker, struct site *site);
/* With many sites only those that connections go to have ways: until when they are kept, 0: they are gone. */
time_ms egresses_shed(struct site *site, time_ms now);
/* 0: now; EGRESS_NOT_AT_ALL; otherwise ms to wait. */
time_ms egress_may_send(struct egress *egress, time_ms now);
time_ms egress_may_open(struct egress *egress, time_ms now);
/* Another address instead of one that did not answer. */
time_ms egress_may_open_instead(struct egress *egress, time_ms now);
void egress_opened(struct egress *egress, time_ms now);
/* More connections than it may have now: those that end are not replaced. */
bool egress_has_too_many(struct egress *egress, time_ms now);
void egress_sent(struct egress *egress, time_ms now);
/* After anything that the pace was told: if it was lowered, these words did it. */
void egress_lowered(struct egress *egress, const struct reply *reply, enum stage stage, struct slice remote);
void egress_is_bad(struct egress *egress, const char *why, time_ms now);
const struct pace_binding *egress_binding(struct egress *egress, time_ms now);
void allowances_arrived(struct mailbox *mailbox, struct mail_item *items);
bool allowances_return(struct worker *worker);
/* What was reserved and not used, or not told yet, goes to the store: false, there was nothing. */
bool egress_returns(struct egress *egress);

/* totals.c: limits that are shared with other sources and nodes (shape/total.h). A share that is NULL limits nothing */
struct share *share_of_site(struct site *site); /* NULL: the rule has no such limits */
struct share *share_of_egress(struct egress *egress, struct site_rate rate, unsigned connections, const char *what);
/* 0: it may go; otherwise ms to wait (the site is pumped when an answer comes). */
time_ms share_turn_wait(struct share *share, time_ms now);
void share_turn_use(struct share *share);
/* 0: one connection more may be opened. */
time_ms share_permit_wait(struct share *share, time_ms now);
/* Others wait for connections: those that end are not replaced. */
bool share_has_too_many(const struct share *share);
/* Behind a pump: what is not needed goes back, and what others want is asked for. */
void share_settle(struct share *share, time_ms now);
void totals_arrived(struct mailbox *mailbox, struct mail_item *items);

/* health.c */
void health_check(struct dispatcher *dispatcher, const struct source *list, size_t count);
void health_release(struct dispatcher *dispatcher);

/* flow.c: giving work to slots, no faster than the pace allows */
void site_meet(struct worker *worker, struct site *site);
void site_release(struct site *site);
void site_release_egresses(struct site *site);
/* The worker has nothing of it any more; met again, it begins anew. */
void site_leave(struct worker *worker, struct site *site);
void destination_leave(struct destination *destination);
void destination_meet(struct worker *worker, struct destination *destination);
static inline bool destination_waits(const struct destination *destination)
{
    return destination->ready.count || destination->raw.count || destination->composing;
}
void raw_push(struct destination *destination, struct recipient *recipient);
struct recipient *raw_pop(struct destination *destination);
void ready_push(struct destination *destination, struct recipient *recipient);
void ready_push_front(struct destination *destination, struct recipient *recipient);
void worker_pump(struct worker *worker, struct site *site);
void worker_compose_ahead(struct worker *worker, struct site *site);
void worker_serve_short(struct deferred *deferred);
/* May this slot take the next recipient of its destination now? False: the site is pumped again when it may be. */
bool slot_may_send(struct slot *slot);
/* May this one go with those that the slot has just taken, and nobody who is before it loses a turn? */
bool slot_may_send_also(struct slot *slot, const struct recipient *recipient);
/* Its hosts failed while others of the site stand: no connection to it for a while, longer each time. */
void destination_closed(struct destination *destination, time_ms now);

/* pinned.c */
/* Where those go who are claimed for `destination`, and were in doubt by this source; 0: there. */
struct destination *destination_for(struct worker *worker, struct destination *destination, uint64_t source_id);
/* Its hosts are these now, and of those beside it. Takes `kept`. */
void destination_routed(struct destination *destination, struct route_kept *kept);
void destination_free(struct destination *destination);
/* The only way that its recipients go by; NULL: any of the site's. */
struct egress *destination_egress(const struct destination *destination, time_ms now);

/* slot.c */
void slot_open(struct worker *worker, struct destination *destination, struct egress *egress);
/* It could be given a recipient. */
bool slot_has_room(const struct slot *slot);
/* Something changed for it: a recipient is ready, a mark was committed. */
void slot_run(struct slot *slot);
void slot_marked(struct slot *slot, struct recipient *recipient, enum ledger_marked result);
/* End it now: what is under way becomes unsent or in doubt. The slot is gone afterwards. */
void slot_abort(struct slot *slot);
void worker_slot_gone(struct worker *worker);
/* The host and address where the slot is to connect next, from where it stands on: hosts that policy refuses are passed
 * over. False: none is left, and last_words say why. */
bool slot_place(struct slot *slot);
/* The conversation ended before this recipient's dot: another connection takes it, unless that goes on and on
 * (is_first: nothing had been sent on it before). */
void slot_unsent(struct slot *slot, struct recipient *recipient, const struct reply *reply, enum stage stage,
                 bool is_first);
/* It was taken and did not go: back in front of the queue, its mark taken back. */
void recipient_goes_back(struct worker *worker, struct recipient *recipient);
/* Keep why the conversation ended, for when it is the last one to end. */
void slot_keep_last_words(struct slot *slot, const struct reply *reply, enum stage stage);

/* several.c: identical mail for several recipients in one transaction (R20) */
/* Most recipients that may go together with this one now; 1: it goes alone. */
unsigned several_most(const struct destination *destination, const struct recipient *first);
/* The first that waits could go with others, and not now: another mail is under way, or they are being composed. */
bool several_is_awaited(const struct slot *slot);
/* Those that may go with `first`, which the slot has taken, leave the queue with it and are marked. False: nobody may.
 */
bool several_gather(struct slot *slot, struct recipient *first);
void several_marked(struct slot *slot, struct recipient *recipient, enum ledger_marked result);
void several_told(struct slot *slot, const struct smtp_client_event *event);
/* Every recipient was told. Who had no room goes now. */
void several_over(struct slot *slot);
/* The connection ends, and the client does not know of them. */
void several_dissolve(struct slot *slot);
/* Recipients under way; slot->several may be NULL. */
size_t several_count(const struct slot *slot);

/* slot_tls.c: the conversation's TLS, as policy wants it */
struct smtp_client *slot_client_new(const struct slot *slot);
bool slot_begins_with_tls(const struct slot *slot);
uint16_t slot_port(const struct slot *slot);
/* It was a smart host that refused us, our password perhaps: no receiver's word, the mail waits. Changes last_words. */
bool slot_relay_failed(struct slot *slot);
void slot_start_tls(struct slot *slot, time_ms deadline);
void slot_has_tls(struct slot *slot, const struct tls_info *info);
/* READY: the session counts. */
void slot_tls_settled(struct slot *slot);
/* TLS did not come about: counted, and last_words say who wanted it. Gives whether clear text is allowed now (R31). */
bool slot_tls_failed(struct slot *slot);
/* This host may not be used; counted. */
void slot_tls_refused(struct slot *slot);

/* outcome.c: what a reply makes of a delivery */
/* `egress` hears what the reply says about its pace; NULL: nobody does. */
void outcome_of_reply(struct worker *worker, struct recipient *recipient, struct egress *egress,
                      const struct reply *reply, enum stage stage, struct slice remote, const struct verdict *known,
                      struct ledger_move *move);
/* The same reply that refused another recipient of the same transaction, heard for that one: `known` is what was made
 * of it. */
void outcome_of_same_reply(struct worker *worker, struct recipient *recipient, struct egress *egress,
                           const struct reply *reply, enum stage stage, struct slice remote,
                           const struct verdict *known, struct ledger_move *move);
void outcome_delivered(struct worker *worker, struct recipient *recipient, struct egress *egress,
                       const struct reply *reply, struct slice remote, struct ledger_move *move);
void outcome_in_doubt(struct worker *worker, struct recipient *recipient, struct slice why, struct slice remote,
                      struct ledger_move *move);

/* pool.c */
void pool_start(struct engine *engine);
void pool_stop(struct engine *engine);
void pool_compose(struct engine *engine, struct recipient *recipient);

#endif
