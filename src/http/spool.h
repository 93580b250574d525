/* spool.h - large bodies go to a file while they arrive (private to http/)
 *
 * Of a route that `spools` no piece of a body stays in memory: it goes to a file without a name in TMPDIR (or /tmp),
 * which is gone with its descriptor, whatever crashes. Memory for each is what one read of the socket takes. */
#ifndef TODOKE_HTTP_SPOOL_H
#define TODOKE_HTTP_SPOOL_H

#include "base/fault.h"
#include "base/slice.h"

/* -1: why, WORLD. */
int spool_open(struct fault *why);
/* WORLD: the disk is full, ... */
NODISCARD bool spool_append(int file, struct slice bytes, struct fault *why);

#endif
