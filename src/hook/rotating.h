/* rotating.h - one file that grows by whole lines, and makes room for a new one when it is long enough (private to
 * hook/)
 *
 * PATH is the one that grows; PATH.1 the one before, up to PATH.<keep>. Others may move it away (logrotate): what is
 * open stays open until rotating_open is called again. */
#ifndef TODOKE_HOOK_ROTATING_H
#define TODOKE_HOOK_ROTATING_H

#include "base/buf.h"
#include "base/fault.h"
#include <sys/types.h>

enum { ROTATING_PATH_MAX = 3000, ROTATING_KEEP_MOST = 1000 };

struct rotating {
    const char *path;
    uint64_t size_most; /* octets; 0: it never makes room */
    unsigned keep;
    ssize_t (*write)(int fd, const void *bytes, size_t len); /* NULL: write(2); for tests */
    int fd;                                                  /* -1: none is open */
    uint64_t inode, size;
};

/* Close what is open, and open what stands at the path, or make it (mode 0640). Its name is on the disk, and what
 * rotating_turn has renamed. */
NODISCARD bool rotating_open(struct rotating *file, struct fault *why);
void rotating_close(struct rotating *file);
/* Make room when it is long enough. Stopped in between, the next time goes on. */
NODISCARD bool rotating_turn(struct rotating *file, struct fault *why);
/* Append, and force it to the disk; *done: how much is written so far, from where it goes on after a fault. */
NODISCARD bool rotating_append(struct rotating *file, struct slice bytes, size_t *done, struct fault *why);

/* What was being appended when we ended: at the path, or beside it under a longer name, when others have moved it. It
 * is open then; false: it is gone. */
bool rotating_find(struct rotating *file, uint64_t inode);
/* How much of `lines` stands behind `octets` in the open file already. A torn line that is not the beginning of the one
 * to come is cut off. */
NODISCARD bool rotating_resume(struct rotating *file, uint64_t octets, struct slice lines, size_t *done,
                               struct fault *why);

#endif
