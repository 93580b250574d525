/* Moves of many rows by what they have in common: what a crash left on the wire, what is in doubt, what a wrong clock
 * wrote, what a campaign still owes; on both stores. R22, F1, F8. */
#include "queue/ledger_test.h"

/* ── in doubt ── */

static void what_was_on_the_wire_is_in_doubt_after_a_crash(void **state)
{
    FIXTURE(fixture, state);
    struct test_delivery fresh = add(&fixture, "ann@example.jp"), again = add(&fixture, "bob@example.jp"),
                         quiet = add(&fixture, "cat@example.jp");
    struct ledger_move deferred = move_to(&again, EVENT_DEFERRED, DELIVERY_DEFERRED);
    assert_true(settle(&fixture, &deferred));
    assert_int_equal(mark(&fixture, &fresh, 0), LEDGER_MARKED);
    assert_int_equal(mark(&fixture, &again, 1), LEDGER_MARKED);
    struct call recover = {.fixture = &fixture, .what = RECOVER, .now = NOW};
    go(&recover);
    assert_int_equal(recover.number, 2);
    const struct {
        struct test_delivery *delivery;
        enum delivery_state before;
    } rows[] = {{&fresh, DELIVERY_WAITING}, {&again, DELIVERY_DEFERRED}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        assert_int_equal(column(&fixture, rows[i].delivery, "state"), DELIVERY_IN_DOUBT);
        assert_int_equal(column(&fixture, rows[i].delivery, "due_ms"), NOW + 500);
        assert_int_equal(number(&fixture,
                                "SELECT state_before FROM event WHERE bucket = $1 AND delivery_id = $2 AND kind = 9",
                                VALUES(V_INT(id_bucket(rows[i].delivery->id)), V_INT((int64_t)rows[i].delivery->id))),
                         rows[i].before);
    }
    assert_int_equal(column(&fixture, &quiet, "state"), DELIVERY_WAITING);
    assert_int_equal(mark(&fixture, &fresh, 0), LEDGER_GONE);
    test_store_end(&fixture.store);
}

/* F1: a start looks for marks in the index of those apart, not in all deliveries there ever were. */
static void a_start_does_not_walk_through_everything(void **state)
{
    TEST_STORE(test, state);
    struct fault why;
    bool is_by_index = false;
    SCOPED(rows) rows = {0};
    assert_true(db_query(test.reader, &why, &rows, "EXPLAIN QUERY PLAN " LEDGER_MARKS_SQL, VALUES(V_INT(7))));
    while (rows_next(&rows))
        is_by_index |=
            slice_find(rows_text(&rows, 3), SLICE("COVERING INDEX delivery_apart (bucket=? AND state=?)")) >= 0;
    assert_true(rows_end(&rows));
    assert_true(is_by_index);
    test_store_end(&test);
}

static void the_doubtful_are_released_when_due_unless_the_brand_holds_them(void **state)
{
    FIXTURE(fixture, state);
    struct test_delivery ann = add(&fixture, "ann@example.jp"), bob = add(&fixture, "bob@example.net");
    assert_int_equal(mark(&fixture, &ann, 0), LEDGER_MARKED);
    assert_int_equal(mark(&fixture, &bob, 0), LEDGER_MARKED);
    go(&(struct call){.fixture = &fixture, .what = RECOVER, .now = NOW});
    struct call release = {.fixture = &fixture, .what = RELEASE, .now = NOW + 499, .count = 10};
    go(&release);
    assert_int_equal(release.count, 0); /* not yet */

    test_do(&fixture.store,
            (char[]){"INSERT INTO brand (id, name, from_name, from_address, return_path_domain, link_base, in_doubt, "
                     "created_ms) VALUES (77, 'shop', '', 'a@b.example', '', '', 'hold', 1)"});
    release =
        (struct call){.fixture = &fixture, .what = RELEASE, .now = NOW + 500, .count = 10, .arena = release.arena};
    go(&release);
    assert_int_equal(release.count, 0); /* a person decides */

    test_do(&fixture.store, (char[]){"UPDATE brand SET in_doubt = 'retry'"});
    release = (struct call){.fixture = &fixture, .what = RELEASE, .now = NOW + 500, .count = 1, .arena = release.arena};
    go(&release);
    assert_int_equal(release.count, 1); /* at most as many as asked for */
    release =
        (struct call){.fixture = &fixture, .what = RELEASE, .now = NOW + 500, .count = 10, .arena = release.arena};
    go(&release);
    assert_int_equal(release.count, 1);
    uint64_t lane = release.released[0].lane.id;
    assert_true(lane == ann.lane.id || lane == bob.lane.id);
    struct test_delivery *of = lane == ann.lane.id ? &ann : &bob;
    assert_slice("lane", release.released[0].lane.domain, of->lane.domain);
    assert_int_equal(release.released[0].bucket, id_bucket(of->id));
    assert_int_equal(release.released[0].lane.priority, 1);
    assert_int_equal(column(&fixture, &ann, "state"), DELIVERY_DEFERRED);
    assert_int_equal(column(&fixture, &ann, "due_ms"), NOW + 500);
    assert_int_equal(events(&fixture, &ann, EVENT_RELEASED), 1);
    assert_int_equal(column(&fixture, &ann, "version_id"), 8); /* the same mail */
    arena_release(&release.arena);
    test_store_end(&fixture.store);
}

