/* event_page.h - events in order, and the cursor of a program that follows them
 *
 * An event's place is (bucket, seq): a cursor is one seq for each bucket, as base64url, opaque to programs. Events of
 * one recipient's mail come in their order; what happened to different recipients at the same time in any. */
#ifndef TODOKE_API_EVENT_PAGE_H
#define TODOKE_API_EVENT_PAGE_H

#include "api/inside.h"
#include "event/event.h"

enum { EVENT_CURSOR_MAX = 4096, EVENTS_SCANNED_MAX = 5000 /* of one page, whatever is filtered away */ };

struct event_place {
    uint64_t seq[ID_BUCKETS]; /* seen so far */
};
struct event_wish {
    uint64_t campaign_id, kinds; /* EVENT_BIT(kind); 0: any */
    struct key_rights rights;    /* whose events */
    struct event_place place;
};

/* kinds, campaign and cursor (also `Last-Event-ID`) of a request. start=now begins behind what has happened. False:
 * answered. */
NODISCARD bool event_wish_read(struct api *api, struct http_request *request, struct event_wish *wish);
void event_place_print(const struct event_place *place, struct buf *out);
/* What comes next, at most `limit`; the place moves on. `write` gets each. *has_more: there is more already. */
NODISCARD bool event_page_next(struct db *db, struct event_wish *wish, size_t limit,
                               void (*write)(void *context, const struct event *event), void *context, size_t *count,
                               bool *has_more, struct fault *why);
/* An object of the contract. */
void event_write(struct json *json, const struct event *event);

#endif
