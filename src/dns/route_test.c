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
    "\"v6mx.test\": {\"MX\": [[10,\"v6only.test\"]]},"
    "\"v6only.test\": {\"AAAA\": [\"::1\"]},"
    "\"signed.test\": {\"secure\": true, \"MX\": [[10,\"a.signed.test\"]]},"
    "\"a.signed.test\": {\"secure\": true, \"A\": [\"127.0.3.1\"]},"
#define HASH "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
    "\"dane.test\": {\"secure\": true, \"MX\": [[10,\"ee.dane.test\"],[20,\"ta.dane.test\"],[30,\"pkix.dane.test\"],"
    "[40,\"bogus.dane.test\"],[50,\"fails.dane.test\"],[60,\"none.dane.test\"],[70,\"unsigned.dane.test\"]]},"
    "\"ee.dane.test\": {\"secure\": true, \"A\": [\"127.0.5.1\"]},"
    "\"_25._tcp.ee.dane.test\": {\"secure\": true, \"TLSA\": [[3,1,1,\"" HASH "\"]]},"
    "\"ta.dane.test\": {\"secure\": true, \"A\": [\"127.0.5.2\"]},"
    "\"_25._tcp.ta.dane.test\": {\"secure\": true, \"TLSA\": [[2,0,1,\"" HASH "\"],[1,0,1,\"" HASH "\"]]},"
    "\"pkix.dane.test\": {\"secure\": true, \"A\": [\"127.0.5.3\"]},"
    "\"_25._tcp.pkix.dane.test\": {\"secure\": true, \"TLSA\": [[0,0,1,\"" HASH "\"],[1,1,1,\"" HASH
    "\"],[3,1,1,\"0011\"],[3,2,1,\"" HASH "\"],[3,1,0,\"3000\"]]},"
    "\"bogus.dane.test\": {\"secure\": true, \"A\": [\"127.0.5.4\"]}, \"_25._tcp.bogus.dane.test\": {\"error\": "
    "\"bogus\"},"
    "\"fails.dane.test\": {\"secure\": true, \"A\": [\"127.0.5.5\"]},"
    "\"_25._tcp.fails.dane.test\": {\"error\": \"servfail\"},"
    "\"none.dane.test\": {\"secure\": true, \"A\": [\"127.0.5.6\"]},"
    "\"unsigned.dane.test\": {\"A\": [\"127.0.5.7\"]},"
    "\"_25._tcp.unsigned.dane.test\": {\"secure\": true, \"TLSA\": [[3,1,1,\"" HASH "\"]]},"
    "\"unsigned-mx.test\": {\"MX\": [[10,\"ee.dane.test\"]]},"
    "\"alias-dane.test\": {\"secure\": true, \"MX\": [[10,\"alias.dane.test\"],[20,\"alias2.dane.test\"],"
    "[30,\"outside.dane.test\"]]},"
    "\"alias.dane.test\": {\"secure\": true, \"CNAME\": \"ee.dane.test\"},"
    "\"_25._tcp.alias.dane.test\": {\"secure\": true, \"TLSA\": [[3,1,2,\"" HASH HASH "\"]]},"
    "\"alias2.dane.test\": {\"secure\": true, \"CNAME\": \"none.dane.test\"},"
    "\"_25._tcp.alias2.dane.test\": {\"secure\": true, \"TLSA\": [[3,1,2,\"" HASH HASH "\"]]},"
    "\"outside.dane.test\": {\"secure\": true, \"CNAME\": \"unsigned.dane.test\"},"
    "\"_25._tcp.outside.dane.test\": {\"secure\": true, \"TLSA\": [[3,1,2,\"" HASH HASH "\"]]},"
    "\"nomx-dane.test\": {\"secure\": true, \"A\": [\"127.0.5.8\"]},"
    "\"_25._tcp.nomx-dane.test\": {\"secure\": true, \"TLSA\": [[3,1,1,\"" HASH "\"]]},"
    "\"mapped.test\": {\"MX\": [[10,\"mapped-host.test\"]]}, \"mapped-host.test\": {\"AAAA\": [\"::ffff:10.0.0.1\"]},"
    "\"chain.test\": {\"CNAME\": \"chain2.test\"}, \"chain2.test\": {\"CNAME\": \"chain3.test\"},"
    "\"chain3.test\": {\"CNAME\": \"plain.test\"},"
    "\"loop.test\": {\"CNAME\": \"loop2.test\"}, \"loop2.test\": {\"CNAME\": \"loop.test\"},"
    "\"metadata.test\": {\"A\": [\"169.254.169.254\"]}}";

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
        static const char *const dane[] = {"", "/dane", "/encrypt", "/broken"};
        buf_str(&f->line, dane[copy.hosts[i].dane]);
        if (copy.hosts[i].dane == ROUTE_DANE_USABLE)
            buf_printf(&f->line, "(%zu %.*s)", copy.hosts[i].tlsa_count, SLICE_ARG(copy.hosts[i].dane_base));
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
        {"not\\a\\domain", "5.1.2 not\\a\\domain: not a domain name"},
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
        {"own-first.test", "5.4.6 own-first.test: mail loops back to us: its best MX, mx.ours.test, is a name of ours"},
        {"own-equal.test", " 10:a.plain.test=127.0.1.1"},
        {"own-address.test", " 10:a.plain.test=127.0.1.1"},
        {"own-only-address.test",
         "5.4.6 own-only-address.test: mail loops back to us: its best MX is at 127.9.9.9, where we ourselves answer"},
        {"mx.ours.test", "5.4.6 mx.ours.test: mail loops back to us: the domain is our own host"},
        {"backup.test", "4.4.4 backup.test: no address for any of its MX hosts"},
        {"twice.test", " 10:a.plain.test=127.0.1.1"},
        {"v6only.test", "4.4.4 v6only.test: it has IPv6 addresses only, and IPv6 is not used here"},
        {"v6mx.test", "4.4.4 v6mx.test: no address for any of its MX hosts"},
        {"signed.test", "secure 10:a.signed.test+=127.0.3.1"},
        {"[127.0.4.1]", "implicit 0:127.0.4.1=127.0.4.1"},
        {"[127.9.9.9]",
         "5.4.6 [127.9.9.9]: mail loops back to us: its best MX is at 127.9.9.9, where we ourselves answer"},
        {"[IPv6:::1]", "implicit 0:IPv6:::1=::1"},
        {"[10.0.0.1]", "5.4.4 [10.0.0.1]: 10.0.0.1: only loopback may be connected in demo, bench and tests"},
        {"[nonsense]", "5.1.2 [nonsense]: not an address literal"},
        {"chain.test", " 10:a.plain.test=127.0.1.1 20:b.plain.test=127.0.1.2"},
        {"loop.test", "4.4.3 loop.test: MX lookup failed: CNAME loop"},
        {"metadata.test",
         "5.4.4 metadata.test: 169.254.169.254: only loopback may be connected in demo, bench and tests"},
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

