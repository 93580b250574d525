/* visitor.h - who keeps a request open for long: may he still? (private to api/)
 *
 * Streams and exports outlive the check at their door. Each remembers by what it came in, and asks again at every turn:
 * signing out, a revoked, paused or expired key and ended sessions (S14) cut it off, in the same turn of the loop where
 * it was done through this API, within CALLER_MS otherwise. */
#ifndef TODOKE_API_VISITOR_H
#define TODOKE_API_VISITOR_H

#include "api/sign_in.h"

struct api;
struct http_request;

struct visitor {
    uint64_t key_id;
    bool has_session; /* it came in by a cookie, not by the key's secret */
    unsigned char session[SESSION_DIGEST];
};

/* Of a request that was admitted, while its handler runs. */
void visitor_of(struct api *api, const struct http_request *request, struct visitor *visitor);
/* A store that is away takes nobody's key. */
bool visitor_may_stay(struct api *api, const struct visitor *visitor);
/* Somebody signed out, or a key changed: let all who stay be asked now. */
void visitors_look(struct api *api);

#endif
