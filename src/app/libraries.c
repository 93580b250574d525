#include "app/libraries.h"

#include "base/memory.h"

#include <event2/event.h>
#include <jansson.h>
#include <libxml/xmlmemory.h>
#include <openssl/crypto.h>
#include <string.h>

static void *resize(void *old, size_t size)
{
    if (size)
        return memory_resize(old, 1, size);
    free(old);
    return NULL;
}

static void *openssl_alloc(size_t size, const char *file, int line)
{
    return size ? memory_alloc(size) : NULL;
}

static void *openssl_resize(void *old, size_t size, const char *file, int line)
{
    return resize(old, size);
}

static void openssl_free(void *memory, const char *file, int line)
{
    free(memory);
}

static char *text_copy(const char *text)
{
    size_t size = strlen(text) + 1;
    return memcpy(memory_alloc(size), text, size);
}

void libraries_use_our_memory(void)
{
    CRYPTO_set_mem_functions(openssl_alloc, openssl_resize, openssl_free);
    event_set_mem_functions(memory_alloc, resize, free);
    json_set_alloc_funcs(memory_alloc, free);
    xmlMemSetup(free, memory_alloc, resize, text_copy);
}
