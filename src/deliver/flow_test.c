/* How fast, by which address, in whose turn: R28, S50, S51, S67, S68, S76, S77, S78, U12, D05, D18, fairness; over real
 * sockets. */
#include "deliver/house_test.h"
#include "shape/allowance.h"
#include "shape/source.h"

/* By the clock: a pause on a busy machine is longer than what was asked for. */
static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

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

/* The house again, with rules of the test's own and the hours as they are. */
static struct sites *open_house_with(struct fixture *fixture, const char *rules)
{
    struct sites *sites = sites_new();
    struct fault why;
    char text[400];
    snprintf(
        text, sizeof(text),
        "name: default\nlabel: all\nmessages_per_connection: 100\nnew_connections: none\ndaily: none\ntls: may\n%s",
        rules);
    if (!sites_read(sites, "default.yaml", slice_str(text), false, &why) ||
        !sites_read(sites, "google.yaml", SLICE("name: google\nlabel: Gmail\nhosts: [google.com]\n"), false, &why) ||
        !sites_settle(sites, false, &why))
        fail_msg("%s", why.text);
    open_house(fixture);
    engine_stop(fixture->engine, 0);
    fixture->options.sites = sites;
    fixture->options.retry.scale = 1.0;
    start(fixture);
    return sites;
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
        int before = atomic_load(&receivers[0].accepted);
        submit_as(fixture, 7, 0);
        for (int wait = 0; wait < 20000 && !receiver_took(&receivers[0], address); wait++)
            receiver_pause(1);
        assert_true(receiver_took(&receivers[0], address));
        int meanwhile = atomic_load(&receivers[0].accepted) - before - 1;
        if (meanwhile > 5)
            fail_msg("%d mails of the campaign went before a transactional one", meanwhile);
    }
    fixture->count = 0;
    crowd(fixture, 5, "r1.example");
    int before = atomic_load(&receivers[0].accepted);
    submit(fixture);
    wait_until_accepted(&receivers[1], 1);
    assert_true(atomic_load(&receivers[0].accepted) - before <= 3);
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
    for (int i = 0, from = accepted_by_both(receivers); i < 15000 && accepted_by_both(receivers) < from + more; i++)
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
    submit(fixture);
    wait_until_accepted(&receivers[0], 1);
    double begun = seconds_now();
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

/* ── sources (S51, S77) ── */

struct new_source {
    uint8_t last;
    unsigned weight;
    const char *caps; /* of a warm-up; NULL: none */
    const char *pool; /* NULL: the default */
    bool is_public;   /* behind a translator of addresses: 203.0.113.LAST */
};
static bool source_run(struct db *db, struct fault *why, void *context)
{
    const struct new_source *new = context;
    char name[32];
    snprintf(name, sizeof(name), "out%d.example", new->last);
    struct source source = {.ip = ip_v4(127, 88, 0, new->last),
                            .ehlo_name = slice_str(name),
                            .pool = new->pool ? slice_str(new->pool) : SLICE("default"),
                            .weight = new->weight};
    if (new->last == 99) /* not an address of this machine */
        source.ip = ip_v4(192, 0, 2, 1);
    if (new->is_public)
        source.public_ip = ip_v4(203, 0, 113, new->last);
    return source_add(db, why, &source, 1795321800000) &&
           (!new->caps || warm_up_begin(db, why, source.id, SLICE("*"), slice_str(new->caps), 1795321800000));
}
static void add_source(struct fixture *fixture, struct new_source source)
{
    test_write(fixture->store.store, source_run, &source);
}
static int from(struct fixture *fixture, int last)
{
    return atomic_load(&fixture->receivers[0].taken_from[last]);
}
static void open_house_of_sources(struct fixture *fixture)
{
    open_house(fixture);
    engine_stop(fixture->engine, 0);
    fixture->engine = NULL;
}

