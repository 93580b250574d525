/* Counters equal the truth after any history of deliveries, whatever batch or fault came between (ARCHITECTURE:
 * accepted = the sum of the ten; R34), by reason and receiver (S8, S80). */
#include "base/random.h"
#include "report/report.h"
#include "report/testing.h"

static const time_ms NOW = 1795000000000;
enum { DELIVERIES = 400, CAMPAIGNS = 2 };
static const char *const domains[] = {"gmail.example", "docomo.example", "x.example"};

/* One delivery's truth, moved at random along the ways of the ledger. */
struct truth {
    uint64_t id, campaign_id;
    struct slice domain;
    enum delivery_state state;
    bool has_reason;
    enum reason reason;
    enum whose_fault whose;
    int attempt;
};
struct history {
    struct random random;
    struct truth deliveries[DELIVERIES];
    int count;
    struct event *events;
    size_t event_count;
    int64_t left_out;
    bool fails;
};

static void truth_step(struct history *history, struct truth *truth)
{
    struct event *event = &history->events[history->event_count];
    *event = (struct event){.bucket = id_bucket(truth->id),
                            .at = NOW,
                            .delivery_id = truth->id,
                            .campaign_id = truth->campaign_id,
                            .domain = truth->domain,
                            .state_before = truth->state};
    static const struct {
        unsigned from; /* states it may leave */
        enum event_kind kind;
        enum delivery_state to;
        bool is_attempt;
    } ways[] = {
        {3, EVENT_DELIVERED, DELIVERY_DELIVERED, true},
        {3, EVENT_DELIVERED, DELIVERY_DELIVERED, true},
        {3, EVENT_DEFERRED, DELIVERY_DEFERRED, true},
        {3, EVENT_BOUNCED, DELIVERY_BOUNCED, true},
        {2, EVENT_EXPIRED, DELIVERY_EXPIRED, false},
        {3, EVENT_SUPPRESSED, DELIVERY_SUPPRESSED, false},
        {3, EVENT_IN_DOUBT, DELIVERY_IN_DOUBT, true},
        {16, EVENT_RELEASED, DELIVERY_DEFERRED, false},
        {3, EVENT_HELD, DELIVERY_HELD, false},
        {4, EVENT_RELEASED, DELIVERY_WAITING, false},
        {32, EVENT_BOUNCED, DELIVERY_BOUNCED, false}, /* error mail days later */
        {32, EVENT_COMPLAINT, DELIVERY_DELIVERED, false},
        {2, EVENT_DELAY_NOTICE, DELIVERY_DEFERRED, false},
        {7, EVENT_CANCELLED, DELIVERY_CANCELLED, false},
    };
    size_t way = random_below(&history->random, COUNT_OF(ways));
    if (!(ways[way].from >> truth->state & 1))
        return;
    event->kind = ways[way].kind;
    event->state_after = truth->state = ways[way].to;
    truth->attempt += ways[way].is_attempt;
    event->attempt = truth->attempt;
    if (event->kind == EVENT_DEFERRED || event->kind == EVENT_BOUNCED || event->kind == EVENT_EXPIRED) {
        truth->has_reason = true;
        truth->reason = random_below(&history->random, 2) ? REASON_MAILBOX_FULL : REASON_UNDEFINED;
        truth->whose = truth->reason ? WHOSE_ADDRESS : WHOSE_NONE;
        event->verdict.reason = truth->reason;
        event->verdict.whose = truth->whose;
    }
    history->event_count++;
}

static bool act(struct db *db, struct fault *why, void *context)
{
    struct history *history = context;
    for (size_t i = 0; i < history->event_count; i++)
        history->events[i].id = 0;
    return event_append(db, why, history->events, history->event_count);
}

static bool put_rows(struct db *db, struct fault *why, void *context)
{
    struct history *history = context;
    for (int i = 0; i < history->count; i++) {
        struct truth *truth = &history->deliveries[i];
        char address[40];
        snprintf(address, sizeof(address), "p%d@%.*s", i, SLICE_ARG(truth->domain));
#define PUT_ROW                                                                                                        \
    "INSERT INTO delivery (bucket, id, lane_id, brand_id, campaign_id, address, written, state, due_ms, accepted_ms, " \
    "expires_ms, changed_ms) VALUES ($1, $2, 1, 1, $3, $4, $4, $5, 0, 0, 0, 0) ON CONFLICT "
        if (!db_do(db, why,
                   db_pick(db, PUT_ROW "(id) DO UPDATE SET state = excluded.state",
                           PUT_ROW "(bucket, id) DO UPDATE SET state = excluded.state"),
                   VALUES(V_INT(id_bucket(truth->id)), V_INT((int64_t)truth->id), V_INT((int64_t)truth->campaign_id),
                          V_STR(address), V_INT(truth->state)),
                   NULL))
            return false;
    }
    return true;
}

