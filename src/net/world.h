/* world.h - the clock, randomness, network and resolver: everything that is not our own state
 *
 * One world for a process, made by main, handed down, never changed once threads run. Everything above takes time,
 * chance and connections from here, so that a simulator runs the same code with its own clock and network. */
#ifndef TODOKE_NET_WORLD_H
#define TODOKE_NET_WORLD_H

#include "base/random.h"
#include "base/time.h"
#include "net/network.h"
#include <stdatomic.h>

struct resolver; /* dns/resolver.h */
enum { WORLD_PREPARED_MOST = 8 };

struct world {
    time_ms (*wall)(const struct world *world);      /* ms since 1970; may step */
    time_ms (*monotonic)(const struct world *world); /* ms since some start; never goes back */
    void (*secret)(const struct world *world, void *to, size_t len);
    struct network network;
    struct resolver *resolver; /* set by main; NULL: no names can be resolved */
    /* Sockets that listen already, bound while we still might (net/listener.h). */
    struct {
        struct endpoint at;
        int fd;
    } prepared[WORLD_PREPARED_MOST];
    unsigned prepared_count;
    uint64_t seed;
    _Atomic uint64_t seeds_given;
    /* The manual clock of world_init_manual; move it with world_advance. */
    time_ms manual_wall, manual_monotonic;
    struct schedule *schedule; /* net/schedule.h: its loops are stepped, they have no threads; NULL: the usual */
    void *self;                /* a simulator's own */
};

/* The real one: kernel clocks, getrandom, sockets. SIGPIPE is ignored from here on. */
void world_init(struct world *world, enum network_mode mode);
/* A repeatable one for tests: its clock stands still until world_advance, chance and "secrets" come from `seed`;
 * loopback only. */
void world_init_manual(struct world *world, time_ms wall, uint64_t seed);
void world_advance(struct world *world, time_ms by);

static inline time_ms world_wall(const struct world *world)
{
    return world->wall(world);
}
static inline time_ms world_monotonic(const struct world *world)
{
    return world->monotonic(world);
}
/* Unpredictable bytes for keys and tokens (repeatable in a simulation). */
static inline void world_secret(const struct world *world, void *to, size_t len)
{
    world->secret(world, to, len);
}
/* Wait so many ms on a thread that has no loop; in a simulation everybody else goes on meanwhile. */
void world_pause(struct world *world, time_ms ms);
/* Seed a generator that the caller owns (one for each thread or piece of work); the nth asked gets the nth seed. */
void world_random(struct world *world, struct random *random);

#endif
