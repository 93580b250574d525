/* Identical mail for several recipients in one transaction: R20, M12, R22; over real sockets. */
#include "deliver/house_test.h"

/* The house, and everybody's mail is the same one; it is all due when the engine starts. */
static void open_with(struct fixture *fixture, unsigned together)
{
    fixture->together = together;
    open_house(fixture);
    engine_stop(fixture->engine, 0);
    fixture->engine = NULL;
}

static struct sites *rules_of(const char *rules)
{
    struct sites *sites = sites_new();
    struct fault why;
    char text[400];
    snprintf(text, sizeof(text), "name: default\nlabel: all\nnew_connections: none\ndaily: none\ntls: may\n%s", rules);
    if (!sites_read(sites, "default.yaml", slice_str(text), false, &why) || !sites_settle(sites, false, &why))
        fail_msg("%s", why.text);
    return sites;
}

static void fifty_go_together(void **state)
{
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){0};
    open_with(fixture, 100);
    crowd(fixture, 50, "r0.example");
    submit(fixture);
    start(fixture);
    wait_until_state(fixture, "fifty", DELIVERY_DELIVERED, 50);
    nobody_twice(fixture, "fifty");
    /* one transaction, nearly always: a busy machine may claim them in pieces */
    int most = atomic_load(&receivers[0].together_most), transactions = atomic_load(&receivers[0].transactions);
    if (most < 4 || transactions > 12)
        fail_msg("%d transactions, %d recipients in one", transactions, most);
    assert_int_equal(events(fixture, EVENT_DELIVERED), 50);
    leave(fixture);
}

/* Whoever has a mail of his own goes alone, and nobody else's mail gets to him; other domains of the same hosts go by
 * themselves too. */
static void only_the_same_mail_goes_together(void **state)
{
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){0};
    open_with(fixture, 30);
    char local[16];
    for (int i = 0; i < 20; i++) {
        snprintf(local, sizeof(local), "p%d", i);
        person(fixture, local, "r0.example");
        person(fixture, local, "same0.example");
        snprintf(local, sizeof(local), "own%d", i);
        person(fixture, local, "r0.example");
    }
    submit(fixture);
    start(fixture);
    wait_until_state(fixture, "own", DELIVERY_DELIVERED, 60);
    nobody_twice(fixture, "own");
    int most = atomic_load(&receivers[0].together_most), transactions = atomic_load(&receivers[0].transactions);
    if (most < 2 || most > 20 || transactions < 22 || transactions > 50)
        fail_msg("%d transactions, %d recipients in one", transactions, most);
    leave(fixture);
}

static int64_t ended(struct fixture *fixture)
{
    return in_state(fixture, DELIVERY_DELIVERED) + in_state(fixture, DELIVERY_BOUNCED);
}
static int64_t events_at(struct fixture *fixture, size_t receiver, enum event_kind kind)
{
    char sql[160];
    snprintf(sql, sizeof(sql), "SELECT COUNT(*) FROM event WHERE kind = %d AND address LIKE '%%@r%zu.example'", kind,
             receiver);
    return number(fixture, sql);
}