/* R22: the source of the mark stays with what ends in doubt, whoever finds it so, until the mail is answered for; an
 * answer to a later attempt leaves it as it was claimed, and so does a mark that is taken back */
static void what_is_in_doubt_keeps_its_source(void **state)
{
    FIXTURE(fixture, state);
    struct test_delivery ann = add(&fixture, "ann@example.jp"), bob = add(&fixture, "bob@example.jp"),
                         eve = add(&fixture, "eve@example.jp");
    struct ledger_mark marks[] = {
        {.id = ann.id, .source_id = 71}, {.id = bob.id, .source_id = 72}, {.id = eve.id, .source_id = 73}};
    go(&(struct call){.fixture = &fixture, .what = MARK, .marks = marks, .count = 3, .now = NOW});
    assert_int_equal(column(&fixture, &ann, "source_id"), 71);
    struct ledger_move answered = move_to(&eve, EVENT_DEFERRED, DELIVERY_DEFERRED);
    assert_true(settle(&fixture, &answered));
    assert_int_equal(column(&fixture, &eve, "source_id"), 0); /* it was told: nothing to keep to */
    struct ledger_move lost = move_to(&ann, EVENT_IN_DOUBT, DELIVERY_IN_DOUBT);
    assert_true(settle(&fixture, &lost));
    struct call recover = {.fixture = &fixture, .what = RECOVER, .now = NOW};
    go(&recover); /* bob: the node died */
    assert_int_equal(column(&fixture, &bob, "state"), DELIVERY_IN_DOUBT);
    struct call release = {.fixture = &fixture, .what = RELEASE, .now = NOW + DAYS_MS(1), .count = 10};
    go(&release);
    assert_int_equal(column(&fixture, &ann, "state"), DELIVERY_DEFERRED);
    assert_int_equal(column(&fixture, &bob, "state"), DELIVERY_DEFERRED);
    assert_int_equal(column(&fixture, &ann, "source_id"), 71);
    assert_int_equal(column(&fixture, &bob, "source_id"), 72);
    /* its source was gone: by another one, which is taken back, then again, and the answer is "later" */
    struct ledger_mark other = {
        .id = ann.id, .attempts = 1, .state = DELIVERY_DEFERRED, .source_id = 79, .pinned_id = 71};
    go(&(struct call){.fixture = &fixture, .what = MARK, .marks = &other, .count = 1, .now = NOW});
    assert_int_equal(column(&fixture, &ann, "source_id"), 79);
    go(&(struct call){.fixture = &fixture, .what = UNMARK, .marks = &other, .count = 1, .now = NOW});
    assert_int_equal(column(&fixture, &ann, "source_id"), 71);
    go(&(struct call){.fixture = &fixture, .what = MARK, .marks = &other, .count = 1, .now = NOW});
    struct ledger_move later = move_to(&ann, EVENT_DEFERRED, DELIVERY_DEFERRED);
    later.pinned_id = 71;
    assert_true(settle(&fixture, &later));
    assert_int_equal(column(&fixture, &ann, "source_id"), 71);
    arena_release(&release.arena);
    test_store_end(&fixture.store);
}

/* In doubt by `source`, then released: into which lane? */
static int64_t lane_after_doubt(struct fixture *fixture, struct test_delivery *delivery, unsigned attempts,
                                uint64_t source, struct ledger_released *released)
{
    struct ledger_mark mark = {.id = delivery->id, .attempts = attempts, .source_id = source};
    go(&(struct call){.fixture = fixture, .what = MARK, .marks = &mark, .count = 1, .now = NOW});
    assert_int_equal(mark.result, LEDGER_MARKED);
    struct ledger_move lost = move_to(delivery, EVENT_IN_DOUBT, DELIVERY_IN_DOUBT);
    lost.due = NOW;
    assert_true(settle(fixture, &lost));
    struct call release = {.fixture = fixture, .what = RELEASE, .now = NOW, .count = 10};
    go(&release);
    assert_int_equal(release.count, 1);
    *released = release.released[0];
    released->lane.domain = SLICE("");
    arena_release(&release.arena);
    return column(fixture, delivery, "lane_id");
}

/* R22: by a source that one node alone has it goes on in a lane of its own, which can be handed to that node; the
 * claimer hears of that one. */
