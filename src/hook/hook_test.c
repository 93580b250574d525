/* Webhooks: the signature of the specification's example, URLs, and the rows' moves (R35). */
#include "hook/inside.h"
#include "store/testing.h"

static const time_ms NOW = 1795000000000;

static void the_example_of_the_specification(void **state)
{
    struct fault why;
    SCOPED(buf) out = BUF(200);
    assert_true(hook_sign(SLICE("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), SLICE("msg_p5jXN8AQM9LWM0D4loKWxJek"),
                          1614265330000, SLICE("{\"test\": 2432232314}"), &out, &why));
    assert_slice("signature", buf_slice(&out), SLICE("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
    assert_false(hook_sign(SLICE("nothing"), SLICE("a"), 1, SLICE("b"), &out, &why));
}

static void urls(void **state)
{
    static const struct {
        const char *url;
        bool is_good;
    } rows[] = {
        {"https://app.example/in?a=b", true},
        {"http://10.1.2.3:8080/", true},
        {"https://[2001:db8::1]:8443/x", true},
        {"https://app.example", true},
        {"ftp://app.example/", false},
        {"app.example", false},
        {"https://u:p@app.example/", false},
        {"https://u@app.example/", false},
        {"https://app.example/#f", false},
        {"https://app.example/a b", false},
        {"https://", false},
        {"", false},
        {"https://app.example:99999/", false},
        {"file:///etc/passwd", false},
        {"https://\xe5\xb1\x8a/", false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct fault why;
        assert_row(rows[i].url, hook_url_check(slice_str(rows[i].url), &why) == rows[i].is_good);
    }
}

struct tale {
    struct seal_key seal;
    struct hook hook;
    struct hook_beginning beginning;
    struct hook_ending ending;
    struct buf secret;
    uint64_t test_id;
    bool found;
};
static bool add(struct db *db, struct fault *why, void *context)
{
    struct tale *tale = context;
    buf_reset(&tale->secret);
    return hook_add(db, why, &tale->seal, &tale->hook, &tale->secret, NOW);
}
static bool begin(struct db *db, struct fault *why, void *context)
{
    return hook_begin(db, why, &((struct tale *)context)->beginning);
}
static bool end(struct db *db, struct fault *why, void *context)
{
    return hook_end(db, why, &((struct tale *)context)->ending);
}
static bool replay(struct db *db, struct fault *why, void *context)
{
    struct tale *tale = context;
    const struct event_place beginning = {0};
    return hook_replay(db, why, tale->hook.id, &beginning, &tale->found);
}

static void read_back(struct test_store *test, struct tale *tale)
{
    struct fault why = {0};
    struct hook *hooks;
    size_t count;
    assert_true(hook_list(test->reader, &why, tale->hook.id, &hooks, &count));
    assert_int_equal(count, 1);
    tale->hook = hooks[0];
    free(hooks);
}

static void a_batch_stays_the_same_until_it_is_told(void **state)
{
    TEST_STORE(test, state);
    struct tale *tale = NEW(struct tale);
    buf_init(&tale->secret, HOOK_SECRET_MAX);
    tale->seal.id = 7;
    snprintf(tale->hook.url, sizeof(tale->hook.url), "https://app.example/");
    test_write(test.store, add, tale);

    tale->beginning = (struct hook_beginning){
        .id = tale->hook.id, .node = 1, .batch_id = 5, .is_new = true, .now = NOW, .hold_until = NOW + 1000};
    tale->beginning.until.seq[3] = 9;
    test_write(test.store, begin, tale);
    assert_true(tale->beginning.taken);
    test_write(test.store, begin, tale);
    assert_false(tale->beginning.taken); /* it has a batch already */

    tale->beginning.is_new = false;
    tale->beginning.node = 2;
    test_write(test.store, begin, tale);
    assert_false(tale->beginning.taken); /* the other node has it */
    tale->beginning.now = NOW + 1000;
    test_write(test.store, begin, tale);
    assert_true(tale->beginning.taken); /* and has gone */

    tale->ending = (struct hook_ending){.id = tale->hook.id,
                                        .batch_id = 5,
                                        .now = NOW,
                                        .next = NOW + 5000,
                                        .patience = HOOK_PATIENCE_MS,
                                        .attempt = {.at = NOW, .status = 500, .fault = SLICE("HTTP status 500")}};
    test_write(test.store, end, tale);
    read_back(&test, tale);
    assert_true(tale->hook.batch_id == 5 && tale->hook.place.seq[3] == 0 && tale->hook.batch_end.seq[3] == 9);
    assert_true(tale->hook.attempts == 1 && tale->hook.failing_since == NOW && tale->hook.next == NOW + 5000);
    assert_false(tale->ending.is_given_up);

    tale->ending.is_told = true;
    tale->ending.attempt.events = 4;
    test_write(test.store, end, tale);
    read_back(&test, tale);
    assert_true(tale->hook.batch_id == 0 && tale->hook.place.seq[3] == 9 && tale->hook.told == 4);
    assert_true(tale->hook.attempts == 0 && tale->hook.failing_since == 0);

    /* replayed while a batch is on its way: its end moves nothing */
    tale->beginning = (struct hook_beginning){.id = tale->hook.id,
                                              .node = 2,
                                              .batch_id = 6,
                                              .is_new = true,
                                              .place = tale->hook.place,
                                              .from = tale->hook.place,
                                              .until = tale->hook.place,
                                              .now = NOW,
                                              .hold_until = NOW + 1};
    tale->beginning.until.seq[3] = 20;
    test_write(test.store, begin, tale);
    assert_true(tale->beginning.taken);
    test_write(test.store, replay, tale);
    tale->ending.batch_id = 6;
    test_write(test.store, end, tale);
    read_back(&test, tale);
    assert_true(tale->found && tale->hook.place.seq[3] == 0 && tale->hook.batch_id == 0);

    /* three days */
    tale->beginning = (struct hook_beginning){
        .id = tale->hook.id, .node = 2, .batch_id = 8, .is_new = true, .now = NOW + 2, .hold_until = NOW + 3};
    test_write(test.store, begin, tale);
    assert_true(tale->beginning.taken);
    tale->ending.batch_id = 8;
    tale->ending.is_told = false;
    test_write(test.store, end, tale);
    tale->ending.now = NOW + HOOK_PATIENCE_MS;
    test_write(test.store, end, tale);
    read_back(&test, tale);
    assert_true(tale->ending.is_given_up && tale->hook.state == HOOK_FAILED);
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM hook_delivery"), 5);
    buf_release(&tale->secret);
    free(tale);
    test_store_end(&test);
}

static void the_log_is_bounded(void **state)
{
    TEST_STORE(test, state);
    struct tale *tale = NEW(struct tale);
    buf_init(&tale->secret, HOOK_SECRET_MAX);
    snprintf(tale->hook.url, sizeof(tale->hook.url), "https://app.example/");
    test_write(test.store, add, tale);
    tale->ending = (struct hook_ending){.id = tale->hook.id, .is_test = true, .now = NOW};
    for (int i = 0; i < HOOK_LOG_MOST + 5; i++)
        test_write(test.store, end, tale);
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM hook_delivery"), HOOK_LOG_MOST);
    buf_release(&tale->secret);
    free(tale);
    test_store_end(&test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_of_the_specification),
        cmocka_unit_test(urls),
        ON_BOTH(a_batch_stays_the_same_until_it_is_told),
        ON_BOTH(the_log_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
