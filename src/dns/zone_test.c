/* The `dns` option of the command line, zone files, and the client's cache in front */
#include "base/test.h"
#include "dns/zone.h"

struct fixture {
    struct world world;
    struct loop *loop;
    struct dns_client *client;
    struct arena arena;
};

static void begin(struct fixture *f, struct resolver *resolver, const struct fault *why)
{
    if (!resolver)
        fail_msg("%s", why->text);
    world_init_manual(&f->world, 0, 1);
    f->world.resolver = resolver;
    f->loop = loop_new(&f->world);
    f->client = dns_client_new(f->loop);
    f->arena = (struct arena){0};
}

static void end(struct fixture *f)
{
    dns_client_free(f->client);
    loop_free(f->loop);
    resolver_free(f->world.resolver);
    arena_release(&f->arena);
}

/* The answer as a line: "found: 10 mx.example.com", "no_name". */
static struct slice ask(struct fixture *f, const char *name, enum dns_type type)
{
    struct dns_answer answer;
    char ip[IP_TEXT_ROOM];
    SCOPED(buf) line = BUF(10000);
    dns_ask_and_wait(f->client, slice_str(name), type, &f->arena, &answer);
    buf_append(&line, dns_status_word(answer.status));
    for (size_t i = 0; i < answer.count; i++) {
        const struct dns_record *r = &answer.records[i];
        if (type == DNS_A || type == DNS_AAAA)
            buf_printf(&line, " %s", ip_text(&r->ip, ip));
        else if (type == DNS_MX)
            buf_printf(&line, " %u:%.*s", r->preference, SLICE_ARG(r->name));
        else if (type == DNS_TLSA)
            buf_printf(&line, " %u%u%u:%zu", r->tlsa.usage, r->tlsa.selector, r->tlsa.matching, r->tlsa.data.len);
        else
            buf_printf(&line, " \"%.*s%.*s\"", SLICE_ARG(r->name), SLICE_ARG(r->text));
    }
    if (answer.why.len)
        buf_printf(&line, " (%.*s)", SLICE_ARG(answer.why));
    if (answer.is_secure)
        buf_text(&line, " secure");
    return arena_copy(&f->arena, buf_slice(&line));
}

static const char json[] =
    "{\"Example.COM\": {\"TXT\": [\"v=spf1 -all\", [\"one \", \"record\"]], \"MX\": [[10,\"MX.example.com\"]], "
    "\"A\": [\"192.0.2.1\"], \"AAAA\": [\"2001:db8::1\"], \"SPF\": [1]},"
    "\"1.2.0.192.in-addr.arpa\": {\"PTR\": [\"host.example.com.\"]},"
    "\"alias.example.com\": {\"CNAME\": \"example.com\"},"
    "\"dangling.example.com\": {\"CNAME\": \"nowhere.example.com\"},"
    "\"loop.example.com\": {\"CNAME\": \"loop.example.com\"},"
    "\"slow.example.com\": {\"error\": \"timeout\"}, \"broken.example.com\": {\"error\": \"servfail\"},"
    "\"forged.example.com\": {\"error\": \"bogus\"}, \"half.example.com\": {\"TXT\": \"here\", \"error\": \"timeout\"},"
    "\"a..b\": {\"A\": \"192.0.2.3\"}, \"a b%c.example.com\": {\"TXT\": \"of a\\u0000macro\"},"
    "\"null.example.com\": {\"MX\": [0,\".\"]}, \"empty.example.com\": {},"
    "\"signed.example.com\": {\"secure\": true, \"TLSA\": [[3,1,1,\"abcd\"]]},"
    "\"*.wild.example.com\": {\"A\": \"192.0.2.9\"}, \"real.wild.example.com\": {\"TXT\": \"x\"}}";

static void json_rows(void **state)
{
    static const struct {
        const char *name;
        enum dns_type type;
        const char *want;
    } rows[] = {
        {"example.com", DNS_TXT, "found \"v=spf1 -all\" \"one record\""},
        {"EXAMPLE.com.", DNS_MX, "found 10:mx.example.com"},
        {"example.com", DNS_A, "found 192.0.2.1"},
        {"example.com", DNS_AAAA, "found 2001:db8::1"},
        {"example.com", DNS_PTR, "no_data"},
        {"1.2.0.192.in-addr.arpa", DNS_PTR, "found \"host.example.com\""},
        {"alias.example.com", DNS_A, "found 192.0.2.1"},
        {"alias.example.com", DNS_CNAME, "found \"example.com\""},
        {"alias.example.com", DNS_TLSA, "no_data"},
        {"dangling.example.com", DNS_A, "no_name"},
        {"loop.example.com", DNS_A, "try_later (CNAME loop)"},
        {"absent.example.com", DNS_A, "no_name"},
        {"com", DNS_A, "no_name"},
        {"slow.example.com", DNS_TXT, "try_later (timeout)"},
        {"broken.example.com", DNS_MX, "try_later (SERVFAIL)"},
        {"forged.example.com", DNS_MX, "bogus (DNSSEC validation failed)"},
        {"null.example.com", DNS_MX, "found 0:"},
        {"empty.example.com", DNS_MX, "no_data"},
        {"signed.example.com", DNS_TLSA, "found 311:2 secure"},
        {"a.wild.example.com", DNS_A, "found 192.0.2.9"},
        {"b.a.wild.example.com", DNS_A, "found 192.0.2.9"},
        {"real.wild.example.com", DNS_A, "no_data"},
        {"below.real.wild.example.com", DNS_A, "no_name"},
        {"wild.example.com", DNS_A, "no_name"},
        {"half.example.com", DNS_TXT, "found \"here\""},
        {"half.example.com", DNS_A, "try_later (timeout)"},
        {"A b%c.example.com", DNS_TXT,
         "found \"of a\""}, /* a macro may make such a name; NUL ends what is shown here */
        {"not\ta\tname", DNS_A, "no_name (not a domain name)"},
        {"a..b", DNS_A, "no_name (not a domain name)"},
        {"xn--" /* 64 octets */ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.jp", DNS_A,
         "no_name (not a domain name)"},
    };
    struct fixture f;
    struct fault why;
    begin(&f, zone_resolver_of_json(slice_str(json), &why), &why);
    for (int round = 0; round < 2; round++) /* from the zone, then from the cache */
        for (size_t i = 0; i < COUNT_OF(rows); i++)
            assert_slice(rows[i].name, ask(&f, rows[i].name, rows[i].type), slice_str(rows[i].want));
    end(&f);
}