static void sources_share_by_weight_and_drain(void **state)
{
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){.slow_ms = 10};
    open_house_of_sources(fixture);
    add_source(fixture, (struct new_source){1, 3, NULL});
    add_source(fixture, (struct new_source){2, 1, NULL});
    add_source(fixture, (struct new_source){99, 1, NULL}); /* an address that is not ours: nobody suffers from it */
    start(fixture);
    crowd(fixture, 2000, "r0.example");
    submit(fixture);
    wait_until_accepted(&receivers[0], 300);
    assert_int_equal(from(fixture, 1) + from(fixture, 2), atomic_load(&receivers[0].accepted));
    assert_true(from(fixture, 2) > 20 && from(fixture, 1) > 20);
    assert_int_equal(atomic_load(&receivers[0].strange_ehlo), 0);
    assert_true(atomic_load(&receivers[0].open_most) <= 20); /* ten for each source */
    test_write(fixture->store.store, do_run, (char[]){"UPDATE source SET state = 'draining' WHERE ip = '127.88.0.1'"});
    int before = count_at_rest(&receivers[0].taken_from[1], 1500), others = from(fixture, 2);
    wait_until_state(fixture, "drained", DELIVERY_DELIVERED, 2000);
    assert_int_equal(from(fixture, 1), before);
    assert_true(from(fixture, 2) > others);
    assert_int_equal(events(fixture, EVENT_DEFERRED), 0);
    nobody_twice(fixture, "sources");
    leave(fixture);
}

static void one_by_one_the_weights_hold(void **state)
{
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){0};
    open_house_of_sources(fixture);
    add_source(fixture, (struct new_source){1, 3, NULL});
    add_source(fixture, (struct new_source){2, 1, NULL});
    fixture->options.idle_ms = 1; /* a connection for each mail */
    start(fixture);
    for (int i = 0; i < 40; i++) {
        char local[16];
        snprintf(local, sizeof(local), "p%d", i);
        fixture->count = 0;
        person(fixture, local, "r0.example");
        submit(fixture);
        wait_until_accepted(&receivers[0], i + 1);
        receiver_pause(120); /* its answer comes in two pieces, the second one after a delayed ACK */
    }
    int one = from(fixture, 1);
    if (one < 26 || one > 34)
        fail_msg("%d of 40 by a source of weight 3 beside one of weight 1; %d connections", one,
                 atomic_load(&receivers[0].seen));
    fixture->count = 40;
    leave(fixture);
}

/* R28, S50: never more than the cap, however often it is restarted; what it may not send goes by a warm source, and
 * without one it waits. */
static void a_warm_up_holds_across_restarts(void **state)
{
    enum { CAP = 50, OWED = 400 };
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){.slow_ms = 2};
    open_house_of_sources(fixture);
    add_source(fixture, (struct new_source){1, 1, "50,100"});
    start(fixture);
    crowd(fixture, OWED, "r0.example");
    submit(fixture);
    for (int i = 0; i < 5; i++) {
        receiver_pause(60 * i);
        engine_stop(fixture->engine, i % 2 ? 2000 : 0);
        start(fixture);
    }
    int sent = count_at_rest(&receivers[0].taken_from[1], 2500);
    if (sent > CAP || sent < CAP / 2) /* a stop that does not wait loses what was under way */
        fail_msg("%d left by a source with a cap of %d", sent, CAP);
    assert_true(in_state(fixture, DELIVERY_DELIVERED) <= sent); /* some may be in doubt */
    assert_true(number(fixture, "SELECT MAX(reserved) FROM daily_use") <= CAP);
    add_source(fixture, (struct new_source){2, 1, NULL});
    wait_until_state(fixture, "overflow", DELIVERY_DELIVERED, OWED);
    assert_true(from(fixture, 1) <= CAP);
    assert_true(from(fixture, 2) >= OWED - CAP);
    assert_int_equal(events(fixture, EVENT_DEFERRED), 0);
    nobody_twice(fixture, "warm-up");
    leave(fixture);
}

