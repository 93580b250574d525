/* Every move of one delivery in the state picture in ledger.h, on both stores: R22, R29, R37, M22 (strikes), U5. */
#include "queue/ledger_test.h"

/* ── the mark ── */

static void a_mark_pins_version_and_date_and_writes_no_event(void **state)
{
    FIXTURE(fixture, state);
    struct test_delivery ann = add(&fixture, "ann@example.jp");
    assert_int_equal(mark(&fixture, &ann, 0), LEDGER_MARKED);
    assert_int_equal(column(&fixture, &ann, "state"), DELIVERY_ON_WIRE);
    assert_int_equal(column(&fixture, &ann, "version_id"), 8);
    assert_int_equal(column(&fixture, &ann, "date_ms"), 9);
    assert_int_equal(column(&fixture, &ann, "node"), NODE);
    assert_int_equal(test_number(fixture.store.reader, "SELECT COUNT(*) FROM event"), 0);
    assert_int_equal(mark(&fixture, &ann, 0), LEDGER_GONE); /* nobody else can mark it too */
    test_store_end(&fixture.store);
}

static void an_old_claim_cannot_mark(void **state)
{
    FIXTURE(fixture, state);
    struct test_delivery ann = add(&fixture, "ann@example.jp");
    assert_int_equal(mark(&fixture, &ann, 1), LEDGER_GONE);
    struct ledger_move deferred = move_to(&ann, EVENT_DEFERRED, DELIVERY_DEFERRED);
    assert_true(settle(&fixture, &deferred)); /* never marked: the greeting said 421 */
    assert_int_equal(mark(&fixture, &ann, 0), LEDGER_GONE);
    assert_int_equal(mark(&fixture, &ann, 1), LEDGER_MARKED);
    test_store_end(&fixture.store);
}

/* R29: excluded between the claim and the mark */
static void a_suppressed_address_is_never_marked(void **state)
{
    FIXTURE(fixture, state);
    struct test_delivery ann = add(&fixture, "ann@example.jp"), bob = add(&fixture, "bob@example.jp");
    go(&(struct call){.fixture = &fixture, .what = SUPPRESS, .address = slice_str(ann.address), .now = NOW});
    struct ledger_mark both[] = {{.id = ann.id}, {.id = bob.id}};
    go(&(struct call){.fixture = &fixture, .what = MARK, .marks = both, .count = 2, .now = NOW});
    assert_int_equal(both[0].result, LEDGER_SUPPRESSED);
    assert_int_equal(both[1].result, LEDGER_MARKED);
    assert_int_equal(column(&fixture, &ann, "state"), DELIVERY_SUPPRESSED);
    assert_int_equal(events(&fixture, &ann, EVENT_SUPPRESSED), 1);
    test_store_end(&fixture.store);
}

static void an_unmark_gives_back_what_it_was(void **state)
{
    FIXTURE(fixture, state);
    struct test_delivery ann = add(&fixture, "ann@example.jp");
    struct ledger_move deferred = move_to(&ann, EVENT_DEFERRED, DELIVERY_DEFERRED);
    assert_true(settle(&fixture, &deferred));
    assert_int_equal(mark(&fixture, &ann, 1), LEDGER_MARKED);
    struct ledger_mark back = {.id = ann.id, .attempts = 1, .state = DELIVERY_DEFERRED};
    go(&(struct call){.fixture = &fixture, .what = UNMARK, .marks = &back, .count = 1, .now = NOW});
    assert_int_equal(column(&fixture, &ann, "state"), DELIVERY_DEFERRED);
    assert_int_equal(column(&fixture, &ann, "attempts"), 1);
    assert_int_equal(column(&fixture, &ann, "version_id"), 8); /* pinned for good */
    test_store_end(&fixture.store);
}

/* R37: a node that has lost its leases moves nothing, and what it held is doubtful for the other */
static void a_node_without_the_lease_moves_nothing(void **state)
{
    FIXTURE(fixture, state);
    struct test_delivery ann = add(&fixture, "ann@example.jp"), bob = add(&fixture, "bob@example.jp");
    assert_int_equal(mark(&fixture, &ann, 0), LEDGER_MARKED);
    go(&(struct call){.fixture = &fixture, .what = EXPIRE_LEASES});
    assert_int_equal(mark(&fixture, &bob, 0), LEDGER_GONE);
    struct ledger_mark back = {.id = ann.id};
    go(&(struct call){.fixture = &fixture, .what = UNMARK, .marks = &back, .count = 1, .now = NOW});
    struct ledger_move delivered = move_to(&ann, EVENT_DELIVERED, DELIVERY_DELIVERED);
    assert_false(settle(&fixture, &delivered));
    assert_int_equal(column(&fixture, &ann, "state"), DELIVERY_ON_WIRE);
    struct call recover = {.fixture = &fixture, .what = RECOVER, .now = NOW};
    go(&recover);
    assert_int_equal(recover.number, 0);
    assert_int_equal(test_number(fixture.store.reader, "SELECT COUNT(*) FROM event"), 0);
    test_store_end(&fixture.store);
}

