/* campaign.h - a campaign's life: a content, a list, and a cursor
 *
 *     draft --send--> expanding --all buckets done--> sending --nothing owed--> finished
 *                        |   ^                          |  ^
 *                        +---pause / resume-------------+--+          (paused: a row in hold; what it was before comes
 * back)
 *     draft, expanding, sending, paused --cancel--> cancelled           (a row in hold, until nothing is owed)
 *
 * Expansion writes delivery rows bucket by bucket, with its cursor in the same transaction: a crash, a second click or
 * two schedulers repeat nobody (F14). Those it leaves out are events with their reason. */
#ifndef TODOKE_CAMPAIGN_CAMPAIGN_H
#define TODOKE_CAMPAIGN_CAMPAIGN_H

#include "campaign/brand.h"
#include "mail/brands.h"
#include "submit/submit.h"

#define CAMPAIGN_STATES(X)                                                                                             \
    X(DRAFT, draft)                                                                                                    \
    X(EXPANDING, expanding) X(SENDING, sending) X(PAUSED, paused) X(FINISHED, finished) X(CANCELLED, cancelled)
#define CAMPAIGN_ENUM(NAME, word) CAMPAIGN_##NAME,
enum campaign_state { CAMPAIGN_STATES(CAMPAIGN_ENUM) CAMPAIGN_STATE_COUNT };
struct slice campaign_state_word(enum campaign_state state);

enum { CAMPAIGN_PAGE_MAX = 200 };

struct campaign {
    uint64_t id, brand_id, content_version_id, list_id;
    struct slice name;
    enum campaign_state state;
    int priority;
    time_ms expires_after;
    unsigned expand_bucket;
    uint64_t expand_after;
    time_ms created, started, expanded, finished;
    /* for showing */
    struct slice subject, from_name, from_address, list_name;
};

/* Inside write jobs; each marks what the engine must hear. INPUT: no such thing, or not possible in this state. */
NODISCARD bool campaign_create(struct db *db, struct fault *why, struct campaign *campaign, time_ms now);
/* INPUT: it is no draft, or its content links to a file for download that is not there (campaign/files.h). */
NODISCARD bool campaign_send(struct db *db, struct fault *why, uint64_t id, time_ms now);
NODISCARD bool campaign_pause(struct db *db, struct fault *why, uint64_t id, struct slice reason, time_ms now);
NODISCARD bool campaign_resume(struct db *db, struct fault *why, uint64_t id, time_ms now);
/* For good: it is held at once, and what it still owes is cancelled batch by batch (campaign/canceller.h). */
NODISCARD bool campaign_cancel(struct db *db, struct fault *why, uint64_t id, time_ms now);
/* Nothing is owed any more: sending becomes finished; any other state stays. */
NODISCARD bool campaign_finish(struct db *db, struct fault *why, uint64_t id, time_ms now);

/* Texts in the arena. INPUT: there is none. */
NODISCARD bool campaign_find(struct db *db, struct fault *why, struct slice name_or_id, struct arena *arena,
                             struct campaign *campaign);
/* The one with this id, whatever others are called. *found. */
NODISCARD bool campaign_get(struct db *db, struct fault *why, uint64_t id, struct arena *arena,
                            struct campaign *campaign, bool *found);
struct campaign_page {
    struct campaign *campaigns;
    size_t count;
    bool has_more; /* ask again with before_id = the last one's id */
};
/* Newest first, of these brands (NULL: of all); before_id 0: from the newest. */
NODISCARD bool campaign_list_of(struct db *db, struct fault *why, const struct brands *brands, uint64_t before_id,
                                size_t limit, struct arena *arena, struct campaign_page *page);
NODISCARD bool campaign_list(struct db *db, struct fault *why, uint64_t before_id, size_t limit, struct arena *arena,
                             struct campaign_page *page);
/* Ids in this state; at most `most`. */
NODISCARD bool campaign_in_state(struct db *db, struct fault *why, enum campaign_state state, uint64_t *ids,
                                 size_t most, size_t *count);

/* One step of expansion, inside a write job: about `most` members of the list. *news in the arena, for engine_submitted
 * once the job is committed; *is_done: nothing is left to expand (or the campaign is not expanding). */
NODISCARD bool campaign_expand_step(struct db *db, struct fault *why, uint64_t id, size_t most, time_ms now,
                                    struct arena *arena, struct submit_news **news, size_t *news_count, bool *is_done);

#endif
