/* source.h - our own addresses: where mail leaves from, as the store has them
 *
 * A source is a local address with the name it says in EHLO. It belongs to one pool and to one node; a brand sends by
 * a pool. No source in the store: the system chooses the address, as if there were no such thing. */
#ifndef TODOKE_SHAPE_SOURCE_H
#define TODOKE_SHAPE_SOURCE_H

#include "base/arena.h"
#include "net/ip.h"
#include "store/store.h"

enum source_state { SOURCE_ACTIVE, SOURCE_DRAINING };
/* "active", "draining" */
struct slice source_state_word(enum source_state state);

enum { SOURCE_WEIGHT_MOST = 100 };
#define SOURCE_POOL_DEFAULT "default"

struct source {
    uint64_t id;
    struct ip ip, public_ip;      /* public: what receivers see; family 0: the same */
    struct slice ehlo_name, pool; /* A-label; a word */
    unsigned weight, node;        /* 1..SOURCE_WEIGHT_MOST; 0: every node has this address */
    enum source_state state;
    struct slice trouble; /* found by a health check; "": none */
    time_ms since;        /* of state or trouble */
};
static inline bool source_is_usable(const struct source *source)
{
    return source->state == SOURCE_ACTIVE && source->trouble.len == 0;
}
static inline struct ip source_seen_ip(const struct source *source)
{
    return source->public_ip.family ? source->public_ip : source->ip;
}

/* Inside a write job. Fills id. INPUT: the address is there already, a name that is none. */
NODISCARD bool source_add(struct db *db, struct fault *why, struct source *source, time_ms now);
/* All of them, by pool and address; texts in the arena. */
NODISCARD bool source_list(struct db *db, struct fault *why, struct arena *arena, struct source **list, size_t *count);
/* By address. INPUT: there is none. */
NODISCARD bool source_find(struct db *db, struct fault *why, const struct ip *ip, struct arena *arena,
                           struct source *source);
/* Inside write jobs. */
/* EHLO name, pool and weight. INPUT as source_add. */
NODISCARD bool source_change(struct db *db, struct fault *why, const struct source *source);
NODISCARD bool source_set_state(struct db *db, struct fault *why, uint64_t id, enum source_state state, time_ms now);
NODISCARD bool source_set_trouble(struct db *db, struct fault *why, uint64_t id, struct slice trouble, time_ms now);
/* With its warm-up plans, its days and its pauses. */
NODISCARD bool source_remove(struct db *db, struct fault *why, uint64_t id);
/* INPUT: it is no name of a pool. */
NODISCARD bool pool_name_check(struct slice pool, struct fault *why);
/* How a brand sends. */
enum { BRAND_RECIPIENTS_MOST = 1000 };
struct brand_way {
    struct slice pool;                   /* "": the default */
    unsigned weight;                     /* its share of a full site, 1..SOURCE_WEIGHT_MOST */
    unsigned recipients_per_transaction; /* of identical mail, 1..BRAND_RECIPIENTS_MOST (docs/pace.md) */
};
/* INPUT: a pool's name that is none. */
NODISCARD bool brand_way_set(struct db *db, struct fault *why, uint64_t brand_id, const struct brand_way *way);
/* The pool in the arena. INPUT: there is no such brand. */
NODISCARD bool brand_way_find(struct db *db, struct fault *why, uint64_t brand_id, struct arena *arena,
                              struct brand_way *way);

#endif