/* S68, D18: a source that a blocklist names drains, and nothing new leaves it; 127.255.255.254 is no listing. */
static void a_listed_source_drains(void **state)
{
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){.slow_ms = 20};
    open_house_of_sources(fixture);
    add_source(fixture, (struct new_source){1, 1, NULL});
    add_source(fixture, (struct new_source){2, 1, NULL});
    fixture->options.blocklists = SLICE("bl.example, other.example");
    start(fixture);
    crowd(fixture, 1500, "r0.example");
    submit(fixture);
    for (int i = 0;
         i < 12000 && number(fixture, "SELECT COUNT(*) FROM source WHERE trouble = 'listed by bl.example'") == 0; i++)
        receiver_pause(5);
    assert_int_equal(number(fixture, "SELECT COUNT(*) FROM source WHERE trouble <> ''"), 1);
    int before = count_at_rest(&receivers[0].taken_from[1], 1500), others = from(fixture, 2);
    wait_until_accepted(&receivers[0], atomic_load(&receivers[0].accepted) + 100);
    assert_int_equal(from(fixture, 1), before);
    assert_true(from(fixture, 2) >= others + 100);
    assert_int_equal(number(fixture, "SELECT COUNT(*) FROM source WHERE ip = '127.88.0.1' AND trouble <> ''"), 1);
    leave(fixture);
}

/* S67, D05, M18: an address without a PTR that leads back, or whose EHLO name leads elsewhere, sends nothing; what the
 * DNS does not say condemns nobody */
static void names_that_do_not_fit(void **state)
{
    static const struct {
        uint8_t last;
        const char *trouble;
    } rows[] = {{11, ""},
                {12, "203.0.113.12 has no PTR record"},
                {13, "its PTR out11.example does not lead back to 203.0.113.13"},
                {14, "its EHLO name out14.example does not lead to 203.0.113.14"},
                {15, ""}};
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){.slow_ms = 5};
    open_house_of_sources(fixture);
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        add_source(fixture, (struct new_source){.last = rows[i].last, .weight = 1, .is_public = true});
    fixture->options.checks_names = true;
    start(fixture);
    for (int i = 0; i < 12000 && number(fixture, "SELECT COUNT(*) FROM source WHERE trouble <> ''") < 3; i++)
        receiver_pause(5);
    char sql[200];
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        snprintf(sql, sizeof(sql), "SELECT COUNT(*) FROM source WHERE ip = '127.88.0.%d' AND trouble = '%s'",
                 rows[i].last, rows[i].trouble);
        assert_int_row(sql, number(fixture, sql), 1);
    }
    engine_stop(fixture->engine, 0); /* the next one begins with these opinions */
    start(fixture);
    crowd(fixture, 200, "r0.example");
    submit(fixture);
    wait_until_state(fixture, "by good names", DELIVERY_DELIVERED, 200);
    assert_int_equal(from(fixture, 11) + from(fixture, 15), 200);
    assert_true(from(fixture, 11) > 0 && from(fixture, 15) > 0);
    assert_int_equal(atomic_load(&receivers[0].strange_ehlo), 0);
    leave(fixture);
}

/* S68, S77: a pool whose day is used up, then a pool whose source drains: another one stands in, and gives it back. */
static void another_pool_stands_in(void **state)
{
    enum { CAP = 50, OWED = 200 };
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){.slow_ms = 2};
    open_house_of_sources(fixture);
    add_source(fixture, (struct new_source){1, 1, "50,100", "a"});
    add_source(fixture, (struct new_source){2, 1, NULL, "b"});
    test_write(
        fixture->store.store, do_run,
        (char[]){"INSERT INTO brand (id, name, from_name, from_address, return_path_domain, link_base, created_ms, "
                 "pool) VALUES (71, 'a', '', '', '', '', 1, 'a')"});
    test_write(fixture->store.store, do_run,
               (char[]){"INSERT INTO pool_stand_in (pool, stand_in, changed_ms) VALUES ('a', 'b', 1)"});
    start(fixture);
    crowd(fixture, OWED, "r0.example");
    submit_as(fixture, 71, 5);
    wait_until_state(fixture, "a day that is used up", DELIVERY_DELIVERED, OWED);
    assert_true(from(fixture, 1) <= CAP && from(fixture, 1) > CAP / 2);
    assert_int_equal(from(fixture, 1) + from(fixture, 2), OWED);
    add_source(fixture, (struct new_source){3, 1, NULL, "a"}); /* the pool has a way again, until that drains */
    for (int drains = 0; drains < 2; drains++) {
        if (drains)
            test_write(fixture->store.store, do_run,
                       (char[]){"UPDATE source SET state = 'draining' WHERE ip = '127.88.0.3'"});
        int expected = drains ? 2 : 3, was = from(fixture, expected), before = atomic_load(&receivers[0].accepted);
        for (int tries = 0; tries < 60; tries++) { /* what is decided is read every two seconds */
            char local[32];
            snprintf(local, sizeof(local), "more%d-%d", drains, tries);
            fixture->count = 0;
            person(fixture, local, "r0.example");
            submit_as(fixture, 71, 5);
            wait_until_accepted(&receivers[0], before + tries + 1);
            if (from(fixture, expected) > was)
                break;
            receiver_pause(200);
        }
        assert_true(from(fixture, expected) > was);
    }
    assert_int_equal(events(fixture, EVENT_DEFERRED), 0);
    leave(fixture);
}

