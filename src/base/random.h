/* random.h - randomness: the kernel's for secrets, a seeded one for everything a simulation must be able to repeat */
#ifndef TODOKE_BASE_RANDOM_H
#define TODOKE_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* Unpredictable bytes (getrandom). Never fails; stops the program if the kernel cannot. */
void random_bytes(void *to, size_t len);

/* xoshiro256**: fast, seedable, not for secrets. */
struct random {
    uint64_t state[4];
};
void random_seed(struct random *random, uint64_t seed);
uint64_t random_next(struct random *random);
/* Even over 0..below-1; below > 0. */
uint64_t random_below(struct random *random, uint64_t below);
/* 0 <= x < 1. */
double random_unit(struct random *random);

#endif
