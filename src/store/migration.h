/* migration.h - a store is brought to this program's schema by a command of its own, and not by the way
 *
 * Opening a store migrates it, too (store.h). This says before what would be done, and refuses while a server works on
 * it, which an older program may be. All files run in one transaction: the store is as before, or migrated. */
#ifndef TODOKE_STORE_MIGRATION_H
#define TODOKE_STORE_MIGRATION_H

#include "store/schema.h"

struct migration {
    int64_t from; /* the number of the store's schema; 0: it is empty */
    int64_t to;   /* this program's */
};
/* Looks, and changes nothing. INPUT: there is no such store, or its schema is newer than this program. */
NODISCARD bool migration_look(const char *url, struct migration *migration, struct fault *why);
/* The same, and does it. INPUT: a server works on it, too. */
NODISCARD bool migration_run(const char *url, struct migration *migration, struct fault *why);

#endif
