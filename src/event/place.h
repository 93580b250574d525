/* place.h - events in order, for programs outside: a place among them as text, what comes next, and each as JSON
 *
 * An event's place is (log, seq): a cursor is one seq for each log, as base64url, opaque to programs. What happened to
 * one mail comes in its order; to different recipients at the same time in any. Only opens and clicks may come before
 * what else happened to that mail at about the same time: on SQLite they stand in the common log (event/event.h), which
 * is read first, and so does a 250 to the first try, which nothing but an operator's hold has come before. */
#ifndef TODOKE_EVENT_PLACE_H
#define TODOKE_EVENT_PLACE_H

#include "base/json.h"
#include "event/event.h"

enum { EVENT_CURSOR_MAX = 4096, EVENTS_SCANNED_MAX = 5000 /* of one page, whatever is filtered away */ };

struct event_place {
    uint64_t seq[ID_BUCKETS]; /* seen so far */
};
struct event_wish {
    uint64_t campaign_id, kinds; /* EVENT_BIT(kind); 0: any */
    struct event_place place;
};

void event_place_print(const struct event_place *place, struct buf *out);
NODISCARD bool event_place_parse(struct slice text, struct event_place *place);
/* Behind everything that has happened. */
NODISCARD bool event_place_now(struct db *db, struct event_place *place, struct fault *why);
/* What comes next of these brands, at most `limit`; the place moves on, never past `until` (NULL: now). `write` gets
 * each. *has_more: there is more already. Events are never changed, so between two places are always the same ones. */
NODISCARD bool event_page_next(struct db *db, struct event_wish *wish, const struct brands *brands,
                               const struct event_place *until, size_t limit,
                               void (*write)(void *context, const struct event *event), void *context, size_t *count,
                               bool *has_more, struct fault *why);
/* An object of the contract (data/api/openapi.yaml, Event). */
void event_write(struct json *json, const struct event *event);

#endif
