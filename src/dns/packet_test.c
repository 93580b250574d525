/* X18, F6: answers as they come over the wire, whole and broken */
#include "base/base64.h"
#include "base/test.h"
#include "dns/packet.h"

/* A response is written as hex with spaces; the question is always example.com MX, at offset 12. */
#define QUESTION "076578616d706c65 03636f6d 00 000f 0001 "

struct row {
    const char *name;
    const char *hex;
    enum dns_type type;
    enum dns_status status;
    const char *records; /* as told() writes them */
    uint32_t ttl;
};

static void unhex(const char *text, struct buf *out)
{
    SCOPED(buf) digits = BUF(70000);
    for (; *text; text++)
        if (*text != ' ')
            buf_byte(&digits, *text);
    assert_true(hex_decode(out, buf_slice(&digits)));
}

static void told(const struct dns_answer *answer, struct buf *out)
{
    char ip[IP_TEXT_ROOM];
    for (size_t i = 0; i < answer->count; i++) {
        const struct dns_record *r = &answer->records[i];
        if (r->ip.family)
            buf_printf(out, "%s ", ip_text(&r->ip, ip));
        else if (r->tlsa.data.len)
            buf_printf(out, "%u.%u.%u.%zu ", r->tlsa.usage, r->tlsa.selector, r->tlsa.matching, r->tlsa.data.len);
        else
            buf_printf(out, "%u %.*s%.*s ", r->preference, SLICE_ARG(r->name), SLICE_ARG(r->text));
    }
}

static const struct row rows[] = {
    {"two MX with compressed names",
     "0001 8180 0001 0002 0000 0000 " QUESTION "c00c 000f 0001 00000e10 0009 000a 04 4d583031 c00c"
     "c00c 000f 0001 0000003c 0008 0014 03 6d7832 c00c",
     DNS_MX, DNS_FOUND, "10 mx01.example.com 20 mx2.example.com ", 60},
    {"null MX", "0001 8180 0001 0001 0000 0000 " QUESTION "c00c 000f 0001 0000003c 0003 0000 00", DNS_MX, DNS_FOUND,
     "0  ", 60},
    {"no such name, with SOA",
     "0001 8183 0001 0000 0001 0000 " QUESTION
     "c00c 0006 0001 00000e10 0018 c00c c00c 00000001 00000002 00000003 00000004 0000012c",
     DNS_MX, DNS_NO_NAME, "", 300},
    {"no data, without SOA", "0001 8180 0001 0000 0000 0000 " QUESTION, DNS_MX, DNS_NO_DATA, "", 60},
    {"alias, then address",
     "0001 8180 0001 0002 0000 0000 " QUESTION "c00c 0005 0001 0000000a 0004 0161 c00c"
     "0161 c00c 0001 0001 00000e10 0004 c0000201",
     DNS_A, DNS_FOUND, "192.0.2.1 ", 10},
    {"alias behind the address",
     "0001 8180 0001 0002 0000 0000 " QUESTION "0161 c00c 0001 0001 00000e10 0004 c0000201"
     "c00c 0005 0001 0000000a 0004 0161 c00c",
     DNS_A, DNS_FOUND, "192.0.2.1 ", 10},
    {"an address of another name is none of ours",
     "0001 8180 0001 0001 0000 0000 " QUESTION "0161 c00c 0001 0001 00000e10 0004 c0000201", DNS_A, DNS_NO_DATA, "",
     60},
    {"an alias of itself", "0001 8180 0001 0001 0000 0000 " QUESTION "c00c 0005 0001 0000000a 0002 c00c", DNS_A,
     DNS_TRY_LATER, "", 5},
    {"text in two pieces", "0001 8180 0001 0001 0000 0000 " QUESTION "c00c 0010 0001 0000000a 0008 03 763d73 03 706631",
     DNS_TXT, DNS_FOUND, "0 v=spf1 ", 10},
    {"text piece past its end", "0001 8180 0001 0001 0000 0000 " QUESTION "c00c 0010 0001 0000000a 0004 04 763d73",
     DNS_TXT, DNS_TRY_LATER, "", 5},
    {"TLSA", "0001 8180 0001 0001 0000 0000 " QUESTION "c00c 0034 0001 0000000a 0005 03 01 01 abcd", DNS_TLSA,
     DNS_FOUND, "3.1.1.2 ", 10},
    {"IPv6", "0001 8180 0001 0001 0000 0000 " QUESTION "c00c 001c 0001 0000000a 0010 20010db8000000000000000000000001",
     DNS_AAAA, DNS_FOUND, "2001:db8::1 ", 10},
    {"five octets are no address", "0001 8180 0001 0001 0000 0000 " QUESTION "c00c 0001 0001 0000000a 0005 c000020101",
     DNS_A, DNS_TRY_LATER, "", 5},
    {"SERVFAIL", "0001 8182 0001 0000 0000 0000 " QUESTION, DNS_MX, DNS_TRY_LATER, "", 5},
    {"a TTL with its top bit set is 0",
     "0001 8180 0001 0001 0000 0000 " QUESTION "c00c 000f 0001 80000000 0003 0000 00", DNS_MX, DNS_FOUND, "0  ", 0},
    {"a TTL of years is a day", "0001 8180 0001 0001 0000 0000 " QUESTION "c00c 000f 0001 7fffffff 0003 0000 00",
     DNS_MX, DNS_FOUND, "0  ", 86400},
    {"odd bytes in a name are written as such",
     "0001 8180 0001 0001 0000 0000 " QUESTION "c00c 000f 0001 0000000a 0008 0000 04 2e205c0a 00", DNS_MX, DNS_FOUND,
     "0 \\.\\032\\\\\\010 ", 10},
    {"a pointer to itself", "0001 8180 0001 0001 0000 0000 " QUESTION "c01d 000f 0001 0000000a 0003 0000 00", DNS_MX,
     DNS_TRY_LATER, "", 5},
    {"a pointer forward", "0001 8180 0001 0001 0000 0000 " QUESTION "c0ff 000f 0001 0000000a 0003 0000 00", DNS_MX,
     DNS_TRY_LATER, "", 5},
    {"a label type that does not exist",
     "0001 8180 0001 0001 0000 0000 " QUESTION "8041 000f 0001 0000000a 0003 0000 00", DNS_MX, DNS_TRY_LATER, "", 5},
    {"fewer answers than promised", "0001 8180 0001 0002 0000 0000 " QUESTION "c00c 000f 0001 0000000a 0003 0000 00",
     DNS_MX, DNS_TRY_LATER, "", 5},
    {"a host name longer than its data",
     "0001 8180 0001 0001 0000 0000 " QUESTION "c00c 000f 0001 0000000a 0005 0000 03 6d78 3200", DNS_MX, DNS_TRY_LATER,
     "", 5},
    {"nothing", "", DNS_MX, DNS_TRY_LATER, "", 5},
    {"half a head", "0001 8180", DNS_MX, DNS_TRY_LATER, "", 5},
};

