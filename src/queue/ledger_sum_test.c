/* R34: whatever happens in whatever order, accepted is the sum of the ten states, and rows and events tell the same
 * story; on both stores. */
#include "queue/ledger_test.h"

#include "base/random.h"

enum { PEOPLE = 40, STEPS = 400 };

/* What the events make of the counters. */
static void replay(struct fixture *fixture, int64_t counters[DELIVERY_STATE_COUNT])
{
    memset(counters, 0, sizeof(int64_t) * DELIVERY_STATE_COUNT);
    counters[DELIVERY_WAITING] = PEOPLE;
    struct fault why = {0};
    SCOPED(rows) rows = {0};
    if (!db_query(fixture->store.reader, &why, &rows, "SELECT state_before, state_after FROM event", NO_VALUES))
        fail_msg("%s", why.text);
    while (rows_next(&rows)) {
        if (rows_int(&rows, 0) < DELIVERY_STATE_COUNT)
            counters[rows_int(&rows, 0)]--;
        if (rows_int(&rows, 1) < DELIVERY_STATE_COUNT)
            counters[rows_int(&rows, 1)]++;
    }
    assert_true(rows_end(&rows));
}

static void the_sum_of_the_ten_holds_through_anything(void **state)
{
    FIXTURE(fixture, state);
    struct test_delivery people[PEOPLE];
    char addresses[PEOPLE][32];
    for (int i = 0; i < PEOPLE; i++) {
        snprintf(addresses[i], sizeof(addresses[i]), "p%d@example.jp", i);
        people[i] = add(&fixture, addresses[i]);
    }
    struct random random;
    random_seed(&random, 20260726);
    struct call release = {.fixture = &fixture, .what = RELEASE};
    for (int step = 0; step < STEPS; step++) {
        const struct test_delivery *one = &people[random_below(&random, PEOPLE)];
        enum delivery_state now = (enum delivery_state)column(&fixture, one, "state");
        unsigned attempts = (unsigned)column(&fixture, one, "attempts");
        static const struct {
            enum event_kind kind;
            enum delivery_state after;
        } outcomes[] = {{EVENT_DELIVERED, DELIVERY_DELIVERED}, {EVENT_BOUNCED, DELIVERY_BOUNCED},
                        {EVENT_DEFERRED, DELIVERY_DEFERRED},   {EVENT_DEFERRED, DELIVERY_DEFERRED},
                        {EVENT_EXPIRED, DELIVERY_EXPIRED},     {EVENT_IN_DOUBT, DELIVERY_IN_DOUBT}};
        size_t which = random_below(&random, COUNT_OF(outcomes));
        struct ledger_move move = move_to(one, outcomes[which].kind, outcomes[which].after);
        struct ledger_mark back = {.id = one->id, .state = DELIVERY_WAITING};
        switch (random_below(&random, 16)) {
        case 0: go(&(struct call){.fixture = &fixture, .what = RECOVER, .now = NOW}); break;
        case 1:
            release.count = PEOPLE;
            release.now = NOW + 1000;
            go(&release);
            break;
        case 2:
            go(&(struct call){.fixture = &fixture, .what = SUPPRESS, .address = slice_str(one->address), .now = NOW});
            break;
        case 3: /* an error mail about it */
            move = move_to(one, EVENT_BOUNCED, DELIVERY_BOUNCED);
            move.from = LEDGER_BIT(DELIVERY_DELIVERED) | LEDGER_OWED;
            move.is_before_known = move.is_attempt = false;
            (void)settle(&fixture, &move);
            break;
        case 4:
            if (step % 10 == 0)
                go(&(struct call){
                    .fixture = &fixture, .what = CANCEL, .campaign_id = 5, .bucket = id_bucket(one->id), .now = NOW});
            break;
        case 5:
            if (now == DELIVERY_ON_WIRE) {
                back.state = attempts ? DELIVERY_DEFERRED : DELIVERY_WAITING;
                go(&(struct call){.fixture = &fixture, .what = UNMARK, .marks = &back, .count = 1, .now = NOW});
            }
            break;
        case 6:
        case 7:
        case 8:
        case 9: (void)mark(&fixture, one, attempts); break;
        default: /* the outcome of a claim that still stands */
            if (now == DELIVERY_ON_WIRE || now == DELIVERY_WAITING || now == DELIVERY_DEFERRED) {
                move.event.state_before = attempts ? DELIVERY_DEFERRED : DELIVERY_WAITING;
                (void)settle(&fixture, &move);
            }
        }
        if (step % 20 && step != STEPS - 1)
            continue;
        int64_t counters[DELIVERY_STATE_COUNT], sum = 0;
        replay(&fixture, counters);
        for (int s = 0; s < DELIVERY_STATE_COUNT; s++) {
            int64_t rows = number(&fixture, "SELECT COUNT(*) FROM delivery WHERE state = $1", VALUES(V_INT(s)));
            sum += rows;
            if (s != DELIVERY_ON_WIRE && s != DELIVERY_WAITING && s != DELIVERY_DEFERRED)
                assert_int_row(delivery_word((enum delivery_state)s).ptr, counters[s], rows);
        }
        assert_int_equal(sum, PEOPLE);
        assert_int_equal(counters[DELIVERY_ON_WIRE], 0);
        assert_int_equal(counters[DELIVERY_WAITING] + counters[DELIVERY_DEFERRED],
                         number(&fixture, "SELECT COUNT(*) FROM delivery WHERE state IN (0, 1, 3)", NO_VALUES));
    }
    arena_release(&release.arena);
    test_store_end(&fixture.store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(the_sum_of_the_ten_holds_through_anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
