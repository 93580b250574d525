/* What nobody writes to any more leaves memory, and comes back without exceeding anything: R28, F11; over real sockets.
 * An hour is 0.7 s here. */
#include "deliver/house_test.h"
#include "shape/allowance.h"

enum { MANY = 300, MOST = 20, WAIT_MS = 60000 };

/* A house whose receiver takes mail for any name below many.example, each by a host of its own. */
static struct sites *open_wide_house(struct fixture *fixture, const char *rules, double scale)
{
    struct sites *sites = sites_new();
    struct fault why;
    char text[400], zone[200];
    snprintf(text, sizeof(text), "name: default\nlabel: all\nmessages_per_connection: 100\ntls: may\n%s", rules);
    if (!sites_read(sites, "default.yaml", slice_str(text), false, &why) || !sites_settle(sites, false, &why))
        fail_msg("%s", why.text);
    open_house(fixture);
    engine_stop(fixture->engine, 0);
    resolver_free(fixture->world.resolver);
    snprintf(zone, sizeof(zone), "{\"*.many.example\":{\"A\":[\"%s\"]}}", fixture->receivers[0].ip);
    if (!(fixture->world.resolver = zone_resolver_of_json(slice_str(zone), &why)))
        fail_msg("%s", why.text);
    fixture->options.sites = sites;
    fixture->options.retry.scale = scale;
    fixture->options.idle_ms = 1;
    fixture->options.connections_most = 20; /* the receiver's backlog is short */
    return sites;
}

static void leave_house(struct fixture *fixture, struct sites *sites)
{
    engine_stop(fixture->engine, 2000);
    fixture->engine = NULL;
    leave(fixture);
    sites_free(sites);
}

static void submit_to(struct fixture *fixture, const char *local, int first, int count)
{
    fixture->count = 0;
    for (int i = 0; i < count; i++) {
        char domain[32];
        snprintf(domain, sizeof(domain), "d%d.many.example", first + i);
        person(fixture, local, domain);
    }
    submit(fixture);
}

static struct engine_figures wait_until_known(struct fixture *fixture, size_t routes, size_t destinations, size_t sites)
{
    struct engine_figures figures = {0};
    for (int waited = 0; waited < WAIT_MS; waited += 10, receiver_pause(10)) {
        figures = engine_figures(fixture->engine);
        if (figures.routes <= routes && figures.destinations <= destinations && figures.sites <= sites)
            return figures;
    }
    fail_msg("%zu routes, %zu destinations, %zu sites stay", figures.routes, figures.destinations, figures.sites);
    return figures;
}

/* Hours as they are: only the ceiling makes them go. They come and go in waves, some of them while they are asked. */
static void no_more_than_the_ceiling_rest(void **state)
{
    HOUSE(fixture, state, 1);
    struct sites *sites =
        open_wide_house(fixture, "connections: 10\nrate: 1000/s\nnew_connections: none\ndaily: none\n", 1.0);
    fixture->options.idle_most = MOST;
    start(fixture);
    submit_to(fixture, "first", 0, MANY);
    wait_until_state(fixture, "first", DELIVERY_DELIVERED, MANY);
    /* beside those that routes lead to as many destinations rest, and as many sites without any */
    struct engine_figures figures = wait_until_known(fixture, MOST, 2 * MOST, 3 * MOST);
    assert_true(figures.routes > 0); /* nobody goes without need */
    for (int wave = 1; wave <= 3; wave++) {
        char local[16];
        snprintf(local, sizeof(local), "wave%d", wave);
        submit_to(fixture, local, wave * 7, MANY / 5);
        wait_until_state(fixture, local, DELIVERY_DELIVERED, MANY + wave * (MANY / 5));
    }
    wait_until_known(fixture, MOST, 2 * MOST, 3 * MOST);
    for (int waited = 0; waited < WAIT_MS && engine_figures(fixture->engine).ways > 2 * MOST; waited += 10)
        receiver_pause(10); /* two workers: of the sites that are left not all have ways */
    assert_in_range(engine_figures(fixture->engine).ways, 0, 2 * MOST);
    assert_int_equal(atomic_load(&receivers[0].accepted), MANY + 3 * (MANY / 5));
    leave_house(fixture, sites);
}

/* R28: who was forgotten comes back with what the day has left, no more and no less. */
static void a_days_count_comes_back(void **state)
{
    enum { CAP = 200 };
    HOUSE(fixture, state, 1);
    struct sites *sites =
        open_wide_house(fixture, "connections: 10\nrate: 1000/s\nnew_connections: none\ndaily: 200\n", SCALE);
    start(fixture);
    int64_t day = allowance_day(world_wall(&fixture->world));
    submit_to(fixture, "first", 0, 1);
    wait_until_state(fixture, "first", DELIVERY_DELIVERED, 1);
    wait_until_known(fixture, 0, 0, 0);
    int64_t reserved = number(fixture, "SELECT CAST(SUM(reserved) AS BIGINT) FROM daily_use");
    if (day == allowance_day(world_wall(&fixture->world)))
        assert_int_equal(reserved, 1); /* what was not used has been given back */
    fixture->count = 0;
    crowd(fixture, CAP + 50, "d0.many.example");
    submit_as(fixture, 7, 6);
    wait_until_accepted(&receivers[0], CAP);
    int taken = count_at_rest(&receivers[0].accepted, 500);
    if (day == allowance_day(world_wall(&fixture->world)))
        assert_int_equal(taken, CAP);
    leave_house(fixture, sites);
}

/* R28: one an hour, which is 6 s here: however many rest, a site whose hour is not over stays, and its mail waits. */
static void an_open_window_keeps_its_site(void **state)
{
    enum { SITES = 4, HOUR_MS = 6000 };
    HOUSE(fixture, state, 1);
    struct sites *sites =
        open_wide_house(fixture, "connections: 2\nrate: 1/h\nnew_connections: none\ndaily: none\n", HOUR_MS / 3.6e6);
    fixture->options.idle_most = 1;
    start(fixture);
    submit_to(fixture, "p", 0, SITES);
    wait_until_accepted(&receivers[0], SITES);
    time_ms from = world_monotonic(&fixture->world);
    wait_until_state(fixture, "first", DELIVERY_DELIVERED, SITES);
    wait_until_known(fixture, 1, 2, SITES);
    bool is_late = world_monotonic(&fixture->world) - from >= HOUR_MS / 2;
    if (!is_late)
        assert_int_equal(engine_figures(fixture->engine).sites, SITES);
    submit_to(fixture, "q", 0, 1);
    wait_until_accepted(&receivers[0], SITES + 1);
    assert_true(world_monotonic(&fixture->world) - from >= HOUR_MS - 500);
    wait_until_state(fixture, "second", DELIVERY_DELIVERED, SITES + 1);
    leave_house(fixture, sites);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        {"no_more_than_the_ceiling_rest", no_more_than_the_ceiling_rest, NULL, NULL, (void *)(uintptr_t) "sqlite"},
        ON_BOTH(a_days_count_comes_back),
        {"an_open_window_keeps_its_site", an_open_window_keeps_its_site, NULL, NULL, (void *)(uintptr_t) "sqlite"},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
