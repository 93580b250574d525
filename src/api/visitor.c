#include "api/visitor.h"

#include "api/follow.h"
#include "api/inside.h"

void visitor_of(struct api *api, const struct http_request *request, struct visitor *visitor)
{
    struct slice id;
    *visitor = (struct visitor){.key_id = api_caller(request)->key.id};
    visitor->has_session = !slice_starts_caseless(http_header(request, "Authorization"), SLICE("Bearer ")) &&
                           http_cookie(request, "todoke_session", &id) &&
                           session_is_open(&api->sessions, id, world_monotonic(api->options.world), visitor->session);
}

bool visitor_may_stay(struct api *api, const struct visitor *visitor)
{
    struct caller *caller = NULL;
    struct fault ignored = {0};
    time_ms now = world_monotonic(api->options.world);
    if (visitor->has_session && !session_lasts(&api->sessions, visitor->session, now))
        return false;
    if (!caller_find(&api->callers, api->db, SLICE(""), visitor->key_id, now, api_now(api), &caller, &ignored))
        return true;
    return caller &&
           (!visitor->has_session || session_began(&api->sessions, visitor->session) > caller->key.sessions_ended);
}

void visitors_look(struct api *api)
{
    followers_look(api);
    streams_look(api);
}
