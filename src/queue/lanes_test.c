/* Lanes come, sleep, wake, want a route and are forgotten (ARCHITECTURE.md "The main way" 2; R34): on both stores. */
#include "queue/lanes_test.h"

static void a_row_is_claimed_once_until_it_comes_home(void **state)
{
    FIXTURE(fixture, state);
    add(&fixture, "ann@example.jp", 5, 1, NOW);
    route(&fixture, "example.jp", 0);
    assert_int_equal(lanes_wake(fixture.lanes, NOW - 1), NOW);
    assert_int_equal(fixture.woken[0], 0);
    lanes_wake(fixture.lanes, NOW);
    assert_int_equal(fixture.woken[0], 1);
    assert_int_equal(claim(&fixture, 0, NOW, 10), 1);
    struct recipient *ann = take(&fixture);
    assert_slice("written", ann->written, SLICE("ann@example.jp"));
    assert_slice("domain", ann->domain, SLICE("example.jp"));
    assert_int_equal(ann->campaign_id, 5);
    assert_int_equal(ann->state, DELIVERY_WAITING);
    add(&fixture, "bob@example.jp", 5, 1, NOW);
    lanes_wake(fixture.lanes, NOW);
    assert_int_equal(claim(&fixture, 0, NOW, 10), 1); /* bob only */
    assert_slice("bob", fixture.list->address, SLICE("bob@example.jp"));
    struct recipient *bob = take(&fixture);
    not_tried(&fixture, ann);
    lanes_wake(fixture.lanes, NOW);
    assert_int_equal(claim(&fixture, 0, NOW, 10), 1);
    ann = take(&fixture);
    ended(&fixture, ann, DELIVERY_DELIVERED, 0);
    ended(&fixture, bob, DELIVERY_BOUNCED, 0);
    assert_int_equal(lanes_wake(fixture.lanes, NOW), INT64_MAX);
    assert_int_equal(claim(&fixture, 0, NOW, 10), 0);
    end(&fixture);
}

static void a_drained_lane_sleeps_until_its_next_is_due(void **state)
{
    FIXTURE(fixture, state);
    add(&fixture, "ann@example.jp", 5, 1, NOW);
    add(&fixture, "bob@example.jp", 5, 1, NOW + 5000);
    route(&fixture, "example.jp", 0);
    lanes_wake(fixture.lanes, NOW);
    assert_int_equal(claim(&fixture, 0, NOW, 10), 1);
    assert_int_equal(lanes_wake(fixture.lanes, NOW), NOW + 5000);
    ended(&fixture, take(&fixture), DELIVERY_DEFERRED, NOW + 3000);
    assert_int_equal(lanes_wake(fixture.lanes, NOW), NOW + 3000);
    lanes_wake(fixture.lanes, NOW + 5000);
    assert_int_equal(claim(&fixture, 0, NOW + 5000, 10), 2);
    assert_int_equal(fixture.list->attempts, 1); /* the oldest first */
    end(&fixture);
}

static void what_is_owed_to_nobody_is_forgotten(void **state)
{
    FIXTURE(fixture, state);
    add(&fixture, "ann@example.jp", 5, 1, NOW);
    route(&fixture, "example.jp", 0);
    lanes_wake(fixture.lanes, NOW);
    claim(&fixture, 0, NOW, 10);
    claim(&fixture, 0, NOW, 10);
    struct recipient *ann = fixture.list ? take(&fixture) : NULL;
    assert_null(ann);
    assert_int_equal(lanes_figures(fixture.lanes).lanes, 1); /* one is in memory */
    assert_false(lanes_forget(fixture.lanes, SLICE("example.jp")));
    end(&fixture);
}

