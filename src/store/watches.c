#include "store/watches.h"

enum { POLL_MS = 1000 };

void watches_init(struct watches *watches, time_ms now)
{
    *watches = (struct watches){.due = now + POLL_MS};
    pthread_mutex_init(&watches->lock, NULL);
    pthread_cond_init(&watches->called, NULL);
}

void watches_release(struct watches *watches)
{
    pthread_cond_destroy(&watches->called);
    pthread_mutex_destroy(&watches->lock);
}

void watches_add(struct watches *watches, struct store_watch *watch)
{
    pthread_mutex_lock(&watches->lock);
    watch->next = watches->first;
    watches->first = watch;
    pthread_mutex_unlock(&watches->lock);
}

void watches_remove(struct watches *watches, const struct store_watch *watch, bool is_caller)
{
    pthread_mutex_lock(&watches->lock);
    struct store_watch **at = &watches->first;
    while (*at && *at != watch)
        at = &(*at)->next;
    if (*at)
        *at = watch->next;
    /* it may be called just now, or next: not any more when we return */
    while (watches->is_calling && !is_caller)
        pthread_cond_wait(&watches->called, &watches->lock);
    pthread_mutex_unlock(&watches->lock);
}

static struct store_watch *watch_behind(struct watches *watches, const struct store_watch *watch)
{
    pthread_mutex_lock(&watches->lock);
    struct store_watch *next = watch->next;
    pthread_mutex_unlock(&watches->lock);
    return next;
}

void watches_call(struct watches *watches, unsigned marks, time_ms now)
{
    bool is_early = marks == STORE_MARK_POLL && now < watches->all;
    pthread_mutex_lock(&watches->lock);
    struct store_watch *watch = watches->first;
    watches->is_calling = true;
    pthread_mutex_unlock(&watches->lock);
    if (marks & STORE_MARK_POLL && !is_early)
        watches->all = now + POLL_MS;
    watches->due = watches->all;
    for (; watch; watch = watch_behind(watches, watch)) {
        if (!is_early || watch->again_ms)
            watch->wake(watch, marks);
        if (watch->again_ms && now + watch->again_ms < watches->due)
            watches->due = now + watch->again_ms;
    }
    pthread_mutex_lock(&watches->lock);
    watches->is_calling = false;
    pthread_cond_broadcast(&watches->called);
    pthread_mutex_unlock(&watches->lock);
}

void watches_hurry(struct watches *watches)
{
    watches->due = watches->all = 0;
}
