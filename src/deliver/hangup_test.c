/* R25, R31: how connections end, and what it says: who refuses us is heard, who has merely had enough is met again */
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

int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        ON_SQLITE(refused_at_ehlo),
        ON_SQLITE(refused_at_starttls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
