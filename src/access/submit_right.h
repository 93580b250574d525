/* submit_right.h - what an access key may do by SMTP: from which domains, how much an hour; and its SCRAM keys
 *
 * Written when the key is made, because only then its secret is known. A key of before has none: PLAIN and LOGIN work,
 * SCRAM does not. */
#ifndef TODOKE_ACCESS_SUBMIT_RIGHT_H
#define TODOKE_ACCESS_SUBMIT_RIGHT_H

#include "access/key.h"
#include "smtp/scram.h"

enum { SUBMIT_DOMAINS_TEXT_MAX = 2000, SUBMIT_PER_HOUR_MAX = 100000000 };

struct submit_right {
    struct slice domains; /* A-labels with commas between; empty: every domain */
    unsigned per_hour;    /* recipients; 0: no limit */
    bool has_scram;
    struct scram_keys scram;
};

/* Inside a write job, with the key. Chance makes the salt. */
NODISCARD bool submit_right_create(struct db *db, struct fault *why, uint64_t key_id, struct slice secret);
/* Inside a write job. Domains as people write them. INPUT: one that is none, too many of them. */
NODISCARD bool submit_right_limit(struct db *db, struct fault *why, uint64_t key_id, struct slice domains,
                                  unsigned per_hour);
/* Of a key; without a row nothing is limited. The domains live in the arena. */
NODISCARD bool submit_right_find(struct db *db, struct fault *why, uint64_t key_id, struct arena *arena,
                                 struct submit_right *right);
/* Is it this domain, or one below a domain of the list? */
bool submit_right_has_domain(const struct submit_right *right, struct slice domain);

/* A key by its name or its number, for SCRAM: the newest of that name that is good. */
NODISCARD bool submit_key_named(struct db *db, struct fault *why, struct slice name, time_ms now, struct arena *arena,
                                struct key *key, bool *found);

#endif
