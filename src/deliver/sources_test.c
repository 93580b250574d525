/* By which address: weights, warm-ups, lists, names, pools that stand in, limits that are shared; over real sockets.
 * R17, R28, S50, S51, S67, S68, S77, U12, D05, D18, M18. */
#include "deliver/house_test.h"
#include "shape/allowance.h"
#include "shape/source.h"

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

/* R28: a source changes its pool, and the mail with it, in the middle of a campaign: for receivers it is the same
 * address, and its limits there are what they were. */
static void a_source_that_changes_its_pool(void **state)
{
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){.slow_ms = 3000};
    open_house_of_sources(fixture);
    add_source(fixture, (struct new_source){1, 1, NULL});
    fixture->options.timeouts.factor = 0.1;
    start(fixture);
    crowd(fixture, 25, "r0.example");
    submit(fixture);
    for (int i = 0; i < 2000 && atomic_load(&receivers[0].open_most) < 10; i++)
        receiver_pause(5);
    assert_int_equal(atomic_load(&receivers[0].open_most), 10);
    test_write(fixture->store.store, do_run, (char[]){"UPDATE lane SET pool = 'news'"});
    test_write(fixture->store.store, do_run, (char[]){"UPDATE source SET pool = 'news'"});
    wait_until_state(fixture, "moved", DELIVERY_DELIVERED, 25);
    assert_int_equal(from(fixture, 1), 25);
    assert_int_equal(atomic_load(&receivers[0].open_most), 10);
    assert_int_equal(events(fixture, EVENT_DEFERRED), 0);
    nobody_twice(fixture, "moved");
    leave(fixture);
}

static bool plan_run(struct db *db, struct fault *why, void *context)
{
    int64_t id;
    return db_query_ints(db, why, "SELECT id FROM source", NO_VALUES, &id, 1, NULL) &&
           warm_up_begin(db, why, (uint64_t)id, SLICE("*"), slice_str(context), 1795321800000);
}

/* R28, S50: a plan begins while a campaign goes out at full speed: it holds at once, not when somebody happens to ask.
 */
static void a_plan_that_begins_in_the_middle_of_a_campaign(void **state)
{
    enum { OWED = 4500, BEFORE = 200, CAP = 50, SECONDS = 5, A_SECOND = 250 };
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){.slow_ms = 10 * 1000 / A_SECOND};
    open_house_of_sources(fixture);
    add_source(fixture, (struct new_source){1, 1, NULL});
    start(fixture);
    crowd(fixture, OWED, "r0.example");
    submit(fixture);
    wait_until_accepted(&receivers[0], BEFORE);
    int before = from(fixture, 1);
    test_write(fixture->store.store, plan_run, (char[]){"50,100"});
    int sent = count_at_rest(&receivers[0].taken_from[1], 2500) - before;
    if (sent < CAP || sent > CAP + SECONDS * A_SECOND)
        fail_msg("%d more left behind the beginning of a plan of %d", sent, CAP);
    assert_int_equal(number(fixture, "SELECT reserved FROM daily_use"), CAP);
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
    engine_stop(fixture->engine, 2000); /* and nobody asks that list any more: nothing would ever lift it */
    fixture->options.blocklists = SLICE("");
    start(fixture);
    for (int i = 0; i < 6000 && number(fixture, "SELECT COUNT(*) FROM source WHERE trouble <> ''"); i++)
        receiver_pause(5);
    assert_int_equal(number(fixture, "SELECT COUNT(*) FROM source WHERE trouble <> ''"), 0);
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
    assert_true(atomic_load(&receivers[0].open_most) <= CONNECTIONS);
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
    assert_true(atomic_load(&receivers[0].open_most) <= CONNECTIONS);
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

/* R28: connections are counted as the receiver counts them: one that has said QUIT stands until it is closed. */
static void a_goodbye_counts_until_it_is_heard(void **state)
{
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){.slow_quit_ms = 250};
    struct sites *sites = open_house_with(fixture, "connections: 2\nrate: none\n"); /* 100 mails each */
    crowd(fixture, 600, "r0.example");
    submit(fixture);
    wait_until_state(fixture, "goodbye", DELIVERY_DELIVERED, 600);
    assert_int_equal(atomic_load(&receivers[0].open_most), 2);
    assert_true(atomic_load(&receivers[0].seen) >= 6);
    nobody_twice(fixture, "goodbye");
    engine_stop(fixture->engine, 2000);
    fixture->engine = NULL;
    sites_free(sites);
    fixture->options.sites = NULL;
    leave(fixture);
}

int main(int argc, char **argv)
{
    if (argc > 1) /* one story alone: sources_test "*limit*" */
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        ON_SQLITE(sources_share_by_weight_and_drain),
        ON_SQLITE(one_by_one_the_weights_hold),
        ON_BOTH(a_source_that_changes_its_pool),
        ON_BOTH(a_plan_that_begins_in_the_middle_of_a_campaign),
        ON_BOTH(a_warm_up_holds_across_restarts),
        ON_SQLITE(a_listed_source_drains),
        ON_SQLITE(names_that_do_not_fit),
        ON_BOTH(a_limit_over_all_sources_is_kept),
        {"a_source_of_all_nodes_keeps_its_limits (postgres)", a_source_of_all_nodes_keeps_its_limits, NULL, NULL,
         (void *)(uintptr_t) "postgres"},
        ON_SQLITE(another_pool_stands_in),
        ON_SQLITE(a_goodbye_counts_until_it_is_heard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
