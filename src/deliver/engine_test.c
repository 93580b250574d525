/* The whole engine, in this process, against scripted receivers over real sockets: R16, R21, R22, R23, R25, R28, R29,
 * R31, R34, R38, F5, U1, D14 (a reset is a deferral). */
#include "deliver/engine_inside.h"
#include "deliver/house_test.h"

/* ── stories ── */

static void a_crowd_is_delivered_over_few_connections(void **state)
{
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){.slow_ms = 1};
    open_house(fixture);
    crowd(fixture, 500, "r0.example");
    submit(fixture);
    wait_until_state(fixture, "crowd", DELIVERY_DELIVERED, 500);
    nobody_twice(fixture, "crowd");
    assert_int_equal(events(fixture, EVENT_DELIVERED), 500);
    assert_true(atomic_load(&receivers[0].open_most) <= 10); /* R28: the default for a site */
    assert_true(atomic_load(&receivers[0].messages_most) <= 100);
    assert_true(atomic_load(&receivers[0].seen) <= 30); /* reused */
    assert_int_equal(number(fixture, "SELECT COUNT(*) FROM delivery WHERE attempts = 1 AND version_id = 3"), 500);
    leave(fixture);
}

/* One person meets one answer: what becomes of the delivery, and what the other person notices of it (nothing). */
struct answer_row {
    const char *name;
    struct line line;
    enum delivery_state after;
    int deferred; /* events on the way */
    bool may_be_doubtful;
};
static const struct answer_row answers[] = {
    {"5xx at MAIL", {STAGE_MAIL, "550 5.7.1 no", 1}, DELIVERY_BOUNCED, 0},
    {"5xx at RCPT", {STAGE_RCPT, "550 5.1.1 user unknown", 0, "odd"}, DELIVERY_BOUNCED, 0},
    {"5xx at DATA", {STAGE_DATA, "554 5.7.1 spam", 0, "odd"}, DELIVERY_BOUNCED, 0},
    {"5xx at the dot", {STAGE_DOT, "554 5.7.1 spam", 0, "odd"}, DELIVERY_BOUNCED, 0},
    {"4xx at MAIL", {STAGE_MAIL, "451 4.3.0 later", 1}, DELIVERY_DELIVERED, 1},
    {"4xx at RCPT", {STAGE_RCPT, "450 4.2.0 greylisted", 1, "odd"}, DELIVERY_DELIVERED, 1},
    {"4xx at DATA", {STAGE_DATA, "451 4.3.0 later", 1, "odd"}, DELIVERY_DELIVERED, 1},
    {"4xx at the dot", {STAGE_DOT, "451 4.3.0 later", 1, "odd"}, DELIVERY_DELIVERED, 1},
    {"421 at the greeting", {STAGE_CONNECT, "421 4.3.2 busy", 1}, DELIVERY_DELIVERED, -1},
    {"421 at RCPT", {STAGE_RCPT, "421 4.7.0 slow down", 1, "odd"}, DELIVERY_DELIVERED, -1},
    {"421 at the dot", {STAGE_DOT, "421 4.7.0 slow down", 1, "odd"}, DELIVERY_DELIVERED, 1},
    {"reset at the greeting", {STAGE_CONNECT, "RESET", 1}, DELIVERY_DELIVERED, -1},
    {"reset at EHLO", {STAGE_EHLO, "RESET", 1}, DELIVERY_DELIVERED, -1},
    {"reset at MAIL", {STAGE_MAIL, "RESET", 1}, DELIVERY_DELIVERED, -1},
    {"reset at RCPT", {STAGE_RCPT, "RESET", 1, "odd"}, DELIVERY_DELIVERED, -1},
    {"closed at RCPT", {STAGE_RCPT, "CLOSE", 1, "odd"}, DELIVERY_DELIVERED, -1},
    {"reset at DATA", {STAGE_DATA, "RESET", 1, "odd"}, DELIVERY_DELIVERED, -1},
    {"reset after the dot", {STAGE_DOT, "RESET", 1, "odd"}, DELIVERY_DELIVERED, -1, true},
    {"garbage after the dot", {STAGE_DOT, "GARBAGE", 1, "odd"}, DELIVERY_DELIVERED, -1, true},
};
static const struct answer_row silences[] = {
    {"silent at the greeting", {STAGE_CONNECT, "SILENT", 1}, DELIVERY_DELIVERED, -1},
    {"silent at RCPT", {STAGE_RCPT, "SILENT", 1, "odd"}, DELIVERY_DELIVERED, -1},
    {"silent after the dot", {STAGE_DOT, "SILENT", 1, "odd"}, DELIVERY_DELIVERED, -1, true},
};

