/* nodes.c - the engine among its like: which buckets are ours, and which mail of others' buckets was handed to us
 *
 * The dispatcher looks each second whether a keep (store/lease.h) has anything to do, and renews in time; what comes of
 * it changes the lanes' share (queue/lanes.h). What one node tells the others stands in nodes_news.c, what goes by
 * another one's sources in nodes_given.c. */
#include "deliver/directions.h"
#include "deliver/engine_inside.h"
#include "deliver/paused.h"

#include "base/log.h"
#include "queue/lane_pin.h"
#include <stdio.h>

enum {
    DOUBTFUL_BATCH = 500,
    RENEW_MS = LEASE_MS / 4,
    SHARES_BEGIN_MS = 2000,
};

/* ── what we serve ── */

/* What was handed to us by this name. */
static struct bucket_set handed_by_name(const struct nodes *nodes, struct slice name)
{
    const struct handed_pool *handed = map_get(&nodes->handed, name);
    return handed ? handed->buckets : (struct bucket_set){0};
}

/* Which buckets of this lane are ours to claim. */
static void lane_served(void *context, const struct lane_key *key, struct bucket_set *set)
{
    struct dispatcher *dispatcher = context;
    struct nodes *nodes = &dispatcher->nodes;
    bool is_pinned = key->source_id && store_has_others(dispatcher->engine->options.store);
    char name[LANE_PIN_NAME_ROOM];
    struct bucket_set handed = {0};
    *set = nodes->held;
    if (nodes->handed.count == 0 && nodes->given.count == 0 && !is_pinned) /* whatever its pool is */
        return;
    const char *pool = directions_lane_pool(dispatcher->directions, key);
    if (is_pinned)
        handed = handed_by_name(nodes, lane_pin_name(key->source_id, name));
    if (is_pinned && nodes_pin_leads_away(nodes, key->source_id, pool)) {
        *set = handed;
        return;
    }
    if (pool && map_get(&nodes->given, slice_str(pool)))
        *set = (struct bucket_set){0};
    if (pool) {
        struct bucket_set of_pool = handed_by_name(nodes, slice_str(pool));
        handed = bucket_set_plus(handed, &of_pool);
    }
    *set = bucket_set_plus(*set, &handed);
}

bool nodes_serve(struct dispatcher *dispatcher, const struct lane_key *key, unsigned bucket)
{
    struct bucket_set set;
    lane_served(dispatcher, key, &set);
    return bucket_set_has(&set, bucket);
}

/* ── the share changes ── */

static void pools_release(struct map *pools)
{
    size_t at = 0;
    for (struct map_entry *entry; (entry = map_walk(pools, &at));)
        free(entry->value);
    map_release(pools);
}

/* Held and handed, together: whose news concern us. */
static struct bucket_set all_served(const struct nodes *nodes)
{
    struct bucket_set all = nodes->held;
    size_t at = 0;
    for (struct map_entry *entry; (entry = map_walk(&nodes->handed, &at));)
        all = bucket_set_plus(all, &((struct handed_pool *)entry->value)->buckets);
    return all;
}

/* held, handed or given have changed: lanes forget what is not ours now, and read what is. */
void nodes_share_changed(struct dispatcher *dispatcher, bool is_more)
{
    struct nodes *nodes = &dispatcher->nodes;
    struct bucket_set before = nodes->served;
    nodes->served = all_served(nodes);
    const struct lanes_share share = {
        .served = lane_served, .elsewhere = nodes_elsewhere, .context = dispatcher, .buckets = nodes->served};
    lanes_serve(dispatcher->lanes, &share);
    struct bucket_set gone = bucket_set_less(before, &nodes->served);
    if (bucket_set_count(&gone)) { /* what came until now; and what is in memory would be refused its mark */
        nodes_tell_look(dispatcher, &gone);
        nodes_recall(dispatcher->engine, &(struct lane_key){0});
    }
    if (is_more)
        dispatcher_read_lanes(dispatcher);
}

static bool same_pools(const struct map *one, const struct map *other)
{
    size_t at = 0;
    if (one->count != other->count)
        return false;
    for (struct map_entry *entry; (entry = map_walk(one, &at));) {
        const struct handed_pool *mine = entry->value, *theirs = map_get(other, entry->key);
        if (!theirs || memcmp(&mine->buckets, &theirs->buckets, sizeof(mine->buckets)) != 0)
            return false;
    }
    return true;
}

