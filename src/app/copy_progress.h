/* copy_progress.h - how far a backup or a restore is, in one line of a terminal */
#ifndef TODOKE_APP_COPY_PROGRESS_H
#define TODOKE_APP_COPY_PROGRESS_H

#include "store/backup.h"

struct copy_progress {
    struct backup_watch watch; /* first */
    uint64_t size;             /* of the file that is read; 0: one is written */
    const char *doing;
    bool has_printed;
};
/* NULL where stderr is no terminal. */
struct backup_watch *copy_progress_begin(struct copy_progress *progress, const char *doing, uint64_t size);
void copy_progress_end(struct copy_progress *progress);

#endif
