/* mapped.h - a file on the disk, read as bytes in memory that it hardly takes
 *
 * The kernel brings pages as they are read and may take them back; whoever reads a large file from front to back lets
 * go what lies behind him, so that its size costs no memory. */
#ifndef TODOKE_AUDIENCE_MAPPED_H
#define TODOKE_AUDIENCE_MAPPED_H

#include "base/fault.h"
#include "base/slice.h"

struct mapped {
    struct slice bytes;
};
/* An open file (which stays the caller's), or with -1 the one at this path; `path` is its name in faults either way.
 * INPUT: there is none, it is empty, or no file. */
NODISCARD bool mapped_open(struct mapped *mapped, const char *path, int file, struct fault *why);
/* All before `ahead`, a tail of the bytes, has been read. */
void mapped_forget(const struct mapped *mapped, struct slice ahead);
/* One that was never opened, all zeros, is fine. */
void mapped_close(struct mapped *mapped);

#endif
