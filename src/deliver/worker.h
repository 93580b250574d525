/* worker.h - one delivery thread: its sites, their connections, and what it writes to the store
 *
 * Nobody else touches what a worker has: others put something into its mailboxes (worker_control_...). What it knows of
 * the world's wishes (sources, holds) comes as whole snapshots, which it then owns. */
#ifndef TODOKE_DELIVER_WORKER_H
#define TODOKE_DELIVER_WORKER_H

#include "base/map.h"
#include "bounce/rules.h"
#include "deliver/recipients.h"
#include "mail/reply.h"
#include "mail/verdict.h"
#include "net/mailbox.h"
#include "net/tls.h"
#include "queue/ledger.h"
#include "store/store.h"

struct destination;
struct egress;
struct engine;
struct holds;
struct leaving;
struct route_kept;
struct site;
struct slot;
struct ordered;
struct source_set;
struct suspended_set;
struct telling;

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

struct worker {
    struct engine *engine;
    unsigned index;
    struct loop_thread thread;
    struct loop *loop;
    struct mail_pile untold; /* composed, and put aside to be told together (pool.c) */
    struct mailbox recipients, composed, settled, control, allowances, totals, paused_kept;
    struct source_set *sources;
    struct suspended_set *suspended; /* by people; NULL: none so far */
    struct egress *first_paused;     /* whose pauses the store does not know yet (paused.h) */
    struct timer tell_paused;
    time_ms paused_told_at;
    bool is_paused_out; /* some are on their way to it */
    struct map names;   /* EHLO names, each once, for as long as it lives */
    bool has_returned;  /* while stopping: what was reserved and not used */
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
    struct slot *leaving;                   /* connections that have quit */
    struct site *first_short, **last_short; /* sites that want a connection and may not: all are taken */
    struct timer stop_deadline;
    int connections;
    size_t busy;      /* connections with a mail under way */
    size_t composing; /* recipients that the pool has */
    size_t in_memory; /* recipients held by this worker, the pool or a batch of ours */
    uint64_t turns;   /* given to recipients as they come */
    bool is_stopping, has_ended;
};

/* worker.c */
void worker_start(struct engine *engine, unsigned index);
void worker_send_home(struct worker *worker, struct recipient *recipient);
void worker_control_holds(struct worker *worker, struct holds *holds); /* from the dispatcher's thread; takes them */
void worker_control_route(struct worker *worker, struct destination *destination,
                          struct route_kept *kept); /* likewise */
/* From the dispatcher's: the route of this domain leads elsewhere; "": of all that led there. */
void worker_control_leave(struct worker *worker, struct destination *destination, struct slice domain);
/* From any thread (engine_recall). */
void worker_control_recall(struct worker *worker, const struct lane_key *whose);
void worker_control_stop(struct worker *worker);                             /* from any thread */
void worker_control_forget(struct worker *worker, struct leaving *leaving);  /* from the dispatcher's; takes it */
void worker_control_sources(struct worker *worker, struct source_set *set);  /* from the dispatcher's; takes it */
void worker_control_ordered(struct worker *worker, struct ordered *ordered); /* from the dispatcher's */
void worker_check_stop(struct worker *worker);
void worker_join(struct worker *worker);
/* Back to the claimer as it was: not tried. */
void worker_give_back(struct worker *worker, struct recipient *recipient);
/* It is too late for it (outcome_is_too_late). */
void worker_expire(struct worker *worker, struct recipient *recipient);
bool worker_is_held(const struct worker *worker, const struct recipient *recipient);
void worker_slot_gone(struct worker *worker); /* a connection less */

/* flow.c: giving work to slots, no faster than the pace allows */
void worker_pump(struct worker *worker, struct site *site);
void worker_serve_short(struct deferred *deferred);

/* waiting.c: those of a site that its connections will soon take go to the pool */
void worker_compose_ahead(struct worker *worker, struct site *site);

/* batch.c: marks and outcomes on their way to the store */
/* This recipient's fate is known: into the batch. Takes it. */
void worker_outcome(struct worker *worker, struct recipient *recipient, struct ledger_move *move);
void worker_mark(struct worker *worker, struct recipient *recipient);
void worker_unmark(struct worker *worker, struct recipient *recipient);
struct arena *worker_batch_arena(struct worker *worker);
void batch_flush(struct deferred *deferred);
void batch_flush_late(struct timer *timer);
void batches_settled(struct mailbox *mailbox, struct mail_item *items);
void batches_refused_again(struct timer *timer); /* now: the timer, or the end */

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
/* Its sender has named an end, and that is behind us: it is not sent any more (engine_options.expires_after). */
bool outcome_is_too_late(const struct worker *worker, const struct recipient *recipient);
void outcome_too_late(struct worker *worker, const struct recipient *recipient, struct ledger_move *move);
void outcome_in_doubt(struct worker *worker, struct recipient *recipient, const struct reply *why, struct slice remote,
                      struct ledger_move *move);

#endif
