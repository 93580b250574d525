/* board.h - the notice board: what each node's delivery threads are doing now, for whoever asks, through the store
 *
 *     board_ask (a wish, for BOARD_WISH_MS) --the engine looks each second--> each worker tells --> rows of board_* -->
 * board_read
 *
 * While nobody asks nothing is written. The answer of a node replaces its last one as a whole and says which wishes it
 * knew. So it works from any process, for all nodes of a store; times are wall times. */
#ifndef TODOKE_DELIVER_BOARD_H
#define TODOKE_DELIVER_BOARD_H

#include "base/arena.h"
#include "base/time.h"
#include "store/store.h"

enum { BOARD_WISH_MS = 15000, BOARD_NAME_MAX = 255, BOARD_WAYS_MOST = 400, BOARD_ROUTES_MOST = 500 };

/* One source's way to one site, as its worker sees it. */
#define BOARD_WAY_TEXTS(X)                                                                                             \
    X(site)  /* "google", or the first MX host's name */                                                               \
    X(label) /* "Gmail"; "" for sites without a rule of their own */                                                   \
    X(rule)  /* the file's name: "google", "default" */                                                                \
    X(pool)                                                                                                            \
    X(source)        /* the address; "": the system chooses */                                                         \
    X(binding)       /* what limits now (pace_limit_word) */                                                           \
    X(reaction)      /* of the binding: which one */                                                                   \
    X(file)          /* of the binding: where it is written; "": we found it ourselves */                              \
    X(lowered_by)    /* the last time it was made slower: by which limit, "": never */                                 \
    X(lowered_words) /* the stage and the reply that did it, and whose */                                              \
    X(breaker)       /* "", "open", "probing" */                                                                       \
    X(cap_by)        /* "", "daily", "warm_up" */
#define BOARD_WAY_INTS(X)                                                                                              \
    X(source_id)                                                                                                       \
    X(is_usable)                                                                                                       \
    X(connections)                                                                                                     \
    X(talking) /* of them, in conversation */                                                                          \
    X(connections_allowed)                                                                                             \
    X(connections_rule)                                                                                                \
    X(in_memory) /* recipients of the whole site that were claimed */                                                  \
    X(sent)      /* since the start */                                                                                 \
    X(binding_since)                                                                                                   \
    X(binding_until)                                                                                                   \
    X(line)                                                                                                            \
    X(lowered_at)                                                                                                      \
    X(lowered_times)                                                                                                   \
    X(suspended_until)                                                                                                 \
    X(ordered_until) /* a person's order */                                                                            \
    X(guarded_until)                                                                                                   \
    X(slowed_until)                                                                                                    \
    X(narrowed_until)                                                                                                  \
    X(breaker_until)                                                                                                   \
    X(source_bad_until)                                                                                                \
    X(cap)                                                                                                             \
    X(cap_left) /* of the block that is reserved */                                                                    \
    X(is_used_up)
#define BOARD_WAY_NUMBERS(X) /* messages a second; 0: no limit, or never refused */                                    \
    X(binding_value)                                                                                                   \
    X(rate_now)                                                                                                        \
    X(rate_allowed)                                                                                                    \
    X(rate_rule)                                                                                                       \
    X(rate_own)                                                                                                        \
    X(rate_limit) /* where it was refused last */                                                                      \
    X(lowered_from)                                                                                                    \
    X(lowered_to)
#define BOARD_TEXT(name)   struct slice name;
#define BOARD_INT(name)    int64_t name;
#define BOARD_NUMBER(name) double name;
struct board_way {
    unsigned node;
    BOARD_WAY_TEXTS(BOARD_TEXT)
    BOARD_WAY_INTS(BOARD_INT)
    BOARD_WAY_NUMBERS(BOARD_NUMBER)
};

/* Where a domain's mail goes. */
#define BOARD_ROUTE_TEXTS(X)                                                                                           \
    X(domain)                                                                                                          \
    X(site)                                                                                                            \
    X(label)                                                                                                           \
    X(rule)                                                                                                            \
    X(file)   /* of data/sites, that made the site; "default.yaml" for all others */                                   \
    X(pool)   /* of sources; "": none */                                                                               \
    X(relay)  /* the smart host; "": none */                                                                           \
    X(status) /* route_status_word; "asked": DNS has not answered yet */                                               \
    X(text)   /* what was wrong */                                                                                     \
    X(hosts)  /* "10 mx1.example.jp, 20 mx2.example.jp" */                                                             \
    X(tls)    /* what demands TLS of the first host: "DANE", "MTA-STS: enforce" ...; "" nobody */
#define BOARD_ROUTE_INTS(X)                                                                                            \
    X(brand_id)    /* of a route that one brand has alone */                                                           \
    X(good_until)  /* then DNS is asked again */                                                                       \
    X(outstanding) /* claimed for the whole site */
struct board_route {
    unsigned node;
    BOARD_ROUTE_TEXTS(BOARD_TEXT)
    BOARD_ROUTE_INTS(BOARD_INT)
};

/* What a node has done since its start; of conversations that ended for a recipient. */
#define BOARD_FIGURES(X)                                                                                               \
    X(delivered)                                                                                                       \
    X(refused) /* bounced or expired */                                                                                \
    X(deferred)                                                                                                        \
    X(in_doubt)                                                                                                        \
    X(open_connections) /* now */                                                                                      \
    X(claimed)          /* in memory now */
struct board_figures {
    BOARD_FIGURES(BOARD_INT)
};

struct board {
    struct board_node {
        unsigned node;
        time_ms at;
        int64_t wish;                 /* the latest wish it knew */
        struct board_figures figures; /* as of `at` */
    } * nodes;
    size_t node_count;
    struct board_way *ways;
    size_t way_count;
    struct board_route *routes;
    size_t route_count;
    int64_t routes_left_out; /* more than BOARD_ROUTES_MOST */
    bool is_late;            /* for who asked: somebody that lives has not answered in time */
};

/* In a write job: ask about a domain or a site ("": whatever is busy) until now + BOARD_WISH_MS. *wish: the number to
 * wait for in board_is_answered. INPUT: too long a name. */
NODISCARD bool board_ask(struct db *db, struct fault *why, struct slice name, time_ms now, int64_t *wish);
/* Everything there is. Nodes without live leases are not alive: their answers are of the past, and left out. Texts in
 * the arena. */
NODISCARD bool board_read(struct db *db, struct fault *why, time_ms now, struct arena *arena, struct board *board);
/* Does a server run? Some node (this one) owns buckets, and has told within BOARD_WISH_MS. Only where it was asked. */
bool board_is_live(const struct board *board, time_ms now);
bool board_node_is_live(const struct board *board, unsigned node, time_ms now);
/* Have all living nodes answered this wish? False also when none lives. */
bool board_is_answered(const struct board *board, int64_t wish);

/* For the engine. The names asked about now, and the newest wish. */
NODISCARD bool board_wishes(struct db *db, struct fault *why, time_ms now, struct arena *arena, struct slice **names,
                            size_t *count, int64_t *wish);
/* In a write job: this node's answer, in the place of its last one. */
NODISCARD bool board_write(struct db *db, struct fault *why, unsigned node, time_ms now, int64_t wish,
                           const struct board *answer, const struct board_figures *figures);

#endif
