/* R36, S12, S13: what the alarm reader makes of events, on both stores. */
#include "alarm/alarm.h"

#include "mail/address.h"
#include "queue/order.h"
#include "store/testing.h"
#include "suppress/guard.h"

enum { EVENTS_MAX = 400 };
static const time_ms NOON = 1795000000000;

struct fixture {
    struct test_store test;
    struct world world;
    struct rules *rules;
    struct policies *policies;
    struct alarm_watch *watch;
    struct arena arena;
    unsigned pauses;
    uint64_t paused;
};

static bool pause_key(void *owner, struct db *db, struct fault *why, uint64_t key_id, time_ms now)
{
    struct fixture *f = owner;
    f->pauses++;
    f->paused = key_id;
    return true;
}

static void begin(struct fixture *f)
{
    struct fault why = {0};
    world_init(&f->world, NETWORK_LOOPBACK);
    if (!rules_open(&f->rules, &why) || !policies_open("default", NULL, &f->policies, &why))
        fail_msg("%s", why.text);
    const struct alarm_options options = {.store = f->test.store,
                                          .world = &f->world,
                                          .rules = f->rules,
                                          .ledger = {.policy = {.policies = f->policies}},
                                          .pause = pause_key,
                                          .owner = f};
    f->watch = alarm_watch_start(&options);
}

static void end(struct fixture *f)
{
    alarm_watch_stop(f->watch);
    rules_free(f->rules);
    policies_free(f->policies);
    arena_release(&f->arena);
    test_store_end(&f->test);
}

static void catch_up(struct fixture *f)
{
    struct fault why = {0};
    if (!alarm_watch_catch_up(f->watch, &why))
        fail_msg("%s", why.text);
}

struct work {
    struct event events[EVENTS_MAX];
    size_t count;
};

static bool append(struct db *db, struct fault *why, void *context)
{
    struct work *work = context;
    for (size_t i = 0; i < work->count; i++)
        work->events[i].id = id_make(db_ids(db), work->events[i].at, work->events[i].bucket);
    for (size_t i = 0; i < work->count; i++) {
        const struct event *event = &work->events[i];
        const struct suppression row = {.address = event->address,
                                        .why = SUPPRESS_ERROR,
                                        .reason = event->verdict.reason,
                                        .since = event->at,
                                        .event_id = event->id,
                                        .count = 1};
        bool is_new;
        if (event->kind == EVENT_BOUNCED && !suppress_add(db, why, &row, &is_new))
            return false;
    }
    return event_append(db, why, work->events, work->count);
}

static struct event *add(struct fixture *f, struct work *work, enum event_kind kind, int number)
{
    struct event *event = &work->events[work->count++];
    struct slice address = arena_printf(&f->arena, "p%d@docomo.ne.jp", number);
    *event = (struct event){
        .at = world_wall(&f->world),
        .kind = kind,
        .bucket = address_bucket(address),
        .origin = EVENT_ORIGIN_REPLY,
        .address = address,
        .domain = SLICE("docomo.ne.jp"),
        .site = SLICE("docomo"),
        .delivery_id = (uint64_t)(number + 1) << 8 | address_bucket(address),
        .state_before = DELIVERY_WAITING,
        .state_after = kind == EVENT_DELIVERED ? DELIVERY_DELIVERED : DELIVERY_BOUNCED,
        .attempt = 1,
        .code = kind == EVENT_DELIVERED ? 250 : 550,
        .diagnostic = arena_printf(&f->arena, "550 Unknown user %.*s", SLICE_ARG(address)),
    };
    if (kind == EVENT_BOUNCED)
        event->verdict = (struct verdict){.reason = REASON_USER_UNKNOWN, .action = ACTION_SUPPRESS_NOW};
    return event;
}

static size_t alarms(struct fixture *f, bool only_open, struct alarm_row **rows)
{
    struct fault why = {0};
    size_t count;
    if (!alarm_list(f->test.reader, &why, only_open, world_wall(&f->world), 50, &f->arena, rows, &count))
        fail_msg("%s", why.text);
    return count;
}

