/* desk.h - what a command that works on the store sits down to: the store, a reader, the clock, memory */
#ifndef TODOKE_APP_DESK_H
#define TODOKE_APP_DESK_H

#include "base/arena.h"
#include "net/world.h"
#include "store/store.h"

/* The store of a command: it waits for others who write, says so, and gives up (store_options.patience_ms). */
struct store *desk_store(const char *store_url, struct fault *why);

struct desk {
    struct store *store;
    struct db *reader;
    struct world world;
    struct arena arena;
};
/* store_url: --store, or NULL for arguments_store's default. */
NODISCARD bool desk_open(struct desk *desk, const char *store_url, struct fault *why);
/* The same, but a store that is not there is not made: who asks where his mail is must not be told "nothing is owed"
 * because he stood in another directory. INPUT names the place. */
NODISCARD bool desk_look(struct desk *desk, const char *store_url, struct fault *why);
void desk_release(struct desk *desk);

/* The brand that --brand names; without it the only one there is, or 0 where there is none. INPUT: several, or not
 * found. */
NODISCARD bool desk_brand(struct desk *desk, const char *given, uint64_t *brand_id, struct fault *why);
/* Who sits at this terminal, for the record: "user hana", "user hana (sudo)". */
struct slice desk_person(struct arena *arena);
/* An address as identity, in the desk's arena. INPUT names it. */
NODISCARD bool desk_identity(struct desk *desk, const char *text, struct slice *identity, struct fault *why);
/* "2026-11-22 22:30" in UTC, or "-" for 0. */
struct slice desk_time(struct desk *desk, time_ms at);
/* The text, and spaces up to so many columns of a terminal (Japanese letters are two wide); cut when longer. */
void desk_cell(struct slice text, size_t columns);

#endif
