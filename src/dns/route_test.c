/* M8, M9, R14, R15, R16, F6: where mail for a domain goes */
#include "base/test.h"
#include "dns/route.h"
#include "dns/zone.h"

static const char json[] =
    "{\"plain.test\": {\"MX\": [[20,\"b.plain.test\"],[10,\"a.plain.test\"]]},"
    "\"a.plain.test\": {\"A\": [\"127.0.1.1\"]}, \"b.plain.test\": {\"A\": [\"127.0.1.2\"], \"AAAA\": [\"::1\"]},"
    "\"nomx.test\": {\"A\": [\"127.0.2.1\"]},"
    "\"null.test\": {\"MX\": [[0,\".\"]], \"A\": [\"127.0.2.2\"]},"
    "\"null-beside.test\": {\"MX\": [[0,\".\"],[10,\"a.plain.test\"]]},"
    "\"empty.test\": {\"TXT\": \"no mail\"},"
    "\"noaddress.test\": {\"MX\": [[10,\"gone.test\"],[20,\"empty.test\"]], \"A\": [\"127.0.2.3\"]},"
    "\"half.test\": {\"MX\": [[10,\"gone.test\"],[20,\"a.plain.test\"]]},"
    "\"servfail.test\": {\"error\": \"servfail\"}, \"timeout.test\": {\"error\": \"timeout\"},"
    "\"bogus.test\": {\"error\": \"bogus\"},"
    "\"mxservfail.test\": {\"MX\": [[10,\"servfail.test\"]]},"
    "\"mxhalfservfail.test\": {\"MX\": [[10,\"servfail.test\"],[20,\"a.plain.test\"]]},"
    "\"alias.test\": {\"CNAME\": \"plain.test\"},"
    "\"mxalias.test\": {\"MX\": [[10,\"cname.test\"]]}, \"cname.test\": {\"CNAME\": \"a.plain.test\"},"
    "\"literal.test\": {\"MX\": [[10,\"127.0.0.1\"]]},"
    "\"literal-beside.test\": {\"MX\": [[10,\"127.0.0.1\"],[20,\"a.plain.test\"]]},"
    "\"zero.test\": {\"MX\": [[10,\"zero-host.test\"]]}, \"zero-host.test\": {\"A\": [\"0.0.0.0\"]},"
    "\"private.test\": {\"A\": [\"10.0.0.1\",\"192.168.0.1\"]},"
    "\"half-private.test\": {\"A\": [\"10.0.0.1\",\"127.0.2.4\"]},"
    "\"own-first.test\": {\"MX\": [[10,\"mx.ours.test\"],[20,\"a.plain.test\"]]},"
    "\"own-equal.test\": {\"MX\": [[10,\"a.plain.test\"],[20,\"b.plain.test\"],[20,\"MX.ours.test\"]]},"
    "\"own-address.test\": {\"MX\": [[10,\"a.plain.test\"],[20,\"disguised.test\"],[30,\"b.plain.test\"]]},"
    "\"disguised.test\": {\"A\": [\"127.9.9.9\"]},"
    "\"own-only-address.test\": {\"A\": [\"127.9.9.9\"]},"
    "\"backup.test\": {\"MX\": [[10,\"gone.test\"],[20,\"mx.ours.test\"]]},"
    "\"mx.ours.test\": {\"A\": [\"127.9.9.9\"]},"
    "\"twice.test\": {\"MX\": [[10,\"a.plain.test\"],[20,\"a.plain.test\"]]},"
    "\"v6only.test\": {\"AAAA\": [\"::1\"]},"
    "\"signed.test\": {\"secure\": true, \"MX\": [[10,\"a.signed.test\"]]},"
    "\"a.signed.test\": {\"secure\": true, \"A\": [\"127.0.3.1\"]}}";

struct fixture {
    struct world world;
    struct loop *loop;
    struct dns_client *client;
    struct buf line;
    bool has_come;
};

static int set_up(void **state)
{
    struct fixture *f = NEW(struct fixture);
    struct fault why;
    world_init_manual(&f->world, 0, 1);
    f->world.resolver = zone_resolver_of_json(slice_str(json), &why);
    if (!f->world.resolver)
        fail_msg("%s", why.text);
    f->loop = loop_new(&f->world);
    f->client = dns_client_new(f->loop);
    buf_init(&f->line, 100000);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    dns_client_free(f->client);
    loop_free(f->loop);
    resolver_free(f->world.resolver);
    buf_release(&f->line);
    free(f);
    return 0;
}