static bool ack(struct db *db, struct fault *why, void *context)
{
    bool found;
    return alarm_ack(db, why, *(const uint64_t *)context, SLICE("taro"), 1795000000000, &found) && found;
}

static void two_hundred_forgeries_are_an_alarm(void **state)
{
    struct fixture f = {0};
    TEST_STORE(test, state);
    f.test = test;
    begin(&f);
    struct work *work = NEW(struct work);
    struct alarm_row *rows;
    for (int round = 0; round < 2; round++) {
        work->count = 0;
        for (int i = 0; i < 100; i++) {
            struct event *event = add(&f, work, EVENT_UNVERIFIED, i);
            event->origin = EVENT_ORIGIN_MAIL;
            event->delivery_id = 0;
            event->state_before = event->state_after = DELIVERY_STATE_COUNT;
            event->authenticity = round ? AUTHENTICITY_FORGED : AUTHENTICITY_UNVERIFIED;
            event->note = SLICE("bounce");
        }
        test_write(f.test.store, append, work);
        catch_up(&f);
        assert_int_equal(alarms(&f, true, &rows), round);
    }
    assert_int_equal(rows[0].kind, ALARM_UNVERIFIED_MAIL);
    assert_int_equal(rows[0].n, 200);
    assert_true(slice_find(rows[0].detail, SLICE("\"forged\":")) > 0);
    assert_true(alarm_words_ja(&rows[0], &f.arena).title.len > 0 && alarm_words_en(&rows[0], &f.arena).text.len > 0);
    test_write(f.test.store, ack, &rows[0].id);
    assert_int_equal(alarms(&f, true, &rows), 0);
    assert_int_equal(alarms(&f, false, &rows), 1);
    free(work);
    end(&f);
}

static bool ask_exclude(struct db *db, struct fault *why, void *context)
{
    return guard_ask(db, why, SLICE("docomo"), GUARD_EXCLUDE, context);
}

static bool keep_one(struct db *db, struct fault *why, void *context)
{
    const struct event *event = context;
    return guard_keep(db, why, event, SLICE("docomo"), &event->verdict);
}

static int64_t guards(struct fixture *f)
{
    return test_number(f->test.reader, "SELECT COUNT(*) FROM site_guard WHERE is_holding = 1");
}

static void a_site_that_refuses_everybody_is_held(void **state)
{
    struct fixture f = {0};
    TEST_STORE(test, state);
    f.test = test;
    begin(&f);
    struct work *work = NEW(struct work);
    struct alarm_row *rows;
    for (int i = 0; i < 200; i++) /* a normal day: 3 % */
        add(&f, work, i % 33 == 7 ? EVENT_BOUNCED : EVENT_DELIVERED, i);
    test_write(f.test.store, append, work);
    catch_up(&f);
    assert_int_equal(guards(&f), 0);
    assert_int_equal(test_number(f.test.reader, "SELECT COUNT(*) FROM suppression"), 6);

    work->count = 0;
    for (int i = 1000; i < 1090; i++)
        add(&f, work, EVENT_BOUNCED, i);
    test_write(f.test.store, append, work);
    catch_up(&f);
    assert_int_equal(guards(&f), 1);
    /* what the window held is taken back, the six of the same hour too */
    assert_int_equal(test_number(f.test.reader, "SELECT COUNT(*) FROM suppression"), 0);
    assert_int_equal(alarms(&f, true, &rows), 1);
    assert_int_equal(rows[0].kind, ALARM_SITE_GUARD);
    assert_slice("site", rows[0].about, SLICE("docomo"));
    assert_int_equal(rows[0].normal, 20);

    /* an error mail's verdict that waits, and a person who believes it */
    struct event waits = work->events[0];
    waits.state_after = DELIVERY_BOUNCED;
    bool found = false;
    test_write(f.test.store, keep_one, &waits);
    test_write(f.test.store, ask_exclude, &found);
    assert_true(found);
    catch_up(&f);
    catch_up(&f);
    assert_int_equal(guards(&f), 0);
    assert_int_equal(test_number(f.test.reader, "SELECT COUNT(*) FROM held_verdict"), 0);
    assert_int_equal(test_number(f.test.reader, "SELECT COUNT(*) FROM suppression"), 1);
    assert_int_equal(test_number(f.test.reader, "SELECT COUNT(*) FROM alarm WHERE ended_ms > 0"), 1);
    free(work);
    end(&f);
}

