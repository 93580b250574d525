/* telling.c - what goes on now, gathered from all threads of this node and written on the board
 *
 *     nobody asks --a wish--> dispatcher: its routes --> every worker: its ways --the last one--> the writer --> idle
 *
 * At most one is under way. Each part is written by its thread alone, and read by the writer after all have told. */
#include "deliver/board.h"
#include "deliver/engine_inside.h"
#include "deliver/several.h"
#include "deliver/site.h"
#include "deliver/slot.h"

#include "base/log.h"
#include <stdatomic.h>
#include <stdlib.h>

struct telling {
    struct write_job job;
    struct engine *engine;
    struct arena arena; /* the dispatcher's part */
    struct slice *names;
    size_t name_count;
    bool wants_busy; /* "" was among the names */
    int64_t wish;
    struct board routes;
    _Atomic unsigned left;
    struct telling_part {
        struct arena arena;
        struct board_way *ways;
        size_t count;
    } parts[];
};

static void telling_free(struct telling *telling)
{
    struct engine *engine = telling->engine;
    for (unsigned i = 0; i < engine->worker_count; i++)
        arena_release(&telling->parts[i].arena);
    arena_release(&telling->arena);
    free(telling);
    atomic_store(&engine->dispatcher.is_board_out, false); /* from here on the engine may be gone */
}

/* ── written ── */

static bool telling_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct telling *telling = (struct telling *)job;
    struct engine *engine = telling->engine;
    struct arena arena = {0};
    size_t most = 0;
    struct board answer = telling->routes;
    for (unsigned i = 0; i < engine->worker_count; i++)
        most += telling->parts[i].count;
    answer.ways = ARENA_ARRAY(&arena, struct board_way, most + 1);
    for (unsigned i = 0; i < engine->worker_count; i++)
        for (size_t w = 0; w < telling->parts[i].count; w++)
            answer.ways[answer.way_count++] = telling->parts[i].ways[w];
    const struct engine_figures now = engine_figures(engine);
    const struct board_figures figures = {
        .delivered = (int64_t)now.delivered,
        .refused = (int64_t)now.refused,
        .deferred = (int64_t)now.deferred,
        .in_doubt = (int64_t)now.in_doubt,
        .open_connections = now.open_connections,
        .claimed = (int64_t)now.claimed,
    };
    bool ok = board_write(db, why, engine->options.ledger.node, world_wall(engine->options.world), telling->wish,
                          &answer, &figures);
    arena_release(&arena);
    return ok;
}

static void telling_done(struct write_job *job, const struct fault *why)
{
    if (why)
        log_warn("deliver", "what goes on now cannot be written down: %s", why->text);
    telling_free((struct telling *)job);
}

/* ── a worker's part ── */

/* A monotonic instant as a wall time; 0 stays 0, and what is over becomes 0. */
static time_ms wall_of(const struct worker *worker, time_ms at, bool is_past_kept)
{
    time_ms now = loop_now(worker->loop);
    return !at || (!is_past_kept && at <= now) ? 0 : world_wall(worker->engine->options.world) + at - now;
}

static double gate_rate(struct gate_pace pace)
{
    return pace.interval_us ? 1e6 / (double)pace.interval_us : 0;
}

static struct slice cap_word(const struct egress *egress)
{
    switch (egress->allowance.bound) {
    case ALLOWANCE_DAILY: return SLICE("daily");
    case ALLOWANCE_WARM_UP: return SLICE("warm_up");
    case ALLOWANCE_NONE: break;
    }
    return SLICE("");
}

static struct slice breaker_word(const struct pace *pace)
{
    switch (pace->breaker) {
    case BREAKER_OPEN: return SLICE("open");
    case BREAKER_PROBING: return SLICE("probing");
    case BREAKER_CLOSED: break;
    }
    return SLICE("");
}

