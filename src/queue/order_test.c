/* What a person orders of the queue, on both stores: bounded slices, each move with its event, what is on the wire
 * waited for, the guard's left alone, another node's buckets too. */
#include "queue/order.h"
#include "queue/testing.h"
#include "shape/suspension.h"

enum { NODE = 3, CAMPAIGN = 5, OTHER = 6 };
#define NOW TEST_NOW

struct fixture {
    struct test_store store;
    struct leases leases;
    struct ledger ledger;
    struct arena arena;
};

struct call {
    struct fixture *fixture;
    enum { ACQUIRE, GIVE, STEP, RECORD, HOLD_ELSEWHERE, NODES, DONE, AGAIN } what;
    struct queue_order order;
    struct order_step step;
    size_t most;
    uint64_t delivery_id;
};

static bool call_run(struct db *db, struct fault *why, void *context)
{
    struct call *call = context;
    struct fixture *fixture = call->fixture;
    switch (call->what) {
    case ACQUIRE: return leases_keep(db, why, &fixture->leases, 1);
    case GIVE: return order_give(db, why, &call->order);
    case STEP: return order_step(&fixture->ledger, db, why, NOW, call->most, &fixture->arena, &call->step);
    case RECORD:
        return db_do(db, why,
                     "INSERT INTO held_verdict (bucket, delivery_id, site, address, brand_id, campaign_id, reason, "
                     "rule, event_id, since_ms, is_owed) VALUES ($1, $2, 'mx', 'a', 1, 1, 1, '', 1, 1, 1)",
                     VALUES(V_INT(id_bucket(call->delivery_id)), V_INT((int64_t)call->delivery_id)), NULL);
    case HOLD_ELSEWHERE:
        return db_do(db, why, "UPDATE lease SET node = 9, epoch = epoch + 1 WHERE bucket = $1",
                     VALUES(V_INT(id_bucket(call->delivery_id))), NULL);
    case NODES:
        return db_do(
            db, why,
            "INSERT INTO node (node, life, until_ms) VALUES (3, 1, $1), (4, 1, 0) ON CONFLICT (node) DO UPDATE "
            "SET until_ms = excluded.until_ms",
            VALUES(V_INT(NOW + 9000)), NULL);
    case DONE: return order_of_pace_done(db, why, NODE, call->delivery_id, 4, NOW + 5);
    case AGAIN: return order_purge_again(db, why, SLICE("mx"));
    }
    return false;
}

#define FIXTURE(fixture, state)                                                                                        \
    struct fixture fixture = {.leases = {.node = NODE}};                                                               \
    if (!test_store_url(&fixture.store, state))                                                                        \
        skip();                                                                                                        \
    test_store_reopen(&fixture.store);                                                                                 \
    fixture.ledger = (struct ledger){.leases = &fixture.leases, .node = NODE};                                         \
    test_write(fixture.store.store, call_run, &(struct call){.fixture = &fixture, .what = ACQUIRE})
#define END(fixture)                                                                                                   \
    arena_release(&fixture.arena);                                                                                     \
    test_store_end(&fixture.store)

static uint64_t add(struct fixture *fixture, const char *address, uint64_t campaign)
{
    struct test_delivery delivery = {.address = address, .campaign_id = campaign, .priority = 1, .due = 10};
    test_delivery_add(&fixture->store, &delivery);
    return delivery.id;
}

static uint64_t give(struct fixture *fixture, struct queue_order order)
{
    struct call call = {.fixture = fixture, .what = GIVE, .order = order};
    call.order.at = NOW;
    call.order.who = SLICE("test");
    if (!call.order.accepted_until)
        call.order.accepted_until = NOW;
    test_write(fixture->store.store, call_run, &call);
    return call.order.id;
}

static struct order_step step(struct fixture *fixture, size_t most)
{
    struct call call = {.fixture = fixture, .what = STEP, .most = most};
    test_write(fixture->store.store, call_run, &call);
    return call.step;
}

static int64_t number(struct fixture *fixture, const char *sql, uint64_t id)
{
    struct fault why = {0};
    int64_t got = -1;
    bool found;
    if (!db_query_ints(fixture->store.reader, &why, sql, VALUES(V_INT((int64_t)id)), &got, 1, &found))
        fail_msg("%s", why.text);
    return found ? got : -1;
}
static int64_t state_of(struct fixture *fixture, uint64_t id)
{
    return number(fixture, "SELECT state FROM delivery WHERE id = $1", id);
}