/* What another node was told first is read last (R36). */
static void an_answer_that_is_read_late_is_taken_back(void **state)
{
    enum { SOONER_MS = 5000 };
    struct fixture f = {0};
    TEST_STORE(test, state);
    f.test = test;
    begin(&f);
    struct work *work = NEW(struct work);
    add(&f, work, EVENT_DELIVERED, 1);
    add(&f, work, EVENT_BOUNCED, 2);
    test_write(f.test.store, append, work);
    catch_up(&f);
    work->count = 0;
    for (int i = 10; i < 100; i++)
        add(&f, work, EVENT_BOUNCED, i)->at -= SOONER_MS;
    test_write(f.test.store, append, work);
    catch_up(&f);
    assert_int_equal(guards(&f), 1);
    assert_int_equal(test_number(f.test.reader, "SELECT COUNT(*) FROM suppression"), 0);
    free(work);
    end(&f);
}

/* The deliveries of these events, as the events left them; and one that a person had purged: given, and over. */
static bool purge_them(struct db *db, struct fault *why, void *context)
{
    const struct work *work = context;
    struct queue_order order = {
        .verb = ORDER_PURGE, .at = NOON, .accepted_until = NOON, .campaign_id = 5, .who = SLICE("taro")};
    struct order_step step;
    SCOPED(arena) arena = {0};
    for (size_t i = 0; i < work->count; i++)
        if (!db_do(
                db, why,
                "INSERT INTO lane (id, campaign_id, domain, brand_id, priority) VALUES ($1, $2, 'docomo.ne.jp', 1, 1) "
                "ON CONFLICT DO NOTHING",
                VALUES(V_INT(5 + (int64_t)i % 2), V_INT(5 + (int64_t)i % 2)), NULL) ||
            !db_do(db, why,
                   "INSERT INTO delivery (bucket, id, lane_id, brand_id, campaign_id, address, written, state, due_ms, "
                   "accepted_ms, expires_ms, changed_ms) VALUES ($1, $2, $3, 1, $3, $4, $4, 6, 0, 1, $5, 1)",
                   VALUES(V_INT(work->events[i].bucket), V_INT((int64_t)work->events[i].delivery_id),
                          V_INT(5 + (int64_t)i % 2), V_TEXT(work->events[i].address), V_INT(NOON * 2)),
                   NULL))
            return false;
    /* two senders wait to be told: of one that is taken back, and of another */
    for (int64_t i = 0; i < 2; i++)
        if (!db_do(db, why,
                   "INSERT INTO notice_owed (delivery_id, kind, message_id, address, at_ms, is_expired, status, "
                   "diagnostic, remote_mta) VALUES ($1, 4, 1, 'a', 1, 0, '', '', '')",
                   VALUES(V_INT(i ? 77 : (int64_t)work->events[0].delivery_id)), NULL))
            return false;
    return order_give(db, why, &order) && order_step(&(struct ledger){0}, db, why, NOON, EVENTS_MAX, &arena, &step) &&
           step.moved == 0;
}

static bool go_on(struct db *db, struct fault *why, void *context)
{
    struct order_step step;
    SCOPED(arena) arena = {0};
    return order_step(&(struct ledger){0}, db, why, NOON, EVENTS_MAX, &arena, &step);
}

/* R31, R36: the mails of one campaign came back refused after it was purged, and the site is not believed; who was to
 * be told of a failure need not hear of it. */