static size_t site_in_memory(const struct site *site)
{
    size_t count = site->raw + site->composing;
    for (const struct destination *destination = site->destinations; destination; destination = destination->of_site) {
        count += destination->ready.count;
        for (const struct slot *slot = destination->slots; slot; slot = slot->next)
            count += slot->several ? several_count(slot) : (size_t)slot->under_way_count;
    }
    return count;
}

static void way_tell(struct worker *worker, const struct site *site, struct egress *egress, struct arena *arena,
                     struct board_way *way)
{
    time_ms now = loop_now(worker->loop);
    struct pace *pace = &egress->pace;
    if (site->first_busy || egress_is_shut(egress, now))
        egress_binding(egress, now);
    else if (pace->binding.limit != PACE_NOTHING) /* what shut it is over, and nothing has come since */
        pace->binding = (struct pace_binding){.since = now};
    const struct pace_binding *binding = &pace->binding;
    const struct pace_lowering *lowering = &pace->lowering;
    char ip[IP_TEXT_ROOM];
    *way = (struct board_way){
        .node = worker->engine->options.ledger.node,
        .site = arena_copy(arena, site->name),
        .label = site->rule->is_default ? SLICE("") : arena_copy(arena, site->rule->label),
        .rule = arena_copy(arena, site->rule->name),
        .pool = arena_copy(arena, site->pool),
        .source = egress->source_id ? arena_copy(arena, slice_str(ip_text(&egress->from, ip))) : SLICE(""),
        .binding = pace_limit_word(binding->limit),
        .reaction = binding->reaction ? arena_copy(arena, binding->reaction->id) : SLICE(""),
        .file = binding->at.file ? arena_copy(arena, slice_str(binding->at.file)) : SLICE(""),
        .line = binding->at.line,
        .lowered_by = lowering->count ? pace_limit_word(lowering->by) : SLICE(""),
        .lowered_words = arena_copy(arena, buf_slice(&egress->lowered_by)),
        .lowered_at = lowering->count ? wall_of(worker, lowering->at, true) : 0,
        .lowered_times = (int64_t)lowering->count,
        .lowered_from = lowering->from,
        .lowered_to = lowering->to,
        .breaker = breaker_word(pace),
        .breaker_until = pace->breaker == BREAKER_OPEN ? wall_of(worker, pace->breaker_until, false) : 0,
        .cap_by = cap_word(egress),
        .cap = egress->allowance.bound ? egress->allowance.cap : 0,
        .cap_left = egress->allowance.have,
        .is_used_up = egress->allowance.is_used_up,
        .source_id = (int64_t)egress->source_id,
        .is_usable = egress->is_usable,
        .source_bad_until = wall_of(worker, egress->bad_until, false),
        .connections = egress->slots,
        .talking = egress->standing,
        .connections_allowed = pace_connections(pace, now),
        .connections_rule = site->rule->connections,
        .in_memory = (int64_t)site_in_memory(site),
        .sent = (int64_t)egress->sent,
        .binding_since = binding->limit == PACE_NOTHING ? 0 : wall_of(worker, binding->since, true),
        .binding_until = wall_of(worker, binding->until, false),
        .binding_value = binding->value,
        .suspended_until = wall_of(worker, pace->suspended_until, false),
        .ordered_until = wall_of(worker, pace->ordered_until, false),
        .guarded_until = wall_of(worker, pace->guarded_until, false),
        .slowed_until = wall_of(worker, pace->slowed_until, false),
        .narrowed_until = wall_of(worker, pace->narrowed_until, false),
        .rate_now = pace_taken(pace, now),
        .rate_allowed = pace_rate(pace, now),
        .rate_rule = gate_rate(pace->rule_rate),
        .rate_own = pace->rate,
        .rate_limit = pace->rate_limit,
    };
}

static bool is_asked(const struct telling *telling, const struct site *site)
{
    for (size_t i = 0; i < telling->name_count; i++)
        if (slice_equal_caseless(telling->names[i], site->name))
            return true;
    return false;
}