static void met(void **state, const struct answer_row *rows, size_t count, double timeouts)
{
    /* one receiver for each row, with and without PIPELINING */
    HOUSE(fixture, state, 2 * count);
    char domain[32], name[80];
    for (size_t i = 0; i < 2 * count; i++) {
        receivers[i] = (struct receiver){.script = {rows[i / 2].line}, .no_pipelining = i % 2};
        snprintf(domain, sizeof(domain), "r%zu.example", i);
        person(fixture, "odd", domain);
    }
    fixture->timeouts = timeouts;
    open_house(fixture);
    submit(fixture);
    int64_t bounced = 0;
    for (size_t i = 0; i < count; i++)
        bounced += 2 * (rows[i].after == DELIVERY_BOUNCED);
    wait_until_state(fixture, "bounced", DELIVERY_BOUNCED, bounced);
    wait_until_state(fixture, "delivered", DELIVERY_DELIVERED, 2 * (int64_t)count - bounced);
    for (size_t i = 0; i < 2 * count; i++) {
        snprintf(name, sizeof(name), "%s%s", rows[i / 2].name, i % 2 ? ", without PIPELINING" : "");
        const char *address = fixture->people[i];
        if (rows[i / 2].deferred >= 0)
            assert_int_row(name, events_of(fixture, address, EVENT_DEFERRED), rows[i / 2].deferred);
        assert_int_row(name, events_of(fixture, address, EVENT_IN_DOUBT), rows[i / 2].may_be_doubtful);
        assert_int_row(name, events_of(fixture, address, EVENT_BOUNCED), rows[i / 2].after == DELIVERY_BOUNCED);
        assert_int_row(name, events_of(fixture, address, EVENT_DELIVERED), rows[i / 2].after == DELIVERY_DELIVERED);
        assert_int_row(name, receiver_took(&receivers[i], address), rows[i / 2].after == DELIVERY_DELIVERED);
    }
    nobody_twice(fixture, "answers");
    leave(fixture);
}

static void answers_at_every_stage(void **state)
{
    met(state, answers, COUNT_OF(answers), 0);
}
static void silence_at_every_stage(void **state)
{
    met(state, silences, COUNT_OF(silences), TIMEOUTS);
}

/* R22: the bound on duplicates is what was on the wire, and each is named */
static void dropped_after_the_dot_is_in_doubt_and_goes_again_as_the_same_mail(void **state)
{
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){.script = {{STAGE_DOT, "TAKE_AND_CLOSE", 1}}};
    open_house(fixture);
    crowd(fixture, 30, "r0.example");
    submit(fixture);
    wait_until_state(fixture, "dropped", DELIVERY_DELIVERED, 30);
    int64_t doubtful = events(fixture, EVENT_IN_DOUBT);
    assert_int_equal(doubtful, 1); /* F1: one connection, one mail: the dot behind it was not out yet */
    int twice = 0;
    for (int i = 0; i < 30; i++)
        twice += receiver_took(&receivers[0], fixture->people[i]) == 2;
    assert_int_equal(twice, 1);
    assert_int_equal(events(fixture, EVENT_RELEASED), doubtful);
    leave(fixture);
}

/* R37: the mark was committed in time, and 354 comes when our leases may be another node's: no dot then. It goes again
 * by the next connection, and nobody is in doubt. */
static void no_dot_goes_out_behind_the_lease(void **state)
{
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){.waits_at_data = true};
    open_house(fixture);
    person(fixture, "late", "r0.example");
    submit(fixture);
    for (int i = 0; i < 4000 && (!atomic_load(&receivers[0].at_data) || !in_state(fixture, DELIVERY_ON_WIRE)); i++)
        receiver_pause(5);
    assert_int_equal(in_state(fixture, DELIVERY_ON_WIRE), 1);
    receiver_pause(50); /* and its connection has heard of it */
    atomic_store(&fixture->engine->safe_until, 0);
    atomic_store(&receivers[0].waits_at_data, false);
    for (int i = 0; i < 20000 && atomic_load(&receivers[0].seen) < 2 && !atomic_load(&receivers[0].accepted); i++) {
        atomic_store(&fixture->engine->safe_until, 0); /* each renewal says that they are ours */
        receiver_pause(1);
    }
    assert_int_equal(atomic_load(&receivers[0].accepted), 0);
    wait_until_state(fixture, "behind the lease", DELIVERY_DELIVERED, 1);
    assert_int_equal(events(fixture, EVENT_IN_DOUBT), 0);
    nobody_twice(fixture, "behind the lease");
    leave(fixture);
}

