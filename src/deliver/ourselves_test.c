/* R15, M8: who we are, so that mail does not loop; and who we are not, though he has our address */
#include "deliver/house_test.h"
#include "deliver/ourselves.h"

static struct ip ip_of(const char *text)
{
    struct ip ip = {0};
    if (text && !ip_parse(slice_str(text), &ip))
        fail_msg("%s is no address", text);
    return ip;
}

/* Names, then addresses, with a space behind each. */
static void describe(const struct route_options *route, struct buf *line)
{
    char ip[IP_TEXT_ROOM];
    for (size_t i = 0; i < route->own_name_count; i++)
        buf_printf(line, "%.*s ", SLICE_ARG(route->own_names[i]));
    for (size_t i = 0; i < route->own_address_count; i++)
        buf_printf(line, "%s ", ip_text(&route->own_addresses[i], ip));
}

static void who_we_are(void **state)
{
    (void)state;
    static const struct {
        const char *row, *listens, *source, *seen, *name;
        unsigned node; /* the source's; ours is 2 */
        const char *want;
    } rows[] = {
        {"it only sends: port 25 of its addresses is another program's", NULL, "198.18.0.9", NULL, "out.test", 2,
         "us.test out.test "},
        {"one address", "192.0.2.1", NULL, NULL, "out.test", 2, "us.test out.test 192.0.2.1 "},
        {"one address, and the source is another", "192.0.2.1", "192.0.2.7", "203.0.113.7", "out.test", 2,
         "us.test out.test 192.0.2.1 "},
        {"one address, which others see as another", "10.0.0.5", "10.0.0.5", "203.0.113.5", "out.test", 2,
         "us.test out.test 10.0.0.5 203.0.113.5 "},
        {"all addresses of IPv4", "0.0.0.0", "192.0.2.7", "203.0.113.7", "out.test", 2,
         "us.test out.test 192.0.2.1 192.0.2.7 203.0.113.7 "},
        {"all addresses of IPv6", "::", "192.0.2.7", NULL, "out.test", 2, "us.test out.test 2001:db8::1 "},
        {"a source of every node", "0.0.0.0", "192.0.2.7", NULL, "out.test", 0,
         "us.test out.test 192.0.2.1 192.0.2.7 "},
        {"another node's source: its name, and no address", "0.0.0.0", "192.0.2.7", "203.0.113.7", "out.test", 3,
         "us.test out.test 192.0.2.1 "},
        {"a name twice", NULL, "192.0.2.7", NULL, "US.test", 2, "us.test "},
    };
    const struct ip machine[] = {ip_of("192.0.2.1"), ip_of("2001:db8::1")};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct ip listens = ip_of(rows[i].listens);
        const struct engine_options options = {.ehlo_name = SLICE("us.test"),
                                               .ledger = {.node = 2},
                                               .own_addresses = machine,
                                               .own_address_count = COUNT_OF(machine),
                                               .listens_at = &listens,
                                               .listens_at_count = listens.family != 0};
        const struct source source = {.ip = ip_of(rows[i].source),
                                      .public_ip = ip_of(rows[i].seen),
                                      .ehlo_name = slice_str(rows[i].name),
                                      .node = rows[i].node};
        struct ourselves ourselves = {0};
        struct route_options route = {0};
        SCOPED(buf) line = BUF(1000);
        assert_row(rows[i].row, ourselves_are(&ourselves, &options, NULL, 0, &route));
        bool is_other = ourselves_are(&ourselves, &options, &source, 1, &route);
        describe(&route, &line);
        assert_slice(rows[i].row, buf_slice(&line), slice_str(rows[i].want));
        assert_int_row(rows[i].row, is_other, strcmp(rows[i].want, "us.test ") != 0);
        assert_row(rows[i].row, !ourselves_are(&ourselves, &options, &source, 1, &route));
        ourselves_release(&ourselves);
    }
}

static int64_t loops(struct fixture *fixture, const char *domain)
{
    char sql[200];
    snprintf(sql, sizeof(sql),
             "SELECT COUNT(*) FROM event WHERE kind = %d AND address LIKE '%%@%s' AND diagnostic LIKE "
             "'%%loops back to us%%'",
             EVENT_BOUNCED, domain);
    return number(fixture, sql);
}

static void one_more(struct fixture *fixture, const char *local, const char *domain)
{
    fixture->count = 0;
    person(fixture, local, domain);
    submit(fixture);
}

static bool source_run(struct db *db, struct fault *why, void *name)
{
    struct source source = {.ip = ip_v4(127, 88, 0, 1),
                            .ehlo_name = slice_str(name),
                            .pool = SLICE("elsewhere"), /* all our names count, whoever sends by them */
                            .weight = 1,
                            .node = 2};
    return source_add(db, why, &source, 1795321800000);
}

/* r0 and r1 are on this machine; at r1's address we listen ourselves, at r0's another program does. */
static void mail_to_ourselves_ends(void **state)
{
    HOUSE(fixture, state, 2);
    open_house(fixture);
    engine_stop(fixture->engine, 0);
    const struct ip own[] = {ip_of(receivers[0].ip), ip_of(receivers[1].ip)};
    fixture->options.own_addresses = own;
    fixture->options.own_address_count = 2;
    fixture->options.listens_at = &own[1];
    fixture->options.listens_at_count = 1;
    start(fixture);
    one_more(fixture, "ann", "r0.example");
    wait_until_state(fixture, "another program's port 25", DELIVERY_DELIVERED, 1);
    one_more(fixture, "bob", "r1.example");
    wait_until_state(fixture, "our own listener, by another name", DELIVERY_BOUNCED, 1);
    assert_int_equal(loops(fixture, "r1.example"), 1);
    assert_int_equal(atomic_load(&receivers[1].seen), 0);
    test_write(fixture->store.store, source_run, (char[]){"mx.r0.example"});
    for (int i = 0; i < 200 && !loops(fixture, "r0.example"); i++) { /* the route was known: it is asked for anew */
        char local[32];
        snprintf(local, sizeof(local), "p%d", i);
        one_more(fixture, local, "r0.example");
        receiver_pause(100);
    }
    assert_true(loops(fixture, "r0.example") > 0);
    leave(fixture);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {cmocka_unit_test(who_we_are), ON_SQLITE(mail_to_ourselves_ends)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
