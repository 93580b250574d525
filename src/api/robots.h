/* robots.h - who asks for a link or a pixel, by its name and its network: data/robots, and files of an operator
 *
 * data/robots/NAME.yaml is carried by the binary; a file of the operator's folder with the same `name` takes the place
 * of ours. Rows say who an agent is (`part` of a User-Agent in any case, or all of it: `is`), or who a network is.
 * An agent's row goes before a network's; of several that fit, the longest. Whoever says no name at all is a robot,
 * who fits no row a person. Each file carries `examples`, which loading proves. docs/clicks.md has the form.
 *
 * `struct robots` never changes once it is open: all threads share it. One linear pass over at most AGENT_MOST octets,
 * however many rows there are. */
#ifndef TODOKE_API_ROBOTS_H
#define TODOKE_API_ROBOTS_H

#include "base/arena.h"
#include "base/fault.h"
#include "mail/event.h"
#include "net/ip.h"

struct robots;

/* folder: the operator's *.yaml; NULL: none; need not exist. INPUT: "google.yaml line 12: ...". */
NODISCARD bool robots_open(const char *folder, struct robots **robots, struct fault *why);
void robots_free(struct robots *robots);

/* PERSON, ROBOT or PROXY. ip may be NULL. */
enum event_origin robots_who(const struct robots *robots, struct slice user_agent, const struct ip *ip);

/* For tests and the loader: the text of one file, then all of them together. */
struct robots *robots_new(void);
NODISCARD bool robots_read(struct robots *robots, const char *path, struct slice yaml, bool replaces,
                           struct fault *why);
NODISCARD bool robots_settle(struct robots *robots, struct fault *why);

#endif