/* others are not disturbed by what one meets */
static void one_refusal_fails_nobody_else(void **state)
{
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){.slow_ms = 1,
                                     .script = {{STAGE_RCPT, "550 5.1.1 user unknown", 0, "p1"},
                                                {STAGE_DOT, "554 5.7.1 spam", 0, "p2"},
                                                {STAGE_RCPT, "421 4.3.2 service busy", 5, "p3"},
                                                {STAGE_MAIL, "RESET", 3, NULL, 4}}};
    open_house(fixture);
    crowd(fixture, 100, "r0.example");
    submit(fixture);
    wait_until_state(fixture, "bounced", DELIVERY_BOUNCED, 22); /* p1, p1x, p2, p2x */
    wait_until_state(fixture, "delivered", DELIVERY_DELIVERED, 78);
    assert_int_equal(events(fixture, EVENT_BOUNCED), 22);
    nobody_twice(fixture, "one refusal");
    leave(fixture);
}

/* R31: opportunistic TLS that fails goes to the same host in clear */
static void a_failed_handshake_goes_on_in_clear(void **state)
{
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){.offers_tls = true, .script = {{STAGE_STARTTLS, "GARBAGE", 0}}};
    open_house(fixture);
    crowd(fixture, 20, "r0.example");
    submit(fixture);
    wait_until_state(fixture, "tls", DELIVERY_DELIVERED, 20);
    assert_int_equal(events(fixture, EVENT_DEFERRED), 0);
    nobody_twice(fixture, "tls");
    leave(fixture);
}

/* F5, R26: a handshake that never ends has its time, and then the mail goes on (R31) */
static void a_handshake_without_end_goes_on_in_clear(void **state)
{
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){.offers_tls = true, .script = {{STAGE_STARTTLS, "SILENT", 0}}};
    fixture->timeouts = 10 * TIMEOUTS; /* of the dot, too, and nobody is to be in doubt for being slow */
    open_house(fixture);
    crowd(fixture, 3, "r0.example");
    submit(fixture);
    wait_until_state(fixture, "endless handshake", DELIVERY_DELIVERED, 3);
    assert_int_equal(events(fixture, EVENT_IN_DOUBT), 0);
    leave(fixture);
}

/* R14, R16 */
static void routes_that_lead_nowhere(void **state)
{
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){0};
    open_house(fixture);
    person(fixture, "a", "null.example");
    person(fixture, "b", "absent.example");
    person(fixture, "c", "broken.example");
    person(fixture, "d", "nobody.example");
    person(fixture, "e", "second.example"); /* its first MX refuses the connection, the second takes it */
    submit(fixture);
    wait_until_state(fixture, "nowhere", DELIVERY_BOUNCED, 2);
    wait_until_state(fixture, "second MX", DELIVERY_DELIVERED, 1);
    for (int i = 0; i < 4000 && number(fixture, "SELECT COUNT(DISTINCT address) FROM event WHERE kind = 4") < 2; i++)
        receiver_pause(5);
    assert_int_equal(number(fixture, "SELECT COUNT(DISTINCT address) FROM event WHERE kind = 4"), 2);
    assert_int_equal(number(fixture, "SELECT COUNT(*) FROM suppression WHERE address LIKE 'c@%' OR address LIKE 'd@%'"),
                     0);
    nobody_twice(fixture, "nowhere");
    leave(fixture);
}

/* R16: what a host says of a recipient or a mail is the answer; only one that does not talk with us sends us on */
static void the_next_host_is_for_those_who_hear_nothing(void **state)
{
    HOUSE(fixture, state, 4);
    receivers[0] = (struct receiver){.script = {{STAGE_RCPT, "450 4.2.0 greylisted", 1, "grey"},
                                                {STAGE_RCPT, "550 5.1.1 user unknown", 0, "nobody"},
                                                {STAGE_DOT, "451 4.3.0 later", 1, "late"},
                                                {STAGE_DOT, "554 5.7.1 spam", 0, "spam"},
                                                {STAGE_DATA, "554 5.7.1 no", 0, "data"}}};
    receivers[2] = (struct receiver){.script = {{STAGE_CONNECT, "421 4.3.2 busy", 0}}};
    open_house(fixture);
    const char *const people[] = {"grey", "late", "fine", "nobody", "spam", "data"};
    for (size_t i = 0; i < COUNT_OF(people); i++)
        person(fixture, people[i], "pair.example");
    person(fixture, "other", "other-pair.example");
    submit(fixture);
    wait_until_state(fixture, "refused", DELIVERY_BOUNCED, 3);
    wait_until_state(fixture, "taken", DELIVERY_DELIVERED, 4);
    assert_int_equal(atomic_load(&receivers[0].accepted), 3);
    assert_int_equal(atomic_load(&receivers[1].seen), 0);
    assert_int_equal(receiver_took(&receivers[3], "other@other-pair.example"), 1);
    assert_int_equal(events_of(fixture, "other@other-pair.example", EVENT_DEFERRED), 0);
    nobody_twice(fixture, "the next host");
    leave(fixture);
}

