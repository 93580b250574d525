/* log_watch.c - lives on the writer thread: woken by its polls and commits, its job is written there
 *
 * After a start nobody knows whether the alarm of an earlier life is open: a first look that finds the log short ends
 * it (where there is none, that changes nothing). */
#include "app/log_watch.h"

#include "alarm/alarm.h"
#include "base/json.h"
#include "base/log.h"
#include <stdatomic.h>
#include <sys/stat.h>

enum { EVERY_MS = 10000, ENDS_PART = 4 };

struct log_watch {
    struct store_watch watch;
    struct write_job job;
    struct store *store;
    struct world *world;
    struct arena arena;
    struct slice path;
    int64_t most, bytes, raised_at; /* raised_at: octets that people were told; 0: no alarm; -1: not known */
    time_ms every, next;
    _Atomic bool is_running;
};

static bool look_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct log_watch *watch = (struct log_watch *)((char *)job - offsetof(struct log_watch, job));
    time_ms now = world_wall(watch->world);
    if (watch->bytes <= watch->most)
        return alarm_end(db, why, ALARM_STORE_LOG, SLICE(""), now);
    SCOPED(buf) detail = BUF(8192);
    struct json json = {&detail};
    json_object_begin(&json);
    json_put_string(&json, "file", watch->path);
    json_put_int(&json, "octets", watch->bytes);
    json_end(&json);
    return alarm_raise(db, why, ALARM_STORE_LOG, SLICE(""), watch->bytes >> 20, watch->most >> 20, buf_slice(&detail),
                       now);
}

static void look_done(struct write_job *job, const struct fault *why)
{
    struct log_watch *watch = (struct log_watch *)((char *)job - offsetof(struct log_watch, job));
    if (why)
        log_warn("store", "the alarm of the log cannot be written now: %s", why->text);
    else
        watch->raised_at = watch->bytes > watch->most ? watch->bytes : 0;
    atomic_store(&watch->is_running, false);
}

/* Told anew when it has doubled: the alarm says how large it is. */
static bool has_news(const struct log_watch *watch)
{
    if (watch->bytes > watch->most)
        return watch->raised_at <= 0 || watch->bytes > watch->raised_at * 2;
    return watch->raised_at != 0 && watch->bytes <= watch->most / ENDS_PART;
}

static void look(struct store_watch *wake, unsigned marks)
{
    struct log_watch *watch = (struct log_watch *)((char *)wake - offsetof(struct log_watch, watch));
    time_ms now = world_monotonic(watch->world);
    struct stat found;
    if (now < watch->next || atomic_load(&watch->is_running))
        return;
    watch->next = now + watch->every;
    watch->bytes = stat(watch->path.ptr, &found) == 0 ? (int64_t)found.st_size : 0;
    if (!has_news(watch))
        return;
    if (watch->bytes > watch->most)
        log_warn("store",
                 "the log %s has %lld MB: something keeps reading from the store, or the disk is too slow to copy it",
                 watch->path.ptr, (long long)(watch->bytes >> 20));
    atomic_store(&watch->is_running, true);
    store_write(watch->store, &watch->job);
}

struct log_watch *log_watch_start(const struct log_watch_options *options)
{
    struct log_watch *watch = NEW(struct log_watch);
    watch->store = options->store;
    watch->world = options->world;
    watch->path = slice_str(arena_str(&watch->arena, options->path));
    watch->most = options->most ? options->most : LOG_WATCH_MOST;
    watch->every = options->every ? options->every : EVERY_MS;
    watch->raised_at = -1;
    watch->job.run = look_run;
    watch->job.done = look_done;
    watch->job.fails_fast = true;
    watch->watch.wake = look;
    store_watch_add(watch->store, &watch->watch);
    return watch;
}

void log_watch_stop(struct log_watch *watch)
{
    if (!watch)
        return;
    store_watch_remove(watch->store, &watch->watch);
    store_write_settle(watch->store); /* our job, too */
    arena_release(&watch->arena);
    free(watch);
}
