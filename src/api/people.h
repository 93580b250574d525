/* people.h - contacts and lists, and which of them a key sees
 *
 * A contact belongs to no brand; a key that is bound to brands sees those who are on a list of one of them. */
#ifndef TODOKE_API_PEOPLE_H
#define TODOKE_API_PEOPLE_H

#include "api/inside.h"
#include "audience/contact.h"

/* Is the contact on a list of one of these brands? Always true for every brand. */
NODISCARD bool contact_is_seen(struct db *db, struct brands brands, uint64_t contact_id, bool *is_seen,
                               struct fault *why);
/* Of a list that this key sees; *found false: there is none. */
NODISCARD bool list_is_seen(struct db *db, struct brands brands, uint64_t list_id, struct arena *arena,
                            struct list *list, bool *found, struct fault *why);
/* " AND EXISTS (... on one of the brands' lists)" for a query over contact, or " AND ... on this list"; nothing for
 * all. */
NODISCARD bool seen_condition(struct db *db, struct brands brands, uint64_t list_id, struct buf *sql,
                              struct fault *why);
/* An object of the contract. */
void contact_write(struct json *json, const struct contact *contact);

#endif
