/* testing.h - tokens' keys for tests: other keys for each kind and seed */
#ifndef TODOKE_MAILAUTH_TESTING_H
#define TODOKE_MAILAUTH_TESTING_H

#include "mailauth/token.h"

static inline void test_ring(struct token_ring *ring, unsigned char seed)
{
    for (int kind = 0; kind < TOKEN_KIND_COUNT; kind++) {
        struct token_keys keys = {.count = 1, .keys[0].id = seed};
        memset(keys.keys[0].bytes, seed, TOKEN_KEY_BYTES);
        keys.keys[0].bytes[0] = (unsigned char)kind;
        token_ring_set(ring, (enum token_kind)kind, &keys);
    }
}

#endif
