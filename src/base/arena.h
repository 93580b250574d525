/* arena.h - memory for one piece of work: a request, a session, a batch
 *
 * Everything allocated from it goes at once with arena_release (or arena_reset, which keeps the last block). No single
 * frees. Aligned for any type. Blocks begin at 1 KiB and grow to 16. */
#ifndef TODOKE_BASE_ARENA_H
#define TODOKE_BASE_ARENA_H

#include "base/memory.h"
#include "base/slice.h"

struct arena_block;
struct arena {
    struct arena_block *blocks;
    char *next;
    char *end;
    size_t used_bytes; /* everything handed out since the last reset */
};

/* Of an empty one: so many bytes will do, as `used_bytes` of another with the same things said. Without it the first
 * block is 1 KiB, which is much for what is kept fifty thousand times. More still fits. */
void arena_expect(struct arena *arena, size_t bytes);
void arena_release(struct arena *arena);
void arena_reset(struct arena *arena);
void *arena_alloc(struct arena *arena, size_t size); /* uninitialised */
void *arena_zero(struct arena *arena, size_t size);  /* zeroed */
/* Copies; both have a NUL behind them. */
struct slice arena_copy(struct arena *arena, struct slice s);
/* A copy in ASCII lower case. */
struct slice arena_lower(struct arena *arena, struct slice s);
char *arena_str(struct arena *arena, struct slice s);
struct slice arena_printf(struct arena *arena, const char *format, ...) PRINTF_LIKE(2, 3);

#define ARENA_NEW(arena, type)          ((type *)arena_zero((arena), sizeof(type)))
#define ARENA_ARRAY(arena, type, count) ((type *)arena_zero((arena), (count) * sizeof(type)))

#endif
