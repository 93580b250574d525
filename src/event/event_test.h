/* event_test.h - what the tests of this room share */
#ifndef TODOKE_EVENT_EVENT_TEST_H
#define TODOKE_EVENT_EVENT_TEST_H

#include "event/event.h"
#include "store/testing.h"

static const time_ms NOW = 1795000000000;

struct appended {
    struct event *events;
    size_t count;
};
static inline bool append(struct db *db, struct fault *why, void *context)
{
    struct appended *appended = context;
    return event_append(db, why, appended->events, appended->count);
}
static inline void put(struct test_store *test, struct event *events, size_t count)
{
    struct appended appended = {events, count};
    test_write(test->store, append, &appended);
}
static inline struct event plain(unsigned bucket, enum event_kind kind)
{
    return (struct event){.bucket = bucket,
                          .at = NOW,
                          .kind = kind,
                          .state_before = DELIVERY_STATE_COUNT,
                          .state_after = DELIVERY_STATE_COUNT};
}

#endif