/* What others have handed to us. */
static void read_handed(struct dispatcher *dispatcher)
{
    struct nodes *nodes = &dispatcher->nodes;
    struct map fresh = {0};
    struct fault why;
    SCOPED(rows) rows = {0};
    nodes->reads_handed = false;
    if (!store_has_others(dispatcher->engine->options.store))
        return;
    if (!db_query(dispatcher->reader, &why, &rows, "SELECT pool, bucket FROM handoff WHERE node = $1",
                  VALUES(V_INT(dispatcher->engine->options.ledger.node))))
        return log_warn("deliver", "what others have handed to us cannot be read: %s", why.text);
    while (rows_next(&rows)) {
        struct handed_pool *pool = map_get(&fresh, rows_text(&rows, 0));
        if (!pool) {
            pool = NEW(struct handed_pool);
            map_set(&fresh, rows_text(&rows, 0), pool);
        }
        bucket_set_add(&pool->buckets, (unsigned)rows_int(&rows, 1) % ID_BUCKETS);
    }
    if (!rows_end(&rows) || same_pools(&fresh, &nodes->handed)) {
        pools_release(&fresh);
        return;
    }
    pools_release(&nodes->handed);
    nodes->handed = fresh;
    nodes_share_changed(dispatcher, true);
}

void nodes_directions(struct dispatcher *dispatcher)
{
    struct nodes *nodes = &dispatcher->nodes;
    if (nodes->given.count || nodes->handed.count)
        nodes_share_changed(dispatcher, true);
}

/* ── keeping ── */

/* A write job of the dispatcher's own: keep the leases, say what the dead had on the wire, hand over, release what was
 * in doubt long enough, set right what a wrong clock wrote. */
struct upkeep {
    struct write_job job;
    struct engine *engine;
    time_ms now, now_monotonic;
    time_ms ahead; /* of the database's clock */
    struct arena arena;
    struct handoff *handoffs;
    size_t handoff_count;
    struct ledger_released *released;
    size_t released_count;
    bool sets_right, handoffs_changed;
    int64_t set_right, doubtful;
    struct kept kept;
};

static struct bucket_set to_recover(const struct leases *leases)
{
    return leases->others_ended ? leases->held : leases->gained;
}

static bool keep_run(struct upkeep *upkeep, struct db *db, struct fault *why)
{
    const struct engine_options *options = &upkeep->engine->options;
    struct leases *leases = options->ledger.leases;
    upkeep->handoffs_changed = false;
    if (!leases_keep(db, why, leases, upkeep->now_monotonic))
        return false;
    upkeep->ahead = leases->db_now ? world_wall(options->world) - leases->db_now : 0;
    struct bucket_set buckets = to_recover(leases);
    return ledger_recover(&options->ledger, db, why, &buckets, leases->is_new_life, upkeep->now,
                          (time_ms)((double)options->in_doubt_wait * options->retry.scale), &upkeep->doubtful) &&
           handoff_keep(db, why, &leases->held, upkeep->handoffs, upkeep->handoff_count, upkeep->now,
                        &upkeep->handoffs_changed);
}

static bool upkeep_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct upkeep *upkeep = (struct upkeep *)job;
    struct ledger *ledger = &upkeep->engine->options.ledger;
    arena_reset(&upkeep->arena);
    return keep_run(upkeep, db, why) &&
           (!upkeep->sets_right || ledger_set_right(ledger, db, why, upkeep->now, &upkeep->set_right)) &&
           ledger_release_doubtful(ledger, db, why, upkeep->now, DOUBTFUL_BATCH, &upkeep->arena, &upkeep->released,
                                   &upkeep->released_count);
}

/* Are there others who have the sources that all nodes have? Known before anybody else has heard of what this commit
 * gave away. Who was alone shares at once; who comes beside him, a moment after he was left buckets: by then it is
 * written what stands. */
static void shares_know(struct engine *engine, const struct leases *leases, bool is_start)
{
    time_ms now = world_monotonic(engine->options.world);
    bool has_gained = bucket_set_count(&leases->gained) != 0;
    if (is_start ? leases->live_count > 1 : engine->is_joining && has_gained) {
        engine->is_joining = is_start;
        atomic_store(&engine->shares_from, now + SHARES_BEGIN_MS);
    } else if (leases->live_count > 1 && !atomic_load(&engine->shares_from)) {
        atomic_store(&engine->shares_from, now);
    }
}

/* On the writer's thread, after the commit. */
static void kept(struct engine *engine, const struct upkeep *upkeep)
{
    const struct leases *leases = engine->options.ledger.leases;
    struct kept *item = NEW(struct kept);
    atomic_store(&engine->safe_until, leases->until_monotonic - LEASE_MARGIN_MS);
    shares_know(engine, leases, false);
    engine_clock_compared(engine, upkeep->ahead);
    item->held = leases->held;
    item->is_reborn = leases->is_new_life;
    item->others_ended = leases->others_ended;
    item->live_count = leases->live_count;
    item->handoffs_changed = upkeep->handoffs_changed;
    memcpy(item->live, leases->live, sizeof(item->live));
    mailbox_post(&engine->dispatcher.nodes.kept, &item->item);
    if (upkeep->doubtful)
        log_warn("deliver",
                 "%lld deliveries were on the wire of a node that is gone: in doubt, listed by `todoke queue list "
                 "--state in_doubt`",
                 (long long)upkeep->doubtful);
}

