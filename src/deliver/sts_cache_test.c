/* M43: what is kept holds while its id stays, when the record vanishes and when a fetch fails; and no longer than
 * max_age */
#include "deliver/sts_cache.h"
#include "dns/zone.h"
#include "store/testing.h"

static const char json[] = "{\"_mta-sts.same.test\": {\"TXT\": [\"v=STSv1; id=1;\"]},"
                           "\"_mta-sts.new.test\": {\"TXT\": [\"v=STSv1; id=2;\"]},"
                           "\"_mta-sts.broken.test\": {\"error\": \"bogus\"},"
                           "\"_mta-sts.twice.test\": {\"TXT\": [\"v=STSv1; id=1;\", \"v=STSv1; id=1;\"]},"
                           "\"_mta-sts.expired.test\": {\"TXT\": [\"v=STSv1; id=1;\"]},"
                           "\"_mta-sts.first.test\": {\"TXT\": [\"v=STSv1; id=1;\"]},"
                           "\"_mta-sts.both.test\": {\"TXT\": [\"v=STSv1; id=1;\"]},"
                           "\"same.test\": {\"A\": [\"127.0.0.1\"]}}";
static const time_ms now = 1795348800000;

static bool keep(struct db *db, struct fault *why, void *context)
{
    static const char *const domains[] = {"same.test",   "new.test",   "gone.test",
                                          "broken.test", "twice.test", "expired.test"};
    const char policy[] = "version: STSv1\nmode: enforce\nmx: mx.a.test\nmax_age: 86400\n";
    for (size_t i = 0; i < COUNT_OF(domains); i++) {
        time_ms fetched = now - (i == 5 ? DAYS_MS(2) : HOURS_MS(1));
        if (!db_do(db, why,
                   "INSERT INTO sts_policy (domain, id, policy, fetched_ms, expires_ms) VALUES ($1, '1', $2, $3, $4)",
                   VALUES(V_STR(domains[i]), V_BYTES(slice_str(policy)), V_INT(fetched), V_INT(fetched + DAYS_MS(1))),
                   NULL))
            return false;
    }
    return true;
}

struct asking {
    bool has_come, has_policy;
    int failed;
};

static void on_answer(void *owner, const struct sts_found *found)
{
    struct asking *asking = owner;
    asking->has_come = true;
    asking->has_policy = found && found->policy->mode == STS_ENFORCE;
}

static void on_failed(void *owner, struct slice domain, enum tls_result result, struct slice why)
{
    struct asking *asking = owner;
    asking->failed++;
    assert_int_equal(result, TLS_RESULT_STS_POLICY_FETCH_ERROR);
}

static void what_is_kept(void **state)
{
    TEST_STORE(test, state);
    static const struct {
        const char *domain;
        bool has_policy;
        int failed; /* fetches so far */
    } rows[] = {
        {"same.test", true, 0},                               /* nothing is fetched */
        {"gone.test", true, 0},                               /* the record has vanished */
        {"broken.test", true, 0},                             /* DNS says nothing that can be believed */
        {"twice.test", true, 0},                              /* two records are none */
        {"new.test", true, 1},                                /* another id, and the fetch fails: the old one holds */
        {"new.test", true, 1},                                /* not again at once */
        {"expired.test", false, 2}, {"first.test", false, 3}, /* never had one */
        {"nothing.test", false, 3},
    };
    struct world world;
    struct fault why = {0};
    struct asking asking = {0};
    world_init_manual(&world, now, 1);
    world.resolver = zone_resolver_of_json(slice_str(json), &why);
    assert_non_null(world.resolver);
    test_write(test.store, keep, NULL);
    struct loop *loop = loop_new(&world);
    struct dns_client *dns = dns_client_new(loop);
    const struct sts_cache_options options = {
        .loop = loop, .dns = dns, .store = test.store, .failed = on_failed, .owner = &asking};
    struct sts_cache *cache = sts_cache_new(&options, test.reader, &why);
    assert_non_null(cache);
    sts_cancel(sts_ask(cache, SLICE("same.test"), on_answer, &asking));
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        asking.has_come = false;
        sts_ask(cache, slice_str(rows[i].domain), on_answer, &asking);
        for (int turn = 0; turn < 20 && !asking.has_come; turn++)
            loop_turn(loop, 0);
        assert_row(rows[i].domain, asking.has_come);
        assert_int_row(rows[i].domain, asking.has_policy, rows[i].has_policy);
        assert_int_row(rows[i].domain, asking.failed, rows[i].failed);
    }
    struct asking first = {0}, second = {0}; /* two routes to a new domain: neither goes before the fetch has ended */
    sts_ask(cache, SLICE("both.test"), on_answer, &first);
    sts_ask(cache, SLICE("both.test"), on_answer, &second);
    sts_cancel(sts_ask(cache, SLICE("both.test"), on_answer, &asking));
    for (int turn = 0; turn < 20 && !first.has_come; turn++) {
        loop_turn(loop, 0);
        assert_int_equal(first.has_come, second.has_come);
    }
    assert_true(first.has_come && asking.failed == 4);
    world_advance(&world, DAYS_MS(1)); /* everybody's time is over */
    asking.has_come = false;
    sts_ask(cache, SLICE("gone.test"), on_answer, &asking);
    for (int turn = 0; turn < 20 && !asking.has_come; turn++)
        loop_turn(loop, 0);
    assert_true(asking.has_come && !asking.has_policy);
    sts_cache_free(cache);
    dns_client_free(dns);
    loop_free(loop);
    resolver_free(world.resolver);
    test_store_end(&test);
}

/* M43, F11: with room for two, the policy of whoever had to go is read from the store, even when DNS says nothing. */
static void who_had_to_go_is_read_again(void **state)
{
    TEST_STORE(test, state);
    static const char *const domains[] = {"same.test", "gone.test", "broken.test", "twice.test"};
    struct world world;
    struct fault why = {0};
    struct asking asking = {0};
    world_init_manual(&world, now, 1);
    world.resolver = zone_resolver_of_json(slice_str(json), &why);
    assert_non_null(world.resolver);
    test_write(test.store, keep, NULL);
    struct loop *loop = loop_new(&world);
    struct dns_client *dns = dns_client_new(loop);
    const struct sts_cache_options options = {
        .loop = loop, .dns = dns, .store = test.store, .entries_most = 2, .failed = on_failed, .owner = &asking};
    struct sts_cache *cache = sts_cache_new(&options, test.reader, &why);
    assert_non_null(cache);
    for (size_t i = 0; i < 3 * COUNT_OF(domains); i++) {
        const char *domain = domains[i % COUNT_OF(domains)];
        asking.has_come = false;
        sts_ask(cache, slice_str(domain), on_answer, &asking);
        for (int turn = 0; turn < 20 && !asking.has_come; turn++)
            loop_turn(loop, 0);
        assert_row(domain, asking.has_come && asking.has_policy);
    }
    assert_int_equal(asking.failed, 0);
    sts_cache_free(cache);
    dns_client_free(dns);
    loop_free(loop);
    resolver_free(world.resolver);
    test_store_end(&test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {ON_BOTH(what_is_kept), ON_BOTH(who_had_to_go_is_read_again)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