/* R37: a bucket changes hands while its node lives: what is on the wire is still that node's to settle, and no more */
static void a_bucket_changes_hands_while_a_mail_is_on_the_wire(void **state)
{
    FIXTURE(fixture, state);
    struct test_delivery ann = add(&fixture, "ann@example.jp"), bob = add(&fixture, "bob@example.jp"),
                         eve = add(&fixture, "eve@example.jp");
    assert_int_equal(mark(&fixture, &ann, 0), LEDGER_MARKED);
    assert_int_equal(mark(&fixture, &eve, 0), LEDGER_MARKED);
    go(&(struct call){.fixture = &fixture, .what = MOVE_BUCKETS});
    assert_int_equal(mark(&fixture, &bob, 0), LEDGER_GONE);
    struct ledger_move refused = move_to(&bob, EVENT_BOUNCED, DELIVERY_BOUNCED);
    refused.is_mine = true;
    assert_false(settle(&fixture, &refused));
    struct ledger_move delivered = move_to(&ann, EVENT_DELIVERED, DELIVERY_DELIVERED);
    delivered.is_mine = true;
    assert_true(settle(&fixture, &delivered));
    char again[] = "UPDATE delivery SET node = 9 WHERE state = 3"; /* marked again, by the other */
    test_do(&fixture.store, again);
    struct ledger_move late = move_to(&eve, EVENT_DELIVERED, DELIVERY_DELIVERED);
    late.is_mine = true;
    assert_false(settle(&fixture, &late));
    test_store_end(&fixture.store);
}

/* ── outcomes ── */

static void every_outcome_writes_its_event(void **state)
{
    static const struct {
        const char *name;
        enum event_kind kind;
        enum delivery_state after;
        int64_t due;
    } rows[] = {
        {"delivered", EVENT_DELIVERED, DELIVERY_DELIVERED, 10},     {"bounced", EVENT_BOUNCED, DELIVERY_BOUNCED, 10},
        {"deferred", EVENT_DEFERRED, DELIVERY_DEFERRED, NOW + 100}, {"expired", EVENT_EXPIRED, DELIVERY_EXPIRED, 10},
        {"in doubt", EVENT_IN_DOUBT, DELIVERY_IN_DOUBT, NOW + 100},
    };
    FIXTURE(fixture, state);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char address[64];
        snprintf(address, sizeof(address), "person%zu@example.jp", i);
        struct test_delivery one = add(&fixture, address);
        assert_int_row(rows[i].name, mark(&fixture, &one, 0), LEDGER_MARKED);
        struct ledger_move move = move_to(&one, rows[i].kind, rows[i].after);
        assert_row(rows[i].name, settle(&fixture, &move));
        assert_int_row(rows[i].name, column(&fixture, &one, "state"), rows[i].after);
        assert_int_row(rows[i].name, column(&fixture, &one, "attempts"), 1);
        assert_int_row(rows[i].name, column(&fixture, &one, "due_ms"), rows[i].due);
        assert_int_row(rows[i].name, events(&fixture, &one, rows[i].kind), 1);
        assert_row(rows[i].name, rows[i].after == DELIVERY_DEFERRED || !settle(&fixture, &move)); /* once */
    }
    test_store_end(&fixture.store);
}

/* the event, the exclusion and the row are one transaction */
static void what_an_error_excludes_is_excluded_with_it(void **state)
{
    FIXTURE(fixture, state);
    struct test_delivery ann = add(&fixture, "ann@example.jp");
    assert_int_equal(mark(&fixture, &ann, 0), LEDGER_MARKED);
    struct ledger_move bounced = move_to(&ann, EVENT_BOUNCED, DELIVERY_BOUNCED);
    bounced.event.verdict = (struct verdict){.reason = REASON_USER_UNKNOWN, .action = ACTION_SUPPRESS_NOW};
    struct fault why = {0};
    struct call broken = {
        .fixture = &fixture, .what = SETTLE, .moves = &bounced, .count = 1, .now = NOW, .must_fail = true};
    assert_false(test_write_try(fixture.store.store, call_run, &broken, &why));
    assert_int_equal(column(&fixture, &ann, "state"), DELIVERY_ON_WIRE);
    assert_int_equal(test_number(fixture.store.reader, "SELECT COUNT(*) FROM suppression"), 0);

    assert_true(settle(&fixture, &bounced));
    assert_int_equal(events(&fixture, &ann, EVENT_BOUNCED), 1);
    assert_int_equal(events(&fixture, &ann, EVENT_EXCLUDED), 1);
    /* the suppression row names the event that caused it */
    assert_int_equal(
        test_number(fixture.store.reader,
                    "SELECT COUNT(*) FROM suppression s JOIN event e ON e.id = s.event_id WHERE e.kind = 5"),
        1);
    test_store_end(&fixture.store);
}

