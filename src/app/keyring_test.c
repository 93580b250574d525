/* X7: keys are rotated without anybody noticing: everybody knows the new one before anyone signs with it */
#include "app/keyring.h"
#include "store/testing.h"

#define NOW ((time_ms)1795321800000)

struct rotation {
    struct seal_key seal;
    time_ms at;
};
static bool rotate(struct db *db, struct fault *why, void *context)
{
    const struct rotation *rotation = context;
    return secret_rotate(db, why, &rotation->seal, "click", rotation->at);
}

/* A keyring as it is at that time, and a token made by it. */
static struct keyring *at(struct test_store *store, const struct seal_key *seal, time_ms when, struct buf *text)
{
    struct world world;
    struct keyring *keyring;
    struct fault why;
    world_init_manual(&world, when, 1);
    if (!keyring_open(store->store, &world, seal, &keyring, &why))
        fail_msg("%s", why.text);
    token_make(keyring_ring(keyring), TOKEN_CLICK, &(struct token){7, 1}, NOW + DAYS_MS(30), text);
    return keyring;
}

static enum token_result check(const struct keyring *keyring, const struct buf *text)
{
    struct token token;
    return token_check(keyring_ring(keyring), TOKEN_CLICK, buf_slice(text), NOW, &token);
}

static void rotated(void **state)
{
    struct test_store store;
    struct rotation rotation = {.seal = {.id = 7, .key = "thirty-two octets of a seal key"}, .at = NOW + HOURS_MS(1)};
    SCOPED(buf) first = BUF(100);
    SCOPED(buf) soon = BUF(100);
    SCOPED(buf) later = BUF(100);
    if (!test_store_url(&store, state))
        skip();
    test_store_reopen(&store);
    struct keyring *before = at(&store, &rotation.seal, NOW, &first);
    test_write(store.store, rotate, &rotation);
    struct keyring *known = at(&store, &rotation.seal, rotation.at + 60000, &soon);
    struct keyring *signs = at(&store, &rotation.seal, rotation.at + KEYRING_SIGNS_MS, &later);
    assert_slice("a minute later the old one signs", buf_slice(&soon), buf_slice(&first));
    assert_int_equal(check(known, &later), TOKEN_GOOD);
    assert_int_equal(check(signs, &first), TOKEN_GOOD);
    assert_int_equal(check(before, &later), TOKEN_FORGED);
    keyring_free(before);
    keyring_free(known);
    keyring_free(signs);
    test_store_end(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {ON_BOTH(rotated)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
