/* R28, D14, issue 4.5: what a receiver's words brought upon a way, in a running engine on both stores: written down
 * when it is said, once; no connection behind a restart until its time is over; over when a person resumes it, whether
 * anything went there since the restart or not. The engine's end tells nothing here that a crash would not have left:
 * each test looks at the store before. tests/paused_test.py kills the whole program. */
#include "deliver/house_test.h"

#include "queue/order.h"

#define RULES(time)                                                                                                    \
    "connections: 5\nrate: none\nreactions:\n  - id: default.away\n    text: [\"go away\"]\n    suspend: " time        \
    "\n    examples: [\"421 4.7.0 go away\"]\n    not: [\"550 no\"]\n"

/* Somebody's mail comes to a receiver that has nothing to say but this, and waits for its hour; then the receiver has
 * changed its mind. */
static struct sites *open_angry_house(struct fixture *fixture, const char *rules, bool has_source)
{
    static char source[] = "INSERT INTO source (id, ip, ehlo_name, pool, since_ms, created_ms) VALUES (77, "
                           "'127.88.0.1', 'out1.example', 'default', 1, 1)";
    fixture->receivers[0].script[0] = (struct line){STAGE_CONNECT, "421 4.7.0 go away", 1, NULL, 0};
    struct sites *sites = open_house_with(fixture, rules);
    if (has_source) {
        engine_stop(fixture->engine, 0); /* whoever starts has read the sources */
        test_write(fixture->store.store, do_run, source);
        start(fixture);
    }
    crowd(fixture, 1, "r0.example");
    submit_as(fixture, 7, 0);
    for (int i = 0; i < 4000 && number(fixture, "SELECT COUNT(*) FROM pause") == 0; i++)
        receiver_pause(5);
    assert_int_equal(number(fixture, "SELECT COUNT(*) FROM pause"), 1);
    assert_int_equal(number(fixture, "SELECT source_id FROM pause"), has_source ? 77 : 0);
    return sites;
}

static void restart(struct fixture *fixture, double scale)
{
    engine_stop(fixture->engine, 2000);
    fixture->options.retry.scale = scale;
    start(fixture);
}

static void one_more(struct fixture *fixture, const char *local)
{
    fixture->count = 0;
    person(fixture, local, "r0.example");
    submit_as(fixture, 7, 0);
}

static void nothing_goes_there_before_its_time_is_over(void **state)
{
    HOUSE(fixture, state, 1);
    struct sites *sites = open_angry_house(fixture, RULES("8s"), false);
    time_ms until = number(fixture, "SELECT until_ms FROM pause");
    assert_int_equal(number(fixture, "SELECT until_ms - since_ms FROM pause"), 8001);
    assert_int_equal(number(fixture, "SELECT COUNT(*) FROM pause WHERE reaction = 'default.away' AND what = "
                                     "'reaction_suspend' AND rule_file = 'default.yaml' AND rule_line > 0 AND words "
                                     "LIKE '%go away%'"),
                     1);
    int seen = count_at_rest(&receivers[0].seen, 100);
    for (int again = 0; again < 2; again++) {
        restart(fixture, 1.0);
        int64_t begins_with = engine_figures(fixture->engine).suspended_by_words;
        one_more(fixture, again ? "second" : "first"); /* due at once */
        receiver_pause(1000);
        int64_t stays_with = engine_figures(fixture->engine).suspended_by_words;
        int came = atomic_load(&receivers[0].seen);
        if (world_wall(&fixture->world) >= until) /* the machine stood still, and its time is over */
            break;
        assert_int_equal(begins_with, 1);
        assert_int_equal(stays_with, 1);
        assert_int_equal(came, seen);
    }
    for (int i = 0; i < 6000 && !atomic_load(&receivers[0].accepted); i++)
        receiver_pause(5);
    assert_true(atomic_load(&receivers[0].accepted) > 0);
    assert_true(world_wall(&fixture->world) >= until);
    assert_int_equal(engine_figures(fixture->engine).suspended_by_words, 0);
    restart(fixture, SCALE); /* and what is over is gone */
    assert_int_equal(number(fixture, "SELECT COUNT(*) FROM pause"), 0);
    wait_until_accepted(&receivers[0], 2);
    leave(fixture);
    sites_free(sites);
}

static bool give_run(struct db *db, struct fault *why, void *order)
{
    return order_give(db, why, order);
}