static struct queue_order the_order(struct fixture *fixture, uint64_t id)
{
    struct fault why = {0};
    struct queue_order *orders;
    size_t count;
    if (!order_list(fixture->store.reader, &why, id, 0, 10, &fixture->arena, &orders, &count) || count != 1)
        fail_msg("%s", why.text);
    return orders[0];
}

static void a_purge_cancels_in_slices_and_is_recorded(void **state)
{
    enum { MANY = 1200 };
    FIXTURE(fixture, state);
    uint64_t last = 0;
    for (int i = 0; i < MANY; i++) {
        char address[40];
        snprintf(address, sizeof(address), "p%d@example.jp", i % 2 ? i : 0); /* and many in one bucket */
        last = add(&fixture, address, (uint64_t)(i % 2 ? CAMPAIGN : 1000 + i));
    }
    uint64_t other = add(&fixture, "else@example.com", CAMPAIGN);
    struct queue_order wish = {.verb = ORDER_PURGE, .domain = SLICE("example.jp")};
    struct fault why = {0};
    int64_t states[DELIVERY_STATE_COUNT];
    wish.accepted_until = NOW;
    assert_true(order_count(fixture.store.reader, &why, &wish, states));
    assert_int_equal(states[DELIVERY_WAITING], MANY);
    assert_int_equal(state_of(&fixture, last), DELIVERY_WAITING); /* counting changes nothing */
    uint64_t id = give(&fixture, wish);
    int64_t moved = 0;
    struct order_step one;
    int steps = 0;
    do {
        one = step(&fixture, 300);
        assert_true(one.moved < 300 + 500);
        moved += one.moved;
    } while (one.has_more && ++steps < 50);
    assert_true(steps >= 1);
    assert_int_equal(moved, MANY);
    assert_int_equal(number(&fixture, "SELECT COUNT(*) FROM delivery WHERE state = 9 AND $1 = $1", 1), MANY);
    assert_int_equal(number(&fixture, "SELECT COUNT(*) FROM event WHERE kind = 8 AND note = 'by_hand' AND $1 = $1", 1),
                     MANY);
    assert_int_equal(state_of(&fixture, other), DELIVERY_WAITING);
    const struct queue_order kept = the_order(&fixture, id);
    assert_int_equal(kept.moved, MANY);
    assert_int_equal(kept.done, NOW);
    assert_int_equal(number(&fixture, "SELECT COUNT(*) FROM queue_order_todo WHERE $1 = $1", 1), 0);
    END(fixture);
}

static void what_is_on_the_wire_is_purged_when_it_comes_back(void **state)
{
    FIXTURE(fixture, state);
    uint64_t ann = add(&fixture, "ann@example.jp", CAMPAIGN);
    test_do(&fixture.store, (char[]){"UPDATE delivery SET state = 3"});
    uint64_t id = give(&fixture, (struct queue_order){.verb = ORDER_PURGE, .campaign_id = CAMPAIGN});
    struct order_step one = step(&fixture, 100);
    assert_false(one.has_more);
    assert_true(one.has_open);
    assert_int_equal(state_of(&fixture, ann), DELIVERY_ON_WIRE);
    assert_int_equal(the_order(&fixture, id).done, 0);
    test_do(&fixture.store, (char[]){"UPDATE delivery SET state = 1"});
    one = step(&fixture, 100);
    assert_int_equal(state_of(&fixture, ann), DELIVERY_CANCELLED);
    assert_int_equal(the_order(&fixture, id).done, NOW);
    END(fixture);
}

