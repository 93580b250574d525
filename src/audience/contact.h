/* contact.h - people, and the lists they are on
 *
 * A contact lives in the bucket of its address's identity; its id tells the bucket. Changing an address is a move: a
 * new row in the new bucket, the old one a tombstone that points to it.
 *
 * Contacts are the house's and belong to no brand, but for those that a program bound to a brand made: such a row is
 * the brand's own, and knows nothing of what the house or another brand knows of the same address (X17). */
#ifndef TODOKE_AUDIENCE_CONTACT_H
#define TODOKE_AUDIENCE_CONTACT_H

#include "base/arena.h"
#include "mail/address.h"
#include "store/store.h"

enum { CONTACT_NAME_MAX = 400, CONTACT_FIELDS_MAX = 16384, CONTACT_CONSENT_MAX = 1000 }; /* octets */

struct contact {
    unsigned bucket;
    uint64_t id;
    uint64_t brand_id;    /* whose own it is; 0: the house's */
    struct slice address; /* identity */
    struct slice written; /* for RCPT TO */
    struct slice name;
    struct slice fields; /* JSON object of further columns */
    bool has_rfc_violation;
    struct slice consent; /* where the permission comes from (L2) */
    struct slice lang;    /* "ja" or "en" of its field "lang"; else empty */
    bool is_unconfirmed;  /* somebody typed the address and nobody confirmed it (optin.h): it gets no campaign */
    uint64_t moved_to;    /* 0, or the id of the contact that took over */
    time_ms created, updated;
};

/* The house's. Slices live in the arena. found false: there is none. */
NODISCARD bool contact_by_address(struct db *db, struct fault *why, struct slice identity, struct arena *arena,
                                  struct contact *contact, bool *found);
NODISCARD bool contact_by_id(struct db *db, struct fault *why, uint64_t id, struct arena *arena,
                             struct contact *contact, bool *found);

/* The house's and the brands' own of this address, the house's first; at most 1000. */
NODISCARD bool contact_everywhere(struct db *db, struct fault *why, struct slice identity, struct arena *arena,
                                  struct contact **contacts, size_t *count);
/* As the brand knows him: its own, or else the house's if that is on a list of the brand. */
NODISCARD bool contact_of_brand(struct db *db, struct fault *why, uint64_t brand_id, struct slice identity,
                                struct arena *arena, struct contact *contact, bool *found);
/* Inside a write job: brand_id of each becomes that of the row that contact_of_brand finds, or else the brand's. */
NODISCARD bool contact_belong(struct db *db, struct fault *why, uint64_t brand_id, struct contact *contacts,
                              size_t count);

/* Inside a write job: insert, or update the one with this address and brand_id (name, fields, consent, where given),
 * and fill id and bucket. is_new[i] (may be NULL) tells. An address twice in one batch: the last one counts. */
NODISCARD bool contact_save(struct db *db, struct fault *why, struct contact *contacts, size_t count, time_ms now,
                            bool *is_new);

/* Inside a write job: name, fields and consent of the row with this id become these, empty ones too. */
NODISCARD bool contact_change(struct db *db, struct fault *why, const struct contact *contact, time_ms now);
/* Inside a write job: the field "lang" becomes this. */
NODISCARD bool contact_speaks(struct db *db, struct fault *why, uint64_t id, struct slice lang, time_ms now);
/* Inside a write job: the person and his memberships. What was sent to him stays in the books. */
NODISCARD bool contact_delete(struct db *db, struct fault *why, uint64_t id, bool *was_there);

struct contact_page {
    struct contact *contacts;
    size_t count;
    bool has_more; /* ask again with the last one's id */
};
/* A page of contacts, newest first; list_id 0: all; text: part of the address or name. before_id 0: from the newest. */
NODISCARD bool contact_search(struct db *db, struct fault *why, uint64_t list_id, struct slice text, uint64_t before_id,
                              size_t limit, struct arena *arena, struct contact_page *page);

/* ── lists ── */
struct list {
    uint64_t id, brand_id;
    struct slice name;
    struct slice title;  /* for the people on it, on the form and their preferences; empty: shown to nobody */
    struct slice notice; /* what they agree to */
    bool has_form;       /* anybody may ask to be on it */
    time_ms created;
    int64_t members;
};
/* *id: the new list's, or the one that has this name already (then *is_new is false). */
NODISCARD bool list_create(struct db *db, struct fault *why, uint64_t brand_id, struct slice name, time_ms now,
                           uint64_t *id, bool *is_new);
/* By name or by decimal id. INPUT: there is none. */
NODISCARD bool list_find(struct db *db, struct fault *why, struct slice name_or_id, struct arena *arena,
                         struct list *list);
/* By id. found false: there is none. */
NODISCARD bool list_by_id(struct db *db, struct fault *why, uint64_t id, struct arena *arena, struct list *list,
                          bool *found);
/* All lists by name, with how many members each has. */
NODISCARD bool list_all(struct db *db, struct fault *why, struct arena *arena, struct list **lists, size_t *count);
/* Inside a write job: title, notice and has_form become these. */
NODISCARD bool list_publish(struct db *db, struct fault *why, const struct list *list);
NODISCARD bool list_add(struct db *db, struct fault *why, uint64_t list_id, const uint64_t *contact_ids, size_t count,
                        time_ms now);
NODISCARD bool list_remove(struct db *db, struct fault *why, uint64_t list_id, uint64_t contact_id, bool *was_there);

#endif
