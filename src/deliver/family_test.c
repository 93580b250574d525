/* R17: no mail leaves by an IPv6 address without a name that leads both ways: neither by a source, nor by an address
 * that the system chooses */
#include "deliver/house_test.h"

#include "shape/source.h"

static bool source_run(struct db *db, struct fault *why, void *context)
{
    int last = *(const int *)context;
    char name[40];
    snprintf(name, sizeof(name), "out%d.six.example", last);
    struct source source = {
        .ip = ip_v4(127, 88, 0, (uint8_t)last), .ehlo_name = slice_str(name), .pool = SLICE("default"), .weight = 1};
    snprintf(name + 20, 20, "2001:db8::%d", last);
    return ip_parse(slice_str(name + 20), &source.public_ip) && source_add(db, why, &source, 1795321800000);
}

static void an_ipv6_source_needs_its_names(void **state)
{
    HOUSE(fixture, state, 1);
    open_house(fixture);
    engine_stop(fixture->engine, 0);
    for (int last = 11; last <= 13; last++)
        test_write(fixture->store.store, source_run, &last);
    start(fixture); /* nobody asked for names (checks_names) */
    for (int i = 0; i < 12000 && number(fixture, "SELECT COUNT(*) FROM source WHERE trouble <> ''") < 2; i++)
        receiver_pause(5);
    assert_int_equal(number(fixture, "SELECT COUNT(*) FROM source WHERE trouble = '2001:db8::12 has no PTR record'"),
                     1);
    assert_int_equal(number(fixture, "SELECT COUNT(*) FROM source WHERE ip = '127.88.0.13' AND trouble = 'its PTR "
                                     "out11.six.example does not lead back to 2001:db8::13'"),
                     1);
    assert_int_equal(number(fixture, "SELECT COUNT(*) FROM source WHERE ip = '127.88.0.11' AND trouble = ''"), 1);
    leave(fixture);
}

/* Nobody listens at ::1: what is said tells whether it was tried. */
static void the_systems_ipv6_needs_a_name(void **state)
{
    static const struct {
        const char *name, *own, *says;
    } rows[] = {
        {"a name that leads both ways", "2001:db8::11", "refused"},
        {"no name", "2001:db8::12", "no name that leads both ways"},
        {"a name that leads elsewhere", "2001:db8::13", "no name that leads both ways"},
        {"a private address needs none", "fd00::1", "refused"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        HOUSE(fixture, state, 1);
        open_house(fixture);
        engine_stop(fixture->engine, 0);
        struct ip own;
        char sql[200];
        assert_true(ip_parse(slice_str(rows[i].own), &own));
        fixture->options.uses_ipv6 = true;
        fixture->options.own_addresses = &own;
        fixture->options.own_address_count = 1;
        start(fixture);
        person(fixture, "ann", "six.example");
        person(fixture, "bob", "r0.example");
        submit(fixture);
        wait_until_state(fixture, rows[i].name, DELIVERY_DELIVERED, 1); /* IPv4 is nobody's concern */
        snprintf(sql, sizeof(sql), "SELECT COUNT(*) FROM event WHERE kind = %d AND diagnostic LIKE '%%%s%%'",
                 EVENT_DEFERRED, rows[i].says);
        for (int wait = 0; wait < 6000 && number(fixture, sql) == 0; wait++)
            receiver_pause(5);
        assert_row(rows[i].name, number(fixture, sql) > 0);
        leave(fixture);
    }
}

int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        {"an_ipv6_source_needs_its_names (sqlite)", an_ipv6_source_needs_its_names, NULL, NULL,
         (void *)(uintptr_t) "sqlite"},
        {"the_systems_ipv6_needs_a_name (sqlite)", the_systems_ipv6_needs_a_name, NULL, NULL,
         (void *)(uintptr_t) "sqlite"},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