/* More orders wait for mail on the wire than are looked at in one go: the next one has its turn all the same. */
static void who_waits_for_the_wire_keeps_nobody_up(void **state)
{
    enum { MANY = 40 };
    FIXTURE(fixture, state);
    uint64_t ann = add(&fixture, "ann@example.jp", CAMPAIGN), bob = add(&fixture, "bob@example.jp", OTHER);
    test_do(&fixture.store, (char[]){"UPDATE delivery SET state = 3 WHERE address LIKE 'ann%'"});
    for (int i = 0; i < MANY; i++)
        give(&fixture, (struct queue_order){.verb = ORDER_PURGE, .campaign_id = CAMPAIGN});
    uint64_t id = give(&fixture, (struct queue_order){.verb = ORDER_PURGE, .campaign_id = OTHER});
    struct order_step one = step(&fixture, 100);
    assert_true(one.has_open && !one.has_more);
    assert_int_equal(state_of(&fixture, ann), DELIVERY_ON_WIRE);
    assert_int_equal(state_of(&fixture, bob), DELIVERY_CANCELLED);
    assert_int_equal(the_order(&fixture, id).done, NOW);
    END(fixture);
}

/* Held is also what comes back from the wire, until somebody releases it. */
static void what_is_on_the_wire_is_held_when_it_comes_back(void **state)
{
    FIXTURE(fixture, state);
    const struct queue_order hold = {.verb = ORDER_HOLD, .campaign_id = CAMPAIGN, .domain = SLICE("example.jp")};
    uint64_t ann = add(&fixture, "ann@example.jp", CAMPAIGN), bob = add(&fixture, "bob@example.jp", CAMPAIGN);
    test_do(&fixture.store, (char[]){"UPDATE delivery SET state = 3"});
    uint64_t id = give(&fixture, hold);
    assert_true(step(&fixture, 100).has_open);
    test_do(&fixture.store, (char[]){"UPDATE delivery SET state = 1 WHERE address LIKE 'ann%'"});
    (void)step(&fixture, 100);
    assert_int_equal(state_of(&fixture, ann), DELIVERY_HELD);
    assert_int_equal(the_order(&fixture, id).done, 0);
    give(&fixture, (struct queue_order){.verb = ORDER_RELEASE, .domain = SLICE("example.com")}); /* others */
    (void)step(&fixture, 100);
    assert_int_equal(the_order(&fixture, id).done, 0);
    give(&fixture, (struct queue_order){.verb = ORDER_RELEASE, .campaign_id = CAMPAIGN, .accepted_until = NOW - 1});
    (void)step(&fixture, 100);
    assert_int_equal(the_order(&fixture, id).done, NOW);
    assert_int_equal(the_order(&fixture, id).moved, 1);
    test_do(&fixture.store, (char[]){"UPDATE delivery SET state = 1 WHERE address LIKE 'bob%'"});
    (void)step(&fixture, 100);
    assert_int_equal(state_of(&fixture, bob), DELIVERY_DEFERRED);
    END(fixture);
}

/* The guard takes its refusal back: held again, and purged all the same (R31, R36). */
static void what_is_taken_back_is_still_purged(void **state)
{
    FIXTURE(fixture, state);
    uint64_t ann = add(&fixture, "ann@example.jp", CAMPAIGN), bob = add(&fixture, "bob@example.jp", CAMPAIGN),
             cat = add(&fixture, "cat@example.jp", OTHER), dan = add(&fixture, "dan@example.com", CAMPAIGN);
    test_do(&fixture.store, (char[]){"UPDATE delivery SET state = 6 WHERE address <> 'bob@example.jp'"});
    uint64_t id = give(
        &fixture, (struct queue_order){.verb = ORDER_PURGE, .campaign_id = CAMPAIGN, .domain = SLICE("example.jp")});
    (void)step(&fixture, 100);
    assert_int_equal(state_of(&fixture, bob), DELIVERY_CANCELLED);
    assert_int_equal(the_order(&fixture, id).moved, 1);
    assert_int_equal(the_order(&fixture, id).done, NOW);
    test_do(&fixture.store, (char[]){"UPDATE delivery SET state = 2 WHERE state = 6"});
    for (size_t i = 0; i < 3; i++)
        test_write(
            fixture.store.store, call_run,
            &(struct call){.fixture = &fixture, .what = RECORD, .delivery_id = (const uint64_t[]){ann, cat, dan}[i]});
    test_write(fixture.store.store, call_run, &(struct call){.fixture = &fixture, .what = AGAIN});
    assert_int_equal(the_order(&fixture, id).done, 0);
    (void)step(&fixture, 100);
    assert_int_equal(state_of(&fixture, ann), DELIVERY_CANCELLED);
    assert_int_equal(state_of(&fixture, cat), DELIVERY_HELD);
    assert_int_equal(state_of(&fixture, dan), DELIVERY_HELD);
    assert_int_equal(the_order(&fixture, id).moved, 2);
    assert_int_equal(the_order(&fixture, id).done, NOW);
    /* nothing more to do: the record stays as it is */
    test_write(fixture.store.store, call_run, &(struct call){.fixture = &fixture, .what = AGAIN});
    assert_int_equal(the_order(&fixture, id).done, NOW);
    END(fixture);
}

