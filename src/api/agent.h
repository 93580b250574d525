/* agent.h - who asks for a link or a pixel: a person, a robot, or a privacy proxy; by what the request itself shows
 *
 * The first of two stages (U10): known agents and networks (api/robots.h), and what prefetchers say of themselves. What
 * only shows in how they behave is found later (report/engaged.h). */
#ifndef TODOKE_API_AGENT_H
#define TODOKE_API_AGENT_H

#include "api/robots.h"
#include "http/server.h"

/* It says of itself that nobody has asked for it yet: a prefetch, a preview. */
bool agent_is_early(const struct http_request *request);

enum event_origin agent_of(const struct robots *robots, const struct http_request *request);

#endif
