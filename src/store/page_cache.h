/* page_cache.h - (private to store/) SQLite's own page cache, asked to cut itself only when there is something to cut
 *
 * At the end of each transaction SQLite tells the cache to drop the pages behind the end of the database. The cache
 * knows by its greatest page number whether there are any, but a page that is split is numbered 262,145 for a moment
 * (the page of the pending byte): until the database is bigger than that, 1 GB, each transaction with a split walks
 * through the whole cache, 16,000 pages, to find nothing. In front of the cache stands one that remembers better. */
#ifndef TODOKE_STORE_PAGE_CACHE_H
#define TODOKE_STORE_PAGE_CACHE_H

/* Before SQLite's first use; later it changes nothing. */
void page_cache_set_up(void);

#endif
