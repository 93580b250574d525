/* R25, R31: how connections end, and what it says: who refuses us is heard, who has merely had enough is met again */
#include "deliver/board.h"
#include "deliver/house_test.h"

static void wait_for(struct fixture *fixture, const char *row, const char *sql)
{
    for (int i = 0; i < 6000 && number(fixture, sql) == 0; i++)
        receiver_pause(5);
    assert_row(row, number(fixture, sql) > 0);
}

/* Who refuses EHLO and is gone when HELO comes has said why. */
static void refused_at_ehlo(void **state)
{
    static const char listed[] =
        "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org";
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){.script = {{STAGE_EHLO, listed, .hangs_up = true}}};
    open_house(fixture);
    crowd(fixture, 3, "r0.example");
    submit(fixture);
    wait_for(fixture, "listed",
             "SELECT COUNT(*) FROM event WHERE diagnostic LIKE '%554 5.7.1 %zen.spamhaus.org%' AND code = 554");
    assert_int_equal(number(fixture, "SELECT COUNT(*) FROM event WHERE diagnostic LIKE '%reset by peer%'"), 0);
    leave(fixture);
}

/* R31: who refuses STARTTLS and is gone is met again in clear, at once; who only refuses it keeps the connection. */
static void refused_at_starttls(void **state)
{
    static const struct {
        const char *name;
        struct line lines[2];
        int people;
        bool goes_again;
    } rows[] = {
        {"454 and gone",
         {{STAGE_STARTTLS, "454 4.7.0 TLS not available due to temporary reason", .hangs_up = true}},
         40,
         true},
        {"554 and gone", {{STAGE_STARTTLS, "554 5.7.3 no", .hangs_up = true}}, 40, true},
        {"gone without a word", {{STAGE_STARTTLS, "CLOSE"}}, 40, true},
        {"454 and 421", {{STAGE_STARTTLS, "454 4.7.0 no\r\n421 4.7.0 bye", .hangs_up = true}}, 40, true},
        {"454, and gone at MAIL", {{STAGE_STARTTLS, "454 4.7.0 no"}, {STAGE_MAIL, "RESET", 1}}, 1, true},
        {"454, and goes on", {{STAGE_STARTTLS, "454 4.7.0 no"}}, 40, false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        HOUSE(fixture, state, 1);
        receivers[0] = (struct receiver){
            .offers_tls = true, .refuses_tls = true, .slow_ms = 1, .script = {rows[i].lines[0], rows[i].lines[1]}};
        open_house(fixture);
        crowd(fixture, rows[i].people, "r0.example");
        submit(fixture);
        wait_until_state(fixture, rows[i].name, DELIVERY_DELIVERED, rows[i].people);
        assert_int_row(rows[i].name, events(fixture, EVENT_DEFERRED) + events(fixture, EVENT_IN_DOUBT), 0);
        int refused = atomic_load(&receivers[0].said[0]);
        assert_row(rows[i].name, refused > 0 && refused <= 10); /* ten connections at once, and then it is known */
        assert_row(rows[i].name, rows[i].goes_again == (atomic_load(&receivers[0].seen) > refused));
        nobody_twice(fixture, rows[i].name);
        leave(fixture);
    }
}

struct ask {
    time_ms now;
    int64_t wish;
};
static bool ask_run(struct db *db, struct fault *why, void *context)
{
    struct ask *ask = context;
    return board_ask(db, why, SLICE("r0.example"), ask->now, &ask->wish);
}

/* The ways to receivers, as they are now, of which this can be said. */
static int64_t ways(struct fixture *fixture, const char *like)
{
    struct ask ask = {.now = world_wall(&fixture->world)};
    char sql[200];
    test_write(fixture->store.store, ask_run, &ask);
    engine_board_asked(fixture->engine);
    snprintf(sql, sizeof(sql), "SELECT COUNT(*) FROM board_node WHERE wish >= %lld", (long long)ask.wish);
    wait_for(fixture, "the board is answered", sql);
    snprintf(sql, sizeof(sql), "SELECT COUNT(*) FROM board_row WHERE kind = 1 AND body LIKE '%s'", like);
    return number(fixture, sql);
}

/* R22: why nobody knows is told as it was. */
static void why_it_is_in_doubt(void **state)
{
    static const struct {
        const char *says, *told;
    } rows[] = {
        {"354 go on, then", "the reply to the dot makes no sense: 354 go on, then"},
        {"221 2.0.0 timeout, bye", "221 2.0.0 timeout, bye"},
        {"CLOSE", "%the peer has ended%"},
    };
    HOUSE(fixture, state, COUNT_OF(rows));
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        receivers[i] = (struct receiver){.script = {{STAGE_DOT, rows[i].says, 1, .hangs_up = true}}};
    open_house(fixture);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char domain[32];
        snprintf(domain, sizeof(domain), "r%zu.example", i);
        person(fixture, "odd", domain);
    }
    submit(fixture);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char sql[300];
        snprintf(sql, sizeof(sql),
                 "SELECT COUNT(*) FROM event WHERE kind = %d AND domain = 'r%zu.example' AND diagnostic LIKE '%s'",
                 EVENT_IN_DOUBT, i, rows[i].told);
        wait_for(fixture, rows[i].says, sql);
    }
    leave(fixture);
}

