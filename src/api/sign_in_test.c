/* Sessions that end, and the brake for those who try (X7, X16). */
#include "api/sign_in.h"
#include "base/test.h"

static const time_ms NOW = 1795000000000;

static void begin(struct sessions *sessions, struct world *world, char id[SESSION_ID_TEXT])
{
    world_advance(world, 1); /* the manual world's secrets come from its clock */
    session_begin(sessions, world, 7, id);
}

static void a_session_is_open_until_it_ends(void **state)
{
    struct world world;
    world_init_manual(&world, NOW, 7);
    struct sessions *sessions = NEW(struct sessions);
    char one[SESSION_ID_TEXT], two[SESSION_ID_TEXT];
    begin(sessions, &world, one);
    begin(sessions, &world, two);
    time_ms now = world_monotonic(&world);
    assert_memory_not_equal(one, two, SESSION_ID_TEXT);
    assert_true(session_is_open(sessions, slice_of(one, sizeof(one)), now, NULL));
    assert_false(session_is_open(sessions, slice_of(one, sizeof(one) - 1), now, NULL));
    assert_false(session_is_open(sessions, SLICE(""), now, NULL));
    for (size_t i = 0; i < sizeof(one); i++) {
        char wrong[SESSION_ID_TEXT];
        memcpy(wrong, one, sizeof(one));
        wrong[i] ^= 1;
        assert_false(session_is_open(sessions, slice_of(wrong, sizeof(wrong)), now, NULL));
    }
    unsigned char digest[SESSION_DIGEST];
    assert_true(session_is_open(sessions, slice_of(two, sizeof(two)), now, digest));
    session_end(sessions, slice_of(one, sizeof(one)));
    assert_false(session_is_open(sessions, slice_of(one, sizeof(one)), now, NULL));
    assert_true(session_lasts(sessions, digest, now + SESSION_LIFE - 1));
    assert_false(session_lasts(sessions, digest, now + SESSION_LIFE));
    free(sessions);
}

static void the_oldest_session_gives_way(void **state)
{
    struct world world;
    world_init_manual(&world, NOW, 7);
    struct sessions *sessions = NEW(struct sessions);
    char first[SESSION_ID_TEXT], last[SESSION_ID_TEXT];
    begin(sessions, &world, first);
    for (int i = 0; i < SESSIONS_MOST; i++)
        begin(sessions, &world, last);
    time_ms now = world_monotonic(&world);
    assert_int_equal(sessions->count, SESSIONS_MOST);
    assert_false(session_is_open(sessions, slice_of(first, sizeof(first)), now, NULL));
    assert_true(session_is_open(sessions, slice_of(last, sizeof(last)), now, NULL));
    world_advance(&world, SESSION_LIFE);
    begin(sessions, &world, last);
    assert_int_equal(sessions->count, 1); /* ended ones go */
    free(sessions);
}

static void who_tries_too_often_waits(void **state)
{
    struct limiter *limiter = NEW(struct limiter);
    struct ip ip = ip_v4(192, 0, 2, 1), other = ip_v4(192, 0, 2, 2);
    unsigned retry_after = 0;
    time_ms now = 1000000;
    for (int i = 0; i < LIMITER_BURST; i++) {
        assert_true(limiter_permits(limiter, &ip, now, &retry_after));
        limiter_was_wrong(limiter, &ip, now);
    }
    assert_false(limiter_permits(limiter, &ip, now, &retry_after));
    assert_int_equal(retry_after, LIMITER_REFILL_MS / 1000);
    assert_true(limiter_permits(limiter, &other, now, &retry_after));
    assert_false(limiter_permits(limiter, &ip, now + LIMITER_REFILL_MS - 1, &retry_after));
    now += LIMITER_REFILL_MS;
    assert_true(limiter_permits(limiter, &ip, now, &retry_after));
    limiter_was_wrong(limiter, &ip, now);
    assert_false(limiter_permits(limiter, &ip, now, &retry_after));
    now += LIMITER_REFILL_MS * LIMITER_BURST;
    assert_true(limiter_permits(limiter, &ip, now, &retry_after)); /* all is forgotten */
    for (int i = 0; i < LIMITER_BURST; i++)
        limiter_was_wrong(limiter, &ip, now);
    assert_false(limiter_permits(limiter, &ip, now, &retry_after));
    free(limiter);
}

static void one_ipv6_network_is_one(void **state)
{
    struct limiter *limiter = NEW(struct limiter);
    struct ip ip, neighbour, stranger;
    unsigned retry_after;
    assert_true(ip_parse(SLICE("2001:db8::1"), &ip) && ip_parse(SLICE("2001:db8::ffff:1"), &neighbour) &&
                ip_parse(SLICE("2001:db8:0:1::1"), &stranger));
    for (int i = 0; i < LIMITER_BURST; i++)
        limiter_was_wrong(limiter, &ip, 1000);
    assert_false(limiter_permits(limiter, &neighbour, 1000, &retry_after));
    assert_true(limiter_permits(limiter, &stranger, 1000, &retry_after));
    free(limiter);
}

static void a_full_table_forgets_the_quiet(void **state)
{
    struct limiter *limiter = NEW(struct limiter);
    unsigned retry_after;
    struct ip busy = ip_v4(203, 0, 113, 1);
    for (int i = 0; i < 4 * LIMITER_ROOM; i++) {
        struct ip ip = ip_v4(10, 0, (uint8_t)(i >> 8), (uint8_t)i);
        limiter_was_wrong(limiter, &ip, 1000 + i);
        for (int k = 0; k < LIMITER_BURST; k++)
            limiter_was_wrong(limiter, &busy, 1000 + i);
    }
    assert_false(limiter_permits(limiter, &busy, 1000 + 4 * LIMITER_ROOM, &retry_after));
    free(limiter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_is_open_until_it_ends), cmocka_unit_test(the_oldest_session_gives_way),
        cmocka_unit_test(who_tries_too_often_waits),       cmocka_unit_test(one_ipv6_network_is_one),
        cmocka_unit_test(a_full_table_forgets_the_quiet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
