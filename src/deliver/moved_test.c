/* R18: a domain's MX is edited in the middle of a campaign: its queue moves to the other site, nobody is lost, nobody
 * gets it twice, and connections that began under the old route end under it */
#include "deliver/house_test.h"

/* What moved.example says is changed while others ask. */
struct moving {
    struct resolver resolver;
    struct resolver *inner, *moved[2];
    _Atomic bool has_moved;
};

static void moving_ask(struct resolver *resolver, struct dns_request *request)
{
    struct moving *moving = (struct moving *)resolver;
    bool is_it = strcmp(request->name, "moved.example") == 0;
    struct resolver *to = is_it ? moving->moved[atomic_load(&moving->has_moved)] : moving->inner;
    to->ask(to, request);
}

static void moving_free(struct resolver *resolver)
{
    struct moving *moving = (struct moving *)resolver;
    resolver_free(moving->inner);
    resolver_free(moving->moved[0]);
    resolver_free(moving->moved[1]);
    free(moving);
}

/* Everybody got it, from one of the two, once. */
static void everybody_once(struct fixture *fixture)
{
    for (size_t i = 0; i < fixture->count; i++)
        assert_int_row(fixture->people[i],
                       receiver_took(&fixture->receivers[0], fixture->people[i]) +
                           receiver_took(&fixture->receivers[1], fixture->people[i]),
                       1);
}

static void an_mx_edit_in_the_middle_of_a_campaign(void **state)
{
    enum { PEOPLE = 1500, LATE = 50 };
    static const char *const zones[] = {"{\"moved.example\":{\"MX\":[[10,\"mx.r0.example\"]],\"ttl\":0}}",
                                        "{\"moved.example\":{\"MX\":[[10,\"mx.r1.example\"]],\"ttl\":0}}"};
    HOUSE(fixture, state, 2);
    receivers[0] = (struct receiver){.slow_ms = 30, .script = {{STAGE_RCPT, "451 4.3.0 later", 0, "late"}}};
    receivers[1] = (struct receiver){.slow_ms = 1};
    open_house(fixture);
    engine_stop(fixture->engine, 0);
    struct fault why;
    struct moving *moving = NEW(struct moving);
    *moving = (struct moving){.resolver = {moving_ask, moving_free}, .inner = fixture->world.resolver};
    for (int i = 0; i < 2; i++)
        assert_non_null(moving->moved[i] = zone_resolver_of_json(slice_str(zones[i]), &why));
    fixture->world.resolver = &moving->resolver;
    start(fixture);
    char local[32];
    for (int i = 0; i < LATE; i++) { /* the old hosts put them off as often as they come */
        snprintf(local, sizeof(local), "late%d", i);
        person(fixture, local, "moved.example");
    }
    crowd(fixture, PEOPLE - LATE, "moved.example");
    submit(fixture);
    wait_until_accepted(&receivers[0], 50);
    atomic_store(&moving->has_moved, true);
    /* whatever people decide has every route asked anew, which its TTL would do in a minute at the soonest */
    test_write(fixture->store.store, do_run,
               (char[]){"INSERT INTO tls_rule (kind, name, rule, since_ms) VALUES ('domain', 'other.example', "
                        "'required', 1)"});
    wait_until_state(fixture, "moved", DELIVERY_DELIVERED, PEOPLE);
    everybody_once(fixture);
    assert_true(atomic_load(&receivers[0].accepted) >= 50 && atomic_load(&receivers[1].accepted) >= LATE);
    assert_int_equal(atomic_load(&receivers[0].accepted) + atomic_load(&receivers[1].accepted), PEOPLE);
    assert_int_equal(events(fixture, EVENT_IN_DOUBT), 0);
    assert_int_equal(events(fixture, EVENT_DELIVERED), PEOPLE);
    assert_int_equal(number(fixture, "SELECT COUNT(DISTINCT site) FROM event WHERE kind = 3"), 2);
    leave(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {ON_BOTH(an_mx_edit_in_the_middle_of_a_campaign)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
