/* site.h - a receiver as pace sees it: roll-up of domains by MX, limits, and a pace that follows what the receiver says
 *
 * `struct pace` is a pure thing: outcomes and the clock go in, how many connections may stand comes out. One for each
 * (source, site), owned by the thread that delivers there. Growth is additive, decrease multiplicative, with a pause
 * after each decrease so that one burst of refusals counts once. */
#ifndef TODOKE_SHAPE_SITE_H
#define TODOKE_SHAPE_SITE_H

#include "base/time.h"
#include "mail/verdict.h"

enum { SITE_CONNECTIONS_DEFAULT = 10, SITE_MESSAGES_DEFAULT = 100 };

struct site_rule {
    const char *name, *label;
    int connections;             /* at once, from one source */
    int messages_per_connection; /* then QUIT and a new one */
    const char *suffixes[4];
};

/* The rule whose suffixes all hosts match; the default rule otherwise (its name is ""). */
const struct site_rule *site_rule_for(const struct slice *hosts, size_t count);
/* By name, for reports; NULL when there is none. */
const struct site_rule *site_rule_named(struct slice name);

struct pace {
    const struct site_rule *rule;
    double connections;      /* what we allow ourselves now, 1.0 .. rule->connections */
    time_ms suspended_until; /* no connection before this */
    time_ms calm_until;      /* a further refusal before this changes nothing */
    int failures;            /* connections lost or refused in a row, without a delivery in between */
};

void pace_init(struct pace *pace, const struct site_rule *rule);
/* How many connections may stand now; 0 while suspended. */
int pace_connections(const struct pace *pace, time_ms now);
void pace_delivered(struct pace *pace);
/* A refusal that speaks of pace or of the site as a whole (421, 4.7.x, rate_limited, system_error with code 421).
 * `scale` as in retry.h. */
void pace_refused(struct pace *pace, const struct verdict *verdict, int code, time_ms now, double scale);
/* A connection could not be made, or was reset before anything was delivered on it. */
void pace_connection_failed(struct pace *pace, time_ms now, double scale);

#endif
