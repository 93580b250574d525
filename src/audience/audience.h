/* audience.h - whom a campaign goes to, bucket by bucket, for its expansion */
#ifndef TODOKE_AUDIENCE_AUDIENCE_H
#define TODOKE_AUDIENCE_AUDIENCE_H

#include "audience/contact.h"
#include "suppress/suppress.h"

struct audience_row {
    uint64_t contact_id;
    struct slice address, written, name;
    time_ms engaged; /* a person last opened or clicked; 0: never */
    bool is_suppressed;
    bool is_unconfirmed; /* likewise left out (optin.h) */
    enum suppress_why why;
    enum reason reason; /* for SUPPRESS_ERROR */
};
/* The next members of the list in this bucket with contact id > after_id, by id, at most max, each with whether it is
 * excluded from this brand (of all, of campaigns, or of this list): one query. *count < max: the bucket is done. Slices
 * live in the arena. */
NODISCARD bool audience_next_batch(struct db *db, struct fault *why, uint64_t list_id, uint64_t brand_id,
                                   unsigned bucket, uint64_t after_id, size_t max, time_ms now, struct arena *arena,
                                   struct audience_row **rows, size_t *count);

#endif
