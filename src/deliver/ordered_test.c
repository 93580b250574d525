/* Issue 4.5: what a person orders of a site's pace, in a running engine on both stores: suspended, nothing goes there
 * and everything elsewhere, over a restart too; resumed, the open breaker is closed and the mail goes at once; the
 * record says how many ways. */
#include "deliver/house_test.h"

#include "queue/order.h"

struct giving {
    struct fixture *fixture;
    struct queue_order order;
};

static bool give_run(struct db *db, struct fault *why, void *context)
{
    return order_give(db, why, &((struct giving *)context)->order);
}

static uint64_t give(struct fixture *fixture, struct queue_order order)
{
    struct giving giving = {.fixture = fixture, .order = order};
    giving.order.at = giving.order.accepted_until = world_wall(&fixture->world);
    giving.order.who = giving.order.why = SLICE("test");
    if (order.verb == ORDER_SUSPEND)
        giving.order.until = giving.order.at + HOURS_MS(1);
    test_write(fixture->store.store, give_run, &giving);
    if (fixture->engine)
        engine_holds_changed(fixture->engine);
    return giving.order.id;
}

/* As the record has it when all nodes have told. */
static struct queue_order done(struct fixture *fixture, uint64_t id)
{
    struct fault why = {0};
    struct arena arena = {0};
    struct queue_order *orders, order = {0};
    size_t count;
    for (int i = 0; i < 4000 && !order.done; i++, receiver_pause(5)) {
        if (!order_list(fixture->store.reader, &why, id, 0, 1, &arena, &orders, &count) || !count)
            fail_msg("%s", why.text);
        order = orders[0];
    }
    arena_release(&arena);
    assert_true(order.done > 0);
    assert_int_equal(order.buckets_left, 0);
    return order;
}

static void suspended_until_it_is_resumed(void **state)
{
    HOUSE(fixture, state, 2);
    open_house(fixture);
    engine_stop(fixture->engine, 0);
    crowd(fixture, 1, "r0.example");
    start(fixture);
    submit_as(fixture, 7, 0);
    wait_until_state(fixture, "the first", DELIVERY_DELIVERED, 1);
    struct queue_order order =
        done(fixture, give(fixture, (struct queue_order){.verb = ORDER_SUSPEND, .site = SLICE("mx.r0.example")}));
    assert_int_equal(order.moved, 1);
    fixture->count = 0;
    crowd(fixture, 30, "r0.example");
    crowd(fixture, 30, "r1.example");
    submit(fixture);
    wait_until_accepted(&receivers[1], 30);
    engine_stop(fixture->engine, 2000); /* and over a restart */
    start(fixture);
    receiver_pause(200);
    assert_int_equal(atomic_load(&receivers[0].accepted), 1);
    order = done(fixture, give(fixture, (struct queue_order){.verb = ORDER_RESUME, .site = SLICE("mx.r0.example")}));
    assert_int_equal(order.moved, 1);
    assert_int_equal(number(fixture, "SELECT COUNT(*) FROM suspension"), 0);
    wait_until_accepted(&receivers[0], 31);
    order = done(fixture, give(fixture, (struct queue_order){.verb = ORDER_RESUME, .site = SLICE("mx.r0.example")}));
    assert_int_equal(order.moved, 0); /* there is nothing left to lift */
    leave(fixture);
}

/* The real pauses: a breaker that opens is open for 27 s at least. Nobody listens there. */
static void an_open_breaker_is_closed(void **state)
{
    const struct queue_order resume = {.verb = ORDER_RESUME, .site = SLICE("MX.nobody.example")};
    HOUSE(fixture, state, 1);
    open_house(fixture);
    engine_stop(fixture->engine, 0);
    fixture->options.retry.scale = 1;
    start(fixture);
    crowd(fixture, 1, "nobody.example");
    submit_as(fixture, 7, 0);
    for (int opened = 0; opened < 2; opened++) { /* the second time because it was tried at once, and failed again */
        int64_t moved = 0;
        for (int i = 0; i < 100 && !moved; i++, receiver_pause(50))
            moved = done(fixture, give(fixture, resume)).moved;
        assert_int_equal(moved, 1);
    }
    leave(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {ON_BOTH(suspended_until_it_is_resumed), ON_BOTH(an_open_breaker_is_closed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
