/* totals.c - our part of limits that are shared: a site's over all our sources and nodes, and those of a source that
 * every node has, over all nodes
 *
 *     turns:    two blocks, the one in use and the next; the next is asked for when little of the first is left
 *     permits:  as many connections as the store has given us; more are asked for when one is to be opened, what is not
 *               needed goes back when the site rests, and every LOOK_MS who holds some hears whether others wait
 *
 * One question at a time is under way for a share. What is given back is not used from the moment of asking, so that
 * the store never counts less than there is.
 *
 * A node that is alone shares no source: its own pace is all there is (shape/pace.h). From the moment that others have
 * been there (engine->shares_from) it tells the store what stands, and takes turns; whoever gains buckets then lets
 * SHARES_BEGIN_MS go by (nodes.c), so that those who had them have told. */
#include "deliver/engine_inside.h"
#include "deliver/site.h"
#include "deliver/slot.h"

#include "base/log.h"
#include <stdio.h>

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
    struct share *share;
    struct leases *leases;
    struct total_ask ask;
    bool has_failed;
};

struct share *share_of_site(struct site *site)
{
    const struct site_rule *rule = site->rule;
    if (!rule->total_connections && !rule->total_rate.count)
        return NULL;
    struct share *share = NEW(struct share);
    *share = (struct share){.site = site,
                            .name = site->name,
                            .rate = rule->total_rate,
                            .connections = rule->total_connections,
                            .has_begun = true};
    return share;
}

struct share *share_of_egress(struct egress *egress, struct site_rate rate, unsigned connections, const char *what)
{
    struct slice site = egress->site->name;
    size_t room = site.len + strlen(what) + 40;
    struct share *share = memory_zero(1, sizeof(*share) + room);
    char *name = (char *)(share + 1);
    int len = snprintf(name, room, "%.*s !source %llu%s", SLICE_ARG(site), (unsigned long long)egress->source_id, what);
    *share = (struct share){.site = egress->site,
                            .egress = egress,
                            .name = slice_of(name, (size_t)len),
                            .rate = rate,
                            .connections = connections};
    return share;
}

static unsigned slots_of(const struct share *share)
{
    return share->egress ? share->egress->slots : share->site->slots;
}

/* ms until it may be used, as others may still be telling what they have. */
static time_ms not_yet(const struct share *share, time_ms now)
{
    time_ms from = atomic_load(&share->site->worker->engine->shares_from);
    return share->egress && from > now ? from - now : 0;
}

/* Is there anybody to share with? */
static bool is_shared(const struct share *share)
{
    return share && (!share->egress || atomic_load(&share->site->worker->engine->shares_from) != 0);
}

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
        log_warn("deliver", "a limit that is shared cannot be reserved: %s", why->text);
    mailbox_post(&asked->share->site->worker->totals, &asked->item);
}

static void ask(struct share *share, unsigned turns, unsigned keep, unsigned want, time_ms now)
{
    struct worker *worker = share->site->worker;
    if (share->is_asked || worker->is_stopping)
        return;
    struct totals_job *asked = NEW(struct totals_job);
    asked->job.run = totals_run;
    asked->job.done = totals_done;
    asked->share = share;
    asked->leases = worker->engine->options.ledger.leases;
    asked->ask = (struct total_ask){.world = worker->engine->options.world,
                                    .site = share->name,
                                    .holder = share->egress ? SLICE("") : share->site->pool,
                                    .node = worker->engine->options.ledger.node,
                                    .rate = share->rate,
                                    .want_turns = turns,
                                    .goes_on = turns && !share->has_had_turns && share->egress,
                                    .connections = share->connections,
                                    .has = keep,
                                    .want = want};
    share->has_had_turns |= turns != 0;
    share->permits = keep;
    share->is_asked = true;
    share->ask_at = now + AGAIN_MS;
    share->look_at = now + LOOK_MS;
    worker->in_memory++; /* whoever stops waits for the answer */
    store_write(worker->engine->options.store, &asked->job);
}

