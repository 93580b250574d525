/* R25, R28 and the roll-up of RECEIVERS.md: "only if all its MX hosts match" */
#include "base/test.h"
#include "shape/site.h"

static void rolled_up_by_all_hosts(void **state)
{
    static const struct {
        const char *hosts[2];
        size_t count;
        const char *site;
    } rows[] = {
        {{"aspmx.l.google.com", "alt1.aspmx.l.GOOGLE.com"}, 2, "google"},
        {{"aspmx.l.google.com", "mx.example.jp"}, 2, ""},
        {{"a-com.mail.protection.outlook.com"}, 1, "microsoft365"},
        {{"outlook-com.olc.protection.outlook.com"}, 1, "outlook"},
        {{"notgoogle.com"}, 1, ""},
        {{NULL}, 0, ""},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct slice hosts[2] = {slice_str(rows[i].hosts[0]), slice_str(rows[i].hosts[1])};
        assert_slice(rows[i].hosts[0] ? rows[i].hosts[0] : "none", slice_str(site_rule_for(hosts, rows[i].count)->name),
                     slice_str(rows[i].site));
    }
}

static void the_pace_falls_at_once_and_regrows(void **state)
{
    struct slice host = SLICE("mx.example.jp");
    struct pace pace;
    pace_init(&pace, site_rule_for(&host, 1));
    assert_int_equal(pace_connections(&pace, 0), 10);
    struct verdict busy = {.reason = REASON_RATE_LIMITED, .action = ACTION_SLOW_DOWN};
    for (int i = 0; i < 8; i++) /* one burst counts once */
        pace_refused(&pace, &busy, 421, 1000 + i, 1.0);
    assert_int_equal(pace_connections(&pace, 2000), 5);
    for (int i = 0; i < 300; i++)
        pace_delivered(&pace);
    assert_int_equal(pace_connections(&pace, 2000), 10);
    struct verdict unknown = {.reason = REASON_USER_UNKNOWN, .action = ACTION_SUPPRESS_NOW};
    pace_refused(&pace, &unknown, 550, 200000, 1.0);
    assert_int_equal(pace_connections(&pace, 200000), 10); /* the address' fault never slows the queue */

    pace_connection_failed(&pace, 300000, 1.0);
    assert_int_equal(pace_connections(&pace, 300001), 0);
    assert_int_equal(pace_connections(&pace, 300000 + SECONDS_MS(31)), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rolled_up_by_all_hosts),
        cmocka_unit_test(the_pace_falls_at_once_and_regrows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
