#include "net/schedule.h"

#include "base/memory.h"
#include "net/loop_inside.h"

#include <assert.h>

enum { LOOPS_MOST = 64, ALSO_MOST = 4 };

struct schedule {
    struct world *world;
    struct loop *loops[LOOPS_MOST];
    size_t loop_count;
    struct {
        bool (*work)(void *owner);
        void *owner;
    } also[ALSO_MOST];
    size_t also_count;
    uint64_t turns;
};

struct schedule *schedule_new(struct world *world)
{
    struct schedule *schedule = NEW(struct schedule);
    schedule->world = world;
    world->schedule = schedule;
    return schedule;
}

void schedule_free(struct schedule *schedule)
{
    assert(schedule->loop_count == 0 && "loops go before their schedule");
    schedule->world->schedule = NULL;
    free(schedule);
}

void schedule_also(struct schedule *schedule, bool (*work)(void *owner), void *owner)
{
    assert(schedule->also_count < ALSO_MOST);
    schedule->also[schedule->also_count].work = work;
    schedule->also[schedule->also_count++].owner = owner;
}

void schedule_join(struct schedule *schedule, struct loop *loop)
{
    assert(schedule->loop_count < LOOPS_MOST);
    schedule->loops[schedule->loop_count++] = loop;
}

void schedule_leave(struct schedule *schedule, struct loop *loop)
{
    size_t at = 0;
    while (schedule->loops[at] != loop)
        at++;
    for (schedule->loop_count--; at < schedule->loop_count; at++)
        schedule->loops[at] = schedule->loops[at + 1];
}

bool schedule_step(struct schedule *schedule, time_ms until)
{
    bool has_worked = false;
    time_ms next = until, now = world_monotonic(schedule->world);
    for (size_t i = 0; i < schedule->loop_count; i++) {
        if (!loop_has_work(schedule->loops[i]))
            continue;
        schedule->turns++;
        has_worked = true;
        loop_turn(schedule->loops[i], 0);
    }
    for (size_t i = 0; i < schedule->also_count; i++)
        has_worked |= schedule->also[i].work(schedule->also[i].owner);
    if (has_worked)
        return true;
    for (size_t i = 0; i < schedule->loop_count; i++) {
        time_ms due = loop_next_due(schedule->loops[i]);
        if (due < next)
            next = due;
    }
    if (next > now)
        world_advance(schedule->world, next - now);
    return next < until;
}

void schedule_run(struct schedule *schedule, time_ms ms)
{
    time_ms until = world_monotonic(schedule->world) + ms;
    while (schedule_step(schedule, until)) {
    }
}

uint64_t schedule_turns(const struct schedule *schedule)
{
    return schedule->turns;
}
