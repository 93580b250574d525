#include "api/agent.h"

bool agent_is_early(const struct http_request *request)
{
    static const char *const names[] = {"Purpose", "Sec-Purpose", "X-Purpose", "X-Moz"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct slice value = http_header(request, names[i]);
        if (slice_find_caseless(value, SLICE("prefetch")) != SLICE_NPOS ||
            slice_find_caseless(value, SLICE("preview")) != SLICE_NPOS)
            return true;
    }
    return false;
}

enum event_origin agent_of(const struct robots *robots, const struct http_request *request)
{
    if (agent_is_early(request))
        return EVENT_ORIGIN_ROBOT;
    return robots_who(robots, http_header(request, "User-Agent"), &request->peer.ip);
}