static void on_route(void *owner, const struct route *route)
{
    struct fixture *f = owner;
    char ip[IP_TEXT_ROOM];
    struct arena arena = {0};
    struct route copy;
    route_copy(&arena, route, &copy);
    buf_reset(&f->line);
    if (copy.status != ROUTE_FOUND)
        buf_printf(&f->line, "%u.%u.%u %.*s", copy.enhanced[0], copy.enhanced[1], copy.enhanced[2],
                   SLICE_ARG(copy.text));
    else if (copy.is_implicit)
        buf_text(&f->line, "implicit");
    if (copy.is_secure)
        buf_text(&f->line, "secure");
    for (size_t i = 0; i < copy.host_count; i++) {
        buf_printf(&f->line, " %u:%.*s%s", copy.hosts[i].preference, SLICE_ARG(copy.hosts[i].name),
                   copy.hosts[i].is_secure ? "+" : "");
        for (size_t a = 0; a < copy.hosts[i].address_count; a++)
            buf_printf(&f->line, "=%s", ip_text(&copy.hosts[i].addresses[a], ip));
    }
    arena_release(&arena);
    f->has_come = true;
}

static struct slice find(struct fixture *f, const char *domain, const struct route_options *options)
{
    f->has_come = false;
    route_ask(f->client, slice_str(domain), options, on_route, f);
    assert_false(f->has_come);
    for (int i = 0; i < 20 && !f->has_come; i++)
        loop_turn(f->loop, 0);
    assert_true(f->has_come);
    return buf_slice(&f->line);
}

static const struct slice own_names[] = {SLICE_INIT("mx.ours.test")};
static const struct ip own_addresses[] = {{4, {127, 9, 9, 9}}};
static const struct route_options usual = {
    .own_names = own_names, .own_name_count = 1, .own_addresses = own_addresses, .own_address_count = 1};