/* 0: it was named; 1: it works, or would; 2: it is shut and nothing waits in memory; 3: nobody asks. */
static int turn_of(const struct telling *telling, const struct site *site, const struct egress *egress)
{
    if (is_asked(telling, site))
        return 0;
    if (!telling->wants_busy)
        return 3;
    return egress->slots || site->first_busy || site->composing ? 1
           : egress->pace.binding.limit != PACE_NOTHING         ? 2
                                                                : 3;
}

void telling_worker(struct worker *worker, struct telling *telling)
{
    struct telling_part *part = &telling->parts[worker->index];
    part->ways = ARENA_ARRAY(&part->arena, struct board_way, BOARD_WAYS_MOST);
    for (struct site *site = worker->sites; site; site = site->next_of_worker)
        if (!site->egresses && is_asked(telling, site))
            egresses_update(worker, site);
    for (int turn = 0; turn < 3; turn++)
        for (struct site *site = worker->sites; site; site = site->next_of_worker)
            for (struct egress *egress = site->egresses; egress && part->count < BOARD_WAYS_MOST; egress = egress->next)
                if (turn_of(telling, site, egress) == turn)
                    way_tell(worker, site, egress, &part->arena, &part->ways[part->count++]);
    if (atomic_fetch_sub(&telling->left, 1) == 1)
        store_write(worker->engine->options.store, &telling->job);
}

/* ── the dispatcher's ── */

static void names_keep(struct telling *telling, struct slice *names, size_t count, size_t room)
{
    for (size_t i = 0; i < count; i++) {
        if (names[i].len)
            telling->names[telling->name_count++] = names[i];
        else
            telling->wants_busy = true;
    }
    struct board *board = &telling->routes;
    board->routes = ARENA_ARRAY(&telling->arena, struct board_route, BOARD_ROUTES_MOST);
    for (size_t i = 0; i < count; i++) {
        struct board_route *found;
        size_t found_count;
        if (!names[i].len)
            continue;
        routing_tell(&telling->engine->dispatcher, names[i], &telling->arena, &found, &found_count);
        if (found_count && found[0].site.len) /* a domain's site, with all its domains */
            routing_tell(&telling->engine->dispatcher, found[0].site, &telling->arena, &found, &found_count);
        for (size_t f = 0; f < found_count; f++) {
            if (board->route_count == BOARD_ROUTES_MOST) {
                board->routes_left_out++;
                continue;
            }
            board->routes[board->route_count++] = found[f];
            if (found[f].site.len && telling->name_count < room) /* the workers know sites, not domains */
                telling->names[telling->name_count++] = found[f].site;
        }
    }
}

void telling_look(struct dispatcher *dispatcher)
{
    struct engine *engine = dispatcher->engine;
    struct arena arena = {0};
    struct slice *names;
    size_t count;
    int64_t wish;
    struct fault ignored;
    if (dispatcher->is_stopping || atomic_load(&dispatcher->is_board_out) ||
        !board_wishes(dispatcher->reader, &ignored, world_wall(engine->options.world), &arena, &names, &count, &wish) ||
        !count) {
        arena_release(&arena);
        return;
    }
    struct telling *telling = memory_zero(1, sizeof(*telling) + engine->worker_count * sizeof(telling->parts[0]));
    telling->job.run = telling_run;
    telling->job.done = telling_done;
    telling->job.fails_fast = true; /* the next second asks again */
    telling->engine = engine;
    telling->arena = arena;
    telling->wish = wish;
    size_t room = count + BOARD_ROUTES_MOST;
    telling->names = ARENA_ARRAY(&telling->arena, struct slice, room);
    names_keep(telling, names, count, room);
    atomic_store(&telling->left, engine->worker_count);
    atomic_store(&dispatcher->is_board_out, true);
    for (unsigned i = 0; i < engine->worker_count; i++)
        worker_control_tell(&engine->workers[i], telling);
}
