/* Issue 4.5: what people hold or cancel while it waits in memory goes back without a word: receivers do not see one
 * connection after the other that begins a mail and hangs up before its dot, whichever node has it there. What the
 * order did not mean is sent. */
#include "deliver/house_test.h"

#include "queue/order.h"
#include "shape/source.h"

enum { MANY = 600, OTHERS = 100, SLOW_MS = 30 };

struct carrying {
    struct fixture *fixture;
    struct queue_order order;
    struct arena arena;
    struct order_step step;
    int steps;
};

static bool give_run(struct db *db, struct fault *why, void *context)
{
    return order_give(db, why, &((struct carrying *)context)->order);
}

static bool step_run(struct db *db, struct fault *why, void *context)
{
    struct carrying *carrying = context;
    struct fixture *fixture = carrying->fixture;
    return order_step(&fixture->options.ledger, db, why, world_wall(&fixture->world), 200, &carrying->arena,
                      &carrying->step);
}

/* As app/orders.c does it: step by step, and the engine hears of each. How many were moved; what was on connections
 * then, at each step, may have been cut short, and a little more where this thread stood still between the two. */
static int64_t carry_out(struct fixture *fixture, struct queue_order order)
{
    int before = atomic_load(&fixture->receivers[0].cut_short);
    struct carrying carrying = {.fixture = fixture, .order = order};
    int64_t moved = 0;
    carrying.order.at = carrying.order.accepted_until = world_wall(&fixture->world);
    carrying.order.who = carrying.order.why = SLICE("test");
    test_write(fixture->options.store, give_run, &carrying);
    do {
        const struct order_step *step = &carrying.step;
        test_write(fixture->options.store, step_run, &carrying);
        for (size_t i = 0; i < step->reach_count; i++) {
            const struct lane_key whose = {.brand_id = step->reaches[i].brand_id,
                                           .campaign_id = step->reaches[i].campaign_id,
                                           .domain = step->reaches[i].domain};
            engine_recall(fixture->engine, &whose);
        }
        for (size_t i = 0; i < step->released_count; i++) {
            const struct submit_news news = {.lane = step->released[i].lane,
                                             .bucket = step->released[i].bucket,
                                             .due = carrying.order.at,
                                             .count = 1};
            engine_submitted(fixture->engine, &news, 1);
        }
        moved += step->moved;
        carrying.steps++;
    } while (carrying.step.has_more);
    arena_release(&carrying.arena);
    int cut = count_at_rest(&fixture->receivers[0].cut_short, 500) - before;
    assert_in_range(cut, 0, carrying.steps * atomic_load(&fixture->receivers[0].open_most) + moved / 6);
    return moved;
}

/* Two campaigns to the same receiver; one is under way, and nearly all of it waits in memory. */
static void begin(struct fixture *fixture)
{
    fixture->receivers[0].slow_ms = SLOW_MS;
    open_house(fixture);
    crowd(fixture, MANY, "r0.example");
    submit_as(fixture, 7, 5);
    fixture->count = 0;
    for (int i = 0; i < OTHERS; i++) {
        char local[32];
        snprintf(local, sizeof(local), "other%d", i);
        person(fixture, local, "r0.example");
    }
    submit_as(fixture, 8, 6);
    wait_until_accepted(&fixture->receivers[0], 20);
}

static void others_have_theirs(struct fixture *fixture)
{
    for (size_t i = 0; i < fixture->count; i++)
        assert_int_row(fixture->people[i], receiver_took(&fixture->receivers[0], fixture->people[i]), 1);
}

static void what_is_cancelled_leaves_the_memory(void **state)
{
    HOUSE(fixture, state, 1);
    begin(fixture);
    int64_t moved =
        carry_out(fixture, (struct queue_order){.verb = ORDER_PURGE, .campaign_id = 5, .domain = SLICE("r0.example")});
    assert_true(moved > MANY / 2);
    wait_until_state(fixture, "cancelled", DELIVERY_CANCELLED, moved);
    wait_until_state(fixture, "delivered", DELIVERY_DELIVERED, MANY + OTHERS - moved);
    others_have_theirs(fixture);
    leave(fixture);
}