static void upkeep_done(struct write_job *job, const struct fault *why)
{
    struct upkeep *upkeep = (struct upkeep *)job;
    struct engine *engine = upkeep->engine;
    if (!why)
        kept(engine, upkeep);
    for (size_t i = 0; !why && i < upkeep->released_count; i++)
        dispatcher_news(engine, &upkeep->released[i].lane, upkeep->released[i].bucket, upkeep->now);
    if (!why && upkeep->sets_right) {
        log_info("deliver", "%lld deliveries were due by the wrong clock: set right", (long long)upkeep->set_right);
        atomic_store(&engine->dispatcher.sets_right, false);
        dispatcher_control(engine, CONTROL_READ_LANES);
    }
    arena_release(&upkeep->arena);
    free(upkeep->handoffs);
    free(upkeep);
    atomic_store(&engine->dispatcher.is_upkeep_out, false); /* from here on the engine may be gone */
}

static void kept_arrived(struct mailbox *mailbox, struct mail_item *batch)
{
    struct dispatcher *dispatcher = mailbox->owner;
    struct nodes *nodes = &dispatcher->nodes;
    while (batch) {
        struct kept *item = (struct kept *)batch;
        batch = batch->next;
        struct bucket_set gained = bucket_set_less(item->held, &nodes->held),
                          gone = bucket_set_less(nodes->held, &item->held);
        if (item->is_reborn)
            log_warn("deliver",
                     "this node did not renew its leases in time and was presumed dead: others have taken its "
                     "buckets, and what it had on the wire is in doubt");
        bool has_changed = bucket_set_count(&gained) || bucket_set_count(&gone) || item->is_reborn;
        bool has_company_now = nodes->live_count <= 1 && item->live_count > 1;
        nodes->live_count = item->live_count;
        memcpy(nodes->live, item->live, sizeof(nodes->live));
        nodes->held = item->held;
        if (!dispatcher->is_stopping && has_changed) {
            log_info("deliver", "%u buckets are ours, of %u nodes' 256", bucket_set_count(&nodes->held),
                     nodes->live_count);
            nodes_share_changed(dispatcher, bucket_set_count(&gained) || item->others_ended);
            if (bucket_set_count(&gone))
                nodes_tell(dispatcher, SLICE("keep"));
        } else if (!dispatcher->is_stopping && item->others_ended) {
            dispatcher_read_lanes(dispatcher); /* its last news may not have been told */
        }
        if (item->handoffs_changed)
            nodes_tell(dispatcher, SLICE("handed"));
        if (has_company_now) { /* every way tells what stands on it (totals.c) */
            dispatcher->sources_mark = 0;
            sources_refresh(dispatcher);
        }
        free(item);
    }
    dispatcher_wake(dispatcher);
}

static bool any_doubtful(struct dispatcher *dispatcher)
{
    struct fault ignored;
    int64_t one;
    bool found;
    return db_query_ints(dispatcher->reader, &ignored,
                         "SELECT 1 FROM delivery WHERE ((28 >> state) & 1) = 1 AND state = 4 AND due_ms <= $1 LIMIT 1",
                         VALUES(V_INT(world_wall(dispatcher->engine->options.world))), &one, 1, &found) &&
           found;
}

static bool wants_keep(struct dispatcher *dispatcher, time_ms now)
{
    struct nodes *nodes = &dispatcher->nodes;
    struct fault ignored;
    bool has_work = false;
    if (nodes->is_asked || now >= nodes->renew_at || atomic_load(&dispatcher->sets_right) || any_doubtful(dispatcher))
        return true;
    return store_has_others(dispatcher->engine->options.store) &&
           leases_look(dispatcher->reader, &ignored, nodes->live_count, &has_work) && has_work;
}

static void handoffs_wanted(const struct nodes *nodes, struct upkeep *upkeep)
{
    size_t at = 0, texts = 0;
    for (struct map_entry *entry; (entry = map_walk(&nodes->given, &at));)
        texts += entry->key.len;
    upkeep->handoffs = memory_zero(1, sizeof(*upkeep->handoffs) * (nodes->given.count + 1) + texts);
    char *text = (char *)(upkeep->handoffs + nodes->given.count + 1);
    at = 0;
    for (struct map_entry *entry; (entry = map_walk(&nodes->given, &at));) {
        struct handoff *handoff = &upkeep->handoffs[upkeep->handoff_count++];
        memcpy(text, entry->key.ptr, entry->key.len);
        *handoff = (struct handoff){slice_of(text, entry->key.len), (unsigned)(uintptr_t)entry->value};
        text += entry->key.len;
    }
}