static void what_came_after_the_order_is_not_its_business(void **state)
{
    FIXTURE(fixture, state);
    uint64_t ann = add(&fixture, "ann@example.jp", CAMPAIGN), bob = add(&fixture, "bob@example.jp", OTHER);
    test_do(&fixture.store, (char[]){"UPDATE delivery SET accepted_ms = 1795321800001 WHERE campaign_id = 6"});
    give(&fixture, (struct queue_order){.verb = ORDER_PURGE, .domain = SLICE("example.jp")});
    (void)step(&fixture, 100);
    assert_int_equal(state_of(&fixture, ann), DELIVERY_CANCELLED);
    assert_int_equal(state_of(&fixture, bob), DELIVERY_WAITING);
    END(fixture);
}

static void held_and_released_again(void **state)
{
    FIXTURE(fixture, state);
    uint64_t ann = add(&fixture, "ann@example.jp", CAMPAIGN), bob = add(&fixture, "bob@example.jp", OTHER),
             guarded = add(&fixture, "guarded@example.jp", CAMPAIGN);
    test_do(&fixture.store, (char[]){"UPDATE delivery SET attempts = 2, state = 1 WHERE address LIKE 'ann%'"});
    give(&fixture, (struct queue_order){.verb = ORDER_HOLD, .campaign_id = CAMPAIGN, .domain = SLICE("example.jp")});
    (void)step(&fixture, 100);
    assert_int_equal(state_of(&fixture, ann), DELIVERY_HELD);
    assert_int_equal(state_of(&fixture, bob), DELIVERY_WAITING);
    test_write(fixture.store.store, call_run,
               &(struct call){.fixture = &fixture, .what = RECORD, .delivery_id = guarded});
    give(&fixture, (struct queue_order){.verb = ORDER_RELEASE, .campaign_id = CAMPAIGN, .domain = SLICE("example.jp")});
    struct order_step one = step(&fixture, 100);
    assert_int_equal(state_of(&fixture, ann), DELIVERY_DEFERRED); /* it was tried before */
    assert_int_equal(state_of(&fixture, guarded), DELIVERY_HELD);
    assert_int_equal(one.released_count, 1);
    assert_int_equal(one.released[0].bucket, id_bucket(ann));
    assert_int_equal(one.released[0].lane.campaign_id, CAMPAIGN);
    assert_int_equal(number(&fixture, "SELECT due_ms FROM delivery WHERE id = $1", ann), NOW);
    END(fixture);
}

static void what_is_deferred_is_tried_again_at_once(void **state)
{
    FIXTURE(fixture, state);
    uint64_t late = add(&fixture, "late@example.jp", CAMPAIGN), new = add(&fixture, "new@example.jp", CAMPAIGN),
             elsewhere = add(&fixture, "late@other.jp", CAMPAIGN);
    char defer[] = "UPDATE delivery SET state = 1, due_ms = due_ms + 4000000000000 WHERE address LIKE 'late%'";
    test_do(&fixture.store, defer);
    give(&fixture, (struct queue_order){.verb = ORDER_HOLD, .domain = SLICE("example.jp")});
    uint64_t id = give(&fixture, (struct queue_order){.verb = ORDER_RETRY, .domain = SLICE("example.jp")});
    assert_int_equal(number(&fixture, "SELECT COUNT(*) FROM hold WHERE $1 = 0", 0), 1); /* it lifts no hold */
    struct order_step done = step(&fixture, 1000);
    assert_int_equal(done.released_count, 1); /* the claimer hears of it */
    assert_int_equal(the_order(&fixture, id).moved, 1);
    assert_true(the_order(&fixture, id).done);
    assert_int_equal(state_of(&fixture, late), DELIVERY_DEFERRED);
    assert_int_equal(number(&fixture, "SELECT due_ms FROM delivery WHERE id = $1", late), NOW);
    assert_int_equal(state_of(&fixture, new), DELIVERY_WAITING);
    assert_true(number(&fixture, "SELECT due_ms FROM delivery WHERE id = $1", elsewhere) > NOW);
    assert_int_equal(number(&fixture,
                            "SELECT COUNT(*) FROM event WHERE delivery_id = $1 AND kind = 11 AND state_before = 1 AND "
                            "state_after = 1 AND note = 'retry'",
                            late),
                     1);
    END(fixture);
}

