#include "deliver/engine_inside.h"
#include "deliver/paused.h"

#include "base/log.h"
#include <unistd.h>

enum { PAUSE_MS = 5 };

static unsigned cores(void)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count > 0 ? (unsigned)count : 1;
}

bool engine_start(const struct engine_options *options, struct engine **engine_out, struct fault *why)
{
    struct engine *engine = NEW(struct engine);
    engine->options = *options;
    engine->worker_count = options->workers ? options->workers : cores();
    engine->composer_count = options->composers ? options->composers : cores();
    if (!engine->options.connections_most)
        engine->options.connections_most = 2000;
    if (engine->options.retry.scale <= 0)
        engine->options.retry.scale = 1.0;
    if (!engine->options.sites) {
        if (!sites_open(&(struct sites_options){.is_loopback = true}, &engine->own_sites, why)) {
            free(engine);
            return false;
        }
        engine->options.sites = engine->own_sites;
    }
    size_t rules;
    sites_rules(engine->options.sites, &rules);
    engine->site_counts = NEW_ARRAY(struct site_count, rules + 1);
    engine->route_options = (struct route_options){
        .uses_ipv6 = options->uses_ipv6,
        .uses_dane = options->uses_dane,
    };
    engine->relay_options = (struct route_options){.uses_ipv6 = options->uses_ipv6, .is_host = true};
    engine->busy_workers = engine->worker_count;
    engine->workers = NEW_ARRAY(struct worker, engine->worker_count);
    if (!nodes_take_over(engine, why)) {
        paused_free(engine->paused);
        free(engine->workers);
        sites_free(engine->own_sites);
        free(engine->site_counts);
        free(engine);
        return false;
    }
    for (unsigned i = 0; i < engine->worker_count; i++)
        worker_start(engine, i);
    pool_start(engine);
    if (!dispatcher_start(engine, why)) {
        engine->dispatcher.loop = NULL;
        for (unsigned i = 0; i < engine->worker_count; i++)
            worker_join(&engine->workers[i]);
        pool_stop(engine);
        paused_free(engine->paused);
        free(engine->workers);
        sites_free(engine->own_sites);
        free(engine->site_counts);
        free(engine);
        return false;
    }
    *engine_out = engine;
    return true;
}

void engine_stop(struct engine *engine, time_ms drain_ms)
{
    engine->drain_ms = drain_ms;
    dispatcher_stop_claiming(engine);
    while (!atomic_load(&engine->claims_nothing))
        world_pause(engine->options.world, PAUSE_MS);
    for (unsigned i = 0; i < engine->worker_count; i++)
        worker_control_stop(&engine->workers[i]);
    while (atomic_load(&engine->busy_workers) || atomic_load(&engine->dispatcher.is_upkeep_out) ||
           atomic_load(&engine->dispatcher.is_board_out) || atomic_load(&engine->dispatcher.is_ordered_out))
        world_pause(engine->options.world, PAUSE_MS);
    nodes_let_go(engine); /* behind it the writer has done with our jobs, the waking of our loops too */
    pool_stop(engine);
    for (unsigned i = 0; i < engine->worker_count; i++)
        worker_join(&engine->workers[i]);
    dispatcher_stop(engine);
    paused_free(engine->paused);
    free(engine->workers);
    sites_free(engine->own_sites);
    free(engine->site_counts);
    free(engine);
}

struct engine_figures engine_figures(const struct engine *engine)
{
    return (struct engine_figures){
        .delivered = atomic_load(&engine->delivered),
        .refused = atomic_load(&engine->refused),
        .deferred = atomic_load(&engine->deferred),
        .in_doubt = atomic_load(&engine->in_doubt),
        .connections = atomic_load(&engine->connections),
        .open_connections = atomic_load(&engine->open_connections),
        .claimed = atomic_load(&engine->claimed),
        .routes = atomic_load(&engine->known_routes),
        .destinations = atomic_load(&engine->known_destinations),
        .sites = atomic_load(&engine->known_sites),
        .ways = atomic_load(&engine->ways),
        .suspended_by_words =
            (size_t)atomic_load(&engine->paused_ways[PAUSE_REACTION]) + paused_unused(engine, PACE_REACTION_SUSPEND),
        .suspended_by_guard =
            (size_t)atomic_load(&engine->paused_ways[PAUSE_GUARD]) + paused_unused(engine, PACE_GUARD),
        .suspended_by_order = (size_t)atomic_load(&engine->paused_ways[PAUSE_ORDER]),
        .breakers_open = (size_t)atomic_load(&engine->open_breakers) + paused_unused(engine, PACE_BREAKER),
    };
}

size_t engine_site_figures(const struct engine *engine, struct engine_site_figures *figures, size_t most)
{
    size_t count;
    const struct site_rule *const *rules = sites_rules(engine->options.sites, &count);
    for (size_t i = 0; i < count && i < most; i++)
        figures[i] = (struct engine_site_figures){
            .rule = rules[i]->name,
            .delivered = atomic_load(&engine->site_counts[i].delivered),
            .refused = atomic_load(&engine->site_counts[i].refused),
            .deferred = atomic_load(&engine->site_counts[i].deferred),
        };
    return count < most ? count : most;
}
