/* Leases: taken once, renewed, taken over with a new epoch; a node presumed dead is fenced off. */
#include "store/lease.h"
#include "store/testing.h"

struct work {
    struct leases leases;
    unsigned want;
    enum { ACQUIRE, RENEW, CHECK, RELEASE } what;
    struct bucket_set ours;
};
static bool work_run(struct db *db, struct fault *why, void *context)
{
    struct work *work = context;
    struct bucket_set all;
    memset(&all, 0xff, sizeof(all));
    switch (work->what) {
    case ACQUIRE: return leases_acquire(db, why, &work->leases, work->want, 1000);
    case RENEW: return leases_renew(db, why, &work->leases, 2000);
    case CHECK: return leases_check(db, why, &work->leases, &all, &work->ours);
    case RELEASE: return leases_release_all(db, why, &work->leases);
    }
    return false;
}
static void go(struct test_store *test, struct work *work, int what)
{
    work->what = what;
    test_write(test->store, work_run, work);
}
/* The database's clock passes everybody's lease. */
static bool expire(struct db *db, struct fault *why, void *context)
{
    return db_do(db, why, "UPDATE lease SET until_ms = 1", NO_VALUES, NULL);
}

static void one_node_owns_all(void **state)
{
    TEST_STORE(test, state);
    struct work one = {.leases = {.node = 1}, .want = 256};
    go(&test, &one, ACQUIRE);
    assert_int_equal(bucket_set_count(&one.leases.held), 256);
    assert_int_equal(bucket_set_count(&one.leases.taken_over), 256);
    assert_true(leases_are_safe(&one.leases, 1000 + LEASE_MS - LEASE_MARGIN_MS - 1));
    assert_false(leases_are_safe(&one.leases, 1000 + LEASE_MS - LEASE_MARGIN_MS));
    go(&test, &one, ACQUIRE); /* again: renewed, nothing taken over */
    assert_int_equal(bucket_set_count(&one.leases.taken_over), 0);
    assert_int_equal(one.leases.epoch[5], 1);
    go(&test, &one, RENEW);
    assert_int_equal(one.leases.until_monotonic, 2000 + LEASE_MS);
    go(&test, &one, CHECK);
    assert_int_equal(bucket_set_count(&one.ours), 256);
    test_store_end(&test);
}

static void after_a_restart_a_node_takes_its_own_at_once(void **state)
{
    TEST_STORE(test, state);
    struct work before = {.leases = {.node = 1}, .want = 256}, after = before;
    go(&test, &before, ACQUIRE);
    go(&test, &after, ACQUIRE);
    assert_int_equal(bucket_set_count(&after.leases.taken_over), 256); /* what was on the wire is in doubt */
    go(&test, &before, CHECK);
    assert_int_equal(bucket_set_count(&before.ours), 0);
    test_store_end(&test);
}

static void two_nodes_share_and_a_dead_one_is_fenced(void **state)
{
    TEST_STORE(test, state);
    struct work one = {.leases = {.node = 1}, .want = 128}, two = {.leases = {.node = 2}, .want = 256};
    go(&test, &one, ACQUIRE);
    go(&test, &two, ACQUIRE);
    assert_int_equal(bucket_set_count(&one.leases.held), 128);
    assert_int_equal(bucket_set_count(&two.leases.held), 128);
    test_write(test.store, expire, NULL);
    go(&test, &two, ACQUIRE); /* one did not renew */
    assert_int_equal(bucket_set_count(&two.leases.held), 256);
    assert_int_equal(bucket_set_count(&two.leases.taken_over), 128);
    go(&test, &one, CHECK); /* it wakes up and wants to settle */
    assert_int_equal(bucket_set_count(&one.ours), 0);
    go(&test, &one, RENEW);
    assert_int_equal(bucket_set_count(&one.leases.held), 0);
    go(&test, &two, RELEASE);
    go(&test, &one, ACQUIRE);
    assert_int_equal(bucket_set_count(&one.leases.held), 128);
    test_store_end(&test);
}

static void an_expired_lease_nobody_took_is_still_ours(void **state)
{
    TEST_STORE(test, state);
    struct work one = {.leases = {.node = 1}, .want = 256};
    go(&test, &one, ACQUIRE);
    test_write(test.store, expire, NULL);
    go(&test, &one, CHECK);
    assert_int_equal(bucket_set_count(&one.ours), 256);
    go(&test, &one, RENEW);
    assert_int_equal(bucket_set_count(&one.leases.held), 256);
    test_store_end(&test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(one_node_owns_all),
        ON_BOTH(after_a_restart_a_node_takes_its_own_at_once),
        ON_BOTH(two_nodes_share_and_a_dead_one_is_fenced),
        ON_BOTH(an_expired_lease_nobody_took_is_still_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
