/* sources.c - our addresses: read by the dispatcher, known to each worker, and what a way may still send today
 *
 * The dispatcher reads the table each second; when it has changed every worker gets a copy, and each of its sites has
 * one egress for each source of its pool. An egress goes with its site (forget.c) and never before: a source that
 * drains, is in trouble or was removed is not usable, opens nothing, and its connections end behind the mail under way.
 *
 * Daily limits (shape/allowance.h) are asked for in blocks through the store's writer, for those that wait and no more;
 * what is left when nobody waits goes back, and so does what a worker holds when it ends. So a day ends with nothing
 * unsent of its cap while mail waits for it, but for what was lost in a crash. */
#include "deliver/engine_inside.h"
#include "deliver/ordered.h"
#include "deliver/site.h"
#include "deliver/slot.h"

#include "base/log.h"
#include "base/utf8.h"

enum {
    BLOCK_FIRST = 1, /* the answer tells the cap, and the next ones are larger */
    BLOCK_MOST = 100,
    BLOCKS_A_DAY = 50,
    ASK_AGAIN_MS = 15000, /* a cap that is used up, or a source without one: has somebody changed it? */
    GIVE_BACK_MS = 2000,  /* nobody has waited for what is reserved */
    BAD_MS = 30000,       /* an address that cannot be bound */
    SAY_AGAIN_MS = 300000,
};

/* ── the dispatcher's half ── */

static struct source_set *source_set_of(struct dispatcher *dispatcher, const struct source *list, size_t count)
{
    struct source_set *set = NEW(struct source_set);
    unsigned node = dispatcher->engine->options.ledger.node;
    set->list = ARENA_ARRAY(&set->arena, struct set_source, count + 1);
    for (size_t i = 0; i < count; i++) {
        bool is_ours = !list[i].node || list[i].node == node;
        set->list[set->count++] = (struct set_source){
            .id = list[i].id,
            .ip = list[i].ip,
            .ehlo_name = arena_copy(&set->arena, list[i].ehlo_name),
            .pool = arena_copy(&set->arena, list[i].pool),
            .weight = list[i].weight ? list[i].weight : 1,
            .is_ours = is_ours,
            .is_usable = source_is_usable(&list[i]) && list[i].ip.family,
            .is_everywhere = list[i].node == 0,
        };
    }
    return set;
}

/* What workers must hear of when it changes. */
static uint64_t sources_mark(const struct source *list, size_t count)
{
    uint64_t mark = count;
    for (size_t i = 0; i < count; i++) {
        mark = hash_u64(list[i].id, mark);
        mark = hash_bytes(list[i].ehlo_name, mark);
        mark = hash_bytes(list[i].pool, mark);
        mark = hash_u64((uint64_t)list[i].weight << 32 | list[i].node, mark);
        mark = hash_u64(source_is_usable(&list[i]), mark);
    }
    return mark;
}

void sources_refresh(struct dispatcher *dispatcher)
{
    struct arena arena = {0};
    struct source *list;
    size_t count;
    struct fault why;
    if (dispatcher->is_stopping)
        return;
    if (!source_list(dispatcher->reader, &why, &arena, &list, &count)) {
        log_warn("deliver", "the sources cannot be read: %s", why.text);
        arena_release(&arena);
        return;
    }
    uint64_t mark = sources_mark(list, count);
    if (mark != dispatcher->sources_mark) {
        dispatcher->sources_mark = mark;
        for (unsigned i = 0; i < dispatcher->engine->worker_count; i++)
            worker_control_sources(&dispatcher->engine->workers[i], source_set_of(dispatcher, list, count));
    }
    nodes_sources(dispatcher, list, count);
    health_check(dispatcher, list, count);
    arena_release(&arena);
}

/* ── the worker's half ── */

void source_set_free(struct source_set *set)
{
    if (set)
        arena_release(&set->arena);
    free(set);
}

static struct egress *egress_get(struct worker *worker, struct site *site, uint64_t source_id)
{
    for (struct egress *egress = site->egresses; egress; egress = egress->next)
        if (egress->source_id == source_id)
            return egress;
    struct egress *egress = NEW(struct egress);
    egress->site = site;
    egress->source_id = source_id;
    egress->weight = 1;
    pace_init(&egress->pace, site->rule, worker->engine->options.retry.scale);
    if (worker->engine->limits_from)
        pace_goes_on(&egress->pace, worker->engine->limits_from);
    ordered_begin(worker, egress, loop_now(worker->loop));
    egress->next = site->egresses;
    site->egresses = egress;
    atomic_fetch_add_explicit(&worker->engine->ways, 1, memory_order_relaxed);
    return egress;
}

