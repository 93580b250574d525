/* R18, R30: hosts, TLSA records and policy of one attempt are those of one snapshot of one domain. TLSA records that
 * count for a signed domain are not another one's with the same hosts; and what begins to be demanded while a campaign
 * runs is demanded of every mail that was not under way. */
#include "deliver/house_test.h"

enum { PEOPLE = 1500, UNDER_WAY = 2 /* of one connection */ };

/* What snap.example and its hosts are is changed while others ask. */
struct changing {
    struct resolver resolver;
    struct resolver *inner, *zones[2];
    _Atomic int now;
};

static void changing_ask(struct resolver *resolver, struct dns_request *request)
{
    struct changing *changing = (struct changing *)resolver;
    bool is_it = slice_ends(slice_str(request->name), SLICE("snap.example"));
    struct resolver *to = is_it ? changing->zones[atomic_load(&changing->now)] : changing->inner;
    to->ask(to, request);
}

static void changing_free(struct resolver *resolver)
{
    struct changing *changing = (struct changing *)resolver;
    resolver_free(changing->inner);
    for (int i = 0; i < 2; i++)
        resolver_free(changing->zones[i]);
    free(changing);
}

/* signed.snap.example and snap.example have the same hosts. */
static struct resolver *zone_of(const char *ip, bool is_signed, bool is_all_signed)
{
    struct fault why;
    char zone[2000];
    const char *host = is_signed ? ",\"secure\":true" : "", *domain = is_all_signed ? ",\"secure\":true" : "";
    const char *records = is_signed ? ",\"_25._tcp.mx.snap.example\":{\"ttl\":0,\"secure\":true,\"TLSA\":[[3,1,1,"
                                      "\"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\"]]}"
                                    : "";
    snprintf(zone, sizeof(zone),
             "{\"snap.example\":{\"ttl\":0,\"MX\":[[10,\"mx.snap.example\"]]%s},"
             "\"signed.snap.example\":{\"ttl\":0,\"MX\":[[10,\"mx.snap.example\"]],\"secure\":true},"
             "\"mx.snap.example\":{\"ttl\":0,\"A\":[\"%s\"]%s}%s}",
             domain, ip, host, records);
    struct resolver *resolver = zone_resolver_of_json(slice_str(zone), &why);
    if (!resolver)
        fail_msg("%s", why.text);
    return resolver;
}

static struct changing *open_changing_house(struct fixture *fixture, bool is_signed_from_the_start)
{
    open_house(fixture);
    engine_stop(fixture->engine, 0);
    struct changing *changing = NEW(struct changing);
    *changing = (struct changing){.resolver = {changing_ask, changing_free}, .inner = fixture->world.resolver};
    changing->zones[0] = zone_of(fixture->receivers[0].ip, is_signed_from_the_start, false);
    changing->zones[1] = zone_of(fixture->receivers[0].ip, true, true);
    fixture->world.resolver = &changing->resolver;
    fixture->options.uses_dane = true;
    start(fixture);
    return changing;
}

/* It has no TLS: what is demanded of one domain keeps its mail back, and nobody else's. */
static void the_records_of_one_domain_are_not_anothers(void **state)
{
    enum { EACH = 100 };
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){.slow_ms = 1};
    open_changing_house(fixture, true);
    crowd(fixture, EACH, "snap.example");
    crowd(fixture, EACH, "signed.snap.example");
    submit(fixture);
    wait_until_state(fixture, "the unsigned one", DELIVERY_DELIVERED, EACH);
    for (int i = 0; i < 12000 && in_state(fixture, DELIVERY_DEFERRED) < EACH; i++)
        receiver_pause(5);
    assert_int_equal(in_state(fixture, DELIVERY_DEFERRED), EACH);
    for (size_t i = 0; i < fixture->count; i++)
        assert_int_row(fixture->people[i], receiver_took(&receivers[0], fixture->people[i]), i < EACH);
    leave(fixture);
}

/* A campaign in clear; what is decided, or published, in the middle of it holds for all that is not under way. */
static void what_is_demanded_from_now_on_is_demanded_of_all(void **state)
{
    static const struct {
        const char *name, *before, *sql;
        bool is_signed;
    } rows[] = {
        {"a rule: another destination of the same hosts", NULL,
         "INSERT INTO tls_rule (kind, name, rule, since_ms) VALUES ('domain', 'snap.example', 'required', 1)", false},
        {"it had TLS lately: the same destination, other demands",
         "INSERT INTO tls_rule (kind, name, rule, since_ms) VALUES ('domain', 'snap.example', 'seen', 1)",
         "INSERT INTO tls_seen (host, seen_ms) VALUES ('mx.snap.example', 99999999999999); UPDATE tls_rule SET "
         "since_ms "
         "= 2",
         false},
        {"records of DANE", NULL,
         "INSERT INTO tls_rule (kind, name, rule, since_ms) VALUES ('domain', 'other.example', 'required', 1)", true},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        HOUSE(fixture, state, 1);
        receivers[0] = (struct receiver){.slow_ms = 50};
        struct changing *changing = open_changing_house(fixture, false);
        char sql[300];
        snprintf(sql, sizeof(sql), "%s", rows[i].before ? rows[i].before : "DELETE FROM tls_rule");
        test_write(fixture->store.store, do_run, sql);
        engine_stop(fixture->engine, 0); /* whoever starts has read the rules */
        start(fixture);
        crowd(fixture, PEOPLE, "snap.example");
        submit(fixture);
        wait_until_accepted(&receivers[0], 20);
        atomic_store(&changing->now, rows[i].is_signed);
        for (char *rest = sql, *one = (snprintf(sql, sizeof(sql), "%s", rows[i].sql), strsep(&rest, ";")); one;
             one = strsep(&rest, ";"))
            test_write(fixture->store.store, do_run, one);
        for (int s = 0; s < 12000 && !in_state(fixture, DELIVERY_DEFERRED); s++)
            receiver_pause(5);
        int then = atomic_load(&receivers[0].accepted);
        for (int s = 0; s < 12000 && in_state(fixture, DELIVERY_WAITING) + in_state(fixture, DELIVERY_ON_WIRE); s++)
            receiver_pause(5);
        int after = atomic_load(&receivers[0].accepted) - then;
        print_message("  %s: %d of %d in clear before it was known, %d after\n", rows[i].name, then, PEOPLE, after);
        assert_true(then < PEOPLE / 2); /* connections that stand would take 100 each, 1,000 together */
        assert_true(after <= atomic_load(&receivers[0].open_most) * UNDER_WAY);
        assert_int_row(rows[i].name, in_state(fixture, DELIVERY_DEFERRED) + in_state(fixture, DELIVERY_DELIVERED),
                       PEOPLE);
        nobody_twice(fixture, rows[i].name);
        leave(fixture);
    }
}

int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        ON_BOTH(the_records_of_one_domain_are_not_anothers),
        {"what_is_demanded_from_now_on_is_demanded_of_all (sqlite)", what_is_demanded_from_now_on_is_demanded_of_all,
         NULL, NULL, (void *)(uintptr_t) "sqlite"},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
