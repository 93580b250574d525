/* sts_cache.h - the MTA-STS policy that holds for a domain now (RFC 8461 3.3, 5.1; M43)
 *
 *     asked -> TXT at _mta-sts.<domain> -> same id as kept: that policy
 *                                       -> another id, or none kept: fetch it, keep it to its max_age
 *                                       -> no record, or DNS fails: what is kept, until it expires
 *
 * A fetch that fails takes nothing away: what is kept holds until it expires; without any the mail goes as if there
 * were none, and the next fetch waits STS_AGAIN_MS. A kept policy is fetched anew when half of its max_age (a day at
 * most) has passed, while mail goes on. Policies live in the store (table sts_policy), shared by all nodes, and in
 * memory: of STS_ENTRIES_MOST domains at most, the least lately used go and are read again when they are asked for.
 * Belongs to the dispatcher's loop; fetching is net/https.h's thread. */
#ifndef TODOKE_DELIVER_STS_CACHE_H
#define TODOKE_DELIVER_STS_CACHE_H

#include "deliver/security.h"
#include "store/store.h"

enum { STS_AGAIN_MS = 300000, STS_ENTRIES_MOST = 50000 };

struct sts_cache;
struct sts_cache_options {
    struct loop *loop;
    struct dns_client *dns;
    struct store *store;
    const struct tls_roots *roots;
    bool uses_ipv6;
    size_t entries_most; /* 0: STS_ENTRIES_MOST */
    /* A fetch has failed: for the counts. */
    void (*failed)(void *owner, struct slice domain, enum tls_result result, struct slice why);
    void *owner;
};
/* Reads what is kept; the reader stays in use. WORLD. */
struct sts_cache *sts_cache_new(const struct sts_cache_options *options, struct db *reader, struct fault *why);
/* No callbacks any more. */
void sts_cache_free(struct sts_cache *cache);

/* NULL: none. Lives until the callback returns. */
struct sts_found {
    const struct sts_policy *policy;
    struct slice text;
};
typedef void sts_answered(void *owner, const struct sts_found *found);
struct sts_query;
struct sts_query *sts_ask(struct sts_cache *cache, struct slice domain, sts_answered *on_answer, void *owner);
void sts_cancel(struct sts_query *query);

#endif
