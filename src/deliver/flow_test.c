/* How fast, and in whose turn: R28, S51, S76, S78, F9, fairness; over real sockets. */
#include "deliver/house_test.h"

/* What was taken in a while, a second. */
static double taken_in(struct receiver *receiver, int ms)
{
    int before = atomic_load(&receiver->accepted);
    double start = seconds_now();
    receiver_pause(ms);
    return (atomic_load(&receiver->accepted) - before) / (seconds_now() - start);
}

/* S51, S76, S78: it says 421 above R a second, and nobody tells us R. Twenty seconds of the pace are one here. */
static void the_pace_finds_a_hidden_limit_and_follows(void **state)
{
    enum { R = 60 };
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){.rate = R};
    open_house(fixture);
    engine_stop(fixture->engine, 0);
    fixture->options.retry.scale = 0.05;
    start(fixture);
    crowd(fixture, PEOPLE_MOST, "r0.example");
    submit(fixture);
    wait_until_accepted(&receivers[0], R + 2); /* its burst */
    double taken = 0;
    int throttled = 0;
    bool is_right = false;
    for (int i = 0; i < 5 && !is_right; i++) { /* a machine with other things to do may need another window */
        receiver_pause(3000);
        throttled = atomic_load(&receivers[0].throttled);
        taken = taken_in(&receivers[0], 4000);
        throttled = atomic_load(&receivers[0].throttled) - throttled;
        is_right = taken >= 0.7 * R && taken <= 1.05 * R && throttled <= 4 * R / 10;
    }
    if (!is_right)
        fail_msg("%.1f a second were taken of %d, %d heard 421", taken, R, throttled);
    atomic_store(&receivers[0].rate, 2 * R);
    for (int i = 0; i < 8 && taken < 1.4 * R; i++)
        taken = taken_in(&receivers[0], 3000);
    if (taken < 1.4 * R)
        fail_msg("%.1f a second were taken of %d", taken, 2 * R);
    assert_int_equal(events(fixture, EVENT_BOUNCED), 0);
    nobody_twice(fixture, "hidden limit");
    leave(fixture);
}

/* Transactional mail never waits behind a campaign, however many are due; nor does mail to another site. Counted in
 * mails of the campaign that went meanwhile: those under way, and a turn or two of the clock. */
static void nobody_stands_in_anothers_way(void **state)
{
    HOUSE(fixture, state, 2);
    receivers[0] = (struct receiver){.slow_ms = 5};
    struct sites *sites = open_house_with(fixture, "connections: 2\nrate: 20/s\n");
    crowd(fixture, 2000, "r0.example");
    submit(fixture);
    wait_until_accepted(&receivers[0], 5);
    for (int i = 0; i < 10; i++) {
        char local[16], address[32];
        snprintf(local, sizeof(local), "urgent%d", i);
        snprintf(address, sizeof(address), "%s@r0.example", local);
        fixture->count = 0;
        person(fixture, local, "r0.example");
        submit_as(fixture, 7, 0);
        int before = atomic_load(&receivers[0].accepted);
        for (int wait = 0; wait < 100000 && !receiver_took(&receivers[0], address); wait++)
            receiver_pause(1);
        assert_true(receiver_took(&receivers[0], address));
        int meanwhile = receiver_place(&receivers[0], address) - before - 1;
        if (meanwhile > 5)
            fail_msg("%d mails of the campaign went before a transactional one", meanwhile);
    }
    fixture->count = 0;
    crowd(fixture, 5, "r1.example");
    receivers[1].beside = &receivers[0];
    submit(fixture);
    int before = atomic_load(&receivers[0].accepted);
    wait_until_accepted(&receivers[1], 1);
    assert_true(atomic_load(&receivers[1].beside_then) - before <= 3);
    engine_stop(fixture->engine, 2000);
    fixture->engine = NULL;
    sites_free(sites);
    fixture->options.sites = NULL;
    leave(fixture);
}

