#include "deliver/paused.h"

#include "base/log.h"
#include "deliver/engine_inside.h"
#include "deliver/site.h"
#include "shape/pause.h"
#include <stdatomic.h>
#include <stdlib.h>

enum { TELL_MS = 1000 /* between two jobs of a worker */ };

/* ── what the runs before us left: made before the threads are, and read by all of them ── */

enum left { LEFT_UNUSED, LEFT_TAKEN, LEFT_LIFTED };
struct left_way {
    struct pause_way way;
    _Atomic int state; /* enum left: UNUSED until one takes it out, once */
    struct left_way *next_of_site;
};
struct paused {
    struct arena arena;
    struct map sites; /* name, lower-case -> its struct left_way */
    struct left_way *ways;
    size_t count;
};

void paused_free(struct paused *paused)
{
    if (!paused)
        return;
    map_release(&paused->sites);
    arena_release(&paused->arena);
    free(paused);
}

bool paused_read(struct engine *engine, struct db *db, struct fault *why, time_ms now)
{
    unsigned node = engine->options.ledger.node;
    struct pause *list;
    size_t count;
    paused_free(engine->paused); /* of a run of this job that did not count */
    struct paused *paused = engine->paused = NEW(struct paused);
    if (!pauses_settle(db, why, node, now) || !pauses_of_node(db, why, node, now, &paused->arena, &list, &count))
        return false;
    paused->ways = ARENA_ARRAY(&paused->arena, struct left_way, count + 1);
    for (size_t i = 0; i < count; i++) {
        struct left_way *left = paused->count ? &paused->ways[paused->count - 1] : NULL;
        if (left && slice_equal(left->way.site, list[i].site) && left->way.source_id == list[i].source_id) {
            left->way.count++;
            continue;
        }
        struct slice name = arena_lower(&paused->arena, list[i].site);
        left = &paused->ways[paused->count++];
        *left = (struct left_way){
            .way = {.site = list[i].site, .source_id = list[i].source_id, .list = &list[i], .count = 1},
            .next_of_site = map_get(&paused->sites, name)};
        map_set(&paused->sites, name, left);
    }
    if (count)
        log_info("deliver", "receivers' words of before the start still hold: ways=%zu", paused->count);
    return true;
}

static struct left_way *left_at(const struct engine *engine, struct slice site)
{
    SCOPED(arena) arena = {0};
    const struct paused *paused = engine->paused;
    return paused && paused->count ? map_get(&paused->sites, arena_lower(&arena, site)) : NULL;
}

static bool take_out(struct left_way *left, enum left state)
{
    int unused = LEFT_UNUSED;
    return atomic_compare_exchange_strong(&left->state, &unused, (int)state);
}

static bool any_lasts(const struct pause_way *way, time_ms wall)
{
    for (size_t i = 0; i < way->count; i++)
        if (way->list[i].it.until > wall)
            return true;
    return false;
}

size_t paused_lift(struct engine *engine, struct slice site, uint64_t source_id)
{
    time_ms wall = world_wall(engine->options.world);
    size_t count = 0;
    for (struct left_way *left = left_at(engine, site); left; left = left->next_of_site)
        if ((!source_id || source_id == left->way.source_id) && take_out(left, LEFT_LIFTED))
            count += any_lasts(&left->way, wall);
    return count;
}

size_t paused_unused(const struct engine *engine, enum pace_limit by)
{
    const struct paused *paused = engine->paused;
    time_ms wall = world_wall(engine->options.world);
    size_t count = 0;
    for (size_t i = 0; paused && i < paused->count; i++) {
        const struct left_way *left = &paused->ways[i];
        bool is_it = false;
        for (size_t p = 0; p < left->way.count; p++)
            is_it |= left->way.list[p].it.by == by && left->way.list[p].it.until > wall;
        count += is_it && atomic_load(&left->state) == LEFT_UNUSED;
    }
    return count;
}

/* ── a way goes on with them ── */

static void goes_on(struct egress *egress, const struct pause_way *way, time_ms now)
{
    time_ms lead = world_wall(egress->site->worker->engine->options.world) - now;
    struct pace_pause *list = NEW_ARRAY(struct pace_pause, way->count);
    const struct pause *last = &way->list[0];
    for (size_t i = 0; i < way->count; i++) {
        list[i] = way->list[i].it;
        list[i].since -= lead;
        list[i].until -= lead;
        if (way->list[i].it.since > last->it.since)
            last = &way->list[i];
    }
    if (pace_pauses_again(&egress->pace, list, way->count, now)) {
        egress->lowered = egress->pace.lowering.count;
        egress->paused_mark = pace_pauses_mark(&egress->pace);
        egress_lowered_words(egress, last->words);
    }
    free(list);
}

