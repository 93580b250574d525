/* log_watch.h - an alarm when SQLite's write-ahead log grows without end
 *
 * The log begins anew once all of it is in the database and nobody reads from it (store/checkpoint.h). A program that
 * keeps one reading transaction open for hours, a backup tool for instance, keeps it from that: then it grows until the
 * disk is full. Above `most` octets there is an alarm (`store_log`) with the file's name and size; it ends when the log
 * is a quarter of that, which the next beginning brings about. */
#ifndef TODOKE_APP_LOG_WATCH_H
#define TODOKE_APP_LOG_WATCH_H

#include "net/world.h"
#include "store/store.h"

enum { LOG_WATCH_MOST = 1 << 30 };

struct log_watch_options {
    struct store *store;
    struct world *world;
    struct slice path; /* the log; copied */
    int64_t most;      /* 0: LOG_WATCH_MOST */
    time_ms every;     /* between two looks; 0: 10 s */
};
struct log_watch;
/* Before the store's first write. */
struct log_watch *log_watch_start(const struct log_watch_options *options);
/* Before store_close. NULL is fine. */
void log_watch_stop(struct log_watch *watch);

#endif
