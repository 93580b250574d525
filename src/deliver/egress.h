/* egress.h - one source's way to one site: its pace, its connections, and what it may send of limits shared with others
 *
 * Belongs to the site's worker. What the sources are comes from the dispatcher, as a whole (struct source_set); what
 * daily limits and shared limits leave to us is reserved in the store, ahead, and given back when it was not used. */
#ifndef TODOKE_DELIVER_EGRESS_H
#define TODOKE_DELIVER_EGRESS_H

#include "base/arena.h"
#include "base/buf.h"
#include "mail/reply.h"
#include "net/ip.h"
#include "net/mailbox.h"
#include "shape/allowance.h"
#include "shape/pace.h"
#include "shape/site.h"
#include "shape/source.h"
#include "shape/total.h"

struct destination;
struct site;
struct worker;

/* Why nothing is opened there for a time, beside the breaker. */
enum egress_pause { PAUSE_REACTION, PAUSE_GUARD, PAUSE_ORDER, EGRESS_PAUSES };

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
        unsigned have, of;    /* reserved and not used; of which limits (enum allowance_of) */
        int64_t day, cap;
        enum allowance_bound bound;
        bool is_asked, is_stale; /* a plan has begun or ended since it was asked */
        bool has_no_more;        /* the store has given out all of it, */
        bool is_used_up;         /* and we have used what we had */
        time_ms ask_at, give_back_at;
        unsigned delivered, deferred; /* not reported yet */
    } allowance;
    struct share *share, *opening; /* of mails and connections; of new connections. NULL: the address is ours alone */
    unsigned slots;                /* connections, those on their way too */
    unsigned standing;             /* of them, in conversation */
    uint64_t lowered;              /* of pace.lowering, those whose words are kept: */
    struct buf lowered_by;
    uint64_t paused_mark; /* paused.c: of those pauses that the store knows, or is told next */
    bool is_paused_new;   /* it is in the worker's list of those to tell */
    struct egress *next_paused;
    struct egress_said { /* saying.c: what the log knows */
        bool pauses[EGRESS_PAUSES], breaker, is_breaker_told;
        time_ms breaker_at;
    } said;
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
        bool is_ours, is_usable, is_everywhere; /* every node has it */
        bool is_capped;                         /* another node's, to which mail keeps: its day is used up */
        bool has_moved;                         /* from one pool to another, since the start: by the worker */
    } * list;
    size_t count;
    uint64_t plans; /* warm_ups_mark */
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

/* sources.c: each site's ways by our sources */
void source_set_free(struct source_set *set);
void sources_arrived(struct worker *worker, struct source_set *set);
void egresses_update(struct worker *worker, struct site *site);

/* egress.c */
enum { EGRESS_NOT_AT_ALL = -2 }; /* beside PACE_FULL */
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
/* These words did it, in a run before this one. */
void egress_lowered_words(struct egress *egress, struct slice words);
/* Its address could not be bound: not used for a while. */
void egress_is_bad(struct egress *egress, const char *why, time_ms now);
const struct pace_binding *egress_binding(struct egress *egress, time_ms now);
/* Nothing may go that way now, whether something waits in memory or was given back for it: no source, a day that is
 * used up, a suspension, an open breaker. */
bool egress_is_shut(const struct egress *egress, time_ms now);
/* With many sites only those that connections go to have ways: until when they are kept, 0: they are gone. */
time_ms egresses_shed(struct site *site, time_ms now);

/* egress_day.c: daily limits */
/* 0: the next mail may count; otherwise ms to wait. Asks the store for more when little is left. */
time_ms egress_day_wait(struct egress *egress, time_ms now);
bool egress_day_is_used_up(const struct egress *egress);
/* Midnight, UTC, as the worker's loop counts. */
time_ms egress_day_ends(const struct egress *egress, time_ms now);
/* Behind a pump of its site: what is reserved of the day and nobody waits for goes back, so that others may use it. 0:
 * nothing of that kind; otherwise ms until then. */
time_ms egress_settle(struct egress *egress, time_ms now);
/* A plan has begun or ended: what is known of the day may be so no more. Who was free asks before he goes on. */
void egress_day_anew(struct egress *egress, time_ms now);
/* What was reserved and not used, or not told yet, goes to the store: false, there was nothing. */
bool egress_returns(struct egress *egress);
bool allowances_return(struct worker *worker);
void allowances_arrived(struct mailbox *mailbox, struct mail_item *items);

/* saying.c: behind anything that the pace was told: what has begun, and what is over, gets its line in the log. ms
 * until something will be over by itself; 0: nothing. */
time_ms egress_says(struct egress *egress, time_ms now);
/* It is forgotten: it counts no more. */
void egress_says_no_more(const struct egress *egress);

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

#endif
