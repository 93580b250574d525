/* lanes_test.h - (for queue/lanes*_test.c only) lanes over a store of the test's own, with two groups and no receivers
 */
#ifndef TODOKE_QUEUE_LANES_TEST_H
#define TODOKE_QUEUE_LANES_TEST_H

#include "queue/testing.h"

#include "base/random.h"

#define NOW TEST_NOW

enum { GROUPS = 2, ASKED_MOST = 64 };

struct fixture {
    struct test_store store;
    struct lanes *lanes;
    struct lane_group groups[GROUPS];
    char asked[ASKED_MOST][32];
    int asked_count, woken[GROUPS];
    uint64_t held_campaign;
    struct recipient *list;
    size_t count;
};

static inline void want_route(void *owner, struct slice domain, bool is_urgent)
{
    struct fixture *fixture = owner;
    assert_true(fixture->asked_count < ASKED_MOST);
    snprintf(fixture->asked[fixture->asked_count++], 32, "%.*s", SLICE_ARG(domain));
}
static inline void woken(void *owner, struct lane_group *group)
{
    struct fixture *fixture = owner;
    fixture->woken[group - fixture->groups]++;
}
static inline bool is_held(void *context, const struct lane_key *key)
{
    return key->campaign_id == ((struct fixture *)context)->held_campaign;
}
/* The destination is of no interest here: any address will do. */
static inline struct destination *somewhere(struct fixture *fixture)
{
    return (struct destination *)fixture;
}

static inline void start(struct fixture *fixture)
{
    struct fault why = {0};
    bool is_done = false;
    memset(fixture->groups, 0, sizeof(fixture->groups));
    fixture->lanes = lanes_new(fixture->store.reader, want_route, woken, fixture);
    lanes_load_begin(fixture->lanes);
    while (!is_done)
        if (!lanes_load_more(fixture->lanes, &is_done, &why))
            fail_msg("%s", why.text);
}
#define FIXTURE(fixture, state)                                                                                        \
    struct fixture fixture = {0};                                                                                      \
    if (!test_store_url(&fixture.store, state))                                                                        \
        skip();                                                                                                        \
    test_store_reopen(&fixture.store);                                                                                 \
    start(&fixture)

static inline void end(struct fixture *fixture)
{
    lanes_free(fixture->lanes);
    test_store_end(&fixture->store);
}

static inline struct test_delivery add(struct fixture *fixture, const char *address, uint64_t campaign, int priority,
                                       time_ms due)
{
    struct test_delivery delivery = {.address = address, .campaign_id = campaign, .priority = priority, .due = due};
    test_delivery_add(&fixture->store, &delivery);
    lanes_added(fixture->lanes, &delivery.lane, id_bucket(delivery.id), due);
    return delivery;
}
static inline void route(struct fixture *fixture, const char *domain, int group)
{
    lanes_route(fixture->lanes, slice_str(domain), group < 0 ? NULL : &fixture->groups[group],
                group < 0 ? NULL : somewhere(fixture));
}
static inline size_t claim(struct fixture *fixture, int group, time_ms now, size_t most)
{
    struct fault why;
    if (!lanes_claim(fixture->lanes, &fixture->groups[group], now, most, &fixture->list, &fixture->count, &why))
        fail_msg("%s", why.text);
    return fixture->count;
}
static inline struct recipient *take(struct fixture *fixture)
{
    struct recipient *recipient = fixture->list;
    assert_non_null(recipient);
    fixture->list = recipient->next;
    recipient->next = NULL;
    return recipient;
}

struct change {
    uint64_t id;
    enum delivery_state state;
    time_ms due;
};
static inline bool change_run(struct db *db, struct fault *why, void *context)
{
    const struct change *change = context;
    return db_do(
        db, why, "UPDATE delivery SET state = $3, due_ms = $4, attempts = attempts + 1 WHERE bucket = $1 AND id = $2",
        VALUES(V_INT(id_bucket(change->id)), V_INT((int64_t)change->id), V_INT(change->state), V_INT(change->due)),
        NULL);
}
/* Its outcome is committed, then it comes home. */
static inline void ended(struct fixture *fixture, struct recipient *recipient, enum delivery_state state, time_ms due)
{
    test_write(fixture->store.store, change_run, &(struct change){recipient->id, state, due});
    recipient->next_due = due;
    lanes_return(fixture->lanes, recipient);
}
static inline void not_tried(struct fixture *fixture, struct recipient *recipient)
{
    recipient->next_due = recipient->due;
    lanes_return(fixture->lanes, recipient);
}

#endif