static void what_is_taken_back_is_still_purged(void **state)
{
    struct fixture f = {0};
    TEST_STORE(test, state);
    f.test = test;
    begin(&f);
    struct work *work = NEW(struct work);
    for (int i = 0; i < 90; i++)
        add(&f, work, EVENT_BOUNCED, i);
    test_write(f.test.store, purge_them, work);
    test_write(f.test.store, append, work);
    catch_up(&f);
    assert_int_equal(guards(&f), 1);
    assert_int_equal(test_number(f.test.reader, "SELECT COUNT(*) FROM delivery WHERE state = 2"), 90);
    assert_int_equal(test_number(f.test.reader, "SELECT COUNT(*) FROM notice_owed"), 1);
    assert_int_equal(test_number(f.test.reader, "SELECT delivery_id FROM notice_owed"), 77);
    test_write(f.test.store, go_on, NULL);
    assert_int_equal(test_number(f.test.reader, "SELECT COUNT(*) FROM delivery WHERE state = 2"), 45);
    assert_int_equal(test_number(f.test.reader, "SELECT COUNT(*) FROM delivery WHERE state = 9 AND campaign_id = 5"),
                     45);
    free(work);
    end(&f);
}

static void unread_words_are_grouped_and_bounded(void **state)
{
    struct fixture f = {0};
    TEST_STORE(test, state);
    f.test = test;
    begin(&f);
    struct work *work = NEW(struct work);
    for (int round = 0; round < 4; round++) {
        work->count = 0;
        for (int i = 0; i < EVENTS_MAX; i++) {
            struct event *event = add(&f, work, EVENT_DEFERRED, i);
            event->state_after = DELIVERY_DEFERRED;
            event->code = 451;
            event->at = NOON + round * EVENTS_MAX + i; /* by address, so the buckets have them in no order */
            event->verdict = (struct verdict){.reason = REASON_UNDEFINED, .rule = SLICE("fallback.code")};
            /* one text in two is common, the others are all different */
            event->diagnostic =
                i % 2
                    ? arena_printf(&f.arena, "451 the walrus of <%.*s> sleeps", SLICE_ARG(event->address))
                    : arena_printf(&f.arena, "451 word%c%c%c %d", 'a' + i / 2 % 26, 'a' + i / 52 % 26, 'a' + round, i);
        }
        test_write(f.test.store, append, work);
        catch_up(&f);
    }
    struct unread_row *rows;
    struct fault why = {0};
    size_t count;
    assert_true(unread_list(f.test.reader, &why, UNREAD_ROWS_MAX, &f.arena, &rows, &count));
    assert_true(count > 500 && count <= UNREAD_ROWS_MAX);
    assert_slice("words", rows[0].words, SLICE("451 the walrus of <<addr>> sleeps"));
    assert_int_equal(rows[0].n, 2 * EVENTS_MAX);
    assert_slice("receiver", rows[0].receiver, SLICE("docomo.ne.jp"));
    assert_int_equal(rows[0].first, NOON + 1);
    assert_slice("first", rows[0].sample, SLICE("451 the walrus of <p1@docomo.ne.jp> sleeps"));
    assert_int_equal(rows[0].last, NOON + 4 * EVENTS_MAX - 1);
    assert_slice("last", rows[0].last_sample,
                 arena_printf(&f.arena, "451 the walrus of <p%d@docomo.ne.jp> sleeps", EVENTS_MAX - 1));
    free(work);
    end(&f);
}

/* ── S13: a key that sends far above its own past ── */

struct handed_in {
    uint64_t key;
    time_ms at;
    int n; /* recipients, in so many events of ten */
};

static bool hand_in(struct db *db, struct fault *why, void *context)
{
    const struct handed_in *in = context;
    SCOPED(arena) arena = {0};
    struct event *events = ARENA_ARRAY(&arena, struct event, (size_t)in->n / 10 + 1);
    for (int i = 0; i < in->n / 10; i++)
        events[i] = (struct event){.at = in->at,
                                   .id = id_make(db_ids(db), in->at, 1),
                                   .bucket = 1,
                                   .kind = EVENT_ACCEPTED,
                                   .n = 10,
                                   .domain = SLICE("example.jp"),
                                   .note = arena_printf(&arena, "key %llu", (unsigned long long)in->key),
                                   .state_before = DELIVERY_STATE_COUNT,
                                   .state_after = DELIVERY_WAITING};
    return event_append(db, why, events, (size_t)in->n / 10);
}

static void given(struct fixture *f, uint64_t key, time_ms at, int n)
{
    struct handed_in in = {key, at, n};
    test_write(f->test.store, hand_in, &in);
    catch_up(f);
}

