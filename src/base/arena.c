#include "base/arena.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

enum { BLOCK_BYTES_LEAST = 1024, BLOCK_BYTES_MOST = 16 * 1024, ALIGN = 16 };

struct arena_block {
    struct arena_block *older;
    size_t size; /* of data */
    _Alignas(ALIGN) char data[];
};

static void blocks_free(struct arena_block *block)
{
    while (block) {
        struct arena_block *older = block->older;
        free(block);
        block = older;
    }
}

void arena_release(struct arena *arena)
{
    blocks_free(arena->blocks);
    *arena = (struct arena){0};
}

void arena_reset(struct arena *arena)
{
    struct arena_block *first = arena->blocks;
    if (!first)
        return;
    blocks_free(first->older);
    first->older = NULL;
    arena->next = first->data;
    arena->end = first->data + first->size;
    arena->used_bytes = 0;
}

/* Each block twice as large as the one before; a big piece gets one of its own. */
static size_t next_block(const struct arena *arena, size_t size)
{
    size_t room = arena->blocks ? arena->blocks->size * 2 : BLOCK_BYTES_LEAST;
    while (room < size * 4 && room < BLOCK_BYTES_MOST)
        room *= 2;
    if (room > BLOCK_BYTES_MOST)
        room = BLOCK_BYTES_MOST;
    return size > room / 4 ? size : room;
}

static struct arena_block *block_new(size_t room)
{
    struct arena_block *block = memory_alloc(sizeof(*block) + room);
    block->older = NULL;
    block->size = room;
    return block;
}

static void block_use(struct arena *arena, struct arena_block *block)
{
    block->older = arena->blocks;
    arena->blocks = block;
    arena->next = block->data;
    arena->end = block->data + block->size;
}

void arena_expect(struct arena *arena, size_t bytes)
{
    assert(!arena->blocks);
    block_use(arena, block_new((bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1)));
}

void *arena_alloc(struct arena *arena, size_t size)
{
    size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    assert(size < SIZE_MAX / 2);
    if (size > (size_t)(arena->end - arena->next)) {
        size_t room = next_block(arena, size);
        struct arena_block *block = block_new(room);
        if (room == size && arena->blocks) { /* a big one of its own: behind the block in use, which stays in use */
            block->older = arena->blocks->older;
            arena->blocks->older = block;
            arena->used_bytes += size;
            return block->data;
        }
        block_use(arena, block);
    }
    void *given = arena->next;
    arena->next += size;
    arena->used_bytes += size;
    return given;
}

void *arena_zero(struct arena *arena, size_t size)
{
    void *given = arena_alloc(arena, size);
    memset(given, 0, size);
    return given;
}

char *arena_str(struct arena *arena, struct slice s)
{
    char *copy = arena_alloc(arena, s.len + 1);
    if (s.len)
        memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    return copy;
}

struct slice arena_copy(struct arena *arena, struct slice s)
{
    return slice_of(arena_str(arena, s), s.len);
}

struct slice arena_lower(struct arena *arena, struct slice s)
{
    char *copy = arena_alloc(arena, s.len + 1);
    for (size_t i = 0; i < s.len; i++)
        copy[i] = ascii_lower(s.ptr[i]);
    copy[s.len] = '\0';
    return slice_of(copy, s.len);
}

struct slice arena_printf(struct arena *arena, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    assert(len >= 0);
    char *text = arena_alloc(arena, (size_t)len + 1);
    vsnprintf(text, (size_t)len + 1, format, again);
    va_end(again);
    va_end(args);
    return slice_of(text, (size_t)len);
}
