/* event_page.h - the cursor and filters of a program that follows the events (event/place.h), out of its request */
#ifndef TODOKE_API_EVENT_PAGE_H
#define TODOKE_API_EVENT_PAGE_H

#include "api/inside.h"
#include "event/place.h"

/* kinds, campaign and cursor (also `Last-Event-ID`) of a request. start=now begins behind what has happened. False:
 * answered. */
NODISCARD bool event_wish_read(struct api *api, struct http_request *request, struct event_wish *wish);

#endif
