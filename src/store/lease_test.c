/* Leases: taken once, renewed, shared, taken over with a new epoch; a node presumed dead is fenced off. */
#include "store/lease.h"
#include "store/testing.h"

struct work {
    struct leases leases;
    enum { KEEP, CHECK, END, LEAD } what;
    struct bucket_set ours;
    bool leads;
};
static bool work_run(struct db *db, struct fault *why, void *context)
{
    struct work *work = context;
    struct bucket_set all = bucket_set_all();
    switch (work->what) {
    case KEEP: return leases_keep(db, why, &work->leases, 1000);
    case CHECK: return leases_check(db, why, &work->leases, &all, &work->ours);
    case END: return leases_end(db, why, &work->leases);
    case LEAD: return leases_lead(db, why, &work->leases, &work->leads);
    }
    return false;
}
static void go(struct test_store *test, struct work *work, int what)
{
    work->what = what;
    test_write(test->store, work_run, work);
}
/* The database's clock passes this node's lease. */
static bool expire(struct db *db, struct fault *why, void *context)
{
    const struct work *work = context;
    const struct value node[] = {V_INT(work->leases.node)};
    return db_do(db, why, "UPDATE lease SET until_ms = 1 WHERE node = $1", node, 1, NULL) &&
           db_do(db, why, "UPDATE node SET until_ms = 1 WHERE node = $1", node, 1, NULL);
}
static unsigned held(const struct work *work)
{
    return bucket_set_count(&work->leases.held);
}
static unsigned gained(const struct work *work)
{
    return bucket_set_count(&work->leases.gained);
}
static unsigned ours(struct test_store *test, struct work *work)
{
    go(test, work, CHECK);
    return bucket_set_count(&work->ours);
}

static void one_node_owns_all(void **state)
{
    TEST_STORE(test, state);
    struct work one = {.leases = {.node = 1}};
    go(&test, &one, KEEP);
    assert_int_equal(held(&one), 256);
    assert_int_equal(gained(&one), 256);
    assert_true(one.leases.is_new_life);
    time_ms length = store_is_postgres(test.store) ? LEASE_MS : LEASE_ALONE_MS;
    assert_true(leases_are_safe(&one.leases, 1000 + length - LEASE_MARGIN_MS - 1));
    assert_false(leases_are_safe(&one.leases, 1000 + length - LEASE_MARGIN_MS));
    go(&test, &one, KEEP); /* again: renewed, nothing gained */
    assert_int_equal(gained(&one), 0);
    assert_false(one.leases.is_new_life);
    assert_int_equal(one.leases.epoch[5], 1);
    assert_int_equal(ours(&test, &one), 256);
    go(&test, &one, LEAD);
    assert_true(one.leads && leases_lead_now(&one.leases));
    test_store_end(&test);
}

static void after_a_restart_a_node_takes_its_own_at_once(void **state)
{
    TEST_STORE(test, state);
    struct work before = {.leases = {.node = 1}}, after = before;
    go(&test, &before, KEEP);
    go(&test, &after, KEEP);
    assert_int_equal(gained(&after), 256);
    assert_true(after.leases.is_new_life); /* what was on the wire is in doubt */
    assert_int_equal(ours(&test, &before), 0);
    assert_false(before.leases.is_alive);
    test_store_end(&test);
}

static void a_new_node_gets_its_share(void **state)
{
    TEST_STORE(test, state);
    struct work one = {.leases = {.node = 1}}, two = {.leases = {.node = 2}}, three = {.leases = {.node = 3}};
    bool has_work;
    struct fault why;
    go(&test, &one, KEEP);
    assert_true(leases_look(test.reader, &why, one.leases.live_count, &has_work));
    assert_false(has_work);
    go(&test, &two, KEEP); /* nothing is free yet */
    assert_int_equal(held(&two), 0);
    assert_true(leases_look(test.reader, &why, one.leases.live_count, &has_work));
    assert_true(has_work); /* there are more of us than one thinks */
    go(&test, &one, KEEP);
    go(&test, &two, KEEP);
    assert_int_equal(held(&one), 128);
    assert_int_equal(held(&two), 128);
    assert_true(one.leases.is_alive || ours(&test, &one) == 128);
    assert_false(two.leases.others_ended);
    go(&test, &one, LEAD);
    go(&test, &two, LEAD);
    assert_true(one.leads && !two.leads); /* the elder goes on leading */
    for (int round = 0; round < 2; round++) {
        go(&test, &three, KEEP);
        go(&test, &one, KEEP);
        go(&test, &two, KEEP);
    }
    go(&test, &three, KEEP);
    assert_int_equal(held(&one) + held(&two) + held(&three), 256);
    assert_true(held(&one) >= 84 && held(&two) >= 84 && held(&three) >= 84);
    go(&test, &one, END); /* a clean stop */
    go(&test, &two, KEEP);
    go(&test, &three, KEEP);
    assert_int_equal(held(&two) + held(&three), 256);
    assert_true(two.leases.others_ended);
    test_store_end(&test);
}

static void a_dead_node_is_fenced(void **state)
{
    TEST_STORE(test, state);
    struct work one = {.leases = {.node = 1}}, two = {.leases = {.node = 2}};
    go(&test, &one, KEEP);
    go(&test, &two, KEEP);
    go(&test, &one, KEEP);
    go(&test, &two, KEEP);
    test_write(test.store, expire, &one); /* one did not renew */
    go(&test, &two, KEEP);
    assert_int_equal(held(&two), 256);
    assert_int_equal(gained(&two), 128);
    assert_true(two.leases.others_ended);
    assert_false(leases_node_lives(&two.leases, 1));
    assert_int_equal(ours(&test, &one), 0); /* it wakes up and wants to settle */
    assert_false(one.leases.is_alive);
    go(&test, &one, KEEP); /* a new life, that begins with nothing */
    assert_true(one.leases.is_new_life);
    assert_int_equal(held(&one), 0);
    go(&test, &two, KEEP);
    go(&test, &one, KEEP);
    assert_int_equal(held(&one), 128);
    assert_int_equal(ours(&test, &one), 128);
    test_store_end(&test);
}

static void an_expired_lease_nobody_took_is_still_ours(void **state)
{
    TEST_STORE(test, state);
    struct work one = {.leases = {.node = 1}};
    go(&test, &one, KEEP);
    test_write(test.store, expire, &one);
    assert_int_equal(ours(&test, &one), 256);
    go(&test, &one, KEEP);
    assert_int_equal(held(&one), 256);
    assert_false(one.leases.is_new_life);
    test_store_end(&test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(one_node_owns_all),
        ON_BOTH(after_a_restart_a_node_takes_its_own_at_once),
        ON_BOTH(a_new_node_gets_its_share),
        ON_BOTH(a_dead_node_is_fenced),
        ON_BOTH(an_expired_lease_nobody_took_is_still_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
