/* The story of one delivery: the 250 and the clicks, which are in no index, at their place in it. */
#include "event/event_test.h"

struct made {
    uint64_t delivery_id, last_seq;
    enum delivery_state state;
    time_ms changed;
};
static bool make_delivery(struct db *db, struct fault *why, void *context)
{
    const struct made *made = context;
    return db_do(db, why,
                 "INSERT INTO delivery (bucket, id, lane_id, brand_id, campaign_id, address, written, state, due_ms, "
                 "accepted_ms, "
                 "expires_ms, changed_ms, last_seq) VALUES ($1, $2, 1, 1, 1, 'a@b', 'a@b', $5, 0, $3, 0, $6, $4)",
                 VALUES(V_INT(id_bucket(made->delivery_id)), V_INT((int64_t)made->delivery_id), V_INT(NOW - 10),
                        V_INT((int64_t)made->last_seq), V_INT(made->state), V_INT(made->changed)),
                 NULL);
}
/* Clicks stand in another log than the rest; the row of what came of the delivery tells where. */
static bool make_engaged(struct db *db, struct fault *why, void *context)
{
    return db_do(db, why,
                 "INSERT INTO engaged (bucket, delivery_id, opens, clicks, opened_ms, clicked_ms, burst_ms, "
                 "burst_links, burst_clicks, events) VALUES (3, $1, 0, 0, 0, 0, 0, 0, 0, $2)",
                 VALUES(V_INT(77 << 8 | 3), V_STR(context)), NULL);
}
static void a_timeline_has_the_clicks_in_their_time(void **state)
{
    TEST_STORE(test, state);
    static const enum event_kind kinds[] = {EVENT_DEFERRED, EVENT_OPENED, EVENT_DELAY_NOTICE, EVENT_CLICKED};
    struct event events[4];
    for (size_t i = 0; i < 4; i++) {
        events[i] = plain(3, kinds[i]);
        events[i].delivery_id = 77 << 8 | 3;
        events[i].at = NOW + (time_ms)i;
    }
    events[0].state_after = DELIVERY_DEFERRED;
    put(&test, events, 4);
    struct made made = {77 << 8 | 3, events[0].seq, DELIVERY_DEFERRED, NOW};
    test_write(test.store, make_delivery, &made);
    char places[100];
    int log = strcmp(*state, "sqlite") == 0 ? EVENT_COMMON_LOG : 3;
    snprintf(places, sizeof(places), "%d.%llu x 3 200.999 %d.%llu", log, (unsigned long long)events[1].seq, log,
             (unsigned long long)events[3].seq);
    test_write(test.store, make_engaged, places);
    struct arena arena = {0};
    struct fault why = {0};
    struct event_page page;
    assert_true(event_timeline(test.reader, &why, 77 << 8 | 3, 100, &arena, &page));
    static const enum event_kind want[] = {EVENT_ACCEPTED, EVENT_DEFERRED, EVENT_OPENED, EVENT_DELAY_NOTICE,
                                           EVENT_CLICKED};
    struct event found[5];
    size_t count = 0;
    for (size_t i = 0; i < page.count && count < 5; i++)
        found[count++] = page.events[i];
    assert_int_equal(count, 5);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(found[i].kind, want[i]);
    arena_release(&arena);
    test_store_end(&test);
}

/* A mail's story as far as it has come, among somebody else's 250 at the same times. tries: of the 250. */
static void late_bounce(void **state, int tries, bool is_told_since)
{
    static const enum event_kind kinds[] = {EVENT_DEFERRED, EVENT_DELIVERED, EVENT_DELAY_NOTICE, EVENT_BOUNCED};
    static const enum delivery_state states[] = {DELIVERY_DEFERRED, DELIVERY_DELIVERED, DELIVERY_DELIVERED,
                                                 DELIVERY_BOUNCED};
    const uint64_t id = 77 << 8 | 3;
    const time_ms delivered = NOW + HOURS_MS(2);
    for (size_t first = tries > 1 ? 0 : 1, upto = first + 1; upto <= 4; upto++) {
        TEST_STORE(test, state);
        struct event events[8];
        for (size_t i = 0; i < 4; i++) {
            events[i * 2] = plain(3, kinds[i]);
            events[i * 2].delivery_id = id;
            events[i * 2].at = NOW + HOURS_MS(2) * (time_ms)i;
            events[i * 2 + 1] = plain(3, EVENT_DELIVERED); /* somebody else's */
            events[i * 2 + 1].delivery_id = 78 << 8 | 3;
            events[i * 2 + 1].at = events[i * 2].at;
        }
        events[0].state_after = DELIVERY_DEFERRED;
        events[2].state_before = tries > 1 ? DELIVERY_DEFERRED : DELIVERY_WAITING;
        events[2].state_after = DELIVERY_DELIVERED;
        events[2].attempt = tries;
        events[6].state_before = DELIVERY_DELIVERED;
        events[6].before_since = is_told_since ? delivered : 0;
        events[6].state_after = DELIVERY_BOUNCED;
        put(&test, events + first * 2, (upto - first) * 2);
        struct made made = {id,
                            upto == 4   ? events[6].seq
                            : tries > 1 ? events[0].seq
                                        : 0,
                            states[upto - 1], events[(upto == 3 ? 2 : upto) * 2 - 2].at};
        test_write(test.store, make_delivery, &made);
        struct arena arena = {0};
        struct fault why = {0};
        struct event_page page;
        assert_true(event_timeline(test.reader, &why, id, 100, &arena, &page));
        assert_int_equal(page.count, upto - first + 1);
        assert_int_equal(page.events[0].kind, EVENT_ACCEPTED);
        for (size_t i = 1; i < page.count; i++)
            assert_int_equal(page.events[i].kind, kinds[first + i - 1]);
        struct event_filter filter = {0}; /* the deferral is no problem any more once something followed it */
        assert_true(event_problems(test.reader, &why, &filter, 100, &arena, &page));
        assert_int_equal(page.count, upto <= 2 ? upto == 1 : upto - 2);
        arena_release(&arena);
        test_store_end(&test);
    }
}
static void a_timeline_tells_the_250_before_the_late_bounce(void **state)
{
    late_bounce(state, 2, true);
    late_bounce(state, 2, false);
    late_bounce(state, 1, true);
    late_bounce(state, 1, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(a_timeline_has_the_clicks_in_their_time),
        ON_BOTH(a_timeline_tells_the_250_before_the_late_bounce),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