/* Held by two filters, it is not a hold that stands; released, everybody has his mail, once. */
static void what_is_held_comes_back(void **state)
{
    HOUSE(fixture, state, 1);
    begin(fixture);
    int64_t moved =
        carry_out(fixture, (struct queue_order){.verb = ORDER_HOLD, .brand_id = 7, .domain = SLICE("r0.example")});
    assert_true(moved > MANY / 2);
    wait_until_state(fixture, "delivered", DELIVERY_DELIVERED, MANY + OTHERS - moved);
    others_have_theirs(fixture);
    assert_int_equal(in_state(fixture, DELIVERY_HELD), moved);
    int64_t released =
        carry_out(fixture, (struct queue_order){.verb = ORDER_RELEASE, .brand_id = 7, .domain = SLICE("r0.example")});
    assert_int_equal(released, moved);
    wait_until_state(fixture, "released", DELIVERY_DELIVERED, MANY + OTHERS);
    assert_int_equal(atomic_load(&receivers[0].accepted), MANY + OTHERS);
    leave(fixture);
}

static bool source_run(struct db *db, struct fault *why, void *context)
{
    struct source source = {.ip = ip_v4(127, 88, 0, 2),
                            .ehlo_name = SLICE("out2.example"),
                            .pool = SLICE("default"),
                            .weight = 1,
                            .node = 2};
    return source_add(db, why, &source, 1795321800000);
}

/* All mail leaves by the node that has the source, the other one's too: it hears when that one cancels its own. */
static void what_another_node_sends_is_recalled_there(void **state)
{
    HOUSE(fixture, state, 1);
    struct neighbour neighbour = {.engine = NULL};
    open_house(fixture);
    engine_stop(fixture->engine, 0);
    receivers[0].slow_ms = SLOW_MS;
    test_write(fixture->store.store, source_run, NULL);
    fixture->options.store = store_of_node(fixture, 1);
    start(fixture);
    neighbour_start(fixture, &neighbour);
    for (int i = 0; i < 4000 && number(fixture, "SELECT COUNT(DISTINCT node) FROM lease") < 2; i++)
        receiver_pause(5);
    crowd(fixture, MANY, "r0.example");
    submit(fixture);
    wait_until_accepted(&receivers[0], 20);
    int64_t moved = carry_out(fixture, (struct queue_order){.verb = ORDER_PURGE, .brand_id = 7, .campaign_id = 5});
    assert_true(moved > MANY / 4);
    wait_until_state(fixture, "delivered", DELIVERY_DELIVERED, MANY - moved);
    assert_int_equal(in_state(fixture, DELIVERY_CANCELLED), moved);
    assert_int_equal(atomic_load(&receivers[0].accepted), MANY - moved);
    neighbour_stop(&neighbour);
    engine_stop(fixture->engine, 2000);
    store_close(fixture->options.store);
    fixture->engine = NULL;
    leave(fixture);
}

/* R22: a node comes, and gets half of the buckets while mail of them waits in the memory of the other one. */
static void what_another_node_gets_leaves_the_memory(void **state)
{
    HOUSE(fixture, state, 1);
    struct neighbour neighbour = {.engine = NULL};
    open_house(fixture);
    engine_stop(fixture->engine, 0);
    receivers[0].slow_ms = SLOW_MS;
    fixture->options.store = store_of_node(fixture, 1);
    start(fixture);
    crowd(fixture, 3 * MANY, "r0.example");
    submit(fixture);
    wait_until_accepted(&receivers[0], 5 * MANY / 3); /* in the order of buckets: now the upper half is in memory */
    neighbour_start(fixture, &neighbour);
    for (int i = 0; i < 4000 && number(fixture, "SELECT COUNT(*) FROM lease WHERE node = 2") < ID_BUCKETS / 2; i++)
        receiver_pause(5);
    wait_until_state(fixture, "delivered", DELIVERY_DELIVERED, 3 * MANY);
    assert_in_range(atomic_load(&receivers[0].cut_short), 0, MANY / 10);
    nobody_twice(fixture, "shared");
    neighbour_stop(&neighbour);
    engine_stop(fixture->engine, 2000);
    store_close(fixture->options.store);
    fixture->engine = NULL;
    leave(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(what_is_cancelled_leaves_the_memory),
        ON_BOTH(what_is_held_comes_back),
        {"what_another_node_sends_is_recalled_there (postgres)", what_another_node_sends_is_recalled_there, NULL, NULL,
         (void *)(uintptr_t) "postgres"},
        {"what_another_node_gets_leaves_the_memory (postgres)", what_another_node_gets_leaves_the_memory, NULL, NULL,
         (void *)(uintptr_t) "postgres"},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