static bool hold_site(struct db *db, struct fault *why, void *context)
{
    const struct guard_site site = {.site = SLICE("mx.example.jp"), .is_holding = *(const bool *)context, .since = NOW};
    return guard_write(db, why, &site);
}

/* R36: what a site says while the guard holds it touches nobody; a job that runs again says the same; then it counts */
static void a_site_that_is_not_believed_holds_its_verdicts(void **state)
{
    FIXTURE(fixture, state);
    bool holds = true;
    test_write(fixture.store.store, hold_site, &holds);
    struct test_delivery ann = add(&fixture, "ann@example.jp"), bob = add(&fixture, "bob@example.jp");
    assert_int_equal(mark(&fixture, &ann, 0), LEDGER_MARKED);
    assert_int_equal(mark(&fixture, &bob, 0), LEDGER_MARKED);
    struct ledger_move both[2] = {move_to(&ann, EVENT_BOUNCED, DELIVERY_BOUNCED),
                                  move_to(&bob, EVENT_BOUNCED, DELIVERY_BOUNCED)};
    for (int i = 0; i < 2; i++) {
        both[i].event.origin = EVENT_ORIGIN_REPLY;
        both[i].event.site = i == 0 ? SLICE("mx.example.jp") : SLICE("mx.other.jp");
        both[i].event.verdict = (struct verdict){
            .reason = REASON_USER_UNKNOWN, .action = ACTION_SUPPRESS_NOW, .is_permanent = true, .rule = SLICE("a.b")};
    }
    struct fault why = {0};
    struct call broken = {
        .fixture = &fixture, .what = SETTLE, .moves = both, .count = 2, .now = NOW, .must_fail = true};
    assert_false(test_write_try(fixture.store.store, call_run, &broken, &why));
    broken.must_fail = false;
    go(&broken);
    assert_int_equal(column(&fixture, &ann, "state"), DELIVERY_HELD);
    assert_int_equal(column(&fixture, &bob, "state"), DELIVERY_BOUNCED); /* another site is believed */
    assert_int_equal(test_number(fixture.store.reader, "SELECT COUNT(*) FROM suppression"), 1);
    assert_int_equal(test_number(fixture.store.reader, "SELECT COUNT(*) FROM strike"), 0);
    assert_int_equal(events(&fixture, &ann, EVENT_DEFERRED), 1);
    assert_int_equal(both[0].event.verdict.reason, REASON_ON_HOLD);
    assert_false(both[0].event.verdict.is_permanent);
    assert_int_equal(
        test_number(fixture.store.reader,
                    "SELECT COUNT(*) FROM held_verdict h JOIN event e ON e.id = h.event_id WHERE h.reason = "
                    "1 AND h.rule = 'a.b' AND h.is_owed = 1 AND e.note = 'user_unknown'"),
        1);

    holds = false; /* normal again: the same words are believed */
    test_write(fixture.store.store, hold_site, &holds);
    struct ledger_move again = move_to(&ann, EVENT_BOUNCED, DELIVERY_BOUNCED);
    again.event.site = SLICE("mx.example.jp");
    again.event.state_before = DELIVERY_HELD;
    again.from = LEDGER_BIT(DELIVERY_HELD);
    again.event.verdict = (struct verdict){.reason = REASON_USER_UNKNOWN, .action = ACTION_SUPPRESS_NOW};
    assert_true(settle(&fixture, &again));
    assert_int_equal(column(&fixture, &ann, "state"), DELIVERY_BOUNCED);
    assert_int_equal(test_number(fixture.store.reader, "SELECT COUNT(*) FROM suppression"), 2);
    test_store_end(&fixture.store);
}

