/* site_answers.c - what a batch of events says of each site: answers about people, and how many of them "no such user"
 */
#include "alarm/site_inside.h"

#include <stdlib.h>

enum { SITE_MAX = 255 }; /* a name longer than a domain's is none */

static bool is_held_answer(const struct event *event)
{
    return event->kind == EVENT_DEFERRED && event->state_after == DELIVERY_HELD &&
           event->verdict.reason == REASON_ON_HOLD && delivery_is_owed(event->state_before);
}

/* Does this event say what a receiver thinks of a person? */
static bool is_answer(const struct event *event, bool *is_try, bool *is_unknown)
{
    bool is_mail = event->origin == EVENT_ORIGIN_MAIL;
    *is_try = event->kind == EVENT_DELIVERED || (event->kind == EVENT_BOUNCED && !is_mail && event->code >= 500) ||
              is_held_answer(event);
    *is_unknown = guard_is_about(event) || is_held_answer(event) ||
                  (is_mail && event->kind == EVENT_BOUNCED && event->verdict.reason == REASON_ON_HOLD &&
                   event->state_before != DELIVERY_BOUNCED);
    if (event->kind == EVENT_BOUNCED && event->state_before == DELIVERY_BOUNCED)
        *is_try = *is_unknown = false; /* taken back: counted before */
    return *is_try || *is_unknown;
}

static struct answers *answers_of(struct map *by_site, struct arena *arena, struct slice site, time_ms at)
{
    struct answers *answers = map_get(by_site, site);
    if (!answers) {
        answers = ARENA_NEW(arena, struct answers);
        *answers = (struct answers){.site = arena_copy(arena, site), .first = at, .last = at};
        map_set(by_site, site, answers);
    }
    answers->first = at < answers->first ? at : answers->first;
    answers->last = at > answers->last ? at : answers->last;
    return answers;
}

/* Which site a domain was met at, for the error mails of tomorrow. */
static bool remember_domain(struct alarm_watch *watch, struct db *db, struct fault *why, const struct event *event)
{
    if (event->kind != EVENT_DELIVERED || !event->site.len || !event->domain.len ||
        slice_equal(event->site, event->domain) || map_get(&watch->domains, event->domain) ||
        map_get(&watch->fresh, event->domain))
        return true;
    map_set(&watch->fresh, event->domain, watch);
    return db_do(db, why,
                 "INSERT INTO site_domain (domain, site) VALUES ($1, $2) ON CONFLICT (domain) DO UPDATE SET site = "
                 "excluded.site",
                 VALUES(V_TEXT(event->domain), V_TEXT(event->site)), NULL);
}

bool answer_site(struct db *db, struct fault *why, const struct event *event, struct arena *arena, struct slice *site)
{
    *site = event->site;
    if (site->len)
        return true;
    bool ignored;
    return guard_holds(db, why, event, arena, site, &ignored);
}

static int by_name(const void *a, const void *b)
{
    const struct answers *const *one = a, *const *other = b;
    return slice_compare((*one)->site, (*other)->site);
}

bool answers_read(struct alarm_watch *watch, struct db *db, struct fault *why, const struct event *events, size_t count,
                  struct arena *arena, struct answers ***out, size_t *out_count)
{
    struct map by_site = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++) {
        bool is_try, is_unknown;
        struct slice site;
        if (!is_answer(&events[i], &is_try, &is_unknown))
            continue;
        ok = remember_domain(watch, db, why, &events[i]) && answer_site(db, why, &events[i], arena, &site);
        if (!ok || !site.len || site.len > SITE_MAX)
            continue;
        struct answers *answers = answers_of(&by_site, arena, site, events[i].at);
        answers->tried += is_try;
        answers->unknown += is_unknown;
    }
    size_t at = 0;
    *out = ARENA_ARRAY(arena, struct answers *, by_site.count + 1);
    *out_count = 0;
    for (struct map_entry *entry; ok && (entry = map_walk(&by_site, &at));)
        (*out)[(*out_count)++] = entry->value;
    map_release(&by_site);
    qsort(*out, *out_count, sizeof(**out), by_name);
    return ok;
}

bool answers_add_good(struct db *db, struct fault *why, struct answers *const *rows, size_t count)
{
    enum { WIDTH = 3 };
    struct value *values = NEW_ARRAY(struct value, count * WIDTH + 1);
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (rows[i]->unknown)
            continue;
        values[n * WIDTH] = V_TEXT(rows[i]->site);
        values[n * WIDTH + 1] = V_INT(rows[i]->first);
        values[n++ * WIDTH + 2] = V_INT(rows[i]->tried);
    }
    bool ok = n == 0 ||
              db_do_many(db, why,
                         "INSERT INTO site_guard (site, window_ms, tried) VALUES ($1, $2, $3) ON CONFLICT (site) DO "
                         "UPDATE SET tried = site_guard.tried + CASE WHEN site_guard.is_holding = 1 THEN 0 ELSE "
                         "excluded.tried END, round_tried = site_guard.round_tried + CASE WHEN site_guard.is_holding = "
                         "1 THEN excluded.tried ELSE 0 END",
                         values, WIDTH, n, NULL);
    free(values);
    return ok;
}
