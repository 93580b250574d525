/* engine.h - what carries every mail: claim, resolve, compose, converse, settle
 *
 *     submit --news--> dispatcher --recipients--> worker (the site's) --compose--> pool --composed--> worker
 *                        ^  claims lanes,            |  slots: one connection each; mark, conversation, outcome
 *                        |  asks routes              v
 *                        +------- home ------ writer thread (group commit of marks and outcomes)
 *
 * Threads: one dispatcher, `workers` delivery threads, `composers` composing threads; the store's writer; the
 * resolver's. A site belongs to one worker, so its state has no locks. A recipient in memory has one holder at a time.
 * No transaction is held across a conversation. */
#ifndef TODOKE_DELIVER_ENGINE_H
#define TODOKE_DELIVER_ENGINE_H

#include "bounce/rules.h"
#include "deliver/composer.h"
#include "net/tls.h"
#include "queue/ledger.h"
#include "shape/retry.h"
#include "shape/site.h"
#include "store/seal.h"
#include "store/store.h"
#include "submit/submit.h"

struct engine_options {
    struct store *store;
    struct world *world; /* with its resolver */
    const struct rules *rules;
    const struct sites *sites; /* limits of receivers; NULL: what the binary carries, for sinks on this machine */
    struct composer composer;
    struct slice blocklists;  /* zones asked about our sources, with commas between; "": none */
    bool checks_names;        /* sources need a PTR that leads back, and an EHLO name that leads to them */
    struct ledger ledger;     /* its leases are renewed by the engine */
    struct tls_roots *roots;  /* whom to trust; opportunistic TLS takes any certificate */
    bool uses_dane, uses_sts; /* R30: what DNSSEC and MTA-STS say about receivers; without them only rules hold */
    bool uses_ipv6;
    time_ms tls_remember;           /* so long a host that had TLS must have it, where the rule `seen` holds */
    const struct seal_key *seal;    /* opens the passwords of smart hosts; NULL: there are none */
    const struct ip *own_addresses; /* of this machine's interfaces; must live as long as the engine, as these: */
    size_t own_address_count;
    /* Where this process itself answers at SMTP's port, so that mail does not loop (ourselves.h, R15); all zeroes: at
     * each address of that family */
    const struct ip *listens_at;
    size_t listens_at_count;
    struct slice ehlo_name; /* must live as long as the engine */
    struct retry_settings retry;
    /* What a mail has when its sender names no end. One that was given less time than this means it: behind its end it
     * is not tried any more. Others may have a try then, their last. 0: so do all. */
    time_ms expires_after;
    time_ms in_doubt_wait; /* before a doubtful one is tried again; scaled like retries */
    time_ms source_wait;   /* so long it waits for a node that is gone and has its source; likewise. 0: not at all */
    time_ms idle_ms;       /* an idle connection is kept this long; 0: 5 s */
    unsigned workers, composers; /* 0: one for each core */
    int connections_most;        /* of all sites of one worker together; 0: 2,000 */
    /* So many routes, destinations and sites stay in memory though nobody is owed mail there, of each; and those that a
     * limit's open window or a suspension keeps. After an hour none of the others (docs/internals/memory.md). 0:
     * 20,000. Of sites that rest only so many of a worker have ways; 0: 1,000. */
    size_t idle_most;
    struct smtp_timeouts_scale {
        double factor;
    } timeouts; /* multiplies the waits of M5; 0: 1.0 */
    /* A campaign whose rendering fails too often; called on a worker's thread. May be NULL. */
    void (*rendering_failed)(void *owner, uint64_t campaign_id, const struct fault *why);
    /* R32: a host that had TLS lately offers it no more, and mail waits for it; or it has it again. On a worker's
     * thread, seldom (tls_seen.h). May be NULL. */
    void (*tls_told)(void *owner, struct slice host, bool is_gone);
    void *owner;
};

struct engine;
/* Takes the leases, finds what was in doubt, reads the lanes, starts the threads. */
NODISCARD bool engine_start(const struct engine_options *options, struct engine **engine, struct fault *why);
/* Claim no more, let the conversations under way end (drain_ms at most), settle, join. */
void engine_stop(struct engine *engine, time_ms drain_ms);

/* Rows were submitted and committed. From any thread. The texts are copied. */
void engine_submitted(struct engine *engine, const struct submit_news *news, size_t count);
/* The hold table has changed: read it now instead of within a second. From any thread. */
void engine_holds_changed(struct engine *engine);
/* Mail of this brand, campaign and domain (0, "": any) was held or cancelled: what waits in memory goes back, and is
 * claimed again if it is owed still. Otherwise it would be refused its mark when a connection has begun to send it, and
 * the receiver would see us hang up before the dot. Other nodes hear of it. From any thread. */
void engine_recall(struct engine *engine, const struct lane_key *whose);
/* Somebody asks what goes on now (board.h): look now instead of within a second. From any thread. */
void engine_board_asked(struct engine *engine);

struct engine_figures {
    uint64_t delivered, refused, deferred, in_doubt, connections;
    unsigned open_connections;
    size_t claimed;
    size_t routes, destinations, sites; /* that are known: domains, MX sets, and what pace is learnt for */
    size_t ways;                        /* of our sources to sites */
    /* ways on which nothing goes now: by the receiver's words, because too many users are unknown there, by a person's
     * order; and whose breaker is not closed. Those that the run before us left and nobody has used yet, too. */
    size_t suspended_by_words, suspended_by_guard, suspended_by_order, breakers_open;
};
/* From any thread. */
struct engine_figures engine_figures(const struct engine *engine);

/* Outcomes by the rule of data/sites that the receiver falls under, since the start: as many as there are rules,
 * however many receivers. Mail that found no way to any receiver is in none. */
struct engine_site_figures {
    struct slice rule; /* "google"; lives as long as the engine's rules */
    uint64_t delivered, refused, deferred;
};
/* From any thread. How many of `most` were filled. */
size_t engine_site_figures(const struct engine *engine, struct engine_site_figures *figures, size_t most);

#endif