/* How many ways it changed. */
static int64_t resume(struct fixture *fixture)
{
    struct queue_order order = {.verb = ORDER_RESUME, .site = SLICE("MX.r0.example")};
    struct fault why = {0};
    struct arena arena = {0};
    struct queue_order *orders;
    size_t count;
    int64_t moved = -1;
    order.at = order.accepted_until = world_wall(&fixture->world);
    order.who = order.why = SLICE("test");
    test_write(fixture->store.store, give_run, &order);
    engine_holds_changed(fixture->engine);
    for (int i = 0; i < 4000 && moved < 0; i++, receiver_pause(5)) {
        if (!order_list(fixture->store.reader, &why, order.id, 0, 1, &arena, &orders, &count) || !count)
            fail_msg("%s", why.text);
        moved = orders[0].done ? orders[0].moved : -1;
    }
    arena_release(&arena);
    return moved;
}

static void a_person_resumes_it_behind_a_restart(void **state)
{
    static const struct {
        const char *name;
        bool is_used, is_resumed_before; /* mail waits for it behind the restart; or it is resumed before it */
        bool has_source;                 /* by an address of ours, not by the one that the system chooses */
    } rows[] = {
        {"nothing went there since", false, false, false},
        {"mail waits for it", true, false, false},
        {"before the restart", true, true, false},
        {"nothing went there since by a source of ours", false, false, true},
        {"mail waits for it, by a source of ours", true, false, true},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        HOUSE(fixture, state, 1);
        struct sites *sites = open_angry_house(fixture, RULES("1h"), rows[i].has_source);
        int seen = count_at_rest(&receivers[0].seen, 100);
        if (rows[i].is_resumed_before)
            assert_int_row(rows[i].name, resume(fixture), 1);
        restart(fixture, 1.0);
        if (rows[i].is_used) {
            one_more(fixture, "first");
            receiver_pause(700);
        }
        if (!rows[i].is_resumed_before) {
            assert_int_row(rows[i].name, atomic_load(&receivers[0].seen), seen);
            assert_int_row(rows[i].name, engine_figures(fixture->engine).suspended_by_words, 1);
            assert_int_row(rows[i].name, resume(fixture), 1);
        }
        assert_int_row(rows[i].name, resume(fixture), 0);
        assert_int_row(rows[i].name, number(fixture, "SELECT COUNT(*) FROM pause"), 0);
        if (!rows[i].is_used)
            one_more(fixture, "first");
        wait_until_accepted(&receivers[0], 1);
        assert_int_row(rows[i].name, engine_figures(fixture->engine).suspended_by_words, 0);
        leave(fixture);
        sites_free(sites);
    }
}

/* Words that come with every mail, and slow nothing but connections: written once a second at most, whatever goes; and
 * the row is at most a second or so behind the last of them. */
static void words_with_every_mail_are_few_rows(void **state)
{
    enum { MANY = 300 };
    static char count[] = "CREATE TABLE told (n BIGINT)",
                trigger[] = "CREATE TRIGGER telling AFTER INSERT ON pause BEGIN INSERT INTO told VALUES (1); END";
    HOUSE(fixture, state, 1);
    receivers[0].script[0] = (struct line){STAGE_RCPT, "450 4.2.2 one at a time", 0, "p", 0};
    struct sites *sites = open_house_with(
        fixture, "connections: 5\nrate: none\nreactions:\n  - id: default.few\n    text: [\"one at a time\"]\n    "
                 "connections: 2\n    for: 1h\n    examples: [\"450 one at a time\"]\n    not: [\"550 no\"]\n");
    test_write(fixture->store.store, do_run, count);
    test_write(fixture->store.store, do_run, trigger);
    crowd(fixture, MANY, "r0.example");
    double began = seconds_now();
    submit(fixture);
    wait_until_state(fixture, "all are deferred", DELIVERY_DEFERRED, MANY);
    receiver_pause(1500);
    double took = seconds_now() - began;
    int64_t told = number(fixture, "SELECT COUNT(*) FROM told");
    print_message("  %d refusals in %.1f s: told %lld times\n", MANY, took, (long long)told);
    assert_true(told > 1 && told <= (int64_t)took + 2);
    assert_int_equal(number(fixture, "SELECT COUNT(*) FROM pause WHERE what = 'reaction_connections'"), 1);
    assert_true(number(fixture, "SELECT (SELECT MAX(at_ms) FROM event) - since_ms FROM pause") < 1100);
    leave(fixture);
    sites_free(sites);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        ON_BOTH(nothing_goes_there_before_its_time_is_over),
        ON_BOTH(a_person_resumes_it_behind_a_restart),
        ON_SQLITE(words_with_every_mail_are_few_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