/* R16: a 5xx greeting decides when all hosts are like that; while one is only away for now, the mail waits. */
static void a_backup_that_refuses_everybody(void **state)
{
    HOUSE(fixture, state, 4);
    for (int i = 1; i < 4; i++)
        receivers[i] = (struct receiver){.script = {{STAGE_CONNECT, "554 5.3.2 no SMTP service here", 0}}};
    receivers[0] = (struct receiver){.script = {{STAGE_CONNECT, "421 4.3.2 busy", 6}}};
    open_house(fixture);
    person(fixture, "a", "pair.example");
    person(fixture, "b", "pair.example");
    submit(fixture);
    wait_until_state(fixture, "backup", DELIVERY_DELIVERED, 2);
    assert_int_equal(events(fixture, EVENT_BOUNCED), 0);
    assert_true(events(fixture, EVENT_DEFERRED) > 0);
    assert_int_equal(number(fixture, "SELECT COUNT(*) FROM event WHERE kind = 4 AND code <> 421"), 0);
    person(fixture, "c", "other-pair.example");
    submit(fixture);
    wait_until_state(fixture, "all refuse", DELIVERY_BOUNCED, 1);
    nobody_twice(fixture, "backup");
    leave(fixture);
}

/* M8, R16: connections go to equal hosts, and to the addresses of each, by turns; so the load is spread, and one that
 * does not talk with us is passed over */
static void equal_hosts_take_turns(void **state)
{
    HOUSE(fixture, state, 4);
    for (int i = 0; i < 4; i++)
        receivers[i] = (struct receiver){.slow_ms = 10};
    receivers[3].script[0] = (struct line){STAGE_CONNECT, "421 4.3.2 busy", 0};
    open_house(fixture);
    crowd(fixture, 300, "equals.example");
    submit(fixture);
    wait_until_state(fixture, "equals", DELIVERY_DELIVERED, 300);
    for (int i = 0; i < 3; i++)
        if (atomic_load(&receivers[i].accepted) < 30)
            fail_msg("receiver %d had %d of 300", i, atomic_load(&receivers[i].accepted));
    /* days and totals are counted by this name, in whatever order the hosts came */
    assert_int_equal(number(fixture, "SELECT COUNT(*) FROM event WHERE kind = 3 AND site = 'mx.one.example'"), 300);
    nobody_twice(fixture, "equals");
    leave(fixture);
}

/* R16: of a host with many addresses that do not answer some are tried, then the next host; and not all of a domain's
 */
static void addresses_are_tried_up_to_a_number(void **state)
{
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){0};
    open_house(fixture);
    person(fixture, "a", "many.example"); /* twelve, and a host that takes it */
    person(fixture, "b", "dead.example"); /* three times twelve, and it */
    submit(fixture);
    wait_until_state(fixture, "the next host", DELIVERY_DELIVERED, 1);
    wait_until_state(fixture, "not all", DELIVERY_DEFERRED, 1);
    assert_int_equal(receiver_took(&receivers[0], "a@many.example"), 1);
    assert_int_equal(receiver_took(&receivers[0], "b@dead.example"), 0);
    assert_int_equal(events_of(fixture, "a@many.example", EVENT_DEFERRED), 0);
    nobody_twice(fixture, "many addresses");
    leave(fixture);
}

/* M10: who was given an end of his own by the sender gets nothing behind it, whatever kept the mail until then; who has
 * the house's has a try, late as it is */