static int accepted_by_both(const struct receiver *receivers)
{
    return atomic_load(&receivers[0].accepted) + atomic_load(&receivers[1].accepted);
}
static void wait_for_both(const struct receiver *receivers, int more)
{
    for (int i = 0, from = accepted_by_both(receivers); i < 60000 && accepted_by_both(receivers) < from + more; i++)
        receiver_pause(2);
}
/* Two brands on one full site, one of them first and with many more mails: half each once both are there. Then three
 * to one. */
static void two_brands_share_a_full_site(void **state)
{
    enum { RATE = 40 }; /* far below what a busy machine does: where nothing is full, nobody shares */
    HOUSE(fixture, state, 2);
    struct sites *sites = open_house_with(fixture, "connections: 3\nrate: 40/s\n");
    crowd(fixture, 800, "google0.example");
    submit_as(fixture, 71, 5);
    wait_until_accepted(&receivers[0], RATE);
    fixture->count = 0;
    crowd(fixture, 700, "google1.example");
    submit_as(fixture, 72, 6);
    wait_until_accepted(&receivers[1], RATE / 8);
    wait_for_both(receivers, 2 * RATE); /* what was claimed before has gone */
    for (int weight = 1; weight <= 3; weight += 2) {
        /* Turns are up to LANE_TURN mails and three times that: whole rounds are looked at, several, for on a busy
         * machine a claim comes late */
        int a = atomic_load(&receivers[0].accepted), b = atomic_load(&receivers[1].accepted);
        wait_for_both(receivers, (weight + 1) * LANE_TURN * (weight == 1 ? 3 : 2));
        a = atomic_load(&receivers[0].accepted) - a;
        b = atomic_load(&receivers[1].accepted) - b;
        double share = (double)b / (a + b), want = weight / (weight + 1.0);
        if (share < want - 0.1 || share > want + 0.1)
            fail_msg("weight %d: %d and %d", weight, a, b);
        if (weight == 3)
            break;
        test_write(fixture->store.store, do_run,
                   (char[]){"INSERT INTO brand (id, name, from_name, from_address, return_path_domain, link_base, "
                            "created_ms, weight) VALUES (72, 'b', '', '', '', '', 1, 3) ON CONFLICT DO NOTHING"});
        wait_for_both(receivers, 7 * RATE / 2); /* the weight is read, and likewise */
    }
    engine_stop(fixture->engine, 2000);
    fixture->engine = NULL;
    sites_free(sites);
    fixture->options.sites = NULL;
    leave(fixture);
}

/* R28: the rule's own rate and its new connections, whatever the engine could do */
static void a_rate_of_the_rule_is_kept(void **state)
{
    static const char rules[] = "name: default\nlabel: all\nconnections: 5\nmessages_per_connection: 4\nrate: 100/s\n"
                                "new_connections: 30/s\ndaily: none\ntls: may\n";
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){0};
    open_house(fixture);
    engine_stop(fixture->engine, 0);
    struct sites *sites = sites_new();
    struct fault why;
    if (!sites_read(sites, "default.yaml", slice_str(rules), false, &why) || !sites_settle(sites, false, &why))
        fail_msg("%s", why.text);
    fixture->options.sites = sites;
    fixture->options.retry.scale = 1.0;
    start(fixture);
    crowd(fixture, 300, "r0.example");
    double begun = seconds_now(); /* before anything can have gone: we may be woken late */
    submit(fixture);
    wait_until_accepted(&receivers[0], 1);
    for (int i = 1; i <= 5; i++) { /* from the start: any window holds at most so many */
        receiver_pause(500);
        int accepted = atomic_load(&receivers[0].accepted), seen = atomic_load(&receivers[0].seen);
        double seconds = seconds_now() - begun;
        assert_true(accepted <= 100 * seconds + 55);
        assert_true(seen <= 30 * seconds + 20);
    }
    wait_until_state(fixture, "rate", DELIVERY_DELIVERED, 300);
    nobody_twice(fixture, "rate");
    leave(fixture);
    sites_free(sites);
}

