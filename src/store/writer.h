/* writer.h - the one thread that writes (private to store/): group commit, repeats, waiting for a lost store */
#ifndef TODOKE_STORE_WRITER_H
#define TODOKE_STORE_WRITER_H

#include "store/store.h"

struct writer;
/* Owns db from here on. */
struct writer *writer_start(struct db *db, unsigned node, bool is_stepped);
void writer_stop(struct writer *writer);
/* Without a thread: one group of what is queued. False: nothing was, or it has its thread. */
bool writer_step(struct writer *writer);
void writer_post(struct writer *writer, struct write_job *job);
/* From any thread: the watchers are to be called with these marks. */
void writer_nudge(struct writer *writer, unsigned marks);
void writer_watch(struct writer *writer, struct store_watch *watch);
/* Afterwards it is called no more. */
void writer_unwatch(struct writer *writer, const struct store_watch *watch);
void writer_figures(struct writer *writer, struct store_figures *figures);

#endif
