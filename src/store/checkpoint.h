/* checkpoint.h - (private to store/) copying SQLite's log into the database beside the writer, not in its way
 *
 * By itself SQLite copies after a commit, on the committing thread, all at once: everybody who waits for a commit waits
 * for thirty megabytes to be copied and synced. Here a thread with a connection of its own does nearly all of it while
 * commits go on; the writer copies only what came meanwhile, so that the log can begin anew. */
#ifndef TODOKE_STORE_CHECKPOINT_H
#define TODOKE_STORE_CHECKPOINT_H

#include "base/fault.h"

struct checkpointer;
/* For the database at `path`, which is open in WAL mode already; NULL with a fault WORLD: it cannot be opened. */
struct checkpointer *checkpointer_start(const char *path, struct fault *why);
/* Before the writer's connection is closed. NULL is fine. */
void checkpointer_stop(struct checkpointer *checkpointer);
/* On the writer's thread, after each commit of its connection: so many frames are in the log now. */
void checkpointer_committed(struct checkpointer *checkpointer, void *sqlite3_handle, int frames);

#endif