void nodes_look(struct dispatcher *dispatcher)
{
    struct nodes *nodes = &dispatcher->nodes;
    time_ms now = loop_now(dispatcher->loop);
    if (nodes->reads_handed || store_has_others(dispatcher->engine->options.store))
        read_handed(dispatcher);
    if (atomic_load(&dispatcher->is_upkeep_out) || !wants_keep(dispatcher, now))
        return;
    nodes->is_asked = false;
    nodes->renew_at = now + RENEW_MS;
    struct upkeep *upkeep = NEW(struct upkeep);
    upkeep->sets_right = atomic_load(&dispatcher->sets_right);
    upkeep->job.run = upkeep_run;
    upkeep->job.done = upkeep_done;
    upkeep->job.fails_fast = true; /* the next second asks again */
    upkeep->engine = dispatcher->engine;
    upkeep->now = world_wall(dispatcher->engine->options.world);
    upkeep->now_monotonic = now;
    handoffs_wanted(nodes, upkeep);
    atomic_store(&dispatcher->is_upkeep_out, true);
    store_write(dispatcher->engine->options.store, &upkeep->job);
}

/* ── beginning and end ── */

static bool first_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct upkeep *upkeep = (struct upkeep *)job;
    return keep_run(upkeep, db, why) && paused_read(upkeep->engine, db, why, upkeep->now);
}

bool nodes_take_over(struct engine *engine, struct fault *why)
{
    struct upkeep upkeep = {
        .job = {.run = first_run, .fails_fast = true},
        .engine = engine,
        .now = world_wall(engine->options.world),
        .now_monotonic = world_monotonic(engine->options.world),
    };
    if (!store_write_wait(engine->options.store, &upkeep.job, why))
        return false;
    const struct leases *leases = engine->options.ledger.leases;
    struct nodes *nodes = &engine->dispatcher.nodes;
    atomic_store(&engine->clock_lead, upkeep.now - upkeep.now_monotonic);
    engine->limits_from = leases->life > 1 ? upkeep.now_monotonic : 0;
    atomic_store(&engine->safe_until, leases->until_monotonic - LEASE_MARGIN_MS);
    shares_know(engine, leases, true);
    engine_clock_compared(engine, upkeep.ahead);
    nodes->held = nodes->served = leases->held;
    nodes->live_count = leases->live_count;
    memcpy(nodes->live, leases->live, sizeof(nodes->live));
    if (upkeep.doubtful)
        log_warn("deliver",
                 "%lld deliveries were on the wire when the last run ended: in doubt, listed by `todoke queue list "
                 "--state in_doubt`",
                 (long long)upkeep.doubtful);
    return true;
}

static bool let_go_run(struct write_job *job, struct db *db, struct fault *why)
{
    return leases_end(db, why, ((struct upkeep *)job)->engine->options.ledger.leases);
}

void nodes_let_go(struct engine *engine)
{
    struct upkeep upkeep = {.job = {.run = let_go_run, .fails_fast = true}, .engine = engine};
    struct fault why;
    if (!store_write_wait(engine->options.store, &upkeep.job, &why))
        log_warn("deliver", "the leases could not be given back: %s", why.text);
    store_tell(engine->options.store, SLICE("keep"));
    struct bucket_set all = bucket_set_all();
    nodes_tell_look(&engine->dispatcher, &all); /* whatever we knew of and had not told */
}

void nodes_begin(struct dispatcher *dispatcher)
{
    struct nodes *nodes = &dispatcher->nodes;
    const struct lanes_share share = {
        .served = lane_served, .elsewhere = nodes_elsewhere, .context = dispatcher, .buckets = nodes->served};
    mailbox_init(&nodes->kept, dispatcher->loop, kept_arrived, dispatcher);
    lanes_serve(dispatcher->lanes, &share);
    nodes_listen(dispatcher);
}

void nodes_release(struct dispatcher *dispatcher)
{
    struct nodes *nodes = &dispatcher->nodes;
    struct mailbox *const mailboxes[] = {&nodes->told, &nodes->kept};
    for (size_t i = 0; i < COUNT_OF(mailboxes); i++) {
        for (struct mail_item *item = mailbox_take(mailboxes[i]), *next; item; item = next) {
            next = item->next;
            free(item);
        }
        mailbox_release(mailboxes[i]);
    }
    deferred_clear(&nodes->flush);
    pools_release(&nodes->handed);
    nodes_given_release(nodes);
    arena_release(&nodes->arena);
}
