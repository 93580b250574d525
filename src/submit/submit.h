/* submit.h - the door down: the only writer of new deliveries
 *
 * Runs inside a write job; the deliveries exist when that job's commit is done, and only then may anybody be told 250,
 * 202 or "sent". (campaign, address) is unique: submitting the same people again adds nobody. */
#ifndef TODOKE_SUBMIT_SUBMIT_H
#define TODOKE_SUBMIT_SUBMIT_H

#include "base/arena.h"
#include "event/event.h"
#include "queue/lanes.h"

struct submit_order { /* what all rows of one call share */
    uint64_t brand_id;
    uint64_t campaign_id; /* 0: transactional */
    uint64_t message_id;  /* the stored mail, for transactional ones */
    uint64_t key_id;      /* the access key it came with; 0: none */
    int priority;         /* 0 transactional, 1 bulk */
    bool waives_tls;      /* lanes of their own: queue/lanes.h */
    time_ms now, due, expires;
};
struct submit_row {
    uint64_t contact_id;  /* 0: none */
    struct slice address; /* identity */
    struct slice written; /* RCPT TO */
    uint64_t delivery_id; /* out; 0: the campaign has this address already */
};
/* What the claimer must hear once the job is committed. */
struct submit_news {
    struct lane_key lane;
    unsigned bucket;
    time_ms due;
    size_t count;
};

/* Rows of one bucket stand together. *news (in the arena): one entry for each lane and bucket that got rows. INPUT: an
 * address without domain. Appends one ACCEPTED event for each of them; call it last in the job, since events are
 * appended last. */
NODISCARD bool submit_rows(struct db *db, struct fault *why, const struct submit_order *order, struct submit_row *rows,
                           size_t count, struct arena *arena, struct submit_news **news, size_t *news_count);

#endif
