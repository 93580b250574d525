/* nodes.h - the engine among the other nodes of its store (private to deliver/) */
#ifndef TODOKE_DELIVER_NODES_H
#define TODOKE_DELIVER_NODES_H

#include "deliver/parts.h"
#include "queue/handoff.h"

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
/* Lanes go by other pools perhaps. */
void nodes_directions(struct dispatcher *dispatcher);
bool nodes_serve(struct dispatcher *dispatcher, const struct lane_key *key, unsigned bucket);

/* nodes_news.c, for nodes.c: hear the others from here on, and say that we are here. */
void nodes_listen(struct dispatcher *dispatcher);
void nodes_tell(struct dispatcher *dispatcher, struct slice words);
/* There may be something in these buckets. */
void nodes_tell_look(struct dispatcher *dispatcher, const struct bucket_set *buckets);
/* A delivery is due that others serve: collected, and told at the end of the turn. context: the dispatcher. */
void nodes_elsewhere(void *context, const struct lane_key *key, unsigned bucket, time_ms due);

/* dispatch.c, for nodes.c */
void dispatcher_read_lanes(struct dispatcher *dispatcher);
void dispatcher_read_holds(struct dispatcher *dispatcher);
void dispatcher_wake(struct dispatcher *dispatcher);
void dispatcher_news(struct engine *engine, const struct lane_key *lane, unsigned bucket, time_ms due);
void dispatcher_control(struct engine *engine, enum dispatcher_control what);

#endif