static void read_rows(void **state)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        SCOPED(buf) packet = BUF(70000);
        SCOPED(buf) got = BUF(10000);
        struct arena arena = {0};
        struct dns_answer answer = {0};
        unhex(rows[i].hex, &packet);
        /* exact memory, so that ASan sees a step too far */
        char *exact = memory_alloc(packet.len + 1);
        memcpy(exact, packet.ptr ? packet.ptr : "", packet.len);
        exact = memory_resize(exact, packet.len ? packet.len : 1, 1);
        dns_packet_read(slice_of(exact, packet.len), "example.com", rows[i].type, &arena, &answer);
        told(&answer, &got);
        assert_slice(rows[i].name, dns_status_word(answer.status), dns_status_word(rows[i].status));
        assert_slice(rows[i].name, buf_slice(&got), slice_str(rows[i].records));
        assert_int_row(rows[i].name, answer.ttl_seconds, rows[i].ttl);
        free(exact);
        arena_release(&arena);
    }
}

static void every_cut_is_survived(void **state)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        SCOPED(buf) packet = BUF(70000);
        unhex(rows[i].hex, &packet);
        for (size_t cut = 0; cut < packet.len; cut++) {
            struct arena arena = {0};
            struct dns_answer answer = {0};
            char *exact = memory_alloc(cut + 1);
            memcpy(exact, packet.ptr, cut);
            dns_packet_read(slice_of(exact, cut), "example.com", rows[i].type, &arena, &answer);
            assert_row(rows[i].name, answer.status != DNS_FOUND || cut > 12);
            free(exact);
            arena_release(&arena);
        }
    }
}

static void a_thousand_mx_are_cut_off(void **state)
{
    SCOPED(buf) packet = BUF(70000);
    struct arena arena = {0};
    struct dns_answer answer = {0};
    unhex("0001 8180 0001 07d0 0000 0000 " QUESTION, &packet); /* 2,000 */
    for (int i = 0; i < 2000; i++)
        unhex("c00c 000f 0001 0000000a 0005 000a 0161 00", &packet);
    dns_packet_read(buf_slice(&packet), "example.com", DNS_MX, &arena, &answer);
    assert_int_equal(answer.status, DNS_FOUND);
    assert_int_equal(answer.count, DNS_RECORDS_MOST);
    arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(read_rows), cmocka_unit_test(every_cut_is_survived),
                                       cmocka_unit_test(a_thousand_mx_are_cut_off)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