/* U5: five full mailboxes in a row exclude; a success in between begins anew; others' faults never count */
static void strikes_count_up_to_five_and_a_success_resets_them(void **state)
{
    static const struct {
        const char *name;
        const char *outcomes; /* f: full mailbox, d: delivered, s: spam verdict */
        int is_excluded;
    } rows[] = {
        {"four", "ffff", 0},
        {"five", "fffff", 1},
        {"a success in the middle", "ffffdf", 0},
        {"five after the success", "ffffdfffff", 1},
        {"the message's fault", "sssssssss", 0},
        {"both", "fsfsfsfsf", 1},
    };
    FIXTURE(fixture, state);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char address[64];
        snprintf(address, sizeof(address), "row%zu@example.jp", i);
        struct test_delivery one = {.address = address, .campaign_id = 100, .priority = 1, .due = 10};
        for (const char *outcome = rows[i].outcomes; *outcome; outcome++, one.campaign_id++) {
            test_delivery_add(&fixture.store, &one);
            struct ledger_move move = move_to(&one, EVENT_EXPIRED, DELIVERY_EXPIRED);
            move.event.verdict = (struct verdict){.reason = REASON_MAILBOX_FULL, .action = ACTION_SUPPRESS_AFTER_N};
            if (*outcome == 's') {
                move = move_to(&one, EVENT_BOUNCED, DELIVERY_BOUNCED);
                move.event.verdict = (struct verdict){.reason = REASON_SPAM, .action = ACTION_FIX_CONTENT};
            } else if (*outcome == 'd') {
                move = move_to(&one, EVENT_DELIVERED, DELIVERY_DELIVERED);
            }
            assert_row(rows[i].name, settle(&fixture, &move));
        }
        assert_int_row(rows[i].name,
                       number(&fixture, "SELECT COUNT(*) FROM suppression WHERE address = $1", VALUES(V_STR(address))),
                       rows[i].is_excluded);
    }
    test_store_end(&fixture.store);
}

/* U3: the error mail days later; also the one that is quicker than our own writing down of the 250 */
static void a_late_bounce_moves_whatever_may_have_arrived(void **state)
{
    FIXTURE(fixture, state);
    struct test_delivery ann = add(&fixture, "ann@example.jp"), bob = add(&fixture, "bob@example.jp");
    struct test_delivery *both[] = {&ann, &bob};
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(mark(&fixture, both[i], 0), LEDGER_MARKED);
    struct ledger_move delivered = move_to(&ann, EVENT_DELIVERED, DELIVERY_DELIVERED);
    assert_true(settle(&fixture, &delivered));
    for (size_t i = 0; i < 2; i++) {
        struct ledger_move late = move_to(both[i], EVENT_BOUNCED, DELIVERY_BOUNCED);
        late.from = LEDGER_BIT(DELIVERY_DELIVERED) | LEDGER_OWED;
        late.is_before_known = late.is_attempt = false;
        assert_true(settle(&fixture, &late));
    }
    struct ledger_move too_late = move_to(&bob, EVENT_DELIVERED, DELIVERY_DELIVERED);
    assert_false(settle(&fixture, &too_late));
    assert_int_equal(events(&fixture, &ann, EVENT_DELIVERED), 1); /* the 250 stays in the timeline */
    assert_int_equal(number(&fixture,
                            "SELECT state_before FROM event WHERE bucket = $1 AND delivery_id = $2 AND kind = 5",
                            VALUES(V_INT(id_bucket(ann.id)), V_INT((int64_t)ann.id))),
                     DELIVERY_DELIVERED);
    assert_int_equal(number(&fixture,
                            "SELECT state_before FROM event WHERE bucket = $1 AND delivery_id = $2 AND kind = 5",
                            VALUES(V_INT(id_bucket(bob.id)), V_INT((int64_t)bob.id))),
                     DELIVERY_WAITING); /* the counters never saw it on the wire */
    test_store_end(&fixture.store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(a_mark_pins_version_and_date_and_writes_no_event),
        ON_BOTH(an_old_claim_cannot_mark),
        ON_BOTH(a_suppressed_address_is_never_marked),
        ON_BOTH(an_unmark_gives_back_what_it_was),
        ON_BOTH(a_node_without_the_lease_moves_nothing),
        ON_BOTH(a_bucket_changes_hands_while_a_mail_is_on_the_wire),
        ON_BOTH(every_outcome_writes_its_event),
        ON_BOTH(what_an_error_excludes_is_excluded_with_it),
        ON_BOTH(a_site_that_is_not_believed_holds_its_verdicts),
        ON_BOTH(strikes_count_up_to_five_and_a_success_resets_them),
        ON_BOTH(a_late_bounce_moves_whatever_may_have_arrived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