/* R30, R33, M44: what is signed decides; a TLSA lookup that fails leaves that host out, never in clear. */
static void tlsa_of_the_hosts(void **state)
{
    static const struct {
        const char *domain, *want;
    } rows[] = {
        {"dane.test",
         "secure 10:ee.dane.test+=127.0.5.1/dane(1 ee.dane.test) 20:ta.dane.test+=127.0.5.2/dane(1 ta.dane.test) "
         "30:pkix.dane.test+=127.0.5.3/encrypt 40:bogus.dane.test+=127.0.5.4/broken "
         "50:fails.dane.test+=127.0.5.5/broken 60:none.dane.test+=127.0.5.6 70:unsigned.dane.test=127.0.5.7"},
        {"unsigned-mx.test", " 10:ee.dane.test+=127.0.5.1"},
        {"nomx-dane.test", "implicitsecure 0:nomx-dane.test+=127.0.5.8/dane(1 nomx-dane.test)"},
        {"alias-dane.test", "secure 10:alias.dane.test+=127.0.5.1/dane(1 ee.dane.test) "
                            "20:alias2.dane.test+=127.0.5.6/dane(1 alias2.dane.test) "
                            "30:outside.dane.test=127.0.5.7/dane(1 outside.dane.test)"},
        {"plain.test", " 10:a.plain.test=127.0.1.1 20:b.plain.test=127.0.1.2"},
    };
    struct route_options options = {.uses_dane = true};
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_slice(rows[i].domain, find(*state, rows[i].domain, &options), slice_str(rows[i].want));
    options.uses_dane = false;
    assert_slice("DANE is off", find(*state, "nomx-dane.test", &options),
                 SLICE("implicitsecure 0:nomx-dane.test+=127.0.5.8"));
}

/* R15: what carries an address that must not be connected is refused too, after resolution. */
static void public_networks(void **state)
{
    static const struct {
        const char *domain, *want;
    } rows[] = {
        {"mapped.test",
         "5.4.4 mapped.test: ::ffff:10.0.0.1: v4-mapped form of a private (RFC 1918) address, not connected"},
        {"metadata.test", "5.4.4 metadata.test: 169.254.169.254: link-local or metadata addresses are not connected"},
        {"zero.test", "5.4.4 zero.test: 0.0.0.0: \"this network\" addresses are not connected"},
        {"private.test", "5.4.4 private.test: "},
    };
    struct fixture *f = *state;
    struct route_options options = {.uses_ipv6 = true};
    network_init(&f->world.network, NETWORK_PUBLIC);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct slice got = find(f, rows[i].domain, &options), want = slice_str(rows[i].want);
        assert_slice(rows[i].domain, slice_head(got, want.len), want);
    }
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
    static const char *const kept[] = {"h0", "h1", "h10", "h100", "h101", "h102", "h103", "h104", "h105", "h106"};
    for (size_t i = 0; i < COUNT_OF(kept); i++) { /* R18, R28: the same ones each time, for they name the site */
        char want[32];
        snprintf(want, sizeof(want), ":%s.test=", kept[i]);
        assert_row(kept[i], slice_find(line, slice_str(want)) != SLICE_NPOS);
    }
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
    const struct CMUnitTest tests[] = {WITH(routes),
                                       WITH(both_families_in_turns),
                                       WITH(tlsa_of_the_hosts),
                                       WITH(public_networks),
                                       WITH(equals_are_shuffled_and_many_are_cut),
                                       WITH(a_question_may_be_taken_back)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
