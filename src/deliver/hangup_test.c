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

int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        ON_SQLITE(refused_at_ehlo),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