static void routes(void **state)
{
    static const struct {
        const char *domain, *want;
    } rows[] = {
        {"plain.test", " 10:a.plain.test=127.0.1.1 20:b.plain.test=127.0.1.2"},
        {"PLAIN.test.", " 10:a.plain.test=127.0.1.1 20:b.plain.test=127.0.1.2"},
        {"nomx.test", "implicit 0:nomx.test=127.0.2.1"},
        {"null.test", "5.1.10 null.test: the domain accepts no mail (null MX)"},
        {"null-beside.test", " 10:a.plain.test=127.0.1.1"},
        {"gone.test", "5.1.2 gone.test: no such domain (NXDOMAIN)"},
        {"not a domain", "5.1.2 not a domain: not a domain name"},
        {"empty.test", "5.1.2 empty.test: the domain takes no mail: it has neither MX nor address"},
        {"noaddress.test", "4.4.4 noaddress.test: no address for any of its MX hosts"},
        {"half.test", " 20:a.plain.test=127.0.1.1"},
        {"servfail.test", "4.4.3 servfail.test: MX lookup failed: SERVFAIL"},
        {"timeout.test", "4.4.3 timeout.test: MX lookup failed: timeout"},
        {"bogus.test", "4.4.3 bogus.test: MX lookup failed: DNSSEC: DNSSEC validation failed"},
        {"mxservfail.test", "4.4.3 mxservfail.test: address lookup failed: servfail.test A: SERVFAIL"},
        {"mxhalfservfail.test", " 20:a.plain.test=127.0.1.1"},
        {"alias.test", " 10:a.plain.test=127.0.1.1 20:b.plain.test=127.0.1.2"},
        {"mxalias.test", " 10:cname.test=127.0.1.1"},
        {"literal.test", "5.4.4 literal.test: its MX is an IP address, not a host name"},
        {"literal-beside.test", " 20:a.plain.test=127.0.1.1"},
        {"zero.test", "5.4.4 zero.test: 0.0.0.0: only loopback may be connected in demo, bench and tests"},
        {"private.test", "5.4.4 private.test: 10.0.0.1: only loopback may be connected in demo, bench and tests"},
        {"half-private.test", "implicit 0:half-private.test=127.0.2.4"},
        {"own-first.test", "5.4.6 own-first.test: mail loops back to us: we are its best MX"},
        {"own-equal.test", " 10:a.plain.test=127.0.1.1"},
        {"own-address.test", " 10:a.plain.test=127.0.1.1"},
        {"own-only-address.test", "5.4.6 own-only-address.test: mail loops back to us: we are its best MX"},
        {"mx.ours.test", "5.4.6 mx.ours.test: mail loops back to us: the domain is our own host"},
        {"backup.test", "4.4.4 backup.test: no address for any of its MX hosts"},
        {"twice.test", " 10:a.plain.test=127.0.1.1"},
        {"v6only.test", "5.1.2 v6only.test: the domain takes no mail: it has neither MX nor address"},
        {"signed.test", "secure 10:a.signed.test+=127.0.3.1"},
        {"[127.0.4.1]", "implicit 0:127.0.4.1=127.0.4.1"},
        {"[127.9.9.9]", "5.4.6 [127.9.9.9]: mail loops back to us: we are its best MX"},
        {"[IPv6:::1]", "implicit 0:IPv6:::1=::1"},
        {"[10.0.0.1]", "5.4.4 [10.0.0.1]: 10.0.0.1: only loopback may be connected in demo, bench and tests"},
        {"[nonsense]", "5.1.2 [nonsense]: not an address literal"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_slice(rows[i].domain, find(*state, rows[i].domain, &usual), slice_str(rows[i].want));
}

static void both_families_in_turns(void **state)
{
    struct route_options options = {.uses_ipv6 = true};
    assert_slice("v4 first", find(*state, "plain.test", &options),
                 SLICE(" 10:a.plain.test=127.0.1.1 20:b.plain.test=127.0.1.2=::1"));
    options.prefers_ipv6 = true;
    assert_slice("v6 first", find(*state, "plain.test", &options),
                 SLICE(" 10:a.plain.test=127.0.1.1 20:b.plain.test=::1=127.0.1.2"));
    assert_slice("v6 only", find(*state, "v6only.test", &options), SLICE("implicit 0:v6only.test=::1"));
    options.hosts_most = 1;
    assert_slice("one host", find(*state, "plain.test", &options), SLICE(" 10:a.plain.test=127.0.1.1"));
}

/* Within one preference every order comes up; a thousand MX are cut to a few (F6, R16). */
static void equals_are_shuffled_and_many_are_cut(void **state)
{
    struct fixture *f = *state;
    SCOPED(buf) many = BUF(1 << 20);
    struct fault why;
    struct route_options options = {0};
    int firsts[3] = {0};
    buf_text(&many, "{\"three.test\": {\"MX\": [[10,\"h0.test\"],[10,\"h1.test\"],[10,\"h2.test\"]]},");
    buf_text(&many, "\"many.test\": {\"MX\": [[10,\"h0.test\"]");
    for (int i = 1; i < 1000; i++)
        buf_printf(&many, ",[10,\"h%d.test\"]", i);
    buf_text(&many, "]}");
    for (int i = 0; i < 1000; i++)
        buf_printf(&many, ",\"h%d.test\": {\"A\": \"127.0.0.1\"}", i);
    buf_text(&many, "}");
    resolver_free(f->world.resolver);
    f->world.resolver = zone_resolver_of_json(buf_slice(&many), &why);
    for (int i = 0; i < 300; i++) {
        struct slice line = find(f, "three.test", &options);
        firsts[line.ptr[5] - '0']++;
    }
    for (int i = 0; i < 3; i++)
        assert_in_range(firsts[i], 60, 140);
    struct slice line = find(f, "many.test", &options);
    int hosts = 0;
    for (size_t i = 0; i < line.len; i++)
        hosts += line.ptr[i] == '=';
    assert_int_equal(hosts, ROUTE_DEFAULT_HOSTS);
}

static void a_question_may_be_taken_back(void **state)
{
    struct fixture *f = *state;
    f->has_come = false;
    route_cancel(route_ask(f->client, SLICE("plain.test"), &usual, on_route, f));
    struct route_query *later = route_ask(f->client, SLICE("half.test"), &usual, on_route, f);
    loop_turn(f->loop, 0); /* MX is known, addresses are asked */
    route_cancel(later);
    route_cancel(route_ask(f->client, SLICE("[127.0.0.1]"), &usual, on_route, f));
    for (int i = 0; i < 5; i++)
        loop_turn(f->loop, 0);
    assert_false(f->has_come);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {WITH(routes), WITH(both_families_in_turns),
                                       WITH(equals_are_shuffled_and_many_are_cut), WITH(a_question_may_be_taken_back)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
