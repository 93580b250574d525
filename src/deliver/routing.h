/* routing.h - the dispatcher's knowledge of where domains go (private to deliver/) */
#ifndef TODOKE_DELIVER_ROUTING_H
#define TODOKE_DELIVER_ROUTING_H

#include "deliver/board.h"
#include "deliver/sts_cache.h"
#include "dns/route.h"
#include "net/mailbox.h"

struct destination;
struct site_rule;
struct source;
struct dispatcher;
struct route_kept;

/* What is known of a domain's route, and until when. */
struct domain_route {
    struct dispatcher *dispatcher;
    struct slice name;   /* the map's key (directions.h) */
    struct slice domain; /* "" for a smart host */
    struct slice pool;   /* of sources; "": none */
    uint64_t brand_id;
    bool is_waived; /* of mails that say TLS-Required: No */
    struct route_query *query;
    struct sts_query *sts;
    struct route_kept *found;        /* both answers together, while one of them is awaited */
    struct destination *destination; /* NULL: not known yet */
    enum route_status status;
    const char *tls;    /* what demands TLS of the first host: a literal */
    enum tls_rule rule; /* of the destination */
    time_ms good_until;
    time_ms found_at;          /* 0: never */
    bool is_asked;             /* counted in dispatcher->asking */
    time_ms idle_since;        /* nothing was due when it was looked at; 0: something was */
    struct route_queue *queue; /* in which it waits to be asked for; NULL: none */
    struct domain_route *queue_before, *queue_next;
};
struct route_queue {
    struct domain_route *first, *last;
};

/* routing.c */
NODISCARD bool routing_begin(struct dispatcher *dispatcher, struct fault *why);
void routing_want(void *owner, struct slice name, bool is_urgent); /* owner: the dispatcher */
/* Read what people decided; where it has changed, every route is asked for anew. WORLD. */
NODISCARD bool routing_directions(struct dispatcher *dispatcher, struct fault *why);
/* These are our sources: where that makes us others than before (ourselves.h), likewise. */
void routing_sources(struct dispatcher *dispatcher, const struct source *list, size_t count);
void routing_notes(struct mailbox *mailbox, struct mail_item *items);
void routing_refresh(struct dispatcher *dispatcher);
void routing_release(struct dispatcher *dispatcher);

/* destinations.c: where an answer leads. The site and the destination of this route, made if they are new; a
 * destination that is known hears of hosts that live elsewhere now. Takes `kept`, whose policy gets its rule and its
 * domain here; and known->tls is set. */
struct destination *destination_get(struct dispatcher *dispatcher, struct domain_route *known, struct route_kept *kept);

/* What people and the site's rule demand of TLS for this route now. */
enum tls_rule destination_rule(const struct dispatcher *dispatcher, const struct domain_route *known,
                               const struct site_rule *rule);
/* Is this host one of the MX set that a destination's key names? */
bool route_key_has(struct slice key, const struct route_host *host);

/* routing_tell.c: the domains (by name) of a site (by name), or that one domain, for people; into the arena. */
void routing_tell(struct dispatcher *dispatcher, struct slice name, struct arena *arena, struct board_route **routes,
                  size_t *count);

#endif
