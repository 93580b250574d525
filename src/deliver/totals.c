/* totals.c - a site's share of the limits over all our sources and nodes
 *
 *     turns:    two blocks, the one in use and the next; the next is asked for when little of the first is left
 *     permits:  as many connections as the store has given us; more are asked for when one is to be opened, what is not
 *               needed goes back when the site rests, and every LOOK_MS who holds some hears whether others wait
 *
 * One question at a time is under way for a site. What is given back is not used from the moment of asking, so that
 * the store never counts less than there is. */
#include "deliver/parts.h"

#include "base/log.h"

enum {
    AGAIN_MS = 500, /* nothing was free, or the store failed */
    LOOK_MS = 2000,
    GOODBYE_MS = 250, /* a connection that has ended is one until the receiver has heard of it */
    PERMITS_MORE = 4, /* asked for at a time */
    ANSWER_MS = 1000, /* the answer pumps the site; this is the net */
};

struct totals_job {
    struct write_job job;
    struct mail_item item;
    struct site *site;
    struct leases *leases;
    struct total_ask ask;
    bool has_failed;
};

static bool totals_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct totals_job *asked = (struct totals_job *)job;
    asked->ask.life = asked->leases ? asked->leases->life : 0;
    return total_reserve(db, why, &asked->ask);
}

static void totals_done(struct write_job *job, const struct fault *why)
{
    struct totals_job *asked = (struct totals_job *)job;
    asked->has_failed = why != NULL;
    if (why)
        log_warn("deliver", "a limit over all sources cannot be reserved: %s", why->text);
    mailbox_post(&asked->site->worker->totals, &asked->item);
}

static void ask(struct site *site, unsigned turns, unsigned keep, unsigned want, time_ms now)
{
    struct worker *worker = site->worker;
    struct site_totals *totals = site->totals;
    if (totals->is_asked || worker->is_stopping)
        return;
    struct totals_job *asked = NEW(struct totals_job);
    asked->job.run = totals_run;
    asked->job.done = totals_done;
    asked->site = site;
    asked->leases = worker->engine->options.ledger.leases;
    asked->ask = (struct total_ask){.world = worker->engine->options.world,
                                    .site = site->name,
                                    .holder = site->pool,
                                    .node = worker->engine->options.ledger.node,
                                    .rate = site->rule->total_rate,
                                    .want_turns = turns,
                                    .connections = site->rule->total_connections,
                                    .has = keep,
                                    .want = want};
    totals->permits = keep;
    totals->is_asked = true;
    totals->ask_at = now + AGAIN_MS;
    totals->look_at = now + LOOK_MS;
    worker->in_memory++; /* whoever stops waits for the answer */
    store_write(worker->engine->options.store, &asked->job);
}

void totals_arrived(struct mailbox *mailbox, struct mail_item *items)
{
    struct worker *worker = mailbox->owner;
    while (items) {
        struct totals_job *asked = (struct totals_job *)((char *)items - offsetof(struct totals_job, item));
        struct site_totals *totals = asked->site->totals;
        struct site *site = asked->site;
        items = items->next;
        worker->in_memory--;
        totals->is_asked = false;
        if (!asked->has_failed) {
            if (asked->ask.want_turns)
                *(totals->turns.count ? &totals->next : &totals->turns) = asked->ask.turns;
            totals->permits = asked->ask.permits;
            totals->most = asked->ask.most;
        }
        free(asked);
        worker_pump(worker, site);
    }
    worker_check_stop(worker);
}

/* ── turns ── */

time_ms site_turn_wait(struct site *site, time_ms now)
{
    struct site_totals *totals = site->totals;
    if (!site->rule->total_rate.count)
        return 0;
    if (site->rule->total_connections && !site->slots && !totals->permits) /* no turn is wasted */
        return site_permit_wait(site, now);
    time_ms wait = total_turns_wait(&totals->turns, now);
    if (wait < 0) {
        totals->turns = totals->next;
        totals->next = (struct total_turns){0};
        wait = total_turns_wait(&totals->turns, now);
    }
    unsigned block = total_turns_block(site->rule->total_rate);
    if (!totals->next.count && totals->turns.count <= block / 4 && (totals->turns.count || now >= totals->ask_at))
        ask(site, block, totals->permits, totals->permits + (totals->waits_for_permit ? PERMITS_MORE : 0), now);
    totals->waits_for_turn = wait != 0;
    return wait < 0 ? ANSWER_MS : wait;
}

void site_turn_use(struct site *site)
{
    if (site->rule->total_rate.count)
        total_turns_use(&site->totals->turns);
}

/* ── permits ── */

time_ms site_permit_wait(struct site *site, time_ms now)
{
    struct site_totals *totals = site->totals;
    if (!site->rule->total_connections)
        return 0;
    totals->waits_for_permit = site->slots >= totals->permits;
    if (!totals->waits_for_permit)
        return 0;
    if (now >= totals->ask_at)
        ask(site, 0, totals->permits, site->slots + PERMITS_MORE, now);
    return totals->is_asked ? ANSWER_MS : totals->ask_at > now ? totals->ask_at - now : AGAIN_MS;
}

bool site_has_too_many(const struct site *site)
{
    if (!site->rule->total_connections || !site->totals->most || site->slots <= site->totals->most)
        return false;
    unsigned staying = 0; /* some are on their way out already */
    for (const struct destination *destination = site->destinations; destination; destination = destination->of_site)
        for (const struct slot *slot = destination->slots; slot; slot = slot->next)
            staying += slot->state != SLOT_CLOSING;
    return staying > site->totals->most;
}

void site_totals_settle(struct site *site, time_ms now)
{
    struct site_totals *totals = site->totals;
    if (!site->rule->total_connections)
        return;
    if (site->slots < totals->slots_seen)
        totals->give_back_at = now + GOODBYE_MS;
    totals->slots_seen = site->slots;
    if (totals->is_asked || !totals->permits)
        return;
    bool has_work = site->first_busy != NULL;
    unsigned keep = totals->permits;
    bool may_rest = site->slots < keep && (!has_work || (totals->most && keep > totals->most));
    if (may_rest && now >= totals->give_back_at)
        keep = site->slots;
    else if (may_rest && !timer_is_set(&site->wake))
        timer_set(&site->wake, totals->give_back_at - now);
    if (keep < totals->permits || now >= totals->look_at)
        ask(site, 0, keep, has_work ? site->slots + PERMITS_MORE : keep, now);
}