static void what_was_in_doubt_by_one_nodes_source_gets_a_lane_of_its_own(void **state)
{
    FIXTURE(fixture, state);
    struct test_delivery ann = add(&fixture, "ann@example.jp"), bob = add(&fixture, "bob@example.jp");
    struct ledger_released released;
    test_do(&fixture.store, (char[]){"UPDATE lane SET pool = 'news', waives_tls = 1"});
    test_do(&fixture.store,
            (char[]){"INSERT INTO source (id, ip, public_ip, ehlo_name, pool, weight, node, state, trouble, since_ms, "
                     "created_ms) VALUES (70, '192.0.2.70', '', 'a.example', 'news', 1, 0, 'active', '', 1, 1), (72, "
                     "'192.0.2.72', '', 'b.example', 'news', 1, 2, 'active', '', 1, 1), (73, '192.0.2.73', '', "
                     "'c.example', 'news', 1, 3, 'active', '', 1, 1)"});
    int64_t own = column(&fixture, &ann, "lane_id"), pinned;
    assert_int_equal(lane_after_doubt(&fixture, &ann, 0, 70, &released), own); /* every node has it */
    assert_true(released.lane.id == (uint64_t)own && released.lane.source_id == 0);
    pinned = lane_after_doubt(&fixture, &ann, 1, 72, &released);
    assert_true(pinned != own && released.lane.id == (uint64_t)pinned && released.lane.source_id == 72);
    assert_int_equal(
        number(
            &fixture,
            "SELECT COUNT(*) FROM lane l JOIN lane p ON p.campaign_id = l.campaign_id AND p.brand_id = l.brand_id AND "
            "p.domain = l.domain AND p.priority = l.priority AND p.waives_tls = l.waives_tls AND p.pool = l.pool "
            "WHERE l.id = $1 AND p.id = $2 AND p.source_id = 72 AND p.pool = 'news'",
            VALUES(V_INT(own), V_INT(pinned))),
        1);
    assert_int_equal(lane_after_doubt(&fixture, &bob, 0, 72, &released), pinned); /* they share it */
    assert_int_equal(lane_after_doubt(&fixture, &bob, 1, 72, &released), pinned);
    assert_true(lane_after_doubt(&fixture, &bob, 2, 73, &released) != pinned && released.lane.source_id == 73);
    assert_int_equal(lane_after_doubt(&fixture, &bob, 3, 70, &released), own); /* and back */
    assert_int_equal(lane_after_doubt(&fixture, &bob, 4, 99, &released), own); /* one that is not there any more */
    assert_int_equal(number(&fixture, "SELECT COUNT(*) FROM lane", NO_VALUES), 3);
    test_store_end(&fixture.store);
}

/* ── a wrong clock, a campaign that is cancelled ── */

/* F8: what was deferred while the clock was ten years ahead waits as long as it was meant to, not ten years. */
static void what_a_wrong_clock_wrote_is_set_right(void **state)
{
    FIXTURE(fixture, state);
    struct test_delivery ann = {.address = "ann@example.jp", .campaign_id = 1, .due = NOW},
                         bob = {.address = "bob@example.jp", .campaign_id = 1, .due = NOW + 5000};
    test_delivery_add(&fixture.store, &ann);
    test_delivery_add(&fixture.store, &bob);
    char sql[200];
    snprintf(sql, sizeof(sql), "UPDATE delivery SET state = 1, changed_ms = %lld, due_ms = %lld WHERE id = %llu",
             (long long)NOW + 315360000000, (long long)NOW + 315360000000 + 600000, (unsigned long long)ann.id);
    test_do(&fixture.store, sql);
    struct call call = {.fixture = &fixture, .what = SET_RIGHT, .now = NOW};
    go(&call);
    assert_int_equal(call.number, 1);
    assert_int_equal(column(&fixture, &ann, "due_ms"), NOW + 600000);
    assert_int_equal(column(&fixture, &bob, "due_ms"), NOW + 5000);
    go(&call);
    assert_int_equal(call.number, 0);
    test_store_end(&fixture.store);
}

static void cancelling_leaves_what_is_on_the_wire(void **state)
{
    FIXTURE(fixture, state);
    struct test_delivery ann = add(&fixture, "ann@example.jp"), bob = add(&fixture, "bob@example.jp");
    assert_int_equal(mark(&fixture, &bob, 0), LEDGER_MARKED);
    struct call cancel = {.fixture = &fixture, .what = CANCEL, .campaign_id = 5, .now = NOW};
    const struct test_delivery *both[] = {&ann, &bob};
    for (size_t i = 0; i < 2; i++) {
        cancel.bucket = id_bucket(both[i]->id);
        go(&cancel);
        assert_int_equal(cancel.number, both[i] == &ann);
        go(&cancel);
        assert_int_equal(cancel.number, 0);
    }
    assert_int_equal(column(&fixture, &ann, "state"), DELIVERY_CANCELLED);
    assert_int_equal(column(&fixture, &bob, "state"), DELIVERY_ON_WIRE);
    test_store_end(&fixture.store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(what_was_on_the_wire_is_in_doubt_after_a_crash),
        ON_BOTH(the_doubtful_are_released_when_due_unless_the_brand_holds_them),
        ON_BOTH(what_is_in_doubt_keeps_its_source),
        ON_BOTH(what_was_in_doubt_by_one_nodes_source_gets_a_lane_of_its_own),
        ON_BOTH(what_a_wrong_clock_wrote_is_set_right),
        ON_BOTH(cancelling_leaves_what_is_on_the_wire),
        {"a_start_does_not_walk_through_everything (sqlite)", a_start_does_not_walk_through_everything, NULL, NULL,
         (void *)(uintptr_t) "sqlite"},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