static void a_hold_of_a_domain_alone_stands(void **state)
{
    FIXTURE(fixture, state);
    uint64_t ann = add(&fixture, "ann@example.jp", CAMPAIGN);
    uint64_t id = give(&fixture, (struct queue_order){.verb = ORDER_HOLD, .domain = SLICE("example.jp")});
    (void)step(&fixture, 100);
    assert_int_equal(state_of(&fixture, ann), DELIVERY_WAITING);
    assert_int_equal(the_order(&fixture, id).done, NOW);
    assert_int_equal(number(&fixture, "SELECT COUNT(*) FROM hold WHERE kind = 'domain' AND $1 = $1", 1), 1);
    give(&fixture, (struct queue_order){.verb = ORDER_RELEASE, .domain = SLICE("example.jp")});
    assert_int_equal(number(&fixture, "SELECT COUNT(*) FROM hold WHERE kind = 'domain' AND $1 = $1", 1), 0);
    END(fixture);
}

static void buckets_of_another_node_are_left_to_it(void **state)
{
    FIXTURE(fixture, state);
    uint64_t ann = add(&fixture, "ann@example.jp", CAMPAIGN);
    test_write(fixture.store.store, call_run,
               &(struct call){.fixture = &fixture, .what = HOLD_ELSEWHERE, .delivery_id = ann});
    uint64_t id = give(&fixture, (struct queue_order){.verb = ORDER_PURGE, .campaign_id = CAMPAIGN});
    struct order_step one = step(&fixture, 100);
    assert_int_equal(state_of(&fixture, ann), DELIVERY_WAITING);
    assert_int_equal(one.moved, 0);
    assert_int_equal(the_order(&fixture, id).done, 0);
    END(fixture);
}

static void an_order_without_any_filter_is_refused(void **state)
{
    FIXTURE(fixture, state);
    struct fault why = {0};
    struct call call = {.fixture = &fixture, .what = GIVE, .order = {.verb = ORDER_PURGE, .at = NOW}};
    call.order.accepted_until = NOW;
    assert_false(test_write_try(fixture.store.store, call_run, &call, &why));
    assert_int_equal(why.kind, FAULT_INPUT);
    END(fixture);
}

static void by_the_site_of_the_last_reply_and_by_age(void **state)
{
    FIXTURE(fixture, state);
    uint64_t ann = add(&fixture, "ann@example.jp", CAMPAIGN), bob = add(&fixture, "bob@example.jp", CAMPAIGN);
    test_do(&fixture.store, (char[]){"INSERT INTO event (bucket, seq, id, at_ms, kind, delivery_id, site) SELECT "
                                     "bucket, 70000, id, 1, 4, id, 'google' FROM delivery WHERE address LIKE 'ann%'"});
    test_do(&fixture.store, (char[]){"UPDATE delivery SET last_seq = 70000"});
    const struct queue_order site = {.verb = ORDER_HOLD, .site = SLICE("google")};
    give(&fixture, site);
    (void)step(&fixture, 100);
    assert_int_equal(state_of(&fixture, ann), DELIVERY_HELD);
    assert_int_equal(state_of(&fixture, bob), DELIVERY_WAITING);
    give(&fixture, (struct queue_order){.verb = ORDER_PURGE, .accepted_until = NOW - 1000}); /* accepted in 1970 */
    (void)step(&fixture, 100);
    assert_int_equal(state_of(&fixture, bob), DELIVERY_CANCELLED);
    END(fixture);
}

