#include "api/agent.h"

static const struct {
    struct slice part;
    enum event_origin who;
} agents[] = {
#define AGENT(part, who) {SLICE_INIT(part), EVENT_ORIGIN_##who},
#include "api/agent.def"
#undef AGENT
};

enum event_origin agent_of_words(struct slice user_agent)
{
    enum { AGENT_MAX = 512 };
    user_agent = slice_head(slice_trim(user_agent), AGENT_MAX);
    if (!user_agent.len)
        return EVENT_ORIGIN_ROBOT;
    if (slice_equal(user_agent, SLICE("Mozilla/5.0"))) /* Apple's Mail Privacy Protection says this and no more */
        return EVENT_ORIGIN_PROXY;
    for (size_t i = 0; i < COUNT_OF(agents); i++)
        if (slice_find_caseless(user_agent, agents[i].part) != SLICE_NPOS)
            return agents[i].who;
    return EVENT_ORIGIN_PERSON;
}

enum event_origin agent_of(const struct http_request *request)
{
    static const char *const names[] = {"Purpose", "Sec-Purpose", "X-Purpose", "X-Moz"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct slice value = http_header(request, names[i]);
        if (slice_find_caseless(value, SLICE("prefetch")) != SLICE_NPOS ||
            slice_find_caseless(value, SLICE("preview")) != SLICE_NPOS)
            return EVENT_ORIGIN_ROBOT;
    }
    return agent_of_words(http_header(request, "User-Agent"));
}
