/* house.h - the receivers of a simulation: 200 sites, each with its own hidden limits, moods and vices, behind
 * smtp/server.h
 *
 * All is drawn from the seed: latency and thinking time, a cap on messages a second and on connections (421),
 * greylisting, storms of 421, resets at any stage, hanging up after the dot, replies byte by byte, never a banner,
 * hours of being away, and a reputation that worsens with every unknown user we try and then narrows the rate. They
 * write down what really reached whom: the engine's ledger is compared with it. */
#ifndef TODOKE_SIM_HOUSE_H
#define TODOKE_SIM_HOUSE_H

#include "net/world.h"

enum { SITES = 200, WINDOW = 512, TOGETHER_MOST = 10, NARROW_MINUTES = 120, NARROW_DOUBLES_MIN = 10 };

/* People are numbers: "p17@s003.example" is known at site 3, "u18@..." is not. */
struct person {
    unsigned char site, taken;
    bool is_unknown;
    time_ms seen_at; /* by a greylist; 0: never */
};

struct site_host {
    unsigned number;
    /* hidden from the engine; 0: no such habit */
    time_ms latency, think, greylist, each_byte, away_until, storm_every, storm_length;
    double rate, reputation; /* messages a second; 1 good .. 0 bad */
    unsigned connections, messages, reset_permille, drop_permille;
    unsigned recipients; /* of a transaction; 0: any number */
    bool is_silent, is_silent_at_times, is_deaf_when_away;
    /* seen */
    double tokens;
    time_ms tokens_at;
    unsigned open, open_most, session_most;
    uint64_t connected, taken, slowed, unknown;
    /* the latest connections and transactions, round and round; the shortest time in which so many came */
    time_ms opened_at[WINDOW], mailed_at[WINDOW], shortest_opened, shortest_mailed;
    uint64_t mailed;
    time_ms first_slowed, last_taken;
    uint64_t taken_when_capped; /* after CONVERGED_MS since first_slowed */
};
enum { CONVERGED_MS = 300000 };

struct house {
    unsigned window_opened, window_mailed; /* how many make the windows above: 1 to WINDOW */
    struct world *world;
    struct random chance;
    struct site_host sites[SITES];
    struct person *people;
    size_t count;
    uint64_t trace; /* a hash over all that happened here, and when */
    uint64_t taken, twice, refused, visits;
    bool is_together; /* house_together */
    /* house_narrow: one site with one hidden rate, which doubles after a while */
    bool is_narrow;
    /* house_hostile: when the tenth and the ninetieth hundredth of the others' mail had been taken */
    uint64_t others, others_taken;
    time_ms others_from, others_until;
    time_ms doubles_at;
    uint64_t taken_in_minute[NARROW_MINUTES];
};

/* Sites and people from the seed; the world's network and resolver become theirs. */
void house_open(struct house *house, struct world *world, uint64_t seed, size_t people);
/* Instead of all that: everybody lives at site 0, which takes a hidden rate (drawn from the seed) and from minute
 * NARROW_DOUBLES_MIN on twice as much. */
void house_narrow(struct house *house);
/* Instead of all that: twenty equal sites, of which the last four are hostile (never a banner, a byte a second, resets,
 * hanging up after the dot), or not. */
enum { HOSTILE_SITES = 20, HOSTILE_FROM = 16 };
void house_hostile(struct house *house, bool is_hostile);
/* Besides: transactions have several recipients, and some sites take few of them. */
void house_together(struct house *house);
void house_close(struct house *house);
/* "p17@s003.example" */
void house_address(const struct house *house, size_t person, char to[40]);
/* The number of this address; SIZE_MAX: nobody of ours. */
size_t house_person(const struct house *house, struct slice address);
void house_trace(struct house *house, uint64_t what, uint64_t which);

#endif