void paused_begin(struct egress *egress, time_ms now)
{
    struct left_way *left = left_at(egress->site->worker->engine, egress->site->name);
    while (left && left->way.source_id != egress->source_id)
        left = left->next_of_site;
    if (left && take_out(left, LEFT_TAKEN))
        goes_on(egress, &left->way, now);
}

/* ── told to the store ── */

struct telling_paused {
    struct write_job job;
    struct mail_item item;
    struct worker *worker;
    struct arena arena;
    struct pause_way *ways;
    size_t count;
    time_ms now;
};

static bool tell_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct telling_paused *telling = (struct telling_paused *)job;
    return pauses_keep(db, why, telling->worker->engine->options.ledger.node, telling->ways, telling->count,
                       telling->now);
}

static void tell_done(struct write_job *job, const struct fault *why)
{
    struct telling_paused *telling = (struct telling_paused *)job;
    if (why)
        log_warn("deliver",
                 "what receivers' words brought about cannot be written down, and would not outlast a "
                 "restart: %s",
                 why->text);
    mailbox_post(&telling->worker->paused_kept, &telling->item);
}

static void tell_soon(struct worker *worker)
{
    time_ms wait = worker->paused_told_at ? worker->paused_told_at + TELL_MS - loop_now(worker->loop) : 0;
    if (worker->first_paused && !worker->is_paused_out && !timer_is_set(&worker->tell_paused))
        timer_set(&worker->tell_paused, wait > 0 ? wait : 0);
}

static void way_of(struct egress *egress, time_ms now, time_ms wall, struct arena *arena, struct pause_way *way)
{
    struct pace_pause list[PACE_PAUSES_MOST];
    char ip[IP_TEXT_ROOM];
    size_t count = pace_pauses(&egress->pace, now, list);
    struct slice site = arena_copy(arena, egress->site->name);
    struct slice source = egress->source_id ? arena_copy(arena, slice_str(ip_text(&egress->from, ip))) : SLICE("");
    *way = (struct pause_way){.site = site, .source_id = egress->source_id, .count = count};
    way->list = ARENA_ARRAY(arena, struct pause, count + 1);
    for (size_t i = 0; i < count; i++) {
        struct pace_pause *it = &list[i];
        struct slice file = it->at.file ? slice_str(it->at.file) : SLICE(""); /* the rules' own: they live longer */
        it->at.file = NULL;
        it->since += wall - now;
        it->until += wall - now;
        way->list[i] = (struct pause){.source_id = egress->source_id,
                                      .site = site,
                                      .source = source,
                                      .words = arena_copy(arena, buf_slice(&egress->lowered_by)),
                                      .file = file,
                                      .it = *it};
    }
}

bool paused_tell(struct worker *worker)
{
    time_ms now = loop_now(worker->loop), wall = world_wall(worker->engine->options.world);
    size_t room = 0;
    if (!worker->first_paused || worker->is_paused_out || worker->has_ended)
        return false;
    for (struct egress *egress = worker->first_paused; egress; egress = egress->next_paused)
        room++;
    struct telling_paused *telling = NEW(struct telling_paused);
    *telling = (struct telling_paused){.job = {.run = tell_run, .done = tell_done}, .worker = worker, .now = wall};
    telling->ways = ARENA_ARRAY(&telling->arena, struct pause_way, room);
    for (struct egress *egress; (egress = worker->first_paused);) {
        worker->first_paused = egress->next_paused;
        egress->is_paused_new = false;
        way_of(egress, now, wall, &telling->arena, &telling->ways[telling->count++]);
    }
    telling->job.rows = (unsigned)telling->count;
    worker->paused_told_at = now;
    worker->is_paused_out = true;
    worker->in_memory++; /* whoever stops waits for it */
    store_write(worker->engine->options.store, &telling->job);
    return true;
}

void paused_look(struct egress *egress)
{
    struct worker *worker = egress->site->worker;
    uint64_t mark = pace_pauses_mark(&egress->pace);
    if (mark == egress->paused_mark)
        return;
    egress->paused_mark = mark;
    if (egress->is_paused_new)
        return;
    egress->is_paused_new = true;
    egress->next_paused = worker->first_paused;
    worker->first_paused = egress;
    tell_soon(worker);
}

static void tell_due(struct timer *timer)
{
    paused_tell(timer->owner);
}

static void kept_arrived(struct mailbox *mailbox, struct mail_item *items)
{
    struct worker *worker = mailbox->owner;
    while (items) {
        struct telling_paused *telling =
            (struct telling_paused *)((char *)items - offsetof(struct telling_paused, item));
        items = items->next;
        arena_release(&telling->arena);
        free(telling);
        worker->in_memory--;
        worker->is_paused_out = false;
    }
    tell_soon(worker);
    worker_check_stop(worker);
}

void paused_worker_begin(struct worker *worker)
{
    mailbox_init(&worker->paused_kept, worker->loop, kept_arrived, worker);
    timer_init(&worker->tell_paused, worker->loop, tell_due, worker);
}
