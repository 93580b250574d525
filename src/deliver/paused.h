/* paused.h - what receivers' words brought upon our ways is written down, and goes on after a restart (shape/pause.h)
 *
 *     a way's pace is told something --its pauses are others than the store's--> the worker's list
 *                                    --at the end of the turn, once a second at most: one job--> rows of `pause`
 *     start: the first job of all reads the rows in force --> engine->paused --a way is made--> its pace
 *                                                                 | a person resumes the site first: lifted
 *
 * So nothing is written while mail goes, and one job of each worker a second at most while receivers speak. It runs in
 * the writer's group, with the outcomes of that turn; a crash within a second may lose the last words. Who stops
 * tells what is left. What is over by itself is not told: its row says when. */
#ifndef TODOKE_DELIVER_PAUSED_H
#define TODOKE_DELIVER_PAUSED_H

#include "base/fault.h"
#include "shape/pace.h"
#include "store/db.h"

struct egress;
struct engine;
struct paused;
struct worker;

/* Inside the first write job, before any thread runs: engine->paused. */
NODISCARD bool paused_read(struct engine *engine, struct db *db, struct fault *why, time_ms now);
void paused_free(struct paused *paused);
/* Ways that a run before us left suspended (or with an open breaker), and nobody has used since. From any thread. */
size_t paused_unused(const struct engine *engine, enum pace_limit by);
/* The dispatcher's, before the workers hear of it: a person resumes this site (by one source; 0: by all). How many ways
 * that nobody has made yet had anything to lift. */
size_t paused_lift(struct engine *engine, struct slice site, uint64_t source_id);

/* ── the worker's ── */

void paused_worker_begin(struct worker *worker);
/* A way was made. */
void paused_begin(struct egress *egress, time_ms now);
/* Behind anything that may have changed its pauses. */
void paused_look(struct egress *egress);
/* Tell what is not told, now: false, there is nothing. */
bool paused_tell(struct worker *worker);

#endif