static void a_lane_whose_last_came_home_is_forgotten(void **state)
{
    FIXTURE(fixture, state);
    add(&fixture, "ann@example.jp", 5, 1, NOW);
    route(&fixture, "example.jp", 0);
    lanes_wake(fixture.lanes, NOW);
    assert_int_equal(claim(&fixture, 0, NOW, 10), 1);
    ended(&fixture, take(&fixture), DELIVERY_DELIVERED, 0);
    assert_int_equal(lanes_figures(fixture.lanes).lanes, 0);
    assert_true(lanes_forget(fixture.lanes, SLICE("example.jp")));
    assert_int_equal(lanes_figures(fixture.lanes).domains, 0);
    add(&fixture, "bob@example.jp", 5, 1, NOW); /* and comes back like new: its route is asked for */
    lanes_wake(fixture.lanes, NOW);
    assert_int_equal(fixture.asked_count, 1);
    end(&fixture);
}

static void the_route_is_asked_for_once_and_may_change(void **state)
{
    FIXTURE(fixture, state);
    add(&fixture, "ann@example.jp", 5, 1, NOW);
    add(&fixture, "ann@example.jp", 6, 1, NOW);
    for (int i = 0; i < 3; i++)
        lanes_wake(fixture.lanes, NOW + i * 1000);
    assert_int_equal(fixture.asked_count, 1);
    assert_string_equal(fixture.asked[0], "example.jp");
    route(&fixture, "example.jp", 0);
    lanes_wake(fixture.lanes, NOW + 4000);
    assert_int_equal(fixture.groups[0].active_count, 2);
    route(&fixture, "example.jp", 1); /* R18: an MX edit moves what waits, loses and doubles nobody */
    assert_int_equal(fixture.groups[0].active_count, 0);
    lanes_wake(fixture.lanes, NOW + 4000);
    assert_int_equal(claim(&fixture, 0, NOW + 4000, 10), 0);
    assert_int_equal(claim(&fixture, 1, NOW + 4000, 10), 2);
    end(&fixture);
}

static void by_brand(void *context, const struct lane_key *key, struct buf *name)
{
    if (*(bool *)context)
        buf_text(name, "relay 1");
    else
        buf_append(name, key->domain);
}

/* A smart host leads lanes of many domains one way, from now on, and back; what waits moves with them. */
static void routes_have_names(void **state)
{
    FIXTURE(fixture, state);
    bool is_relayed = false;
    lanes_name_routes(fixture.lanes, by_brand, &is_relayed);
    add(&fixture, "ann@example.jp", 5, 1, NOW);
    add(&fixture, "bob@example.com", 5, 1, NOW);
    lanes_wake(fixture.lanes, NOW);
    route(&fixture, "example.jp", 0);
    lanes_wake(fixture.lanes, NOW);
    is_relayed = true;
    lanes_name_routes(fixture.lanes, by_brand, &is_relayed);
    assert_int_equal(fixture.groups[0].active_count, 0);
    lanes_wake(fixture.lanes, NOW);
    assert_int_equal(fixture.asked_count, 3);
    assert_string_equal(fixture.asked[2], "relay 1");
    assert_true(lanes_forget(fixture.lanes, SLICE("example.jp")));
    assert_true(lanes_forget(fixture.lanes, SLICE("example.com")));
    route(&fixture, "relay 1", 1);
    lanes_wake(fixture.lanes, NOW);
    assert_int_equal(claim(&fixture, 1, NOW, 10), 2);
    is_relayed = false;
    lanes_name_routes(fixture.lanes, by_brand, &is_relayed);
    add(&fixture, "eve@example.jp", 5, 1, NOW);
    lanes_wake(fixture.lanes, NOW);
    route(&fixture, "example.jp", 0);
    lanes_wake(fixture.lanes, NOW);
    assert_int_equal(claim(&fixture, 0, NOW, 10), 1);
    end(&fixture);
}

static void by_waiver(void *context, const struct lane_key *key, struct buf *name)
{
    if (key->waives_tls)
        buf_text(name, "waived ");
    buf_append(name, key->domain);
}

