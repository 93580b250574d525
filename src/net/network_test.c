/* R15, X8: what may be connected. The shipped default refuses loopback; the playground permits nothing else. */
#include "base/test.h"
#include "net/network.h"

static const struct {
    const char *ip;
    bool is_public, is_playground;
} rows[] = {
    {"8.8.8.8", true, false},
    {"100.63.255.255", true, false},
    {"172.15.0.1", true, false},
    {"172.32.0.1", true, false},
    {"2a00:1450:4001::1a", true, false},
    {"64:ff9b::808:808", true, false}, /* NAT64 of 8.8.8.8 */
    {"2002:808:808::1", true, false},  /* 6to4 of 8.8.8.8 */
    {"127.0.0.1", false, true},
    {"127.255.1.2", false, true},
    {"::1", false, true},
    {"0.0.0.0", false, false},
    {"0.1.2.3", false, false},
    {"::", false, false},
    {"10.1.2.3", false, false},
    {"172.16.0.1", false, false},
    {"172.31.255.255", false, false},
    {"192.168.1.1", false, false},
    {"100.64.0.1", false, false},
    {"169.254.1.1", false, false},
    {"169.254.169.254", false, false}, /* metadata */
    {"fd00:ec2::254", false, false},   /* metadata over IPv6, a ULA */
    {"fe80::1", false, false},
    {"fc00::1", false, false},
    {"224.0.0.1", false, false},
    {"255.255.255.255", false, false},
    {"192.0.2.1", false, false},
    {"198.18.0.1", false, false},
    {"2001:db8::1", false, false},
    {"ff02::1", false, false},
    {"::ffff:127.0.0.1", false, false}, /* v4-mapped: not even in the playground */
    {"::ffff:10.0.0.1", false, false},
    {"::ffff:169.254.169.254", false, false},
    {"::7f00:1", false, false},           /* v4-compatible */
    {"64:ff9b::7f00:1", false, false},    /* NAT64 of 127.0.0.1 */
    {"64:ff9b::a9fe:a9fe", false, false}, /* NAT64 of metadata */
    {"64:ff9b:1::a00:1", false, false},
    {"2002:7f00:1::", false, false},   /* 6to4 of 127.0.0.1 */
    {"2001::80ff:fffe", false, false}, /* Teredo of 127.0.0.1 */
    {"::ffff:0:7f00:1", false, false}, /* v4-translated */
};

static void permits(void **state)
{
    struct network shipped, playground;
    struct fault why;
    network_init(&shipped, NETWORK_PUBLIC);
    network_init(&playground, NETWORK_LOOPBACK);
    /* What an operator permits never opens the playground. */
    assert_true(network_permit(&playground, SLICE("0.0.0.0/0"), &why));
    assert_true(network_permit(&playground, SLICE("::/0"), &why));
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct ip ip;
        assert_row(rows[i].ip, ip_parse(slice_str(rows[i].ip), &ip));
        assert_int_row(rows[i].ip, network_permits(&shipped, &ip, &why), rows[i].is_public);
        assert_int_row(rows[i].ip, network_permits(&playground, &ip, &why), rows[i].is_playground);
    }
    struct ip none = {0};
    assert_false(network_permits(&shipped, &none, &why));
    assert_false(network_permits(&playground, &none, &why));
}

static void the_operators_relay(void **state)
{
    struct network shipped;
    struct fault why;
    struct ip inside = ip_v4(10, 1, 2, 3), outside = ip_v4(10, 1, 3, 3);
    network_init(&shipped, NETWORK_PUBLIC);
    assert_true(network_permit(&shipped, SLICE("10.1.2.0/24"), &why));
    assert_true(network_permits(&shipped, &inside, &why));
    assert_false(network_permits(&shipped, &outside, &why));
    assert_string_equal(why.text, "10.1.3.3: private (RFC 1918) addresses are not connected");
    assert_false(network_permit(&shipped, SLICE("10.0.0.0/33"), &why));
    assert_false(network_permit(&shipped, SLICE("relay.example"), &why));
}

static void port_25_is_mapped(void **state)
{
    struct network shipped, playground;
    network_init(&shipped, NETWORK_PUBLIC);
    network_init(&playground, NETWORK_LOOPBACK);
    assert_int_equal(network_map(&shipped, (struct endpoint){ip_v4(8, 8, 8, 8), 25}).port, 25);
    assert_int_equal(network_map(&playground, (struct endpoint){ip_v4(127, 1, 2, 3), 25}).port, 2525);
    assert_int_equal(network_map(&playground, (struct endpoint){ip_v4(127, 1, 2, 3), 587}).port, 587);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(permits), cmocka_unit_test(the_operators_relay),
                                       cmocka_unit_test(port_25_is_mapped)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
