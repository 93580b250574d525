/* destination.h - one MX set, or one failure to find any: where recipients wait for a connection to its hosts
 *
 * Many domains may share it; it belongs to one site, and from its first recipient on to that site's worker. */
#ifndef TODOKE_DELIVER_DESTINATION_H
#define TODOKE_DELIVER_DESTINATION_H

#include "deliver/idle.h"
#include "deliver/recipients.h"
#include "deliver/security.h"
#include "dns/route.h"
#include "mail/reply.h"
#include "mail/verdict.h"

struct egress;
struct lane_key;
struct site;
struct slot;
struct worker;

/* Where a destination's hosts are now. The worker that holds it counts who looks at it: a slot keeps the one that it
 * was opened with, whatever the DNS says later (R18). */
struct route_kept {
    unsigned held;
    struct arena arena;
    struct route route; /* status other than FOUND: everybody gets this answer */
    struct security_policy policy;
    time_ms *seen_until;   /* of each host, wall: it had TLS lately; NULL: nobody wants to know (tls_seen.h) */
    time_ms vanished_said; /* that it has it no more */
    bool is_back_said;     /* that it has it */
    time_ms *clear_until;  /* of each host: a handshake failed, in clear until then (R31); NULL: none did */
};

/* Up to this claim recipients of this brand, campaign and domain (0, "": any) may not wait in the destination: its
 * route leads elsewhere since, or somebody has held or cancelled mail of theirs. */
struct left {
    struct left *next;
    uint64_t turn, brand_id, campaign_id;
    struct slice domain; /* behind it */
};

struct destination {
    struct slice key; /* what tells it apart: the map's */
    struct site *site;
    /* the dispatcher's */
    uint64_t addresses;    /* a hash of the addresses that the worker knows */
    struct idle_link idle; /* no route leads to it, and nobody of it is claimed */
    size_t routes, outstanding;
    /* the worker's, from the first recipient on */
    struct route_kept *kept;
    struct destination *of_site, *of_site_before, *next_busy; /* of_site: the next of its site */
    /* pinned.c: those beside it, whose recipients were in doubt by one source; of one of them, beside which it is */
    struct destination *pinned, *next_pinned, *of;
    uint64_t source_id; /* 0: any source */
    bool is_busy;
    uint64_t passed_at;      /* flow.c: looked at in this pass */
    time_ms waits_since;     /* flow.c: its turn came, and no connection of it was free */
    time_ms closed_until;    /* its hosts failed while others of the site stood */
    struct recipients raw;   /* not composed yet */
    struct recipients ready; /* composed, waiting for a slot */
    size_t composing;        /* between the two */
    struct slot *slots;
    int slot_count;
    bool has_doubts; /* a connection failed and none stands: no more of them until one of those on their way does */
    time_ms dead_until[2];         /* IPv4, IPv6: an address of that family did not connect (R17) */
    unsigned spin;                 /* which of equal hosts, families and addresses the next connection begins with */
    int failures;                  /* connections in a row that came to nothing, without a word from the host */
    unsigned recipients_most;      /* its hosts took so many in one transaction and no more (452); */
    time_ms recipients_most_until; /* believed until then */
    struct left *left;             /* while some of them may still be composed or under way */
};

static inline time_ms route_clear_until(const struct route_kept *kept, size_t host)
{
    return kept->clear_until ? kept->clear_until[host] : 0;
}
static inline void route_clear(struct route_kept *kept, size_t host, time_ms until)
{
    if (!kept->clear_until)
        kept->clear_until = arena_zero(&kept->arena, sizeof(*kept->clear_until) * kept->route.host_count);
    kept->clear_until[host] = until;
}
static inline bool destination_waits(const struct destination *destination)
{
    return destination->ready.count || destination->raw.count || destination->composing;
}

/* destinations.c */
struct route_kept *route_kept_new(const struct route *route, const struct security_policy *policy); /* copies both */
void route_kept_drop(struct route_kept *kept); /* one holder less */

/* waiting.c: its worker meets it, and leaves it; who waits in it */
void destination_meet(struct worker *worker, struct destination *destination);
void destination_leave(struct destination *destination);
/* The route of this domain leads elsewhere (0, "": any brand, campaign, domain), or such mail is recalled: whoever
 * waits in it goes home to be claimed anew, and who is composed or under way now will not wait in it again. */
void destination_is_left(struct worker *worker, struct destination *destination, const struct lane_key *whose);
void destination_left_free(struct destination *destination);
void raw_push(struct destination *destination, struct recipient *recipient);
struct recipient *raw_pop(struct destination *destination);
void ready_push(struct destination *destination, struct recipient *recipient);
void ready_push_front(struct destination *destination, struct recipient *recipient);

/* flow.c */
/* Its hosts failed while others of the site stand: no connection to it for a while, longer each time. */
void destination_closed(struct destination *destination, time_ms now);

/* worker.c */
/* No connection could be made, or the host refuses everybody: everything waiting for this destination gets that answer.
 */
void destination_failed(struct worker *worker, struct destination *destination, const struct reply *reply,
                        enum stage stage, enum reason reason, struct slice remote);

/* pinned.c: those beside it that one source alone serves */
/* Where those go who are claimed for `destination`, and were in doubt by this source; 0: there. */
struct destination *destination_for(struct worker *worker, struct destination *destination, uint64_t source_id);
/* Its hosts are these now, and of those beside it: connections that began otherwise than TLS must be from now on take
 * nothing more. Takes `kept`. */
void destination_routed(struct destination *destination, struct route_kept *kept);
void destination_free(struct destination *destination);
/* The only way that its recipients go by; NULL: any of the site's. */
struct egress *destination_egress(const struct destination *destination, time_ms now);
/* Did it leave by another source than the one by which it was in doubt? Then why, for the note of its event, in the
 * arena; "" otherwise. */
struct slice pinned_note(struct worker *worker, const struct recipient *recipient, struct arena *arena);

#endif
