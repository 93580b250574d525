/* watch.c - the follower, and once a second what is due without an event
 *
 * Both run as write jobs, so nothing here is locked. */
#include "alarm/watch.h"

#include "base/log.h"
#include <stddef.h>
#include <time.h>

enum { INTERVAL_MS = 200, TICK_MS = 1000 };

/* ── events ── */

static bool take(void *context, struct db *db, struct fault *why, const struct event *events, size_t count)
{
    struct alarm_watch *watch = context;
    map_release(&watch->fresh); /* of a run that was rolled back */
    return site_take(watch, db, why, events, count) && flood_take(watch, db, why, events, count) &&
           credential_take(watch, db, why, events, count) && unread_take(db, why, events, count);
}

/* After the commit: what was written is known. */
static void after(void *context, size_t events)
{
    enum { DOMAINS_MAX = 50000 };
    struct alarm_watch *watch = context;
    size_t at = 0;
    if (watch->domains.count > DOMAINS_MAX)
        map_release(&watch->domains);
    for (struct map_entry *entry; (entry = map_walk(&watch->fresh, &at));)
        map_set(&watch->domains, entry->key, entry->value);
    map_release(&watch->fresh);
}

/* ── time ── */

void watch_tell(struct alarm_watch *watch, const struct submit_news *news, size_t count)
{
    if (watch->news_count + count > watch->news_room) {
        size_t room = (watch->news_count + count) * 2;
        struct submit_news *grown = ARENA_ARRAY(&watch->arena, struct submit_news, room);
        for (size_t i = 0; i < watch->news_count; i++)
            grown[i] = watch->news[i];
        watch->news = grown;
        watch->news_room = room;
    }
    for (size_t i = 0; i < count; i++) {
        watch->news[watch->news_count] = news[i];
        watch->news[watch->news_count++].lane.domain = arena_copy(&watch->arena, news[i].lane.domain);
    }
}

static bool send_mails(struct alarm_watch *watch, struct db *db, struct fault *why, time_ms now)
{
    struct alarm_row *rows;
    size_t count;
    if (!watch->options.mail)
        return true;
    if (!alarm_unmailed(db, why, &watch->arena, &rows, &count))
        return false;
    for (size_t i = 0; i < count; i++) {
        struct submit_news *news = NULL;
        size_t news_count = 0;
        bool is_sent = false;
        if (!watch->options.mail(watch->options.owner, db, why, &rows[i], &watch->arena, &news, &news_count, &is_sent))
            return false;
        if (is_sent && !alarm_mailed(db, why, rows[i].id, now))
            return false;
        watch_tell(watch, news, news_count);
    }
    return true;
}

static bool tick_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct alarm_watch *watch = (struct alarm_watch *)((char *)job - offsetof(struct alarm_watch, job));
    time_ms now = watch_now(watch);
    bool leads;
    arena_reset(&watch->arena);
    watch->news = NULL;
    watch->news_count = watch->news_room = 0;
    if (!leases_lead(db, why, watch->leases, &leads))
        return false;
    if (!leads)
        return true;
    return site_tick(watch, db, why, now) && flood_tick(watch, db, why, now) && credential_tick(watch, db, why, now) &&
           replay_tick(watch, db, why, now) && send_mails(watch, db, why, now);
}

static void tick_done(struct write_job *job, const struct fault *why)
{
    struct alarm_watch *watch = (struct alarm_watch *)((char *)job - offsetof(struct alarm_watch, job));
    if (why)
        log_warn("alarm", "what is due cannot be done now: %s", why->text);
    else if (watch->news_count && watch->options.released)
        watch->options.released(watch->options.owner, watch->news, watch->news_count);
    atomic_store(&watch->is_ticking, false);
}

static void wake(struct store_watch *ticker, unsigned marks)
{
    struct alarm_watch *watch = (struct alarm_watch *)((char *)ticker - offsetof(struct alarm_watch, ticker));
    time_ms now = world_monotonic(watch->options.world);
    if (now - watch->ticked < TICK_MS || atomic_load(&watch->is_stopping) || atomic_exchange(&watch->is_ticking, true))
        return;
    watch->ticked = now;
    store_write(watch->options.store, &watch->job);
}

struct alarm_watch *alarm_watch_start(const struct alarm_options *options)
{
    struct alarm_watch *watch = NEW(struct alarm_watch);
    watch->options = *options;
    watch->leases = options->ledger.leases; /* one node watches all; what it moves may be in anybody's bucket, and is on
                                               no wire: its ledger needs none */
    watch->options.ledger.leases = NULL;
    watch->job.run = tick_run;
    watch->job.done = tick_done;
    watch->job.fails_fast = true;
    watch->ticker.wake = wake;
    const struct event_follower_options follower = {.name = ALARM_READER,
                                                    .sink = take,
                                                    .context = watch,
                                                    .kinds = EVENT_BIT(EVENT_ACCEPTED) | EVENT_BIT(EVENT_DELIVERED) |
                                                             EVENT_BIT(EVENT_DEFERRED) | EVENT_BIT(EVENT_BOUNCED) |
                                                             EVENT_BIT(EVENT_EXPIRED) | EVENT_BIT(EVENT_UNVERIFIED),
                                                    .leases = watch->leases,
                                                    .only_leader = true,
                                                    .interval_ms = INTERVAL_MS,
                                                    .after = after};
    watch->follower = event_follow(options->store, &follower);
    store_watch_add(options->store, &watch->ticker);
    return watch;
}

static void wait_for_tick(struct alarm_watch *watch)
{
    const struct timespec pause = {.tv_nsec = 2000000};
    while (atomic_load(&watch->is_ticking))
        nanosleep(&pause, NULL);
}

void alarm_watch_stop(struct alarm_watch *watch)
{
    if (!watch)
        return;
    atomic_store(&watch->is_stopping, true);
    store_watch_remove(watch->options.store, &watch->ticker);
    event_follower_stop(watch->follower);
    wait_for_tick(watch);
    map_release(&watch->domains);
    map_release(&watch->fresh);
    arena_release(&watch->arena);
    free(watch);
}

bool alarm_watch_catch_up(struct alarm_watch *watch, struct fault *why)
{
    if (!event_follower_catch_up(watch->follower, why))
        return false;
    while (atomic_exchange(&watch->is_ticking, true))
        wait_for_tick(watch);
    store_write(watch->options.store, &watch->job);
    wait_for_tick(watch);
    return true;
}