static bool read_some(struct db *db, struct fault *why, void *context)
{
    struct history *history = context;
    size_t seen;
    if (!event_reader_next_batch(db, why, REPORT_READER, NULL, 0, 1 + random_below(&history->random, 300), report_take,
                                 NULL, &seen, NULL))
        return false;
    return !history->fails || fault_set(why, FAULT_INPUT, "on purpose");
}

static void check_against_truth(struct test_store *test, const struct history *history, uint64_t campaign_id)
{
    assert_totals_agree(test);
    struct fault why = {0};
    struct arena arena = {0};
    struct report_totals want = {0}, got;
    int64_t reasons[REASON_COUNT][DELIVERY_STATE_COUNT] = {0};
    for (int i = 0; i < history->count; i++) {
        const struct truth *truth = &history->deliveries[i];
        if (campaign_id && truth->campaign_id != campaign_id)
            continue;
        want.states[truth->state]++;
        want.accepted++;
        if (truth->has_reason)
            reasons[truth->reason][truth->state]++;
    }
    assert_true(report_totals(test->reader, &why, campaign_id, &got));
    assert_int_equal(got.accepted, want.accepted);
    int64_t owed = 0;
    for (int state = 0; state <= DELIVERY_IN_DOUBT; state++)
        owed += want.states[state];
    unsigned bucket = (unsigned)(want.accepted * 7);
    bool owes;
    assert_true(report_owes(test->reader, &why, campaign_id, &bucket, &owes));
    assert_int_equal(owes, campaign_id && owed > 0);
    for (int state = 0; state < DELIVERY_STATE_COUNT; state++)
        assert_int_row("state", got.states[state], want.states[state]);
    struct report_reason *rows;
    size_t count;
    assert_true(report_by_reason(test->reader, &why, campaign_id, SLICE(""), &arena, &rows, &count));
    for (size_t i = 0; i < count; i++)
        for (int state = 0; state < DELIVERY_STATE_COUNT; state++) {
            assert_int_row("reason", rows[i].states[state], reasons[rows[i].reason][state]);
            reasons[rows[i].reason][state] = 0;
        }
    for (int reason = 0; reason < REASON_COUNT; reason++)
        for (int state = 0; state < DELIVERY_STATE_COUNT; state++)
            assert_int_row("reason not reported", reasons[reason][state], 0);
    arena_release(&arena);
}

static void counters_equal_the_truth(void **state)
{
    TEST_STORE(test, state);
    struct history *history = NEW(struct history);
    struct fault why = {0};
    random_seed(&history->random, 42);
    history->events = NEW_ARRAY(struct event, DELIVERIES * 2);
    for (int round = 0; round < 25; round++) {
        history->event_count = 0;
        for (int i = 0; i < DELIVERIES / 20 && history->count < DELIVERIES; i++) { /* accepted in batches of one lane */
            unsigned n = 1 + (unsigned)random_below(&history->random, 4);
            unsigned bucket = (unsigned)random_below(&history->random, 256);
            struct slice domain = slice_str(domains[random_below(&history->random, 3)]);
            uint64_t campaign_id = 1 + random_below(&history->random, CAMPAIGNS);
            unsigned made = 0;
            for (; made < n && history->count < DELIVERIES; made++, history->count++)
                history->deliveries[history->count] = (struct truth){
                    .id = (uint64_t)(history->count + 1) << 8 | bucket, .campaign_id = campaign_id, .domain = domain};
            history->events[history->event_count++] = (struct event){.bucket = bucket,
                                                                     .at = NOW,
                                                                     .kind = EVENT_ACCEPTED,
                                                                     .n = made,
                                                                     .campaign_id = campaign_id,
                                                                     .domain = domain,
                                                                     .state_before = DELIVERY_STATE_COUNT,
                                                                     .state_after = DELIVERY_WAITING};
        }
        for (int i = 0; i < 150 && history->count; i++)
            truth_step(history, &history->deliveries[random_below(&history->random, (uint64_t)history->count)]);
        if (round == 3) {
            history->events[history->event_count++] = (struct event){.bucket = 3,
                                                                     .at = NOW,
                                                                     .kind = EVENT_LEFT_OUT,
                                                                     .campaign_id = 1,
                                                                     .domain = SLICE("x.example"),
                                                                     .note = SLICE("unsubscribed"),
                                                                     .state_before = DELIVERY_STATE_COUNT,
                                                                     .state_after = DELIVERY_STATE_COUNT};
        }
        test_write(test.store, act, history);
        test_write(test.store, put_rows, history);
        history->fails = round % 3 == 1; /* a batch that is rolled back leaves nothing */
        if (history->fails)
            assert_false(test_write_try(test.store, read_some, history, &why));
        history->fails = false;
        test_write(test.store, read_some, history);
    }
    struct report *report = report_start(test.store, NULL, NULL, NULL);
    assert_true(report_catch_up(report, &why));
    for (uint64_t campaign_id = 0; campaign_id <= CAMPAIGNS; campaign_id++) {
        check_against_truth(&test, history, campaign_id);
        struct report_audit audit;
        if (!report_audit(test.reader, &why, campaign_id, &audit))
            fail_msg("%s", why.text);
        assert_true(audit.agrees);
        assert_int_equal(audit.lag, 0);
        assert_int_equal(audit.accepted, audit.rows_sum);
        assert_int_equal(audit.left_out, campaign_id < 2);
    }
    struct arena arena = {0};
    struct report_domain *by_domain;
    struct report_left_out *left_out;
    size_t count;
    assert_true(report_by_domain(test.reader, &why, 0, 2, &arena, &by_domain, &count));
    assert_int_equal(count, 2);
    assert_true(by_domain[0].totals.accepted >= by_domain[1].totals.accepted);
    assert_true(report_left_out(test.reader, &why, 1, &arena, &left_out, &count));
    assert_int_equal(count, 1);
    assert_slice("why", left_out[0].why, SLICE("unsubscribed"));
    arena_release(&arena);
    report_stop(report);
    free(history->events);
    free(history);
    test_store_end(&test);
}