static void whoever_names_an_end_means_it(void **state)
{
    HOUSE(fixture, state, 2);
    receivers[0] = (struct receiver){0};
    receivers[1] = (struct receiver){.slow_ms = 50, .connections = 1};
    open_house(fixture);
    engine_stop(fixture->engine, 0);
    fixture->engine = NULL;
    fixture->options.expires_after = DAYS_MS(2);
    for (int i = 0; i < 5; i++) {
        char local[16];
        snprintf(local, sizeof(local), "end%d", i);
        person(fixture, local, "r0.example");
        snprintf(local, sizeof(local), "late%d", i);
        person(fixture, local, "r0.example");
    }
    person(fixture, "nowhere", "absent.example");
    crowd(fixture, 60, "r1.example"); /* three seconds' work, and one is left */
    submit(fixture);
    char sql[300];
    long long now = world_wall(&fixture->world);
    snprintf(
        sql, sizeof(sql),
        "UPDATE delivery SET accepted_ms = %lld, expires_ms = %lld WHERE address LIKE 'end%%' OR address LIKE 'n%%'",
        now - HOURS_MS(1), now - MINUTES_MS(1));
    test_write(fixture->store.store, do_run, sql);
    snprintf(sql, sizeof(sql), "UPDATE delivery SET accepted_ms = %lld, expires_ms = %lld WHERE address LIKE 'late%%'",
             now - DAYS_MS(3), now - MINUTES_MS(1));
    test_write(fixture->store.store, do_run, sql);
    snprintf(sql, sizeof(sql), "UPDATE delivery SET expires_ms = %lld WHERE address LIKE 'p%%'",
             (long long)world_wall(&fixture->world) + 1000);
    test_write(fixture->store.store, do_run, sql);
    start(fixture);
    for (int i = 0; i < 12000 && in_state(fixture, DELIVERY_DELIVERED) + in_state(fixture, DELIVERY_EXPIRED) < 71; i++)
        receiver_pause(5);
    assert_int_equal(in_state(fixture, DELIVERY_DELIVERED) + in_state(fixture, DELIVERY_EXPIRED), 71);
    for (int i = 0; i < 10; i++)
        assert_int_equal(receiver_took(&receivers[0], fixture->people[i]), i % 2);
    assert_true(in_state(fixture, DELIVERY_EXPIRED) >= 6 + 60 - 25);
    assert_int_equal(events_of(fixture, "nowhere@absent.example", EVENT_EXPIRED), 1);
    assert_int_equal(events(fixture, EVENT_EXPIRED), in_state(fixture, DELIVERY_EXPIRED));
    assert_int_equal(number(fixture, "SELECT COUNT(*) FROM suppression"), 0);
    nobody_twice(fixture, "an end");
    leave(fixture);
}

static time_ms wall_ahead(const struct world *world)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (time_ms)now.tv_sec * 1000 + now.tv_nsec / 1000000 + HOURS_MS(2);
}

/* F8: a node whose clock is not the others' gives nobody up by it; the database's is the one that all have */
static void a_node_whose_clock_is_ahead(void **state)
{
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){.script = {{STAGE_RCPT, "450 4.2.0 later", 3}}};
    open_house(fixture);
    engine_stop(fixture->engine, 0);
    fixture->engine = NULL;
    fixture->options.expires_after = DAYS_MS(2);
    crowd(fixture, 10, "r0.example");
    submit(fixture);
    char sql[100];
    snprintf(sql, sizeof(sql), "UPDATE delivery SET expires_ms = %lld",
             (long long)world_wall(&fixture->world) + HOURS_MS(1));
    test_write(fixture->store.store, do_run, sql);
    fixture->world.wall = wall_ahead;
    start(fixture);
    wait_until_state(fixture, "ahead", DELIVERY_DELIVERED, 10);
    assert_int_equal(events(fixture, EVENT_DEFERRED), 3);
    nobody_twice(fixture, "ahead");
    leave(fixture);
}

/* R38: while receivers keep us waiting for their answer, others write and no transaction is open */
static void nothing_is_held_while_they_talk(void **state)
{
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){.script = {{STAGE_DOT, "SILENT", 1000}}};
    fixture->timeouts = TIMEOUTS;
    open_house(fixture);
    crowd(fixture, 5, "r0.example");
    submit(fixture);
    const char *open = db_pick(fixture->store.reader, "SELECT 0",
                               "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND state "
                               "LIKE 'idle in transaction%'");
    int seen = 0;
    for (int i = 0; i < 2000 && seen < 3; i++, receiver_pause(5)) {
        int64_t doubted = events(fixture, EVENT_IN_DOUBT);
        if (in_state(fixture, DELIVERY_ON_WIRE) == 0)
            continue;
        test_write(fixture->store.store, do_run,
                   (char[]){"UPDATE delivery SET attempts = attempts WHERE address LIKE 'p%'"});
        while (number(fixture, open) > 0 && events(fixture, EVENT_IN_DOUBT) == doubted)
            receiver_pause(1); /* a job is being written just now */
        seen += in_state(fixture, DELIVERY_ON_WIRE) > 0 && events(fixture, EVENT_IN_DOUBT) == doubted;
    }
    assert_int_equal(seen, 3);
    atomic_store(&receivers[0].said[0], 1000); /* and now they answer */
    wait_until_state(fixture, "talked", DELIVERY_DELIVERED, 5);
    nobody_twice(fixture, "talked");
    leave(fixture);
}

