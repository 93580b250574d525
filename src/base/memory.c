#include "base/memory.h"

#include <stdio.h>

void memory_gone(const char *what)
{
    fprintf(stderr, "todoke: out of memory (%s)\n", what);
    abort();
}

static void *checked(void *ptr, size_t size)
{
    if (!ptr && size) {
        fprintf(stderr, "todoke: out of memory (%zu bytes)\n", size);
        abort();
    }
    return ptr;
}

void *memory_alloc(size_t size)
{
    return checked(malloc(size ? size : 1), size);
}

void *memory_zero(size_t count, size_t size)
{
    return checked(calloc(count ? count : 1, size), count * size);
}

void *memory_resize(void *old, size_t count, size_t size)
{
    return checked(reallocarray(old, count ? count : 1, size), count);
}
