/* PROXY headers of both versions: every row whole, at every split offset, and with every byte changed; networks. */
#include "net/proxy.h"

#include "base/random.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define V2   "\r\n\r\n\0\r\nQUIT\n"
#define IP4S "\xc0\x00\x02\x01\xc6\x33\x64\x01\xdc\x04\x01\xbb" /* 192.0.2.1:56324 to 198.51.100.1:443 */
#define IP6S "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\xdc\x04\x01\xbb"

static const struct row {
    struct slice bytes;
    enum proxy_step step;
    const char *client; /* NULL: the connection is the proxy's own */
    bool has_tls;
} table[] = {
    {SLICE_INIT("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n"), PROXY_DONE, "192.0.2.1:56324", false},
    {SLICE_INIT("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"), PROXY_DONE, "255.255.255.255:65535",
     false},
    {SLICE_INIT("PROXY TCP6 2001:db8::1 2001:db8::2 0 443\r\n"), PROXY_DONE, "[2001:db8::1]:0", false},
    {SLICE_INIT("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 "
                "65535\r\n"),
     PROXY_DONE, "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", false},
    {SLICE_INIT("PROXY UNKNOWN\r\n"), PROXY_DONE, NULL, false},
    {SLICE_INIT("PROXY UNKNOWN whatever the proxy thinks of it\r\n"), PROXY_DONE, NULL, false},
    {SLICE_INIT("PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n"), PROXY_BAD, NULL, false},
    {SLICE_INIT("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 1\r\n"), PROXY_BAD, NULL, false},
    {SLICE_INIT("PROXY TCP4 192.0.2.1  198.51.100.1 56324 443\r\n"), PROXY_BAD, NULL, false},
    {SLICE_INIT("PROXY TCP4 192.0.2.01 198.51.100.1 56324 443\r\n"), PROXY_BAD, NULL, false},
    {SLICE_INIT("PROXY TCP4 192.0.2.1 198.51.100.1 65536 443\r\n"), PROXY_BAD, NULL, false},
    {SLICE_INIT("PROXY TCP4 192.0.2.1 198.51.100.1 +1 443\r\n"), PROXY_BAD, NULL, false},
    {SLICE_INIT("PROXY TCP4 192.0.2.1 198.51.100.1 01 443\r\n"), PROXY_BAD, NULL, false},
    {SLICE_INIT("PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n"), PROXY_BAD, NULL, false},
    {SLICE_INIT("PROXY TCP6 192.0.2.1 198.51.100.1 1 2\r\n"), PROXY_BAD, NULL, false},
    {SLICE_INIT("PROXY TCP6 2001:db8::1 198.51.100.1 1 2\r\n"), PROXY_BAD, NULL, false},
    {SLICE_INIT("PROXY UDP4 192.0.2.1 198.51.100.1 1 2\r\n"), PROXY_BAD, NULL, false},
    {SLICE_INIT("PROXY \r\n"), PROXY_BAD, NULL, false},
    {SLICE_INIT("PROXY\r\n"), PROXY_BAD, NULL, false},
    {SLICE_INIT("proxy TCP4 192.0.2.1 198.51.100.1 1 2\r\n"), PROXY_BAD, NULL, false},
    {SLICE_INIT("GET / HTTP/1.1\r\n"), PROXY_BAD, NULL, false},
    {SLICE_INIT("POST / HTTP/1.1\r\n"), PROXY_BAD, NULL, false},
    {SLICE_INIT("\x16\x03\x01"), PROXY_BAD, NULL, false},
    {SLICE_INIT(V2 "\x21\x11\x00\x0c" IP4S), PROXY_DONE, "192.0.2.1:56324", false},
    {SLICE_INIT(V2 "\x21\x21\x00\x24" IP6S), PROXY_DONE, "[2001:db8::1]:56324", false},
    {SLICE_INIT(V2 "\x20\x00\x00\x00"), PROXY_DONE, NULL, false},
    {SLICE_INIT(V2 "\x20\x11\x00\x0c" IP4S), PROXY_DONE, NULL, false},
    {SLICE_INIT(V2 "\x21\x00\x00\x00"), PROXY_DONE, NULL, false},
    {SLICE_INIT(V2 "\x21\x12\x00\x0c" IP4S), PROXY_DONE, NULL, false}, /* UDP */
    /* TLVs: an authority, and TLS between client and proxy; then without */
    {SLICE_INIT(V2 "\x21\x11\x00\x1a" IP4S "\x02\x00\x03"
                   "a.b"
                   "\x20\x00\x05\x01\0\0\0\0"),
     PROXY_DONE, "192.0.2.1:56324", true},
    {SLICE_INIT(V2 "\x21\x11\x00\x14" IP4S "\x20\x00\x05\x00\0\0\0\0"), PROXY_DONE, "192.0.2.1:56324", false},
    {SLICE_INIT(V2 "\x21\x11\x00\x0f" IP4S "\x20\x00\x01"), PROXY_BAD, NULL, false}, /* a TLV longer than its room */
    {SLICE_INIT(V2 "\x21\x11\x00\x0d" IP4S "\x20"), PROXY_BAD, NULL, false},
    {SLICE_INIT(V2 "\x21\x11\x00\x0b\xc0\x00\x02\x01\xc6\x33\x64\x01\xdc\x04\x01"), PROXY_BAD, NULL, false},
    {SLICE_INIT(V2 "\x21\x21\x00\x0c" IP4S), PROXY_BAD, NULL, false},
    {SLICE_INIT(V2 "\x31\x11\x00\x0c" IP4S), PROXY_BAD, NULL, false},
    {SLICE_INIT(V2 "\x22\x11\x00\x0c" IP4S), PROXY_BAD, NULL, false},
    {SLICE_INIT(V2 "\x21\x11\xff\xff"), PROXY_BAD, NULL, false}, /* 64 KiB: more than we read */
    {SLICE_INIT("\r\n\r\n\0\r\nQUIT\r"), PROXY_BAD, NULL, false},
};