/* R29: excluded between the claim and the mark: never sent, and the others on that connection are not in doubt */
static void who_unsubscribes_while_the_mail_is_made_gets_none(void **state)
{
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){.slow_ms = 2};
    fixture->suppress = "p1";
    open_house(fixture);
    crowd(fixture, 60, "r0.example");
    submit(fixture);
    wait_until_state(fixture, "suppressed", DELIVERY_SUPPRESSED, 11); /* p1, p10..p19 */
    wait_until_state(fixture, "the others", DELIVERY_DELIVERED, 49);
    for (size_t i = 0; i < fixture->count; i++)
        assert_int_equal(receiver_took(&receivers[0], fixture->people[i]), strncmp(fixture->people[i], "p1", 2) != 0);
    assert_int_equal(events(fixture, EVENT_IN_DOUBT), 0);
    assert_int_equal(events(fixture, EVENT_SUPPRESSED), 11);
    leave(fixture);
}

/* R29: a campaign that is held in the middle stops, and goes on where it was */
static void a_hold_in_the_middle(void **state)
{
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){.slow_ms = 5};
    open_house(fixture);
    crowd(fixture, 400, "r0.example");
    submit(fixture);
    wait_until_accepted(&receivers[0], 20);
    test_write(fixture->store.store, do_run,
               (char[]){"INSERT INTO hold (kind, name, why, since_ms) VALUES ('campaign', '5', 'a typo', 1)"});
    engine_holds_changed(fixture->engine);
    int then = count_at_rest(&receivers[0].accepted, 300), composed = atomic_load(&fixture->composed);
    receiver_pause(300);
    assert_int_equal(atomic_load(&receivers[0].accepted), then);
    assert_int_equal(atomic_load(&fixture->composed), composed); /* and nothing goes round in circles */
    assert_true(then < 400);
    test_write(fixture->store.store, do_run, (char[]){"DELETE FROM hold"});
    engine_holds_changed(fixture->engine);
    wait_until_state(fixture, "hold", DELIVERY_DELIVERED, 400);
    nobody_twice(fixture, "hold");
    leave(fixture);
}

/* F12, U1: stopped while busy, again and again: nobody is lost, nobody gets it twice */
static void stopped_while_busy(void **state)
{
    HOUSE(fixture, state, 2);
    receivers[0] = (struct receiver){.slow_ms = 3};
    receivers[1] = (struct receiver){.slow_ms = 1, .script = {{STAGE_RCPT, "450 4.2.0 later", 40}}};
    open_house(fixture);
    crowd(fixture, 250, "r0.example");
    crowd(fixture, 150, "r1.example");
    submit(fixture);
    for (int i = 0; i < 6; i++) {
        receiver_pause(25 * i);
        engine_stop(fixture->engine, i % 2 ? 2000 : 0);
        fixture->engine = NULL;
        assert_int_equal(in_state(fixture, DELIVERY_ON_WIRE), 0); /* all settled, nothing left to guess */
        assert_int_equal(number(fixture, "SELECT COUNT(*) FROM delivery"), 400);
        start(fixture);
    }
    wait_until_state(fixture, "stopped", DELIVERY_DELIVERED, 400);
    nobody_twice(fixture, "stopped");
    for (size_t i = 0; i < fixture->count; i++)
        assert_true(
            receiver_took(&receivers[0], fixture->people[i]) + receiver_took(&receivers[1], fixture->people[i]) >= 1);
    leave(fixture);
}

/* Many receivers, few connections in all: whoever had to wait is not forgotten. */
static void few_connections_for_many_receivers(void **state)
{
    HOUSE(fixture, state, 6);
    for (int i = 0; i < 6; i++)
        receivers[i].slow_ms = 2;
    fixture->options.connections_most = 2;
    open_house(fixture);
    for (int i = 0; i < 6; i++) {
        char domain[32];
        snprintf(domain, sizeof(domain), "r%d.example", i);
        crowd(fixture, 20, domain);
    }
    submit(fixture);
    wait_until_state(fixture, "few connections", DELIVERY_DELIVERED, 120);
    nobody_twice(fixture, "few connections");
    leave(fixture);
}

/* A provider with many MX sets is one site: a great customer of it does not starve a small one. */
static void a_small_domain_of_a_great_site_has_its_turn(void **state)
{
    HOUSE(fixture, state, 2);
    receivers[0] = (struct receiver){.slow_ms = 10};
    receivers[1] = (struct receiver){0};
    open_house(fixture);
    crowd(fixture, 590, "office0.example");
    submit(fixture);
    wait_until_accepted(&receivers[0], 30);
    fixture->count = 0;
    crowd(fixture, 3, "office1.example");
    submit(fixture);
    wait_until_accepted(&receivers[1], 3);
    assert_true(atomic_load(&receivers[0].accepted) < 250);
    leave(fixture);
}