/* Issue 4.5: suspend and resume are on record, wait for the nodes that live, and move no mail. */
static void orders_of_the_pace(void **state)
{
    FIXTURE(fixture, state);
    struct fault why = {0};
    struct queue_order *open;
    size_t count;
    uint64_t mail = add(&fixture, "a@example.jp", CAMPAIGN);
    test_do(&fixture.store, (char[]){"UPDATE node SET until_ms = 0"});
    uint64_t first = give(&fixture, (struct queue_order){.verb = ORDER_RESUME, .site = SLICE("google")});
    assert_true(the_order(&fixture, first).done == NOW); /* no node lives: nobody holds anything against it */
    test_write(fixture.store.store, call_run, &(struct call){.fixture = &fixture, .what = NODES});
    uint64_t all = give(
        &fixture, (struct queue_order){.verb = ORDER_SUSPEND, .site = SLICE("google"), .until = NOW + HOURS_MS(2)});
    uint64_t one = give(&fixture, (struct queue_order){.verb = ORDER_SUSPEND,
                                                       .site = SLICE("docomo"),
                                                       .source = SLICE("192.0.2.1"),
                                                       .source_id = 77,
                                                       .until = NOW + HOURS_MS(3)});
    assert_false(step(&fixture, 2000).has_open);
    assert_int_equal(state_of(&fixture, mail), DELIVERY_WAITING);
    assert_true(order_of_pace_open(fixture.store.reader, &why, NODE, 10, &fixture.arena, &open, &count));
    assert_int_equal(count, 2);
    assert_true(open[0].id == all && open[0].verb == ORDER_SUSPEND && open[0].until == NOW + HOURS_MS(2));
    assert_true(open[1].id == one && open[1].source_id == 77 && slice_equal(open[1].site, SLICE("docomo")));
    struct suspension *list;
    assert_true(suspension_list(fixture.store.reader, &why, NOW, &fixture.arena, &list, &count));
    assert_int_equal(count, 2);
    assert_true(slice_equal(list[1].site, SLICE("google")) && slice_equal(list[1].who, SLICE("test")));
    assert_true(suspension_list(fixture.store.reader, &why, NOW + HOURS_MS(2), &fixture.arena, &list, &count));
    assert_int_equal(count, 1);
    assert_int_equal(the_order(&fixture, all).buckets_left, 1); /* one node lives, another one has stopped */
    assert_true(the_order(&fixture, all).done == 0);
    test_write(fixture.store.store, call_run, &(struct call){.fixture = &fixture, .what = DONE, .delivery_id = all});
    assert_int_equal(the_order(&fixture, all).moved, 4);
    assert_true(the_order(&fixture, all).done == NOW + 5);
    struct call wrong = {.fixture = &fixture,
                         .what = GIVE,
                         .order = {.verb = ORDER_RESUME,
                                   .site = SLICE("google"),
                                   .source_id = 77,
                                   .at = NOW,
                                   .accepted_until = NOW,
                                   .who = SLICE("test")}};
    assert_false(test_write_try(fixture.store.store, call_run, &wrong, &why)); /* by all: not by one */
    assert_int_equal(why.kind, FAULT_INPUT);
    give(&fixture, (struct queue_order){.verb = ORDER_RESUME, .site = SLICE("docomo"), .source_id = 77});
    give(&fixture, (struct queue_order){.verb = ORDER_RESUME, .site = SLICE("google")});
    assert_int_equal(number(&fixture, "SELECT COUNT(*) FROM suspension WHERE $1 = $1", 1), 0);
    END(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(a_purge_cancels_in_slices_and_is_recorded),
        ON_BOTH(what_is_on_the_wire_is_purged_when_it_comes_back),
        ON_BOTH(who_waits_for_the_wire_keeps_nobody_up),
        ON_BOTH(what_is_on_the_wire_is_held_when_it_comes_back),
        ON_BOTH(what_is_taken_back_is_still_purged),
        ON_BOTH(what_came_after_the_order_is_not_its_business),
        ON_BOTH(held_and_released_again),
        ON_BOTH(what_is_deferred_is_tried_again_at_once),
        ON_BOTH(a_hold_of_a_domain_alone_stands),
        ON_BOTH(buckets_of_another_node_are_left_to_it),
        ON_BOTH(an_order_without_any_filter_is_refused),
        ON_BOTH(by_the_site_of_the_last_reply_and_by_age),
        ON_BOTH(orders_of_the_pace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
