/* pace.h - how fast one source may send to one site, learnt from what the site says
 *
 *     asked:  pace_may_open, pace_may_send, pace_connections       told: pace_opened, pace_sent,
 *             (now, or in so many ms)                                    pace_delivered, pace_refused, pace_failed ...
 *
 * A pure thing: answers and the monotonic clock go in, permission comes out. One for each (source, site), owned by the
 * thread that delivers there. Five things limit, and the strictest binds (pace_binding says which, since when, and
 * where it is written):
 *
 *     the rule     ceilings of data/sites: connections, messages and new connections a period; never exceeded in any
 *                  window (gate.h)
 *     a reaction   words of the receiver that the rule answers: no connection, slower or fewer, for a time
 *     ourselves    rate and connections below the rule's. A refusal that speaks of pace (421, 4.7.x, rate_limited,
 *                  reset; or the site's own trouble, once one answer in eight tells of it) puts the rate under what was
 *                  really taken lately; then additive growth back to just below
 *                  where it was refused, a hold, and gentle probing: a few percent at a time, faster when nobody minds
 *     a person     no connection until an hour that was ordered (pace_suspend)
 *     the breaker  CLOSED --connections fail, everybody is refused--> OPEN --pause, doubling--> PROBING (one
 * connection)
 *                  --a conversation--> CLOSED, or --again--> OPEN
 *
 * Bursts of refusals count once. `scale` multiplies every time of ours and of the rules, so that a demonstration with
 * fast hours is fast here too. */
#ifndef TODOKE_SHAPE_PACE_H
#define TODOKE_SHAPE_PACE_H

#include "base/random.h"
#include "shape/gate.h"
#include "shape/site.h"

/* What binds. The words are for people and the API. */
#define PACE_LIMITS(X)                                                                                                 \
    X(NOTHING, nothing)                   /* it could go faster, there is no more to send */                           \
    X(RULE_CONNECTIONS, rule_connections) /* connections of the rule, all in use */                                    \
    X(RULE_RATE, rule_rate)                                                                                            \
    X(RULE_OPENING, rule_new_connections)                                                                              \
    X(OWN_CONNECTIONS, own_connections) /* fewer than the rule's: the receiver minded more */                          \
    X(OWN_RATE, own_rate)               /* slower than the rule's: likewise */                                         \
    X(REACTION_SUSPEND, reaction_suspend)                                                                              \
    X(REACTION_RATE, reaction_rate)                                                                                    \
    X(REACTION_CONNECTIONS, reaction_connections)                                                                      \
    X(GUARD, unknown_users)                                                                                            \
    X(BREAKER, breaker)                     /* it refused everybody: waiting, or probing with one connection */        \
    X(DAILY, daily)                         /* the rule's cap for a day is reached */                                  \
    X(WARM_UP, warm_up)                     /* the source's plan's */                                                  \
    X(NO_SOURCE, no_source)                 /* every address of its pool drains or is in trouble */                    \
    X(RESERVING, reserving)                 /* the next block of a daily cap is being written down */                  \
    X(TOTAL_CONNECTIONS, total_connections) /* of the rule over all sources and nodes, in use */                       \
    X(TOTAL_RATE, total_rate)                                                                                          \
    X(ORDER, order) /* a person has suspended it (queue/order.h) */
#define PACE_LIMIT_ENUM(NAME, word) PACE_##NAME,
enum pace_limit { PACE_LIMITS(PACE_LIMIT_ENUM) PACE_LIMIT_COUNT };
struct slice pace_limit_word(enum pace_limit limit);

struct pace_binding {
    enum pace_limit limit;
    double value;                         /* connections; messages or connections a second; 0 while suspended */
    time_ms since;                        /* monotonic: this limit binds since then */
    time_ms until;                        /* 0: not known */
    const struct site_reaction *reaction; /* for the reactions */
    struct site_place at;                 /* file NULL: nowhere, we found it ourselves */
};

/* The last time that the receiver made it slower: by which limit, from what to what (messages a second; connections; 0
 * while nothing goes). `count` grows with each. */
struct pace_lowering {
    uint64_t count;
    enum pace_limit by;
    time_ms at;
    double from, to;
};

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_PROBING };

struct pace_reaction; /* one reaction's count and effect */
struct pace_guard;

struct pace {
    const struct site_rule *rule;
    double scale;
    struct gate_pace rule_rate, rule_opening, slow_rate;
    struct gate messages, slow, own, opening;
    /* ourselves */
    double rate, rate_limit; /* messages a second; 0: never refused. Where it was refused last */
    time_ms rate_calm_until, step_at, step_from, probe_at, hold;
    unsigned probing; /* steps of growth above rate_limit, in a row */
    uint64_t sent_in_step, taken;
    time_ms taken_from, sent_at; /* `taken` counts since then; the last one sent */
    uint64_t taken_before;       /* and in the time before that, since `before_from` */
    time_ms before_from;
    uint32_t troubled; /* the last 32 answers, newest lowest: 1 for a trouble of the site's own */
    uint32_t bins[8];  /* what was taken in each of the last eight CALM times, by their number */
    time_ms bin;
    double connections, connections_limit;
    time_ms connections_calm_until, connections_probe_at, connections_hold;
    /* reactions and the guard */
    struct pace_reaction *reactions; /* NULL: none was ever met */
    const struct site_reaction *suspended_by, *slowed_by, *narrowed_by;
    time_ms suspended_until, slowed_until, narrowed_until;
    struct pace_guard *guard;
    time_ms guarded_since, guarded_until;
    time_ms ordered_until; /* a person's order; 0: there is none */
    /* the breaker */
    enum breaker_state breaker;
    time_ms breaker_since, breaker_until;
    unsigned failures; /* connections in a row that came to nothing */
    unsigned resets_in_row;
    time_ms pause; /* when nothing is taken any more: the next one */
    struct pace_binding binding;
    struct pace_lowering lowering;
};