/* A store that the other nodes hear of, as a server has it. */
static struct store *store_of_node(struct fixture *fixture, unsigned node)
{
    const struct store_options options = {.role = STORE_SERVE, .node = node};
    struct fault why;
    struct store *store = store_open(fixture->store.url, &options, &why);
    if (!store)
        fail_msg("%s", why.text);
    return store;
}

/* Another node on the same store. */
struct neighbour {
    struct leases leases;
    struct engine_options options;
    struct engine *engine;
};
static void neighbour_start(struct fixture *fixture, struct neighbour *neighbour)
{
    struct fault why;
    neighbour->leases = (struct leases){.node = 2};
    neighbour->options = fixture->options;
    neighbour->options.ledger = (struct ledger){.leases = &neighbour->leases, .node = 2};
    neighbour->options.store = store_of_node(fixture, 2);
    if (!engine_start(&neighbour->options, &neighbour->engine, &why))
        fail_msg("%s", why.text);
}

static void neighbour_stop(struct neighbour *neighbour)
{
    engine_stop(neighbour->engine, 2000);
    store_close(neighbour->options.store);
}

/* R28: what a rule says of all our sources together, by two pools, on PostgreSQL on two nodes: in no window more mails,
 * at no moment more connections; and nobody gets nothing. */
static void a_limit_over_all_sources_is_kept(void **state)
{
    enum { EACH = 100, CONNECTIONS = 3, RATE = 60 };
    HOUSE(fixture, state, 1);
    struct neighbour neighbour = {.engine = NULL};
    receivers[0] = (struct receiver){.slow_ms = 5};
    struct sites *sites =
        open_house_with(fixture, "connections: 5\nrate: none\ntotal_connections: 3\ntotal_rate: 60/s\n");
    engine_stop(fixture->engine, 0);
    add_source(fixture, (struct new_source){1, 1, NULL, "a"});
    add_source(fixture, (struct new_source){2, 1, NULL, "b"});
    test_write(
        fixture->store.store, do_run,
        (char[]){"INSERT INTO brand (id, name, from_name, from_address, return_path_domain, link_base, created_ms, "
                 "pool) VALUES (71, 'a', '', '', '', '', 1, 'a'), (72, 'b', '', '', '', '', 1, 'b')"});
    fixture->options.idle_ms = 5000;
    if (store_is_postgres(fixture->store.store))
        fixture->options.store = store_of_node(fixture, 1);
    start(fixture);
    if (store_is_postgres(fixture->store.store))
        neighbour_start(fixture, &neighbour);
    crowd(fixture, EACH, "r0.example");
    submit_as(fixture, 71, 5);
    submit_as(fixture, 72, 6);
    wait_until_accepted(&receivers[0], 1);
    double begun = seconds_now();
    for (int i = 1; i <= 8; i++) {
        receiver_pause(250);
        int taken = atomic_load(&receivers[0].accepted);
        double seconds = seconds_now() - begun;
        if (taken > RATE * seconds + 16) /* a mail may be on its way for a moment */
            fail_msg("%d mails in %.0f ms", taken, seconds * 1000);
    }
    wait_until_state(fixture, "total", DELIVERY_DELIVERED, 2 * EACH);
    /* one that has said goodbye may not have been heard of */
    assert_true(atomic_load(&receivers[0].open_most) <= CONNECTIONS + 1);
    assert_int_equal(from(fixture, 1), EACH);
    assert_int_equal(from(fixture, 2), EACH);
    if (neighbour.engine) {
        assert_true(number(fixture, "SELECT COUNT(DISTINCT node) FROM delivery") == 2);
        neighbour_stop(&neighbour);
    }
    engine_stop(fixture->engine, 2000);
    if (neighbour.engine)
        store_close(fixture->options.store);
    fixture->engine = NULL;
    sites_free(sites);
    fixture->options.sites = NULL;
    leave(fixture);
}