static void wrong_json(void **state)
{
    static const struct {
        const char *json, *why;
    } rows[] = {
        {"{\"a\": ", "dns: line 1, column 6: unexpected token near end of file"},
        {"[]", "dns: want an object of names"},
        {"{\"a\": []}", "dns: a: want an object of types"},
        {"{\"a\": {\"A\": [\"::1\"]}}", "dns: a A: want IPv4 addresses"},
        {"{\"a\": {\"AAAA\": 5}}", "dns: a AAAA: want IPv6 addresses"},
        {"{\"a\": {\"MX\": [\"mx\"]}}", "dns: a MX: want [preference, \"host\"]"},
        {"{\"a\": {\"MX\": [[70000,\"mx\"]]}}", "dns: a MX: want [preference, \"host\"]"},
        {"{\"a\": {\"TXT\": [5]}}", "dns: a TXT: want strings, or lists of the pieces of one"},
        {"{\"a\": {\"error\": \"nxdomain\"}}", "dns: a error: want timeout, servfail or bogus"},
        {"{\"a\": {\"TLSA\": [[3,1,1,\"xy\"]]}}", "dns: a TLSA: want [usage, selector, matching, \"hex\"]"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct fault why;
        assert_null(zone_resolver_of_json(slice_str(rows[i].json), &why));
        assert_slice(rows[i].json, slice_str(why.text), slice_str(rows[i].why));
        assert_int_equal(why.kind, FAULT_INPUT);
    }
}

/* --- the client --- */

struct counting {
    struct resolver resolver;
    int asked;
    uint32_t ttl;
    struct dns_request *held[10];
    int held_count;
    bool holds;
};

static void count_ask(struct resolver *resolver, struct dns_request *request)
{
    struct counting *counting = (struct counting *)resolver;
    counting->asked++;
    if (counting->holds) {
        counting->held[counting->held_count++] = request;
        return;
    }
    request->answer = (struct dns_answer){.status = DNS_NO_DATA, .ttl_seconds = counting->ttl};
    dns_request_answered(request);
}

static void count_free(struct resolver *resolver)
{
}

static void on_answer(void *owner, const struct dns_answer *answer)
{
    ++*(int *)owner;
}

static void questions_are_joined_and_answers_kept(void **state)
{
    struct counting counting = {{count_ask, count_free}, .ttl = 10};
    struct fixture f;
    int answers = 0;
    begin(&f, &counting.resolver, NULL);
    for (int i = 0; i < 5; i++)
        dns_ask(f.client, SLICE("example.com"), DNS_A, on_answer, &answers);
    dns_cancel(dns_ask(f.client, SLICE("example.com"), DNS_A, on_answer, &answers));
    assert_int_equal(answers, 0); /* never from inside */
    for (int i = 0; i < 4; i++)
        loop_turn(f.loop, 0);
    assert_int_equal(counting.asked, 1);
    assert_int_equal(answers, 5);

    world_advance(&f.world, 9999);
    ask(&f, "example.com", DNS_A);
    assert_int_equal(counting.asked, 1);
    world_advance(&f.world, 2);
    ask(&f, "example.com", DNS_A);
    assert_int_equal(counting.asked, 2);
    end(&f);
}

static void the_cache_is_bounded(void **state)
{
    struct counting counting = {{count_ask, count_free}, .ttl = 1000};
    struct fixture f;
    char name[40];
    begin(&f, &counting.resolver, NULL);
    for (int i = 0; i < DNS_CACHE_MOST + 500; i++) {
        snprintf(name, sizeof(name), "n%d.example", i);
        ask(&f, name, DNS_A);
    }
    int before = counting.asked;
    ask(&f, name, DNS_A); /* the newest is still there */
    assert_int_equal(counting.asked, before);
    ask(&f, "n0.example", DNS_A); /* the oldest is not */
    assert_int_equal(counting.asked, before + 1);
    end(&f);
}

static void a_client_may_go_with_questions_open(void **state)
{
    struct counting counting = {{count_ask, count_free}, .holds = true};
    struct fixture f;
    int answers = 0;
    begin(&f, &counting.resolver, NULL);
    dns_ask(f.client, SLICE("a.example"), DNS_A, on_answer, &answers);
    dns_ask(f.client, SLICE("b.example"), DNS_A, on_answer, &answers);
    dns_request_failed(counting.held[0], DNS_TRY_LATER, "answered, on its way home");
    dns_client_free(f.client);
    dns_request_failed(counting.held[1], DNS_TRY_LATER, "too late");
    f.client = NULL;
    end(&f);
    assert_int_equal(answers, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_rows),
        cmocka_unit_test(wrong_json),
        cmocka_unit_test(questions_are_joined_and_answers_kept),
        cmocka_unit_test(the_cache_is_bounded),
        cmocka_unit_test(a_client_may_go_with_questions_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
