/* M9 (RFC 7505 4.2): which sender domains say that they take no mail; what is not known now refuses nobody */
#include "base/test.h"
#include "dns/null_mx.h"
#include "dns/request.h"
#include "dns/zone.h"

struct heard {
    int times;
    bool is_published;
};
static void told(void *owner, bool is_published)
{
    struct heard *heard = owner;
    heard->times++;
    heard->is_published = is_published;
}

static const char zone[] =
    "{\"null.example\":{\"MX\":[[0,\".\"]]},\"other.example\":{\"MX\":[[10,\"mx.other.example\"]]},"
    "\"both.example\":{\"MX\":[[0,\".\"],[10,\"mx.other.example\"]]},"
    "\"bare.example\":{\"A\":[\"192.0.2.1\"]},\"broken.example\":{\"error\":\"servfail\"}}";

static void what_domains_say(void **state)
{
    static const struct {
        const char *name, *domain;
        bool is_published, is_asked;
    } rows[] = {
        {"a null MX", "null.example", true, true},
        {"in capitals, with the last dot", "NULL.Example.", true, true},
        {"an MX", "other.example", false, true},
        {"a null MX beside another means nothing", "both.example", false, true},
        {"an address and no MX", "bare.example", false, true},
        {"no such name", "nobody.example", false, true},
        {"the DNS fails", "broken.example", false, true},
        {"an address literal", "[192.0.2.1]", false, false},
        {"no domain", "", false, false},
    };
    struct fault why;
    struct world world;
    world_init_manual(&world, 0, 1);
    world.resolver = zone_resolver_of_json(slice_str(zone), &why);
    assert_non_null(world.resolver);
    struct loop *loop = loop_new(&world);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct null_mx *null_mx = null_mx_new(loop);
        struct heard heard = {0};
        struct slice domain = slice_str(rows[i].domain);
        enum null_mx_said known = rows[i].is_published ? NULL_MX_PUBLISHED : NULL_MX_TAKES_MAIL;
        if (rows[i].is_asked) {
            assert_int_row(rows[i].name, null_mx_known(null_mx, domain), NULL_MX_NOT_KNOWN);
            null_mx_ask(null_mx, domain, told, &heard);
            assert_int_row(rows[i].name, heard.times, 0);
            for (int turn = 0; turn < 100 && !heard.times; turn++)
                loop_turn(loop, 10);
            assert_int_row(rows[i].name, heard.times, 1);
            assert_int_row(rows[i].name, heard.is_published, rows[i].is_published);
        }
        assert_int_row(rows[i].name, null_mx_known(null_mx, domain), known);
        null_mx_free(null_mx);
    }
    loop_free(loop);
    resolver_free(world.resolver);
}

/* A resolver that says nothing. */
struct silent {
    struct resolver resolver;
    struct dns_request *asked[4];
    int count;
};
static void silent_ask(struct resolver *resolver, struct dns_request *request)
{
    struct silent *silent = (struct silent *)resolver;
    silent->asked[silent->count++] = request;
}

static void an_answer_that_does_not_come_refuses_nobody(void **state)
{
    struct silent silent = {.resolver = {.ask = silent_ask}};
    struct world world;
    world_init_manual(&world, 0, 1);
    world.resolver = &silent.resolver;
    struct loop *loop = loop_new(&world);
    struct null_mx *null_mx = null_mx_new(loop);
    struct heard heard = {0}, forgotten = {0};
    null_mx_ask(null_mx, SLICE("slow.example"), told, &heard);
    null_mx_cancel(null_mx_ask(null_mx, SLICE("other.example"), told, &forgotten));
    world_advance(&world, NULL_MX_ASK_MS - 1);
    loop_turn(loop, 0);
    assert_int_equal(heard.times, 0);
    world_advance(&world, 1);
    loop_turn(loop, 0);
    assert_int_equal(heard.times, 1);
    assert_false(heard.is_published);
    assert_int_equal(null_mx_known(null_mx, SLICE("slow.example")), NULL_MX_TAKES_MAIL);
    world_advance(&world, 60000); /* asked again after a minute */
    loop_turn(loop, 0);
    assert_int_equal(null_mx_known(null_mx, SLICE("slow.example")), NULL_MX_NOT_KNOWN);
    null_mx_ask(null_mx, SLICE("slow.example"), told, &heard);
    null_mx_free(null_mx); /* with an open question */
    assert_int_equal(heard.times, 1);
    assert_int_equal(forgotten.times, 0);
    for (int i = 0; i < silent.count; i++)
        dns_request_failed(silent.asked[i], DNS_TRY_LATER, "silent");
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_domains_say),
        cmocka_unit_test(an_answer_that_does_not_come_refuses_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
