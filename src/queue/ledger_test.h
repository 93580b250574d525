/* ledger_test.h - a store with a ledger, deliveries in it, and the ledger's calls as jobs (for ledger*_test.c only) */
#ifndef TODOKE_QUEUE_LEDGER_TEST_H
#define TODOKE_QUEUE_LEDGER_TEST_H

#include "queue/ledger.h"
#include "queue/testing.h"

enum { NODE = 3 };
#define NOW TEST_NOW

struct fixture {
    struct test_store store;
    struct leases leases;
    struct ledger ledger;
};

/* One call of the ledger as a job. */
struct call {
    struct fixture *fixture;
    enum {
        ACQUIRE,
        MARK,
        UNMARK,
        SETTLE,
        RECOVER,
        RELEASE,
        SET_RIGHT,
        CANCEL,
        MOVE_BUCKETS,
        EXPIRE_LEASES,
        SUPPRESS
    } what;
    struct ledger_mark *marks;
    struct ledger_move *moves;
    size_t count;
    time_ms now;
    uint64_t campaign_id;
    unsigned bucket;
    int64_t number;
    struct arena arena;
    struct ledger_released *released;
    struct slice address;
    bool must_fail;
};

static inline bool call_run(struct db *db, struct fault *why, void *context)
{
    struct call *call = context;
    const struct ledger *ledger = &call->fixture->ledger;
    struct leases *leases = &call->fixture->leases;
    struct bucket_set all;
    memset(&all, 0xff, sizeof(all));
    switch (call->what) {
    case ACQUIRE: return leases_keep(db, why, leases, 1);
    case MARK: return ledger_mark(ledger, db, why, call->marks, call->count, call->now);
    case UNMARK: return ledger_unmark(ledger, db, why, call->marks, call->count, call->now);
    case SETTLE:
        if (!ledger_settle(ledger, db, why, call->moves, call->count))
            return false;
        return !call->must_fail || fault_set(why, FAULT_INPUT, "as the test wants it");
    case RECOVER: return ledger_recover(ledger, db, why, &all, true, call->now, 500, &call->number);
    case RELEASE:
        return ledger_release_doubtful(ledger, db, why, call->now, call->count, &call->arena, &call->released,
                                       &call->count);
    case SET_RIGHT: return ledger_set_right(ledger, db, why, call->now, &call->number);
    case CANCEL:
        return ledger_cancel_campaign(ledger, db, why, call->campaign_id, call->bucket, call->now, &call->number);
    case EXPIRE_LEASES: /* another has ended our life and taken our buckets */
        return db_do(db, why, "UPDATE node SET life = life + 1, until_ms = 0", NO_VALUES, NULL) &&
               db_do(db, why, "UPDATE lease SET node = 9, epoch = epoch + 1", NO_VALUES, NULL);
    case MOVE_BUCKETS: return db_do(db, why, "UPDATE lease SET node = 9, epoch = epoch + 1", NO_VALUES, NULL);
    case SUPPRESS: {
        bool is_new;
        const struct suppression row = {.address = call->address, .why = SUPPRESS_UNSUBSCRIBED, .since = call->now};
        return suppress_add(db, why, &row, &is_new);
    }
    }
    return false;
}
static inline void go(struct call *call)
{
    test_write(call->fixture->store.store, call_run, call);
}

#define FIXTURE(fixture, state)                                                                                        \
    struct fixture fixture = {.leases = {.node = NODE}};                                                               \
    if (!test_store_url(&fixture.store, state))                                                                        \
        skip();                                                                                                        \
    test_store_reopen(&fixture.store);                                                                                 \
    fixture.ledger = (struct ledger){.leases = &fixture.leases, .node = NODE};                                         \
    go(&(struct call){.fixture = &fixture, .what = ACQUIRE})

static inline struct test_delivery add(struct fixture *fixture, const char *address)
{
    struct test_delivery delivery = {.address = address, .campaign_id = 5, .priority = 1, .due = 10};
    test_delivery_add(&fixture->store, &delivery);
    return delivery;
}

static inline enum ledger_marked mark(struct fixture *fixture, const struct test_delivery *delivery, unsigned attempts)
{
    struct ledger_mark one = {.id = delivery->id, .attempts = attempts, .version_id = 8, .date = 9};
    go(&(struct call){.fixture = fixture, .what = MARK, .marks = &one, .count = 1, .now = NOW});
    return one.result;
}

static inline struct ledger_move move_to(const struct test_delivery *delivery, enum event_kind kind,
                                         enum delivery_state after)
{
    return (struct ledger_move){
        .event = {.kind = kind,
                  .at = NOW,
                  .delivery_id = delivery->id,
                  .campaign_id = delivery->campaign_id,
                  .brand_id = TEST_BRAND,
                  .address = slice_str(delivery->address),
                  .domain = delivery->lane.domain,
                  .state_before = DELIVERY_WAITING,
                  .state_after = after},
        .from = LEDGER_BIT(DELIVERY_WAITING) | LEDGER_BIT(DELIVERY_DEFERRED) | LEDGER_BIT(DELIVERY_ON_WIRE),
        .is_before_known = true,
        .is_attempt = true,
        .due = NOW + 100,
    };
}
static inline bool settle(struct fixture *fixture, struct ledger_move *move)
{
    go(&(struct call){.fixture = fixture, .what = SETTLE, .moves = move, .count = 1, .now = NOW});
    return move->is_moved;
}

static inline int64_t number(struct fixture *fixture, const char *sql, const struct value *values, size_t count)
{
    struct fault why = {0};
    int64_t got = -1;
    bool found;
    if (!db_query_ints(fixture->store.reader, &why, sql, values, count, &got, 1, &found))
        fail_msg("%s", why.text);
    return found ? got : -1;
}
static inline int64_t column(struct fixture *fixture, const struct test_delivery *delivery, const char *name)
{
    char sql[160];
    snprintf(sql, sizeof(sql), "SELECT %s FROM delivery WHERE bucket = $1 AND id = $2", name);
    return number(fixture, sql, VALUES(V_INT(id_bucket(delivery->id)), V_INT((int64_t)delivery->id)));
}
static inline int64_t events(struct fixture *fixture, const struct test_delivery *delivery, enum event_kind kind)
{
    return number(fixture, "SELECT COUNT(*) FROM event WHERE bucket = $1 AND delivery_id = $2 AND kind = $3",
                  VALUES(V_INT(id_bucket(delivery->id)), V_INT((int64_t)delivery->id), V_INT(kind)));
}

#endif
