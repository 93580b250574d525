/* check_address.h - the members of `check address` (CLI.md), out of mail/address_look.h */
#ifndef TODOKE_APP_CHECK_ADDRESS_H
#define TODOKE_APP_CHECK_ADDRESS_H

#include "base/json.h"
#include "mail/address_look.h"

/* Into the object that is open; true: it is valid. Memory of the work in the arena. */
bool check_address_write(const struct address_book *book, struct slice text, struct arena *arena, struct json *json);

#endif
