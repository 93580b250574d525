/* Every move of the state picture in ledger.h, on both stores: R34 (accepted = the sum of the ten, and the events say
 * the same), R22, R29, R37, M22 (strikes), U5. */
#include "queue/ledger.h"
#include "queue/testing.h"

#include "base/random.h"

enum { NODE = 3 };
#define NOW TEST_NOW

struct fixture {
    struct test_store store;
    struct leases leases;
    struct ledger ledger;
};

/* One call of the ledger as a job. */
struct call {
    struct fixture *fixture;
    enum {
        ACQUIRE,
        MARK,
        UNMARK,
        SETTLE,
        RECOVER,
        RELEASE,
        SET_RIGHT,
        CANCEL,
        MOVE_BUCKETS,
        EXPIRE_LEASES,
        SUPPRESS
    } what;
    struct ledger_mark *marks;
    struct ledger_move *moves;
    size_t count;
    time_ms now;
    uint64_t campaign_id;
    unsigned bucket;
    int64_t number;
    struct arena arena;
    struct ledger_released *released;
    struct slice address;
    bool must_fail;
};

static bool call_run(struct db *db, struct fault *why, void *context)
{
    struct call *call = context;
    const struct ledger *ledger = &call->fixture->ledger;
    struct leases *leases = &call->fixture->leases;
    struct bucket_set all;
    memset(&all, 0xff, sizeof(all));
    switch (call->what) {
    case ACQUIRE: return leases_keep(db, why, leases, 1);
    case MARK: return ledger_mark(ledger, db, why, call->marks, call->count, call->now);
    case UNMARK: return ledger_unmark(ledger, db, why, call->marks, call->count, call->now);
    case SETTLE:
        if (!ledger_settle(ledger, db, why, call->moves, call->count))
            return false;
        return !call->must_fail || fault_set(why, FAULT_INPUT, "as the test wants it");
    case RECOVER: return ledger_recover(ledger, db, why, &all, true, call->now, 500, &call->number);
    case RELEASE:
        return ledger_release_doubtful(ledger, db, why, call->now, call->count, &call->arena, &call->released,
                                       &call->count);
    case SET_RIGHT: return ledger_set_right(ledger, db, why, call->now, &call->number);
    case CANCEL:
        return ledger_cancel_campaign(ledger, db, why, call->campaign_id, call->bucket, call->now, &call->number);
    case EXPIRE_LEASES: /* another has ended our life and taken our buckets */
        return db_do(db, why, "UPDATE node SET life = life + 1, until_ms = 0", NO_VALUES, NULL) &&
               db_do(db, why, "UPDATE lease SET node = 9, epoch = epoch + 1", NO_VALUES, NULL);
    case MOVE_BUCKETS: return db_do(db, why, "UPDATE lease SET node = 9, epoch = epoch + 1", NO_VALUES, NULL);
    case SUPPRESS: {
        bool is_new;
        const struct suppression row = {.address = call->address, .why = SUPPRESS_UNSUBSCRIBED, .since = call->now};
        return suppress_add(db, why, &row, &is_new);
    }
    }
    return false;
}
static void go(struct call *call)
{
    test_write(call->fixture->store.store, call_run, call);
}

#define FIXTURE(fixture, state)                                                                                        \
    struct fixture fixture = {.leases = {.node = NODE}};                                                               \
    if (!test_store_url(&fixture.store, state))                                                                        \
        skip();                                                                                                        \
    test_store_reopen(&fixture.store);                                                                                 \
    fixture.ledger = (struct ledger){.leases = &fixture.leases, .node = NODE};                                         \
    go(&(struct call){.fixture = &fixture, .what = ACQUIRE})

static struct test_delivery add(struct fixture *fixture, const char *address)
{
    struct test_delivery delivery = {.address = address, .campaign_id = 5, .priority = 1, .due = 10};
    test_delivery_add(&fixture->store, &delivery);
    return delivery;
}

