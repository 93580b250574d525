/* router.h - method and path to handler
 *
 * Patterns are paths whose segments may be {name}, which takes one segment, percent-decoded; a last segment {name...}
 * takes the whole rest, slashes and all. A fixed segment goes before a {name}. A path that exists with other methods
 * answers 405 with Allow; none 404. HEAD goes to GET; OPTIONS is answered with Allow where no route wants it. */
#ifndef TODOKE_HTTP_ROUTER_H
#define TODOKE_HTTP_ROUTER_H

#include "http/server.h"

struct http_route {
    const char *method;  /* "GET" */
    const char *pattern; /* "/api/v1/campaigns/{id}" */
    http_handler *handler;
    void *user;
    uint64_t body_limit; /* bytes; 0: HTTP_DEFAULT_BODY for methods other than GET and HEAD, and no body for these */
    bool spools;         /* bodies go to a file while they arrive, not into memory: request->spool */
    /* Asked before a body is read, so that strangers' large bodies are not; NULL: everybody's is. False: it has
     * answered, and the connection is closed behind the answer. Not called for a request without a body. */
    bool (*admits)(struct http_request *request, void *user);
};

/* The router keeps the pointers it is given; immutable once a server uses it; may be shared by threads. */
struct http_router *http_router_new(void);
void http_router_free(struct http_router *router);
void http_router_add(struct http_router *router, const struct http_route *route);
/* Called instead of 404 for GET (the console's pages); may answer 404 itself. */
void http_router_fallback(struct http_router *router, http_handler *handler, void *user);

/* The route for a head; NULL: none, then *status is 404 or 405 (and *allow, when not NULL, is filled for 405), or 400
 * for a path that cannot be decoded. Fills params; decoded values are in `arena`. */
const struct http_route *http_router_find(const struct http_router *router, const struct http_head *head,
                                          struct arena *arena, struct http_param *params, size_t *param_count,
                                          int *status, struct buf *allow);

#endif
