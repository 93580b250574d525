/* egress_day.c - what a way may still send today: daily limits (shape/allowance.h), reserved in the store ahead
 *
 *     nothing known of today --asked--> bound or free --mail waits, little is left--> a block more is asked for
 *                                         | the store has no more, and ours is used: used up, until midnight UTC
 *                                         '-- nobody waits for GIVE_BACK_MS, or the worker ends --> the rest goes back
 *
 * Asked for is what those need that wait, and no more. So a day ends with nothing unsent of its cap while mail waits
 * for it, but for what was lost in a crash. One question at a time is under way for an egress. */
#include "deliver/destination.h"
#include "deliver/egress.h"
#include "deliver/engine_inside.h"
#include "deliver/site.h"

#include "base/log.h"

enum {
    BLOCK_FIRST = 1, /* the answer tells the cap, and the next ones are larger */
    BLOCK_MOST = 100,
    BLOCKS_A_DAY = 50,
    ASK_AGAIN_MS = 15000, /* a cap that is used up, or a source without one: has somebody changed it? */
    GIVE_BACK_MS = 2000,  /* nobody has waited for what is reserved */
};

struct allowance_job {
    struct write_job job;
    struct mail_item item;
    struct egress *egress;
    struct worker *worker;
    struct allowance_ask ask;
    bool has_failed;
};

static bool allowance_run(struct write_job *job, struct db *db, struct fault *why)
{
    return allowance_reserve(db, why, &((struct allowance_job *)job)->ask);
}

static void allowance_done(struct write_job *job, const struct fault *why)
{
    struct allowance_job *asked = (struct allowance_job *)job;
    asked->has_failed = why != NULL;
    if (why)
        log_warn("deliver", "a daily limit cannot be reserved: %s", why->text);
    mailbox_post(&asked->worker->allowances, &asked->item);
}

void egress_day_anew(struct egress *egress, time_ms now)
{
    struct egress_allowance *allowance = &egress->allowance;
    allowance->is_stale = allowance->is_asked; /* the answer may be of before */
    allowance->ask_at = now;
    allowance->has_no_more = allowance->is_used_up = false;
    if (allowance->bound == ALLOWANCE_NONE && !allowance->is_asked)
        allowance->day = 0;
}

static void allowance_ask_for(struct egress *egress, unsigned want, time_ms now)
{
    struct worker *worker = egress->site->worker;
    struct allowance_job *asked = NEW(struct allowance_job);
    struct egress_allowance *allowance = &egress->allowance;
    asked->job.run = allowance_run;
    asked->job.done = allowance_done;
    asked->egress = egress;
    asked->worker = worker;
    asked->ask = (struct allowance_ask){
        .source_id = egress->source_id,
        .site = egress->site->name,
        .daily = egress->site->rule->daily,
        .want = want,
        .unused = want ? 0 : allowance->have,
        .unused_day = allowance->day,
        .unused_of = allowance->of,
        .delivered = allowance->delivered,
        .deferred = allowance->deferred,
        .now = world_wall(worker->engine->options.world),
    };
    if (!want)
        allowance->have = 0;
    allowance->delivered = allowance->deferred = 0;
    allowance->is_asked = true;
    allowance->ask_at = now + ASK_AGAIN_MS;
    worker->in_memory++; /* whoever stops waits for the answer */
    store_write(worker->engine->options.store, &asked->job);
}

void allowances_arrived(struct mailbox *mailbox, struct mail_item *items)
{
    struct worker *worker = mailbox->owner;
    while (items) {
        struct allowance_job *asked = (struct allowance_job *)((char *)items - offsetof(struct allowance_job, item));
        struct egress *egress = asked->egress;
        struct egress_allowance *allowance = &egress->allowance;
        time_ms now = loop_now(worker->loop);
        items = items->next;
        worker->in_memory--;
        allowance->is_asked = false;
        if (!asked->has_failed) {
            if (allowance->day != asked->ask.day)
                allowance->have = 0;
            if (asked->ask.granted)
                allowance->of = allowance->have ? allowance->of & asked->ask.of : asked->ask.of;
            allowance->have += asked->ask.granted;
            allowance->day = asked->ask.day;
            allowance->bound = asked->ask.bound;
            allowance->cap = asked->ask.cap;
            allowance->has_no_more = allowance->bound != ALLOWANCE_NONE && asked->ask.want && !asked->ask.granted;
            allowance->is_used_up = allowance->has_no_more && !allowance->have;
        }
        allowance->ask_at = now + ASK_AGAIN_MS;
        if (allowance->is_stale)
            egress_day_anew(egress, now);
        free(asked);
        if (!worker->is_stopping)
            worker_pump(worker, egress->site);
    }
    worker_check_stop(worker);
}