/* Limits of an address that every node has are shared among them. */
static void share_begin(struct egress *egress, bool is_everywhere)
{
    const struct site_rule *rule = egress->site->rule;
    if (!is_everywhere || egress->share)
        return;
    egress->share = share_of_egress(egress, rule->rate, rule->connections, "");
    if (rule->opening.count)
        egress->opening = share_of_egress(egress, rule->opening, 0, " opening");
}

void egresses_update(struct worker *worker, struct site *site)
{
    if (!site->pool.len) { /* the system chooses the address */
        egress_get(worker, site, 0)->is_usable = true;
        return;
    }
    for (struct egress *egress = site->egresses; egress; egress = egress->next)
        egress->is_usable = false;
    const struct source_set *set = worker->sources;
    for (size_t i = 0; set && i < set->count; i++) {
        const struct set_source *source = &set->list[i];
        if (!source->is_ours || !slice_equal(source->pool, site->pool))
            continue;
        struct egress *egress = egress_get(worker, site, source->id);
        egress->from = source->ip;
        egress->weight = source->weight;
        egress->is_usable = source->is_usable;
        share_begin(egress, source->is_everywhere);
        if (!slice_equal(egress->ehlo_name, source->ehlo_name)) /* conversations look at the old one: it stays */
            egress->ehlo_name = map_set(&worker->names, source->ehlo_name, worker);
    }
}

void sources_arrived(struct worker *worker, struct source_set *set)
{
    source_set_free(worker->sources);
    worker->sources = set;
    for (struct site *site = worker->sites; site; site = site->next_of_worker) {
        if (!site->pool.len || (!site->egresses && !atomic_load_explicit(&site->has_no_way, memory_order_relaxed)))
            continue;
        egresses_update(worker, site);
        for (struct destination *destination = site->destinations; destination; destination = destination->of_site) {
            for (struct slot *slot = destination->slots; slot; slot = slot->next)
                if (!slot->egress->is_usable)
                    slot_leave_if_idle(slot);
        }
        worker_pump(worker, site);
    }
}

void egress_lowered(struct egress *egress, const struct reply *reply, enum stage stage, struct slice remote)
{
    enum { WORDS_MOST = 400, LOWERED_MOST = 1000 };
    if (egress->lowered == egress->pace.lowering.count)
        return;
    egress->lowered = egress->pace.lowering.count;
    if (!egress->lowered_by.limit)
        buf_init(&egress->lowered_by, LOWERED_MOST);
    struct buf *words = &egress->lowered_by;
    buf_reset(words);
    buf_printf(words, "%.*s: ", SLICE_ARG(stage_word(stage)));
    if (reply->code)
        buf_printf(words, "%d ", reply->code);
    if (reply->status[0])
        buf_printf(words, "%u.%u.%u ", reply->status[0], reply->status[1], reply->status[2]);
    buf_append(words, utf8_head(reply->text, WORDS_MOST));
    if (remote.len)
        buf_printf(words, " (%.*s)", SLICE_ARG(slice_head(remote, 300)));
}

void egress_is_bad(struct egress *egress, const char *why, time_ms now)
{
    double scale = egress->site->worker->engine->options.retry.scale;
    char ip[IP_TEXT_ROOM];
    if (!egress->bad_said_at || now >= egress->bad_said_at + SAY_AGAIN_MS) {
        egress->bad_said_at = now;
        log_warn("deliver", "source %s cannot be used now: %s", ip_text(&egress->from, ip), why);
    }
    egress->bad_until = now + (time_ms)(BAD_MS * scale) + 1;
}

/* ── daily limits ── */

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
            allowance->have =
                allowance->day == asked->ask.day ? allowance->have + asked->ask.granted : asked->ask.granted;
            allowance->day = asked->ask.day;
            allowance->bound = asked->ask.bound;
            allowance->cap = asked->ask.cap;
            allowance->has_no_more = allowance->bound != ALLOWANCE_NONE && asked->ask.want && !asked->ask.granted;
            allowance->is_used_up = allowance->has_no_more && !allowance->have;
        }
        allowance->ask_at = now + ASK_AGAIN_MS;
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

