/* people.h - contacts and lists, and which of them a key sees
 *
 * A key that is bound to brands sees their own contacts, and those of the house who are on a list of one of them. */
#ifndef TODOKE_API_PEOPLE_H
#define TODOKE_API_PEOPLE_H

#include "api/inside.h"
#include "audience/contact.h"

/* Is the contact one of these brands' own, or on a list of theirs? Always true for every brand. */
NODISCARD bool contact_is_seen(struct db *db, struct brands brands, const struct contact *contact, bool *is_seen,
                               struct fault *why);
/* Of a list that this key sees; *found false: there is none. */
NODISCARD bool list_is_seen(struct db *db, struct brands brands, uint64_t list_id, struct arena *arena,
                            struct list *list, bool *found, struct fault *why);
/* " AND id IN (... the brands' own, or on a list of theirs)" for a query over contact, or " AND ... on this list";
 * nothing for all. */
NODISCARD bool seen_condition(struct db *db, struct brands brands, uint64_t list_id, struct buf *sql,
                              struct fault *why);
/* The members of the contract's contact, into an object that is open; brands: of who asks. */
void contact_write(struct json *json, const struct contact *contact, const struct brands *brands);

#endif