static enum ledger_marked mark(struct fixture *fixture, const struct test_delivery *delivery, unsigned attempts)
{
    struct ledger_mark one = {.id = delivery->id, .attempts = attempts, .version_id = 8, .date = 9};
    go(&(struct call){.fixture = fixture, .what = MARK, .marks = &one, .count = 1, .now = NOW});
    return one.result;
}

static struct ledger_move move_to(const struct test_delivery *delivery, enum event_kind kind, enum delivery_state after)
{
    return (struct ledger_move){
        .event = {.kind = kind,
                  .at = NOW,
                  .delivery_id = delivery->id,
                  .campaign_id = delivery->campaign_id,
                  .brand_id = TEST_BRAND,
                  .address = slice_str(delivery->address),
                  .domain = delivery->lane.domain,
                  .state_before = DELIVERY_WAITING,
                  .state_after = after},
        .from = LEDGER_BIT(DELIVERY_WAITING) | LEDGER_BIT(DELIVERY_DEFERRED) | LEDGER_BIT(DELIVERY_ON_WIRE),
        .is_before_known = true,
        .is_attempt = true,
        .due = NOW + 100,
    };
}
static bool settle(struct fixture *fixture, struct ledger_move *move)
{
    go(&(struct call){.fixture = fixture, .what = SETTLE, .moves = move, .count = 1, .now = NOW});
    return move->is_moved;
}

static int64_t number(struct fixture *fixture, const char *sql, const struct value *values, size_t count)
{
    struct fault why = {0};
    int64_t got = -1;
    bool found;
    if (!db_query_ints(fixture->store.reader, &why, sql, values, count, &got, 1, &found))
        fail_msg("%s", why.text);
    return found ? got : -1;
}
static int64_t column(struct fixture *fixture, const struct test_delivery *delivery, const char *name)
{
    char sql[160];
    snprintf(sql, sizeof(sql), "SELECT %s FROM delivery WHERE bucket = $1 AND id = $2", name);
    return number(fixture, sql, VALUES(V_INT(id_bucket(delivery->id)), V_INT((int64_t)delivery->id)));
}
static int64_t events(struct fixture *fixture, const struct test_delivery *delivery, enum event_kind kind)
{
    return number(fixture, "SELECT COUNT(*) FROM event WHERE bucket = $1 AND delivery_id = $2 AND kind = $3",
                  VALUES(V_INT(id_bucket(delivery->id)), V_INT((int64_t)delivery->id), V_INT(kind)));
}

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

/* ── R34: whatever happens in whatever order, rows and events tell the same story ── */

enum { PEOPLE = 40, STEPS = 400 };

/* What the events make of the counters. */
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
        ON_BOTH(a_mark_pins_version_and_date_and_writes_no_event),
        ON_BOTH(an_old_claim_cannot_mark),
        ON_BOTH(a_suppressed_address_is_never_marked),
        ON_BOTH(an_unmark_gives_back_what_it_was),
        ON_BOTH(what_is_in_doubt_keeps_its_source),
        ON_BOTH(what_was_in_doubt_by_one_nodes_source_gets_a_lane_of_its_own),
        ON_BOTH(a_node_without_the_lease_moves_nothing),
        ON_BOTH(a_bucket_changes_hands_while_a_mail_is_on_the_wire),
        ON_BOTH(every_outcome_writes_its_event),
        ON_BOTH(what_an_error_excludes_is_excluded_with_it),
        ON_BOTH(a_site_that_is_not_believed_holds_its_verdicts),
        ON_BOTH(strikes_count_up_to_five_and_a_success_resets_them),
        ON_BOTH(a_late_bounce_moves_whatever_may_have_arrived),
        ON_BOTH(what_was_on_the_wire_is_in_doubt_after_a_crash),
        ON_BOTH(the_doubtful_are_released_when_due_unless_the_brand_holds_them),
        ON_BOTH(what_a_wrong_clock_wrote_is_set_right),
        ON_BOTH(cancelling_leaves_what_is_on_the_wire),
        ON_BOTH(the_sum_of_the_ten_holds_through_anything),
        {"a_start_does_not_walk_through_everything (sqlite)", a_start_does_not_walk_through_everything, NULL, NULL,
         (void *)(uintptr_t) "sqlite"},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