/* A copy of exactly these bytes, so that the sanitizer sees a step too far. */
static enum proxy_step read_copy(struct slice bytes, struct proxy_head *head)
{
    char *copy = malloc(bytes.len ? bytes.len : 1);
    assert_non_null(copy);
    memcpy(copy, bytes.ptr, bytes.len);
    enum proxy_step step = proxy_head_read(slice_of(copy, bytes.len), head);
    assert_true(step != PROXY_DONE || head->len <= bytes.len);
    assert_true(step != PROXY_BAD || head->wrong);
    free(copy);
    return step;
}

static void expect(const struct row *row, enum proxy_step step, const struct proxy_head *head)
{
    char text[ENDPOINT_TEXT_ROOM];
    assert_int_equal(step, row->step);
    if (step != PROXY_DONE)
        return;
    assert_int_equal(head->has_client, row->client != NULL);
    assert_int_equal(head->has_tls, row->has_tls);
    if (row->client)
        assert_string_equal(endpoint_text(&head->client, text), row->client);
}

static void both_versions(void **state)
{
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct proxy_head head;
        SCOPED(buf) more = BUF(8192);
        print_message("row %zu\n", i);
        expect(&table[i], read_copy(table[i].bytes, &head), &head);
        if (table[i].step != PROXY_DONE)
            continue;
        assert_int_equal(head.len, table[i].bytes.len);
        buf_append(&more, table[i].bytes); /* what follows is not looked at */
        buf_text(&more, "PROXY TCP4 203.0.113.9 203.0.113.9 9 9\r\n");
        expect(&table[i], read_copy(buf_slice(&more), &head), &head);
        assert_int_equal(head.len, table[i].bytes.len);
    }
}

