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

/* dispatch.c, for nodes.c */
void dispatcher_read_lanes(struct dispatcher *dispatcher);
void dispatcher_read_holds(struct dispatcher *dispatcher);
void dispatcher_wake(struct dispatcher *dispatcher);
void dispatcher_news(struct engine *engine, const struct lane_key *lane, unsigned bucket, time_ms due);
void dispatcher_control(struct engine *engine, enum dispatcher_control what);

#endif
