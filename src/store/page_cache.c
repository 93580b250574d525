#include "store/page_cache.h"

#include "base/memory.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <stdlib.h>

static sqlite3_pcache_methods2 real; /* SQLite has one set of them for the process */

struct cache {
    sqlite3_pcache *real;
    unsigned greatest; /* no page has a greater number, but for */
    unsigned passing;  /* one that has this number for the moment; 0: none */
    bool is_unsure;    /* several had */
    int reserved;      /* pages that the thread's heap has room for */
};
enum { RESERVED_PAGES = 200, RESERVED_BYTES = 900 * 1024 /* under M_MMAP_THRESHOLD (app/main.c) */ };

static struct cache *cache_of(sqlite3_pcache *cache)
{
    return (struct cache *)(void *)cache;
}

static int cache_init(void *context)
{
    return real.xInit ? real.xInit(real.pArg) : SQLITE_OK;
}
static void cache_shutdown(void *context)
{
    if (real.xShutdown)
        real.xShutdown(real.pArg);
}
static sqlite3_pcache *cache_create(int page_size, int extra, int is_purgeable)
{
    sqlite3_pcache *inner = real.xCreate(page_size, extra, is_purgeable);
    if (!inner)
        return NULL;
    struct cache *cache = NEW(struct cache);
    cache->real = inner;
    cache->reserved = RESERVED_PAGES; /* a small one needs nothing */
    return (sqlite3_pcache *)(void *)cache;
}
static void cache_destroy(sqlite3_pcache *cache)
{
    real.xDestroy(cache_of(cache)->real);
    free(cache);
}
static void cache_size(sqlite3_pcache *cache, int most)
{
    real.xCachesize(cache_of(cache)->real, most);
}
static int cache_count(sqlite3_pcache *cache)
{
    return real.xPagecount(cache_of(cache)->real);
}
static void cache_shrink(sqlite3_pcache *cache)
{
    real.xShrink(cache_of(cache)->real);
}

/* The heap of a thread grows by what is asked for, one mprotect a page: so ask for many at once, and give them back.
 * What nobody has touched takes no memory. */
static void heap_reserve(struct cache *cache, int pages)
{
    void *volatile room = malloc(RESERVED_BYTES); /* volatile: or the compiler leaves both out */
    free(room);
    cache->reserved = pages + RESERVED_PAGES;
}

static sqlite3_pcache_page *cache_fetch(sqlite3_pcache *cache, unsigned number, int creates)
{
    int pages = creates ? cache_count(cache) : 0;
    if (pages > cache_of(cache)->reserved)
        heap_reserve(cache_of(cache), pages);
    if (creates && number > cache_of(cache)->greatest)
        cache_of(cache)->greatest = number;
    return real.xFetch(cache_of(cache)->real, number, creates);
}
static void cache_unpin(sqlite3_pcache *cache, sqlite3_pcache_page *page, int discard)
{
    real.xUnpin(cache_of(cache)->real, page, discard);
}

static void cache_rekey(sqlite3_pcache *outer, sqlite3_pcache_page *page, unsigned before, unsigned after)
{
    struct cache *cache = cache_of(outer);
    real.xRekey(cache->real, page, before, after);
    if (before == cache->passing)
        cache->passing = 0;
    if (after <= cache->greatest)
        return;
    cache->is_unsure |= cache->passing != 0;
    cache->passing = after;
}

static void cache_truncate(sqlite3_pcache *outer, unsigned limit)
{
    struct cache *cache = cache_of(outer);
    if (limit > cache->greatest && !cache->passing && !cache->is_unsure)
        return;
    real.xTruncate(cache->real, limit);
    cache->greatest = limit ? limit - 1 : 0;
    cache->passing = 0;
    cache->is_unsure = false;
}

void page_cache_set_up(void)
{
    static const sqlite3_pcache_methods2 ours = {
        .iVersion = 1,
        .xInit = cache_init,
        .xShutdown = cache_shutdown,
        .xCreate = cache_create,
        .xCachesize = cache_size,
        .xPagecount = cache_count,
        .xFetch = cache_fetch,
        .xUnpin = cache_unpin,
        .xRekey = cache_rekey,
        .xTruncate = cache_truncate,
        .xDestroy = cache_destroy,
        .xShrink = cache_shrink,
    };
    if (sqlite3_config(SQLITE_CONFIG_GETPCACHE2, &real) == SQLITE_OK && real.xCreate)
        sqlite3_config(SQLITE_CONFIG_PCACHE2, &ours);
}