static unsigned block_of(const struct egress_allowance *allowance)
{
    int64_t block = allowance->cap ? allowance->cap / BLOCKS_A_DAY : BLOCK_FIRST;
    return block < 1 ? 1 : block > BLOCK_MOST ? BLOCK_MOST : (unsigned)block;
}

/* How many of its site wait in memory. */
static size_t waiting(const struct site *site)
{
    size_t count = site->raw + site->composing;
    for (const struct destination *destination = site->first_busy; destination; destination = destination->next_busy)
        count += destination->ready.count;
    return count;
}

/* What to ask the store for now; 0: nothing. */
static unsigned allowance_want(const struct egress *egress, bool is_known, time_ms now)
{
    const struct egress_allowance *allowance = &egress->allowance;
    unsigned block = block_of(allowance);
    bool is_bound = is_known && allowance->bound != ALLOWANCE_NONE && !allowance->has_no_more;
    if (!is_bound && is_known && now < allowance->ask_at) /* free, or used up: somebody may change that */
        return 0;
    if (is_bound && allowance->have > block / 4)
        return 0;
    size_t demand = waiting(egress->site);
    if (demand <= allowance->have)
        return is_bound ? 0 : 1; /* one, for the question alone */
    return demand - allowance->have < block ? (unsigned)(demand - allowance->have) : block;
}

time_ms egress_day_wait(struct egress *egress, time_ms now)
{
    struct egress_allowance *allowance = &egress->allowance;
    struct worker *worker = egress->site->worker;
    if (!egress->source_id && !egress->site->rule->daily)
        return 0;
    time_ms wall = world_wall(worker->engine->options.world);
    int64_t today = allowance_day(wall);
    if (allowance->day != today && !allowance->is_asked) {
        allowance->have = 0;
        allowance->has_no_more = allowance->is_used_up = false;
        allowance->bound = ALLOWANCE_NONE;
        allowance->day = 0; /* nothing is known of today yet */
    }
    bool is_known = allowance->day == today;
    bool is_free = is_known && allowance->bound == ALLOWANCE_NONE;
    unsigned want = allowance->is_asked || worker->is_stopping ? 0 : allowance_want(egress, is_known, now);
    if (want)
        allowance_ask_for(egress, want, now);
    if (is_free || (is_known && allowance->have))
        return 0;
    time_ms tomorrow = (today + 1) * DAYS_MS(1) - wall + 1;
    return tomorrow < ASK_AGAIN_MS ? tomorrow : ASK_AGAIN_MS;
}

time_ms egress_settle(struct egress *egress, time_ms now)
{
    struct egress_allowance *allowance = &egress->allowance;
    if (!allowance->have || allowance->is_asked || egress->site->first_busy || egress->site->composing) {
        allowance->give_back_at = 0;
        return 0;
    }
    if (!allowance->give_back_at)
        allowance->give_back_at = now + GIVE_BACK_MS;
    if (now < allowance->give_back_at)
        return allowance->give_back_at - now;
    allowance->give_back_at = 0;
    egress_returns(egress);
    return 0;
}

bool egress_day_is_used_up(const struct egress *egress)
{
    const struct world *world = egress->site->worker->engine->options.world;
    return egress->allowance.is_used_up && egress->allowance.day == allowance_day(world_wall(world));
}

time_ms egress_day_ends(const struct egress *egress, time_ms now)
{
    time_ms wall = world_wall(egress->site->worker->engine->options.world);
    return now + (allowance_day(wall) + 1) * DAYS_MS(1) - wall;
}

bool egress_returns(struct egress *egress)
{
    const struct egress_allowance *allowance = &egress->allowance;
    if (!allowance->have && !(allowance->bound && (allowance->delivered || allowance->deferred)))
        return false;
    allowance_ask_for(egress, 0, loop_now(egress->site->worker->loop));
    return true;
}

bool allowances_return(struct worker *worker)
{
    bool any = false;
    for (struct site *site = worker->sites; site; site = site->next_of_worker)
        for (struct egress *egress = site->egresses; egress; egress = egress->next)
            any |= egress_returns(egress);
    return any;
}