/* A resolver that gives no answer until it is opened. */
struct slow_resolver {
    struct resolver resolver;
    struct resolver *inner;
    pthread_mutex_t lock;
    struct dns_request *held[4000];
    size_t count;
    bool is_open, has_urgent;
};

static void slow_ask(struct resolver *resolver, struct dns_request *request)
{
    struct slow_resolver *slow = (struct slow_resolver *)resolver;
    pthread_mutex_lock(&slow->lock);
    bool is_open = slow->is_open;
    slow->has_urgent |= strcmp(request->name, "r0.example") == 0;
    if (!is_open)
        slow->held[slow->count++] = request;
    pthread_mutex_unlock(&slow->lock);
    if (is_open)
        slow->inner->ask(slow->inner, request);
}

static size_t slow_count(struct slow_resolver *slow, bool *has_urgent)
{
    pthread_mutex_lock(&slow->lock);
    size_t count = slow->count;
    *has_urgent = slow->has_urgent;
    pthread_mutex_unlock(&slow->lock);
    return count;
}

static void slow_open(struct slow_resolver *slow)
{
    pthread_mutex_lock(&slow->lock);
    slow->is_open = true;
    pthread_mutex_unlock(&slow->lock);
    for (size_t i = 0; i < slow->count; i++)
        slow->inner->ask(slow->inner, slow->held[i]);
}

/* F9: a campaign to thousands of domains asks for some hundred routes at a time, and transactional mail to one more
 * domain does not wait for their answers. */
static void many_domains_are_no_flood_of_questions(void **state)
{
    enum { DOMAINS = 3000 };
    HOUSE(fixture, state, 1);
    open_house(fixture);
    engine_stop(fixture->engine, 0);
    struct slow_resolver *slow = NEW(struct slow_resolver);
    slow->resolver.ask = slow_ask;
    slow->inner = fixture->world.resolver;
    pthread_mutex_init(&slow->lock, NULL);
    fixture->world.resolver = &slow->resolver;
    start(fixture);
    for (int i = 0; i < DOMAINS; i++) {
        char domain[32];
        snprintf(domain, sizeof(domain), "d%d.example", i);
        person(fixture, "p", domain);
    }
    submit(fixture);
    bool has_urgent = false;
    for (int i = 0; i < 24000 && slow_count(slow, &has_urgent) < 500; i++)
        receiver_pause(5);
    receiver_pause(50);
    assert_int_equal(slow_count(slow, &has_urgent), 500);
    assert_false(has_urgent);
    fixture->count = 0;
    person(fixture, "urgent", "r0.example");
    submit_as(fixture, 7, 0);
    for (int i = 0; i < 24000 && !has_urgent; i++, receiver_pause(5))
        slow_count(slow, &has_urgent);
    assert_true(has_urgent);
    assert_int_equal(slow_count(slow, &has_urgent), 501);
    slow_open(slow);
    wait_until_accepted(&receivers[0], 1);
    wait_until_state(fixture, "unknown domains", DELIVERY_BOUNCED, DOMAINS);
    engine_stop(fixture->engine, 2000);
    fixture->engine = NULL;
    fixture->world.resolver = slow->inner;
    pthread_mutex_destroy(&slow->lock);
    free(slow);
    leave(fixture);
}

int main(int argc, char **argv)
{
    if (argc > 1) /* one story alone: flow_test "*limit*" */
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        ON_SQLITE(the_pace_finds_a_hidden_limit_and_follows),
        ON_SQLITE(nobody_stands_in_anothers_way),
        ON_SQLITE(two_brands_share_a_full_site),
        ON_SQLITE(a_rate_of_the_rule_is_kept),
        ON_SQLITE(many_domains_are_no_flood_of_questions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