/* 0: the next mail may count; otherwise ms to wait. */
static time_ms allowance_wait(struct egress *egress, time_ms now)
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

time_ms egress_may_send(struct egress *egress, time_ms now)
{
    if (!egress->is_usable)
        return EGRESS_NOT_AT_ALL;
    if (now < egress->bad_until)
        return egress->bad_until - now;
    time_ms wait = pace_may_send(&egress->pace, now);
    if (!wait)
        wait = allowance_wait(egress, now);
    if (!wait)
        wait = share_turn_wait(egress->share, now);
    return wait ? wait : share_turn_wait(egress->site->totals, now);
}

time_ms egress_may_open(struct egress *egress, time_ms now)
{
    time_ms wait = egress_may_send(egress, now);
    if (!wait)
        wait = pace_may_open(&egress->pace, egress->slots, now);
    if (!wait)
        wait = share_permit_wait(egress->share, now);
    if (!wait)
        wait = share_turn_wait(egress->opening, now);
    return wait ? wait : share_permit_wait(egress->site->totals, now);
}

time_ms egress_may_open_instead(struct egress *egress, time_ms now)
{
    time_ms wait = pace_may_open_instead(&egress->pace, now);
    return wait ? wait : share_turn_wait(egress->opening, now);
}

void egress_opened(struct egress *egress, time_ms now)
{
    pace_opened(&egress->pace, now);
    share_turn_use(egress->opening);
}

bool egress_has_too_many(struct egress *egress, time_ms now)
{
    return egress->slots > pace_connections(&egress->pace, now) || share_has_too_many(egress->share) ||
           share_has_too_many(egress->site->totals);
}