/* R25: so many a connection and no more, in the receivers' words or without any: the others go by another one at once,
 * and nothing is slower for it. */
static void a_connection_that_has_had_its_share(void **state)
{
    static const struct line rows[] = {
        {STAGE_MAIL, "421 4.7.0 Too many messages in this session, reconnect", 0, NULL, 4},
        {STAGE_MAIL, "421 Max message per connection reached, closing transmission channel", 0, NULL, 2},
        {STAGE_RCPT, "452 4.5.3 Too many recipients", 0, NULL, 3},
        {STAGE_MAIL, "421 4.7.0 Too many messages", 0, NULL, 4},
        {STAGE_MAIL, "450 4.7.1 Too many messages in this connection", 0, NULL, 2},
        {STAGE_DOT, "250 2.0.0 ok\r\n421 4.4.2 mx.example Error: timeout exceeded", 0, NULL, 3, true},
        {STAGE_DOT, "250 2.0.0 ok\r\n421 4.3.2 Service shutting down", 0, NULL, 3, true},
        {STAGE_DOT, "250 2.0.0 ok\r\n221 2.0.0 bye", 0, NULL, 3, true},
        {STAGE_DOT, "250 2.0.0 ok, and gone", 0, NULL, 3, true},
        {STAGE_DOT, "250 2.0.0 one each", 0, NULL, 1, true},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        HOUSE(fixture, state, 1);
        receivers[0] = (struct receiver){.slow_ms = 1, .script = {rows[i]}};
        open_house(fixture);
        crowd(fixture, 150, "r0.example");
        submit(fixture);
        wait_until_state(fixture, rows[i].say, DELIVERY_DELIVERED, 150);
        assert_int_row(rows[i].say, events(fixture, EVENT_DEFERRED) + events(fixture, EVENT_IN_DOUBT), 0);
        assert_int_row(rows[i].say, ways(fixture, "%\"lowered_times\":0,%"), 1);
        nobody_twice(fixture, rows[i].say);
        leave(fixture);
    }
}

/* ... but what speaks of pace is heard behind delivered mails, too, and so is what a connection hears at its first. */
static void words_that_slow(void **state)
{
    static const struct line rows[] = {
        {STAGE_MAIL, "421 4.7.28 Our system has detected an unusual rate", 3, NULL, 3},
        {STAGE_MAIL, "421 too many messages from your IP", 3, NULL, 3},
        {STAGE_MAIL, "421 4.7.0 Try again later", 3, NULL, 3},
        {STAGE_MAIL, "421 4.7.0 Too many messages in this session", 15},
        {STAGE_RCPT, "421 4.7.0 too many messages", 15},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        HOUSE(fixture, state, 1);
        receivers[0] = (struct receiver){.slow_ms = 1, .script = {rows[i]}};
        open_house(fixture);
        crowd(fixture, 100, "r0.example");
        submit(fixture);
        wait_until_state(fixture, rows[i].say, DELIVERY_DELIVERED, 100);
        assert_row(rows[i].say, events(fixture, EVENT_DEFERRED) > 0);
        assert_int_row(rows[i].say, ways(fixture, "%\"lowered_times\":0,%"), 0);
        leave(fixture);
    }
}

/* D14: a reset in the middle of a mail is a block, and is told where it came. */
static void reset_in_the_middle(void **state)
{
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){.no_pipelining = true, .slow_ms = 1, .script = {{STAGE_RCPT, "RESET", 1}}};
    open_house(fixture);
    crowd(fixture, 30, "r0.example");
    submit(fixture);
    wait_until_state(fixture, "reset", DELIVERY_DELIVERED, 30);
    assert_int_equal(ways(fixture, "%\"lowered_words\":\"rcpt: %reset%"), 1);
    leave(fixture);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        ON_SQLITE(refused_at_ehlo), ON_SQLITE(refused_at_starttls), ON_BOTH(a_connection_that_has_had_its_share),
        ON_SQLITE(words_that_slow), ON_SQLITE(reset_in_the_middle), ON_SQLITE(why_it_is_in_doubt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
