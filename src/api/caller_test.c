/* Who asks: keys kept for a second, revoked ones gone at once when told (S14), and how often each may ask (X16). */
#include "api/caller.h"
#include "store/testing.h"

static const time_ms WALL = 1795000000000;

static void a_rate_is_a_bucket_that_fills(void **state)
{
    struct caller caller = {.key.rights.rate = 60, .tokens = 60, .counted_at = 1000};
    unsigned left, wait;
    for (unsigned i = 0; i < 60; i++) {
        assert_true(caller_may_ask(&caller, 1000, &left, &wait));
        assert_int_equal(left, 59 - i);
    }
    assert_false(caller_may_ask(&caller, 1000, &left, &wait));
    assert_int_equal(wait, 2); /* never told to come too early */
    assert_false(caller_may_ask(&caller, 1900, &left, &wait));
    assert_true(caller_may_ask(&caller, 2001, &left, &wait)); /* one a second */
    assert_false(caller_may_ask(&caller, 2001, &left, &wait));
    assert_true(caller_may_ask(&caller, 10000000, &left, &wait)); /* not more than a minute's worth is saved */
    assert_int_equal(left, 59);
    assert_true(caller_may_ask(&caller, 9000000, &left, &wait)); /* a clock that stepped back gives and takes nothing */
    struct caller free = {.tokens = 0};
    for (unsigned i = 0; i < 1000; i++)
        assert_true(caller_may_ask(&free, 0, &left, &wait));
}

struct made {
    struct buf secret;
    uint64_t id;
};
static bool make(struct db *db, struct fault *why, void *context)
{
    struct made *made = context;
    const struct key_rights rights = {.scopes = KEY_EVENTS_READ, .rate = 2};
    return key_create(db, why, SLICE("a"), WALL, WALL + 60000, &rights, &made->secret, &made->id);
}
static bool revoke_it(struct db *db, struct fault *why, void *context)
{
    bool was_there;
    return key_revoke(db, why, ((struct made *)context)->id, WALL, &was_there) && was_there;
}

static struct caller *find(struct test_store *test, struct callers *callers, struct slice secret, uint64_t id,
                           time_ms now, time_ms wall)
{
    struct caller *caller;
    struct fault why = {0};
    if (!caller_find(callers, test->reader, secret, id, now, wall, &caller, &why))
        fail_msg("%s", why.text);
    return caller;
}

static void a_key_is_known_for_a_second(void **state)
{
    TEST_STORE(test, state);
    struct callers callers = {0};
    struct made made = {.secret = BUF(128)};
    test_write(test.store, make, &made);
    struct slice secret = buf_slice(&made.secret);
    assert_null(find(&test, &callers, SLICE("todoke_wrong"), 0, 5000, WALL));
    struct caller *caller = find(&test, &callers, secret, 0, 5000, WALL);
    assert_non_null(caller);
    assert_true(find(&test, &callers, SLICE(""), made.id, 5000, WALL) == caller); /* a session of it shares its rate */
    unsigned left, wait;
    assert_true(caller_may_ask(caller, 5000, &left, &wait) && caller_may_ask(caller, 5000, &left, &wait));
    assert_false(
        caller_may_ask(find(&test, &callers, secret, 0, 7000, WALL), 5000, &left, &wait)); /* read anew: kept */
    assert_null(find(&test, &callers, secret, 0, 7100, WALL + 60000));                     /* expired */
    caller = find(&test, &callers, secret, 0, 9000, WALL);
    assert_non_null(caller);
    test_write(test.store, revoke_it, &made);
    assert_non_null(find(&test, &callers, secret, 0, 9500, WALL));
    assert_null(find(&test, &callers, secret, 0, 10001, WALL));
    assert_null(find(&test, &callers, SLICE(""), made.id, 10001, WALL));
    callers_release(&callers);
    buf_release(&made.secret);
    test_store_end(&test);
}

static void one_that_is_forgotten_is_read_again(void **state)
{
    TEST_STORE(test, state);
    struct callers callers = {0};
    struct made made = {.secret = BUF(128)};
    test_write(test.store, make, &made);
    assert_non_null(find(&test, &callers, buf_slice(&made.secret), 0, 5000, WALL));
    test_write(test.store, revoke_it, &made);
    caller_forget(&callers, made.id);
    assert_null(find(&test, &callers, buf_slice(&made.secret), 0, 5001, WALL));
    callers_release(&callers);
    buf_release(&made.secret);
    test_store_end(&test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rate_is_a_bucket_that_fills),
        ON_BOTH(a_key_is_known_for_a_second),
        ON_BOTH(one_that_is_forgotten_is_read_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