static void a_lost_row_or_a_wrong_counter_is_found(void **state)
{
    TEST_STORE(test, state);
    struct history *history = NEW(struct history);
    struct fault why = {0};
    struct event accepted = {.bucket = 1,
                             .at = NOW,
                             .kind = EVENT_ACCEPTED,
                             .n = 2,
                             .campaign_id = 1,
                             .state_before = DELIVERY_STATE_COUNT,
                             .state_after = DELIVERY_WAITING};
    history->events = &accepted;
    history->event_count = 1;
    history->count = 1; /* two were accepted */
    history->deliveries[0] = (struct truth){.id = 1 << 8 | 1, .campaign_id = 1, .domain = SLICE("a")};
    test_write(test.store, act, history);
    test_write(test.store, put_rows, history);
    struct report_audit audit;
    assert_true(report_audit(test.reader, &why, 0, &audit));
    assert_false(audit.agrees);
    assert_int_equal(audit.lag, 1);
    history->count = 2;
    history->deliveries[1] = (struct truth){.id = 2 << 8 | 1, .campaign_id = 1, .domain = SLICE("a")};
    test_write(test.store, put_rows, history);
    assert_true(report_audit(test.reader, &why, 0, &audit));
    assert_true(audit.agrees); /* the counters are behind, which is no error */
    test_write(test.store, read_some, history);
    history->deliveries[1].state = DELIVERY_DELIVERED; /* moved without an event */
    test_write(test.store, put_rows, history);
    assert_true(report_audit(test.reader, &why, 0, &audit));
    assert_int_equal(audit.lag, 0);
    assert_false(audit.agrees);
    free(history);
    test_store_end(&test);
}

static void rates_are_of_the_last_full_seconds(void **state)
{
    TEST_STORE(test, state);
    struct report *report = report_start(test.store, NULL, NULL, NULL);
    struct history *history = NEW(struct history);
    struct event events[100];
    for (int i = 0; i < 100; i++)
        events[i] = (struct event){.bucket = (unsigned)i,
                                   .at = NOW + i / 10 * 1000,
                                   .kind = EVENT_DELIVERED,
                                   .state_before = DELIVERY_STATE_COUNT,
                                   .state_after = DELIVERY_STATE_COUNT};
    history->events = events;
    history->event_count = 100;
    test_write(test.store, act, history);
    while (report_rate(report, EVENT_DELIVERED, 10, NOW + 10000) < 10) /* the follower was woken by the commit */
        test_write(test.store, put_rows, history);
    static const struct {
        const char *row;
        unsigned seconds;
        int at;
        double want;
    } table[] = {
        {"all ten seconds", 10, 10000, 10},
        {"the last one", 1, 10000, 10},
        {"half of them", 10, 5000, 5},
        {"long after", 10, 60000, 0},
        {"the running second is not counted", 1, 0, 0},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++)
        assert_row(table[i].row,
                   report_rate(report, EVENT_DELIVERED, table[i].seconds, NOW + table[i].at) == table[i].want);
    assert_true(report_rate(report, EVENT_BOUNCED, 10, NOW + 10000) == 0);
    report_stop(report);
    free(history);
    test_store_end(&test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(counters_equal_the_truth),
        ON_BOTH(a_lost_row_or_a_wrong_counter_is_found),
        ON_BOTH(rates_are_of_the_last_full_seconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
