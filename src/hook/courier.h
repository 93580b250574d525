/* courier.h - one hook's part of the runner's thread (private to hook/)
 *
 *   IDLE --a test, or events, and it is time--> (hook_begin) --> RESOLVING --address--> POSTING
 *    ^                                                              | none                 | ended
 *    '----------------------- (hook_end) ---------------------------+----------------------'
 *
 * The rows are the truth: they are read again before every decision, so that commands in other processes, and other
 * nodes, may change them. Writes wait for their commit; libcurl and the DNS do not wait for each other. */
#ifndef TODOKE_HOOK_COURIER_H
#define TODOKE_HOOK_COURIER_H

#include "base/random.h"
#include "dns/resolver.h"
#include "hook/inside.h"
#include <pthread.h>

enum phase { IDLE, RESOLVING, POSTING };

struct courier {
    struct courier *next;
    struct hook_runner *runner;
    struct hook hook;             /* as last read */
    struct event_place seen;      /* nothing of interest between hook.place and here */
    struct event_place seen_from; /* the hook.place that `seen` grew from */
    bool is_there, has_news, is_failing;
    enum phase phase;
    bool is_test, has_asked_v6;
    uint64_t batch_id;
    unsigned events;
    time_ms began; /* monotonic */
    struct dns_query *query;
    struct hook_post post;
    struct buf secret;
    char id[32];
};

struct hook_runner {
    struct hook_options options;
    struct store_watch watch;
    struct db *reader;
    struct loop *loop;
    struct dns_client *dns;
    CURLM *multi;
    pthread_t thread;
    bool is_running;
    struct courier *couriers;
    struct random random;
    time_ms looked; /* monotonic */
    _Atomic bool is_stopping, is_woken;
};

static inline time_ms runner_monotonic(const struct hook_runner *runner)
{
    return world_monotonic(runner->options.world);
}

/* Is there something to say, and may it be said now? Then begin. Nothing unless it is idle. */
void hook_courier_consider(struct courier *courier);
/* The POST has ended and is out of the multi: write down what came of it. */
void hook_courier_end(struct courier *courier, bool is_told);
/* What is under way is given up. */
void hook_courier_free(struct courier *courier);

/* ── batch.c ── */

/* The events of (hook.place, hook.batch_end], the same bytes whenever they are asked for. *events: how many. */
NODISCARD bool batch_write(struct db *db, struct fault *why, const struct hook *hook, struct buf *body,
                           unsigned *events);
void batch_write_test(const struct hook *hook, time_ms now, struct buf *body);
/* Where a batch behind *place ends; *count 0: nothing of interest up to there. */
NODISCARD bool batch_scan(struct db *db, struct fault *why, const struct hook *hook, struct event_place *place,
                          size_t *count, bool *has_more);

#endif