void pace_init(struct pace *pace, const struct site_rule *rule, double scale);
/* R28: whoever was here before us (a run that was killed) may have used all that the rule's rates allow until `from`.
 * Right behind pace_init. */
void pace_goes_on(struct pace *pace, time_ms from);
void pace_release(struct pace *pace);

/* How many connections may stand; 0 while suspended. */
unsigned pace_connections(struct pace *pace, time_ms now);
/* May a connection be opened beside `open` others? 0: now; PACE_FULL: not before one ends; otherwise ms to wait. */
enum { PACE_FULL = -1 };
time_ms pace_may_open(struct pace *pace, unsigned open, time_ms now);
/* Another address instead of one that did not answer: the connections stay as many. ms to wait. */
time_ms pace_may_open_instead(const struct pace *pace, time_ms now);
void pace_opened(struct pace *pace, time_ms now);
/* May a message be handed to a connection? 0: now; otherwise ms to wait. */
time_ms pace_may_send(struct pace *pace, time_ms now);
void pace_sent(struct pace *pace, time_ms now);

/* Messages a second that all of this allows; 0: no limit. While suspended a mere trickle. */
double pace_rate(struct pace *pace, time_ms now);
/* What was taken lately, messages a second: of the last 14 to 16 s. */
double pace_taken(struct pace *pace, time_ms now);

/* A conversation came about (the breaker closes). */
void pace_talked(struct pace *pace, time_ms now);
void pace_delivered(struct pace *pace, time_ms now);
/* A recipient was refused. Whatever the reply speaks of; `standing`: other connections of this source that are in
 * conversation. True: the verdict must not be believed of the address now (the guard), tell the delivery to come
 * again. */
bool pace_refused(struct pace *pace, const struct verdict *verdict, const struct reply *reply, enum stage stage,
                  unsigned standing, time_ms now);
/* A connection could not be made, or ended before a conversation. `standing`: how many others are. With none it speaks
 * for the host. */
void pace_failed(struct pace *pace, unsigned standing, struct random *random, time_ms now);
/* One connection too many, while others are on their way. */
void pace_crowded(struct pace *pace, unsigned standing, time_ms now);
/* What a greeting said, for the reactions alone. */
void pace_hears_reply(struct pace *pace, const struct reply *reply, enum stage stage, time_ms now);
/* A connection in conversation was reset by the peer with a mail under way (au blocks so). */
void pace_reset(struct pace *pace, struct random *random, time_ms now);

/* A person wants nothing to go there until then (monotonic; no `scale`). 0: no longer. */
void pace_suspend(struct pace *pace, time_ms until);
/* A person has talked with the receiver: suspensions, the breaker, reactions, the guard and what we have learnt by
 * ourselves are over, as with a new pace; windows of the rule stay as full as they are. What a person ordered is not
 * ended here. False: there was nothing of the kind. */
bool pace_resume(struct pace *pace, time_ms now);

/* What the receiver brought about and lasts, for the run behind this one (shape/pause.h): reactions, the guard, and the
 * breaker from its second opening in a row on (the first is over in half a minute). Not what counts towards one, and
 * not what we have learnt by ourselves. Monotonic. */
struct pace_pause {
    enum pace_limit by;    /* PACE_REACTION_..., PACE_GUARD, PACE_BREAKER */
    struct slice reaction; /* its id; "": not a reaction */
    struct site_place at;
    time_ms since, until; /* since: the words that did it last */
    unsigned failures;    /* of the breaker: openings in a row */
};
enum { PACE_PAUSES_MOST = 16 };
size_t pace_pauses(const struct pace *pace, time_ms now, struct pace_pause list[PACE_PAUSES_MOST]);
/* Another one whenever one of these begins, lasts longer, or is lifted. */
uint64_t pace_pauses_mark(const struct pace *pace);
/* Of a run before us, right behind pace_goes_on: they go on, each no longer than from `since` to `until`, and no longer
 * than the rule has it now; one that begins in the future begins now. Not those that the rule knows no more. How many
 * last. */
size_t pace_pauses_again(struct pace *pace, const struct pace_pause *list, size_t count, time_ms now);

/* When a suspended site opens again; 0: it is open. */
time_ms pace_reopens(const struct pace *pace, time_ms now);
/* Until when it must be kept, so that nothing is exceeded if another one begins in its place then: open windows of
 * limits, suspensions and reactions, what a reaction counts, an open breaker. 0: it may go. with_learnt: and, until a
 * day after it was last used, what it has learnt (our own rate and connections, failures in a row, unknown users). */
time_ms pace_kept_until(const struct pace *pace, bool with_learnt, time_ms now);
/* What binds with `open` connections and work that waits. Keeps pace->binding. */
const struct pace_binding *pace_binding(struct pace *pace, unsigned open, time_ms now);

#endif