/* Whatever has come of a good one, it is not done and not bad before its last byte. */
static void at_every_split(void **state)
{
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct proxy_head head;
        bool was_bad = false;
        for (size_t len = 0; len < table[i].bytes.len; len++) {
            enum proxy_step step = read_copy(slice_head(table[i].bytes, len), &head);
            if (table[i].step == PROXY_DONE)
                assert_int_equal(step, PROXY_MORE);
            assert_true(step != PROXY_DONE);
            assert_false(was_bad && step == PROXY_MORE);
            was_bad |= step == PROXY_BAD;
        }
    }
}

/* X12: bounded whatever comes. */
static void without_end(void **state)
{
    SCOPED(buf) line = BUF(70000);
    struct proxy_head head;
    buf_text(&line, "PROXY UNKNOWN");
    while (line.len < PROXY_V1_MOST - 1) {
        assert_int_equal(read_copy(buf_slice(&line), &head), PROXY_MORE);
        buf_byte(&line, ' ');
    }
    buf_byte(&line, ' ');
    assert_int_equal(read_copy(buf_slice(&line), &head), PROXY_BAD);
    buf_text(&line, "\r\n");
    assert_int_equal(read_copy(buf_slice(&line), &head), PROXY_BAD);
    SCOPED(buf) longest = BUF(70000);
    buf_append(&longest, slice_of(V2 "\x20\x00\x0f\xf0", 16));
    while (longest.len < PROXY_V2_MOST)
        buf_byte(&longest, 'x');
    assert_int_equal(read_copy(buf_slice(&longest), &head), PROXY_DONE);
    assert_int_equal(head.len, PROXY_V2_MOST);
}

/* Each byte of each row, all 256 values; and many at once by chance: nothing is read past the end. */
static void mutations(void **state)
{
    struct proxy_head head;
    struct random random;
    random_seed(&random, 20261123);
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        char bytes[256];
        size_t len = table[i].bytes.len;
        memcpy(bytes, table[i].bytes.ptr, len);
        for (size_t at = 0; at < len; at++) {
            for (int value = 0; value < 256; value++) {
                bytes[at] = (char)value;
                read_copy(slice_of(bytes, len), &head);
            }
            bytes[at] = table[i].bytes.ptr[at];
        }
        for (int round = 0; round < 2000; round++) {
            memcpy(bytes, table[i].bytes.ptr, len);
            for (uint64_t n = random_below(&random, 5) + 1; n > 0; n--)
                bytes[random_below(&random, len)] = (char)random_below(&random, 256);
            read_copy(slice_of(bytes, random_below(&random, len + 1)), &head);
        }
    }
}

static void networks(void **state)
{
    static const struct {
        const char *text, *in, *out;
    } good[] = {
        {"", NULL, "127.0.0.1"},
        {"127.0.0.0/8", "127.1.2.3", "128.0.0.1"},
        {"192.0.2.1", "192.0.2.1", "192.0.2.2"},
        {"192.0.2.1 , 2001:db8::/32", "2001:db8:1::1", "2001:db9::1"},
        {"0.0.0.0/0", "203.0.113.1", "::1"},
    };
    static const char *const wrong[] = {"nowhere", "192.0.2.0/33", "192.0.2.0/", "192.0.2.1,", "::1/129", "/8"};
    struct proxies proxies;
    struct fault why;
    struct ip ip;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        assert_true(proxies_parse(slice_str(good[i].text), &proxies, &why));
        assert_true(!good[i].in || (ip_parse(slice_str(good[i].in), &ip) && proxies_have(&proxies, &ip)));
        assert_true(ip_parse(slice_str(good[i].out), &ip) && !proxies_have(&proxies, &ip));
    }
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        assert_false(proxies_parse(slice_str(wrong[i]), &proxies, &why));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_versions), cmocka_unit_test(at_every_split), cmocka_unit_test(without_end),
        cmocka_unit_test(mutations),     cmocka_unit_test(networks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