/* From now on by shares: what stands is told. */
static void begin(struct share *share, time_ms now)
{
    if (share->has_begun)
        return;
    share->has_begun = true;
    share->permits = slots_of(share);
    if (share->connections && share->permits)
        ask(share, 0, share->permits, share->permits, now);
}

void totals_arrived(struct mailbox *mailbox, struct mail_item *items)
{
    struct worker *worker = mailbox->owner;
    while (items) {
        struct totals_job *asked = (struct totals_job *)((char *)items - offsetof(struct totals_job, item));
        struct share *share = asked->share;
        struct site *site = share->site;
        items = items->next;
        worker->in_memory--;
        share->is_asked = false;
        if (!asked->has_failed) {
            if (asked->ask.want_turns)
                *(share->turns.count ? &share->next : &share->turns) = asked->ask.turns;
            share->permits = asked->ask.permits;
            share->most = asked->ask.most;
        }
        free(asked);
        worker_pump(worker, site);
    }
    worker_check_stop(worker);
}

/* ── turns ── */

time_ms share_turn_wait(struct share *share, time_ms now)
{
    if (!is_shared(share) || !share->rate.count)
        return 0;
    begin(share, now);
    time_ms early = not_yet(share, now);
    if (early)
        return early;
    if (share->connections && !slots_of(share) && !share->permits) /* no turn is wasted */
        return share_permit_wait(share, now);
    time_ms wait = total_turns_wait(&share->turns, now);
    if (wait < 0) {
        share->turns = share->next;
        share->next = (struct total_turns){0};
        wait = total_turns_wait(&share->turns, now);
    }
    unsigned block = total_turns_block(share->rate);
    if (!share->next.count && share->turns.count <= block / 4 && (share->turns.count || now >= share->ask_at))
        ask(share, block, share->permits, share->permits + (share->waits_for_permit ? PERMITS_MORE : 0), now);
    share->waits_for_turn = wait != 0;
    return wait < 0 ? ANSWER_MS : wait;
}

void share_turn_use(struct share *share)
{
    if (is_shared(share) && share->rate.count)
        total_turns_use(&share->turns);
}

/* ── permits ── */

time_ms share_permit_wait(struct share *share, time_ms now)
{
    if (!is_shared(share) || !share->connections)
        return 0;
    begin(share, now);
    time_ms early = not_yet(share, now);
    if (early)
        return early;
    share->waits_for_permit = slots_of(share) >= share->permits;
    if (!share->waits_for_permit)
        return 0;
    if (now >= share->ask_at)
        ask(share, 0, share->permits, slots_of(share) + PERMITS_MORE, now);
    return share->is_asked ? ANSWER_MS : share->ask_at > now ? share->ask_at - now : AGAIN_MS;
}

bool share_has_too_many(const struct share *share)
{
    if (!is_shared(share) || !share->connections || !share->most || slots_of(share) <= share->most)
        return false;
    unsigned staying = 0; /* some are on their way out already */
    for (const struct destination *destination = share->site->destinations; destination;
         destination = destination->of_site)
        for (const struct slot *slot = destination->slots; slot; slot = slot->next)
            staying += slot->state != SLOT_CLOSING && (!share->egress || slot->egress == share->egress);
    return staying > share->most;
}

void share_settle(struct share *share, time_ms now)
{
    if (!is_shared(share) || !share->connections)
        return;
    begin(share, now);
    struct site *site = share->site;
    unsigned slots = slots_of(share);
    if (slots < share->slots_seen)
        share->give_back_at = now + GOODBYE_MS;
    share->slots_seen = slots;
    if (share->is_asked || !share->permits)
        return;
    bool has_work = site->first_busy != NULL;
    unsigned keep = share->permits;
    bool may_rest = slots < keep && (!has_work || (share->most && keep > share->most));
    if (may_rest && now >= share->give_back_at)
        keep = slots;
    else if (may_rest && !timer_is_set(&site->wake))
        timer_set(&site->wake, share->give_back_at - now);
    if (keep < share->permits || now >= share->look_at)
        ask(share, 0, keep, has_work ? slots + PERMITS_MORE : keep, now);
}