static bool make_keys(struct db *db, struct fault *why, void *context)
{
    return db_do(db, why,
                 "INSERT INTO access_key (id, name, secret_sha256, created_ms) VALUES (7, 'shop', $1, 0), (8, 'new', "
                 "$2, 0)",
                 VALUES(V_BYTES(SLICE("a")), V_BYTES(SLICE("b"))), NULL);
}

static bool see_shop(struct db *db, struct fault *why, void *context)
{
    return alarm_ack_matter(db, why, ALARM_CREDENTIAL, SLICE("shop (7)"), SLICE("taro"), 1795000000000);
}

static int64_t tallied(struct fixture *f)
{
    return test_number(f->test.reader,
                       "SELECT CAST(COALESCE(SUM(n), 0) AS BIGINT) FROM alarm_tally WHERE name = 'key 7'");
}

static void a_key_far_above_its_own_past_is_an_alarm(void **state)
{
    struct fixture f = {0};
    TEST_STORE(test, state);
    f.test = test;
    begin(&f);
    struct alarm_row *rows;
    time_ms now = world_wall(&f.world);
    test_write(f.test.store, make_keys, NULL);
    /* a mailing a day, 300 within half an hour */
    for (int day = 5; day > 0; day--) {
        given(&f, 7, now - DAYS_MS(day), 100);
        given(&f, 7, now - DAYS_MS(day) + MINUTES_MS(30), 200);
    }
    given(&f, 7, now, 1400);
    assert_int_equal(alarms(&f, true, &rows), 0); /* not five times as many */
    given(&f, 7, now, 200);
    assert_int_equal(alarms(&f, true, &rows), 1);
    assert_int_equal(rows[0].kind, ALARM_CREDENTIAL);
    assert_slice("about", rows[0].about, SLICE("shop (7)"));
    assert_int_equal(rows[0].n, 1600);
    assert_int_equal(rows[0].normal, 300);
    assert_true(slice_find(alarm_words_ja(&rows[0], &f.arena).text, SLICE("todoke key release 7")) > 0);
    assert_true(slice_find(alarm_words_en(&rows[0], &f.arena).text, SLICE("todoke key release 7")) > 0);
    assert_int_equal(f.pauses, 1);
    assert_int_equal(f.paused, 7);
    /* released by a person, it goes on: not paused a second time in the same matter */
    test_write(f.test.store, see_shop, NULL);
    given(&f, 7, now, 400);
    assert_int_equal(f.pauses, 1);
    assert_int_equal(alarms(&f, true, &rows), 0);
    end(&f);
}

static void a_key_without_a_past_is_compared_with_the_least(void **state)
{
    struct fixture f = {0};
    TEST_STORE(test, state);
    f.test = test;
    begin(&f);
    struct alarm_row *rows;
    time_ms now = world_wall(&f.world);
    test_write(f.test.store, make_keys, NULL);
    given(&f, 8, now, 1000);
    given(&f, 99, now, 5000); /* of no key that is there */
    assert_int_equal(alarms(&f, true, &rows), 0);
    given(&f, 8, now, 10);
    assert_int_equal(alarms(&f, true, &rows), 1);
    assert_int_equal(rows[0].normal, 0);
    /* yesterday's flood has ended at the next look, and as nobody said it was ours it is not usual */
    given(&f, 7, now - DAYS_MS(1), 3000);
    catch_up(&f);
    assert_int_equal(alarms(&f, true, &rows), 2);
    assert_int_equal(test_number(f.test.reader, "SELECT COUNT(*) FROM alarm WHERE about = 'shop (7)' AND ended_ms > 0"),
                     1);
    assert_int_equal(tallied(&f), 0);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(two_hundred_forgeries_are_an_alarm),
        ON_BOTH(a_site_that_refuses_everybody_is_held),
        ON_BOTH(what_is_taken_back_is_still_purged),
        ON_BOTH(an_answer_that_is_read_late_is_taken_back),
        ON_BOTH(unread_words_are_grouped_and_bounded),
        ON_BOTH(a_key_far_above_its_own_past_is_an_alarm),
        ON_BOTH(a_key_without_a_past_is_compared_with_the_least),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
