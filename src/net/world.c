#include "net/world.h"

#include "net/schedule.h"
#include <signal.h>
#include <time.h>

static time_ms read_clock(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (time_ms)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static time_ms kernel_wall(const struct world *world)
{
    return read_clock(CLOCK_REALTIME);
}

static time_ms kernel_monotonic(const struct world *world)
{
    return read_clock(CLOCK_MONOTONIC);
}

static void kernel_secret(const struct world *world, void *to, size_t len)
{
    random_bytes(to, len);
}

void world_init(struct world *world, enum network_mode mode)
{
    *world = (struct world){.wall = kernel_wall, .monotonic = kernel_monotonic, .secret = kernel_secret};
    network_init(&world->network, mode);
    random_bytes(&world->seed, sizeof(world->seed));
    signal(SIGPIPE, SIG_IGN);
}

static time_ms manual_wall(const struct world *world)
{
    return world->manual_wall;
}

static time_ms manual_monotonic(const struct world *world)
{
    return world->manual_monotonic;
}

static void manual_secret(const struct world *world, void *to, size_t len)
{
    struct random random;
    unsigned char *bytes = to;
    random_seed(&random, world->seed ^ 0x736563726574u ^ (uint64_t)world->manual_monotonic << 20 ^ len);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (unsigned char)random_next(&random);
}

void world_init_manual(struct world *world, time_ms wall, uint64_t seed)
{
    *world = (struct world){.wall = manual_wall,
                            .monotonic = manual_monotonic,
                            .secret = manual_secret,
                            .seed = seed,
                            .manual_wall = wall,
                            .manual_monotonic = 1};
    network_init(&world->network, NETWORK_LOOPBACK);
    signal(SIGPIPE, SIG_IGN);
}

void world_advance(struct world *world, time_ms by)
{
    world->manual_wall += by;
    world->manual_monotonic += by;
}

void world_pause(struct world *world, time_ms ms)
{
    const struct timespec pause = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    if (world->schedule)
        schedule_run(world->schedule, ms);
    else
        nanosleep(&pause, NULL);
}

void world_random(struct world *world, struct random *random)
{
    random_seed(random, world->seed + 0x9e3779b97f4a7c15u * ++world->seeds_given);
}