void egress_sent(struct egress *egress, time_ms now)
{
    pace_sent(&egress->pace, now);
    egress->sent++;
    share_turn_use(egress->share);
    share_turn_use(egress->site->totals);
    if (egress->allowance.have && --egress->allowance.have == 0)
        egress->allowance.is_used_up = egress->allowance.has_no_more;
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

/* What the receiver made us do is worth a line. */
static void say_binding(const struct egress *egress, const struct pace_binding *binding, time_ms now)
{
    struct slice site = egress->site->name, word = pace_limit_word(binding->limit);
    long long seconds = binding->until > now ? (long long)(binding->until - now) / 1000 : 0;
    char ip[IP_TEXT_ROOM];
    const char *source = egress->source_id ? ip_text(&egress->from, ip) : "any";
    if (binding->reaction)
        log_info("deliver", "a reaction to its words site=%.*s source=%s limit=%.*s reaction=%.*s for=%llds rule=%s:%u",
                 SLICE_ARG(site), source, SLICE_ARG(word), SLICE_ARG(binding->reaction->id), seconds, binding->at.file,
                 binding->at.line);
    else if (binding->limit == PACE_GUARD)
        log_warn("deliver", "too many unknown users, left alone site=%.*s source=%s limit=%.*s for=%llds rule=%s:%u",
                 SLICE_ARG(site), source, SLICE_ARG(word), seconds, binding->at.file, binding->at.line);
    else if (binding->limit == PACE_WARM_UP || binding->limit == PACE_DAILY)
        log_info("deliver", "what may go today is used up site=%.*s source=%s limit=%.*s cap=%.0f for=%llds",
                 SLICE_ARG(site), source, SLICE_ARG(word), binding->value, seconds);
}

static bool is_day_used_up(const struct egress *egress)
{
    const struct world *world = egress->site->worker->engine->options.world;
    return egress->allowance.is_used_up && egress->allowance.day == allowance_day(world_wall(world));
}

bool egress_is_shut(const struct egress *egress, time_ms now)
{
    return !egress->is_usable || now < egress->bad_until || is_day_used_up(egress) || pace_reopens(&egress->pace, now);
}

/* The day ends at midnight, UTC. */
static time_ms day_ends(const struct egress *egress, time_ms now)
{
    time_ms wall = world_wall(egress->site->worker->engine->options.world);
    return now + (allowance_day(wall) + 1) * DAYS_MS(1) - wall;
}

const struct pace_binding *egress_binding(struct egress *egress, time_ms now)
{
    struct pace_binding before = egress->pace.binding, fresh = *pace_binding(&egress->pace, egress->slots, now);
    const struct egress_allowance *allowance = &egress->allowance;
    const struct site_rule *rule = egress->site->rule;
    if (!egress->is_usable || now < egress->bad_until)
        fresh = (struct pace_binding){.limit = PACE_NO_SOURCE, .until = egress->is_usable ? egress->bad_until : 0};
    else if (is_day_used_up(egress) && allowance->bound == ALLOWANCE_WARM_UP)
        fresh = (struct pace_binding){
            .limit = PACE_WARM_UP, .value = (double)allowance->cap, .until = day_ends(egress, now)};
    else if (is_day_used_up(egress))
        fresh = (struct pace_binding){.limit = PACE_DAILY,
                                      .value = (double)allowance->cap,
                                      .until = day_ends(egress, now),
                                      .at = rule->at[SITE_LIMIT_DAILY]};
    else if (fresh.limit == PACE_NOTHING && allowance->is_asked && !allowance->have && allowance->bound)
        fresh = (struct pace_binding){.limit = PACE_RESERVING, .value = (double)allowance->cap};
    else if (fresh.limit == PACE_NOTHING && egress->site->totals && egress->site->totals->waits_for_turn)
        fresh = (struct pace_binding){.limit = PACE_TOTAL_RATE,
                                      .value = rule->total_rate.count * 1000.0 / (double)rule->total_rate.per,
                                      .at = rule->at[SITE_LIMIT_TOTAL_RATE]};
    else if (fresh.limit == PACE_NOTHING && egress->site->totals && egress->site->totals->waits_for_permit)
        fresh = (struct pace_binding){.limit = PACE_TOTAL_CONNECTIONS,
                                      .value = rule->total_connections,
                                      .at = rule->at[SITE_LIMIT_TOTAL_CONNECTIONS]};
    else if (fresh.limit == PACE_NOTHING && egress->share && egress->share->waits_for_turn)
        fresh = (struct pace_binding){.limit = PACE_RULE_RATE,
                                      .value = rule->rate.count * 1000.0 / (double)rule->rate.per,
                                      .at = rule->at[SITE_LIMIT_RATE]};
    else if (fresh.limit == PACE_NOTHING && egress->share && egress->share->waits_for_permit)
        fresh = (struct pace_binding){
            .limit = PACE_RULE_CONNECTIONS, .value = rule->connections, .at = rule->at[SITE_LIMIT_CONNECTIONS]};
    if (fresh.limit != before.limit || fresh.reaction != before.reaction)
        say_binding(egress, &fresh, now);
    fresh.since = fresh.limit == before.limit && fresh.reaction == before.reaction ? before.since : now;
    egress->pace.binding = fresh;
    return &egress->pace.binding;
}

/* Until when it must stay, with all that it has learnt; 0: another one in its place would be the same. */
static time_ms egress_kept_until(const struct egress *egress, time_ms now)
{
    enum { LOOK_MS = 60000 };
    const struct egress_allowance *allowance = &egress->allowance;
    const struct share *const shares[] = {egress->share, egress->opening};
    time_ms until = pace_kept_until(&egress->pace, true, now);
    until = egress->bad_until > until ? egress->bad_until : until;
    until = allowance->ask_at > until ? allowance->ask_at : until; /* then the store is asked anyway */
    bool is_open = allowance->is_asked || allowance->bound || allowance->have;
    for (size_t i = 0; i < COUNT_OF(shares) && !is_open; i++)
        is_open = shares[i] && (shares[i]->is_asked || shares[i]->permits);
    return is_open ? now + LOOK_MS : until > now ? until : 0;
}

time_ms egresses_shed(struct site *site, time_ms now)
{
    time_ms until = 0;
    if (atomic_load_explicit(&site->has_no_way, memory_order_relaxed))
        return 0; /* they say when there is one again */
    for (const struct egress *egress = site->egresses; egress; egress = egress->next) {
        time_ms kept = egress_kept_until(egress, now);
        until = kept > until ? kept : until;
    }
    if (!until)
        site_release_egresses(site);
    return until;
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
