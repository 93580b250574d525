/* Addresses as text and back */
#include "base/test.h"
#include "net/ip.h"

static void texts(void **state)
{
    static const struct {
        const char *text;
        const char *again; /* NULL: not an endpoint */
    } rows[] = {
        {"127.0.0.1:25", "127.0.0.1:25"},
        {":8080", "0.0.0.0:8080"},
        {"[::1]:25", "[::1]:25"},
        {"[2001:0db8:0:0::1]:65535", "[2001:db8::1]:65535"},
        {"127.0.0.1:0", "127.0.0.1:0"},
        {"127.0.0.1", NULL},
        {"127.0.0.1:65536", NULL},
        {"127.0.0.1:-1", NULL},
        {"127.0.0.1:", NULL},
        {"127.1:25", NULL},
        {"127.0.0.01:25", NULL},
        {"::1:25", NULL},
        {"[::1%lo]:25", NULL},
        {"[::1]25", NULL},
        {"localhost:25", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct endpoint endpoint;
        struct fault why;
        char text[ENDPOINT_TEXT_ROOM];
        bool ok = endpoint_parse(slice_str(rows[i].text), &endpoint, &why);
        assert_int_row(rows[i].text, ok, rows[i].again != NULL);
        if (ok)
            assert_slice(rows[i].text, slice_str(endpoint_text(&endpoint, text)), slice_str(rows[i].again));
    }
}

static void reverse_names(void **state)
{
    struct ip ip;
    SCOPED(buf) name = BUF(100);
    assert_true(ip_parse(SLICE("192.0.2.1"), &ip));
    ip_reverse_name(&ip, &name);
    assert_slice("v4", buf_slice(&name), SLICE("1.2.0.192.in-addr.arpa"));
    buf_reset(&name);
    assert_true(ip_parse(SLICE("2001:db8::567:89ab"), &ip));
    ip_reverse_name(&ip, &name);
    assert_slice("v6", buf_slice(&name),
                 SLICE("b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"));
}

static void prefixes(void **state)
{
    static const struct {
        const char *ip, *prefix;
        unsigned bits;
        bool inside;
    } rows[] = {
        {"172.31.255.255", "172.16.0.0", 12, true},
        {"172.32.0.0", "172.16.0.0", 12, false},
        {"10.0.0.1", "10.0.0.1", 32, true},
        {"10.0.0.2", "10.0.0.1", 32, false},
        {"1.2.3.4", "0.0.0.0", 0, true},
        {"fdff::1", "fc00::", 7, true},
        {"fe00::1", "fc00::", 7, false},
        {"::1", "0.0.0.0", 0, false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct ip ip, prefix;
        assert_true(ip_parse(slice_str(rows[i].ip), &ip) && ip_parse(slice_str(rows[i].prefix), &prefix));
        assert_int_row(rows[i].ip, ip_in_prefix(&ip, &prefix, rows[i].bits), rows[i].inside);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(texts), cmocka_unit_test(reverse_names),
                                       cmocka_unit_test(prefixes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