/* R28, F5: a receiver that takes three at a time, and says so */
static void a_receiver_that_takes_three_connections(void **state)
{
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){.slow_ms = 1, .connections = 3};
    open_house(fixture);
    crowd(fixture, 200, "r0.example");
    submit(fixture);
    wait_until_state(fixture, "three connections", DELIVERY_DELIVERED, 200);
    nobody_twice(fixture, "three connections");
    assert_int_equal(events(fixture, EVENT_IN_DOUBT), 0);
    assert_true(events(fixture, EVENT_DEFERRED) < 200);
    leave(fixture);
}

static void what_cannot_be_rendered(void **state)
{
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){0};
    fixture->compose_faults = 15; /* the store cannot be read for a while: nobody pays for it */
    open_house(fixture);
    person(fixture, "unrenderable", "r0.example");
    crowd(fixture, 20, "r0.example");
    submit(fixture);
    wait_until_state(fixture, "rendered", DELIVERY_DELIVERED, 20);
    wait_until_state(fixture, "unrenderable", DELIVERY_BOUNCED, 1);
    char sql[100];
    snprintf(sql, sizeof(sql), "SELECT COUNT(*) FROM event WHERE kind = 5 AND reason = %d", REASON_CONTENT_ERROR);
    assert_int_equal(number(fixture, sql), 1);
    assert_int_equal(number(fixture, "SELECT COUNT(*) FROM suppression"), 0);
    assert_int_equal(events(fixture, EVENT_DEFERRED), 0);
    nobody_twice(fixture, "rendering");
    leave(fixture);
}

/* R22, R34: an outcome that the store refuses is kept without its words, or as in doubt; nobody stays on the wire. */
static void outcomes_that_the_store_refuses(void **state)
{
    static const char words[] = "CREATE TRIGGER words BEFORE INSERT ON event WHEN NEW.diagnostic LIKE '%evil%' BEGIN "
                                "SELECT RAISE(ABORT, 'these words are refused'); END",
                      delivered[] = "CREATE TRIGGER delivered BEFORE INSERT ON event WHEN NEW.kind = 3 AND NEW.address "
                                    "LIKE 'undeliverable@%' BEGIN SELECT RAISE(ABORT, 'no'); END",
                      everything[] = "CREATE TRIGGER everything BEFORE INSERT ON event WHEN NEW.address LIKE "
                                     "'nothing@%' BEGIN SELECT RAISE(ABORT, 'nothing at all'); END";
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){
        .script = {{STAGE_DOT, "554 5.7.1 evil words", 0, "odd"}, {STAGE_RCPT, "550 5.7.1 evil words", 0, "early"}}};
    open_house(fixture);
    fixture->options.in_doubt_wait = DAYS_MS(30); /* stays in doubt for the length of this test */
    engine_stop(fixture->engine, 2000);
    start(fixture);
    test_write(fixture->store.store, do_run, (void *)(uintptr_t)words);
    test_write(fixture->store.store, do_run, (void *)(uintptr_t)delivered);
    test_write(fixture->store.store, do_run, (void *)(uintptr_t)everything);
    person(fixture, "odd", "r0.example");
    person(fixture, "early", "r0.example");
    person(fixture, "undeliverable", "r0.example");
    person(fixture, "nothing", "r0.example");
    crowd(fixture, 50, "r0.example");
    submit(fixture);
    wait_until_state(fixture, "the others", DELIVERY_DELIVERED, 50);
    wait_until_state(fixture, "without the words", DELIVERY_BOUNCED, 2);
    wait_until_state(fixture, "its 250 is refused", DELIVERY_IN_DOUBT, 1);
    assert_int_equal(
        number(fixture, "SELECT COUNT(*) FROM event WHERE kind = 5 AND diagnostic LIKE '%words could not%'"), 2);
    assert_int_equal(in_state(fixture, DELIVERY_ON_WIRE), 1);
    test_write(fixture->store.store, do_run, (char[]){"DROP TRIGGER everything"});
    wait_until_state(fixture, "the store takes it again", DELIVERY_IN_DOUBT, 2);
    assert_int_equal(in_state(fixture, DELIVERY_ON_WIRE), 0);
    for (size_t i = 0; i < fixture->count; i++)
        assert_true(receiver_took(&receivers[0], fixture->people[i]) <= 1);
    leave(fixture);
}

