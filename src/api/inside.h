/* inside.h - what the files of api/ share (private to api/)
 *
 * Everything here belongs to the api's thread, but for the two atomics and the mailbox. */
#ifndef TODOKE_API_INSIDE_H
#define TODOKE_API_INSIDE_H

#include "api/answer.h"
#include "api/api.h"
#include "api/caller.h"
#include "api/clicked.h"
#include "api/live.h"
#include "api/sender.h"
#include "api/sign_in.h"
#include "dns/null_mx.h"
#include "http/router.h"
#include "http/server.h"
#include "store/db.h"
#include <pthread.h>

struct api_route;
struct aside;
struct follower;
struct stream_page;

struct api {
    struct api_options options;
    struct loop *loop;
    struct http_router *router;
    struct http_server *server;
    struct endpoint at;
    struct db *db;
    struct rules_scratch *scratch;
    struct api_route *routes;
    struct sessions sessions;
    struct limiter limiter;
    struct limiter askers; /* who asks to be on lists (subscribe.c) */
    struct callers callers;
    struct clicked clicked;      /* what clicks must know of their mails */
    struct click_batch *clicks;  /* what came in this turn (clicks.c) */
    struct deferred clicks_turn; /* its end */
    struct senders senders;
    struct null_mx *null_mx; /* of From domains; NULL: nobody asks */
    struct live live;
    struct stream_page *streams;                   /* open event streams */
    struct aside *aside;                           /* the reading thread */
    struct follower *followers;                    /* programs that follow the events */
    unsigned exports, imports, uploads, downloads; /* under way */
    struct timer tick;                             /* looks after the streams */
    time_ms ticked_at;                             /* monotonic */
    bool is_ticking, has_gone;                     /* a stream went away during a tick: sweep after it */
    struct mailbox import_news;                    /* from the threads of imports */
    struct mailbox mailbox;                        /* "counters have changed", "stop" */
    struct mail_item changed, stop;
    _Atomic bool is_changed;
    unsigned writes; /* requests suspended until their commit */
    bool is_stopping;
    _Atomic bool is_ending; /* the same, for threads of uploads */
    struct timer stop_timer;
    unsigned stop_turns;
    pthread_t thread;
};

/* What a route asks for: KEY_*_READ or KEY_*_WRITE of access/key.h, or one of these. */
#define NEEDS_WORDS(NAME, word) NEEDS_##NAME##_READ = KEY_##NAME##_READ, NEEDS_##NAME##_WRITE = KEY_##NAME##_WRITE,
enum api_needs { NEEDS_SIGNED_IN = 0, KEY_RESOURCES(NEEDS_WORDS) NEEDS_ANYBODY = 1 << 30 };
typedef void api_handler(struct api *api, struct http_request *request);

#define ROUTE(method, path, handler, who, body_limit) api_handler api_##handler;
#include "api/routes.def"
#undef ROUTE

/* May this request come in? Answers it when not (401, 403, 429); else api_caller knows whose it is. */
bool api_admits(struct api *api, struct http_request *request, unsigned needs);
/* The same before a large body is read; and again, for the handler, when it is there. */
bool api_admits_early(struct api *api, struct http_request *request, unsigned needs);
bool api_admits_again(struct api *api, struct http_request *request);
/* Who asks; NULL where anybody may. Until the handler returns: whoever works on copies what it needs. */
static inline struct caller *api_caller(const struct http_request *request)
{
    return request->user;
}
/* What is shown there belongs to no brand or to all: for keys of every brand only. False: answered with 403. */
bool api_sees_all(struct http_request *request);

/* The console's files, and what is asked for besides. */
void console_routes(struct api *api);

/* /health/live and /health/ready, without a key. */
void status_routes(struct api *api);
/* /metrics */
void metrics_routes(struct api *api);
/* /api: the contract, and a page made from it. */
void contract_routes(struct api *api);

/* Public links in mails: no sign-in, only their signed token. */
void public_routes(struct api *api);

/* stream.c: look after the open streams; the counters have moved; may they still be looked at; end them all. */
void streams_tick(struct timer *timer);
void streams_changed(struct api *api);
void streams_look(struct api *api);
void streams_end(struct api *api);

static inline time_ms api_now(const struct api *api)
{
    return world_wall(api->options.world);
}

#endif