/* RFC 8689: mails that waive TLS policies never share a way with others, not after a restart either. */
static void who_waives_tls_goes_another_way(void **state)
{
    FIXTURE(fixture, state);
    for (int round = 0; round < 2; round++) {
        if (round == 1) { /* what is in the store only */
            lanes_free(fixture.lanes);
            start(&fixture);
        }
        lanes_name_routes(fixture.lanes, by_waiver, NULL);
        if (round == 0) {
            struct test_delivery waived = {.address = "eve@example.jp", .waives_tls = true, .due = NOW};
            add(&fixture, "ann@example.jp", 0, 0, NOW);
            test_delivery_add(&fixture.store, &waived);
            lanes_added(fixture.lanes, &waived.lane, id_bucket(waived.id), NOW);
        }
        fixture.asked_count = 0;
        lanes_wake(fixture.lanes, NOW);
        assert_int_equal(fixture.asked_count, 2);
        route(&fixture, "example.jp", 0);
        route(&fixture, "waived example.jp", 1);
        lanes_wake(fixture.lanes, NOW);
        assert_int_equal(claim(&fixture, 0, NOW, 10), 1);
        struct recipient *ann = take(&fixture);
        assert_int_equal(claim(&fixture, 1, NOW, 10), 1);
        struct recipient *eve = take(&fixture);
        assert_slice("ann", ann->address, SLICE("ann@example.jp"));
        assert_slice("eve", eve->address, SLICE("eve@example.jp"));
        not_tried(&fixture, ann);
        not_tried(&fixture, eve);
    }
    end(&fixture);
}

static void a_held_lane_is_passed_over_until_it_is_not(void **state)
{
    FIXTURE(fixture, state);
    add(&fixture, "ann@example.jp", 5, 1, NOW);
    add(&fixture, "ann@example.jp", 6, 1, NOW);
    route(&fixture, "example.jp", 0);
    fixture.held_campaign = 5;
    lanes_hold(fixture.lanes, is_held, &fixture);
    lanes_wake(fixture.lanes, NOW);
    assert_int_equal(claim(&fixture, 0, NOW, 10), 1);
    assert_int_equal(take(&fixture)->campaign_id, 6);
    fixture.held_campaign = 7; /* a lane that is not there yet */
    lanes_hold(fixture.lanes, is_held, &fixture);
    assert_int_equal(fixture.woken[0], 3);
    add(&fixture, "ann@example.jp", 7, 1, NOW);
    lanes_wake(fixture.lanes, NOW);
    assert_int_equal(claim(&fixture, 0, NOW, 10), 1);
    assert_int_equal(take(&fixture)->campaign_id, 5);
    end(&fixture);
}

/* A campaign on hold to many domains is no flood of questions. */
static void a_held_lane_wants_no_route(void **state)
{
    FIXTURE(fixture, state);
    fixture.held_campaign = 5;
    lanes_hold(fixture.lanes, is_held, &fixture);
    add(&fixture, "ann@example.jp", 5, 1, NOW);
    add(&fixture, "bob@example.net", 5, 1, NOW);
    add(&fixture, "bob@example.net", 6, 1, NOW);
    lanes_wake(fixture.lanes, NOW);
    assert_int_equal(fixture.asked_count, 1);
    assert_string_equal(fixture.asked[0], "example.net");
    fixture.held_campaign = 0;
    lanes_hold(fixture.lanes, is_held, &fixture);
    lanes_wake(fixture.lanes, NOW);
    assert_int_equal(fixture.asked_count, 2);
    assert_string_equal(fixture.asked[1], "example.jp");
    route(&fixture, "example.jp", 0);
    route(&fixture, "example.net", 0);
    lanes_wake(fixture.lanes, NOW);
    assert_int_equal(claim(&fixture, 0, NOW, 10), 3);
    end(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(a_row_is_claimed_once_until_it_comes_home),
        ON_BOTH(a_drained_lane_sleeps_until_its_next_is_due),
        ON_BOTH(what_is_owed_to_nobody_is_forgotten),
        ON_BOTH(a_lane_whose_last_came_home_is_forgotten),
        ON_BOTH(the_route_is_asked_for_once_and_may_change),
        ON_BOTH(routes_have_names),
        ON_BOTH(who_waives_tls_goes_another_way),
        ON_BOTH(a_held_lane_is_passed_over_until_it_is_not),
        ON_BOTH(a_held_lane_wants_no_route),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
