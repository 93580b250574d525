/* nodes.h - the engine among the other nodes of its store (private to deliver/) */
#ifndef TODOKE_DELIVER_NODES_H
#define TODOKE_DELIVER_NODES_H

#include "base/arena.h"
#include "base/map.h"
#include "net/mailbox.h"
#include "queue/handoff.h"
#include "queue/lanes.h"
#include "queue/ledger.h"
#include "shape/source.h"
#include "store/store.h"

struct dispatcher;
struct engine;

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
/* A source of one node, to which mail of ours keeps that was in doubt by it (queue/lane_pin.h). */
struct pin {
    uint64_t source_id;
    char pool[48];
    bool is_capped;  /* what its warm-up lets it send today is used up: it need not be waited for */
    bool is_away;    /* its node does not live, and the mail waits for it */
    time_ms gone_at; /* since when we know that its node does not live, monotonic; 0: it lives */
};
/* The engine among the other nodes of its store (nodes.c): the dispatcher's. */
struct nodes {
    struct bucket_set held;
    struct map handed;  /* pool, or lane_pin_name -> struct handed_pool */
    struct map given;   /* likewise -> the node that our buckets' mail of it is handed to */
    struct id_map pins; /* source -> struct pin, as lanes are met */
    struct id_map full; /* source, whose warm-up's day was used up -> until when it counts so, monotonic */
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

/* The first keep, before any thread runs; the last one. */
NODISCARD bool nodes_take_over(struct engine *engine, struct fault *why);
void nodes_let_go(struct engine *engine);

/* The dispatcher's half: listen from here on; hear no more; free. */
void nodes_begin(struct dispatcher *dispatcher);
void nodes_end(struct dispatcher *dispatcher);
void nodes_release(struct dispatcher *dispatcher);
/* Once a second, or when somebody asked: renew what is ours, take what is free. */
void nodes_look(struct dispatcher *dispatcher);
/* These are our sources: is there a pool that only others have? */
void nodes_sources(struct dispatcher *dispatcher, const struct source *list, size_t count);
/* Before them: which sources have used up their warm-up's day? */
void nodes_days_look(struct dispatcher *dispatcher);
bool nodes_pin_is_capped(const struct nodes *nodes, uint64_t source_id);
/* Lanes go by other pools perhaps. */
void nodes_directions(struct dispatcher *dispatcher);
bool nodes_serve(struct dispatcher *dispatcher, const struct lane_key *key, unsigned bucket);

/* nodes.c, for nodes_given.c: held, handed or given have changed: lanes forget what is not ours now, and read what is.
 */
void nodes_share_changed(struct dispatcher *dispatcher, bool is_more);

/* nodes_given.c, for nodes.c: is mail of this pool that keeps to this source another node's to send, or does it wait
 * for one? */
bool nodes_pin_leads_away(struct nodes *nodes, uint64_t source_id, const char *pool);
void nodes_given_release(struct nodes *nodes);

/* nodes_news.c, for nodes.c: hear the others from here on, and say that we are here. */
void nodes_listen(struct dispatcher *dispatcher);
void nodes_tell(struct dispatcher *dispatcher, struct slice words);
/* What waits in the memory of this node, of this brand, campaign and domain (0, "": any), is claimed anew. */
void nodes_recall(struct engine *engine, const struct lane_key *whose);
/* There may be something in these buckets. */
void nodes_tell_look(struct dispatcher *dispatcher, const struct bucket_set *buckets);
/* A delivery is due that others serve: collected, and told at the end of the turn. context: the dispatcher. */
void nodes_elsewhere(void *context, const struct lane_key *key, unsigned bucket, time_ms due);

#endif
