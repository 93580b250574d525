/* R18: a domain's MX is edited in the middle of a campaign: its queue moves to the other site, nobody is lost, nobody
 * gets it twice, and connections that began under the old route end under it */
#include "deliver/house_test.h"

/* What `name` says is changed while others ask. */
struct moving {
    struct resolver resolver;
    struct resolver *inner, *moved[2];
    const char *name;
    _Atomic bool has_moved;
    _Atomic int asked; /* since then */
};

static void moving_ask(struct resolver *resolver, struct dns_request *request)
{
    struct moving *moving = (struct moving *)resolver;
    bool is_it = strcmp(request->name, moving->name) == 0, has_moved = atomic_load(&moving->has_moved);
    struct resolver *to = is_it ? moving->moved[has_moved] : moving->inner;
    atomic_fetch_add(&moving->asked, is_it && has_moved);
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

static struct moving *moving_begin(struct fixture *fixture, const char *name, const char *const zones[2])
{
    struct fault why;
    struct moving *moving = NEW(struct moving);
    *moving = (struct moving){.resolver = {moving_ask, moving_free}, .inner = fixture->world.resolver, .name = name};
    for (int i = 0; i < 2; i++)
        assert_non_null(moving->moved[i] = zone_resolver_of_json(slice_str(zones[i]), &why));
    fixture->world.resolver = &moving->resolver;
    return moving;
}

/* F6, R28: one host of an MX set cannot be asked for any more: the set is what it was, with its site and all that is
 * counted there, and nobody is lost. But what people demand of TLS holds at once, DNS or not (R30). */
static void a_host_that_the_dns_has_lost(void **state)
{
    HOUSE(fixture, state, 4);
    for (int i = 0; i < 4; i++)
        receivers[i] = (struct receiver){.slow_ms = 100};
    open_house(fixture); /* equals.example: mx.one and mx.two */
    engine_stop(fixture->engine, 0);
    char there[200];
    snprintf(there, sizeof(there), "{\"mx.one.example\":{\"A\":[\"%s\"],\"ttl\":0}}", receivers[0].ip);
    const char *const zones[] = {there, "{\"mx.one.example\":{\"error\":\"servfail\"}}"};
    struct moving *moving = moving_begin(fixture, "mx.one.example", zones);
    start(fixture);
    crowd(fixture, 1500, "equals.example");
    submit(fixture);
    wait_until_accepted(&receivers[0], 5);
    atomic_store(&moving->has_moved, true);
    test_write(fixture->store.store, do_run,
               (char[]){"INSERT INTO tls_rule (kind, name, rule, since_ms) VALUES ('domain', 'other.example', "
                        "'required', 1)"});
    for (int i = 0; i < 4000 && !atomic_load(&moving->asked); i++)
        receiver_pause(5);
    assert_true(atomic_load(&moving->asked) > 0);
    receiver_pause(100);
    int64_t then = in_state(fixture, DELIVERY_DELIVERED);
    for (int i = 0; i < 4000 && in_state(fixture, DELIVERY_DELIVERED) < then + 60; i++)
        receiver_pause(5);
    assert_int_equal(number(fixture, "SELECT COUNT(*) FROM event WHERE kind = 3 AND site <> 'mx.one.example'"), 0);
    assert_int_equal(events(fixture, EVENT_DEFERRED), 0);
    test_write(fixture->store.store, do_run,
               (char[]){"INSERT INTO tls_rule (kind, name, rule, since_ms) VALUES ('domain', 'equals.example', "
                        "'required', 2)"});
    for (int i = 0; i < 4000 && !events(fixture, EVENT_DEFERRED); i++)
        receiver_pause(5);
    assert_true(events(fixture, EVENT_DEFERRED) > 0);
    assert_true(in_state(fixture, DELIVERY_DELIVERED) < 1500);
    nobody_twice(fixture, "lost host");
    leave(fixture);
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
    struct moving *moving = moving_begin(fixture, "moved.example", zones);
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
    const struct CMUnitTest tests[] = {ON_BOTH(an_mx_edit_in_the_middle_of_a_campaign),
                                       ON_BOTH(a_host_that_the_dns_has_lost)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