/* Has the log, kept in this file, said that? */
static bool log_says(int file, const char *words)
{
    static char said[1 << 20];
    ssize_t len = pread(file, said, sizeof(said) - 1, 0);
    said[len > 0 ? len : 0] = '\0';
    return strstr(said, words) != NULL;
}

/* A mark that the store will not take back is tried ever more seldom, and named; when it gives in, the mail goes. */
static void marks_that_the_store_keeps(void **state)
{
    static const char kept[] =
        "CREATE TRIGGER kept BEFORE UPDATE ON delivery WHEN OLD.state = 3 AND NEW.state <= 1 AND "
        "NEW.attempts = OLD.attempts AND NEW.address LIKE 'odd@%' BEGIN SELECT RAISE(ABORT, "
        "'it stays marked'); END";
    static const char *const lines[] = {"try 1, the next one in 5 s", "try 2, the next one in 10 s",
                                        "try 6, the next one in 160 s", "try 7, the next one in 300 s",
                                        "try 8, the next one in 300 s"};
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){.script = {{STAGE_RCPT, "CLOSE", 1, "odd"}}};
    open_house(fixture);
    test_write(fixture->store.store, do_run, (void *)(uintptr_t)kept);
    FILE *log = tmpfile();
    int file = fileno(log), before = dup(STDERR_FILENO);
    dup2(file, STDERR_FILENO);
    person(fixture, "odd", "r0.example");
    crowd(fixture, 20, "r0.example");
    submit(fixture);
    wait_until_state(fixture, "the others", DELIVERY_DELIVERED, 20);
    for (int i = 0; i < 12000 && !log_says(file, lines[COUNT_OF(lines) - 1]); i++)
        receiver_pause(5);
    assert_int_equal(in_state(fixture, DELIVERY_ON_WIRE), 1);
    test_write(fixture->store.store, do_run, (char[]){"DROP TRIGGER kept"});
    wait_until_state(fixture, "the store has given in", DELIVERY_DELIVERED, 21);
    dup2(before, STDERR_FILENO);
    close(before);
    for (size_t i = 0; i < COUNT_OF(lines); i++)
        assert_row(lines[i], log_says(file, lines[i]));
    fclose(log);
    nobody_twice(fixture, "kept marks");
    leave(fixture);
}

int main(int argc, char **argv)
{
    if (argc > 1) /* one story alone: engine_test "*hold*" */
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        ON_BOTH(a_crowd_is_delivered_over_few_connections),
        {"answers_at_every_stage (sqlite)", answers_at_every_stage, NULL, NULL, (void *)(uintptr_t) "sqlite"},
        {"silence_at_every_stage (sqlite)", silence_at_every_stage, NULL, NULL, (void *)(uintptr_t) "sqlite"},
        ON_BOTH(dropped_after_the_dot_is_in_doubt_and_goes_again_as_the_same_mail),
        ON_BOTH(no_dot_goes_out_behind_the_lease),
        ON_BOTH(one_refusal_fails_nobody_else),
        ON_BOTH(a_failed_handshake_goes_on_in_clear),
        ON_BOTH(a_handshake_without_end_goes_on_in_clear),
        ON_BOTH(routes_that_lead_nowhere),
        ON_BOTH(the_next_host_is_for_those_who_hear_nothing),
        ON_BOTH(a_backup_that_refuses_everybody),
        ON_BOTH(equal_hosts_take_turns),
        ON_BOTH(addresses_are_tried_up_to_a_number),
        ON_BOTH(whoever_names_an_end_means_it),
        {"a_node_whose_clock_is_ahead (postgres)", a_node_whose_clock_is_ahead, NULL, NULL,
         (void *)(uintptr_t) "postgres"},
        ON_BOTH(nothing_is_held_while_they_talk),
        ON_BOTH(who_unsubscribes_while_the_mail_is_made_gets_none),
        ON_BOTH(a_hold_in_the_middle),
        ON_BOTH(stopped_while_busy),
        ON_BOTH(few_connections_for_many_receivers),
        ON_BOTH(a_small_domain_of_a_great_site_has_its_turn),
        ON_BOTH(a_receiver_that_takes_three_connections),
        ON_BOTH(what_cannot_be_rendered),
        {"outcomes_that_the_store_refuses (sqlite)", outcomes_that_the_store_refuses, NULL, NULL,
         (void *)(uintptr_t) "sqlite"},
        {"marks_that_the_store_keeps (sqlite)", marks_that_the_store_keeps, NULL, NULL, (void *)(uintptr_t) "sqlite"},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
