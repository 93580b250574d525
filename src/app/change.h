/* change.h - one function as one committed transaction: for commands and the demo */
#ifndef TODOKE_APP_CHANGE_H
#define TODOKE_APP_CHANGE_H

#include "store/store.h"

/* Run this function as a write job and wait for its commit: for commands and the demo, never on a loop. */
typedef bool store_changer(struct db *db, struct fault *why, void *context);
NODISCARD bool store_change(struct store *store, store_changer *change, void *context, struct fault *why);

#endif