/* R28: an address that every node has keeps its rule over all of them, also while the second one comes beside the first
 * in the middle of a crowd; and both send. */
static void a_source_of_all_nodes_keeps_its_limits(void **state)
{
    enum { PEOPLE = 180, CONNECTIONS = 4, RATE = 40 };
    HOUSE(fixture, state, 1);
    struct neighbour neighbour = {.engine = NULL};
    receivers[0] = (struct receiver){.slow_ms = 5};
    struct sites *sites = open_house_with(fixture, "connections: 4\nrate: 40/s\n");
    engine_stop(fixture->engine, 0);
    add_source(fixture, (struct new_source){1, 1, NULL});
    fixture->options.store = store_of_node(fixture, 1);
    start(fixture);
    crowd(fixture, PEOPLE, "r0.example");
    submit_as(fixture, 7, 5);
    wait_until_accepted(&receivers[0], 20);
    int before = atomic_load(&receivers[0].accepted);
    double begun = seconds_now();
    neighbour_start(fixture, &neighbour);
    while (in_state(fixture, DELIVERY_DELIVERED) < PEOPLE && seconds_now() - begun < 60) {
        receiver_pause(100);
        int taken = atomic_load(&receivers[0].accepted) - before;
        double seconds = seconds_now() - begun;
        if (taken > RATE * seconds + 16) /* a mail may be on its way for a moment */
            fail_msg("%d mails in %.0f ms", taken, seconds * 1000);
    }
    wait_until_state(fixture, "shared", DELIVERY_DELIVERED, PEOPLE);
    /* one that has said goodbye may not have been heard of */
    assert_true(atomic_load(&receivers[0].open_most) <= CONNECTIONS + 1);
    assert_int_equal(number(fixture, "SELECT COUNT(DISTINCT node) FROM delivery"), 2);
    assert_true(number(fixture, "SELECT COUNT(*) FROM site_total WHERE site LIKE '% !source %'") > 0);
    nobody_twice(fixture, "shared");
    neighbour_stop(&neighbour);
    engine_stop(fixture->engine, 2000);
    store_close(fixture->options.store);
    fixture->engine = NULL;
    sites_free(sites);
    fixture->options.sites = NULL;
    leave(fixture);
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
    for (int i = 0; i < 4000 && slow_count(slow, &has_urgent) < 500; i++)
        receiver_pause(5);
    receiver_pause(50);
    assert_int_equal(slow_count(slow, &has_urgent), 500);
    assert_false(has_urgent);
    fixture->count = 0;
    person(fixture, "urgent", "r0.example");
    submit_as(fixture, 7, 0);
    for (int i = 0; i < 4000 && !has_urgent; i++, receiver_pause(5))
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

/* What the store has no part in, once. */
#define ON_SQLITE(test)                                                                                                \
    {                                                                                                                  \
#test, test, NULL, NULL, (void *)(uintptr_t) "sqlite"                                                          \
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
        ON_SQLITE(sources_share_by_weight_and_drain),
        ON_SQLITE(one_by_one_the_weights_hold),
        ON_BOTH(a_warm_up_holds_across_restarts),
        ON_SQLITE(a_listed_source_drains),
        ON_SQLITE(names_that_do_not_fit),
        ON_BOTH(a_limit_over_all_sources_is_kept),
        {"a_source_of_all_nodes_keeps_its_limits (postgres)", a_source_of_all_nodes_keeps_its_limits, NULL, NULL,
         (void *)(uintptr_t) "postgres"},
        ON_SQLITE(another_pool_stands_in),
        ON_SQLITE(many_domains_are_no_flood_of_questions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