/* What a host says to one of them, or to all: each row with and without PIPELINING, fifty people. */
static void each_has_an_outcome_of_his_own(void **state)
{
    enum { PEOPLE = 50 };
    static const struct {
        const char *name;
        struct receiver receiver;
        int bounced, deferred; /* events; -1: any number */
        bool may_be_doubtful;
        int most; /* recipients of a transaction that was taken; 0: any number */
    } rows[] = {
        {.name = "all is well"},
        {.name = "550 for some",
         .receiver = {.script = {{STAGE_RCPT, "550 5.1.1 user unknown", 0, "p1"}}},
         .bounced = 11}, /* p1 and p10 to p19 */
        {.name = "450 for one",
         .receiver = {.script = {{STAGE_RCPT, "450 4.2.0 greylisted", 1, "p2@"}}},
         .deferred = 1},
        {.name = "452 from the tenth on", .receiver = {.recipients = 9}, .most = 9},
        {.name = "452 from the second on", .receiver = {.recipients = 1}, .most = 1},
        {.name = "550 for some, 452 for others",
         .receiver = {.recipients = 7, .script = {{STAGE_RCPT, "550 5.1.1 user unknown", 0, "p3"}}},
         .bounced = 11,
         .most = 7},
        {.name = "452 to the first", .receiver = {.script = {{STAGE_RCPT, "452 4.5.3 too many", 1}}}, .deferred = 1},
        {.name = "LIMITS RCPTMAX", .receiver = {.says_rcptmax = 8, .recipients = 8}, .most = 8},
        {.name = "4xx at DATA", .receiver = {.script = {{STAGE_DATA, "451 4.3.0 later", 1}}}, .deferred = -1},
        {.name = "4xx at the dot", .receiver = {.script = {{STAGE_DOT, "451 4.3.0 later", 1}}}, .deferred = -1},
        {.name = "4xx at MAIL", .receiver = {.script = {{STAGE_MAIL, "451 4.3.0 later", 1}}}, .deferred = -1},
        {.name = "421 to one", .receiver = {.script = {{STAGE_RCPT, "421 4.3.2 busy", 1, "p5@"}}}, .deferred = -1},
        {.name = "reset in the middle", .receiver = {.script = {{STAGE_RCPT, "RESET", 1, "p6@"}}}},
        {.name = "closed at DATA", .receiver = {.script = {{STAGE_DATA, "CLOSE", 1}}}},
        {.name = "taken and never said",
         .receiver = {.script = {{STAGE_DOT, "TAKE_AND_CLOSE", 1}}},
         .may_be_doubtful = true},
        {.name = "garbage after the dot", .receiver = {.script = {{STAGE_DOT, "GARBAGE", 1}}}, .may_be_doubtful = true},
    };
    /* one receiver for each row, with and without PIPELINING */
    HOUSE(fixture, state, 2 * COUNT_OF(rows));
    for (size_t i = 0; i < 2 * COUNT_OF(rows); i++) {
        receivers[i] = rows[i / 2].receiver;
        receivers[i].no_pipelining = receivers[i].is_prompt = i % 2;
    }
    open_with(fixture, 1000);
    for (size_t i = 0; i < 2 * COUNT_OF(rows); i++) {
        char domain[32];
        snprintf(domain, sizeof(domain), "r%zu.example", i);
        crowd(fixture, PEOPLE, domain);
    }
    submit(fixture);
    start(fixture);
    for (int wait = 0; wait < 12000 && ended(fixture) < (int64_t)fixture->count; wait++)
        receiver_pause(5);
    assert_int_equal(ended(fixture), fixture->count);
    for (size_t i = 0; i < 2 * COUNT_OF(rows); i++) {
        char name[80];
        snprintf(name, sizeof(name), "%s%s", rows[i / 2].name, i % 2 ? ", without PIPELINING" : "");
        int64_t doubtful = events_at(fixture, i, EVENT_IN_DOUBT);
        if (rows[i / 2].bounced >= 0)
            assert_int_row(name, events_at(fixture, i, EVENT_BOUNCED), rows[i / 2].bounced);
        if (rows[i / 2].deferred >= 0)
            assert_int_row(name, events_at(fixture, i, EVENT_DEFERRED), rows[i / 2].deferred);
        if (!rows[i / 2].may_be_doubtful)
            assert_int_row(name, doubtful, 0);
        else if (doubtful < 1 ||
                 events_at(fixture, i, EVENT_RELEASED) != doubtful) /* R22: one transaction, all named */
            fail_msg("%s: %lld in doubt", name, (long long)doubtful);
        if (rows[i / 2].most)
            assert_in_range(atomic_load(&receivers[i].together_most), 1, rows[i / 2].most);
    }
    nobody_twice(fixture, "outcomes");
    leave(fixture);
}

/* R20: who had no room goes in the next transaction, on the same connection; how many the host took is remembered, and
 * the next ones are not told again. */
static void what_a_host_took_is_remembered(void **state)
{
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){.recipients = 12};
    struct sites *sites = rules_of("connections: 1\nmessages_per_connection: 1000\nrate: none\n");
    open_with(fixture, 100);
    fixture->options.sites = sites;
    fixture->options.idle_ms = 60000; /* slow to hand in: it stays open */
    crowd(fixture, 60, "r0.example");
    submit(fixture);
    start(fixture);
    wait_until_state(fixture, "remembered", DELIVERY_DELIVERED, 60);
    int too_many = atomic_load(&receivers[0].too_many);
    assert_true(too_many > 0);
    for (int i = 60; i < 120; i++) {
        char local[16];
        snprintf(local, sizeof(local), "p%d", i);
        person(fixture, local, "r0.example");
    }
    submit(fixture);
    wait_until_state(fixture, "remembered", DELIVERY_DELIVERED, 120);
    assert_int_equal(atomic_load(&receivers[0].too_many), too_many);
    assert_int_equal(atomic_load(&receivers[0].together_most), 12);
    assert_int_equal(atomic_load(&receivers[0].seen), 1);
    assert_int_equal(events(fixture, EVENT_DEFERRED), 0);
    nobody_twice(fixture, "remembered");
    leave(fixture);
    sites_free(sites);
}

