/* hook.h - programs of others are told of events: batches as JSON by POST, signed (Standard Webhooks 1.0)
 *
 * A hook follows the events by a place of its own (event/place.h). What a batch holds is settled durably before it is
 * sent, so that it is the same whenever it is sent again, under the same webhook-id:
 *
 *     place --events came--> batch (place, batch_end] written --> POST --2xx--> place = batch_end, no batch
 *                                                       ^           | anything else
 *                                                       '--back-off-'  for HOOK_PATIENCE_MS, then state failed, alarm
 *
 * At least once, events of one recipient's mail in their order, one POST of a hook at a time (R35). 410 disables at
 * once. Only a 2xx counts; no redirects; the name is resolved once, each address put to the guard directly before
 * connect (X8). */
#ifndef TODOKE_HOOK_HOOK_H
#define TODOKE_HOOK_HOOK_H

#include "event/place.h"
#include "net/tls.h"
#include "net/world.h"
#include "store/seal.h"

enum {
    HOOKS_MOST = 100,
    HOOK_URL_MAX = 2000,
    HOOK_FAULT_MAX = 250,
    HOOK_BATCH_MOST = 200, /* events */
    HOOK_LOG_MOST = 1000,  /* attempts remembered of each hook */
    HOOK_ANSWER_KEPT = 200,
    HOOK_SECRET_MAX = 128, /* "whsec_" and base64 */
};
#define HOOK_PATIENCE_MS DAYS_MS(3)

#define HOOK_STATES(X)              X(ENABLED, enabled) X(DISABLED, disabled) X(FAILED, failed)
#define HOOK_STATE_ENUM(NAME, word) HOOK_##NAME,
enum hook_state { HOOK_STATES(HOOK_STATE_ENUM) HOOK_STATE_COUNT };
struct slice hook_state_word(enum hook_state state);

struct hook {
    uint64_t id, brand_id, kinds; /* brand 0: every brand; kinds 0: all, else EVENT_BIT(kind) */
    char url[HOOK_URL_MAX + 1];
    enum hook_state state;
    struct event_place place, batch_end;
    uint64_t batch_id; /* 0: nothing is being told */
    time_ms batch_at;
    unsigned attempts;
    time_ms failing_since, next, told_at, created; /* 0: not */
    uint64_t told;
    char fault[HOOK_FAULT_MAX + 1];
    uint64_t test_id;
};

/* INPUT: not http or https, no host, a name and password in it, a fragment, too long. */
NODISCARD bool hook_url_check(struct slice url, struct fault *why);
/* "delivered,bounced"; empty: all. INPUT names the word that is none. */
NODISCARD bool hook_kinds_parse(struct slice words, uint64_t *kinds, struct fault *why);

/* In write transactions. add: url, brand_id, kinds and place are given; a new secret comes out, and is never shown
 * again. INPUT: the URL, or HOOKS_MOST are there. */
NODISCARD bool hook_add(struct db *db, struct fault *why, const struct seal_key *seal, struct hook *hook,
                        struct buf *secret, time_ms now);
NODISCARD bool hook_remove(struct db *db, struct fault *why, uint64_t id, bool *found);
/* Enabled again it begins where it stopped, at once. */
NODISCARD bool hook_enable(struct db *db, struct fault *why, uint64_t id, bool is_enabled, bool *found);
/* All events behind this place are told (again). */
NODISCARD bool hook_replay(struct db *db, struct fault *why, uint64_t id, const struct event_place *place, bool *found);
/* The server sends a test event, also when the hook is not enabled; its attempt stands in the log as this id. */
NODISCARD bool hook_test(struct db *db, struct fault *why, uint64_t id, time_ms now, uint64_t *test_id, bool *found);

/* All of them, oldest first, or the one of that id; malloc'ed. */
NODISCARD bool hook_list(struct db *db, struct fault *why, uint64_t id, struct hook **hooks, size_t *count);

struct hook_attempt {
    uint64_t id, batch_id;
    bool is_test;
    time_ms at, took;
    unsigned events;
    int status; /* 0: no answer */
    struct slice fault, answer;
};
/* Newest first, of one batch or test only when batch_id is given; texts in the arena. */
NODISCARD bool hook_log(struct db *db, struct fault *why, uint64_t id, uint64_t batch_id, size_t limit,
                        struct arena *arena, struct hook_attempt **attempts, size_t *count);

/* As objects of the contract (data/api/openapi.yaml). */
void hook_write(struct json *json, const struct hook *hook); /* the members, not the braces */
void hook_attempt_write(struct json *json, const struct hook_attempt *attempt);

/* ── the runner ── */

struct hook_options {
    struct store *store;
    struct world *world;         /* with a resolver */
    const struct seal_key *seal; /* all of these must live longer */
    const struct tls_roots *roots;
    const struct network *guard; /* world.network, and what setting hooks.permitted permits */
    double time_scale;           /* of back-off and patience; 0: 1.0 */
    double wait_scale;           /* of the wait for an answer; 0: as time_scale */
    /* Inside the write job that gave it up. May be NULL. */
    bool (*failed)(void *owner, struct db *db, struct fault *why, const struct hook *hook, time_ms now);
    void *owner;
};
struct hook_runner;
/* Starts its thread. Before the store's first write. */
struct hook_runner *hook_runner_start(const struct hook_options *options, struct fault *why);
/* What is under way is given up, and sent again by the next runner. NULL is fine. */
void hook_runner_stop(struct hook_runner *runner);

#endif
