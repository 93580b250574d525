/* agent.h - who asks for a link or a pixel: a person, a robot, or a privacy proxy; by what the request itself shows
 *
 * The first of two stages (U10): known agents (agent.def), and what prefetchers say of themselves. What only shows in
 * how they behave is found later (report/engaged.h). */
#ifndef TODOKE_API_AGENT_H
#define TODOKE_API_AGENT_H

#include "http/server.h"
#include "mail/event.h"

enum event_origin agent_of(const struct http_request *request);
/* The same of a User-Agent alone. */
enum event_origin agent_of_words(struct slice user_agent);

#endif