/* Who is excluded at the last moment stays at home, before MAIL FROM, and nobody hangs up on the host for it. */
static void one_excluded_at_the_last_moment(void **state)
{
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){0};
    open_with(fixture, 100);
    fixture->suppress = "p7@";
    crowd(fixture, 40, "r0.example");
    submit(fixture);
    start(fixture);
    wait_until_state(fixture, "excluded", DELIVERY_SUPPRESSED, 1);
    wait_until_state(fixture, "excluded", DELIVERY_DELIVERED, 39);
    assert_int_equal(receiver_took(&receivers[0], "p7@r0.example"), 0);
    assert_int_equal(atomic_load(&receivers[0].seen), 1);
    assert_true(atomic_load(&receivers[0].together_most) >= 2);
    leave(fixture);
}

/* R28: recipients count, not transactions: of one transaction, on one connection, in any second. */
static void the_rules_of_the_site_hold(void **state)
{
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){0};
    struct sites *sites =
        rules_of("connections: 10\nrecipients_per_transaction: 15\nmessages_per_connection: 25\nrate: 60/s\n");
    open_with(fixture, 1000);
    fixture->options.sites = sites;
    fixture->options.retry.scale = 1.0;
    crowd(fixture, 150, "r0.example");
    submit(fixture);
    start(fixture);
    wait_until_accepted(&receivers[0], 1);
    time_ms begun = world_monotonic(&fixture->world);
    for (int i = 0; i < 8; i++) {
        receiver_pause(200);
        int accepted = atomic_load(&receivers[0].accepted);
        double seconds = (double)(world_monotonic(&fixture->world) - begun) / 1000.0;
        if (accepted > 60 * (seconds + 1.1))
            fail_msg("%d recipients in %.2f s", accepted, seconds);
    }
    wait_until_state(fixture, "rules", DELIVERY_DELIVERED, 150);
    assert_in_range(atomic_load(&receivers[0].together_most), 2, 15);
    assert_true(atomic_load(&receivers[0].seen) >= 150 / 25);
    nobody_twice(fixture, "rules");
    leave(fixture);
    sites_free(sites);
}

/* R26: each reply comes in time, and all of them together would hold the connection for too long. */
static void a_slow_word_for_each(void **state)
{
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){.slow_rcpt_ms = 400, .no_pipelining = true, .is_prompt = true};
    fixture->timeouts = 2 * TIMEOUTS; /* 9 s for a message to sixty, who take 24 */
    open_with(fixture, 100);
    crowd(fixture, 60, "r0.example");
    submit(fixture);
    start(fixture);
    for (int i = 0; i < 12000 && !number(fixture, "SELECT COUNT(*) FROM event WHERE kind = 4 AND diagnostic LIKE "
                                                  "'%time being used up%'");
         i++)
        receiver_pause(5);
    assert_int_equal(atomic_load(&receivers[0].together_most), 0);
    atomic_store(&receivers[0].slow_rcpt_ms, 0);
    wait_until_state(fixture, "slow", DELIVERY_DELIVERED, 60);
    assert_int_equal(events(fixture, EVENT_IN_DOUBT), 0);
    nobody_twice(fixture, "slow");
    leave(fixture);
}

/* F1, F5: stopped at once, in the middle, again and again: nobody is lost, and who may have got it twice was in doubt.
 */
static void stopped_in_the_middle(void **state)
{
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){.slow_ms = 15, .recipients = 25};
    open_with(fixture, 40);
    crowd(fixture, 600, "r0.example");
    submit(fixture);
    for (int i = 0; i < 6; i++) {
        start(fixture);
        receiver_pause(10 + 15 * i);
        engine_stop(fixture->engine, i % 3 == 2 ? 1000 : 0);
        fixture->engine = NULL;
    }
    start(fixture);
    wait_until_state(fixture, "stopped", DELIVERY_DELIVERED, 600);
    nobody_twice(fixture, "stopped");
    leave(fixture);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        ON_BOTH(fifty_go_together),
        ON_BOTH(only_the_same_mail_goes_together),
        ON_BOTH(a_slow_word_for_each),
        ON_BOTH(each_has_an_outcome_of_his_own),
        ON_BOTH(what_a_host_took_is_remembered),
        ON_BOTH(one_excluded_at_the_last_moment),
        ON_BOTH(the_rules_of_the_site_hold),
        ON_BOTH(stopped_in_the_middle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
